"""Answers questions about candles: store first, the exchange for the rest, and says who answered.

The router knows every port and no pandas; what it gives is Arrow and plain facts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from upbit_frames.archive.catalog import Published, saving_hint, to_steps
from upbit_frames.archive.plan import plan_candle_files
from upbit_frames.core import gaps
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, candles_endpoint
from upbit_frames.core.intervals import Interval, Span, subtract
from upbit_frames.core.query import CandleQuery
from upbit_frames.core.schema import SCHEMA_VERSION, arrow_schema
from upbit_frames.errors import CorruptFile, InvalidRange, NotCached
from upbit_frames.exchange import wire as normalize
from upbit_frames.live.channel import LiveChannel
from upbit_frames.router.candle_history import History
from upbit_frames.router.candle_pages import WALKS
from upbit_frames.router.plan import (
    FORCED,
    FORMING,
    MISSING,
    OFFLINE,
    Plan,
    Step,
    iso,
    plan_candles,
    rest_horizon,
    sealed_until,
)
from upbit_frames.router.ports import Answer, Fresh, Meter, Ports, cut, in_thread
from upbit_frames.runtime.task_group import TaskGroup

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Answer", "Router"]

CLOCK_TRUSTED = 2_000_000  # microseconds by which the first guess at now may be off
MARKETS_AT_ONCE = 8  # series of one call that are worked on side by side


@dataclass
class _Part:
    """The answer for one market."""

    table: pa.Table
    route: list[Step]
    span: Span
    warnings: list[str] = field(default_factory=list)


class Router:
    """Decides for each stretch of a question who answers it.

    Parameters
    ----------
    ports : Ports
    live : LiveChannel, optional
        Answers the candle that can still change where it has it; without one REST does.
    """

    def __init__(self, ports: Ports, live: LiveChannel | None = None) -> None:
        self.ports = ports
        self.live = live

    async def candles(self, query: CandleQuery, meter: Meter) -> Answer:
        """Candles of one or several markets, as one table sorted by market and time."""
        walks = max(1, WALKS // len(query.markets))
        room = asyncio.Semaphore(MARKETS_AT_ONCE)

        async def one(market: str) -> _Part:
            async with room:
                return await self._market(market, query, meter, walks)

        async with TaskGroup() as group:
            tasks = [group.create_task(one(market)) for market in query.markets]
        return self._answer(query, [task.result() for task in tasks])

    def _answer(self, query: CandleQuery, parts: list[_Part]) -> Answer:
        table = _joined(query.markets, parts) if query.many else parts[0].table
        told = [text for part in parts for text in part.warnings]
        # What is read from a folder is read for this answer; a store in memory keeps what it gives.
        fresh = self.ports.store.path is not None and query.source != "rest"
        return Answer(table, self._meta(query, parts), told, fresh=fresh)

    def _meta(self, query: CandleQuery, parts: list[_Part]) -> dict[str, Any]:
        spans = [part.span for part in parts]
        return {
            "kind": "candles",
            "market": list(query.markets) if query.many else query.markets[0],
            "interval": query.interval.name,
            "start": iso(min(span.start for span in spans)),
            "end": iso(max(span.end for span in spans)),
            "gaps": query.gaps,
            "fetched_at": iso(self.ports.server_time.now()),
            "schema": SCHEMA_VERSION,
            "route": [step.to_json() for part in parts for step in part.route],
        }

    # --- one market -----------------------------------------------------------------------------

    async def _market(self, market: str, query: CandleQuery, meter: Meter, walks: int) -> _Part:
        if query.source == "live" and not (query.forming and query.interval.stream is not None):
            raise InvalidRange(
                "a live stream has no history of candles",
                suggestion="with forming=True the stream answers the candle that can still change, from 1s to 4h; "
                "or use uf.stream(market, 'candle.1m'), or uf.follow",
                market=market,
            )
        ports = self.ports
        if query.source == "rest":
            ports = replace(ports, store=Fresh(ports.store), flights={})
        history = History(ports, market, query.interval, query.source, meter, walks)
        for _ in range(3):
            stranger = not self.ports.server_time.known
            believed = self._sealed_until(query.interval, history)
            part = await self._one(query, history)
            if not stranger or self._sealed_until(query.interval, history) == believed:
                break
            # The first answer told the exchange's time, and it is not what was taken for now.
        return part

    async def _one(self, query: CandleQuery, history: History) -> _Part:
        found: tuple[pa.Table, Span] | None = await in_thread(self._stored, query, history)
        table, span = found or await self._sealed(query, history)
        lost = history.lost_text(span)
        part = _Part(table, history.route(span, table), span, [*history.warnings, *([lost] if lost else [])])
        if query.gaps != "raw":
            await self._fill(part, query, history)
        if query.forming:
            await self._append_forming(part, query, history.market)
        return part

    def stored(self, query: CandleQuery) -> Answer | None:
        """The answer, if the store has all of it: no loop, no other thread, a third of the time."""
        if query.source in ("rest", "live") or query.forming or query.gaps != "raw":
            return None
        parts: list[_Part] = []
        for market in query.markets:
            history = History(self.ports, market, query.interval, query.source, Meter())
            found = self._stored(query, history)
            if found is None:
                return None
            parts.append(_Part(found[0], history.route(found[1], found[0]), found[1]))
        return self._answer(query, parts)

    def _stored(self, query: CandleQuery, history: History) -> tuple[pa.Table, Span] | None:
        """The sealed part of the question, where it needs nothing but the store."""
        try:
            end = self._end(query, history)
            if query.start is None:
                table = history.stored_last(end, query.count or 0)
                return None if table is None or not len(table) else (table, Span(table["time"][0].value, end))
            span = Span(query.interval.ceil(query.start), end)
            if query.count is not None or span.empty:
                return None
            table = history.stored_between(span)
            return None if table is None else (table, span)
        except CorruptFile:  # set aside by now, so it is missing
            if query.source == "cache":
                raise
            return None

    async def _sealed(self, query: CandleQuery, history: History) -> tuple[pa.Table, Span]:
        interval = query.interval
        end = await in_thread(self._end, query, history)
        if query.start is None:
            assert query.count is not None  # CandleQuery gives a count where there is no start
            table = await history.last(end, query.count)
            low = table["time"][0].value if len(table) else end
            return table, await in_thread(history.known, Span(low, end))
        low = interval.ceil(query.start)
        if query.end is None and query.start >= self._now(history):
            raise InvalidRange(
                f"start={iso(query.start)} lies in the future",
                suggestion="the exchange's clock says " + iso(self._now(history)),
            )
        if low >= end:
            return arrow_schema("candles").empty_table(), Span(low, low)
        if query.count is not None:
            table = await history.first(low, end, query.count)
            if len(table) == query.count:
                return table, Span(low, interval.shift(table["time"][-1].value, 1))
        else:
            table = await history.between(Span(low, end))
        return table, await in_thread(history.known, Span(low, end))

    def _now(self, history: History) -> int:
        """The exchange's time; where the store knows later candles, the machine's clock is slow."""
        covered = history.store.covered(history.series)
        return max(self.ports.server_time.now(), covered[-1].end if covered else 0)

    def _end(self, query: CandleQuery, history: History) -> int:
        """Where the sealed part of the question ends, on the grid."""
        sealed = self._sealed_until(query.interval, history)
        if query.end is not None:
            asked = query.interval.ceil(query.end)
            return asked if query.source == "cache" and asked <= sealed else min(asked, sealed)
        if query.source == "cache":
            # Offline, "until now" can only mean: until where we know.
            covered = history.store.covered(history.series)
            if not covered:
                raise NotCached(
                    f"nothing of {history.market} {history.interval} is in the store",
                    suggestion="ask without source='cache' to fetch it",
                    market=history.market,
                    interval=history.interval.name,
                    missing=[],
                )
            return covered[-1].end
        return sealed

    def _sealed_until(self, interval: Interval, history: History) -> int:
        covered = history.store.covered(history.series)
        sealed = sealed_until(interval, self.ports.server_time.now())
        return max(sealed, covered[-1].end if covered else 0)

    # --- gaps and the forming candle -------------------------------------------------------------

    async def _fill(self, part: _Part, query: CandleQuery, history: History) -> None:
        previous: float | None = None
        first = part.table["time"][0].value if len(part.table) else None
        if query.gaps == "fill" and first != part.span.start and not part.span.empty:
            try:
                before = await history.last(part.span.start, 1)
            except NotCached:
                before = arrow_schema("candles").empty_table()
                part.warnings.append(
                    f"{history.market} {history.interval}: the close before {iso(part.span.start)} is not in the "
                    "store, so periods before the first candle are left out"
                )
            previous = before["close"][-1].as_py() if len(before) else None
        part.table = gaps.fill(part.table, query.interval, part.span, query.gaps, previous_close=previous)

    async def _append_forming(self, part: _Part, query: CandleQuery, market: str) -> None:
        """Add the candles that can still change; they come fresh from the exchange every time."""
        import pyarrow as pa

        sealed = max(part.span.end, sealed_until(query.interval, self.ports.server_time.now()))
        if query.end is not None and query.end <= sealed:
            return
        if query.start is not None and query.count is not None and len(part.table) >= query.count:
            return
        high = max(self.ports.server_time.now(), sealed) + query.interval.step if query.end is None else query.end
        span = Span(part.span.end, max(high, part.span.end))
        if query.source == "cache":
            part.route.append(Step("none", OFFLINE, *span, market=market))
            return
        newest, step = await self._newest(query, market, span)
        part.route.append(step)
        if "filled" in part.table.column_names:
            newest = newest.append_column("filled", pa.array([False] * len(newest), pa.bool_()))
        part.table = pa.concat_tables([part.table, newest])

    async def _newest(self, query: CandleQuery, market: str, span: Span) -> tuple[pa.Table, Step]:
        """Candles that can still change, from the stream if it has them."""
        reason = FORMING
        if self.live is not None and query.interval.stream is not None:
            found = await self.live.candles(query.interval, market, span, query.source)
            if found.table is not None:
                newest, requests = cut(found.table, span), 0
                if not found.whole:  # it began within the grace of the period before, which it was never told
                    newest, requests = await self._before(query, market, span, newest), 1
                step = Step("live", found.choice.told, *span, rows=len(newest), requests=requests, market=market)
                return newest, step
            reason = f"{FORMING}; {found.choice.told}"
        newest = await self._unsealed(query, market, span)
        return newest, Step("rest", reason, *span, rows=len(newest), requests=1, market=market)

    async def _unsealed(self, query: CandleQuery, market: str, span: Span) -> pa.Table:
        count = min(CANDLES_MAX_COUNT, query.interval.slots(*span) + 1)
        reply = await self.ports.rest.get(candles_endpoint(query.interval), {"market": market, "count": str(count)})
        return cut(normalize.candles(reply.body, market, query.interval), span)

    async def _before(self, query: CandleQuery, market: str, span: Span, newest: pa.Table) -> pa.Table:
        """What the stream told, after what REST tells of the time before."""
        import pyarrow as pa

        began = newest["time"][0].value if len(newest) else span.end
        return pa.concat_tables([await self._unsealed(query, market, Span(span.start, began)), newest])

    # --- plan -------------------------------------------------------------------------------------

    def plan(self, query: CandleQuery) -> Plan:
        """What :meth:`candles` would do, from the store's knowledge alone."""
        steps: list[Step] = []
        hints: list[str] = []
        now = self.ports.server_time.now()
        for market in query.markets:
            history = History(self.ports, market, query.interval, query.source, Meter())
            sealed = self._sealed_until(query.interval, history)
            forced = query.source == "rest"
            covered = [] if forced else history.store.covered(history.series)
            wanted = self._wanted(query, history, sealed)
            pages = plan_candles(
                market, query.interval, wanted, covered, now,
                sealed=sealed, forming=query.forming, reason=FORCED if forced else MISSING, rate=self.ports.rate,
            )  # fmt: skip
            files = self._file_steps(market, query, subtract([Span(wanted.start, min(wanted.end, sealed))], covered))
            if files is None:
                steps += pages
                continue
            with_files = [*(step for step in pages if step.channel == "store" or step.reason == FORMING), *files]
            if self.ports.archive_for(query.source) is not None:
                steps += sorted(with_files, key=lambda step: step.start)
            else:
                steps += pages
                hints += [text for text in [saving_hint(pages, with_files)] if text]
        return Plan(tuple(steps), hints[0] if hints else "")

    def _file_steps(self, market: str, query: CandleQuery, missing: list[Span]) -> list[Step] | None:
        """Who would answer what is missing if the archive were used; None where it cannot be."""
        if self.ports.archive is None or query.source not in ("auto", "archive"):
            return None
        now = self.ports.server_time.now()
        only = query.source == "archive"
        portions = plan_candle_files(
            market, query.interval, missing, Published(now), rate=self.ports.rate,
            rest_from=None if only else rest_horizon(query.interval, now), prefer_files=only,
        )  # fmt: skip
        return to_steps(portions, market)

    def _wanted(self, query: CandleQuery, history: History, sealed: int) -> Span:
        """The stretch the question is about; a count is taken as if every period had a candle."""
        interval = query.interval
        if query.end is not None:
            end = interval.ceil(query.end)
        elif query.start is not None and query.count is not None:
            end = interval.shift(interval.ceil(query.start), query.count)
        else:
            end = sealed + interval.step if query.forming else sealed
        if query.start is not None:
            low = interval.ceil(query.start)
            return Span(low, max(low, end))
        high = min(end, sealed)
        count = query.count or 0
        stored = history.store.tail(history.series, high, count)
        if len(stored) >= count:
            return Span(stored["time"][0].value, end)
        return Span(interval.floor(max(0, high - count * interval.step)), end)


def _joined(markets: tuple[str, ...], parts: list[_Part]) -> pa.Table:
    """One table with the market as its first column."""
    import pyarrow as pa

    words = pa.array(markets, pa.string())
    tables = []
    for code, part in enumerate(parts):
        codes = pa.array([code], pa.int32()).take(pa.array([0] * len(part.table), pa.int32()))
        market = pa.DictionaryArray.from_arrays(codes, words)
        tables.append(part.table.add_column(0, arrow_schema("ticker").field("market"), market))
    return pa.concat_tables(tables)
