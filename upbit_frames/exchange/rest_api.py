"""Upbit's public REST API: one typed method per endpoint.

Every method builds the parameters, sends one request, decodes the body and checks the page against
the request (:class:`~upbit_frames.errors.SchemaError` where they disagree). Code that needs rows from
REST calls a method here; nothing else builds parameters or chooses a decoder (upbit-api 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, ENDPOINTS, TRADES_MAX_COUNT, Endpoint, candles_endpoint
from upbit_frames.core.intervals import Interval, from_micros, iso
from upbit_frames.errors import SchemaError
from upbit_frames.exchange import wire

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.exchange.transport.rest import Reply

__all__ = ["Page", "RestApi", "Transport"]


class Transport(Protocol):
    """What the API needs of the REST transport."""

    async def get(self, endpoint: Endpoint, params: dict[str, str]) -> Reply:
        """Send one GET request; retries and limits are the transport's."""


@dataclass(frozen=True)
class Page:
    """The decoded answer to one request.

    Attributes
    ----------
    table : pyarrow.Table
        In the schema of its kind; candles and trades ascending.
    url : str
    server_time : int or None
        The exchange's clock at the answer, microseconds UTC; None if it sent none.
    received : int
        When the answer was complete by the machine's clock, microseconds UTC.
    """

    table: pa.Table
    url: str
    server_time: int | None
    received: int


class RestApi:
    """Typed requests over a transport.

    Parameters
    ----------
    transport : Transport
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def candles(
        self, market: str, interval: Interval, *, to: int | None = None, count: int = CANDLES_MAX_COUNT
    ) -> Page:
        """Fetch the newest ``count`` candles that start before ``to``.

        Parameters
        ----------
        market : str
        interval : Interval
            One of Upbit's own.
        to : int, optional
            Exclusive bound of the candle's start, microseconds UTC; None means now.
        count : int
            From 1 to 200. Periods without a trade have no candle, so a page reaches back further.

        Raises
        ------
        SchemaError
            If the page has more rows than ``count`` or a candle that starts at or after ``to``.
        """
        params = {"market": market} if to is None else {"market": market, "to": iso(to)}
        params["count"] = str(count)
        reply = await self.transport.get(candles_endpoint(interval), params)
        table = wire.candles(reply.body, market, interval)
        newest = table["time"][-1].value if len(table) else None
        if len(table) > count or (to is not None and newest is not None and newest >= to):
            raise SchemaError(
                f"expected at most {count} candles that start before {'now' if to is None else iso(to)}, "
                f"got {len(table)} up to {iso(newest or 0)}",
                suggestion="nothing was stored; a proxy may be altering responses",
                market=market,
                interval=interval.name,
                url=reply.url,
            )
        return _page(reply, table)

    async def trades(
        self,
        market: str,
        *,
        days_ago: int | None = None,
        before: int | None = None,
        cursor: int | None = None,
        count: int = TRADES_MAX_COUNT,
    ) -> Page:
        """Fetch the newest ``count`` trades of one UTC day.

        Parameters
        ----------
        market : str
        days_ago : int, optional
            Which UTC day, by the exchange's clock: 0 is today, at most 7. Without it the newest trades.
        before : int, optional
            Exclusive bound inside that day, microseconds UTC, whole seconds; ignored with ``cursor``.
        cursor : int, optional
            Only trades with a smaller ``sequential_id``.
        count : int
            From 1 to 500.
        """
        params = {"market": market, "count": str(count)}
        if days_ago is not None:
            params["days_ago"] = str(days_ago)
        if cursor is not None:
            params["cursor"] = str(cursor)
        elif before is not None:
            params["to"] = f"{from_micros(before):%H:%M:%S}"
        reply = await self.transport.get(ENDPOINTS["trades"], params)
        table = wire.trades(reply.body, market)
        if len(table) > count:
            raise SchemaError(
                f"expected at most {count} trades, got {len(table)}",
                suggestion="nothing was stored; a proxy may be altering responses",
                market=market,
                url=reply.url,
            )
        return _page(reply, table)

    async def tickers(self, markets: Sequence[str]) -> Page:
        """Fetch the ticker of each market; one unknown code refuses the whole list."""
        reply = await self.transport.get(ENDPOINTS["ticker"], {"markets": ",".join(markets)})
        return _page(reply, wire.ticker(reply.body))

    async def tickers_by_quote(self, quotes: Sequence[str]) -> Page:
        """Fetch the ticker of every market of the quote currencies."""
        reply = await self.transport.get(ENDPOINTS["ticker_all"], {"quote_currencies": ",".join(quotes)})
        return _page(reply, wire.ticker(reply.body))

    async def order_books(self, markets: Sequence[str], *, depth: int, level: str | None = None) -> Page:
        """Fetch the books of the markets, ``depth`` levels from 1 to 30, grouped by ``level`` (KRW)."""
        params = {"markets": ",".join(markets), "count": str(depth)}
        if level is not None:
            params["level"] = level
        reply = await self.transport.get(ENDPOINTS["orderbook"], params)
        return _page(reply, wire.orderbook(reply.body))

    async def instruments(self, markets: Sequence[str]) -> Page:
        """Fetch tick size and price groupings of the markets."""
        reply = await self.transport.get(ENDPOINTS["instruments"], {"markets": ",".join(markets)})
        return _page(reply, wire.instruments(reply.body))

    async def markets(self) -> Page:
        """Fetch the list of all markets, with warnings and cautions."""
        reply = await self.transport.get(ENDPOINTS["markets"], {"is_details": "true"})
        return _page(reply, wire.markets(reply.body))


def _page(reply: Reply, table: pa.Table) -> Page:
    return Page(table, reply.url, reply.server_time, reply.received)
