"""A process that writes to a store until it is killed.

Started once by a test, it imports everything, then forks a writer for every line it reads, so
that killing forty writers does not cost forty starts of Python. The line is JSON: folder, log,
seed, base, mode. A writer notes in the log what it is about to do and what is done.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa

from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
SERIES = Series("candles", "KRW-BTC", "1m")
MINUTES = 60 * 1440  # the window in which pages lie: January and February 2024
START = 1_704_067_200_000_000


def traded(minute: int) -> bool:
    """Every seventh minute nothing is traded."""
    return minute % 7 != 0


def page(low: int, high: int, version: int) -> tuple[pa.Table, Span]:
    """Minutes of the window; the open price tells who wrote them."""
    minutes = [minute for minute in range(low, high) if traded(minute)]
    times = pa.array([START + minute * MINUTE for minute in minutes], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    ones = [float(version)] * len(minutes)
    table = pa.Table.from_arrays([times, *[pa.array(ones, pa.float64())] * 6], schema=arrow_schema("candles"))
    return table, Span(START + low * MINUTE, START + high * MINUTE)


def write_at_random(store: ParquetStore, log: int, seed: int, base: int) -> None:
    """Backfills, holes, replacements and compactions, for ever."""
    choose = random.Random(seed)
    version = base
    high = choose.randrange(2_000, MINUTES)
    while True:
        version += 1
        kind = choose.choices(["page", "jump", "replace", "compact"], [80, 8, 8, 4])[0]
        if kind == "compact":
            store.compact(SERIES)
            continue
        if kind == "jump" or high < 400:
            high = choose.randrange(2_000, MINUTES)
        low = high - choose.choice([1, 60, 200, 200, 200])
        if kind == "replace":
            low = choose.randrange(0, MINUTES - 3_000)
            span = (low, low + choose.randrange(1, 3_000))
        else:
            span = (low, high)
            high = low
        told = {"span": span, "version": version, "replace": kind == "replace"}
        os.write(log, (json.dumps({"begin": told}) + "\n").encode())
        store.write(SERIES, *page(*span, version), replace=kind == "replace")
        os.write(log, (json.dumps({"done": version}) + "\n").encode())


def write_share(store: ParquetStore, log: int, share: int, shares: int, pages: int) -> None:
    """Every so-many-th page of a stretch, from the newest to the oldest, and then an end."""
    for number in range(pages - 1 - share, -1, -shares):
        store.write(SERIES, *page(number * 50, number * 50 + 50, 1))
    os.write(log, b"finished\n")


CELLS = 120  # minutes of one month in which the processes of a history meet


def take_part(store: ParquetStore, log: int, role: str, seed: int, base: int, stop: str) -> None:
    """Do the same kind of call again and again until there is a file ``stop``; each begin and each end is logged."""
    choose = random.Random(seed)
    everything = Span(START, START + CELLS * MINUTE)
    version = base

    def say(**words: Any) -> None:
        os.write(log, (json.dumps({**words, "time": time.monotonic_ns()}) + "\n").encode())

    while not Path(stop).exists():
        version += 1
        if role == "write":
            low = choose.randrange(CELLS - 1)
            high = min(CELLS, low + choose.choice([1, 5, 5, 20, 90]))
            replace = choose.random() < 0.4
            say(begin="write", low=low, high=high, version=version, replace=replace)
            store.write(SERIES, *page(low, high, version), replace=replace)
            say(end=True)
        elif role == "read":
            say(begin="read")
            table, covered = store.read_covered(SERIES, everything)
            seen = [-1] * CELLS
            for span in covered:
                low, high = ((edge - START) // MINUTE for edge in span)
                seen[low:high] = [0] * (high - low)
            for moment, price in zip(table["time"].cast("int64").to_pylist(), table["open"].to_pylist(), strict=True):
                assert seen[(moment - START) // MINUTE] == 0
                seen[(moment - START) // MINUTE] = int(price)
            say(end=True, seen=seen)
        elif role == "merge":
            say(begin="merge")
            store.compact(SERIES)
            say(end=True)
        elif role == "verify":
            say(begin="verify")
            problems = {finding.problem for finding in store.verify(SERIES, repair=choose.random() < 0.3)}
            assert problems <= {"leftover"}, problems
            say(end=True)
        elif choose.random() < 0.1:
            say(begin="clear")
            store.clear()
            say(end=True)
        if role != "write":
            time.sleep(choose.uniform(0.0, 0.05 if role in {"verify", "clear"} else 0.01))


def work(order: dict[str, Any]) -> None:
    """What a forked writer does."""
    warnings.simplefilter("error")
    store = ParquetStore(order["folder"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    if "role" in order:
        take_part(store, log, order["role"], order["seed"], order["base"], order["stop"])
    elif order["mode"] == "random":
        write_at_random(store, log, order["seed"], order["base"])
    else:
        write_share(store, log, order["share"], order["shares"], order["pages"])


def main() -> None:
    """Fork a writer for each line, and tell its number and, at its end, its status."""
    if "share" in sys.argv:  # no fork: this process is the writer
        work(json.loads(sys.stdin.readline()))
        return
    with tempfile.TemporaryDirectory() as folder:
        # What is only loaded when first used is loaded now, or killed writers would hardly begin.
        store = ParquetStore(folder)
        for number in range(8):
            store.write(SERIES, *page(number, number + 1, 1))
        store.read(SERIES, Span(START, START + 8 * MINUTE))
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(order)
                status = 0
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(status)
        print(child, flush=True)


if __name__ == "__main__":
    main()
