"""What recording a call costs, as a share of the cheapest calls there are.

``python tests/benchmarks/bench_metrics.py``

The same calls with the recorder as it is and with one that does nothing, interleaved; medians.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from served import Served

import upbit_frames as uf
from upbit_frames import client as front
from upbit_frames.calls import base
from upbit_frames.recorder import Recorder, recorder
from upbit_frames.transport import rest

ROUNDS = 3000


class Silent(Recorder):
    """Records nothing."""

    def call(self, name: str) -> Any:
        """Nothing."""
        return NOTHING

    def answered(self, meta: object, rows: int) -> None:
        """Nothing."""

    def request(self, *facts: object) -> None:
        """Nothing."""


class Nothing:
    """Around nothing."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *error: object) -> None:
        """Nothing."""


NOTHING = Nothing()
SILENT = Silent()


def use(one: Recorder) -> None:
    for module in (front, base, rest):
        module.recorder = one


def compare(name: str, work: Callable[[], object], rounds: int) -> None:
    on, off = [], []
    for number in range(rounds):
        for one, times in ((recorder, on), (SILENT, off)) if number % 2 else ((SILENT, off), (recorder, on)):
            use(one)
            begun = time.perf_counter()
            work()
            times.append(time.perf_counter() - begun)
    use(recorder)
    with_it, without = statistics.median(on) * 1e6, statistics.median(off) * 1e6
    print(f"{name:<34} {without:9.1f} µs, recorded {with_it:9.1f} µs: {with_it / without - 1:+.2%}")


def alone() -> None:
    """The recorder's own work for one call with one request."""
    own, meta = Recorder(), {"route": [{"channel": "rest", "reason": "x"}], "market": ["KRW-BTC"]}
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        with own.call("ticker") as record:
            own.request("ticker", 200, 1, 700, 0.0)
            record.answered(meta, 1)
        times.append(time.perf_counter() - begun)
    print(f"{'the recorder alone':<34} {statistics.median(times) * 1e6:9.1f} µs a call")


def main() -> None:
    """Print a table."""
    alone()
    with Served(0.0) as served, tempfile.TemporaryDirectory() as folder:
        client = uf.Client(uf.Config(**served.settings, cache_dir=Path(folder), progress=False))
        client.candles("KRW-BTC", "1m", count=200)
        compare("200 candles from the store", lambda: client.candles("KRW-BTC", "1m", count=200), ROUNDS)
        for _ in range(5):
            client.ticker("KRW-BTC")
            time.sleep(0.3)
        compare("a ticker from a warm stream", lambda: client.ticker("KRW-BTC"), ROUNDS)
        compare("a ticker over REST, no delay", lambda: (time.sleep(0.11), client.ticker("KRW-BTC", source="rest")), 40)


if __name__ == "__main__":
    main()
