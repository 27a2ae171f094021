"""Upbit's public REST endpoints, hosts and limits: the one table of each (upbit-api 1, 3, 5)."""

from __future__ import annotations

from dataclasses import dataclass

from upbit_frames.core.intervals import Interval

__all__ = [
    "CANDLES_MAX_COUNT",
    "ENDPOINTS",
    "LIMITS",
    "REGIONS",
    "TRADES_MAX_COUNT",
    "Endpoint",
    "Region",
    "candles_endpoint",
]


@dataclass(frozen=True)
class Region:
    """One of Upbit's four exchanges."""

    code: str
    rest_url: str
    ws_url: str
    quotes: tuple[str, ...]


REGIONS: dict[str, Region] = {
    group.code: group
    for group in (
        Region("kr", "https://api.upbit.com", "wss://api.upbit.com/websocket/v1", ("KRW", "BTC", "USDT")),
        Region("sg", "https://sg-api.upbit.com", "wss://sg-api.upbit.com/websocket/v1", ("SGD", "BTC", "USDT")),
        Region("id", "https://id-api.upbit.com", "wss://id-api.upbit.com/websocket/v1", ("IDR", "BTC", "USDT")),
        Region("th", "https://th-api.upbit.com", "wss://th-api.upbit.com/websocket/v1", ("THB", "BTC", "USDT")),
    )
}

ARCHIVE_URL = "https://crix-data.upbit.com"
ARCHIVE_LISTING_URL = "https://crix-data-api.upbit.com/api/v1/market-data/listing"

LIMITS: dict[str, int] = {
    # Requests a second and address, by the group's name on the wire (upbit-api 5).
    "market": 10,
    "candles": 10,
    "crix-trades": 10,
    "ticker": 10,
    "orderbook": 10,
    "websocket": 5,  # connection attempts
}
WS_MESSAGES_PER_SECOND = 5
WS_MESSAGES_PER_MINUTE = 100


@dataclass(frozen=True)
class Endpoint:
    """One REST endpoint.

    Attributes
    ----------
    name : str
        How this package calls it.
    path : str
        Below the host, without a leading slash.
    group : str
        Limit group by its wire name.
    schema : str
        Which table of :mod:`upbit_frames.schema` its answer becomes.
    max_count : int or None
        Most rows an answer can have; None where there is no ``count``.
    """

    name: str
    path: str
    group: str
    schema: str
    max_count: int | None = None


CANDLES_MAX_COUNT = 200  # rows a page
TRADES_MAX_COUNT = 500

ENDPOINTS: dict[str, Endpoint] = {
    endpoint.name: endpoint
    for endpoint in (
        Endpoint("markets", "v1/market/all", "market", "markets"),
        Endpoint("trades", "v1/trades/ticks", "crix-trades", "trades", TRADES_MAX_COUNT),
        Endpoint("ticker", "v1/ticker", "ticker", "ticker"),
        Endpoint("ticker_all", "v1/ticker/all", "ticker", "ticker"),
        Endpoint("orderbook", "v1/orderbook", "orderbook", "orderbook", 30),
        Endpoint("instruments", "v1/orderbook/instruments", "orderbook", "instruments"),
    )
}


def candles_endpoint(interval: Interval) -> Endpoint:
    """The candle endpoint of an interval; all of them share one limit group."""
    return Endpoint(f"candles-{interval}", f"v1/{interval.path}", "candles", "candles", CANDLES_MAX_COUNT)
