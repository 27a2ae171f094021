"""How fast a lock is verified from the store, beside its floors: reading alone, and SHA-256 over the same bytes.

python tests/benchmarks/bench_lock.py [--markets 4]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

import upbit_frames as uf
from upbit_frames.core.intervals import Span, iso
from upbit_frames.core.schema import arrow_schema
from upbit_frames.datasets.digests import parts_of
from upbit_frames.datasets.lock_check import stored_reads
from upbit_frames.datasets.pins import load_lock
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
YEAR = 525_600
START = 1_735_689_600_000_000  # 2025-01-01
START_TEXT, END_TEXT = iso(START), iso(START + YEAR * MINUTE)


def fill(store: ParquetStore, market: str, seed: int) -> None:
    prices = np.round(1e8 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 1e-4, YEAR))), 0)
    times = pa.array(START + np.arange(YEAR) * MINUTE).cast(pa.timestamp("us", "UTC"))
    columns = [times, *(pa.array(prices + step) for step in (0, 2, -2, 1)), pa.array(prices * 1e-8), pa.array(prices)]
    table = pa.Table.from_arrays(columns, schema=arrow_schema("candles"))
    store.write(Series("candles", market, "1m"), table, Span(START, START + YEAR * MINUTE))


def study(client: uf.Client, markets: list[str]) -> None:
    """Read what the lock is about."""
    for market in markets:
        client.candles(market, "1m", start=START_TEXT, end=END_TEXT, source="store", output="arrow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, lock = ParquetStore(Path(folder) / "store"), Path(folder) / "study.lock"
        names = [f"KRW-M{number}" for number in range(options.markets)]
        for number, name in enumerate(names):
            fill(store, name, number)
        client = uf.Client(cache_dir=store.path)
        with uf.pinned(lock, "all"):
            study(client, names)
        span, rows = Span(START, START + YEAR * MINUTE), options.markets * YEAR
        series = [Series("candles", name, "1m") for name in names]
        tables = [store.read(one, span) for one in series]
        data = [column.to_numpy().tobytes() for table in tables for column in table.columns]

        def verify() -> None:
            with uf.pinned(lock, "none"):
                study(client, names)

        figures = {
            "read": lambda: [store.read(one, span) for one in series],
            "digest": lambda: [parts_of(table, "KRW-M") for table in tables],
            "lock verified": verify,
            "bundle's check": lambda: asyncio.run(stored_reads(load_lock(lock), store)),
            "sha256 alone": lambda: [hashlib.sha256(part).digest() for part in data],
        }
        print("M rows/s          by the clock  a second of processor")
        for name, work in figures.items():
            taken = [timed(work) for _ in range(options.rounds)]
            clock, processor = (statistics.median(column) for column in zip(*taken, strict=True))
            print(f"{name:16} {rows / clock / 1e6:12.2f} {rows / processor / 1e6:12.2f}")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor, all threads together: the second is that of an idle machine, too."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
