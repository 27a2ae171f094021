"""Candles that Upbit does not have: whatever is stored, traded or asked, they are the exact sums of trades."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from model_exchange import HeardRest, ModelExchange

from upbit_frames.core.availability import sealed_until
from upbit_frames.core.bar_grid import Grid, parse_grid
from upbit_frames.core.intervals import EPOCH, INTERVALS, from_micros, to_micros
from upbit_frames.core.query import CandleQuery
from upbit_frames.errors import InvalidInterval, InvalidRange, NotCached, QueryError
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import Ports
from upbit_frames.router.result import Result
from upbit_frames.runtime.clock import ManualClock, ServerTime
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.memory import MemoryStore

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
# Clocks change in New York on 8 March, and on Lord Howe on 5 April and 4 October.
PRESENTS = ["2026-03-09T12:34:56", "2026-04-05T20:03:01", "2025-10-05T01:59:58", "2026-01-01T00:00:03"]
GRIDS = [
    ("2h", None), ("45m", None), ("90m", "Asia/Seoul"), ("6h", "America/New_York"), ("12h", "Australia/Lord_Howe"),
    ("1h", "Australia/Lord_Howe"), ("2h", "17:00 America/New_York"), ("1d", "Asia/Seoul"), ("1d", "America/New_York"),
    ("1d", "02:00 Australia/Lord_Howe"), ("2d", None), ("3d", "09:30"), ("1w", "Asia/Seoul"), ("1d", None),
    ("4h", None), ("20m", "00:10"), ("1M", "Asia/Kathmandu"),
]  # fmt: skip


def ask(ports: Ports, interval: str, base: Any = None, **arguments: Any) -> Result:
    query = CandleQuery.build("KRW-BTC", interval, base=base, **arguments)
    router = CandleRouter(ports)
    return router.fetch_stored(query) or asyncio.run(router.fetch(query, Progress()))


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    names = ("open", "high", "low", "close", "volume", "value")
    times = table["time"].cast("int64").to_pylist()
    return list(zip(times, *(table[name].to_pylist() for name in names), strict=True))


def truth(ticks: dict[int, float], grid: Grid, start: int, end: int) -> list[tuple[Any, ...]]:
    """The bars that begin in a range, straight from the trades."""
    groups: dict[int, list[float]] = {}
    for moment in sorted(ticks):
        groups.setdefault(grid.floor(moment), []).append(ticks[moment])
    return [
        (begin, prices[0], max(prices), min(prices), prices[-1], float(len(prices)), sum(prices))
        for begin, prices in groups.items()
        if start <= begin < end
    ]


class Machine(RuleBasedStateMachine):
    """Derived candles on a store that other questions fill, against the trades."""

    @initialize(
        present=st.sampled_from(PRESENTS), traded=st.sets(st.integers(-14_400, 400), min_size=1, max_size=300),
        dense=st.booleans(),
    )  # fmt: skip
    def begin(self, present: str, traded: set[int], dense: bool) -> None:
        now = to_micros(datetime.fromisoformat(present + "+00:00"))
        self.exchange = ModelExchange(ManualClock(now))
        minute = INTERVALS["1m"].floor(now)
        minutes = traded | (set(range(-2_000, 100)) if dense else set())
        self.exchange.ticks = {minute + i * MINUTE + (i * 7919 % 60) * 1_000_000: 100_000.0 + i for i in minutes}
        self.store = MemoryStore()
        self.now = now
        self.restart()

    @rule()
    def restart(self) -> None:
        server_time = ServerTime(self.exchange.clock)
        self.ports = Ports(RestApi(HeardRest(self.exchange, server_time)), self.store, self.exchange.clock, server_time)

    @rule(seconds=st.floats(0.1, 4000))
    def time_passes(self, seconds: float) -> None:
        self.exchange.clock.advance(seconds)

    @rule(
        name=st.sampled_from(["1m", "15m", "30m", "1h", "1d"]),
        low=st.integers(-15_000, 300),
        length=st.integers(1, 5000),
    )
    def upbits_own_are_asked_for(self, name: str, low: int, length: int) -> None:
        arguments = {"start": self.moment(low), "end": self.moment(low + length)}
        try:
            ask(self.ports, name, **arguments)
        except InvalidRange:
            return

    @rule(
        which=st.sampled_from(GRIDS), low=st.integers(-15_000, 300), length=st.integers(1, 15_000),
        forming=st.booleans(), gaps=st.sampled_from(["raw", "raw", "fill", "nan"]),
    )  # fmt: skip
    def ask_range(self, which: Any, low: int, length: int, forming: bool, gaps: str) -> None:
        self.check(which, {"start": self.moment(low), "end": self.moment(low + length)}, forming, gaps)

    @rule(which=st.sampled_from(GRIDS), low=st.integers(-15_000, 300), forming=st.booleans())
    def ask_until_now(self, which: Any, low: int, forming: bool) -> None:
        self.check(which, {"start": self.moment(low)}, forming, "raw")

    @rule(
        which=st.sampled_from(GRIDS), count=st.integers(1, 40), end=st.none() | st.integers(-15_000, 300),
        forming=st.booleans(),
    )  # fmt: skip
    def ask_last(self, which: Any, count: int, end: int | None, forming: bool) -> None:
        self.check(which, {"count": count, "end": None if end is None else self.moment(end)}, forming, "raw")

    @rule(which=st.sampled_from(GRIDS), count=st.integers(1, 40), low=st.integers(-15_000, 300), forming=st.booleans())
    def ask_first(self, which: Any, count: int, low: int, forming: bool) -> None:
        self.check(which, {"count": count, "start": self.moment(low)}, forming, "raw")

    def moment(self, minutes: int) -> Any:
        return from_micros(self.now + minutes * MINUTE)

    def check(self, which: tuple[str, Any], arguments: dict[str, Any], forming: bool, gaps: str) -> None:
        grid = parse_grid(*which)
        source = "auto" if which[1] or which[0] not in INTERVALS else "derived"
        given = {**arguments, "forming": forming, "gaps": gaps, "source": source}
        try:
            answer = ask(self.ports, *which, **given)
        except InvalidRange:
            assert arguments.get("start") is not None
            return
        expected = self.expected(grid, arguments, forming)
        got = rows_of(answer.table)
        if gaps == "nan":
            got = [row for row in got if row[1] == row[1]]
        if gaps == "fill":
            got = [row for row, filled in zip(got, answer.table["filled"].to_pylist(), strict=True) if not filled]
        assert got == expected
        if gaps != "raw":
            times = answer.table["time"].cast("int64").to_pylist()
            assert times == grid.starts(times[0], times[-1] + 1) if times else True
        assert {step["channel"] for step in answer.meta["route"]} <= {"derived"}
        if not forming and not answer.warnings:
            requests = len(self.exchange.asked)
            assert repr(rows_of(ask(self.ports, *which, **given).table)) == repr(rows_of(answer.table))  # with NaN
            assert len(self.exchange.asked) == requests

    def expected(self, grid: Grid, arguments: dict[str, Any], forming: bool) -> list[tuple[Any, ...]]:
        ticks = {moment: price for moment, price in self.exchange.ticks.items() if moment <= self.exchange.now}
        start = None if arguments.get("start") is None else to_micros(arguments["start"])
        end = None if arguments.get("end") is None else to_micros(arguments["end"])
        sealed = sealed_until(grid, self.ports.server_time.now())
        limit = sealed if end is None else min(grid.ceil(end), sealed)
        bars = truth(ticks, grid, EPOCH if start is None else grid.ceil(start), limit)
        count = arguments.get("count")
        if count:
            bars = bars[-count:] if start is None else bars[:count]
        if forming and not (count and start is not None and len(bars) >= count):
            newest = truth(ticks, grid, max(limit, start or EPOCH), 2**62 if end is None else end)
            bars += newest
            if count:
                bars = bars[-count:] if start is None else bars[:count]
        return bars


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=12, suppress_health_check=list(HealthCheck))


# --- what is asked of whom ---------------------------------------------------------------------------


@pytest.fixture
def last(exchange: Any) -> int:
    """A trade every minute for ten days up to the exchange's present, 2026-03-01T12:34."""
    last = INTERVALS["1m"].floor(exchange.now)
    for i in range(14_400):
        exchange.ticks[last - i * MINUTE + 7_000_000] = 100.0 + i
    return last


def test_the_longest_source_is_fetched_in_as_many_pages_as_its_own_candles(
    exchange: Any, make_ports: Callable[..., Ports], last: int
) -> None:
    answer = ask(make_ports(), "2h", count=100)
    assert len(answer.table) == 100
    assert [one["path"] for one in exchange.asked] == ["v1/candles/minutes/60"]
    (step,) = answer.meta["route"]
    assert (step["channel"], step["requests"], step["rows"]) == ("derived", 1, 100)
    assert step["reason"] == "aggregated from 1h candles; rest: not in the store"
    assert (answer.meta["interval"], "base" in answer.meta) == ("2h", False)
    again = ask(make_ports(), "1d", "Asia/Seoul", count=3)
    assert (again.meta["interval"], again.meta["base"]) == ("1d", "Asia/Seoul")


def test_what_the_store_holds_whole_in_a_shorter_interval_needs_no_request(
    exchange: Any, make_ports: Callable[..., Ports], last: int
) -> None:
    ports = make_ports()
    ask(ports, "1m", start=from_micros(last - 5 * DAY), end=from_micros(last))
    exchange.asked.clear()
    range_ = {"start": from_micros(last - 4 * DAY), "end": from_micros(last - DAY)}
    answer = ask(ports, "2h", **range_)
    assert exchange.asked == []
    assert rows_of(answer.table) == truth(exchange.ticks, parse_grid("2h"), *map(to_micros, range_.values()))
    assert {step["reason"] for step in answer.meta["route"]} == {"aggregated from 1m candles; store: stored"}
    ask(
        ports, "2h", start=from_micros(last - 8 * DAY), end=from_micros(last - DAY)
    )  # not whole: the longest is fetched
    assert {one["path"] for one in exchange.asked} == {"v1/candles/minutes/60"}


def test_derived_candles_are_never_stored(exchange: Any, make_ports: Callable[..., Ports], last: int) -> None:
    ports = make_ports()
    ask(ports, "2h", count=10)
    stored = {(one.market, one.interval) for one in ports.store.series()}
    assert stored == {("KRW-BTC", "1h")}


def test_upbits_own_are_fetched_and_derived_only_on_request(
    exchange: Any, make_ports: Callable[..., Ports], last: int
) -> None:
    ports = make_ports()
    ask(ports, "1m", start=from_micros(last - 5 * DAY), end=from_micros(last))
    range_ = {"start": from_micros(last - 4 * DAY), "end": from_micros(last - DAY)}
    exchange.asked.clear()
    derived = ask(ports, "4h", source="derived", **range_)
    assert exchange.asked == []
    assert {step["channel"] for step in derived.meta["route"]} == {"derived"}
    offline = ask(ports, "4h", source="store", **range_)
    assert exchange.asked == []
    assert {step["channel"] for step in offline.meta["route"]} == {"derived"}
    fetched = ask(ports, "4h", **range_)
    assert {one["path"] for one in exchange.asked} == {"v1/candles/minutes/240"}
    assert {step["channel"] for step in fetched.meta["route"]} == {"rest"}
    assert fetched.table.equals(derived.table)
    assert fetched.table.equals(offline.table)
    assert {step["channel"] for step in ask(ports, "4h", source="store", **range_).meta["route"]} == {"store"}


def test_offline_what_is_missing_is_named(exchange: Any, make_ports: Callable[..., Ports], last: int) -> None:
    ports = make_ports()
    for arguments in ({"count": 5}, {"start": from_micros(last - DAY), "end": from_micros(last)}):
        with pytest.raises(NotCached, match="KRW-BTC 1h"):
            ask(ports, "2h", source="store", **arguments)
    ask(ports, "15m", start=from_micros(last - 2 * DAY), end=from_micros(last - DAY))
    exchange.asked.clear()
    with pytest.raises(NotCached, match=r"the store lacks .* of KRW-BTC 15m") as caught:
        ask(ports, "2h", source="store", start=from_micros(last - 3 * DAY), end=from_micros(last - DAY))
    assert caught.value.missing == [  # what the bars reach into, not only what was asked for
        ("2026-02-26T14:00:00Z", "2026-02-27T12:45:00Z"), ("2026-02-28T12:45:00Z", "2026-02-28T14:00:00Z"),
    ]  # fmt: skip
    assert len(ask(ports, "2h", source="store", count=3).table) == 3
    assert exchange.asked == []


def test_a_bar_that_reaches_into_what_nobody_has_any_more_is_left_out(
    exchange: Any, make_ports: Callable[..., Ports]
) -> None:
    exchange.keeps = 93 * DAY
    edge = exchange.now - 93 * DAY
    exchange.ticks = {INTERVALS["1m"].floor(edge) + i * 10_000_000: 5.0 for i in range(-200, 200)}
    answer = ask(
        make_ports(), "90s", start=from_micros(edge - 1000 * 1_000_000), end=from_micros(edge + 1000 * 1_000_000)
    )
    grid = parse_grid("90s")
    served = sealed_until(INTERVALS["1s"], edge)
    first = rows_of(answer.table)[0][0]
    assert served <= first < served + 3 * grid.step
    assert rows_of(answer.table) == truth(exchange.ticks, grid, first, first + 10**15)[: len(answer.table)]
    assert "older than the three months" in " ".join(answer.warnings)
    assert {step["channel"] for step in answer.meta["route"]} == {"none", "derived"}


def test_many_bars_of_a_market_that_trades_seldom(exchange: Any, make_ports: Callable[..., Ports]) -> None:
    last = INTERVALS["1m"].floor(exchange.now)
    exchange.ticks = {last - i * 7 * HOUR: 100.0 + i for i in range(1, 900)}
    answer = ask(make_ports(), "2h", count=700)
    assert (
        rows_of(answer.table)
        == truth(exchange.ticks, parse_grid("2h"), 0, sealed_until(parse_grid("2h"), exchange.now))[-700:]
    )
    everything = ask(make_ports(), "2h", count=2_000)
    assert len(everything.table) == len(
        truth(exchange.ticks, parse_grid("2h"), 0, sealed_until(parse_grid("2h"), exchange.now))
    )
    first = ask(make_ports(), "2h", start=from_micros(last - 300 * DAY), count=10)
    assert rows_of(first.table) == truth(exchange.ticks, parse_grid("2h"), last - 300 * DAY, last)[:10]


def test_only_some_columns(exchange: Any, make_ports: Callable[..., Ports], last: int) -> None:
    ports = make_ports()
    whole = ask(ports, "2h", count=50)
    some = ask(ports, "2h", count=50, columns=["volume", "high"])
    assert some.table.column_names == ["time", "volume", "high"]
    assert some.table.equals(whole.table.select(["time", "volume", "high"]))
    filled = ask(ports, "2h", count=50, columns=["value"], gaps="fill", forming=True)
    assert filled.table.column_names == ["time", "value"]


def test_what_cannot_be_derived_is_refused() -> None:
    with pytest.raises(InvalidInterval, match="candles of 1s cannot be derived"):
        CandleQuery.build("KRW-BTC", "1s", source="derived")
    with pytest.raises(InvalidInterval, match="did you mean '6h' or '8h'"):
        CandleQuery.build("KRW-BTC", "7h")
    with pytest.raises(QueryError, match="base must say when a day begins, got 'Mars'"):
        CandleQuery.build("KRW-BTC", "1d", base="Mars")
    with pytest.raises(InvalidRange, match="a live stream has no history"):
        ask(Ports(None, MemoryStore(), ManualClock(0), ServerTime(ManualClock(0))), "2h", source="live")  # type: ignore[arg-type]
