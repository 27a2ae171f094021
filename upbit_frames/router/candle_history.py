"""Read the final candles of one series: what the store lacks is fetched, and the answer is complete.

The store may change at any moment: cleared, pruned, repaired or compacted by other threads and
processes. So rows are read together with the ranges that they cover, and compared with the range
that is wanted; what has vanished meanwhile is fetched again. A hole is never handed out.

Everything here speaks of final candles only; the candle that can still change is the router's
business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from upbit_frames.core.arrow import rows_before
from upbit_frames.core.availability import DAY, sealed_until
from upbit_frames.core.intervals import EPOCH, INTERVALS, Interval, Span, intersect, subtract
from upbit_frames.core.route import STORED, Step
from upbit_frames.core.schema import arrow_schema
from upbit_frames.router.call_store import VANISHED_TRIES, CallStore, StallGuard, vanishing_error
from upbit_frames.router.candle_fetch import CandleFetcher
from upbit_frames.router.candle_pages import CONCURRENCY
from upbit_frames.router.candle_plan import CandlePlan, Goal, extend_back, extend_on
from upbit_frames.router.plan import StoredEdge
from upbit_frames.router.ports import Ports, stored_edge
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Columns
from upbit_frames.store.results import Counted, Reading

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CandleHistory"]

LISTING_SCANS = {"1M": None, "1d": 31 * DAY, "1h": DAY}
"""Coarser candles that lead to the first one, and how far each is searched (None: all)."""


class CandleHistory:
    """The final candles of one market and interval, for one call.

    Parameters
    ----------
    ports : Ports
    market : str
    interval : Interval
    source : {"auto", "store", "rest", "live", "archive"}
    progress : Progress
    concurrency : int
        Requests this series may have under way at once.
    into_store : bool
        Whether the purpose is to have the candles stored: then nothing is kept in memory, and a store
        that cannot be used is an error.
    columns : tuple of str, optional
        Read only these, ``time`` first.
    """

    def __init__(
        self, ports: Ports, market: str, interval: Interval, source: str, progress: Progress,
        concurrency: int = CONCURRENCY, *, into_store: bool = False, columns: Columns | None = None,
    ) -> None:  # fmt: skip
        self.ports = ports
        self.market = market
        self.interval = interval
        self.source = source
        self.progress = progress
        self.store = CallStore(
            ports.store, write_only=source == "rest" and not into_store, offline=source == "store", required=into_store,
            columns=columns,
        )  # fmt: skip
        self.columns = columns
        self.fetcher = CandleFetcher(ports, self.store, market, interval, source, progress, concurrency)
        self.series = self.fetcher.series
        self._edge_read: Reading | None = None

    # --- reading --------------------------------------------------------------------------------

    def read_edge(self, goal: Goal) -> StoredEdge | None:
        """Look up what is stored at the edge of a range of which only a number of rows is wanted."""
        if goal.kind == "range":
            return None
        moment = goal.span.end if goal.kind == "last" else goal.span.start
        self._edge_read = self._read_at_edge(goal.kind, moment, goal.count)
        return stored_edge(self._edge_read, moment)

    def _read_at_edge(self, kind: str, moment: int, count: int) -> Reading:
        read = self.store.tail_covered if kind == "last" else self.store.head_covered
        return read(self.series, moment, count)

    async def _next_edge(self, kind: str, moment: int, count: int) -> Reading:
        """Read rows at an edge; the first time what :meth:`read_edge` has read already."""
        edge_read, self._edge_read = self._edge_read, None
        if edge_read is not None:
            return edge_read
        reading: Reading = await in_thread(self._read_at_edge, kind, moment, count)
        return reading

    def read_stored(self, plan: CandlePlan) -> tuple[pa.Table, Span] | None:
        """Return what :meth:`execute` would give, if the store has all of it; works in this thread."""
        goal = plan.goal
        if plan.error is not None or any(step.channel != "store" for step in plan.steps) or plan.span.empty:
            return None
        if goal.kind == "last":
            table = self._edge_read.table if self._edge_read else self._nothing()
            if len(table) < goal.count or not len(table):
                return None
            return table, Span(table["time"][0].value, goal.span.end)
        if goal.kind == "first":
            table = self._edge_read.table if self._edge_read else self._nothing()
            return (table, plan.span) if len(table) >= goal.count else None
        table, covered = self.store.read_covered(self.series, plan.span)
        if subtract([plan.span], covered):
            return None
        return table, plan.span

    def _nothing(self) -> pa.Table:
        return arrow_schema("candles", self.columns).empty_table()

    async def execute(self, plan: CandlePlan, covered: Sequence[Span] | None = None) -> tuple[pa.Table, Span]:
        """Get what a plan is about, and the range for which the answer is complete."""
        if plan.error is not None:
            raise plan.error
        goal = plan.goal
        if goal.kind == "last":
            return await self.read_last(goal.span.end, goal.count)
        if goal.kind == "first":
            return await self.read_first(goal.span.start, goal.span.end, goal.count)
        return await self.read_range(plan.span, covered)

    async def read_range(self, span: Span, covered: Sequence[Span] | None = None) -> tuple[pa.Table, Span]:
        """Get every final candle of a range on the grid.

        Returns
        -------
        table, span
            The range may end earlier than the one wanted: where candles are not final yet.
        """
        if span.empty:
            return self._nothing(), span
        for _ in range(VANISHED_TRIES):
            await self.fetcher.ensure(span, covered)
            table, covers = await in_thread(self.store.read_covered, self.series, span)
            end = self._final_end(span.end, covers)
            if not self.fetcher.missing(Span(span.start, end), covers):
                return (table if end == span.end else table.slice(0, rows_before(table, end))), Span(span.start, end)
            covered = None
            self.store.keep_archive()
        raise vanishing_error(self._name)

    async def read_last(self, end: int, count: int) -> tuple[pa.Table, Span]:
        """Get the last ``count`` candles before ``end``; fewer only where history has no more."""
        guard = StallGuard(self._name)
        begin = end
        while True:
            reading = await self._next_edge("last", end, count)
            edge = stored_edge(reading, end)
            low = edge.span.start
            if edge.rows >= count or low <= EPOCH:
                return reading.table, Span(edge.first, end)
            if self._unavailable_before(low):  # the range says what is lost
                return reading.table, Span(min(begin, edge.first), end)
            if guard.stalled(-low):
                self.store.keep_archive()
            begin = extend_back(self.interval, count, edge)
            await self.fetcher.ensure(Span(begin, low), covered=())
            end = self._final_end(end)

    async def read_first(self, start: int, end: int, count: int) -> tuple[pa.Table, Span]:
        """Get the first ``count`` candles of ``[start, end)``."""
        begin, widen, listing_known = start, 1, self.source == "store"
        guard = StallGuard(self._name)
        while True:
            reading = await self._next_edge("first", start, count)
            edge = stored_edge(reading, start)
            if edge.rows >= count or edge.span.end >= end or start >= end:
                table = reading.table.slice(0, min(count, rows_before(reading.table, end)))
                high = self.interval.shift(table["time"][-1].value, 1) if len(table) == count else end
                return table, Span(begin, max(begin, high))
            if not edge.rows and edge.span.end > start and not listing_known:
                # Before the listing there is nothing to page through, so look where it is.
                listing_known = True
                start = max(start, min(await self._locate_listing(edge.span.end, end), end))
                continue
            if guard.stalled(edge.span.end):
                self.store.keep_archive()
            upper = extend_on(self.interval, Goal("first", Span(start, end), count), edge, widen)
            await self.fetcher.ensure(Span(edge.span.end, upper), covered=())
            end = self._final_end(end)
            start = max([start, *(span.end for span in [*self.fetcher.unavailable, *self.fetcher.unproven])])
            widen = 1 if edge.rows else widen * 2

    async def fetch_range(self, span: Span) -> Counted:
        """Fetch what the store lacks of a range, and count what it has of it then."""
        for _ in range(VANISHED_TRIES):
            await self.fetcher.ensure(span)
            counted = await in_thread(self.store.count_covered, self.series, span)
            if not self.fetcher.missing(span, counted.covered):
                return counted
        raise vanishing_error(self._name)

    def _final_end(self, end: int, covered: Sequence[Span] = ()) -> int:
        """Move an end to where candles are not final yet by the clock of the server that sent them."""
        pending = subtract(self.fetcher.pending, covered)
        return min([end, *(span.start for span in pending if span.start < end)])

    def _unavailable_before(self, low: int) -> bool:
        return any(span.start < low <= span.end for span in [*self.fetcher.unavailable, *self.fetcher.unproven])

    @property
    def _name(self) -> str:
        return f"{self.market} {self.interval}"

    async def _locate_listing(self, start: int, end: int) -> int:
        """Find a moment at or shortly before the first candle from ``start`` on, cheaply.

        The months since the listing fit on one page; the days of the first month on another, the
        hours of the first day on a third.
        """
        for name, reach in LISTING_SCANS.items():
            coarse = INTERVALS[name]
            if self.interval.step >= coarse.step:
                continue
            sealed = sealed_until(coarse, self.ports.server_time.now())
            if coarse.floor(start) >= sealed:
                continue
            upper = sealed if reach is None else min(sealed, coarse.ceil(start + reach))
            scan = CandleHistory(self.ports, self.market, coarse, self.source, self.progress)
            table, _ = await scan.read_range(Span(coarse.floor(start), upper))
            begin = table["time"][0].value if len(table) else upper
            start = max(start, min(begin, end))
        return self.interval.ceil(start)

    # --- telling --------------------------------------------------------------------------------

    @property
    def warnings(self) -> list[str]:
        """What the caller should know: files that could not be used, a cache that cannot be used."""
        unusable = self.store.warning()
        return [*self.fetcher.warnings, *([unusable] if unusable else [])]

    def unavailable_text(self, span: Span) -> str | None:
        """Describe the ranges of the span that no source serves; None if there are none."""
        unavailable = intersect([span], self.fetcher.unavailable)
        if not unavailable:
            return None
        more = "" if self.ports.archive is None else "; uf.plan shows whether Upbit's published archive has it"
        return f"{self._name} of {', '.join(map(str, unavailable))} is {self.fetcher.unavailable_reason}{more}"

    def route(self, span: Span, table: pa.Table) -> list[Step]:
        """List who served which part of the span, with the rows each gave."""
        fetched = [Span(step.start, step.end) for step in self.fetcher.fetched]
        unavailable = intersect(subtract([span], fetched), self.fetcher.unavailable)
        stored = subtract([span], [*fetched, *unavailable])
        steps = [Step("store", STORED, *part, market=self.market) for part in stored]
        steps += [Step("none", self.fetcher.unavailable_reason, *part, market=self.market) for part in unavailable]
        # Where the machine's clock was ahead, more was requested than there could be.
        steps += [replace(step, end=max(step.start, min(step.end, span.end))) for step in self.fetcher.fetched]
        return sorted((_with_rows(step, table) for step in steps), key=lambda step: step.start)


def _with_rows(step: Step, table: pa.Table) -> Step:
    return replace(step, rows=rows_before(table, step.end) - rows_before(table, step.start))
