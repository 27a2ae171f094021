"""Hours derived from a stored year of minutes: ``uf.candles`` against DuckDB's ``time_bucket`` over the same files.

Run with ``python tests/benchmarks/bench_derived.py``. 525,600 minutes in the monthly Parquet files of the store; each
figure is the best of nine runs with warm pages, the two in turn, so that a busy machine slows both. DuckDB sums in
float64, ``uf.candles`` exactly.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

import upbit_frames as uf
from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
START, LAST, END = (datetime(*day, tzinfo=UTC) for day in ((2025, 1, 1), (2025, 12, 30), (2026, 1, 1)))
SQL = """
select time_bucket(interval '{bucket}', time) as time, arg_min(open, time) as open, max(high) as high,
    min(low) as low, arg_max(close, time) as close, sum(volume) as volume, sum(value) as value
from read_parquet({paths}) group by 1 order by 1
"""


def fill(root: Path) -> None:
    """Write a year of minutes with prices and amounts as of KRW-BTC."""
    random = np.random.default_rng(1)
    span = Span(to_micros(START), to_micros(END))
    times = np.arange(span.start, span.end, MINUTE)
    price = 1e8 + 1000.0 * np.cumsum(random.integers(-20, 21, len(times)))
    volume = np.round(random.gamma(0.5, 3.0, len(times)), 8)
    columns = [pa.array(times).cast(pa.timestamp("us", tz="UTC"))]
    columns += [pa.array(one) for one in (price, price + 5e4, price - 5e4, price + 1e4, volume)]
    columns += [pa.array(np.round(volume * price, 5))]
    table = pa.Table.from_arrays(columns, schema=arrow_schema("candles"))
    ParquetStore(root).write(Series("candles", "KRW-BTC", "1m"), table, span)
    uf.cache.compact()


def in_turn(works: dict[str, Callable[[], object]], rounds: int = 9) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - begun)
    return {name: min(taken) for name, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, uf.using(cache_dir=folder):
        fill(Path(folder))
        paths = [str(one) for one in uf.cache.files(interval="1m")["path"]]
        connection = duckdb.connect()

        def derived(interval: str, base: str | None = None, **more: Any) -> Callable[[], pd.DataFrame]:
            end = END if base is None else LAST  # the year's last bar may reach into the next year
            return lambda: uf.candles(
                "KRW-BTC", interval, start=START, end=end, source="store", base=base, progress=False, **more
            )

        def by_duckdb(bucket: str) -> Callable[[], pd.DataFrame]:
            text = SQL.format(bucket=bucket, paths=paths)
            return lambda: connection.sql(text).df()

        works = {
            "uf 1h": derived("1h"), "duckdb 1h": by_duckdb("1 hour"),
            "uf 2h": derived("2h"), "duckdb 2h": by_duckdb("2 hours"),
            "uf 1d Asia/Seoul": derived("1d", "Asia/Seoul"),
            "uf 1d America/New_York": derived("1d", "America/New_York"),
            "uf 1h, close": derived("1h", columns=["close"]),
            "uf 1m": lambda: uf.candles("KRW-BTC", "1m", start=START, end=END, source="store", progress=False),
        }  # fmt: skip
        hours = works["uf 1h"]()
        theirs = works["duckdb 1h"]()
        assert len(hours) == len(theirs) == 8760, (len(hours), len(theirs))
        assert np.array_equal(hours[["open", "high", "low", "close"]], theirs[["open", "high", "low", "close"]])
        assert np.allclose(hours["volume"], theirs["volume"], rtol=1e-12)
        best = in_turn(works, given.rounds)
        print(f"{len(paths)} file(s), {pd.Timestamp.now('UTC'):%Y-%m-%d}")
        for name, seconds in best.items():
            print(f"{name:<24} {1000 * seconds:8.1f} ms")
        for name in ("1h", "2h"):
            print(f"uf / duckdb, {name:<11} {best[f'uf {name}'] / best[f'duckdb {name}']:8.2f}")


if __name__ == "__main__":
    main()
