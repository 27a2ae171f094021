"""Tables of candles and trades for tests of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest

from upbit_frames.core.schema import arrow_schema

Candles = Callable[[Mapping[int, Sequence[float]]], pa.Table]


@pytest.fixture(scope="session")
def candles() -> Candles:
    """Microseconds → (open, high, low, close, volume, value), as a table."""

    def make(rows: Mapping[int, Sequence[float]]) -> pa.Table:
        schema = arrow_schema("candles")
        times = pa.array(list(rows), pa.int64()).view(schema.field("time").type)
        columns = [pa.array([float(row[i]) for row in rows.values()], pa.float64()) for i in range(6)]
        return pa.Table.from_arrays([times, *columns], schema=schema)

    return make


@pytest.fixture(scope="session")
def walk() -> Callable[..., pa.Table]:
    """A random walk of candles: count, start, step in microseconds, chunks."""

    def make(count: int, start: int = 1_767_225_600_000_000, step: int = 60_000_000, chunks: int = 1) -> pa.Table:
        rng = np.random.default_rng(count)
        close = 1e8 + np.cumsum(rng.integers(-50, 51, count)) * 1000.0
        open_ = np.concatenate([[1e8], close[:-1]])[:count]
        high = np.maximum(open_, close) + rng.integers(0, 20, count) * 1000.0
        low = np.minimum(open_, close) - rng.integers(0, 20, count) * 1000.0
        volume = np.round(rng.gamma(1.0, 2.0, count), 8)
        schema = arrow_schema("candles")
        times = pa.array(start + np.arange(count) * step).view(schema.field("time").type)
        columns = [pa.array(one) for one in (open_, high, low, close, volume, volume * close)]
        table = pa.Table.from_arrays([times, *columns], schema=schema)
        size = max(1, -(-count // chunks))
        return pa.concat_tables([table.slice(low, size) for low in range(0, max(1, count), size)])

    return make


@pytest.fixture(scope="session")
def trades() -> pa.Table:
    """Four trades in two minutes; two are equal but for the id."""
    schema = arrow_schema("trades")
    base = 1_767_225_600_000_000
    return pa.Table.from_arrays(
        [
            pa.array([base, base + 1_000, base + 1_000, base + 60_000_000]).view(schema.field("time").type),
            pa.array([100.0, 102.0, 102.0, 99.0]),
            pa.array([1.0, 0.1, 0.1, 2.0]),
            pa.array([100.0, 10.2, 10.2, 198.0]),
            pa.array(["bid", "ask", "ask", "bid"]),
            pa.array([2**53 + 1, 2**53 + 2, 2**53 + 3, 2**53 + 5]),
            pa.nulls(4, pa.int64()),
        ],
        schema=schema,
    )
