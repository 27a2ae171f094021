"""What a break has cost, fetched over REST."""

from __future__ import annotations

from typing import Protocol

from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, TRADES_MAX_COUNT
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.topics import interval_of
from upbit_frames.errors import ApiError, UpbitFramesError
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.message_tables import rows_from_rest
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.sequencer import Gap
from upbit_frames.router.ports import Ports, sync_server_time
from upbit_frames.router.trade_pages import backfill_trades
from upbit_frames.router.trade_plan import EXPIRED, split_expired
from upbit_frames.router.trade_requests import Trade, TradeRequests, trades_table
from upbit_frames.runtime.clock import Clock
from upbit_frames.runtime.progress import Progress

__all__ = ["Mender", "RestMender", "fetch_whole"]

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


class RestMender:
    """Asks the REST API.

    Parameters
    ----------
    ports : Ports
        The exchange's date decides which day of trades is requested.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

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
        await sync_server_time(self._ports, market, Progress())
        expired, _ = split_expired([span], self._ports.server_time.now())
        if expired:
            raise ApiError(f"trades of {expired[0]} are {EXPIRED}", market=market)
        trades: dict[int, Trade] = {}

        async def keep(_: Span, rows: list[Trade]) -> None:
            trades.update({row.sequential_id: row for row in rows})

        requests = TradeRequests(self._ports, market, Progress())
        await backfill_trades([span], requests.page, keep, page_size=TRADES_MAX_COUNT, concurrency=1)
        return rows_from_rest("trade", market, trades_table(trades.values()), self._ports.clock.now())

    async def _candles(self, type_: str, interval: Interval, market: str, span: Span) -> list[Row]:
        to, found = span.end, list[Row]()
        while to > span.start:
            count = min(CANDLES_MAX_COUNT, interval.slots(span.start, to))
            reply = await self._ports.api.candles(market, interval, to=to, count=count)
            table = reply.table
            times = table["time"].cast("int64").to_pylist()
            inside = sum(1 for time in times if time >= span.start)
            page = table.slice(len(table) - inside)
            found = rows_from_rest(type_, market, page, reply.received) + found
            if inside < len(table) or len(table) < count:
                break
            to = times[0]
        return found
