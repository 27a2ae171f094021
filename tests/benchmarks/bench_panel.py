"""Many markets at once: panels and long frames against raw pyarrow, single calls and Polars, as ratios of one run.

Run with ``python tests/benchmarks/bench_panel.py``. The works take turns, so that whatever else runs disturbs all
alike; a figure is the median of the wall times.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import upbit_frames as uf
from upbit_frames.core.arrow import candle_table
from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
START = to_micros(datetime(2025, 1, 1, tzinfo=UTC))
ROWS = 525_600
RANGE: dict[str, Any] = {"start": "2025-01-01", "end": "2026-01-01"}


def fill(root: Path, markets: int) -> list[str]:
    """Write a year of minutes of each market: a third of them without gaps, the others with up to 60 % missing."""
    codes = [f"KRW-M{number:02}" for number in range(markets)]
    for number, code in enumerate(codes):
        random = np.random.default_rng(number)
        present = random.random(ROWS) >= (0.15 * (number % 5) if number % 3 else 0.0)
        close = 150e6 + 1000.0 * np.cumsum(random.integers(-40, 41, ROWS))
        volume = np.round(random.lognormal(-0.5, 1.1, ROWS), 8)
        numbers = np.array([close, close + 5000.0, close - 5000.0, close, volume, np.round(volume * close, 5)])
        table = candle_table((START + MINUTE * np.arange(ROWS))[present], numbers[:, present])
        ParquetStore(root).write(Series("candles", code, "1m"), table, Span(START, START + ROWS * MINUTE))
    return codes


def compare(title: str, works: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Print the medians and the ratio of the first work to each other one."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            begun = time.perf_counter()
            result = work()
            if number:  # the first round warms up
                taken[name].append(time.perf_counter() - begun)
            del result
    first, *others = ((name, statistics.median(seconds)) for name, seconds in taken.items())
    for name, seconds in others:
        ratio = first[1] / seconds
        print(f"{title:24} {first[0]} {first[1] * 1e3:7.1f} ms / {name} {seconds * 1e3:7.1f} ms = {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--markets", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, uf.using(cache_dir=folder, progress=False):
        codes = fill(Path(folder), given.markets)
        files = [sorted(Path(folder).glob(f"candles/v1/market={code}/interval=1m/*.parquet")) for code in codes]

        def raw(placed: bool) -> np.ndarray:
            block = np.full((len(codes), ROWS), np.nan)
            for row, paths in zip(block, files, strict=True):
                at = 0
                for path in paths:
                    table = pq.ParquetFile(path).read(columns=["time", "close"] if placed else ["close"])
                    values = table["close"].to_numpy()
                    if placed:
                        row[(table["time"].cast("int64").to_numpy() - START) // MINUTE] = values
                    else:
                        row[at : at + len(values)] = values
                    at += len(values)
            return block

        def panel() -> Any:
            return uf.panel(codes, "1m", **RANGE)

        compare(
            "panel of close",
            {"panel": panel, "raw": lambda: raw(False), "raw, placed": lambda: raw(True)},
            given.rounds,
        )
        compare(
            "(market, time) frame",
            {
                "one call": lambda: uf.candles(codes, "1m", **RANGE),
                "single calls": lambda: [uf.candles(code, "1m", **RANGE) for code in codes],
            },
            given.rounds,
        )  # fmt: skip
        paths = [str(path) for some in files for path in some]

        def by_polars() -> pl.DataFrame:
            day = pl.col("time").dt.truncate("1d")
            frame = pl.scan_parquet(paths, hive_partitioning=True).group_by("market", day).agg(pl.col("close").last())
            return frame.sort("market", "time").with_columns(r=pl.col("close").pct_change().over("market")).collect()

        def by_panel() -> Any:
            return panel().resample("1D").last().uf.returns()

        compare("daily returns from 1m", {"panel": by_panel, "Polars": by_polars}, given.rounds)
        tuned = Path(folder) / "tuned.parquet"
        year = uf.candles(codes[0], "1m", output="arrow", **RANGE)
        split = {"time": "DELTA_BINARY_PACKED", **dict.fromkeys(year.column_names[1:], "BYTE_STREAM_SPLIT")}
        plain = pa.Table.from_arrays(year.columns, names=year.column_names)
        pq.write_table(plain, tuned, compression="lz4", use_dictionary=False, column_encoding=split)
        compare(
            "a year to pandas",
            {
                "candles": lambda: uf.candles(codes[0], "1m", **RANGE),
                "tuned file": lambda: pq.read_table(tuned).to_pandas(),
            },
            4 * given.rounds,
        )  # fmt: skip


if __name__ == "__main__":
    main()
