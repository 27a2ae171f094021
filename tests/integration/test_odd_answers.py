"""An exchange that answers oddly now and then: after it behaves again, everything asked equals the truth.

``UPBIT_FRAMES_ODD_REQUESTS=1000 UPBIT_FRAMES_ODD_SEEDS=5 pytest tests/integration/test_odd_answers.py`` tries longer.
"""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.api import engine
from upbit_frames.core.availability import sealed_until
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.runtime.clock import ManualClock
from upbit_frames.testing import Exchange

REQUESTS = int(os.environ.get("UPBIT_FRAMES_ODD_REQUESTS", "150"))
SEEDS = int(os.environ.get("UPBIT_FRAMES_ODD_SEEDS", "2"))
SHARE = 0.01 if REQUESTS >= 1000 else 0.03  # of the answers are odd
MARKETS = ("KRW-BTC", "KRW-ELF", "KRW-NEW", "KRW-QUIET")
SECOND = 1_000_000
Call = tuple[str, str, str, dict[str, Any]]


class World:
    """The exchange, a machine whose clock is off by a constant, and clients of new processes on one store."""

    def __init__(
        self, exchange: Exchange, seed: int, make: Callable[..., uf.Client], patch: pytest.MonkeyPatch
    ) -> None:
        self.exchange = exchange
        self.rng = random.Random(seed)
        self.make = make
        self.clock = ManualClock(exchange.clock.now() + self.rng.choice([0, 0, 3600, -3600, 7 * 86_400]) * SECOND)
        patch.setattr(engine, "SystemClock", lambda: self.clock)

    def misbehave(self) -> None:
        for kind in ("empty", "short", "skew", "ahead"):
            for number in range(4):  # of each kind some variants
                options = {
                    "short": {"rows": self.rng.choice([1, 3, 20, 180])},
                    "skew": {"seconds": self.rng.choice([-86_400, -3600, -30, 30, 3600, 86_400, 10**8])},
                    "ahead": {"seconds": self.rng.choice([30, 3600, 86_400])},
                }.get(kind, {})
                self.exchange.faults.add(
                    kind, times=None, probability=SHARE / 16, seed=self.rng.randrange(2**32) + number, **options
                )

    def restart(self, **settings: Any) -> uf.Client:
        engine._engines.clear()
        engine._clocks.clear()
        return self.make(self.exchange, **settings)

    def pass_time(self) -> None:
        seconds = self.rng.choice([1, 20, 61, 600])
        self.exchange.clock.advance(seconds)
        self.clock.advance(seconds)

    def moment(self, days: float) -> pd.Timestamp:
        back = self.rng.uniform(0, days * 86_400) * SECOND
        return pd.Timestamp((self.exchange.clock.now() - int(back)) // SECOND, unit="s", tz="UTC")

    def call(self) -> Call:
        rng, market = self.rng, self.rng.choice(MARKETS)
        if rng.random() < 0.2:
            if rng.random() < 0.4:
                return "trades", market, "", {"count": rng.randint(1, 60)}
            start = self.moment(2)
            return "trades", market, "", {"start": start, "end": start + pd.Timedelta(minutes=rng.randint(1, 90))}
        interval = rng.choice(["1s", "1m", "1m", "3m", "1h", "1d", "1M"])
        step = INTERVALS[interval].step / SECOND
        days = min(80.0, max(0.1, 600 * step / 86_400))
        kind = rng.randrange(5)
        if kind == 0:
            return "candles", market, interval, {"count": rng.randint(1, 450)}
        start = self.moment(days)
        if kind == 1:
            return "candles", market, interval, {"start": start, "count": rng.randint(1, 300)}
        if kind == 2:
            return "candles", market, interval, {"start": start}
        length = pd.Timedelta(seconds=int(step * rng.randint(1, 500)))
        return "candles", market, interval, {"start": start - length, "end": start}


def run(client: uf.Client, call: Call) -> Any:
    kind, market, interval, asked = call
    if kind == "trades":
        return client.trades(market, output="arrow", **asked)
    return client.candles(market, interval, output="arrow", **asked)


def assert_store_is_true(world: World, client: uf.Client) -> None:
    store = engine.engine_for(client.config).ports.store
    now = world.exchange.clock.now()
    for series in store.series():
        interval = INTERVALS[series.interval or "1m"]
        for span in store.covered(series):
            if series.kind == "candles":
                assert span.end <= sealed_until(interval, now), series
                truth = world.exchange.market.candles(series.market, interval, span.start, span.end).table()
                assert store.read(series, span).equals(truth), (series, span)


@pytest.mark.usefixtures("without_streams")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_after_it_everything_asked_again_equals_the_truth(
    make_client: Callable[..., uf.Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    with Exchange(seed=7, now="2026-03-01T03:30:30Z", limits=False) as exchange, warnings.catch_warnings():
        warnings.simplefilter("ignore", uf.errors.UpbitFramesWarning)
        world = World(exchange, seed, make_client, monkeypatch)
        world.misbehave()
        client = world.restart()
        calls: list[Call] = []
        while len(exchange.requests) < REQUESTS:
            if world.rng.random() < 0.15:
                client = world.restart()
            world.pass_time()
            calls.append(world.call())
            with suppress(uf.errors.SchemaError, uf.errors.InvalidRange):
                run(client, calls[-1])
        odd = sum(one.hits for one in exchange.faults)
        exchange.faults.clear()
        client = world.restart()
        assert_store_is_true(world, client)
        clean = world.make(exchange, cache_dir=tmp_path / "clean")
        for call in calls:
            try:
                again = run(client, call)
            except uf.errors.InvalidRange:
                continue
            assert again.replace_schema_metadata(None).equals(run(clean, call).replace_schema_metadata(None)), call
        assert_store_is_true(world, client)
        assert odd > 0 or REQUESTS < 150
