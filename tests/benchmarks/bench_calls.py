"""What a user waits for where no network is needed: a cached call, the import, a stored year.

``python tests/benchmarks/bench_calls.py``

Ratios are of medians. Imports and the two ways to read a year take turns in processes of their own,
because in one process each way would find the other's memory, warm or given back.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from test_store_bench import ROWS, SERIES, YEAR, year_of_minutes

import upbit_frames as uf
from upbit_frames.api.engine import open_store
from upbit_frames.core.intervals import from_micros

PEAK = """
import resource, sys, threading, time
from pathlib import Path
import psutil
import upbit_frames as uf
config = uf.Config(cache_dir=Path(sys.argv[1]), progress=False)
client = uf.Client(config)
client.candles("KRW-BTC", "1m", start="2025-01-01", end="2025-01-02", source="store")  # imports
me = psutil.Process()
base = peak = me.memory_info().rss
ended = False
def watch():
    global peak
    while not ended:
        peak = max(peak, me.memory_info().rss)
        time.sleep(0.0005)
thread = threading.Thread(target=watch); thread.start()
frame = client.candles("KRW-BTC", "1m", start="2025-01-01", end="2026-01-01", source="store")
ended = True; thread.join()
size = int(frame.memory_usage(index=True).sum())
print(len(frame), size, max(peak, me.memory_info().rss) - base)
"""


END = from_micros(YEAR.end)
READ = """
import statistics, sys, time
from pathlib import Path
import pyarrow.parquet as pq
import upbit_frames as uf
way, folder, single = sys.argv[1:]
client = uf.Client(uf.Config(cache_dir=Path(folder), progress=False))
asked = dict(end="2026-01-01", source="store")
ways = {
    "ours": lambda: client.candles("KRW-BTC", "1m", start="2025-01-01", **asked),
    "raw": lambda: pq.read_table(single).to_pandas().set_index("time"),
}
times = []
for _ in range(24):
    begun = time.perf_counter()
    frame = ways[way]()
    times.append(time.perf_counter() - begun)
print(len(frame), statistics.median(times[4:]))
"""


def median(work: Callable[[], object], rounds: int) -> float:
    return statistics.median(timed(work) for _ in range(rounds))


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def interleaved(ours: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    pairs = [(timed(ours), timed(other)) for _ in range(rounds)]
    return statistics.median(one for one, _ in pairs), statistics.median(one for _, one in pairs)


def read(way: str, folder: Path, single: Path) -> float:
    """Seconds of a read of the year, the median of a process."""
    done = subprocess.run(
        [sys.executable, "-c", READ, way, str(folder), str(single)], capture_output=True, text=True, check=True
    )
    rows, seconds = done.stdout.split()
    assert int(rows) == ROWS
    return float(seconds)


def fresh(statement: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", statement], check=True)


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as folder:
        config = uf.Config(cache_dir=Path(folder) / "store", progress=False)
        store = open_store(config)
        table = year_of_minutes()
        store.write(SERIES, table, YEAR)
        client = uf.Client(config)

        client.candles("KRW-BTC", "1m", count=200, end=END)
        small = median(lambda: client.candles("KRW-BTC", "1m", count=200, end=END), 300)
        with uf.using(cache_dir=config.cache_dir):
            plain = median(lambda: uf.candles("KRW-BTC", "1m", count=200, end=END), 300)
        print(f"cached call, 200 rows: Client {small * 1e3:.2f} ms, uf.candles {plain * 1e3:.2f} ms (median of 300)")

        single = Path(folder) / "single.parquet"
        floats = table.column_names[1:]
        encodings = {"time": "DELTA_BINARY_PACKED", "volume": "BYTE_STREAM_SPLIT", "value": "BYTE_STREAM_SPLIT"}
        pq.write_table(table, single, compression="lz4", use_dictionary=floats[:4], column_encoding=encodings)

        pairs = [(read("ours", config.cache_dir, single), read("raw", config.cache_dir, single)) for _ in range(12)]
        ours, other = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        print(
            f"a stored year: {ours * 1e3:.1f} ms, one tuned file by pyarrow {other * 1e3:.1f} ms: {ours / other:.2f}×"
        )

        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(config.cache_dir)], capture_output=True, text=True, check=True
        )
        rows, size, peak = (int(one) for one in done.stdout.split())
        assert rows == ROWS
        print(f"its memory: frame {size / 1e6:.1f} MB, peak above the start {peak / 1e6:.1f} MB: {peak / size:.2f}×")

    ours, other = interleaved(fresh("import upbit_frames"), fresh("import pandas"), 11)
    bare = median(fresh("pass"), 11)
    print(f"import upbit_frames {ours * 1e3:.0f} ms, import pandas {other * 1e3:.0f} ms: {ours / other:.2f}×", end="")
    print(f" (without Python's own start of {bare * 1e3:.0f} ms: {(ours - bare) / (other - bare):.2f}×)")


if __name__ == "__main__":
    main()
