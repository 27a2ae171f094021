"""The trades of one market: what the store lacks is fetched, then the store answers.

Upbit serves the last seven UTC days (upbit-api 3.3). A range that has ended by the exchange's
clock is stored and outlives them; the newest seconds, into which trades may still come, are
fetched every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from upbit_frames.archive.importer import Archive
from upbit_frames.core.arrow import slice_time
from upbit_frames.core.availability import SEAL_GRACE, quiet_from
from upbit_frames.core.endpoints import TRADES_MAX_COUNT
from upbit_frames.core.intervals import INTERVALS, Span, intersect, merge, subtract
from upbit_frames.core.query import TradeQuery
from upbit_frames.core.route import FORCED, MISSING, NOWHERE, STORED, Step
from upbit_frames.router.call_store import VANISHED_TRIES, CallStore, vanishing_error
from upbit_frames.router.history_start import nothing_older, pause
from upbit_frames.router.plan import StoredEdge
from upbit_frames.router.ports import Ports, fill_from_archive, fill_from_shared, stored_edge, sync_server_time
from upbit_frames.router.single_flight import single_flight
from upbit_frames.router.trade_pages import DAY, TradeRequest, backfill_trades
from upbit_frames.router.trade_plan import (
    EXPIRED,
    FIRST_REACH,
    TradeGoal,
    goal_of,
    not_cached,
    plan_trades,
)
from upbit_frames.router.trade_requests import Trade, TradeRequests, trades_table, utc_day
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Columns, Series
from upbit_frames.store.results import Counted
from upbit_frames.store.validation import choose

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TradeHistory", "unavailable_text"]


class TradeHistory:
    """The trades of one market.

    Parameters
    ----------
    ports : Ports
    market : str
    source : {"auto", "store", "rest", "archive", "shared"}
    progress : Progress
    into_store : bool
        Whether the purpose is to have the trades stored: then nothing is kept in memory, and a store
        that cannot be used is an error.
    columns : tuple of str, optional
        Read only these, ``time`` first and ``sequential_id`` among them.
    """

    def __init__(
        self, ports: Ports, market: str, source: str, progress: Progress, *, into_store: bool = False,
        columns: Columns | None = None,
    ) -> None:  # fmt: skip
        self.ports = ports
        self.store = CallStore(
            ports.store, write_only=source == "rest" and not into_store, offline=source == "store", required=into_store,
            columns=columns,
        )  # fmt: skip
        self.columns = columns
        self.market = market
        self.source = source
        self.progress = progress
        self.series = Series("trades", market)
        self.requests = TradeRequests(ports, market, progress)
        self.recent: list[Trade] = []  # newer than what may be stored
        self.recent_span = Span(0, 0)
        self.fetched: list[Step] = []
        self.unavailable: list[Span] = []
        self.unavailable_reason = EXPIRED
        self.unproven: list[Span] = []  # empty by the exchange's word, which no other sign confirms
        self._warnings: list[str] = []

    # --- reading --------------------------------------------------------------------------------

    def decide(self, query: TradeQuery) -> tuple[TradeGoal, list[Step]]:
        """Decide what is wanted and who serves it; reads the store, so not for the loop."""
        covered = self.store.covered(self.series)
        plan_context = self.ports.plan_context(self.source)
        goal = goal_of(query, covered, plan_context.now)
        if goal.kind == "last":
            edge = stored_edge(self.store.tail_covered(self.series, goal.span.end, goal.count), goal.span.end)
        elif goal.kind == "first":
            edge = stored_edge(self.store.head_covered(self.series, goal.span.start, goal.count), goal.span.start)
        else:
            edge = StoredEdge(0, goal.span, goal.span.start, goal.span.end)
        span = goal.looked_at(edge)
        shared = self.ports.shared_ranges(self.series, self.source) if self._missing(span, covered) else []
        return goal, plan_trades(self.market, span, covered, self.source, plan_context, shared)

    def goal(self, query: TradeQuery) -> TradeGoal:
        """Decide what is wanted; reads the store, so not for the loop."""
        return goal_of(query, self.store.covered(self.series), self.ports.server_time.now())

    async def execute(self, goal: TradeGoal) -> tuple[pa.Table, Span]:
        """Get what is wanted, and the range that was looked through."""
        if goal.kind == "last":
            return await self.read_last(goal.span.end, goal.count)
        if goal.kind == "first":
            return await self.read_first(goal.span.start, goal.span.end, goal.count)
        return await self.read_range(goal.span), goal.span

    async def read_range(self, span: Span) -> pa.Table:
        """Get every trade of ``[start, end)`` that any source serves, ascending."""
        import pyarrow as pa

        for _ in range(VANISHED_TRIES):
            await self.ensure(span)
            stored, covered = await in_thread(self.store.read_covered, self.series, span)
            if self._missing(span, covered):
                self.store.keep_archive()  # it vanished since it was ensured
                continue
            if self.recent_span.empty:
                return stored
            # What another process has stored meanwhile must not come twice.
            new = subtract(intersect([self.recent_span], [span]), covered)
            rows = [row for row in self.recent if any(part.start <= row.time < part.end for part in new)]
            recent = trades_table(rows)
            if not len(recent):
                return stored
            table = pa.concat_tables([stored, choose(recent, self.columns)])
            return table if not len(stored) else table.sort_by([("time", "ascending"), ("sequential_id", "ascending")])
        raise vanishing_error(f"the trades of {self.market}")

    async def fetch_range(self, span: Span) -> Counted:
        """Fetch what the store lacks of a range, and count what it has of it then."""
        for _ in range(VANISHED_TRIES):
            await self.ensure(span)
            counted = await in_thread(self.store.count_covered, self.series, span)
            if not self._missing(span, counted.covered):
                return counted
        raise vanishing_error(f"the trades of {self.market}")

    async def read_last(self, end: int, count: int) -> tuple[pa.Table, Span]:
        """Get the last ``count`` trades before ``end``, and the range that was looked through."""
        goal = TradeGoal("last", Span(0, end), count)
        stored = await in_thread(self.store.tail_covered, self.series, end, count)
        low = goal.looked_at(stored_edge(stored, end)).start
        if len(stored.table) >= count:
            return stored.table, Span(low, end)
        reach = await self._fetch_newest(end, count)
        if stored.covered:
            reach = max(reach, end - low)
        while True:
            low = max(0, end - reach)
            table = await self.read_range(Span(low, end))
            if len(table) >= count or self._unavailable_before(low) or low == 0:
                table = table.slice(max(0, len(table) - count))
                start = table["time"][0].value if len(table) >= count else low
                return table, Span(start, end)
            # Estimate how much further to look from the density seen so far, with a margin.
            reach = min(reach * 16, max(2 * reach, int(1.3 * reach * count / max(len(table), 1))))

    async def _fetch_newest(self, end: int, count: int) -> int:
        """Return how far back to look first: one page has the newest trades of any market, and is kept."""
        size = TRADES_MAX_COUNT
        now = self.ports.server_time.now()
        if self.source not in ("auto", "rest") or end < now - SEAL_GRACE or count >= size:
            return FIRST_REACH
        looked_at = Span(end - FIRST_REACH, end)
        # Only for the calls of this process: what is newest is not stored, so others cannot find it there.
        async with self.ports.series_lock(self.series):
            covered = await in_thread(self.store.covered, self.series)
            if not self._missing(looked_at, covered):
                return FIRST_REACH
            newest = await self.requests.page(TradeRequest(utc_day(now), None, None))
            rows = [row for row in newest if row.time < end]
            # Of the oldest millisecond there may be more.
            span = Span(min(rows[0].time + 1000, end) if rows else end, end)
            if span.empty:
                return FIRST_REACH
            await self._keep(span, [row for row in rows if row.time >= span.start])
            reason = FORCED if self.source == "rest" else MISSING
            self.fetched.append(Step("rest", reason, *span, requests=1, market=self.market))
            return span.end - span.start

    async def read_first(self, start: int, end: int, count: int) -> tuple[pa.Table, Span]:
        """Get the first ``count`` trades of ``[start, end)``, and the range that was looked through."""
        goal = TradeGoal("first", Span(start, end), count)
        stored = await in_thread(self.store.head_covered, self.series, start, count)
        looked_at = goal.looked_at(stored_edge(stored, start))
        if len(stored.table) >= count and looked_at.end <= end:
            return stored.table, looked_at
        reach = looked_at.end - start
        while True:
            high = min(end, start + reach)
            table = await self.read_range(Span(start, high))
            if len(table) >= count or high >= end:
                return table.slice(0, count), Span(start, high)
            reach = min(reach * 16, max(2 * reach, int(1.3 * reach * count / max(len(table), 1))))

    def _unavailable_before(self, low: int) -> bool:
        return any(span.start <= low < span.end for span in self.unavailable)

    # --- fetching -------------------------------------------------------------------------------

    async def ensure(self, span: Span) -> None:
        """Fetch the trades of a range into the store, or into ``recent``, as far as any source serves them."""
        missing = self._missing(span, await in_thread(self.store.covered, self.series))
        if not missing:
            return
        if self.source == "store":
            raise not_cached(self.market, missing)
        async with single_flight(self.ports, self.store, self.series, partial(self._lacking, span)):
            await self._execute(span)

    def _lacking(self, span: Span) -> bool:
        return bool(self._missing(span, self.store.covered(self.series)))

    async def _execute(self, span: Span) -> None:
        """Execute the steps that the plan has for what is missing of a range now."""
        covered = await self._copy_shared(span, await in_thread(self.store.covered, self.series))
        lacking = self._missing(span, covered)
        if self.source == "shared" and lacking:
            raise not_cached(self.market, lacking, shared=True)
        if not lacking:
            return
        plan_context = self.ports.plan_context(self.source)
        if self.source != "archive":  # which day is today decides how each day is named
            await sync_server_time(self.ports, self.market, self.progress)
            plan_context = self.ports.plan_context(self.source)
        known = [*covered, *self.unavailable, *self.unproven, self.recent_span]
        steps = [
            step for step in plan_trades(self.market, span, known, self.source, plan_context) if step.channel != "store"
        ]
        archive = self.ports.archive_for(self.source)
        if archive is not None and steps:
            missing = await self._fetch_files(merge(step.span for step in steps), archive)
        else:
            self.unavailable = merge([*self.unavailable, *(step.span for step in steps if step.channel == "none")])
            missing = [step.span for step in steps if step.channel == "rest"]
        if missing:
            await self._fetch(missing)

    async def _copy_shared(self, span: Span, covered: list[Span]) -> list[Span]:
        """Copy what the shared store has of a range into the store; return what the store covers then."""
        missing = self._missing(span, covered)
        copied = await fill_from_shared(self.ports, self.store, self.series, missing, self.source, self.progress)
        self.fetched += copied.steps(self.market)
        self._warnings += copied.warnings
        return merge([*covered, *copied.parts])

    async def _fetch_files(self, missing: list[Span], archive: Archive) -> list[Span]:
        """Take from the archive what it has; what is left for REST."""
        filled = await fill_from_archive(
            archive, self.ports, self.store, self.series, missing, self.progress,
            rest_from=None if self.source == "archive" else 0,
        )  # fmt: skip
        self.fetched += filled.steps
        self._warnings += filled.warnings
        if filled.lost:
            self.unavailable = merge([*self.unavailable, *filled.lost])
            self.unavailable_reason = NOWHERE
        return filled.rest

    def _missing(self, span: Span, covered: Sequence[Span]) -> list[Span]:
        return subtract([span], [*covered, *self.unavailable, *self.unproven, self.recent_span])

    async def _fetch(self, missing: list[Span]) -> None:
        sent = [0] * len(missing)

        async def fetch(request: TradeRequest) -> list[Trade]:
            around = next(
                (i for i, span in enumerate(missing) if span.start < request.day + DAY and span.end > request.day), 0
            )
            sent[around] += 1
            return await self.requests.page(request)

        try:
            await backfill_trades(
                missing, fetch, self._keep, page_size=TRADES_MAX_COUNT, concurrency=self.ports.concurrency,
                confirm_empty=self._confirm_empty, unproven=self.unproven.append,
                pause=lambda attempt: pause(self.ports, attempt),
            )  # fmt: skip
        finally:
            reason = FORCED if self.source == "rest" else MISSING
            self.fetched += [
                Step("rest", reason, *span, requests=n, market=self.market)
                for span, n in zip(missing, sent, strict=True)
            ]

    async def _confirm_empty(self, span: Span) -> Span | None:
        """Which part of a span without trades has none by its minute candles too; None if they say otherwise."""
        minute = INTERVALS["1m"]
        end = minute.floor(span.end)
        if end <= span.start:
            return Span(span.start, span.start)
        table = (await self.ports.api.candles(self.market, minute, to=end, count=1)).table
        self.progress.requests += 1
        if len(table):
            newest = table["time"][-1].value
            return None if newest >= span.start else Span(max(span.start, quiet_from(newest)), end)
        if await nothing_older(self.ports, self.store, Series("candles", self.market, "1m"), end, False, self.progress):
            return Span(span.start, end)
        return None

    async def _keep(self, span: Span, rows: list[Trade]) -> None:
        final = Span(span.start, min(span.end, self.ports.server_time.now() - SEAL_GRACE))
        if not final.empty:
            table = trades_table([row for row in rows if row.time < final.end])
            await in_thread(self.store.write, self.series, table, final)
        left = Span(max(span.start, final.end), span.end)
        if not left.empty:
            self.recent = [row for row in rows if row.time >= left.start] + self.recent
            joined = merge([left, self.recent_span])
            self.recent_span = joined[-1]

    # --- telling --------------------------------------------------------------------------------

    @property
    def warnings(self) -> list[str]:
        """What the caller should know: files that could not be used, a cache that cannot be used."""
        unusable = self.store.warning()
        return [*self._warnings, *([unusable] if unusable else [])]

    def route(self, span: Span, table: pa.Table) -> list[Step]:
        """Who answered which part of the span, with the rows each gave."""
        fetched = [Span(step.start, step.end) for step in self.fetched]
        unavailable = intersect(subtract([span], fetched), self.unavailable)
        steps = [
            Step("store", STORED, *part, market=self.market) for part in subtract([span], [*fetched, *unavailable])
        ]
        steps += [Step("none", self.unavailable_reason, *part, market=self.market) for part in unavailable]
        steps += self.fetched
        counted = [
            replace(step, rows=len(slice_time(table, part)))
            for step in steps
            for part in intersect([step.span], [span])
        ]
        return sorted(counted, key=lambda step: step.start)

    def unavailable_text(self, span: Span) -> str | None:
        """Describe the ranges of the span that no source serves; None if there are none."""
        unavailable = intersect([span], self.unavailable)
        if not unavailable:
            return None
        return unavailable_text(self.market, unavailable, self.unavailable_reason)


def unavailable_text(market: str, unavailable: Sequence[Span], reason: str) -> str:
    """Say which trades no source has."""
    return f"{market} trades of {', '.join(map(str, unavailable))} are {reason}, and the store does not have them"
