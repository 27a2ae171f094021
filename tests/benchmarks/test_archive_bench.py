"""How fast a published file becomes stored rows, and which step bounds it.

Run: ``pytest tests/benchmarks/test_archive_bench.py -s --override-ini addopts=--import-mode=importlib``
"""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from upbit_frames.archive import zip_reader as archive_zip
from upbit_frames.archive.client import ArchiveTransport
from upbit_frames.archive.csv_tables import candles_zip
from upbit_frames.archive.files import ArchiveFile, month_file
from upbit_frames.archive.importer import Archive, ArchiveImporter
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, LIMITS
from upbit_frames.core.intervals import INTERVALS, Span, to_micros
from upbit_frames.runtime.clock import SystemClock
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing.server.archive_app import zipped
from upbit_frames.testing.server.exchange import Exchange

MONTH = to_micros(datetime(2025, 9, 1, tzinfo=UTC))
HEADER = "date_time_utc,open,high,low,close,acc_trade_price,acc_trade_volume"


@pytest.fixture(scope="module")
def month(real_data: Path) -> Callable[[str, int], tuple[ArchiveFile, bytes]]:
    """A month's file with the prices and volumes of a real month of KRW-BTC 1m."""
    with gzip.open(real_data / "history" / "KRW-BTC_1m_2025-09.csv.gz", "rt") as lines:
        real = [line.strip().split(",")[1:] for line in lines][1:]

    def number(text: str) -> str:
        return text.removesuffix(".0")

    def make(interval: str, rows: int) -> tuple[ArchiveFile, bytes]:
        file = month_file("KRW-BTC", INTERVALS[interval], MONTH)
        step = INTERVALS[interval].seconds or 0
        lines = [HEADER]
        for i in range(rows):
            open_, high, low, close, volume = map(number, real[i % len(real)])
            stamp = datetime.fromtimestamp(MONTH // 1_000_000 + i * step, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            value = round(float(volume) * (float(open_) + float(close)) / 2, 5)
            lines.append(f"{stamp},{open_},{high},{low},{close},{value},{volume}")
        return file, zipped(file.member, "\n".join(lines) + "\n")

    return make


@pytest.fixture
def one_core() -> Iterator[None]:
    before = pa.cpu_count(), pa.io_thread_count()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    yield
    pa.set_cpu_count(before[0])
    pa.set_io_thread_count(before[1])


def best(work: Callable[[], Any], times: int = 5) -> float:
    """CPU seconds of all threads, the best of some runs: what one core needs."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


@pytest.mark.parametrize("inflater", ["zlib", "isal"])
def test_rows_a_second_of_a_core(
    month: Any, one_core: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inflater: str
) -> None:
    engine = zlib if inflater == "zlib" else pytest.importorskip("isal.isal_zlib")
    monkeypatch.setattr(archive_zip, "_zlib", engine)
    rows = 1_000_000
    file, data = month("1s", rows)

    def inflate() -> None:
        with archive_zip.Member(data, file.member, 1 << 32) as member:
            while member.read(1 << 20):
                pass

    stages = {"inflate": best(inflate)}
    stages["to Arrow"] = best(lambda: candles_zip(data, file.market, INTERVALS["1s"], file.period))
    table = candles_zip(data, file.market, INTERVALS["1s"], file.period)
    store, number = ParquetStore(tmp_path), iter(range(100))

    def keep() -> None:
        fresh = Series("candles", f"KRW-B{next(number)}", "1s")
        store.write(fresh, table, file.period, origin="archive")

    stages["to stored Parquet"] = best(keep)
    whole = stages["to Arrow"] + stages["to stored Parquet"]
    print(f"\n{inflater}: zip {len(data) / rows:.1f} bytes a row")
    for name, seconds in [*stages.items(), ("zip to stored Parquet", whole)]:
        print(f"  {name:<22} {rows / seconds / 1e6:6.2f} million rows a second ({seconds / rows * 1e9:5.0f} ns a row)")
    assert len(table) == rows


def test_a_year_of_minutes_cold(tmp_path: Path) -> None:
    """Twelve files over loopback at a round trip of 50 ms, against what the request limit allows REST."""
    span = Span(to_micros(datetime(2025, 1, 1, tzinfo=UTC)), to_micros(datetime(2026, 1, 1, tzinfo=UTC)))
    interval, series = INTERVALS["1m"], Series("candles", "KRW-BTC", "1m")

    async def cold(exchange: Exchange, folder: Path) -> tuple[float, int, ParquetStore]:
        transport = ArchiveTransport(
            exchange.archive_url, exchange.archive_listing_url, clock=SystemClock(), folder=folder / "work"
        )
        store = ParquetStore(folder / "store")
        exchange.requests.clear()
        start = time.perf_counter()
        result = await ArchiveImporter(
            Archive(transport, time.monotonic), store, series, now=exchange.clock.now()
        ).import_missing([span])
        seconds = time.perf_counter() - start
        await transport.aclose()
        assert (result.rest, result.lost) == ([], [])
        return seconds, len(exchange.requests), store

    with Exchange(now="2026-01-02T06:00:00Z", markets=["KRW-BTC"], delay=0.05) as exchange:
        for month in INTERVALS["1M"].starts(*span):  # made before the clock starts: the real ones lie ready
            exchange.archive.handle(month_file("KRW-BTC", interval, month).key)
        runs = [asyncio.run(cold(exchange, tmp_path / str(i))) for i in range(3)]
        seconds, requests, store = min(runs, key=lambda run: run[0])
        assert store.read(series, span).equals(exchange.market.candles("KRW-BTC", interval, *span).table())
    pages = -(-interval.slots(*span) // CANDLES_MAX_COUNT)
    allowed = pages / LIMITS["candles"]
    print(f"\na year of 1m, cold: {requests} requests in {seconds:.2f} s; REST needs {pages:,} requests, and the limit")
    print(f"  allows them in {allowed:.0f} s: {pages / requests:.0f}x fewer requests, {allowed / seconds:.0f}x faster")
