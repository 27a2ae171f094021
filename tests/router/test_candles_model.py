"""Whatever is asked, in whatever order and whatever goes wrong: the store stays true.

A state machine asks, lets time pass, steps the machine's clock, restarts the process on the same
store and makes the exchange lie, and compares with what the exchange would have said.
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from model_exchange import HeardRest, ModelExchange

from upbit_frames.core.availability import sealed_until
from upbit_frames.core.intervals import EPOCH, INTERVALS, from_micros, to_micros
from upbit_frames.core.query import CandleQuery
from upbit_frames.errors import InvalidRange, SchemaError
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.clock import ManualClock, ServerTime
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.parquet import ParquetStore

MINUTE = INTERVALS["1m"]
STEP = MINUTE.step
NOON = to_micros(datetime.fromisoformat("2026-03-01T12:00:00+00:00"))


def cut_short(params: dict[str, str], body: bytes) -> bytes:
    return body[: len(body) // 2]


def html(params: dict[str, str], body: bytes) -> bytes:
    return b"<html>maintenance</html>"


class Machine(RuleBasedStateMachine):
    """The store against the exchange."""

    parquet = False

    @initialize(
        traded=st.sets(st.integers(-900, 200), min_size=1, max_size=400),
        series=st.sampled_from(["1m", "3m", "1h"]),
    )
    def begin(self, traded: set[int], series: str) -> None:
        self.exchange = ModelExchange(ManualClock(NOON))
        self.exchange.ticks = {NOON + i * STEP + (i * 7919 % 60) * 1_000_000: 10_000.0 + i for i in traded}
        self.interval = INTERVALS[series]
        self.folder = tempfile.TemporaryDirectory() if self.parquet else None
        self.store: Any = MemoryStore()
        self.restart()

    def teardown(self) -> None:
        if getattr(self, "folder", None) is not None:
            self.folder.cleanup()

    @rule()
    def restart(self) -> None:
        """A new process on the same store: what it knew of the exchange's clock is gone."""
        if self.folder is not None:
            self.store = ParquetStore(Path(self.folder.name))
        server_time = ServerTime(self.exchange.clock)
        self.ports = Ports(RestApi(HeardRest(self.exchange, server_time)), self.store, self.exchange.clock, server_time)

    @rule(seconds=st.floats(0.1, 4000))
    def time_passes(self, seconds: float) -> None:
        self.exchange.clock.advance(seconds)

    @rule(seconds=st.integers(-4000, 4000))
    def machine_clock_is_stepped(self, seconds: int) -> None:
        self.exchange.clock.set(self.exchange.clock.now() + seconds * 1_000_000)
        self.exchange.skew -= seconds * 1_000_000

    @rule(fault=st.sampled_from([cut_short, html]), after=st.integers(0, 3))
    def exchange_breaks(self, fault: Any, after: int) -> None:
        self.exchange.faults = [lambda params, body: body] * after + [fault]

    @precondition(lambda self: not self.exchange.faults)
    @rule(low=st.integers(-1000, 250), length=st.integers(1, 700))
    def ask_range(self, low: int, length: int) -> None:
        self.check({"start": from_micros(NOON + low * STEP), "end": from_micros(NOON + (low + length) * STEP)})

    @rule(count=st.integers(1, 600), end=st.none() | st.integers(-1000, 250))
    def ask_count(self, count: int, end: int | None) -> None:
        self.check({"count": count, "end": None if end is None else from_micros(NOON + end * STEP)})

    @rule(low=st.integers(-1000, 250), count=st.integers(1, 300))
    def ask_first(self, low: int, count: int) -> None:
        self.check({"start": from_micros(NOON + low * STEP), "count": count})

    @rule(low=st.integers(-1000, 250))
    def ask_forming(self, low: int) -> None:
        self.check({"start": from_micros(NOON + low * STEP), "forming": True})

    def ask(self, arguments: dict[str, Any]) -> Any:
        query = CandleQuery.build("KRW-BTC", self.interval.name, **arguments)
        return asyncio.run(CandleRouter(self.ports).fetch(query, Progress()))

    def check(self, arguments: dict[str, Any]) -> None:
        broken = bool(self.exchange.faults)
        try:
            answer = self.ask(arguments)
        except InvalidRange:
            assert arguments.get("start") is not None
            return
        except SchemaError:
            assert broken
            self.exchange.faults = []
            return
        rows = list(
            zip(
                answer.table["time"].cast("int64").to_pylist(),
                answer.table["close"].to_pylist(),
                answer.table["volume"].to_pylist(),
                strict=True,
            )
        )
        assert rows == self.expected(arguments)
        if not (arguments.get("forming") or answer.warnings or self.exchange.faults):
            asked = len(self.exchange.asked)
            assert self.ask(arguments).table == answer.table
            assert len(self.exchange.asked) == asked

    def expected(self, arguments: dict[str, Any]) -> list[tuple[int, float, float]]:
        interval = self.interval
        known = self.store.covered(Series("candles", "KRW-BTC", interval.name))
        believed = max(self.ports.server_time.now(), known[-1].end if known else 0)
        sealed = max(sealed_until(interval, self.ports.server_time.now()), known[-1].end if known else 0)
        assert believed <= self.exchange.now + 1 or not self.ports.server_time.known
        start = None if arguments.get("start") is None else to_micros(arguments["start"])
        end = None if arguments.get("end") is None else to_micros(arguments["end"])
        limit = sealed if end is None else min(interval.ceil(end), sealed)
        rows = self.exchange.truth(interval, EPOCH if start is None else start, limit)
        if arguments.get("count"):
            rows = rows[-arguments["count"] :] if start is None else rows[: arguments["count"]]
        if arguments.get("forming"):
            newest = self.exchange.truth(interval, max(limit, start or 0), 2**60)
            rows = rows + newest
        return rows

    @invariant()
    def store_is_true(self) -> None:
        if not hasattr(self, "store"):
            return
        series = Series("candles", "KRW-BTC", self.interval.name)
        for span in self.store.covered(series):
            table = self.store.read(series, span)
            rows = list(
                zip(
                    table["time"].cast("int64").to_pylist(),
                    table["close"].to_pylist(),
                    table["volume"].to_pylist(),
                    strict=True,
                )
            )
            assert rows == self.exchange.truth(self.interval, span.start, span.end)
            assert span.end <= sealed_until(self.interval, self.exchange.now)


class ParquetMachine(Machine):
    """The same on disk."""

    parquet = True


TestMemory = Machine.TestCase
TestMemory.settings = settings(max_examples=60, stateful_step_count=25, suppress_health_check=list(HealthCheck))
TestParquet = pytest.mark.slow(ParquetMachine.TestCase)
TestParquet.settings = settings(max_examples=15, stateful_step_count=20, suppress_health_check=list(HealthCheck))
