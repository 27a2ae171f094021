"""Any market, brought up to now against a model exchange: exact rows, and exactly the requests that are promised."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_exchange import HeardRest, ModelExchange

from upbit_frames.core.gaps import missing_ranges
from upbit_frames.core.intervals import INTERVALS, Span, intersect, subtract
from upbit_frames.datasets.collect import catch_up as module
from upbit_frames.datasets.collect.catch_up import catch_up
from upbit_frames.datasets.collect.checks import Witness, outages
from upbit_frames.datasets.collect.rewritten import factor_of, first_changed, same_candle
from upbit_frames.exchange import wire
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.clock import ManualClock, ServerTime
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series
from upbit_frames.store.memory import MemoryStore

BEGIN = 1_772_323_200_000_000  # 2026-03-01
MINUTE = 60_000_000
SERIES, GRID = Series("candles", "KRW-BTC", "1m"), INTERVALS["1m"]


def world(minutes: set[int], cut: int, after: int) -> tuple[ModelExchange, Ports]:
    """A market that traded in these minutes, stored up to a cut, and some minutes after it."""
    clock = ManualClock(BEGIN + cut * MINUTE + 30_000_000)
    exchange = ModelExchange(clock, {BEGIN + minute * MINUTE + 7_000_000: 100.0 + minute % 13 for minute in minutes})
    time = ServerTime(clock)
    store = MemoryStore()
    ports = Ports(RestApi(HeardRest(exchange, time)), store, clock, time)
    rows = exchange.rows(GRID, BEGIN + cut * MINUTE, 10**6)
    table = wire.candles(json.dumps(rows).encode(), "KRW-BTC", GRID)
    store.write(SERIES, table, Span(BEGIN, BEGIN + cut * MINUTE))
    clock.advance(after * 60.0)
    return exchange, ports


def run(ports: Ports) -> tuple[Any, Progress]:
    progress = Progress()
    return asyncio.run(catch_up(ports, SERIES, progress, 1)), progress


def closes(ports: Ports, start: int, end: int) -> list[tuple[int, float, float]]:
    table = ports.store.read(SERIES, Span(start, end))
    times = table["time"].cast("int64").to_pylist()
    return list(zip(times, table["close"].to_pylist(), table["volume"].to_pylist(), strict=True))


@settings(max_examples=25)
@given(st.data(), st.integers(1, 300), st.integers(0, 900), st.sampled_from([0, 300, 20_000]))
def test_any_market_comes_up_to_now(data: st.DataObject, cut: int, after: int, held: int) -> None:
    density = data.draw(st.sampled_from([0.02, 0.3, 1.0]))
    seed = data.draw(st.randoms(use_true_random=False))
    minutes = {minute for minute in range(cut + after + 1) if seed.random() < density} | {0}
    exchange, ports = world(minutes, cut, after)
    stored = [minute for minute in minutes if minute < cut]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HELD_PERIODS", held)
        gain, progress = run(ports)
    new = [minute for minute in minutes if cut <= minute < cut + after]
    end = BEGIN + (cut + after) * MINUTE
    if not after:
        assert exchange.asked == []
        assert gain.span.empty
    assert gain.rows == len(new)
    assert closes(ports, BEGIN, end) == exchange.truth(GRID, BEGIN, end)
    assert ports.store.covered(SERIES)[-1].end == end
    assert progress.requests == len(exchange.asked)
    together = cut + after - max(stored) <= held
    if after and together:
        assert len(exchange.asked) == -(-(len(new) + 1) // 200)
    elif after and len(stored) >= 200:  # else a page comes back short, and where history begins is asked for, too
        assert len(exchange.asked) == 1 + max(1, -(-len(new) // 200))


@pytest.mark.parametrize("column", ["opening_price", "trade_price", "candle_acc_trade_volume"])
@pytest.mark.parametrize("held", [0, 20_000])
def test_one_odd_answer_does_not_accuse(monkeypatch: pytest.MonkeyPatch, column: str, held: int) -> None:
    monkeypatch.setattr(module, "HELD_PERIODS", held)
    exchange, ports = world(set(range(1000)), 500, 100)

    def odd(params: dict[str, str], body: bytes) -> bytes:
        rows = json.loads(body)
        for row in rows:
            row[column] *= 1.5
            row["high_price"] = max(row["high_price"], row["trade_price"], row["opening_price"])
        return json.dumps(rows).encode()

    exchange.faults.append(odd)
    run(ports)
    assert closes(ports, BEGIN, BEGIN + 600 * MINUTE) == exchange.truth(GRID, BEGIN, BEGIN + 600 * MINUTE)


@given(st.data())
def test_the_first_candle_that_changed_is_found(data: st.DataObject) -> None:
    times = sorted(data.draw(st.sets(st.integers(0, 5000), min_size=1, max_size=60)))
    changed = data.draw(st.integers(0, len(times) - 1))
    asked = []

    async def rows(moment: int) -> dict[str, Any] | None:
        before = [time for time in times if time * MINUTE < moment]
        return {"time": before[-1] * MINUTE} if before else None

    async def differs(row: dict[str, Any]) -> bool:
        asked.append(row["time"])
        return row["time"] >= times[changed] * MINUTE

    last = {"time": times[-1] * MINUTE}
    found = asyncio.run(first_changed(rows, differs, times[0] * MINUTE, last, GRID))
    assert found["time"] == times[changed] * MINUTE
    assert len(asked) <= 15


@given(st.floats(0.02, 1e8), st.sampled_from([0.1, 10.0, 1000.0, 0.5]))
def test_factors(price: float, factor: float) -> None:
    stored = {"open": price, "high": price * 1.1, "low": price * 0.9, "close": price * 1.01}
    served = {name: value * factor for name, value in stored.items()}
    assert factor_of(stored, served) == pytest.approx(factor)
    assert factor_of(stored, stored) is None
    assert factor_of(stored, {**served, "low": served["low"] / 2}) is None
    assert same_candle(stored, dict(stored))
    assert not same_candle(stored, served)
    assert not same_candle(stored, None)


@given(st.data())
def test_outages_lie_in_gaps_and_in_the_silence_of_all(data: st.DataObject) -> None:
    span = Span(0, 400 * MINUTE)
    silent = data.draw(st.integers(0, 300))
    length = data.draw(st.integers(0, 90))
    seed = data.draw(st.randoms(use_true_random=False))

    def market(density: float) -> Witness:
        minutes = [at for at in range(400) if seed.random() < density and not silent <= at < silent + length]
        return Witness(np.array(minutes, dtype=np.int64) * MINUTE, [span])

    own, *others = [market(density) for density in data.draw(st.lists(st.sampled_from([0.05, 0.5, 1.0]), min_size=1))]
    gaps = missing_ranges(own.times, GRID, span)
    found = outages(gaps, own, others, GRID)
    assert subtract(found, gaps) == []
    for one in [own, *others]:
        assert not any(part.start <= time < part.end for part in found for time in one.times.tolist())
    if length >= 60 and sum(len(one.times) > 300 for one in others) >= 1:
        assert intersect(found, [Span(silent * MINUTE, (silent + length) * MINUTE)])
