"""``count`` counts the rows that come back, whatever they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from upbit_frames.core.intervals import INTERVALS, from_micros
from upbit_frames.core.query import CandleQuery
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import Ports
from upbit_frames.router.result import Result
from upbit_frames.runtime.progress import Progress

STEP = INTERVALS["1m"].step


@pytest.fixture
def last(exchange: Any) -> int:
    """A candle every ninth minute, and one in the present minute."""
    last = INTERVALS["1m"].floor(exchange.now)
    for i in range(0, 20_000, 9):
        exchange.ticks[last - i * STEP + 7_000_000] = 100.0 + i
    return last


def ask(ports: Ports, **arguments: Any) -> Result:
    return asyncio.run(CandleRouter(ports).fetch(CandleQuery.build("KRW-BTC", "1m", **arguments), Progress()))


def times(answer: Result) -> list[int]:
    return answer.table["time"].cast("int64").to_pylist()


@pytest.mark.parametrize("gaps", ["fill", "nan"])
@pytest.mark.parametrize("forming", [False, True])
@pytest.mark.parametrize("count", [1, 2, 100, 450])
def test_of_a_grid_the_newest_periods_are_counted(
    make_ports: Callable[..., Ports], last: int, gaps: str, forming: bool, count: int
) -> None:
    answer = ask(make_ports(), count=count, gaps=gaps, forming=forming)
    end = last + STEP if forming else last
    assert times(answer) == list(range(end - count * STEP, end, STEP))


@pytest.mark.parametrize("gaps", ["fill", "nan"])
def test_of_a_grid_the_periods_before_and_after_a_moment_are_counted(
    make_ports: Callable[..., Ports], last: int, gaps: str
) -> None:
    ports = make_ports()
    moment = last - 5_000 * STEP
    before = ask(ports, end=from_micros(moment), count=100, gaps=gaps)
    assert times(before) == list(range(moment - 100 * STEP, moment, STEP))
    after = ask(ports, start=from_micros(moment), count=100, gaps=gaps)
    assert times(after) == list(range(moment, moment + 100 * STEP, STEP))
    assert before.table["close"].null_count == 0
    again = ask(ports, start=from_micros(moment), count=100, gaps=gaps)
    assert again.table.equals(after.table) or gaps == "nan"  # NaN equals nothing


@pytest.mark.parametrize("count", [1, 2, 3, 300])
def test_the_forming_candle_is_one_of_them(make_ports: Callable[..., Ports], last: int, count: int) -> None:
    ports = make_ports()
    answer = ask(ports, count=count, forming=True)
    assert times(answer) == [last - i * 9 * STEP for i in range(count - 1, -1, -1)]
    assert sum(step["rows"] for step in answer.meta["route"]) == count
    assert answer.meta["route"][-1]["rows"] == 1
    assert ask(ports, count=count, forming=True).table.equals(answer.table)


def test_from_a_start_on_the_forming_candle_comes_only_where_there_is_room(
    make_ports: Callable[..., Ports], last: int
) -> None:
    ports = make_ports()
    start = from_micros(last - 18 * STEP)
    assert times(ask(ports, start=start, count=2, forming=True)) == [last - 18 * STEP, last - 9 * STEP]
    assert times(ask(ports, start=start, count=3, forming=True)) == [last - 18 * STEP, last - 9 * STEP, last]
    assert times(ask(ports, start=start, count=9, forming=True)) == [last - 18 * STEP, last - 9 * STEP, last]


def test_history_that_begins_inside_the_grid_is_shorter(make_ports: Callable[..., Ports], last: int) -> None:
    answer = ask(make_ports(), end=from_micros(last - 19_900 * STEP), count=200, gaps="fill")
    assert 0 < len(answer.table) < 200
    assert times(answer)[-1] == last - 19_901 * STEP
