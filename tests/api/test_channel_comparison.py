"""REST and the stream side by side: the arithmetic, and the whole of it over sockets."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import upbit_frames as uf
from upbit_frames.api.channel_comparison import (
    CHANNELS,
    Sample,
    State,
    age,
    percentile,
    relation,
    sample_alternately,
    states_of,
    summary,
    to_rows,
)
from upbit_frames.errors import Blocked, InvalidInterval, InvalidMarket, MarketNotFound, QueryError, ServerError
from upbit_frames.runtime.clock import ManualClock
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

NOW = "2026-03-01T03:00:20Z"
T = 1_772_334_000_000_000


def ticker(time: int, **changed: float) -> State:
    values = {
        "price": 100.0, "volume": 1.0, "open": 90.0, "high": 110.0, "low": 80.0, "prev_close": 91.0,
        "change_price": 9.0, "value": 5_000.0, "volume_day": 50.0,
    } | changed  # fmt: skip
    return State(time, (time, values["volume_day"]), values)


def trades(*numbers: int, price: float = 5.0) -> State:
    values = {number: (T + number * 1000, price, 1.0, "bid") for number in numbers}
    return State(T + numbers[-1] * 1000, (T + numbers[-1] * 1000, numbers[-1]), values)


# --- arithmetic -----------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    st.sampled_from([0.0, 0.25, 0.5, 0.95, 1.0]),
)
def test_percentile_is_numpys(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(float(np.percentile(values, share * 100)), abs=1e-6)


def test_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 0.5))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (ticker(T), ticker(T), "same"),
        (ticker(T), ticker(T, price=101.0), "contradiction"),
        (ticker(T + 1000, volume_day=51.0, value=5_100.0), ticker(T), "newer"),
        (ticker(T), ticker(T + 1000, volume_day=51.0, value=5_100.0, high=120.0), "older"),
        # Two trades of one millisecond.
        (ticker(T), ticker(T, volume_day=51.0, price=101.0), "older"),
        (ticker(T), ticker(T + 1000, volume_day=49.0), "contradiction"),
        (ticker(T), ticker(T + 1000, volume_day=51.0, low=81.0), "contradiction"),
        (ticker(T), ticker(T + 1000, volume_day=51.0, open=91.0), "contradiction"),
        (ticker(T), ticker(T + 86_400_000_000, volume_day=1.0, open=95.0, high=96.0), "older"),
    ],
)
def test_tickers_together(one: State, other: State, expected: str) -> None:
    assert relation("ticker", one, other) == expected


def test_times_that_differ_by_a_microsecond_differ() -> None:
    book = {0: (1.0, 2.0, 0.5, 3.0)}
    one, other = State(T, (T,), book), State(T + 1, (T + 1,), {0: (1.1, 2.0, 0.5, 3.0)})
    assert relation("orderbook", one, other) == "older"
    assert relation("orderbook", one, State(T, (T,), book)) == "same"
    assert relation("orderbook", one, replace(other, time=T, rank=(T,))) == "contradiction"
    assert relation("orderbook", one, State(T, (T,), book | {1: (2.0, 1.0, 0.4, 1.0)})) == "contradiction"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (trades(1, 2, 3), trades(1, 2, 3), "same"),
        (trades(1, 2, 3), trades(2, 3, 4), "older"),
        (trades(2, 3, 4), trades(1, 2, 3), "newer"),
        (trades(5, 6), trades(1, 2), "newer"),  # they do not reach each other, so nothing contradicts
        (trades(1, 2, 3), trades(1, 3, 4), "contradiction"),  # one is missing
        (trades(1, 3), trades(1, 2, 3, 4), "contradiction"),  # and here the other one lacks it
        (trades(1, 2), trades(2, 3, price=6.0), "contradiction"),
    ],
)
def test_trades_together(one: State, other: State, expected: str) -> None:
    assert relation("trade", one, other) == expected


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 8), st.integers(1, 8), st.data())
def test_two_windows_of_one_tape_never_contradict(steps: list[int], first: int, second: int, data: Any) -> None:
    """Whatever part of the same trades two answers tell, they agree; one that loses a trade does not."""
    numbers = list(np.cumsum([1, *[step + 1 for step in steps]]).tolist())
    ends = sorted(data.draw(st.lists(st.integers(1, len(numbers)), min_size=2, max_size=2)))
    older, newer = numbers[: ends[0]][-first:], numbers[: ends[1]][-second:]
    expected = "same" if ends[0] == ends[1] else "older"
    assert relation("trade", trades(*older), trades(*newer)) == expected
    inside = [one for one in older[:-1] if one > newer[0]]
    if inside:
        lost = data.draw(st.sampled_from(inside))
        torn = trades(*[one for one in newer if one != lost])
        assert relation("trade", trades(*older), torn) == "contradiction"


def test_states_of_a_book_keep_its_levels_apart() -> None:
    table = pa.table(
        {
            "market": ["A-B", "A-B", "A-C"], "level": [0, 1, 0], "ask_price": [2.0, 3.0, 9.0],
            "ask_size": [1.0, 1.0, 1.0], "bid_price": [1.0, None, 8.0], "bid_size": [1.0, None, 1.0],
            "time": pa.array([T, T, T + 5], pa.timestamp("us", tz="UTC")),
        }
    )  # fmt: skip
    found = states_of("orderbook", table)
    assert found["A-B"] == State(T, (T,), {0: (2.0, 1.0, 1.0, 1.0), 1: (3.0, 1.0, None, None)})
    assert found["A-C"].time == T + 5
    assert states_of("trade", table.slice(0, 0), "A-B") == {}


def test_summary_by_hand() -> None:
    quiet, later = ticker(T), ticker(T + 100_000, volume_day=60.0)
    samples = [
        Sample(0, "rest", 90.0, T + 50_000, {"M": quiet}, 1),
        Sample(0, "live", 70.0, T + 60_000, {"M": quiet}, 0),
        Sample(1, "live", 1.0, T + 150_000, {"M": quiet}, 0),
        Sample(1, "rest", 40.0, T + 190_000, {"M": later}, 1),
        Sample(2, "rest", math.nan, T + 250_000, {}, 0, "Timeout: late"),
        Sample(2, "live", 3.0, T + 260_000, {"M": later}, 0),
    ]
    rows = summary("ticker", samples, offset=10_000)
    assert rows["rest"] == pytest.approx(
        {
            "attempts": 3, "answered": 2, "opening": 90.0,
            "latency_p50": 40.0, "latency_p95": 40.0, "latency_max": 40.0,
            "age_p50": 100.0, "age_p95": 100.0, "newer": 0.5, "same": 0.5, "agreement": 1.0, "requests": 2,
        }
    )  # fmt: skip
    assert rows["live"]["latency_p50"] == pytest.approx(2.0)
    assert rows["live"]["age_p50"] == pytest.approx((160 + 170) / 2)
    assert (rows["live"]["newer"], rows["live"]["agreement"]) == (0.0, 1.0)
    assert math.isnan(age("candle", samples[0], 0))
    plain = to_rows("ticker", samples, 10_000)
    assert json.loads(json.dumps(plain))[4] == {
        "round": 2, "channel": "rest", "latency": None, "age": None, "newest": None, "requests": 0,
        "error": "Timeout: late",
    }  # fmt: skip


def test_nothing_answered_is_no_number() -> None:
    samples = [Sample(0, channel, math.nan, T, error="Timeout: late") for channel in CHANNELS]
    rows = summary("ticker", samples, 0)
    assert rows["live"]["answered"] == 0
    assert all(math.isnan(rows["live"][name]) for name in ("latency_p50", "age_p95", "newer", "agreement"))


def test_channels_take_turns_and_failures_are_counted() -> None:
    clock, asked = ManualClock(T), []

    async def ask(channel: str) -> tuple[dict[str, State], int]:
        asked.append((round(clock.monotonic() - 1000.0, 3), channel))
        await clock.sleep(0.02 if channel == "rest" else 0.001)
        if channel == "live" and len(asked) == 2:
            raise ServerError("down")
        return {"M": ticker(T)}, 1

    samples = asyncio.run(sample_alternately(ask, 3, 0.5, clock))
    assert asked == [(0.0, "rest"), (0.02, "live"), (0.5, "live"), (0.501, "rest"), (1.0, "rest"), (1.02, "live")]
    assert [round(one.latency) for one in samples if not one.error] == [20, 1, 20, 20, 1]
    assert [one.error for one in samples if one.error] == ["ServerError: down"]


def test_a_block_ends_it() -> None:
    async def ask(channel: str) -> tuple[dict[str, State], int]:
        raise Blocked("blocked", until=None)

    with pytest.raises(Blocked):
        asyncio.run(sample_alternately(ask, 3, 0.0, ManualClock(T)))


# --- over sockets -------------------------------------------------------------------------------------------


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    lively = [replace(one, trades_per_day=40_000.0) if one.market == "KRW-BTC" else one for one in default_listings()]
    with Exchange(seed=7, now=NOW, markets=lively) as exchange:
        exchange.clock.run()
        yield exchange


@pytest.fixture
def client(exchange: Exchange, tmp_path: Path) -> uf.Client:
    return uf.Client(exchange.config(cache_dir=tmp_path, progress=False))


@pytest.mark.parametrize("kind", ["ticker", "orderbook", "trades", "candle.1m"])
def test_both_channels_tell_the_same(kind: str, client: uf.Client, exchange: Exchange) -> None:
    frame = client.compare(kind, ["KRW-BTC", "KRW-ETH"], n=4, every=0.15)
    assert list(frame.index) == ["rest", "live"]
    assert (frame["attempts"] == 4).all()
    assert (frame["answered"] == 4).all()
    assert (frame["agreement"] == 1.0).all()
    assert frame.loc["rest", "requests"] >= 4
    samples = pd.DataFrame(frame.attrs["upbit_frames"]["samples"])
    assert samples["channel"].value_counts().to_dict() == {"rest": 4, "live": 4}
    assert samples["error"].isna().all()
    assert json.loads(json.dumps(frame.attrs)) == frame.attrs
    assert len(exchange.streams.connections) == 1
    if kind != "candle.1m":
        # The middle of what the exchange's clock may say is off by its uncertainty at most.
        unsure = frame.attrs["upbit_frames"]["clock_uncertainty"]
        assert (frame["age_p50"] >= -unsure).all()


def test_a_stream_that_is_down_is_told(client: uf.Client, exchange: Exchange) -> None:
    exchange.streams.faults.refuse = [400] * 20
    frame = client.compare("ticker", "KRW-BTC", n=2, every=0.0)
    assert frame["answered"].to_dict() == {"rest": 2, "live": 0}
    assert math.isnan(frame.loc["live", "latency_p50"])
    assert math.isnan(frame.loc["rest", "agreement"])
    errors = [one["error"] for one in frame.attrs["upbit_frames"]["samples"] if one["channel"] == "live"]
    assert all(one.startswith("ConnectionFailed: the stream does not answer") for one in errors)


def test_as_a_coroutine(exchange: Exchange, tmp_path: Path) -> None:
    client = uf.AsyncClient(exchange.config(cache_dir=tmp_path, progress=False))
    frame = asyncio.run(client.compare("ticker", "KRW-BTC", n=2, every=0.0))
    assert (frame["answered"] == 2).all()


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda client: client.compare("tick"), QueryError),
        (lambda client: client.compare("candle.2m"), InvalidInterval),
        (lambda client: client.compare("ticker", "KRW/BTC"), InvalidMarket),
        (lambda client: client.compare("ticker", n=1), QueryError),
        (lambda client: client.compare("ticker", n=True), QueryError),
        (lambda client: client.compare("ticker", every=-1), QueryError),
        (lambda client: client.compare("orderbook", depth=31), QueryError),
    ],
)
def test_bad_input_asks_nothing(
    ask: Callable[[uf.Client], object], error: type[Exception], client: uf.Client, exchange: Exchange
) -> None:
    with pytest.raises(error):
        ask(client)
    assert not exchange.requests


def test_unknown_markets_are_named(client: uf.Client) -> None:
    with pytest.raises(MarketNotFound, match="KRW-NOPE"):
        client.compare("ticker", ["KRW-BTC", "KRW-NOPE"], n=2)
