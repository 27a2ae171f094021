"""The trades of one market: what the store lacks is fetched, then the store answers.

Upbit serves the last seven UTC days (upbit-api 3.3). A stretch that is over by the exchange's
clock is stored and outlives them; the newest seconds, into which trades may still come, are
fetched every time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from upbit_frames.archive.importer import Archive
from upbit_frames.core.endpoints import ENDPOINTS
from upbit_frames.core.intervals import Span, from_micros, intersect, merge, subtract
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import CorruptFile, NotCached, SchemaError
from upbit_frames.exchange import wire as normalize
from upbit_frames.router.candle_history import CORRUPT_TRIES
from upbit_frames.router.plan import FORCED, MISSING, NOWHERE, SEAL_GRACE, STORED, Step, iso
from upbit_frames.router.ports import Meter, Ports, fill_from_archive, in_thread, meet_exchange, position
from upbit_frames.router.trade_pages import DAY, SECOND, Ask, backfill_trades
from upbit_frames.store.base import Series

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TradesHistory"]

DAYS_SERVED = 7
EXPIRED = "older than the seven UTC days for which Upbit serves trades"
NEWEST = "too new to be final, never stored"
MIDNIGHT = 3 * SECOND  # how near to a UTC midnight the exchange's date is not certain
FIRST_REACH = 600 * SECOND  # how far back to look first when only a number of trades is wanted


class Row(NamedTuple):
    """One trade, columns as in the schema."""

    time: int
    price: float
    volume: float
    value: float
    side: str
    sequential_id: int
    seq: int | None = None


class TradesHistory:
    """The trades of one market.

    Parameters
    ----------
    ports : Ports
    market : str
    source : {"auto", "cache", "rest"}
    meter : Meter
    """

    def __init__(self, ports: Ports, market: str, source: str, meter: Meter) -> None:
        self.ports = ports
        self.store = ports.store
        self.market = market
        self.source = source
        self.meter = meter
        self.series = Series("trades", market)
        self.endpoint = ENDPOINTS["trades"]
        self.fresh: list[Row] = []  # newer than what may be stored
        self.fresh_span = Span(0, 0)
        self.fetched: list[Step] = []
        self.lost: list[Span] = []
        self.lost_reason = EXPIRED
        self.warnings: list[str] = []

    # --- reading --------------------------------------------------------------------------------

    async def between(self, span: Span) -> pa.Table:
        """Every trade of ``[start, end)`` that can be had, ascending."""
        for _ in range(CORRUPT_TRIES):
            try:
                return await self._between(span)
            except CorruptFile:
                if self.source == "cache":
                    raise
        return await self._between(span)

    async def _between(self, span: Span) -> pa.Table:
        import pyarrow as pa

        await self.ensure(span)
        stored = await in_thread(self.store.read, self.series, span)
        fresh = _table([row for row in self.fresh if span.start <= row.time < span.end])
        return pa.concat_tables([stored, fresh]) if len(fresh) else stored

    async def last(self, end: int, count: int) -> tuple[pa.Table, Span]:
        """The last ``count`` trades before ``end``, and the stretch that was looked through."""
        low, reach = end, await self._newest(end, count)
        while True:
            low = max(0, end - reach)
            table = await self.between(Span(low, end))
            if len(table) >= count or self._all_lost(low) or low == 0:
                table = table.slice(max(0, len(table) - count))
                start = table["time"][0].value if len(table) >= count else low
                return table, Span(start, end)
            # The density seen so far tells how much further to look, with some to spare.
            reach = min(reach * 16, max(2 * reach, int(1.3 * reach * count / max(len(table), 1))))

    async def _newest(self, end: int, count: int) -> int:
        """How far back to look first: one page tells the newest trades of any market, and is kept."""
        size = self.endpoint.max_count or 500
        now = self.ports.server_time.now()
        if self.source not in ("auto", "rest") or end < now - SEAL_GRACE or count >= size:
            return FIRST_REACH
        async with self.ports.flight(self.series):
            if not await in_thread(self._missing, Span(end - FIRST_REACH, end)):
                return FIRST_REACH
            today = self._today()
            rows = [row for row in await self._page(Ask(today, None, None)) if row.time < end]
            # Of the oldest millisecond there may be more; less than a page is the whole day so far.
            start = rows[0].time + 1000 if len(rows) >= size else today
            span = Span(min(start, end), end)
            if span.empty:
                return FIRST_REACH
            await self._keep(span, [row for row in rows if row.time >= span.start])
            reason = FORCED if self.source == "rest" else MISSING
            self.fetched.append(Step("rest", reason, *span, requests=1, market=self.market))
            return span.end - span.start

    async def first(self, start: int, end: int, count: int) -> tuple[pa.Table, Span]:
        """The first ``count`` trades of ``[start, end)``, and the stretch that was looked through."""
        reach = FIRST_REACH
        while True:
            high = min(end, start + reach)
            table = await self.between(Span(start, high))
            if len(table) >= count or high >= end:
                return table.slice(0, count), Span(start, high)
            reach = min(reach * 16, max(2 * reach, int(1.3 * reach * count / max(len(table), 1))))

    def _all_lost(self, low: int) -> bool:
        return any(span.start <= low < span.end for span in self.lost)

    # --- fetching -------------------------------------------------------------------------------

    async def ensure(self, span: Span) -> None:
        """Have the trades of a stretch in the store, or in ``fresh``, as far as they can be had."""
        missing = await in_thread(self._missing, span)
        if not missing:
            return
        if self.source == "cache":
            raise NotCached(
                f"the store lacks {', '.join(map(str, missing[:3]))} of the trades of {self.market}",
                suggestion="ask without source='cache' to fetch it",
                market=self.market,
                missing=[(iso(one.start), iso(one.end)) for one in missing],
            )
        async with self.ports.flight(self.series):
            missing = await in_thread(self._missing, span)
            archive = self.ports.archive_for(self.source)
            if self.source != "archive" and self._split_lost(missing)[0]:
                await meet_exchange(self.ports, self.endpoint, self.market, self.meter)
            if archive is not None and missing:
                missing = await self._fetch_files(missing, archive)
            else:
                lost, missing = self._split_lost(missing)
                self.lost = merge([*self.lost, *lost])
            if missing:
                await self._fetch(missing)

    async def _fetch_files(self, missing: list[Span], archive: Archive) -> list[Span]:
        """Take from the archive what it has; what is left for REST."""
        filled = await fill_from_archive(
            archive, self.ports, self.series, missing, self.meter, rest_from=None if self.source == "archive" else 0
        )
        self.fetched += filled.steps
        self.warnings += filled.warnings
        if filled.lost:
            self.lost = merge([*self.lost, *filled.lost])
            self.lost_reason = NOWHERE
        return filled.rest

    def _missing(self, span: Span) -> list[Span]:
        known = [*self.store.covered(self.series), *self.lost, self.fresh_span]
        return subtract([span], known)

    def _split_lost(self, missing: list[Span]) -> tuple[list[Span], list[Span]]:
        today = self._today()
        horizon = Span(0, today - DAYS_SERVED * DAY)
        return intersect(missing, [horizon]), subtract(missing, [horizon])

    def _today(self) -> int:
        now = self.ports.server_time.now()
        return now - now % DAY

    async def _fetch(self, missing: list[Span]) -> None:
        asked = [0] * len(missing)

        async def fetch(ask: Ask) -> list[Row]:
            around = next((i for i, one in enumerate(missing) if one.start < ask.day + DAY and one.end > ask.day), 0)
            asked[around] += 1
            return await self._page(ask)

        try:
            await backfill_trades(
                missing, fetch, self._keep, page_size=self.endpoint.max_count or 500, walks=self.ports.walks
            )
        finally:
            reason = FORCED if self.source == "rest" else MISSING
            self.fetched += [
                Step("rest", reason, *one, requests=n, market=self.market)
                for one, n in zip(missing, asked, strict=True)
            ]

    async def _page(self, ask: Ask) -> list[Row]:
        """One request; which date the exchange takes for today is checked around midnight."""
        while True:
            ago = (self._today() - ask.day) // DAY
            params = {"market": self.market, "count": str(self.endpoint.max_count)}
            if ago > 0:
                params["days_ago"] = str(ago)
            if ask.cursor is not None:
                params["cursor"] = str(ask.cursor)
            elif ask.before is not None:
                params["to"] = from_micros(ask.before).strftime("%H:%M:%S")
            reply = await self.ports.rest.get(self.endpoint, params)
            rows = _rows(normalize.trades(reply.body, self.market))
            self.meter.requests += 1
            self.meter.rows += len(rows)
            now = self.ports.server_time.now() if reply.server_time is None else reply.server_time
            near_midnight = (now + MIDNIGHT) % DAY < 2 * MIDNIGHT
            strangers = any(not ask.day <= row.time < ask.day + DAY for row in rows)
            if near_midnight and (strangers or not rows) and ago > 0:
                await self.ports.clock.sleep(1.0)
                continue
            if strangers:
                raise SchemaError(
                    f"the exchange answered for {iso(ask.day)[:10]} with trades of another date",
                    suggestion="nothing of this answer was stored; ask again",
                    market=self.market,
                    url=reply.url,
                )
            return rows

    async def _keep(self, span: Span, rows: list[Row]) -> None:
        final = Span(span.start, min(span.end, self.ports.server_time.now() - SEAL_GRACE))
        if not final.empty:
            table = _table([row for row in rows if row.time < final.end])
            await in_thread(self.store.write, self.series, table, final)
        left = Span(max(span.start, final.end), span.end)
        if not left.empty:
            self.fresh = [row for row in rows if row.time >= left.start] + self.fresh
            joined = merge([left, self.fresh_span])
            self.fresh_span = joined[-1]

    # --- telling --------------------------------------------------------------------------------

    def route(self, span: Span, table: pa.Table) -> list[Step]:
        """Who answered which part of the span, with the rows each gave."""
        asked = [Span(step.start, step.end) for step in self.fetched]
        lost = intersect(subtract([span], asked), self.lost)
        steps = [Step("store", STORED, *part, market=self.market) for part in subtract([span], [*asked, *lost])]
        steps += [Step("none", self.lost_reason, *part, market=self.market) for part in lost]
        steps += self.fetched
        counted = [
            replace(step, rows=position(table, min(step.end, span.end)) - position(table, max(step.start, span.start)))
            for step in steps
            if step.end > span.start and step.start < span.end
        ]
        return sorted(counted, key=lambda step: step.start)

    def lost_text(self, span: Span) -> str | None:
        """What of the span cannot be had, in words; None if nothing."""
        lost = intersect([span], self.lost)
        if not lost:
            return None
        stretches = ", ".join(map(str, lost))
        return f"{self.market} trades of {stretches} are {self.lost_reason}, and the store does not have them"


def _rows(table: pa.Table) -> list[Row]:
    columns: list[Any] = [table.column("time").cast("int64").to_pylist()]
    columns += [table.column(name).to_pylist() for name in Row._fields[1:]]
    return [Row(*values) for values in zip(*columns, strict=True)]


def _table(rows: list[Row]) -> pa.Table:
    import pyarrow as pa

    schema = arrow_schema("trades")
    columns = list(zip(*sorted(rows, key=lambda row: (row.time, row.sequential_id)), strict=True)) or [()] * len(schema)
    return pa.table([pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)], schema)
