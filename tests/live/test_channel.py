"""The stream as a channel of the router, over real sockets against the stand-in exchange."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.errors import ConnectionFailed, InvalidRange, MarketNotFound, QueryError
from upbit_frames.live import channel as live_channel
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

NOW = "2026-03-01T03:00:20Z"
MARKET = "KRW-BTC"


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    lively = [replace(one, trades_per_day=60_000.0) if one.market == MARKET else one for one in default_listings()]
    with Exchange(seed=7, now=NOW, markets=lively) as exchange:
        exchange.clock.run()
        yield exchange


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer for the first frame."""
    monkeypatch.setattr(live_channel, "FIRST_FRAME_TIMEOUT", 60.0)


def route(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Channel and rule of every step of a frame."""
    return [(one["channel"], one["reason"]) for one in frame.attrs["upbit_frames"]["route"]]


def channel(frame: pd.DataFrame) -> str:
    """The channel of the last step."""
    return route(frame)[-1][0]


def until(ask: Callable[[], pd.DataFrame], wanted: str, seconds: float = 60.0, pause: float = 0.05) -> pd.DataFrame:
    """Call again and again until a channel answers."""
    ends = time.monotonic() + seconds
    while True:
        frame = ask()
        if channel(frame) == wanted:
            return frame
        assert time.monotonic() < ends, f"{wanted} never answered: {route(frame)}"
        time.sleep(pause)


def test_one_request_opens_no_stream(exchange: Exchange, client: uf.Client) -> None:
    frame = client.ticker(MARKET)
    assert route(frame) == [("rest", "infrequent: requested for the first time")]
    assert not exchange.streams.connections


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.ticker([MARKET, "KRW-ETH"]),
        lambda client: client.orderbook(MARKET, depth=5),
        lambda client: client.orderbook(MARKET, depth=15, level=10_000),
        lambda client: client.trades(MARKET, count=30),
        lambda client: client.candles(MARKET, "1m", count=3, forming=True),
    ],
    ids=["ticker", "orderbook", "grouped", "trades", "forming"],
)
def test_frequent_requests_are_served_by_the_stream(
    exchange: Exchange, client: uf.Client, ask: Callable[[uf.Client], pd.DataFrame]
) -> None:
    first = ask(client)
    assert channel(first) == "rest"
    assert "infrequent" in route(first)[-1][1]
    live = until(lambda: ask(client), "live")
    assert route(live)[-1][1].startswith("hot: ")
    sent = -1

    def counted() -> pd.DataFrame:
        nonlocal sent
        sent = len(exchange.requests)
        return ask(client)

    until(counted, "live")  # a busy machine may take the stream for stale now and then
    assert len(exchange.requests) == sent
    assert list(live.columns) == list(first.columns)
    assert list(live.dtypes) == list(first.dtypes)
    assert live.index.names == first.index.names
    assert live.index.dtype == first.index.dtype


def test_the_answer_is_what_rest_would_have_said(exchange: Exchange, client: uf.Client) -> None:
    until(lambda: client.ticker(MARKET), "live")
    until(lambda: client.orderbook(MARKET, depth=5), "live")
    until(lambda: client.trades(MARKET, count=50), "live")
    until(lambda: client.candles(MARKET, "1m", count=3, forming=True), "live")
    # Books are sent on a grid of tenths of a second, so the clock must stop on it.
    exchange.clock.freeze()
    exchange.clock.set((exchange.clock.now() // 1_000_000 + 1) * 1_000_000)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (client.ticker, {"markets": MARKET}),
        (client.orderbook, {"markets": MARKET, "depth": 5}),
        (client.trades, {"market": MARKET, "count": 50}),
        (client.candles, {"market": MARKET, "interval": "1m", "count": 3, "forming": True}),
    ]
    for call, arguments in calls:
        rest = call(**arguments, source="rest")
        assert channel(rest) == "rest"
        ends = time.monotonic() + 60.0
        while True:
            live = until(lambda: call(**arguments), "live")  # noqa: B023 - called at once
            # A frame's own time may change in a later state without news.
            columns = [name for name in live.columns if name != "time"]
            try:
                pd.testing.assert_frame_equal(live[columns], rest[columns], check_exact=False, rtol=1e-12)
                break
            except AssertionError:  # what is under way arrives
                if time.monotonic() > ends:
                    raise


def test_changing_a_frame_does_not_change_the_next(client: uf.Client) -> None:
    for _ in range(3):
        frame = until(lambda: client.ticker("KRW-ETH"), "live")
        assert frame["price"].iloc[0] > 0
        frame["price"] = -1.0
        frame.attrs["upbit_frames"]["route"].clear()


def test_a_history_or_too_much_is_never_live(client: uf.Client) -> None:
    until(lambda: client.trades(MARKET, count=10), "live")
    assert channel(client.trades(MARKET, start="2026-03-01T02:59:00Z")) != "live"
    assert "live" not in [one for one, _ in route(client.trades(MARKET, count=501))]
    assert channel(client.ticker()) == "rest"


def test_source_live(exchange: Exchange, client: uf.Client) -> None:
    assert route(client.ticker(MARKET, source="live")) == [("live", "forced: requested with source='live'")]
    assert channel(client.orderbook(MARKET, source="live", depth=1)) == "live"
    trades = client.trades(MARKET, count=20, source="live")
    assert (len(trades), channel(trades)) == (20, "live")
    assert channel(client.candles(MARKET, "1m", count=2, forming=True, source="live")) == "live"
    with pytest.raises(MarketNotFound, match="KRW-NOPE"):
        client.ticker("KRW-NOPE", source="live")
    with pytest.raises(QueryError, match="cannot be grouped"):
        client.orderbook("BTC-ETH", level=1000, source="live")
    with pytest.raises(InvalidRange, match="newest 500"):
        client.trades(MARKET, count=501, source="live")
    with pytest.raises(InvalidRange, match="no history"):
        client.candles(MARKET, "1m", count=2, source="live")
    with pytest.raises(QueryError, match="list of markets"):
        client.ticker(source="live")


def test_source_live_without_a_connection_is_an_error(exchange: Exchange, client: uf.Client) -> None:
    dead = uf.Client(client.config.replace(ws_url="ws://127.0.0.1:9"))
    with pytest.raises(ConnectionFailed, match="does not answer"):
        dead.ticker(MARKET, source="live")


def test_rest_answers_while_the_stream_cannot_be_opened(client: uf.Client) -> None:
    dead = uf.Client(client.config.replace(ws_url="ws://127.0.0.1:9"))
    rule, ends = "", time.monotonic() + 60.0
    while rule != "disconnected":
        assert time.monotonic() < ends, rule
        frame = dead.ticker(MARKET)
        assert channel(frame) == "rest"
        rule = route(frame)[0][1].partition(":")[0]
        time.sleep(0.02)


def test_a_silent_stream_falls_back_and_recovers(exchange: Exchange, client: uf.Client) -> None:
    def ask() -> pd.DataFrame:
        return client.ticker("KRW-ETH")

    until(ask, "live")
    exchange.streams.half_open()
    frame = until(ask, "rest")  # after how long is a matter of the rules, tested on their own
    assert route(frame)[0][1].partition(":")[0] in ("stale", "disconnected", "warming_up")
    until(ask, "live")


def test_a_broken_stream_costs_no_answer_and_recovers(exchange: Exchange, client: uf.Client) -> None:
    until(lambda: client.ticker("KRW-ETH"), "live")
    exchange.streams.drop()
    ends = time.monotonic() + 60.0
    while len(exchange.streams.connections) < 2 or channel(client.ticker("KRW-ETH")) != "live":
        assert time.monotonic() < ends
        time.sleep(0.01)
        assert channel(client.ticker("KRW-ETH")) in ("live", "rest")


def test_an_idle_subscription_ends(exchange: Exchange, client: uf.Client) -> None:
    until(lambda: client.ticker("KRW-ETH"), "live", pause=0.02)
    ends = time.monotonic() + 60.0
    while exchange.streams.open:
        assert time.monotonic() < ends, "the connection stayed open"
        time.sleep(0.1)
    assert channel(client.ticker("KRW-ETH")) == "rest"


def test_explain_predicts_the_next_call_without_a_request(exchange: Exchange, client: uf.Client) -> None:
    rule, ends = "", time.monotonic() + 60.0
    while rule != "hot":
        assert time.monotonic() < ends, rule
        sent = len(exchange.requests)
        explained = client.explain("ticker", MARKET)
        assert len(exchange.requests) == sent
        frame = client.ticker(MARKET)
        after = client.explain("ticker", MARKET)
        # Between two calls the stream may have opened, or have become stale on a busy machine.
        if not rule or explained.rule == after.rule == "hot":
            rule = explained.rule
            assert (explained.channel, rule) == (channel(frame), route(frame)[0][1].partition(":")[0])
        time.sleep(0.1)
    assert explained.channel == "live"
    assert set(explained.alternatives) == {"rest", "store", "archive"}
    assert "not rest" in repr(explained)
    assert "<table>" in explained._repr_html_()
    assert list(explained.to_frame()["channel"]) == ["live"]


def test_explain_candles(client: uf.Client) -> None:
    explained = client.explain("candles", MARKET, "1m", count=10, forming=True)
    assert [part.channel for part in explained.parts] == ["rest", "rest"]
    client.candles(MARKET, "1m", count=10)
    explained = client.explain("candles", MARKET, "1m", count=10, forming=True)
    assert [(part.channel, part.rule) for part in explained.parts] == [("store", "stored"), ("rest", "infrequent")]
    assert explained.channel == "store+rest"
    with pytest.raises(QueryError, match="cannot be explained"):
        client.explain("tickers")
