"""A long frame goes on in the memory it was read into, and that is nobody else's."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.api.engine import open_store
from upbit_frames.core.arrow import candle_table, joined
from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.frames import output as frames
from upbit_frames.store.base import Series
from upbit_frames.store.memory import MemoryStore

MINUTE, SERIES = 60_000_000, Series("candles", "KRW-BTC", "1m")
JANUARY = 1_735_689_600_000_000  # 2025
DAYS = Span(JANUARY, JANUARY + 100 * 1440 * MINUTE)
ASKED = {"start": "2025-01-01", "end": "2025-04-11", "source": "cache"}


def walk(span: Span) -> pa.Table:
    times = np.arange(span.start, span.end, MINUTE)
    prices = 1000.0 + np.arange(len(times)) % 97
    columns = [prices, prices + 1, prices - 1, prices, prices / 7, prices * 3]
    schema = arrow_schema("candles")
    return pa.Table.from_arrays(
        [pa.array(times).cast(schema.field(0).type), *(pa.array(one) for one in columns)], schema=schema
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> uf.Client:
    client = uf.Client(uf.Config(cache_dir=tmp_path_factory.mktemp("store"), progress=False))
    open_store(client.config).write(SERIES, walk(DAYS), DAYS)
    return client


def test_nobody_else_sees_what_is_changed(client: uf.Client) -> None:
    want = walk(DAYS)
    first, arrow = client.candles("KRW-BTC", "1m", **ASKED), client.candles("KRW-BTC", "1m", **ASKED, output="arrow")
    assert arrow.replace_schema_metadata(None).equals(want.replace_schema_metadata(None))
    second = client.candles("KRW-BTC", "1m", **ASKED)
    pd.testing.assert_frame_equal(first, second)
    first.loc[:, "close"] = -1.0
    first.iloc[0, 0] = -2.0
    first["volume"].to_numpy(copy=True)[:] = 0.0
    third = client.candles("KRW-BTC", "1m", **ASKED)
    pd.testing.assert_frame_equal(second, third)
    assert (first["close"] == -1.0).all()
    assert arrow.replace_schema_metadata(None).equals(want.replace_schema_metadata(None))


def test_any_part_of_it(client: uf.Client) -> None:
    whole = client.candles("KRW-BTC", "1m", **ASKED)
    for start, end in (
        ("2025-01-20 03:17", "2025-04-02 11:01"),
        ("2025-01-31 23:59", "2025-03-01"),
        ("2025-02-01", "2025-02-02"),
    ):
        part = client.candles("KRW-BTC", "1m", start=start, end=end, source="store")
        low, high = pd.Timestamp(start, tz="UTC"), pd.Timestamp(end, tz="UTC")
        pd.testing.assert_frame_equal(part, whole[(whole.index >= low) & (whole.index < high)], check_freq=False)


def test_the_numbers_are_not_copied(client: uf.Client) -> None:
    table = open_store(client.config).read(SERIES, DAYS)
    address = table["open"].chunk(0).buffers()[1].address
    held = [table]
    del table
    frame = frames.take_output(held, "candles", "pandas", reuse_buffers=True)
    assert frame["open"].to_numpy().ctypes.data == address
    pd.testing.assert_frame_equal(frame, frames.to_pandas(walk(DAYS), index=["time"]))
    frame.iloc[5, 2] = 3.5  # it can be written to
    assert frame.iloc[5, 2] == 3.5


def test_what_lies_otherwise_is_copied(client: uf.Client) -> None:
    table = open_store(client.config).read(SERIES, DAYS)
    want = frames.to_pandas(walk(DAYS), index=["time"])
    for part, low, high in ((table.slice(10), 10, None), (table.slice(0, 50_000), 0, 50_000), (walk(DAYS), 0, None)):
        frame = frames.take_output([part], "candles", "pandas", reuse_buffers=True)
        pd.testing.assert_frame_equal(frame, want.iloc[low:high], check_freq=False)


def test_a_store_in_memory_keeps_its_own() -> None:
    store = MemoryStore()
    store.write(SERIES, walk(DAYS), DAYS)
    assert store.path is None  # by which the router knows that what it reads is not its own


def test_a_frame_of_many_markets_and_its_tables_never_lie_side_by_side(monkeypatch: pytest.MonkeyPatch):
    """All columns of a market share one memory, so it is let go of market by market."""
    markets, rows = [f"KRW-M{i}" for i in range(5)], 100
    alive: list[weakref.ref[Any]] = []
    seen: list[int] = []

    class Pool:
        def release_unused(self) -> None:
            seen.append(sum(memory() is not None for memory in alive))

    def table() -> pa.Table:
        numbers = np.ones((6, rows))
        alive.append(weakref.ref(numbers))
        return candle_table(np.arange(rows) * 60_000_000, numbers)

    held = [joined(markets, [table() for _ in markets])]
    monkeypatch.setattr(frames, "LARGE", rows)
    monkeypatch.setattr(pa, "default_memory_pool", Pool)
    frame = frames.take_output(held, "candles", "pandas", index=["market", "time"])
    assert len(frame) == rows * len(markets)
    assert seen == [4, 3, 2, 1, 0]
