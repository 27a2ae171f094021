"""How long ``uf.ticker`` takes: from a warm stream, and over REST at 40 ms round trip.

``python tests/benchmarks/bench_live_latency.py [--calls 400]``

The stand-in exchange runs in a process of its own. Both channels are asked in turn, so that noise
meets both. ``news`` are the calls that found a newer state than the call before, which have a
frame to make.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from served import Served

import upbit_frames as uf

MARKET = "KRW-BTC"
DELAY = 0.04


def told(name: str, times: list[float]) -> None:
    """A line of percentiles."""
    if not times:
        print(f"{name:<28} none")
        return
    ordered = sorted(times)
    p50, p95, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3 for share in (0.5, 0.95, 0.99))
    print(f"{name:<28} p50 {p50:8.3f} ms   p95 {p95:8.3f} ms   p99 {p99:8.3f} ms   ({len(times)} calls)")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=400)
    calls = parser.parse_args().calls
    with Served(DELAY, busy=True) as served, tempfile.TemporaryDirectory() as folder:
        client = uf.Client(uf.Config(**served.settings, cache_dir=Path(folder), progress=False))
        while client.ticker(MARKET).attrs["upbit_frames"]["route"][0]["channel"] != "live":
            time.sleep(0.2)
        warm, news, rest, last = [], [], [], None
        for number in range(calls):
            begun = time.perf_counter()
            frame = client.ticker(MARKET)
            spent = time.perf_counter() - begun
            assert frame.attrs["upbit_frames"]["route"][0]["channel"] == "live"
            state = frame["updated"].iloc[0]
            (warm if state == last else news).append(spent)
            last = state
            if number % 8 == 0:
                time.sleep(0.11)  # within the limit
                begun = time.perf_counter()
                client.ticker(MARKET, source="rest")
                rest.append(time.perf_counter() - begun)
            time.sleep(0.02)
    told("warm stream", warm + news)
    told("of these with news", news)
    told("REST, 40 ms round trip", rest)
    print(f"REST takes {statistics.median(rest) / statistics.median(warm + news):,.0f} times as long")


if __name__ == "__main__":
    main()
