"""Bars by trades, volume or value over any range: trades are read and aggregated day by day."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from upbit_frames.core.arrow import slice_time
from upbit_frames.core.availability import SEAL_GRACE
from upbit_frames.core.event_bars import EventBars, Threshold
from upbit_frames.core.intervals import Span, subtract
from upbit_frames.core.query import TradeQuery
from upbit_frames.core.route import metadata
from upbit_frames.errors import NotCached
from upbit_frames.router.ports import Ports, sync_server_time
from upbit_frames.router.result import Result
from upbit_frames.router.trade_chunks import TradeChunk, TradeChunks
from upbit_frames.router.trade_history import TradeHistory
from upbit_frames.router.trades import TradeDecision, TradeRouter
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["decide_event_bars", "event_bars"]

COLUMNS = ("time", "price", "volume", "side", "sequential_id")


async def event_bars(
    ports: Ports, query: TradeQuery, threshold: Threshold, forming: bool, progress: Progress
) -> Result:
    """Aggregate the trades of a range into bars.

    A bar never reaches over trades that no source has: the one that is incomplete there is left out,
    and the next begins after them.

    Parameters
    ----------
    ports : Ports
    query : TradeQuery
        With a ``start``.
    threshold : Threshold
    forming : bool
        Whether the last bar is returned too, with a column ``complete``; without, trades that can still
        be followed by others of an earlier moment are left out.
    progress : Progress

    Returns
    -------
    Result
        Table of the schema ``bars``.

    Raises
    ------
    InvalidRange
        If the range lies in the future.
    NotCached
        With ``source="store"``, naming what is missing.
    """
    if query.source != "store" and (query.end is None or query.end > ports.server_time.now()):
        await sync_server_time(ports, query.market, progress)
    if query.source == "rest":
        ports = replace(ports, series_locks={})  # what others fetch meanwhile does not count
    span = await in_thread(_span, ports, query, forming)
    chunks, bars, parts = TradeChunks(ports, query.market, query.source, progress, COLUMNS), EventBars(threshold), []
    async for chunk in chunks.read(span):
        parts += await in_thread(_add, bars, chunk)
    meta = metadata(
        "bars", chunks.route(), market=query.market, threshold=threshold.text, span=span,
        fetched_at=ports.server_time.now(),
    )  # fmt: skip
    return Result(bars.finish(parts, forming=forming), meta, chunks.warnings())


async def decide_event_bars(ports: Ports, query: TradeQuery, forming: bool) -> TradeDecision:
    """Decide who would serve the trades of :func:`event_bars` now; nothing is fetched and nothing changes.

    Raises
    ------
    InvalidRange
        Where :func:`event_bars` would raise it.
    """
    try:
        span = await in_thread(_span, ports, query, forming)
    except NotCached as error:
        return TradeDecision((), error=error)
    if span.empty:
        return TradeDecision(())
    return await TradeRouter(ports).decide(replace(query, start=span.start, end=span.end))


def _span(ports: Ports, query: TradeQuery, forming: bool) -> Span:
    """Return the range of which the trades are read; reads the store's folder."""
    span = TradeHistory(ports, query.market, query.source, Progress()).goal(query).span
    if query.source == "store" or forming:
        return span
    return Span(span.start, max(span.start, min(span.end, ports.server_time.now() - SEAL_GRACE)))


def _add(bars: EventBars, chunk: TradeChunk) -> list[pa.Table]:
    """Return the bars that a chunk completes; none reaches over what is lost of it."""
    parts = []
    pieces = [(part, True) for part in subtract([chunk.span], chunk.lost)] + [(part, False) for part in chunk.lost]
    for part, known in sorted(pieces):
        if known:
            parts.append(bars.add(slice_time(chunk.table, part)))
        else:
            bars.interrupt()
    return parts
