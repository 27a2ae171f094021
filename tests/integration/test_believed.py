"""What one odd answer may do: nothing that lasts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.api import engine
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.runtime.clock import ManualClock
from upbit_frames.testing import Exchange

PAGES = "/v1/candles/minutes/1?"
TRADES = "/v1/trades/ticks?"
Truth = Callable[..., pa.Table]


class Machine(ManualClock):
    """A machine whose clock differs from the exchange's by so many seconds."""

    def __init__(self, exchange: Exchange, ahead: float) -> None:
        super().__init__(exchange.clock.now() + round(ahead * 1_000_000))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, without_streams: None) -> Callable[[Exchange, float], Machine]:
    """Let every process's clock from here on be off by so much, as a function (exchange, seconds)."""

    def set_clock(exchange: Exchange, ahead: float) -> Machine:
        clock = Machine(exchange, ahead)
        monkeypatch.setattr(engine, "SystemClock", lambda: clock)
        return clock

    return set_clock


@pytest.fixture
def restart(make_client: Callable[..., uf.Client], monkeypatch: pytest.MonkeyPatch) -> Callable[[Exchange], uf.Client]:
    """A new process on the same store: it has not met the exchange."""

    def make(exchange: Exchange) -> uf.Client:
        engine._engines.clear()
        engine._clocks.clear()
        return make_client(exchange)

    return make


def same(table: Any, truth: pa.Table) -> bool:
    return bool(table.replace_schema_metadata(None).equals(truth))


def covered_until(client: uf.Client, market: str, interval: str | None) -> int:
    from upbit_frames.store.base import Series

    store = engine.engine_for(client.config).ports.store
    spans = store.covered(Series("candles" if interval else "trades", market, interval))
    return spans[-1].end if spans else 0


# --- the end of history ---------------------------------------------------------------------------

RANGE = ("2026-02-25T00:00:00+00:00", "2026-02-26T12:00:00+00:00")


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-ELF"])
@pytest.mark.parametrize(
    "faults",
    [
        [("empty", {"times": 2})],
        [("empty", {"times": 3, "after": 4})],
        [("short", {"times": 1, "rows": 180}), ("empty", {"times": 1, "after": 1})],
        [("short", {"times": 2, "rows": 180}), ("empty", {"times": 3, "after": 2})],
        [("short", {"times": 4, "rows": 1, "after": 2})],
        [("empty", {"times": None})],
    ],
)
def test_a_bad_second_is_not_the_end_of_history(
    exchange: Exchange, restart: Callable[..., uf.Client], truth: Truth, market: str, faults: list[Any]
) -> None:
    for kind, options in faults:
        exchange.faults.add(kind, "/v1/candles/", **options)
    client = restart(exchange)
    expected = truth(exchange, market, "1m", *RANGE)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with suppress(uf.errors.SchemaError):  # refused: nothing is kept
            first = client.candles(market, "1m", start=RANGE[0], end=RANGE[1], output="arrow")
            assert same(first, expected) or "nothing else confirms it" in str(told[-1].message)
    exchange.faults.clear()
    again = restart(exchange).candles(market, "1m", start=RANGE[0], end=RANGE[1], output="arrow")
    assert same(again, expected)


@pytest.mark.parametrize("fault", ["empty", "short", None])
def test_a_market_listed_today_has_its_candles(make_client: Callable[..., uf.Client], fault: str | None) -> None:
    with Exchange(seed=7, now="2026-01-15T20:00:00Z", limits=False) as exchange:
        first = exchange.market.candles("KRW-NEW", INTERVALS["1m"], 0, exchange.clock.now()).table()["time"][0].as_py()
        assert first.date().isoformat() == "2026-01-15"
        if fault is not None:
            exchange.faults.add(fault, PAGES, times=2)
        client = make_client(exchange)
        frame = client.candles("KRW-NEW", "1m", start="2026-01-10", end="2026-01-15T19:00Z")
        assert frame.index[0] == first
        assert len(frame) == len(exchange.market.candles(
            "KRW-NEW", INTERVALS["1m"], 0, int(pd.Timestamp("2026-01-15T19:00Z").value // 1000)
        ).table())  # fmt: skip
        exchange.requests.clear()
        assert len(client.candles("KRW-NEW", "1m", start="2025-01-10", end="2026-01-15T19:00Z")) == len(frame)
        assert exchange.requests == []  # the beginning is known


# --- the exchange's time --------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3600, 40 * 86_400, -3600, 30])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_one_skewed_date_seals_nothing(
    exchange: Exchange, restart: Callable[..., uf.Client], machine: Callable[..., Machine],
    truth: Truth, seconds: int, after: int, interval: str,
) -> None:  # fmt: skip
    exchange.clock.set("2026-03-01T03:30:30Z")
    clock = machine(exchange, 0)
    exchange.faults.add("skew", after=after, times=1, seconds=seconds)
    client = restart(exchange)
    end = (pd.Timestamp("2026-03-01T03:30Z") if interval == "1m" else pd.Timestamp("2026-03-01T03:00Z")).isoformat()
    expected = truth(exchange, "KRW-BTC", interval, "2026-02-28T00:00:00+00:00", end)
    for call in range(3):
        table = client.candles("KRW-BTC", interval, start="2026-02-28", output="arrow")
        assert same(table, expected), call
        client.candles("KRW-ETH", interval, count=3)
    assert covered_until(client, "KRW-BTC", interval) == pd.Timestamp(end).value // 1000
    exchange.faults.clear()
    exchange.clock.advance(7200)
    clock.advance(7200)
    again = restart(exchange).candles("KRW-BTC", interval, start="2026-02-28", end="2026-03-01T05:00Z", output="arrow")
    assert same(again, truth(exchange, "KRW-BTC", interval, "2026-02-28T00:00:00+00:00", "2026-03-01T05:00:00+00:00"))


@pytest.mark.parametrize("ahead", [3600.0, -3600.0, 0.0])
def test_without_a_date_nothing_recent_is_sealed(
    exchange: Exchange, restart: Callable[..., uf.Client], machine: Callable[..., Machine], truth: Truth, ahead: float
) -> None:
    exchange.clock.set("2026-03-01T03:30:30Z")
    clock = machine(exchange, ahead)
    exchange.faults.add("undated", times=None)
    client = restart(exchange)
    frame = client.candles("KRW-BTC", "1m", count=100)
    assert len(frame) == 100
    assert covered_until(client, "KRW-BTC", "1m") <= pd.Timestamp("2026-03-01T03:30Z").value // 1000
    assert frame.index[-1] >= pd.Timestamp("2026-03-01T03:28Z")
    exchange.faults.clear()
    exchange.clock.advance(7200)
    clock.advance(7200)
    again = restart(exchange).candles("KRW-BTC", "1m", start="2026-03-01", end="2026-03-01T05:20Z", output="arrow")
    assert same(again, truth(exchange, "KRW-BTC", "1m", "2026-03-01T00:00:00+00:00", "2026-03-01T05:20:00+00:00"))


@pytest.mark.parametrize("ahead", [-56 * 365.25 * 86_400, -10 * 86_400, -60, 60, 10 * 86_400])
@pytest.mark.parametrize("asked", [
    {"start": "2026-02-27", "end": "2026-02-28"}, {"start": "2026-02-28"}, {"count": 250},
    {"start": "2026-02-28T00:00", "count": 100},
])  # fmt: skip
def test_a_machine_whose_clock_is_off_has_the_candles_that_exist(
    exchange: Exchange, restart: Callable[..., uf.Client], machine: Callable[..., Machine], truth: Truth,
    ahead: float, asked: dict[str, Any],
) -> None:  # fmt: skip
    machine(exchange, ahead)
    client = restart(exchange)
    table = client.candles("KRW-BTC", "1m", output="arrow", **asked)
    end = asked.get("end", "2026-03-01T03:29:00+00:00")
    if asked.get("count") and "start" in asked:
        expected = truth(exchange, "KRW-BTC", "1m", "2026-02-28T00:00:00+00:00", "2026-03-01T00:00:00+00:00")[:100]
    else:
        end = datetime.fromisoformat(end)
        start = asked.get("start", "2026-02-20")
        expected = truth(
            exchange, "KRW-BTC", "1m", f"{start}T00:00:00+00:00", end.replace(tzinfo=end.tzinfo or UTC).isoformat()
        )
        expected = expected[max(0, len(expected) - asked.get("count", len(expected))) :]
    assert same(table, expected)
    clock_requests = [one for one in exchange.requests if one.path == "/v1/trades/ticks"]
    assert len(clock_requests) <= 2


def test_the_time_is_settled_once_a_process(
    exchange: Exchange, restart: Callable[..., uf.Client], machine: Callable[..., Machine]
) -> None:
    machine(exchange, 0)
    client = restart(exchange)
    for market in ("KRW-BTC", "KRW-ETH", "KRW-XRP"):
        client.candles(market, "1m", count=10)
    paths = [one.path for one in exchange.requests]
    assert paths.count("/v1/trades/ticks") == 1
    assert len(paths) == 4


def test_what_is_stored_answers_where_the_exchange_does_not(
    exchange: Exchange, restart: Callable[..., uf.Client], machine: Callable[..., Machine]
) -> None:
    machine(exchange, 0)
    first = restart(exchange).candles("KRW-BTC", "1m", count=10)
    exchange.faults.add("503", times=None)
    with pytest.warns(uf.errors.UpbitFramesWarning, match="what this machine's clock takes for now"):
        again = restart(exchange).candles("KRW-BTC", "1m", count=10)
    pd.testing.assert_frame_equal(first, again)
    with pytest.raises(uf.errors.ServerError):
        restart(exchange).candles("KRW-BTC", "1m", count=500)


# --- trades ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        [("empty", {"times": 2})],
        [("empty", {"times": 3, "after": 1})],
        [("short", {"times": 1, "rows": 480}), ("empty", {"times": 1})],
        [("short", {"times": 1, "rows": 1})],
        [("ahead", {"times": 1, "seconds": 86_400})],
        [("ahead", {"times": 1, "seconds": 60})],
        [("ahead", {"times": 1, "seconds": 60, "after": 2})],
        [("skew", {"times": 1, "seconds": 3600})],
        [("skew", {"times": 1, "seconds": -3600, "after": 2})],
        [("empty", {"times": None})],
    ],
)
@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-ELF"])
def test_trades_are_not_lost_to_a_bad_second(
    exchange: Exchange, restart: Callable[..., uf.Client], machine: Callable[..., Machine],
    market: str, faults: list[Any],
) -> None:  # fmt: skip
    machine(exchange, 0)
    count, asked = (700 if market == "KRW-BTC" else 20), {"start": "2026-02-28T22:00", "end": "2026-03-01T01:00"}
    for kind, options in faults:
        exchange.faults.add(kind, TRADES + "market=" + market + "&count=500", **options)
    with suppress(uf.errors.SchemaError):
        restart(exchange).trades(market, **asked)
        restart(exchange).trades(market, count=count)
    exchange.faults.clear()
    client = restart(exchange)
    trades, newest = client.trades(market, **asked), client.trades(market, count=count)
    fresh = client.trades(market, **asked, source="rest")
    pd.testing.assert_frame_equal(trades, fresh)
    pd.testing.assert_frame_equal(newest, client.trades(market, count=count, source="rest"))
    assert len(trades) > 0
