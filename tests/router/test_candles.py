"""What the router makes of questions about candles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from upbit_frames.core.intervals import INTERVALS, from_micros, to_micros
from upbit_frames.core.query import CandleQuery
from upbit_frames.errors import InvalidRange, MarketNotFound, NotCached, SchemaError
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import Ports
from upbit_frames.router.result import Result
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series

MINUTE = INTERVALS["1m"]
STEP = MINUTE.step
DAY = 86_400 * 1_000_000


def ask(ports: Ports, interval: str = "1m", market: Any = "KRW-BTC", **arguments: Any) -> Result:
    query = CandleQuery.build(market, interval, **arguments)
    return asyncio.run(CandleRouter(ports).fetch(query, Progress()))


def times(answer: Result) -> list[int]:
    return answer.table["time"].cast("int64").to_pylist()


def fill_ticks(exchange: Any, minutes: range, every: int = 1) -> int:
    """A tick in every so many-th minute, counted back from the exchange's present minute."""
    last = MINUTE.floor(exchange.now)
    for i in minutes:
        if i % every == 0:
            exchange.ticks[last - i * STEP + 7_000_000] = 100.0 + i
    return last


def test_the_default_is_the_last_200_in_one_request(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    last = fill_ticks(exchange, range(5000))
    answer = ask(make_ports())
    assert times(answer) == [last - i * STEP for i in range(200, 0, -1)]
    assert len(exchange.asked) == 1
    assert [step["channel"] for step in answer.meta["route"]] == ["rest"]


def test_asked_again_nothing_is_requested(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    fill_ticks(exchange, range(5000))
    ports = make_ports()
    first = ask(ports)
    again = ask(ports)
    assert first.table == again.table
    assert len(exchange.asked) == 1
    assert [(s["channel"], s["rows"]) for s in again.meta["route"]] == [("store", 200)]


def test_only_what_is_missing_is_requested(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    last = fill_ticks(exchange, range(3000))
    ports = make_ports()
    ask(ports, start=from_micros(last - 2000 * STEP), end=from_micros(last - 1500 * STEP))
    ask(ports, start=from_micros(last - 1000 * STEP), end=from_micros(last - 500 * STEP))
    exchange.asked.clear()
    answer = ask(ports, start=from_micros(last - 2500 * STEP), end=from_micros(last - 300 * STEP))
    assert len(answer.table) == 2200
    route = [(s["channel"], s["rows"]) for s in answer.meta["route"]]
    assert route == [("rest", 500), ("store", 500), ("rest", 500), ("store", 500), ("rest", 200)]
    assert sum(int(a["count"]) for a in exchange.asked) == 1200
    assert len(exchange.asked) == sum(s["requests"] for s in answer.meta["route"]) == 7


@pytest.mark.parametrize("every", [1, 3, 50])
@pytest.mark.parametrize("count", [1, 5, 200, 201, 700])
def test_count_means_existing_candles(exchange: Any, make_ports: Callable[..., Ports], every: int, count: int) -> None:
    last = fill_ticks(exchange, range(60_000), every)
    ports = make_ports()
    newest = ask(ports, count=count)
    expected = sorted(MINUTE.floor(t) for t in exchange.ticks if MINUTE.floor(t) < last)
    assert times(newest) == expected[-count:]
    oldest = ask(ports, start=from_micros(expected[100]), count=count)
    assert times(oldest) == expected[100 : 100 + count]
    exchange.asked.clear()
    assert times(ask(ports, count=count)) == expected[-count:]
    assert times(ask(ports, start=from_micros(expected[100]), count=count)) == expected[100 : 100 + count]
    assert exchange.asked == []


def test_the_whole_history_is_remembered_to_have_a_beginning(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    last = fill_ticks(exchange, range(1000))
    ports = make_ports()
    answer = ask(ports, start="2020-01-01")
    assert len(answer.table) == 999
    assert len(exchange.asked) <= 5 + 12
    exchange.asked.clear()
    assert len(ask(ports, start="2018-01-01").table) == 999
    assert len(ask(ports, count=5000).table) == 999
    assert ask(ports, start="2017-01-01", end="2018-01-01").table.num_rows == 0
    assert exchange.asked == []
    assert times(ask(ports, start="2017-01-01", count=3)) == [last - i * STEP for i in (999, 998, 997)]
    assert exchange.asked == []


def test_first_ones_after_the_listing_are_found_with_few_requests(
    exchange: Any, make_ports: Callable[..., Ports]
) -> None:
    last = fill_ticks(exchange, range(200_000), 2)
    answer = ask(make_ports(), start="2017-06-01", count=10)
    first = min(MINUTE.floor(t) for t in exchange.ticks)
    assert times(answer) == [first + 2 * i * STEP for i in range(10)]
    assert first < last
    assert len(exchange.asked) <= 14


def test_forming_is_appended_and_never_stored(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    last = fill_ticks(exchange, range(300))
    ports = make_ports()
    answer = ask(ports, count=10, forming=True)
    assert times(answer) == [last - i * STEP for i in range(9, -1, -1)]  # the forming one is counted
    assert ports.store.covered(Series("candles", "KRW-BTC", "1m"))[-1].end == last
    exchange.ticks[last + 58_000_000] = 999.0
    assert ask(ports, count=10, forming=True).table["close"][-1].as_py() == 100.0  # that tick is still to come
    exchange.clock.advance(3)
    assert ask(ports, count=10, forming=True).table["close"][-1].as_py() == 999.0
    exchange.clock.advance(60)
    assert ask(ports, count=1).table["close"].to_pylist() == [999.0]


def test_a_candle_is_sealed_only_after_its_grace(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    fill_ticks(exchange, range(300))
    exchange.clock.set(to_micros(from_micros(exchange.now).replace(second=3, microsecond=0)) + 60_000_000)
    last = MINUTE.floor(exchange.now)
    ports = make_ports()
    assert times(ask(ports, count=1)) == [last - 2 * STEP]
    exchange.clock.advance(4)
    assert times(ask(ports, count=1)) == [last - STEP]


@pytest.mark.parametrize("skew", [-7 * DAY, -3600 * 10**6, -1, 1, 90 * 10**6, 30 * DAY])
def test_a_wrong_clock_of_the_machine_does_not_matter(
    exchange: Any, make_ports: Callable[..., Ports], skew: int
) -> None:
    exchange.skew = skew
    last = fill_ticks(exchange, range(400))
    ports = make_ports()
    answer = ask(ports, count=100, forming=True)
    assert times(answer) == [last - i * STEP for i in range(99, -1, -1)]
    assert ask(ports, start=from_micros(last - 50 * STEP)).table.num_rows == 50


def test_cache_only(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    last = fill_ticks(exchange, range(3000))
    ports = make_ports()
    with pytest.raises(NotCached):
        ask(ports, source="store")
    ask(ports, count=500)
    exchange.asked.clear()
    assert len(ask(ports, count=300, source="store").table) == 300
    assert len(ask(ports, start=from_micros(last - 400 * STEP), source="store", forming=True).table) == 400
    with pytest.raises(NotCached) as caught:
        ask(ports, start=from_micros(last - 900 * STEP), source="store")
    assert caught.value.missing == [
        (from_micros(last - 900 * STEP).isoformat()[:-6] + "Z", from_micros(last - 500 * STEP).isoformat()[:-6] + "Z")
    ]
    with pytest.raises(NotCached):
        ask(ports, count=501, source="store")
    assert exchange.asked == []


def test_rest_only_asks_again_but_still_stores(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    fill_ticks(exchange, range(3000))
    ports = make_ports()
    ask(ports, count=300)
    n = len(exchange.asked)
    forced = ask(ports, count=300, source="rest")
    assert len(exchange.asked) == 2 * n
    assert {s["channel"] for s in forced.meta["route"]} == {"rest"}
    ask(ports, count=900, source="rest")
    exchange.asked.clear()
    ask(ports, count=900)
    assert exchange.asked == []


def test_several_markets(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    fill_ticks(exchange, range(3000))
    answer = ask(make_ports(), market=["KRW-ETH", "KRW-BTC"], count=5)
    assert answer.table["market"].to_pylist() == ["KRW-ETH"] * 5 + ["KRW-BTC"] * 5
    assert answer.meta["market"] == ["KRW-ETH", "KRW-BTC"]
    with pytest.raises(MarketNotFound) as caught:
        ask(make_ports(), market=["KRW-BTC", "KRW-NOPE"], count=5)
    assert caught.value.market == "KRW-NOPE"


def test_second_candles_older_than_three_months_are_told_and_never_taken_for_empty(
    exchange: Any, make_ports: Callable[..., Ports]
) -> None:
    now = exchange.now
    exchange.keeps = 92 * DAY
    for day in range(200):
        exchange.ticks[now - now % DAY - day * DAY] = 1.0
    ports = make_ports()
    answer = ask(ports, "1s", start=from_micros(now - 150 * DAY), end=from_micros(now - 80 * DAY))
    assert len(answer.table) == 12
    assert answer.meta["route"][0]["channel"] == "none"
    series = answer.meta["market"]
    assert series == "KRW-BTC"
    with pytest.raises(NotCached):
        ask(ports, "1s", start=from_micros(now - 150 * DAY), end=from_micros(now - 80 * DAY), source="store")


@pytest.mark.parametrize("start", ["2027-01-01", "2026-03-01 12:35"])
def test_a_start_in_the_future_is_refused(exchange: Any, make_ports: Callable[..., Ports], start: str) -> None:
    with pytest.raises(InvalidRange, match="future"):
        ask(make_ports(), start=start)


def test_an_answer_past_its_end_is_refused(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    last = fill_ticks(exchange, range(3000))
    exchange.faults.append(lambda params, body: body.replace(b"2026-03-01T11", b"2026-03-01T13"))
    ports = make_ports()
    with pytest.raises(SchemaError):
        ask(ports, end=from_micros(last - 30 * STEP), count=10)


@pytest.mark.parametrize("name", ["1m", "3m", "1h", "4h", "1d", "1w", "1M", "1y"])
def test_every_interval(exchange: Any, make_ports: Callable[..., Ports], name: str) -> None:
    interval = INTERVALS[name]
    last = interval.floor(exchange.now)
    for i in range(12):
        exchange.ticks[interval.shift(last, -i) + 1_000_000] = 5.0 + i
    answer = ask(make_ports(), name, count=8)
    assert times(answer) == [interval.shift(last, -i) for i in range(8, 0, -1)]


def test_plan_needs_no_network_and_agrees_with_what_happens(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    last = fill_ticks(exchange, range(5000))
    ports = make_ports()
    ask(ports, start=from_micros(last - 1000 * STEP), end=from_micros(last - 500 * STEP))
    exchange.asked.clear()
    query = CandleQuery.build("KRW-BTC", "1m", start=from_micros(last - 2000 * STEP))
    plan = asyncio.run(CandleRouter(ports).plan(query))
    assert exchange.asked == []
    assert [(s.channel, s.rows) for s in plan.steps] == [("rest", 1000), ("store", 500), ("rest", 500)]
    asyncio.run(CandleRouter(ports).fetch(query, Progress()))
    assert plan.requests == len(exchange.asked)
