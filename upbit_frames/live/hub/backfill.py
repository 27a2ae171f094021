"""What a break has cost, fetched over REST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, TRADES_MAX_COUNT
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.topics import interval_of
from upbit_frames.errors import ApiError, UpbitFramesError
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.message_tables import rows_of_rest
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.sequencer import Gap
from upbit_frames.router.trade_pages import DAY, Ask, backfill_trades
from upbit_frames.runtime.clock import Clock, ServerTime

__all__ = ["Mender", "RestMender", "fetch_whole"]

DAYS_SERVED = 7
TRIES = 4  # to fetch what a gap lacks
LAG = 0.3  # seconds for REST to learn of a trade that the stream has told


class Mender(Protocol):
    """Fetches what a stream has missed."""

    async def fetch(self, type_: str, market: str, span: Span) -> list[Row]:
        """The rows of the span, ascending."""


async def fetch_whole(mender: Mender, gap: Gap, clock: Clock, retry: RetryPolicy) -> list[Row] | str:
    """What a gap lacks, up to the row that came after it; or why it cannot be had.

    Of trades the answer must hold that row too: REST learns of a trade later than the stream, and
    what it does not know yet may not be the only one.
    """
    assert gap.span is not None
    anchor, first = None, gap.first
    if gap.type == "trade" and first is not None and gap.span.start <= first.trade_timestamp * 1000 < gap.span.end:
        anchor = first.sequential_id
    why = ""
    for attempt in range(1, TRIES + 1):
        try:
            rows = await mender.fetch(gap.type, gap.market, gap.span)
        except UpbitFramesError as error:
            why = error.message
            await clock.sleep(retry.pause(attempt))
            continue
        if anchor is None or any(row.sequential_id == anchor for row in rows):
            return rows
        why = "REST does not tell the trade that came after the break"
        await clock.sleep(LAG * attempt)
    return why


class _Trade:
    """A row with the names that the walk through pages expects."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.time = int(row.trade_timestamp) * 1000
        self.sequential_id = int(row.sequential_id)


class RestMender:
    """Asks the REST API.

    Parameters
    ----------
    api : RestApi
    clock, server_time
        The exchange's date decides which day of trades is asked for.
    """

    def __init__(self, api: RestApi, clock: Clock, server_time: ServerTime) -> None:
        self._api = api
        self._clock = clock
        self._server_time = server_time

    async def fetch(self, type_: str, market: str, span: Span) -> list[Row]:
        """The trades or candles of the span.

        Raises
        ------
        UpbitFramesError
            If they cannot be had.
        """
        interval = interval_of(type_)
        if interval is not None:
            return await self._candles(type_, interval, market, span)
        return await self._trades(market, span)

    async def _trades(self, market: str, span: Span) -> list[Row]:
        found: dict[int, _Trade] = {}

        async def fetch(ask: Ask) -> list[_Trade]:
            return [_Trade(row) for row in await self._page(market, ask)]

        async def keep(_: Span, trades: list[_Trade]) -> None:
            found.update({one.sequential_id: one for one in trades})

        if not self._server_time.known:
            await self._page(market, Ask(0, None, None))  # any answer tells the exchange's date
        await backfill_trades([span], fetch, keep, page_size=TRADES_MAX_COUNT, walks=1)
        return [one.row for one in sorted(found.values(), key=lambda one: (one.time, one.sequential_id))]

    async def _page(self, market: str, ask: Ask) -> Sequence[Row]:
        """One request; again where the exchange's date turned out to be another one."""
        today = self._day(self._server_time.now())
        while True:
            ago = (today - ask.day) // DAY if ask.day else 0
            if ago > DAYS_SERVED:
                raise ApiError("the trades of that day are not served any more", market=market)
            reply = await self._api.trades(
                market, days_ago=ago if ago > 0 else None, before=ask.before, cursor=ask.cursor
            )
            told = self._day(reply.server_time or self._server_time.now())
            rows = rows_of_rest("trade", market, reply.table, reply.received)
            if not ask.day:
                return rows
            strangers = any(not ask.day <= row.trade_timestamp * 1000 < ask.day + DAY for row in rows)
            if told == today and not strangers:
                return rows
            if told == today:  # its date changed while it answered
                await self._clock.sleep(1.0)
            today = told

    @staticmethod
    def _day(moment: int) -> int:
        return moment - moment % DAY

    async def _candles(self, type_: str, interval: Interval, market: str, span: Span) -> list[Row]:
        to, found = span.end, list[Row]()
        while to > span.start:
            count = min(CANDLES_MAX_COUNT, interval.slots(span.start, to))
            reply = await self._api.candles(market, interval, to=to, count=count)
            table = reply.table
            times = table["time"].cast("int64").to_pylist()
            inside = sum(1 for time in times if time >= span.start)
            page = table.slice(len(table) - inside)
            found = rows_of_rest(type_, market, page, reply.received) + found
            if inside < len(table) or len(table) < count:
                break
            to = times[0]
        return found
