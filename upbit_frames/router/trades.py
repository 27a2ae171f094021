"""Serve trades: from the stream, the store, the archive or REST, with a route that names the sources."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arrow import joined
from upbit_frames.core.intervals import Span
from upbit_frames.core.query import TradeQuery
from upbit_frames.core.route import UNCACHED, UNSHARED, Step, metadata
from upbit_frames.errors import ConnectionFailed, InvalidRange, NotCached
from upbit_frames.router.live_rules import CAPACITY, Choice
from upbit_frames.router.ports import MAX_CONCURRENT_MARKETS, LiveResult, LiveSource, Ports, sync_server_time
from upbit_frames.router.result import Result
from upbit_frames.router.trade_history import TradeHistory
from upbit_frames.router.trade_plan import not_cached
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.task_group import TaskGroup

if TYPE_CHECKING:
    pass

__all__ = ["TradeDecision", "TradeRouter"]

SEED_TRIES = 5  # to join rows of REST to those of the stream
REST_LAG = 0.3  # seconds after which REST has a trade that the stream has sent


def _joined(markets: Sequence[str], results: Sequence[Result]) -> Result:
    """Join the results of several markets; the metadata spans all of them."""
    metas = [result.meta for result in results]
    meta = metas[0] | {
        "market": list(markets),
        "start": min(meta["start"] for meta in metas),
        "end": max(meta["end"] for meta in metas),
        "route": [step for meta in metas for step in meta["route"]],
    }
    ages = [meta["age_ms"] for meta in metas if "age_ms" in meta]
    meta.pop("age_ms", None)
    table = joined(markets, [result.table for result in results])
    warnings = [text for result in results for text in result.warnings]
    return Result(table, meta | ({"age_ms": max(ages)} if ages else {}), warnings)


@dataclass(frozen=True)
class TradeDecision:
    """Who serves a question about trades, and why.

    Attributes
    ----------
    steps : tuple of Step
        Of a range, or of a number of trades before or after a moment.
    choice : Choice or None
        Of the newest trades: why the stream or REST.
    error : NotCached or None
        What the call would raise.
    """

    steps: tuple[Step, ...]
    choice: Choice | None = None
    error: NotCached | None = None


class TradeRouter:
    """Decides who answers about trades.

    Parameters
    ----------
    ports : Ports
    live : LiveSource, optional
        Answers the newest trades where it has them.
    """

    def __init__(self, ports: Ports, live: LiveSource | None = None) -> None:
        self.ports = ports
        self.live = live

    async def fetch(self, query: TradeQuery, progress: Progress) -> Result:
        """Trades of one or several markets, sorted by market and time."""
        room = asyncio.Semaphore(MAX_CONCURRENT_MARKETS)

        async def fetch_market(market: str) -> Result:
            async with room:
                return await self._trades(replace(query, markets=(market,)), progress)

        async with TaskGroup() as group:
            tasks = [group.create_task(fetch_market(market)) for market in query.markets]
        results = [task.result() for task in tasks]
        if query.columns is not None:
            for result in results:
                result.table = result.table.select(["time", *query.columns])
                result.meta["columns"] = list(query.columns)
        return _joined(query.markets, results) if query.many else results[0]

    async def _trades(self, query: TradeQuery, progress: Progress) -> Result:
        newest = query.start is None and query.end is None
        if query.source == "live":
            return await self._fetch_live(query, progress, newest)
        if self.live is None or not newest or query.source not in ("auto", "rest"):
            return await self._fetch_history(query, progress, "")
        count = query.count or 0
        live_rows = await self.live.trades(query.market, count, query.source)
        if live_rows.table is not None:
            return self._live_result(query, live_rows)
        answer = await self._fetch_history(replace(query, columns=None), progress, live_rows.choice.text)
        self.live.seed(query.market, answer.table, count)
        return answer

    async def _fetch_live(self, query: TradeQuery, progress: Progress, newest: bool) -> Result:
        """Serve the newest trades of the stream; REST only gives those from before it began."""
        count = query.count or 0
        live = self._require_live(query, newest)
        before = progress.requests
        for attempt in range(SEED_TRIES):
            live_rows = await live.trades(query.market, count, "live")
            if live_rows.table is not None:
                live_rows.requests = progress.requests - before
                return self._live_result(query, live_rows)
            await self.ports.clock.sleep(REST_LAG * attempt)
            answer = await self._fetch_history(replace(query, source="rest", columns=None), progress, "")
            live.seed(query.market, answer.table, count)
        raise ConnectionFailed(
            f"REST does not have the trade of {query.market} with which the stream began",
            suggestion="leave out source='live', then REST answers",
            market=query.market,
        )

    def _require_live(self, query: TradeQuery, newest: bool) -> LiveSource:
        if self.live is None or not newest or (query.count or 0) > CAPACITY["trade"]:
            raise InvalidRange(
                f"a stream holds the newest {CAPACITY['trade']} trades and no history",
                suggestion=f"leave out start and end, count at most {CAPACITY['trade']}, or leave out source='live'",
                market=query.market,
            )
        return self.live

    def _live_result(self, query: TradeQuery, live_rows: LiveResult) -> Result:
        assert live_rows.table is not None
        table, now = live_rows.table, self.ports.server_time.now()
        times = table["time"].cast("int64")
        start, end = (times[0].as_py(), times[-1].as_py() + 1) if len(table) else (now, now)
        reason, rows = live_rows.choice.text, len(table)
        step = Step("live", reason, start, end, rows=rows, requests=live_rows.requests, market=query.market)
        return Result(table, self._meta(query, Span(start, end), [step]) | {"age_ms": round(live_rows.age, 3)})

    async def _fetch_history(self, query: TradeQuery, progress: Progress, why: str) -> Result:
        """From the store, the archive and REST; ``why`` is why not from the stream."""
        ports = replace(self.ports, series_locks={}) if query.source == "rest" else self.ports
        if query.source != "store" and (query.end is None or query.end > self.ports.server_time.now()):
            await sync_server_time(self.ports, query.market, progress)
        history = TradeHistory(ports, query.market, query.source, progress, columns=query.read_columns)
        table, span = await history.execute(await in_thread(history.goal, query))
        lost = history.unavailable_text(span)
        route = history.route(span, table)
        if why:
            route = [
                replace(step, reason=f"{step.reason}; {why}") if step.channel == "rest" else step for step in route
            ]
        meta = self._meta(query, span, route)
        return Result(table, meta, [*history.warnings, *([lost] if lost else [])])

    def _meta(self, query: TradeQuery, span: Span, route: list[Step]) -> dict[str, Any]:
        return metadata("trades", route, market=query.market, span=span, fetched_at=self.ports.server_time.now())

    # --- plan -------------------------------------------------------------------------------------

    async def decide(self, query: TradeQuery) -> TradeDecision:
        """Decide who would serve a question now; nothing is fetched and nothing changes.

        Raises
        ------
        InvalidRange, QueryError
            Where :meth:`fetch` would raise it.
        """
        newest = query.start is None and query.end is None
        if query.source == "live":
            self._require_live(query, newest)
        if self.live is not None and newest and query.source in ("auto", "rest", "live"):
            return TradeDecision((), self.live.decide_trades(query.market, query.count or 0, query.source))
        history = TradeHistory(self.ports, query.market, query.source, Progress())
        try:
            _, steps = await in_thread(history.decide, query)
        except NotCached as error:
            return TradeDecision((), error=error)
        lacking = [Span(step.start, step.end) for step in steps if step.reason in (UNCACHED, UNSHARED)]
        if not lacking:
            return TradeDecision(tuple(steps))
        return TradeDecision(tuple(steps), error=not_cached(query.market, lacking, shared=query.source == "shared"))
