"""Every method of the REST API against the stand-in exchange: its rows, its bounds, its refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, TRADES_MAX_COUNT
from upbit_frames.core.intervals import Interval, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import MarketNotFound, SchemaError
from upbit_frames.exchange.rest_api import Page, RestApi
from upbit_frames.exchange.transport.rate_limit_state import SharedSlots
from upbit_frames.exchange.transport.rate_limiter import Limiter
from upbit_frames.exchange.transport.rest import Reply, RestTransport
from upbit_frames.runtime.clock import ServerTime, SystemClock
from upbit_frames.testing import Exchange

DAY = 86_400_000_000


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=5, limits=False) as exchange:
        yield exchange


@pytest.fixture
def call(exchange: Exchange, tmp_path: Path) -> Callable[[Callable[[RestApi], Awaitable[Page]]], Page]:
    async def work(use: Callable[[RestApi], Awaitable[Page]]) -> Page:
        clock = SystemClock()
        limiter = Limiter(SharedSlots("test", folder=tmp_path / "slots"), clock=clock)
        transport = RestTransport(
            exchange.rest_url, limiter=limiter, clock=clock, server_time=ServerTime(clock), timeout=20.0
        )
        try:
            return await use(RestApi(transport))
        finally:
            await transport.aclose()

    return lambda use: asyncio.run(work(use))


def test_candles_end_before_to(call):
    minute = Interval.parse("1m")
    newest = call(lambda api: api.candles("KRW-BTC", minute)).table
    assert len(newest) == CANDLES_MAX_COUNT
    to = newest["time"][100].value
    page = call(lambda api: api.candles("KRW-BTC", minute, to=to, count=50))
    assert page.table.equals(newest.slice(50, 50))
    assert page.server_time is not None
    assert page.received > 0
    assert "to=" in page.url


def test_trades_of_a_day_by_cursor_and_time(call):
    newest = call(lambda api: api.trades("KRW-BTC", count=10))
    today = newest.table["time"][-1].value // DAY * DAY
    yesterday = call(lambda api: api.trades("KRW-BTC", days_ago=1))
    assert len(yesterday.table) == TRADES_MAX_COUNT
    assert all(today - DAY <= time.value < today for time in yesterday.table["time"])
    oldest = yesterday.table["sequential_id"][0].as_py()
    before = call(lambda api: api.trades("KRW-BTC", days_ago=1, cursor=oldest, count=5)).table
    assert all(row < oldest for row in before["sequential_id"].to_pylist())
    noon = today - DAY // 2
    assert call(lambda api: api.trades("KRW-BTC", days_ago=1, before=noon)).table["time"][-1].value < noon


@pytest.mark.parametrize(
    ("kind", "use"),
    [
        ("ticker", lambda api: api.tickers(["KRW-BTC", "KRW-ETH"])),
        ("ticker", lambda api: api.tickers_by_quote(["KRW"])),
        ("orderbook", lambda api: api.order_books(["KRW-BTC"], depth=5)),
        ("instruments", lambda api: api.instruments(["KRW-BTC"])),
        ("markets", lambda api: api.markets()),
    ],
)
def test_each_answer_has_the_schema_of_its_kind(call, kind, use):
    table = call(use).table
    assert len(table) > 0
    assert table.schema.names == arrow_schema(kind).names


def test_an_unknown_market_is_refused(call):
    with pytest.raises(MarketNotFound):
        call(lambda api: api.tickers(["KRW-BTC", "KRW-NOPE"]))


class Canned:
    """A transport that repeats one body, as a proxy between us and the exchange could."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def get(self, *_: Any) -> Reply:
        return Reply("https://api.upbit.com/v1/x", 200, self.body, None, 1, 1, 0.0)


def test_a_page_beyond_its_bounds_is_refused(exchange):
    import httpx

    body = httpx.get(f"{exchange.rest_url}/v1/candles/minutes/1", params={"market": "KRW-BTC", "count": 3}).content
    minute = Interval.parse("1m")
    table = asyncio.run(RestApi(Canned(body)).candles("KRW-BTC", minute)).table
    newest = table["time"][-1].value
    for bounds in ({"count": 2}, {"to": newest}, {"to": to_micros(table["time"][0].as_py())}):
        with pytest.raises(SchemaError, match="expected at most"):
            asyncio.run(RestApi(Canned(body)).candles("KRW-BTC", minute, **bounds))
