"""Answers questions about candles: store first, the exchange for the rest, and says who answered.

The router knows every port and no pandas; what it gives is Arrow and plain facts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from upbit_frames.core import gaps
from upbit_frames.core.arrow import joined, slice_time
from upbit_frames.core.availability import sealed_until
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT
from upbit_frames.core.intervals import Span, iso
from upbit_frames.core.query import CandleQuery
from upbit_frames.core.route import FORMING, OFFLINE, Step, metadata, rest_step
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import NotCached, ServerError, TransportError
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.candle_pages import CONCURRENCY
from upbit_frames.router.candle_plan import CandlePlan, forming_span, goal_of, plan_market
from upbit_frames.router.plan import Plan
from upbit_frames.router.ports import MAX_CONCURRENT_MARKETS, LiveSource, Ports, sync_server_time
from upbit_frames.router.result import Result
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.task_group import TaskGroup

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.router.live_rules import Choice

__all__ = ["CandleDecision", "CandleRouter", "MarketResult"]

CLOCK_UNKNOWN = "the store answered, up to what this machine's clock takes for now, because the exchange did not"


@dataclass
class MarketResult:
    """The answer for one market.

    Attributes
    ----------
    table : pyarrow.Table
    route : list of Step
    span : Span
        For which it is complete, but for what no source has.
    history : CandleHistory
        Which read it.
    warnings : list of str
    """

    table: pa.Table
    route: list[Step]
    span: Span
    history: CandleHistory
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CandleDecision:
    """Who serves a question about one market, and why.

    Attributes
    ----------
    plan : CandlePlan
        Of the candles that are final.
    covered : list of Span
        What the store covered when it was made.
    forming : Step or None
        Of the candles that can still change, if they are wanted.
    choice : Choice or None
        Why REST or the stream serves those, where the stream could.
    """

    plan: CandlePlan
    covered: list[Span]
    forming: Step | None = None
    choice: Choice | None = None

    @property
    def steps(self) -> list[Step]:
        """All of them, ascending."""
        return [*self.plan.steps, *([self.forming] if self.forming is not None else [])]


class CandleRouter:
    """Decides for each stretch of a question who answers it.

    Parameters
    ----------
    ports : Ports
    live : LiveSource, optional
        Answers the candle that can still change where it has it; without one REST does.
    """

    def __init__(self, ports: Ports, live: LiveSource | None = None) -> None:
        self.ports = ports
        self.live = live

    async def fetch(self, query: CandleQuery, progress: Progress) -> Result:
        """Candles of one or several markets, as one table sorted by market and time."""
        concurrency = max(1, CONCURRENCY // len(query.markets))
        semaphore = asyncio.Semaphore(MAX_CONCURRENT_MARKETS)

        async def one(market: str) -> MarketResult:
            async with semaphore:
                return await self.serve_market(market, query, progress, concurrency)

        async with TaskGroup() as group:
            tasks = [group.create_task(one(market)) for market in query.markets]
        return self._combine(query, [task.result() for task in tasks])

    def _combine(self, query: CandleQuery, parts: list[MarketResult]) -> Result:
        table = joined(query.markets, [part.table for part in parts]) if query.many else parts[0].table
        told = [text for part in parts for text in part.warnings]
        # What is read from a folder is read for this answer; a store in memory keeps what it gives.
        fresh = self.ports.store.path is not None and query.source != "rest"
        ends = {market: part.span.end for market, part in zip(query.markets, parts, strict=True)}
        return Result(table, self._meta(query, parts), told, fresh=fresh, ends=ends)

    def _meta(self, query: CandleQuery, parts: list[MarketResult]) -> dict[str, Any]:
        return metadata(
            "candles",
            [step for part in parts for step in part.route],
            market=list(query.markets) if query.many else query.markets[0],
            interval=query.interval.name,
            span=Span(min(part.span.start for part in parts), max(part.span.end for part in parts)),
            gaps=query.gaps,
            columns=None if query.columns is None else list(query.columns),
            fetched_at=self.ports.server_time.now(),
        )

    # --- one market -----------------------------------------------------------------------------

    async def serve_market(self, market: str, query: CandleQuery, progress: Progress, concurrency: int) -> MarketResult:
        """Plan, fetch and read one market of a query."""
        ports = replace(self.ports, series_locks={}) if query.source == "rest" else self.ports
        history = CandleHistory(
            ports, market, query.interval, query.source, progress, concurrency, columns=query.read_columns
        )
        notes: list[str] = []
        if self.needs_server_time(query):
            try:
                await sync_server_time(self.ports, market, progress)
            except (TransportError, ServerError) as error:
                if query.source == "rest" or (await in_thread(self._decide_and_read, query, history))[1] is None:
                    raise
                notes = [f"{CLOCK_UNKNOWN}: {error.message}"]
        part = await self._execute(query, history)
        part.warnings += notes
        return part

    def needs_server_time(self, query: CandleQuery) -> bool:
        """Return whether what is asked for ends at the present, and that is not settled."""
        if self.ports.server_time.settled or query.source in ("store", "live"):
            return False
        now = self.ports.server_time.now()
        return query.end is None or query.interval.ceil(query.end) > sealed_until(query.interval, now)

    def _decide(self, query: CandleQuery, history: CandleHistory) -> CandleDecision:
        """Decide who serves the final candles; reads the store, so not for the loop."""
        covered = history.store.covered(history.series)
        context = history.fetcher.plan_context
        goal = goal_of(query, history.market, covered, context.now)
        plan = plan_market(query, history.market, goal, covered, history.read_edge(goal), context)
        return CandleDecision(plan, covered)

    def _decide_and_read(
        self, query: CandleQuery, history: CandleHistory
    ) -> tuple[CandleDecision, tuple[pa.Table, Span] | None]:
        """Decide, and read at once what needs nothing but the store."""
        decision = self._decide(query, history)
        return decision, history.read_stored(decision.plan)

    def fetch_stored(self, query: CandleQuery) -> Result | None:
        """Result without the loop and other threads, if the store has all of it."""
        if query.source in ("rest", "live") or query.forming or query.gaps != "raw" or self.needs_server_time(query):
            return None
        parts: list[MarketResult] = []
        for market in query.markets:
            part = self.read_stored_market(query, market)
            if part is None:
                return None
            parts.append(part)
        return self._combine(query, parts)

    def read_stored_market(self, query: CandleQuery, market: str) -> MarketResult | None:
        """Read one market of a query for candles that are final, if the store has all of it."""
        history = CandleHistory(
            self.ports, market, query.interval, query.source, Progress(), columns=query.read_columns
        )
        _, found = self._decide_and_read(query, history)
        if found is None:
            return None
        return MarketResult(_chosen(found[0], query), history.route(found[1], found[0]), found[1], history)

    async def _execute(self, query: CandleQuery, history: CandleHistory) -> MarketResult:
        decision, found = await in_thread(self._decide_and_read, query, history)
        final, span = found or await history.execute(decision.plan, decision.covered)
        table = final
        more: list[str] = []
        if query.gaps != "raw":
            table, more = await self._fill_gaps(final, span, query, history)
        forming: Step | None = None
        if query.forming and not (query.start is not None and query.count is not None and len(table) >= query.count):
            table, forming = await self._append_forming(table, span, query, history.market)
        if query.count is not None and len(table) > query.count:
            table, span = _at_most(table, span, query.count, first=query.start is not None)
        route = history.route(span, slice_time(final, span))
        if forming is not None:
            route.append(replace(forming, rows=len(slice_time(table, Span(forming.start, forming.end)))))
        lost = history.unavailable_text(span)
        warnings = [*history.warnings, *more, *([lost] if lost else [])]
        return MarketResult(_chosen(table, query), route, span, history, warnings)

    # --- gaps and the forming candle -------------------------------------------------------------

    async def _fill_gaps(
        self, table: pa.Table, span: Span, query: CandleQuery, history: CandleHistory
    ) -> tuple[pa.Table, list[str]]:
        """Put what is wanted in place of periods without a trade; with warnings."""
        previous: float | None = None
        warnings: list[str] = []
        first = table["time"][0].value if len(table) else None
        if query.gaps == "fill" and first != span.start and not span.empty:
            try:
                before, _ = await history.read_last(span.start, 1)
            except NotCached:
                before = arrow_schema("candles").empty_table()
                warnings.append(
                    f"{history.market} {history.interval}: the close before {iso(span.start)} is not in the "
                    "store, so periods before the first candle are left out"
                )
            previous = before["close"][-1].as_py() if len(before) else None
        return gaps.fill(table, query.interval, span, query.gaps, previous_close=previous), warnings

    async def _append_forming(
        self, table: pa.Table, final: Span, query: CandleQuery, market: str
    ) -> tuple[pa.Table, Step | None]:
        """Add the candles that can still change; they come fresh from the exchange every time."""
        import pyarrow as pa

        span = forming_span(query, final.end, self.ports.server_time.now())
        if span is None:
            return table, None
        if query.source == "store":
            return table, Step("none", OFFLINE, *span, market=market)
        newest, step = await self._fetch_forming(query, market, span)
        if "filled" in table.column_names:
            newest = newest.append_column("filled", pa.array([False] * len(newest), pa.bool_()))
        return pa.concat_tables([table, newest.select(table.column_names)]), step

    async def _fetch_forming(self, query: CandleQuery, market: str, span: Span) -> tuple[pa.Table, Step]:
        """Candles that can still change, from the stream if it has them."""
        reason = FORMING
        if self.live is not None and query.interval.stream is not None:
            found = await self.live.candles(query.interval, market, span, query.source)
            if found.table is not None:
                newest, requests = slice_time(found.table, span), 0
                if not found.complete:  # it began within the grace of the period before, which it was never told
                    newest, requests = await self._prepend_rest(query, market, span, newest), 1
                step = Step("live", found.choice.text, *span, rows=len(newest), requests=requests, market=market)
                return newest, step
            reason = f"{FORMING}; {found.choice.text}"
        newest = await self._fetch_forming_page(query, market, span)
        return newest, Step("rest", reason, *span, rows=len(newest), requests=1, market=market)

    async def _fetch_forming_page(self, query: CandleQuery, market: str, span: Span) -> pa.Table:
        count = min(CANDLES_MAX_COUNT, query.interval.slots(*span) + 1)
        page = await self.ports.api.candles(market, query.interval, count=count)
        return slice_time(page.table, span)

    async def _prepend_rest(self, query: CandleQuery, market: str, span: Span, newest: pa.Table) -> pa.Table:
        """What the stream told, after what REST tells of the time before."""
        import pyarrow as pa

        began = newest["time"][0].value if len(newest) else span.end
        return pa.concat_tables([await self._fetch_forming_page(query, market, Span(span.start, began)), newest])

    # --- plan -------------------------------------------------------------------------------------

    async def decide(self, query: CandleQuery) -> list[CandleDecision]:
        """Decide what :meth:`fetch` would do now; nothing is fetched and nothing changes.

        Raises
        ------
        InvalidRange, QueryError
            Where :meth:`fetch` would raise it.
        """
        decisions = []
        for market in query.markets:
            history = CandleHistory(self.ports, market, query.interval, query.source, Progress())
            try:
                decision = await in_thread(self._decide, query, history)
            except NotCached as error:
                decision = CandleDecision(CandlePlan.nothing(market, error), [])
            decisions.append(self._with_choice(query, decision))
        return decisions

    def _with_choice(self, query: CandleQuery, decision: CandleDecision) -> CandleDecision:
        """Add who would serve the candles that can still change."""
        span, market, interval = decision.plan.forming, decision.plan.market, query.interval
        if span is None or decision.plan.error is not None:
            return decision
        if query.source == "store":
            return replace(decision, forming=Step("none", OFFLINE, *span, market=market))
        reason, choice = FORMING, None
        if self.live is not None and interval.stream is not None:
            choice = self.live.decide_candles(interval, market, span, query.source)
            if choice.channel == "live":
                rows = interval.slots(*span)
                return replace(decision, choice=choice, forming=Step("live", choice.text, *span, rows, market=market))
            reason = f"{FORMING}; {choice.text}"
        step = rest_step(market, interval, span, reason, self.ports.rate)
        return replace(decision, choice=choice, forming=step)

    async def plan(self, query: CandleQuery) -> Plan:
        """Show what :meth:`fetch` would do."""
        decisions = await self.decide(query)
        steps = tuple(step for decision in decisions for step in decision.steps)
        errors = [decision.plan.error for decision in decisions if decision.plan.error is not None]
        hint = next((decision.plan.hint for decision in decisions if decision.plan.hint), "")
        return Plan(steps, hint, errors[0] if errors else None)


def _chosen(table: pa.Table, query: CandleQuery) -> pa.Table:
    """Leave the columns that are wanted, in the order wanted."""
    return table if query.columns is None else table.select(["time", *query.columns])


def _at_most(table: pa.Table, span: Span, count: int, *, first: bool) -> tuple[pa.Table, Span]:
    """Leave the first or the last so many rows."""
    if first:
        return table.slice(0, count), span
    table = table.slice(len(table) - count)
    return table, Span(min(span.end, max(span.start, table["time"][0].value)), span.end)
