"""Rows and stores that the tests of this area share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series, Store
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000


def moment(text: str) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


def make_candles(times: Sequence[int], value: float = 100.0) -> pa.Table:
    prices = [value + at % 7 for at, _ in enumerate(times)]
    return pa.Table.from_pydict(
        {
            "time": pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "open": prices,
            "high": [price + 1 for price in prices],
            "low": [price - 1 for price in prices],
            "close": prices,
            "volume": [0.5 + at for at, _ in enumerate(times)],
            "value": [price * 0.5 for price in prices],
        },
        schema=arrow_schema("candles"),
    )


def make_trades(times: Sequence[int], ids: Sequence[int], *, archive: bool = False) -> pa.Table:
    none = [None] * len(times)
    return pa.Table.from_pydict(
        {
            "time": pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "price": [100.0 + one % 5 for one in ids],
            "volume": [0.25] * len(times),
            "value": [25.0] * len(times),
            "side": ["bid" if one % 2 else "ask" for one in ids],
            "sequential_id": none if archive else list(ids),
            "seq": list(ids) if archive else none,
        },
        schema=arrow_schema("trades"),
    )


def make_books(times: Sequence[int], depth: int = 30) -> pa.Table:
    """Books of up to ``depth`` levels; every fifth has a shorter bid side."""
    asks = [[100.0 + n % 7 + level for level in range(depth)] for n in range(len(times))]
    bids = [[99.0 + n % 7 - level for level in range(depth if n % 5 else depth // 2)] for n in range(len(times))]
    stamps = pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    columns = {
        "time": stamps, "received_at": stamps, "ask_price": asks, "ask_size": [[0.5] * len(one) for one in asks],
        "bid_price": bids, "bid_size": [[0.25] * len(one) for one in bids],
        "total_ask_size": [15.0] * len(times), "total_bid_size": [7.5] * len(times),
    }  # fmt: skip
    return pa.Table.from_pydict(columns, schema=arrow_schema("books"))


def time_list(table: pa.Table) -> list[int]:
    return [int(one) for one in table.column("time").cast(pa.int64()).to_pylist()]


def parquet_names(store: ParquetStore, series: Series) -> list[str]:
    folder = store._folder(series).path
    return sorted(one.name for one in folder.glob("*.parquet")) if folder.exists() else []


class Kit:
    """The helpers above, as one fixture."""

    minute = MINUTE
    moment = staticmethod(moment)
    candles = staticmethod(make_candles)
    trades = staticmethod(make_trades)
    books = staticmethod(make_books)
    times = staticmethod(time_list)
    names = staticmethod(parquet_names)
    series = Series("candles", "KRW-BTC", "1m")
    start = moment("2024-01-01")

    def page(self, first: int, count: int, *, base: int | None = None, value: float = 100.0) -> tuple[pa.Table, Span]:
        """A page of minutes without holes, numbered from ``base``."""
        low = (self.start if base is None else base) + first * MINUTE
        return self.candles([low + at * MINUTE for at in range(count)], value), Span(low, low + count * MINUTE)


@pytest.fixture
def kit() -> Kit:
    return Kit()


@pytest.fixture(params=["parquet", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return ParquetStore(tmp_path / "store") if request.param == "parquet" else MemoryStore()


@pytest.fixture
def store(tmp_path: Path) -> ParquetStore:
    return ParquetStore(tmp_path / "store")


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[[], ParquetStore]:
    """The same folder opened anew, with nothing remembered of its files."""
    from upbit_frames.store import encoding

    def open_again() -> ParquetStore:
        encoding._forget_all()
        return ParquetStore(tmp_path / "store")

    return open_again


class Nursery:
    """Forks writers; see killable.py."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("killable.py")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **order: Any) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait(timeout=30)


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork and SIGKILL")
    one = Nursery()
    yield one
    one.close()
