"""Upbit's own WebSocket client, pointed at the stand-in, is told the same as ours and understands it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.streams import listened, lively, until

from upbit_frames.core.topics import CANDLES, FORMATS, TYPES, Topic
from upbit_frames.exchange.wire.messages import SIMPLE_KEYS, decode
from upbit_frames.testing import Exchange

upbit = pytest.importorskip("upbit", reason="upbit-sdk is not installed")

BUSY = "2026-03-01T03:07:00Z"  # two of the markets are lively just then
MARKETS = ["KRW-BTC", "BTC-ETH", "KRW-ETH"]
# Sent as Upbit still sends them; its client has no place for them any more.
GONE = {"is_trading_suspended", "market_warning", "its", "mw"}
EMPTY = {"delisting_date", "dd"}


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=13, now=BUSY, markets=lively(60_000.0), limits=False) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def sdk(exchange: Exchange) -> Iterator[Any]:
    host = exchange.ws_url.removesuffix("/websocket/v1")
    with upbit.Upbit(base_url=exchange.rest_url, websocket_base_url=host, max_retries=0) as client:
        yield client


def numbers(value: Any) -> Any:
    """The same with every number as what it is worth, however it is spelt."""
    if isinstance(value, dict):
        return {key: numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [numbers(one) for one in value]
    if isinstance(value, bool) or value is None:
        return value
    try:
        return Decimal(str(value))
    except ArithmeticError:
        return value


def plain(event: Any) -> Any:
    """An event of Upbit's client as what was on the wire."""
    if isinstance(event, list):
        return [plain(one) for one in event]
    return numbers(event.model_dump(by_alias=True, exclude_unset=True))


def wire(frame: bytes) -> Any:
    return numbers(json.loads(frame, parse_float=str))


def by_market(told: list[Any]) -> dict[str, list[Any]]:
    """The objects of each market in order; markets of a snapshot come in the order of each client's request."""
    found: dict[str, list[Any]] = {}
    for one in told:
        for each in one if isinstance(one, list) else [one]:
            found.setdefault(each.get("code", each.get("cd")), []).append(each)
    return found


def expected_fields(type_: str, *, simple: bool) -> set[str]:
    kind = "candle" if type_ in CANDLES else type_
    keys = SIMPLE_KEYS[kind]
    inner = {"ask_price", "bid_price", "ask_size", "bid_size"}
    return {short if simple else key for key, short in keys.items() if key not in inner}


def both(exchange: Exchange, sdk: Any, folder: Path, type_: str, format_: str) -> tuple[list[Any], list[bytes]]:
    """What Upbit's client and ours were told of the same seconds."""
    head, _, interval = type_.partition(".")
    options = {"interval": interval} if head == "candle" else {}
    log = exchange.streams.connections
    mine = len(log)
    exchange.clock.set(BUSY)  # the same seconds, whatever ran before
    with getattr(sdk.ws_stream, head)(MARKETS, format=format_, **options) as stream:
        # It is subscribed before the clock goes on for our client.
        asyncio.run(until(lambda: len(log) > mine and log[mine].sent))
        frames = asyncio.run(listened(exchange, folder, [Topic(type_, one) for one in MARKETS], format_, 6.0))
        events = [stream.recv() for _ in range(log[mine].sent)]
        assert log[mine].sent == len(frames)
        return events, frames


# Lists are the same objects in brackets; of the candles one is enough there.
CASES = [
    (type_, format_)
    for type_ in TYPES
    for format_ in FORMATS
    if not format_.endswith("_LIST") or type_ in ("ticker", "trade", "orderbook", "candle.1s")
]


@pytest.mark.parametrize(("type_", "format_"), CASES)
def test_both_clients_receive_the_same(exchange: Exchange, sdk: Any, tmp_path: Path, type_: str, format_: str) -> None:
    simple, listed = format_.startswith("SIMPLE"), format_.endswith("_LIST")
    events, frames = both(exchange, sdk, tmp_path, type_, format_)

    assert len(events) == len(frames) >= (1 if listed else len(MARKETS))
    assert all(isinstance(one, list) is listed for one in events)
    theirs, ours = by_market([plain(one) for one in events]), by_market([wire(one) for one in frames])
    assert set(ours) == set(MARKETS)
    assert theirs == ours
    flat = [one for event in events for one in event] if listed else events
    for event in flat:
        assert type(event).__name__ == MODELS["candle" if type_ in CANDLES else type_][simple]
        fields = set(event.model_dump(by_alias=True, exclude_unset=True))
        assert fields >= expected_fields(type_, simple=simple) - ({"level", "lv"} if type_ == "orderbook" else set())
        assert set(event.model_extra or {}) <= GONE
        known = event.model_dump(by_alias=True, exclude_unset=True, exclude=set(event.model_extra or {}))
        assert {name for name, value in known.items() if value is None} <= EMPTY


MODELS = {
    "ticker": ("Ticker", "SimpleTicker"), "trade": ("Trade", "SimpleTrade"),
    "orderbook": ("Orderbook", "SimpleOrderbook"), "candle": ("WsCandleResponse", "SimpleCandle"),
}  # fmt: skip


@pytest.mark.parametrize("type_", ["ticker", "trade", "orderbook", "candle.1s"])
def test_our_rows_are_worth_what_upbits_client_reads(exchange: Exchange, sdk: Any, tmp_path: Path, type_: str) -> None:
    events, frames = both(exchange, sdk, tmp_path, type_, "DEFAULT")
    rows, refused = decode(frames, [0] * len(frames))
    assert not refused
    key = lambda one: (one.code, one.stream_type == "REALTIME", one.timestamp, getattr(one, "sequential_id", 0))  # noqa: E731
    pairs = list(zip(sorted(events, key=key), sorted(rows, key=key), strict=True))
    assert len(pairs) > len(MARKETS)
    for event, row in pairs:
        for name in row.__struct_fields__:
            value = getattr(row, name)
            if name == "received_at" or not hasattr(event, name):
                continue
            told = getattr(event, name)
            if name == "orderbook_units":
                ours = [(one.ask_price, one.bid_price, one.ask_size, one.bid_size) for one in value]
                theirs = [(one.ask_price, one.bid_price, one.ask_size, one.bid_size) for one in told]
                assert ours == [tuple(map(float, one)) for one in theirs]
            elif isinstance(value, float):
                assert value == float(told), name
            elif name == "candle_date_time_utc":
                assert f"{value:%Y-%m-%dT%H:%M:%S}" == told
            elif not type(value).__name__.startswith("Unset"):
                assert value == told, name


@pytest.mark.parametrize("format_", FORMATS)
def test_its_list_of_subscriptions(exchange: Exchange, sdk: Any, format_: str) -> None:
    with sdk.ws_stream.subscribe(
        ticker=["KRW-BTC"], orderbook=["KRW-BTC.5", "KRW-ETH"], candle={"1m": ["KRW-BTC"]}, format=format_
    ) as stream:
        answer = stream.list_subscriptions()
        told = answer.model_dump(by_alias=True)
        short = SIMPLE_KEYS["LIST_SUBSCRIPTIONS"] if format_.startswith("SIMPLE") else {}
        name = lambda key: short.get(key, key)  # noqa: E731 - used at once
        assert told[name("method")] == "LIST_SUBSCRIPTIONS"
        found = {one[name("type")]: one[name("codes")] for one in told[name("result")]}
        assert found == {
            "ticker": ["KRW-BTC"], "orderbook": ["KRW-BTC.5", "KRW-ETH"], "candle.1m": ["KRW-BTC"],
        }  # fmt: skip
        # The snapshots that came meanwhile are not lost, and the stream goes on in its format.
        first = stream.recv()
        assert isinstance(first, list) is format_.endswith("_LIST")


def test_an_error_is_sent_and_the_stream_ends(exchange: Exchange, sdk: Any) -> None:
    with sdk.ws_public.connect_public() as connection:
        connection.send_raw('[{"ticket":"t"},{"type":"nope","codes":["KRW-BTC"]}]')
        events = list(connection)
    (event,) = events
    assert event.error["name"] == "INVALID_PARAM"
    assert "nope" in event.error["message"]


def test_it_comes_back_after_a_break(exchange: Exchange, sdk: Any) -> None:
    back: list[int] = []
    with sdk.ws_stream.trade(["KRW-BTC"], retry_delay=0.05, on_reconnect=lambda: back.append(1)) as stream:
        told = iter(stream)
        first = next(told)
        exchange.streams.drop()
        second = next(told)
        assert (first.stream_type, second.stream_type) == ("SNAPSHOT", "SNAPSHOT")
        assert first.sequential_id == second.sequential_id
        assert back == [1]
        stream.close()
