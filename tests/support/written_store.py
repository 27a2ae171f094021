"""Writes the small store that later versions must be able to read and update.

Run ``python tests/support/written_store.py`` when the version or SCHEMA_VERSION has changed: it writes a
folder of its own below ``tests/store/written`` and leaves those of earlier versions as they are.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from upbit_frames._version import __version__
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.runtime.clock import ManualClock
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

__all__ = ["CANDLES", "DAYS", "NOTES", "SPANS", "TRADES", "WRITTEN", "expected_rows", "write"]

WRITTEN = Path(__file__).resolve().parent.parent / "store" / "written"
MINUTE = 60_000_000
NOON = 1_706_702_400_000_000  # 2024-01-31T12:00Z: half a day before a month ends
CANDLES = Series("candles", "KRW-BTC", "1m")
DAYS = Series("candles", "KRW-BTC", "1d")
TRADES = Series("trades", "KRW-BTC")
SPANS = {
    CANDLES: Span(NOON, NOON + 900 * MINUTE),
    DAYS: Span(NOON - 720 * MINUTE, NOON + 20 * 1_440 * MINUTE - 720 * MINUTE),
    TRADES: Span(NOON, NOON + 60 * MINUTE),
}
NOTES = {"archive fixture": {"sha256": "00", "start": NOON, "end": NOON + MINUTE}}


def expected_rows(series: Series) -> pa.Table:
    """The rows of a series, by arithmetic alone; every seventh candle was not traded."""
    span, schema = SPANS[series], arrow_schema(series.kind)
    if series.interval is None:
        times = [span.start + 23_700_000 * (number // 2) for number in range(300)]
        numbers = range(300)
        columns = {
            "price": [1_000.0 + number % 11 for number in numbers],
            "volume": [0.125 * (1 + number % 5) for number in numbers],
            "value": [(1_000.0 + number % 11) * 0.125 * (1 + number % 5) for number in numbers],
            "side": ["ask" if number % 3 else "bid" for number in numbers],
            "sequential_id": [time // 1000 * 10_000 + number % 2 for number, time in enumerate(times)],
            "seq": [None] * 300,
        }
    else:
        step = INTERVALS[series.interval].step
        slots = [slot for slot in range((span.end - span.start) // step) if slot % 7]
        times = [span.start + slot * step for slot in slots]
        columns = {
            "open": [100.0 + slot % 13 for slot in slots],
            "high": [120.0 + slot % 5 for slot in slots],
            "low": [90.0 - slot % 3 for slot in slots],
            "close": [100.5 + slot % 17 for slot in slots],
            "volume": [0.25 * slot for slot in slots],
            "value": [25.0 * slot for slot in slots],
        }
    time = pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return pa.Table.from_pydict({"time": time, **columns}, schema=schema)


def write(folder: Path) -> None:
    """Write the store into a folder: the candles in two pieces, an empty range before them, a note."""
    store = ParquetStore(folder, clock=ManualClock(NOON + 30 * 1_440 * MINUTE))
    for series, span in SPANS.items():
        rows, middle = expected_rows(series), (span.start + span.end) // 2
        middle -= middle % (1_440 * MINUTE if series == DAYS else MINUTE)
        micros = rows["time"].cast("int64").to_pylist()
        cut = sum(time < middle for time in micros)
        store.write(series, rows.slice(0, cut), Span(span.start, middle))
        store.write(series, rows.slice(cut), Span(middle, span.end), origin="live" if series == TRADES else "rest")
    store.write(DAYS, expected_rows(DAYS).slice(0, 0), Span(0, SPANS[DAYS].start))
    for key, value in NOTES.items():
        store.note(CANDLES, key, value)


if __name__ == "__main__":
    target = WRITTEN / __version__
    write(target)
    for lock in sorted(target.rglob(".locks/*")):
        lock.unlink()
    (target / ".locks").rmdir()
    for mark in target.rglob("_used"):
        mark.unlink()
    print(target, sum(path.stat().st_size for path in target.rglob("*") if path.is_file()), "bytes")
