"""Backfills gaps over REST."""

from __future__ import annotations

from typing import Protocol

from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, TRADES_MAX_COUNT
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.topics import interval_of
from upbit_frames.errors import ApiError, UpbitFramesError
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.message_tables import rows_from_rest
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.gaps import Gap
from upbit_frames.router.ports import Ports, sync_server_time
from upbit_frames.router.trade_pages import backfill_trades
from upbit_frames.router.trade_plan import EXPIRED, split_expired
from upbit_frames.router.trade_requests import Trade, TradeRequests, trades_table
from upbit_frames.runtime.clock import Clock
from upbit_frames.runtime.progress import Progress

__all__ = ["REST_LAG", "GapBackfill", "RestBackfill", "fetch_gap"]

TRIES = 4  # attempts to fetch a gap
REST_LAG = 0.3  # seconds until REST serves a trade that the stream has sent


class GapBackfill(Protocol):
    """Fetches rows that a stream has missed."""

    async def fetch(self, type_: str, market: str, span: Span) -> list[Row]:
        """Return the rows of the span, ascending."""


async def fetch_gap(backfill: GapBackfill, gap: Gap, clock: Clock, retry: RetryPolicy) -> list[Row] | str:
    """Return the rows of a gap up to the first row after it, or the reason why they cannot be fetched.

    Trades must include that first row: REST serves a trade later than the stream, and it may lack
    more of them until it serves this one.
    """
    assert gap.span is not None
    anchor, first = None, gap.first_row
    if gap.type == "trade" and first is not None and gap.span.start <= first.trade_timestamp * 1000 < gap.span.end:
        anchor = first.sequential_id
    reason = ""
    for attempt in range(1, TRIES + 1):
        try:
            rows = await backfill.fetch(gap.type, gap.market, gap.span)
        except UpbitFramesError as error:
            reason = error.message
            await clock.sleep(retry.pause(attempt))
            continue
        if anchor is None or any(row.sequential_id == anchor for row in rows):
            return rows
        reason = "REST does not serve the first trade after the gap"
        await clock.sleep(REST_LAG * attempt)
    return reason


class RestBackfill:
    """Fetches over the REST API.

    Parameters
    ----------
    ports : Ports
        The exchange's date decides which day of trades is requested.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def fetch(self, type_: str, market: str, span: Span) -> list[Row]:
        """Return the trades or candles of the span.

        Raises
        ------
        UpbitFramesError
            If they cannot be fetched.
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
        to, rows = span.end, list[Row]()
        while to > span.start:
            count = min(CANDLES_MAX_COUNT, interval.slots(span.start, to))
            reply = await self._ports.api.candles(market, interval, to=to, count=count)
            table = reply.table
            times = table["time"].cast("int64").to_pylist()
            inside = sum(1 for time in times if time >= span.start)
            page = table.slice(len(table) - inside)
            rows = rows_from_rest(type_, market, page, reply.received) + rows
            if inside < len(table) or len(table) < count:
                break
            to = times[0]
        return rows
