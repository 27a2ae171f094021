"""Five queries by every engine while another process writes, merges and is killed: is every answer that of uf.candles?

``python tests/benchmarks/soak_scan.py [--reads 5000]``. By hand only; what was read wrong is printed, and the exit code
is 1 then. The writer adds minutes behind the range of the queries, so their answers never change.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import upbit_frames as uf
from upbit_frames.core.intervals import Span, iso
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

MINUTE, DAY = 60_000_000, 86_400_000_000
START = 1_704_067_200_000_000  # 2024-01-01
DAYS = 6
MARKETS = ("KRW-BTC", "KRW-ETH", "BTC-ETH", "KRW-XRP")
ENGINES = ("polars", "duckdb", "dask", "arrow")
RANGE = {"start": iso(START), "end": iso(START + DAYS * DAY)}


def write(store: ParquetStore, market: str, span: Span) -> None:
    """Write the minutes of a range; every seventh has no trade."""
    times = np.arange(span.start, span.end, MINUTE)
    times = times[(times // MINUTE) % 7 != 0]
    price = 100.0 + (times // MINUTE) % 13
    columns = [pa.array(times).cast(pa.timestamp("us", tz="UTC"))]
    columns += [pa.array(values) for values in (price, price + 1, price - 1, price, price * 0.01, price * 2)]
    store.write(Series("candles", market, "1m"), pa.Table.from_arrays(columns, schema=arrow_schema("candles")), span)


def disturb(folder: str, seed: int) -> None:
    """Write and merge behind the range until killed."""
    store, choose = ParquetStore(Path(folder)), random.Random(seed)
    while True:
        series = Series("candles", choose.choice(MARKETS), "1m")
        end = store.covered(series)[-1].end
        write(store, series.market, Span(end, end + choose.randint(1, 30) * MINUTE))
        if choose.random() < 0.2:
            store.compact(series)


def one_market(frame: pd.DataFrame) -> float:
    return float((frame["close"] * frame["volume"]).sum())


def daily(frame: pd.DataFrame) -> float:
    closes = frame.groupby(["market", frame["time"].dt.floor("D")])["close"].last()
    return float(closes.groupby("market").pct_change().abs().sum())


def hourly(frame: pd.DataFrame) -> float:
    hours = frame.assign(hour=frame["time"].dt.floor("h")).groupby(["hour", "market"])["close"].last().unstack()
    return float(hours.sum().sum() + hours.size)


QUERIES: dict[str, tuple[dict[str, Any], Callable[[pd.DataFrame], float]]] = {
    "one market": ({"markets": "KRW-BTC", **RANGE}, one_market),
    "one day of all": ({"start": iso(START + DAY), "end": iso(START + 2 * DAY)}, lambda frame: float(len(frame))),
    "daily returns": (RANGE, daily),
    "hourly matrix": (RANGE, hourly),
    "value by market": (RANGE, lambda frame: float(frame.groupby("market")["value"].sum().max())),
}


def frame_of(result: Any, engine: str) -> pd.DataFrame:
    """The rows as pandas, in order."""
    if engine == "polars":
        frame = result.collect().to_arrow().to_pandas()
    elif engine == "duckdb":
        frame = result.to_arrow_table().to_pandas()
    elif engine == "dask":
        frame = result.compute(scheduler="synchronous").reset_index()
    else:
        frame = result.to_table().to_pandas()
    frame["market"] = frame["market"].astype(str)
    return frame.sort_values(["market", "time"], ignore_index=True)


def expected() -> dict[str, float]:
    """The answers by uf.candles."""
    answers = {}
    for name, (given, query) in QUERIES.items():
        markets = [given["markets"]] if "markets" in given else list(MARKETS)
        frame = uf.candles(markets, "1m", start=given["start"], end=given["end"], source="store").reset_index()
        frame["market"] = frame["market"].astype(str)
        answers[name] = query(frame.sort_values(["market", "time"], ignore_index=True))
    return answers


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reads", type=int, default=5000)
    given = parser.parse_args()
    spawn, wrong, kills = multiprocessing.get_context("spawn"), [], 0
    with tempfile.TemporaryDirectory() as folder, uf.using(cache_dir=folder):
        for market in MARKETS:
            for day in range(DAYS):
                write(ParquetStore(Path(folder)), market, Span(START + day * DAY, START + (day + 1) * DAY))
        answers = expected()
        writer = spawn.Process(target=disturb, args=(folder, 0), daemon=True)
        writer.start()
        for number in range(given.reads):
            if number % 100 == 99:
                writer.kill()
                writer.join()
                kills += 1
                writer = spawn.Process(target=disturb, args=(folder, number), daemon=True)
                writer.start()
            engine = ENGINES[number % len(ENGINES)]
            name = list(QUERIES)[number // len(ENGINES) % len(QUERIES)]
            arguments, query = QUERIES[name]
            answer = query(frame_of(uf.scan(**arguments, interval="1m", engine=engine), engine))
            if not np.isclose(answer, answers[name], rtol=1e-12):
                wrong.append(f"{engine} {name}: {answer} instead of {answers[name]}")
        writer.kill()
        writer.join()
        grown = ParquetStore(Path(folder)).covered(Series("candles", "KRW-BTC", "1m"))[-1].end - START - DAYS * DAY
        answers_after = expected()
    print(f"{given.reads:,} reads, {kills} writers killed, {grown // MINUTE:,} minutes added to the first market")
    print("; ".join(wrong[:5]) if wrong else "every answer is that of uf.candles")
    return 1 if wrong or answers_after != answers else 0


if __name__ == "__main__":
    sys.exit(main())
