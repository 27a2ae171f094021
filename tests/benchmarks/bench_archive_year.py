"""A year of 1m candles, cold: the published archive against REST at Upbit's limit, in one run.

Run it by hand: ``python tests/benchmarks/bench_archive_year.py`` (about five minutes). The stand-in
exchange runs in the same process and adds 50 ms of round trip.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import upbit_frames as uf
from upbit_frames.testing import Exchange

START, END, DELAY = "2025-02-01", "2026-02-01", 0.05


def main() -> None:
    """Measure both and compare the frames row for row."""
    with Exchange(seed=7, now="2026-03-01T00:00:30Z", delay=DELAY) as exchange, tempfile.TemporaryDirectory() as folder:
        frames, figures = {}, {}
        # The stand-in invents its trades when they are first asked for; that is not what is measured.
        uf.Client(exchange.config(cache_dir=Path(folder) / "warm", progress=False)).candles(
            "KRW-BTC", "1m", start=START, end=END, source="archive"
        )
        for source in ("archive", "rest"):
            client = uf.Client(exchange.config(cache_dir=Path(folder) / source, progress=False))
            before, began = len(exchange.requests), time.perf_counter()
            frames[source] = client.candles("KRW-BTC", "1m", start=START, end=END, source=source)
            figures[source] = (time.perf_counter() - began, len(exchange.requests) - before)
            print(
                f"{source:8} {figures[source][0]:8.2f} s {figures[source][1]:6} requests {len(frames[source]):8,} rows"
            )
        same = frames["archive"].equals(frames["rest"])
        faster = figures["rest"][0] / figures["archive"][0]
        fewer = figures["rest"][1] / figures["archive"][1]
        print(f"row for row equal: {same}; {faster:.0f} times faster, {fewer:.0f} times fewer requests")


if __name__ == "__main__":
    main()
