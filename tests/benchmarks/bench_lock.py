"""How fast a lock is verified from the store, beside its floors: reading alone, and SHA-256 over the same bytes.

python tests/benchmarks/bench_lock.py [--markets 4]
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.datasets.digests import parts_of
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
YEAR = 525_600
START = 1_735_689_600_000_000  # 2025-01-01


def fill(store: ParquetStore, market: str, seed: int) -> None:
    prices = np.round(1e8 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 1e-4, YEAR))), 0)
    times = pa.array(START + np.arange(YEAR) * MINUTE).cast(pa.timestamp("us", "UTC"))
    columns = [times, *(pa.array(prices + step) for step in (0, 2, -2, 1)), pa.array(prices * 1e-8), pa.array(prices)]
    table = pa.Table.from_arrays(columns, schema=arrow_schema("candles"))
    store.write(Series("candles", market, "1m"), table, Span(START, START + YEAR * MINUTE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = ParquetStore(Path(folder))
        names = [f"KRW-M{number}" for number in range(options.markets)]
        for number, name in enumerate(names):
            fill(store, name, number)
        span, rows = Span(START, START + YEAR * MINUTE), options.markets * YEAR
        seconds: dict[str, list[float]] = {"read": [], "read and digest": [], "sha256 alone": []}
        for _ in range(options.rounds):
            tables = []
            begun = time.perf_counter()
            for name in names:
                tables.append(store.read(Series("candles", name, "1m"), span))
            seconds["read"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            for name in names:
                parts_of(store.read(Series("candles", name, "1m"), span), name)
            seconds["read and digest"].append(time.perf_counter() - begun)
            data = [column.to_numpy().tobytes() for table in tables for column in table.columns]
            begun = time.perf_counter()
            for part in data:
                hashlib.sha256(part).digest()
            seconds["sha256 alone"].append(time.perf_counter() - begun)
        for name, taken in seconds.items():
            print(f"{name:16} {rows / statistics.median(taken) / 1e6:6.2f} M rows/s")


if __name__ == "__main__":
    main()
