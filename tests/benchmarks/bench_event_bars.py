"""How many trades a second become bars on one core, and what a month of trades needs of memory.

Run: ``python tests/benchmarks/bench_event_bars.py [--days 30] [--trades 700000]``

The month is stored first (generated, about 11 bytes a trade on disk); then processes of their own read one day,
a tenth of the days and all days as volume bars, so that each peak is its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import upbit_frames as uf
from upbit_frames.core.event_bars import EventBars, Threshold
from upbit_frames.core.flow import flow_of_trades
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.core.schema import arrow_schema

DAY = 86_400_000_000
START = 1_767_225_600_000_000  # 2026-01-01


def generated(rows: int, day: int, price: float, step: float, volume: float) -> pa.Table:
    """A day of trades: a walk of prices in steps of the tick, volumes spread over four powers of ten."""
    rng = np.random.default_rng(day)
    schema = arrow_schema("trades")
    times = np.sort(rng.integers(0, DAY // 1000, rows)) * 1000 + START + day * DAY
    prices = np.round(price + np.cumsum(rng.integers(-1, 2, rows)) * step, 8)
    volumes = np.round(rng.lognormal(np.log(volume), 2.0, rows) + 1e-8, 8)
    columns = [
        pa.array(times).view(schema.field("time").type), pa.array(prices), pa.array(volumes),
        pa.array(prices * volumes), pa.array(np.array(["ask", "bid"])[rng.integers(0, 2, rows)]),
        pa.nulls(rows, pa.int64()), pa.array(np.arange(rows, dtype=np.int64)),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=schema)


def speed(rows: int) -> None:
    """CPU time of one core: the aggregation alone, without reading."""
    pa.set_cpu_count(1)
    for name, arguments in (("KRW-BTC", (1.5e8, 1000.0, 0.002)), ("KRW-SHIB", (0.0185, 0.00001, 4000.0))):
        table = generated(rows, 0, *arguments)
        volume, value = float(np.sum(table["volume"])), float(np.sum(table["value"]))
        runs: dict[str, Callable[[], Any]] = {
            label: partial(aggregate, table, given)
            for label, given in (
                ("ticks=500", {"ticks": 500}),
                ("volume, a bar in 500 trades", {"volume": 500 * volume / rows}),
                ("value, a bar in 500 trades", {"value": 500 * value / rows}),
                ("value, a bar in 5 trades", {"value": 5 * value / rows}),
            )
        }
        runs["flow 1m"] = partial(flow_of_trades, table, INTERVALS["1m"])
        for label, run in runs.items():
            best = min(cpu(run) for _ in range(3))
            print(f"{name:9} {label:28} {rows / best / 1e6:6.1f} million trades/s a core")


def aggregate(table: pa.Table, given: dict[str, Any]) -> pa.Table:
    return EventBars(Threshold.build(**given)).add(table)


def cpu(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def memory(days: int, rows: int) -> None:
    """Peak memory of processes that read more and more days."""
    from upbit_frames.store.base import Series
    from upbit_frames.store.parquet import ParquetStore

    with tempfile.TemporaryDirectory() as folder:
        store = ParquetStore(Path(folder))
        for day in range(days):
            span = Span(START + day * DAY, START + (day + 1) * DAY)
            table = generated(rows, day, 1.5e8, 1000.0, 0.002)
            store.write(Series("trades", "KRW-BTC"), table, span, origin="archive")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
        print(f"{days * rows:,} trades stored in {size / 1e6:,.0f} MB")
        for many in sorted({0, min(1, days), -(-days // 10), days}):
            command = [sys.executable, __file__, "--read", folder, "--days", str(many)]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def read(folder: str, days: int) -> None:
    """In a process of its own: bars of some days, and what the process needed at most."""
    begun = time.process_time()
    bars = trades = 0
    if days:
        frame = uf.Client(cache_dir=folder).bars(
            "KRW-BTC", volume=10.0, start="2026-01-01", end=np.datetime64(START + days * DAY, "us"), source="store"
        )
        bars, trades = len(frame), int(frame["trades"].sum())
    else:
        import pandas as pd  # noqa: F401 - what the package needs without any trades
        import pyarrow.parquet  # noqa: F401
    status = Path("/proc/self/status").read_text()  # ru_maxrss is inherited from the parent
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    seconds = time.process_time() - begun
    print(f"{days:3} days {trades:12,} trades {bars:8,} bars {seconds:6.1f} s CPU  peak {peak:6.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--trades", type=int, default=700_000, help="a day")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read, options.days)
    else:
        speed(2_000_000)
        memory(options.days, options.trades)
