"""Serve candles: from the store, the rest from the exchange, with a route that names the sources.

The router knows every port and no pandas; it returns Arrow tables and metadata. Longer than other modules, because one
class is the path of a call, in the order in which it runs: choose, decide, fetch, fill, append what still changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from upbit_frames.core import gaps
from upbit_frames.core.arrow import joined, slice_time
from upbit_frames.core.availability import sealed_until
from upbit_frames.core.bar_grid import named
from upbit_frames.core.intervals import Span, iso
from upbit_frames.core.query import CandleQuery
from upbit_frames.core.resample import resample
from upbit_frames.core.route import OFFLINE, Step, metadata
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import NotCached, ServerError, StoreError, TransportError
from upbit_frames.router import derive
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.candle_pages import CONCURRENCY
from upbit_frames.router.candle_plan import CandlePlan, forming_span, goal_of, plan_market, plan_sealed
from upbit_frames.router.forming import FormingCandles
from upbit_frames.router.plan import Plan
from upbit_frames.router.ports import MAX_CONCURRENT_MARKETS, LiveSource, Ports, sync_server_time
from upbit_frames.router.result import Result
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.task_group import TaskGroup
from upbit_frames.store.base import Series
from upbit_frames.store.block import SharedBlock

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.router.live_rules import Choice

__all__ = ["CandleDecision", "CandleRouter", "MarketResult"]

WORTH_SHARING = 200_000  # candles of several markets from which one memory for all of them pays
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
        What the store covered at the time of the decision.
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


@dataclass(frozen=True)
class _Chosen:
    """What serves one market: a query for an interval that Upbit has, its history and the decision.

    ``stored`` are the rows and their range where the store has all of them.
    """

    query: CandleQuery
    history: CandleHistory
    decision: CandleDecision
    stored: tuple[pa.Table, Span] | None = None

    @property
    def whole(self) -> bool:
        """Whether the store has all of it."""
        plan = self.decision.plan
        return plan.error is None and all(step.channel == "store" for step in plan.steps)

    @property
    def lacking(self) -> int:
        """How much time the store lacks, in microseconds."""
        return sum(step.end - step.start for step in self.decision.plan.steps if step.channel != "store")


class CandleRouter:
    """Decides which source serves each range of a query.

    Parameters
    ----------
    ports : Ports
    live : LiveSource, optional
        Answers the candle that can still change where it has it; without one REST does.
    """

    def __init__(self, ports: Ports, live: LiveSource | None = None) -> None:
        self.ports = ports
        self.forming = FormingCandles(ports, live)

    async def fetch(self, query: CandleQuery, progress: Progress) -> Result:
        """Candles of one or several markets, as one table sorted by market and time."""
        concurrency = max(1, CONCURRENCY // len(query.markets))
        semaphore = asyncio.Semaphore(MAX_CONCURRENT_MARKETS)

        async def market_result(market: str) -> MarketResult:
            async with semaphore:
                return await self.serve_market(market, query, progress, concurrency)

        async with TaskGroup() as group:
            tasks = [group.create_task(market_result(market)) for market in query.markets]
        return self._combine(query, [task.result() for task in tasks])

    def _combine(self, query: CandleQuery, parts: list[MarketResult], block: SharedBlock | None = None) -> Result:
        table = joined(query.markets, [part.table for part in parts]) if query.many else parts[0].table
        warnings = [text for part in parts for text in part.warnings]
        # What is read from a folder is read for this answer; a store in memory keeps what it gives.
        fresh = self.ports.store.path is not None and query.source != "rest"
        ends = {market: part.span.end for market, part in zip(query.markets, parts, strict=True)}
        return Result(
            table,
            self._meta(query, parts),
            warnings,
            fresh=fresh,
            ends=ends,
            block=None if block is None else block.numbers,
        )

    def _meta(self, query: CandleQuery, parts: list[MarketResult]) -> dict[str, Any]:
        return metadata(
            "candles",
            [step for part in parts for step in part.route],
            market=list(query.markets) if query.many else query.markets[0],
            **named(query.grid),
            span=Span(min(part.span.start for part in parts), max(part.span.end for part in parts)),
            gaps=query.gaps,
            columns=None if query.columns is None else list(query.columns),
            fetched_at=self.ports.server_time.now(),
        )

    # --- one market -----------------------------------------------------------------------------

    async def serve_market(self, market: str, query: CandleQuery, progress: Progress, concurrency: int) -> MarketResult:
        """Plan, fetch and read one market of a query."""
        notes: list[str] = []
        if self.needs_server_time(query):
            try:
                await sync_server_time(self.ports, market, progress)
            except (TransportError, ServerError) as error:
                if query.source == "rest" or (await in_thread(self._choose, query, market)).stored is None:
                    raise
                notes = [f"{CLOCK_UNKNOWN}: {error.message}"]
        part = await self._execute(await in_thread(self._choose, query, market, progress, concurrency))
        part.warnings += notes
        return part

    def needs_server_time(self, query: CandleQuery) -> bool:
        """Return whether the requested range ends at the present, and the server's time is not settled."""
        if self.ports.server_time.settled or query.source in ("store", "live"):
            return False
        now = self.ports.server_time.now()
        return query.end is None or query.grid.ceil(query.end) > sealed_until(query.grid, now)

    def _choose(
        self, query: CandleQuery, market: str, progress: Progress | None = None, concurrency: int = CONCURRENCY
    ) -> _Chosen:
        """Choose the interval that serves a market, decide who serves it, and read what needs nothing but the store.

        Reads the store, so not for the loop.

        Raises
        ------
        NotCached
            With ``source="store"`` and no end, where nothing is stored.
        """
        ports = replace(self.ports, series_locks={}) if query.source == "rest" else self.ports
        choices: list[_Chosen] = []
        errors: list[NotCached] = []
        for candidate in derive.candidates(query):
            history = CandleHistory(
                ports, market, candidate.interval, candidate.source, progress or Progress(), concurrency,
                columns=candidate.read_columns,
            )  # fmt: skip
            try:
                decision = self._decide(candidate, history)
            except NotCached as nothing:
                errors.append(nothing)
                continue
            choice = _Chosen(candidate, history, decision)
            if choice.whole:
                return replace(choice, stored=history.read_stored(decision.plan))
            if query.bars is not None or candidate is query:  # else it would only serve if it were whole
                choices.append(choice)
        if not choices:
            raise errors[0]
        return min(choices, key=lambda choice: choice.lacking) if query.source == "store" else choices[0]

    def _decide(self, query: CandleQuery, history: CandleHistory) -> CandleDecision:
        """Decide who serves the final candles; reads the store, so not for the loop."""
        covered = history.store.covered(history.series)
        context = history.fetcher.plan_context
        goal = derive.source_goal(query, goal_of(query, history.market, covered, context.now))
        edge = history.read_edge(goal)
        plan = plan_market(query, history.market, goal, covered, edge, context, history.fetcher.shared_ranges)
        return CandleDecision(plan, covered)

    def fetch_stored(self, query: CandleQuery) -> Result | None:
        """Result without the loop and other threads, if the store has all of it."""
        if query.source in ("rest", "live") or query.forming or query.gaps != "raw" or self.needs_server_time(query):
            return None
        block = self._shared_block(query)
        parts: list[MarketResult] = []
        for number, market in enumerate(query.markets):
            with contextlib.nullcontext() if block is None else block.part(number):
                part = self.read_stored_market(query, market)
            if part is None:
                return None
            parts.append(part)
        return self._combine(query, parts, block)

    def _shared_block(self, query: CandleQuery) -> SharedBlock | None:
        """Make room for many markets in one memory; None where that is of no use."""
        if len(query.markets) < 2 or query.bars is not None or query.start is None or query.count is not None:
            return None
        now = self.ports.server_time.now()
        span = Span(query.start, now if query.end is None else query.end)
        series = [Series("candles", market, query.interval.name) for market in query.markets]
        if len(series) * query.interval.slots(*span) < WORTH_SHARING:
            return None
        try:
            counts = [self.ports.store.count(stored, span) for stored in series]
        except StoreError:  # reading finds out what is wrong
            return None
        return SharedBlock(counts, query.read_columns)

    def read_stored_market(self, query: CandleQuery, market: str) -> MarketResult | None:
        """Read one market of a query for candles that are final, if the store has all of it."""
        chosen = self._choose(query, market)
        if chosen.stored is None:
            return None
        query, history, (table, span) = chosen.query, chosen.history, chosen.stored
        if query.bars is None:
            return MarketResult(_select(table, query), history.route(span, table), span, history)
        bars, whole = derive.aggregate(query, table, span)
        if query.count is not None:
            if len(bars) < query.count:
                return None
            bars, whole = _at_most(bars, whole, query.count, first=query.start is not None)
        route = derive.derived_steps(query, history.route(whole, table), bars)
        return MarketResult(_select(bars, query), route, whole, history)

    async def _execute(self, chosen: _Chosen) -> MarketResult:
        import pyarrow as pa

        query, history, plan = chosen.query, chosen.history, chosen.decision.plan
        final, span = chosen.stored or await history.execute(plan, chosen.decision.covered)
        source = final  # the candles that final ones are made of
        if query.bars is not None:
            final, source, span = await derive.aggregate_count(query, history, plan.goal, final, span)
        table, read = final, span
        more: list[str] = []
        if query.gaps != "raw":
            table, more = await self._fill_gaps(final, span, query, history)
        forming: Step | None = None
        if query.forming and not (query.start is not None and query.count is not None and len(table) >= query.count):
            table, forming, older = await self._append_forming(table, span, query, history)
            source = source if older is None else pa.concat_tables([source, older[0]])
            read = span if older is None else Span(span.start, older[1].end)
        if query.count is not None and len(table) > query.count:
            table, span = _at_most(table, span, query.count, first=query.start is not None)
        read = Span(span.start, max(span.end, read.end))
        route = history.route(read, slice_time(source, read))
        if forming is not None:
            route.append(replace(forming, rows=len(slice_time(table, forming.span))))
        if query.bars is not None:
            route = derive.derived_steps(query, route, table)
        lost = history.unavailable_text(span)
        warnings = [*history.warnings, *more, *([lost] if lost else [])]
        return MarketResult(_select(table, query), route, span, history, warnings)

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
        return gaps.fill(table, query.grid, span, query.gaps, previous_close=previous), warnings

    async def _append_forming(
        self, table: pa.Table, final: Span, query: CandleQuery, history: CandleHistory
    ) -> tuple[pa.Table, Step | None, tuple[pa.Table, Span] | None]:
        """Add the candles that can still change.

        Returns
        -------
        table, step, older
            What serves them; of bars, the candles that are final already, and their range.
        """
        import pyarrow as pa

        market, older = history.market, None
        span = forming_span(query, final.end, self.ports.server_time.now())
        if span is None:
            return table, None, None
        if query.source == "store":
            return table, Step("none", OFFLINE, *span, market=market), None
        if query.bars is None:
            newest, step = await self.forming.fetch(query.interval, market, span, query.source)
        else:
            older = await history.read_range(derive.final_part(query, span, self.ports.server_time.now()))
            rest = Span(older[1].end, query.grid.ceil(span.end))
            newest, step = await self.forming.fetch(query.interval, market, rest, query.source)
            newest = pa.concat_tables([older[0], newest.select(older[0].column_names)])
            newest = resample(newest, query.interval, query.grid, edges="keep")
        if "filled" in table.column_names:
            newest = newest.append_column("filled", pa.array([False] * len(newest), pa.bool_()))
        return pa.concat_tables([table, newest.select(table.column_names)]), step, older

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
            try:
                chosen = await in_thread(self._choose, query, market)
            except NotCached as error:
                decisions.append(CandleDecision(CandlePlan.nothing(market, error), []))
                continue
            decisions.append(self._with_forming(chosen.query, chosen.decision))
        return decisions

    def _with_forming(self, query: CandleQuery, decision: CandleDecision) -> CandleDecision:
        """Add who would serve the candles that can still change; and say what is derived."""
        plan = decision.plan
        span, market, interval = plan.forming, plan.market, query.interval
        steps, forming, choice = [*plan.steps], None, None
        if span is not None and plan.error is None:
            if query.source == "store":
                forming = Step("none", OFFLINE, *span, market=market)
            elif query.bars is None:
                forming, choice = self.forming.decide(interval, market, span, query.source)
            else:
                final = derive.final_part(query, span, self.ports.server_time.now())
                steps += plan_sealed(
                    market, interval, final, decision.covered, query.source, self.ports.plan_context(query.source)
                )
                rest = Span(final.end, query.grid.ceil(span.end))
                forming, _ = self.forming.decide(interval, market, rest, query.source)
        if query.bars is not None:
            steps = derive.derived_plan_steps(query, steps)
            forming = forming and derive.derived_plan_steps(query, [forming])[0]
        return replace(decision, plan=replace(plan, steps=tuple(steps)), forming=forming, choice=choice)

    async def plan(self, query: CandleQuery) -> Plan:
        """Show what :meth:`fetch` would do."""
        decisions = await self.decide(query)
        steps = tuple(step for decision in decisions for step in decision.steps)
        errors = [decision.plan.error for decision in decisions if decision.plan.error is not None]
        hint = next((decision.plan.hint for decision in decisions if decision.plan.hint), "")
        return Plan(steps, hint, errors[0] if errors else None)


def _select(table: pa.Table, query: CandleQuery) -> pa.Table:
    """Leave the columns that are wanted, in the order wanted."""
    return table if query.columns is None else table.select(["time", *query.columns])


def _at_most(table: pa.Table, span: Span, count: int, *, first: bool) -> tuple[pa.Table, Span]:
    """Leave the first or the last so many rows."""
    if first:
        return table.slice(0, count), span
    table = table.slice(len(table) - count)
    return table, Span(min(span.end, max(span.start, table["time"][0].value)), span.end)
