"""How fast the store is, next to one tuned Parquet file read by pyarrow alone.

``python -m pytest tests/benchmarks/test_store_bench.py --benchmark-only -o addopts=--import-mode=importlib``
prints a table; the ratios of interleaved runs stand in ``extra_info`` and on the last lines (``-s``).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
START = 1_735_689_600_000_000  # 2025-01-01
ROWS = 525_600
YEAR = Span(START, START + ROWS * MINUTE)
SERIES = Series("candles", "KRW-BTC", "1m")
ROUNDS = 15


def year_of_minutes() -> pa.Table:
    """A walk of prices in steps of 1,000 won with eight decimals of volume, as KRW-BTC has them."""
    random = np.random.default_rng(7)
    close = 150_000_000 + 1_000.0 * np.cumsum(random.integers(-40, 41, ROWS))
    open_ = np.concatenate([[150_000_000.0], close[:-1]])
    high = np.maximum(open_, close) + 1_000.0 * random.integers(0, 30, ROWS)
    low = np.minimum(open_, close) - 1_000.0 * random.integers(0, 30, ROWS)
    volume = np.round(random.lognormal(-0.5, 1.1, ROWS), 8)
    times = pa.array(START + MINUTE * np.arange(ROWS)).cast(pa.timestamp("us", tz="UTC"))
    value = np.round(volume * (open_ + close) / 2, 5)
    return pa.Table.from_arrays(
        [times, *map(pa.array, (open_, high, low, close, volume, value))], schema=arrow_schema("candles")
    )


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[ParquetStore, dict[str, Path]]:
    """A year in the store, twelve monthly files, and the same as one file in two tunings."""
    folder = tmp_path_factory.mktemp("year")
    table = year_of_minutes()
    store = ParquetStore(folder / "store")
    store.write(SERIES, table, YEAR)
    assert store.info(SERIES).files == 12
    floats = table.column_names[1:]
    dictionaries = {"time": "DELTA_BINARY_PACKED", "volume": "BYTE_STREAM_SPLIT", "value": "BYTE_STREAM_SPLIT"}
    single = {name: folder / f"{name}.parquet" for name in ("zstd", "lz4")}
    pq.write_table(
        table, single["zstd"], compression="zstd", use_dictionary=floats[:4], column_encoding=dictionaries,
        row_group_size=ROWS,
    )  # fmt: skip
    split = {"time": "DELTA_BINARY_PACKED", **dict.fromkeys(floats, "BYTE_STREAM_SPLIT")}
    pq.write_table(
        table, single["lz4"], compression="lz4", use_dictionary=False, column_encoding=split, row_group_size=ROWS
    )
    return store, single


def interleaved(works: dict[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each work, taken in turns so that whatever else runs disturbs all alike."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            result = work()
            taken[name].append(time.perf_counter() - start)
            del result
    return taken


def test_a_year_to_pandas(benchmark: Any, year: tuple[ParquetStore, dict[str, Path]]) -> None:
    store, single = year
    frame = store.read(SERIES, YEAR).to_pandas()
    assert frame.equals(pq.read_table(single["zstd"]).to_pandas())
    benchmark.pedantic(lambda: store.read(SERIES, YEAR).to_pandas(), rounds=ROUNDS, warmup_rounds=2)
    taken = interleaved(
        {
            "store": lambda: store.read(SERIES, YEAR).to_pandas(),
            **{name: lambda path=path: pq.read_table(path).to_pandas() for name, path in single.items()},
        }
    )
    info = {f"{name} ms": round(min(seconds) * 1e3, 2) for name, seconds in taken.items()}
    for name in single:
        info[f"store / one {name} file, best"] = round(min(taken["store"]) / min(taken[name]), 2)
        pairs = zip(taken["store"], taken[name], strict=True)
        info[f"store / one {name} file, median of pairs"] = round(statistics.median(a / b for a, b in pairs), 2)
    info["store MB"] = round(store.info(SERIES).bytes / 1e6, 2)
    info.update({f"one {name} file MB": round(path.stat().st_size / 1e6, 2) for name, path in single.items()})
    benchmark.extra_info.update(info)
    print("\nyear of 1m to pandas:", info)


def test_two_hundred_rows_out_of_a_year(benchmark: Any, year: tuple[ParquetStore, dict[str, Path]]) -> None:
    store, _ = year
    middle = START + 200 * 1440 * MINUTE
    span = Span(middle, middle + 200 * MINUTE)
    assert len(store.read(SERIES, span)) == 200
    benchmark(lambda: store.read(SERIES, span))
    taken = interleaved(
        {
            "read": lambda: store.read(SERIES, span),
            "tail": lambda: store.tail(SERIES, YEAR.end, 200),
            "covered": lambda: store.covered(SERIES),
            "count of the year": lambda: store.count(SERIES, YEAR),
        },
        rounds=100,
    )
    info = {f"{name} ms": round(min(seconds) * 1e3, 3) for name, seconds in taken.items()}
    benchmark.extra_info.update(info)
    print("\n200 rows:", info)


def test_pages_as_they_arrive(benchmark: Any, tmp_path: Path) -> None:
    table = year_of_minutes()
    high = 31 * 1440
    pages = [(max(0, end - 200), end) for end in range(high, 0, -200)]

    def backfill(store: ParquetStore) -> list[float]:
        taken = []
        for low, end in pages:
            start = time.perf_counter()
            store.write(SERIES, table.slice(low, end - low), Span(START + low * MINUTE, START + end * MINUTE))
            taken.append(time.perf_counter() - start)
        return taken

    stores = iter([ParquetStore(tmp_path / str(number)) for number in range(3)])
    taken: list[float] = []
    benchmark.pedantic(lambda: taken.extend(backfill(next(stores))), rounds=3)
    info = {"mean ms": round(statistics.mean(taken) * 1e3, 2), "median ms": round(statistics.median(taken) * 1e3, 2)}
    benchmark.extra_info.update(info)
    print("\npage of 200 rows, durable, merges included:", info)
