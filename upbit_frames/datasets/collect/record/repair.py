"""Fetches over REST what trades and candles lack between what was recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from upbit_frames.core.intervals import Span, intersect, subtract
from upbit_frames.errors import UpbitFramesError
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.ports import Ports
from upbit_frames.router.trade_history import TradeHistory
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series

__all__ = ["REPAIRED_DAYS", "holes", "repair"]

log = logging.getLogger("upbit_frames.datasets.collect")

DAY = 86_400_000_000
REPAIRED_DAYS = 1
"""How far back holes are fetched. Older ones may take thousands of requests, which ``uf.update`` and ``uf.download``
spend when they are called, not a recorder by itself."""


def holes(covered: Sequence[Span]) -> list[Span]:
    """Return what is not covered between covered ranges, of the newest ``REPAIRED_DAYS``."""
    if not covered:
        return []
    end = covered[-1].end
    inside = subtract([Span(covered[0].start, end)], covered)
    return intersect(inside, [Span(end - REPAIRED_DAYS * DAY, end)])


async def repair(ports: Ports, series: Series, known: set[Span]) -> int:
    """Fetch the holes of a series, except for those ``known`` not to be served; return the rows.

    An error is logged: the hole stays, and is tried again the next time.
    """
    rows = 0
    try:
        for hole in holes(await in_thread(ports.store.covered, series)):
            if hole in known:
                continue
            if series.grid is None:
                trades = TradeHistory(ports, series.market, "auto", Progress(), into_store=True)
                rows += (await trades.fetch_range(hole)).rows
                unavailable = trades.unavailable
            else:
                candles = CandleHistory(ports, series.market, series.grid, "auto", Progress(), 1, into_store=True)
                rows += (await candles.fetch_range(hole)).rows
                unavailable = candles.fetcher.unavailable
            known.update(intersect([hole], unavailable))
    except UpbitFramesError as error:
        log.warning("a hole of %s could not be fetched yet: %s", series, error.message)
    return rows
