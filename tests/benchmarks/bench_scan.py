"""One day of minutes of 300 markets: ``uf.scan`` against an engine given the list by hand, and against a glob.

Run with ``python tests/benchmarks/bench_scan.py``. Each figure is the best of five runs with warm pages, by the clock
and by processor time. What bounds a glob: it opens every file of the store, of which all but those of one month have
nothing to give. What bounds the list: one footer and two column chunks of each of its files.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

import upbit_frames as uf
from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series
from upbit_frames.store.layout import file_name, folder_of
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
MONTHS = [datetime(2024 + month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in range(25)]


def fill(root: Path, markets: int, months: int) -> None:
    """Write months of minutes of every market, the same ones for all markets."""
    store, first = ParquetStore(root), Series("candles", "KRW-C000", "1m")
    for low, high in itertools.pairwise(MONTHS[: months + 1]):
        span = Span(to_micros(low), to_micros(high))
        times = np.arange(span.start, span.end, MINUTE)
        price = 100.0 + np.cumsum(np.random.default_rng(1).integers(-1, 2, len(times)))
        columns = [pa.array(times).cast(pa.timestamp("us", tz="UTC"))]
        columns += [pa.array(values) for values in (price, price + 1, price - 1, price, price * 0.01, price * 2)]
        store.write(first, pa.Table.from_arrays(columns, schema=arrow_schema("candles")), span)
    for number in range(1, markets):  # the same files under other names: for a reader they are files of their own
        folder = folder_of(root, Series("candles", f"KRW-C{number:03}", "1m"))
        folder.mkdir(parents=True)
        for file in store.files(first):
            (folder / file.path.name).hardlink_to(file.path)


def best(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor (all threads together)."""
    work()
    clocks, processors = [], []
    for _ in range(5):
        clock, processor = time.perf_counter(), time.process_time()
        work()
        clocks.append(time.perf_counter() - clock)
        processors.append(time.process_time() - processor)
    return min(clocks), min(processors)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--markets", type=int, default=300)
    parser.add_argument("--months", type=int, default=24)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, uf.using(cache_dir=folder):
        root = Path(folder)
        fill(root, given.markets, given.months)
        start = MONTHS[given.months - 1] + timedelta(days=9)
        end = start + timedelta(days=1)
        month = file_name(Span(to_micros(MONTHS[given.months - 1]), to_micros(MONTHS[given.months])))
        paths = sorted(map(str, root.glob(f"candles/**/{month}")))
        everything = f"{folder}/candles/**/*.parquet"
        within = (pl.col("time") >= start) & (pl.col("time") < end)
        where = f"time >= TIMESTAMPTZ '{start.isoformat()}' and time < TIMESTAMPTZ '{end.isoformat()}'"
        total = "select market, sum(value) from {} where {} group by market"

        def by_polars(frame: pl.LazyFrame) -> pl.DataFrame:
            return frame.filter(within).group_by("market").agg(pl.col("value").sum()).collect()

        def by_duckdb(source: object) -> list[object]:
            text = f"read_parquet({source!r}, hive_partitioning = true)"
            return duckdb.connect().sql(total.format(text, where)).fetchall()

        def scanned() -> list[object]:
            relation = uf.scan(interval="1m", start=start, end=end, engine="duckdb")
            return relation.aggregate("market, sum(value)").fetchall()

        assert len(by_polars(pl.scan_parquet(paths, hive_partitioning=True))) == given.markets
        figures = {
            "polars uf.scan": best(lambda: by_polars(uf.scan(interval="1m", start=start, end=end))),
            "polars by hand": best(lambda: by_polars(pl.scan_parquet(paths, hive_partitioning=True))),
            "polars glob": best(lambda: by_polars(pl.scan_parquet(everything, hive_partitioning=True))),
            "duckdb uf.scan": best(scanned),
            "duckdb by hand": best(lambda: by_duckdb(paths)),
            "duckdb glob": best(lambda: by_duckdb(everything)),
        }
    for name, (clock, processor) in figures.items():
        by_hand = figures[f"{name.partition(' ')[0]} by hand"]
        print(
            f"{name:16} {clock * 1e3:8.1f} ms {clock / by_hand[0]:6.2f} x by hand, "
            f"processor {processor * 1e3:8.1f} ms {processor / by_hand[1]:6.2f} x"
        )


if __name__ == "__main__":
    main()
