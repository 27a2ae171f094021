"""Order books: frames recorded a second, bytes a book, and a day read at one sample a second.

``python tests/benchmarks/bench_books.py [--frames 40000] [--markets 20] [--rate 10]``

Recording takes what two seconds bring, as a recorder does: frames to rows, rows through the hub's sequencers to the
buffers of their topics, pieces into the Parquet store. Bytes are told beside the JSON of the same frames under zstd.
The day is one of ``--rate`` generated books a second, of which each changes a few of its thirty levels. Figures are the
best of three runs, in seconds of the processor, which other programs change less than those of the clock; reading
tells both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

import upbit_frames as uf
from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.core.topics import Topic
from upbit_frames.datasets.collect.record.buffer import TopicBuffer
from upbit_frames.datasets.collect.record.writing import SeriesWriter
from upbit_frames.live.hub.fanout import FanOut
from upbit_frames.live.hub.frame_buffer import FrameBuffer
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

LEVELS = 30
START = 1_772_323_200_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
BATCH = 100  # frames decoded at once


def books(count: int, step: int, seed: int = 1) -> pa.Table:
    """Return a table of books: prices on ticks around a random walk; a book changes three sizes of the one before."""
    chance = np.random.default_rng(seed)
    times = START + step * np.arange(count, dtype=np.int64)
    best = 100_000_000 + 1000 * np.cumsum(chance.integers(-1, 2, count) * (chance.random(count) < 0.1))
    columns: dict[str, pa.Array] = {}
    levels = np.arange(LEVELS)
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * LEVELS)
    for side, sign in (("ask", 1), ("bid", -1)):
        price = (best + (500 if sign > 0 else -500))[:, None] + sign * 1000 * levels[None, :]
        size = np.empty((count, LEVELS))
        current = np.round(chance.random(LEVELS), 8)
        where, amounts = chance.integers(0, LEVELS, (count, 3)), np.round(chance.exponential(0.4, (count, 3)), 8)
        for row in range(count):
            current[where[row]] = amounts[row]
            size[row] = current
        columns[f"{side}_price"] = pa.ListArray.from_arrays(offsets, pa.array(price.astype(float).ravel()))
        columns[f"{side}_size"] = pa.ListArray.from_arrays(offsets, pa.array(size.ravel()))
        columns[f"total_{side}_size"] = pa.array(size.sum(axis=1))
    moments = pa.array(times).cast(pa.timestamp("us", tz="UTC"))
    arrived = pa.array(times + chance.integers(5_000, 60_000, count)).cast(pa.timestamp("us", tz="UTC"))
    columns |= {"time": moments, "received_at": arrived}
    schema = arrow_schema("books")
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def frames_of(table: pa.Table, market: str) -> list[bytes]:
    """Return the books as the frames that Upbit sends."""
    frames = []
    for row in table.to_pylist():
        sides = zip(row["ask_price"], row["bid_price"], row["ask_size"], row["bid_size"], strict=True)
        units = [dict(zip(("ask_price", "bid_price", "ask_size", "bid_size"), unit, strict=True)) for unit in sides]
        frame = {
            "type": "orderbook", "code": market, "timestamp": int(row["time"].timestamp() * 1000),
            "total_ask_size": row["total_ask_size"], "total_bid_size": row["total_bid_size"], "orderbook_units": units,
            "stream_type": "REALTIME", "level": 0,
        }  # fmt: skip
        frames.append(json.dumps(frame, separators=(",", ":")).encode())
    return frames


def best_of(work: Callable[[], object], times: int = 3) -> str:
    """Tell how long the fastest of some runs takes, by the processor and by the clock."""
    spent = []
    for _ in range(times):
        begun = time.process_time(), time.perf_counter()
        work()
        spent.append((time.process_time() - begun[0], time.perf_counter() - begun[1]))
    used, passed = map(min, zip(*spent, strict=True))
    return f"{used:.2f} s of the processor, {passed:.2f} s by the clock"


def record(frames: list[bytes], markets: list[str], folder: str) -> dict[str, float]:
    """Decode, distribute, sort and store frames, whose markets take turns; return the seconds of each part."""
    store = ParquetStore(folder)
    buffers = {market: TopicBuffer(Series("orderbook", market)) for market in markets}
    writers = {market: SeriesWriter(store, Series("orderbook", market)) for market in markets}
    arriving, fan_out = FrameBuffer(), FanOut()
    subscriber = Subscriber(frozenset(Topic("orderbook", market) for market in markets), len(frames))
    fan_out.add(subscriber, (), 0)
    seconds: Counter[str] = Counter()
    for low in range(0, len(frames), BATCH):
        begun = time.process_time()
        for frame in frames[low : low + BATCH]:
            arriving.add(frame, START)
        batches = list(arriving.take())
        seconds["decode"] += time.process_time() - begun
        begun = time.process_time()
        for rows, invalid in batches:
            assert not invalid
            fan_out.distribute(rows, 1, 0)
        seconds["distribute"] += time.process_time() - begun
    begun = time.process_time()
    taken = subscriber.take_nowait()
    assert len(taken) == len(frames)
    for row in taken:
        buffers[row.code].add(row)
    pieces = {market: buffer.take(START + 10 * DAY) for market, buffer in buffers.items()}
    seconds["sort"] = time.process_time() - begun
    begun = time.process_time()
    for market, writer in writers.items():
        writer.write(pieces[market], [])
        assert writer.error is None
    seconds["write"] = time.process_time() - begun
    return dict(seconds)


def recording(count: int, names: list[str]) -> None:
    """Print how fast frames are recorded."""
    share = books(count // len(names), 2 * SECOND * len(names) // count)
    lists = [frames_of(share, market) for market in names]
    frames = [frame for together in zip(*lists, strict=True) for frame in together]
    runs = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(record(frames, names, folder))
    best = min(runs, key=lambda run: sum(run.values()))
    parts = ", ".join(f"{name} {1e6 * spent / len(frames):.1f} us" for name, spent in best.items())
    rate = len(frames) / sum(best.values())
    print(f"recording {len(frames):,} frames of {len(names)} markets: {rate:,.0f} frames/s a core ({parts} a frame)")


def reading(rate: int) -> None:
    """Print bytes a book, and how fast a day is read."""
    day = books(86_400 * rate, SECOND // rate)
    with tempfile.TemporaryDirectory() as folder:
        store, series = ParquetStore(folder), Series("orderbook", "KRW-BTC")
        store.write(series, day, Span(START, START + DAY))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
        frames = b"\n".join(frames_of(day.slice(0, 3600 * rate), "KRW-BTC"))
        packed = len(pa.compress(frames, codec="zstd", asbytes=True))
        print(f"{size / len(day):.1f} bytes a book; JSON under zstd {packed / (3600 * rate):.1f}, plain ", end="")
        print(f"{len(frames) / (3600 * rate):.0f}")
        client = uf.Client(cache_dir=folder)
        ends = "2026-03-01", "2026-03-02"
        for levels in (1, 15, 30):

            def read(levels: int = levels) -> None:
                assert len(client.books("KRW-BTC", *ends, every="1s", levels=levels)) == 86_400

            first = f", the first time {best_of(read, 1)}" if levels == 1 else ""
            print(f"a day of {len(day):,} books at 1 s, {levels} levels: {best_of(read)}{first}")
        hour = "2026-03-01T12:00", "2026-03-01T13:00"
        print(f"every book of an hour, 15 levels: {best_of(lambda: client.books('KRW-BTC', *hour))}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("--markets", type=int, default=20)
    parser.add_argument("--rate", type=int, default=10)
    given = parser.parse_args()
    recording(given.frames, [f"KRW-C{number:03d}" for number in range(given.markets)])
    reading(given.rate)


if __name__ == "__main__":
    main()
