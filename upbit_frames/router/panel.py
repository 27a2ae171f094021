"""Candles of many markets over one range, handed over market by market.

Each market is planned, fetched and read as for :meth:`CandleRouter.fetch`; what is common to them is the
range, which is settled once, so that no market ends a period later than another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from upbit_frames.core.bar_grid import Grid, named
from upbit_frames.core.intervals import EPOCH, Span, intersect, iso, subtract
from upbit_frames.core.query import CandleQuery
from upbit_frames.core.route import metadata
from upbit_frames.errors import ServerError, TransportError
from upbit_frames.router.candle_pages import CONCURRENCY
from upbit_frames.router.candle_plan import goal_of
from upbit_frames.router.candles import CandleRouter, MarketResult
from upbit_frames.router.derive import candidates
from upbit_frames.router.ports import MAX_CONCURRENT_MARKETS, sync_server_time
from upbit_frames.router.result import Result
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.task_group import TaskGroup
from upbit_frames.runtime.thread_map import thread_map
from upbit_frames.store.base import Series

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Coverage", "RowSink", "fetch_panel", "read_stored_panel"]


class RowSink(Protocol):
    """What takes the rows."""

    def begin(self, markets: Sequence[str], grid: Grid, span: Span) -> None:
        """Make room for markets and a range; what was taken before is forgotten."""

    def put(self, number: int, table: pa.Table, unknown: Sequence[Span]) -> None:
        """Take the rows of one of the markets, and the ranges of which nothing can be known; from any thread."""


@dataclass(frozen=True)
class Coverage:
    """What is known of a market in the range of a panel.

    Attributes
    ----------
    listed : int
        Where its history begins, as far as that is known; else the start of the range.
    traded : int
        Periods with a candle.
    first, last : int or None
        Starts of the first and the last of them.
    unknown : tuple of Span
        Of which nothing can be known.
    """

    listed: int
    traded: int
    first: int | None
    last: int | None
    unknown: tuple[Span, ...]

    def to_json(self, grid: Grid, span: Span) -> dict[str, Any]:
        """Count the periods of a range: traded, not traded, not listed, unknown."""
        unlisted = grid.slots(span.start, min(self.listed, span.end))
        unknown = sum(grid.slots(grid.ceil(part.start), grid.ceil(part.end)) for part in self.unknown)
        return {
            "traded": self.traded,
            "not_traded": grid.slots(*span) - unlisted - unknown - self.traded,
            "not_listed": unlisted,
            "unknown": unknown,
            "first": None if self.first is None else iso(self.first),
            "last": None if self.last is None else iso(self.last),
        }


@dataclass
class _Panel:
    """A call under way: one query a market, and what is known of those that are done."""

    router: CandleRouter
    query: CandleQuery
    span: Span
    sink: RowSink
    parts: dict[int, tuple[MarketResult, Coverage]]

    @classmethod
    def begin(cls, router: CandleRouter, query: CandleQuery, sink: RowSink) -> _Panel:
        """Settle the range and make room; reads the store's folders."""
        span, settled = _settle(router, query)
        sink.begin(query.markets, query.grid, span)
        return cls(router, settled, span, sink, {})

    def take(self, number: int, part: MarketResult) -> None:
        """Hand the rows of a market over; reads the store's folder."""
        coverage = _coverage(part, self.span)
        self.sink.put(number, part.table, coverage.unknown)
        part.table = None
        self.parts[number] = part, coverage

    def result(self) -> Result:
        """Describe what was served, once every market is done."""
        parts = [self.parts[number] for number in range(len(self.query.markets))]
        grid = self.query.grid
        coverage = {
            market: known.to_json(grid, self.span) for market, (_, known) in zip(self.query.markets, parts, strict=True)
        }
        meta = metadata(
            "panel",
            [step for part, _ in parts for step in part.route],
            market=list(self.query.markets),
            **named(grid),
            coverage=coverage,
            span=self.span,
            fetched_at=self.router.ports.server_time.now(),
        )
        return Result(None, meta, [text for part, _ in parts for text in part.warnings])


def read_stored_panel(router: CandleRouter, query: CandleQuery, sink: RowSink) -> Result | None:
    """Read a panel if the store has all of it; works in this thread and its helpers, a market in each."""
    if query.source in ("rest", "live") or router.needs_server_time(query):
        return None
    panel = _Panel.begin(router, query, sink)
    lacking: list[str] = []

    def read(number: int) -> None:
        if lacking:
            return
        part = router.read_stored_market(panel.query, query.markets[number])
        if part is None:
            lacking.append(query.markets[number])
        else:
            panel.take(number, part)

    thread_map(read, range(len(query.markets)))
    return None if lacking else panel.result()


async def fetch_panel(router: CandleRouter, query: CandleQuery, sink: RowSink, progress: Progress) -> Result:
    """Fetch what the store lacks of a panel, several markets side by side, and read it.

    Raises
    ------
    UpbitFramesError
        Where a market cannot be served: the first error stops the others, and names its market.
    """
    if router.needs_server_time(query):
        with contextlib.suppress(TransportError, ServerError):  # each market decides whether it can do without
            await sync_server_time(router.ports, query.markets[0], progress)
    stored: Result | None = await in_thread(read_stored_panel, router, query, sink)
    if stored is not None:
        return stored
    panel: _Panel = await in_thread(_Panel.begin, router, query, sink)
    concurrency = max(1, CONCURRENCY // len(query.markets))
    semaphore = asyncio.Semaphore(MAX_CONCURRENT_MARKETS)

    async def serve(number: int, market: str) -> None:
        async with semaphore:
            part = await router.serve_market(market, panel.query, progress, concurrency)
            await in_thread(panel.take, number, part)

    async with TaskGroup() as group:
        for number, market in enumerate(query.markets):
            group.create_task(serve(number, market))
    return panel.result()


def _settle(router: CandleRouter, query: CandleQuery) -> tuple[Span, CandleQuery]:
    """Return the range of a panel, and the query that asks for it of each market.

    The periods are counted, not the candles, which are different ones for each market.
    """
    stored = router.ports.store
    known = 0
    if query.source != "rest":
        serving = candidates(query) if query.source == "store" else [query]  # offline shorter candles may serve
        covered = [
            stored.covered(Series("candles", market, one.interval.name)) for one in serving for market in query.markets
        ]
        known = max((spans[-1].end for spans in covered if spans), default=0)
    whole = [Span(EPOCH, known)] if known else []
    now = router.ports.server_time.now()
    span = goal_of(replace(query, gaps="nan"), query.markets[0], whole, now).span
    offline = query.source == "store" and query.end is None and span.end >= query.grid.floor(known)
    end = None if offline else span.end  # up to where something is stored: of each market as far as it is known
    return span, replace(query, start=span.start, end=end, count=None)


def _coverage(part: MarketResult, span: Span) -> Coverage:
    """Find out what is known of a market in a range; reads the store's folder."""
    history, table = part.history, part.table
    first = table["time"][0].value if len(table) else None
    unknown = intersect([part.span], history.fetcher.unavailable)
    if part.span.end < span.end:
        unknown.append(Span(part.span.end, span.end))
    listed = span.start
    edge = part.span.end if first is None else first
    before = subtract([Span(EPOCH, edge)], history.store.covered(history.series))
    if edge > span.start and not before and not len(history.store.tail_covered(history.series, edge, 1).table):
        listed = edge
    last = table["time"][-1].value if len(table) else None
    return Coverage(listed, len(table), first, last, tuple(unknown))
