"""``uf.update`` of many series that are a day old: requests, and share of the allowed rate.

``python tests/benchmarks/bench_update.py [--series 300] [--delay 50] [--interval 1m]``

The stand-in exchange runs in a process of its own with the given round trip and Upbit's limits. The stored series are
made from the same seeded market, without requests. The share is against a client that loses nothing: ten requests at
once, then ten more each second.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from served import NOW, Served

import upbit_frames as uf
from upbit_frames.api.engine import open_store
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.store.base import Series
from upbit_frames.testing import MarketModel
from upbit_frames.testing.market.listings import default_listings
from upbit_frames.testing.server.virtual_clock import moment

LIMIT = 10
DAY = 86_400_000_000


def fill(client: uf.Client, interval: str, count: int) -> None:
    """Store the day before yesterday of so many markets."""
    end = moment(NOW) // DAY * DAY - DAY
    model = MarketModel(7, default_listings(extra=count))
    store = open_store(client.config)
    for number in range(1, count + 1):
        market = f"KRW-C{number:03d}"
        span = Span(end - 3 * DAY, end)
        table = model.candles(market, INTERVALS[interval], *span).table()
        store.write(Series("candles", market, interval), table, span)


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=300)
    parser.add_argument("--delay", type=float, default=50, help="milliseconds of round trip")
    parser.add_argument("--interval", default="1m")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Served(given.delay / 1000, extra=given.series) as served:
        client = uf.Client(uf.Config(**served.settings, cache_dir=Path(folder), progress=False))
        fill(client, given.interval, given.series)
        client.ticker("KRW-BTC")  # imports, connections, the server's own caches
        time.sleep(1.1)
        served.seen()
        begun = time.perf_counter()
        report = client.update()
        seconds = time.perf_counter() - begun
        seen = served.seen()
        candles = sum("/candles/" in path for _, _, path in seen)
        promised = int((-(-(report["rows"] + 1) // 200)).sum())
        refused = sum(status in (418, 429) for _, status, _ in seen)
        again = client.update(interval=given.interval)
        ideal = (candles - 1) // LIMIT + given.delay / 1000
        arrivals = sorted(at for at, _, path in seen if "/candles/" in path)
        print(report.summary_lines[0])
        print(f"candle requests {candles}, promised {promised}, refused {refused}, others {len(seen) - candles}")
        print(f"{seconds:.2f} s, ideal {ideal:.2f} s, share {ideal / seconds:.1%}; ", end="")
        print(f"from the first to the last candle request {arrivals[-1] - arrivals[0]:.2f} s")
        print(f"again at once: {again.summary_lines[0]}")


if __name__ == "__main__":
    main()
