"""The importer: what it stores is exactly the truth, whatever goes wrong, and the rest is named."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from upbit_frames.archive.client import ArchiveTransport
from upbit_frames.archive.files import day_file, month_file
from upbit_frames.archive.importer import Archive, ArchiveImporter, ImportResult
from upbit_frames.core.availability import SECONDS_KEPT
from upbit_frames.core.intervals import INTERVALS, Span, merge, subtract, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import ChecksumMismatch, ConnectionFailed
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.runtime.clock import ManualClock
from upbit_frames.store.base import Series
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing.server.archive_app import FAULTS
from upbit_frames.testing.server.exchange import Exchange

DAY = 86_400_000_000
CANDLES = Series("candles", "KRW-BTC", "1h")
TRADES = Series("trades", "KRW-BTC")
QUICK_FAULTS = [fault for fault in FAULTS if fault != "slow"]  # silence is waited for elsewhere


def at(text: str) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


def import_missing(
    archive: Any, folder: Path, store: Any, series: Series, missing: list[Span], **options: Any
) -> ImportResult:
    async def inside() -> ImportResult:
        clock = ManualClock(0)
        transport = ArchiveTransport(
            archive.url, archive.url + "/listing", clock=clock, folder=folder / "work", retry=RetryPolicy(attempts=2)
        )
        try:
            port = Archive(transport, clock.monotonic)
            return await ArchiveImporter(port, store, series, now=archive.app.now(), **options).import_missing(missing)
        finally:
            await transport.aclose()

    return asyncio.run(inside())


def candle_rows(table: Any) -> list[tuple[Any, ...]]:
    columns = [table["time"].cast("int64"), *table.columns[1:]]
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def truth(archive: Any, series: Series, span: Span) -> list[tuple[Any, ...]]:
    return archive.app.source.candles(series.market, series.grid, span)


def test_a_year_is_stored_row_for_row(archive: Any, tmp_path: Path) -> None:
    store = ParquetStore(tmp_path / "store")
    span = Span(at("2025-01-01"), at("2026-01-01"))
    result = import_missing(archive, tmp_path, store, CANDLES, [span])
    assert (result.rest, result.lost, result.warnings) == ([], [], [])
    assert store.covered(CANDLES) == [span]
    assert candle_rows(store.read(CANDLES, span)) == truth(archive, CANDLES, span)
    (step,) = result.steps
    assert (step.channel, step.requests, step.start, step.end) == ("archive", 24, *span)
    assert step.rows == store.count(CANDLES, span)
    assert len(archive.app.requests) == 25  # and one listing
    assert not list((tmp_path / "work").iterdir())
    assert store.verify() == []


def test_edges_are_left_for_rest(archive: Any, tmp_path: Path) -> None:
    store = MemoryStore()
    span = Span(at("2025-12-30T12:00"), at("2026-03-03T09:00"))
    result = import_missing(archive, tmp_path, store, Series("candles", "KRW-BTC", "1m"), [span])
    assert result.rest == [Span(at("2026-03-03"), span.end)]
    covered = store.covered(Series("candles", "KRW-BTC", "1m"))
    assert covered == [Span(at("2025-12-30"), at("2026-03-03"))]


def test_what_is_stored_stays_and_is_not_fetched(archive: Any, tmp_path: Path) -> None:
    store = MemoryStore()
    span = Span(at("2026-01-01"), at("2026-02-01"))
    import_missing(archive, tmp_path, store, CANDLES, [span])
    archive.app.requests.clear()
    assert import_missing(archive, tmp_path, store, CANDLES, subtract([span], store.covered(CANDLES))).steps == []
    assert archive.app.requests == []


@pytest.mark.parametrize("kind", QUICK_FAULTS)
def test_every_fault_ends_in_rest_and_never_in_wrong_rows(archive: Any, tmp_path: Path, kind: str) -> None:
    series = Series("candles", "KRW-BTC", "5m")
    store = ParquetStore(tmp_path / "store")
    span = Span(at("2026-01-01"), at("2026-03-01"))
    archive.app.fault(kind, "202602")
    result = import_missing(archive, tmp_path, store, series, [span])
    assert merge([*store.covered(series), *result.rest]) == [span]
    for known in store.covered(series):
        assert candle_rows(store.read(series, known)) == truth(archive, series, known)
    if kind in ("drop", "500"):  # the archive as a whole counts as down then
        assert result.warnings
    else:
        assert Span(at("2026-01-01"), at("2026-02-01")) in store.covered(series)
        assert bool(result.warnings) == (kind not in ("403", "404"))
    assert not [path for path in (tmp_path / "work").iterdir() if path.suffix == ".part"]
    assert store.verify() == []


def test_every_fault_at_once_and_again_until_all_is_well(archive: Any, tmp_path: Path) -> None:
    series = Series("candles", "KRW-BTC", "5m")
    store = ParquetStore(tmp_path / "store")
    span = Span(at("2026-01-01"), at("2026-03-02"))
    random.seed(5)
    for kind in random.sample(QUICK_FAULTS, len(QUICK_FAULTS)):
        archive.app.fault(kind, random.choice(["2026", "202601", "2026020", "2026021"]), times=3)
    left = [span]
    for _ in range(40):
        result = import_missing(archive, tmp_path, store, series, left)
        left = subtract([span], store.covered(series))
        assert result.lost == []
        assert merge([*store.covered(series), *result.rest]) == [span]
        for known in store.covered(series):
            assert candle_rows(store.read(series, known)) == truth(archive, series, known)
        if not left:
            break
    assert left == []


def test_a_market_without_archive_is_found_out_cheaply(archive: Any, tmp_path: Path) -> None:
    span = Span(at("2025-01-01"), at("2026-01-01"))
    result = import_missing(archive, tmp_path, MemoryStore(), Series("candles", "KRW-NONE", "1m"), [span])
    assert result.rest == [span]
    assert result.warnings == []
    assert len(archive.app.requests) == 2  # two listings


def test_an_archive_that_is_down_is_not_asked_again_and_again(archive: Any, tmp_path: Path) -> None:
    archive.close()
    span = Span(at("2025-01-01"), at("2026-01-01"))
    result = import_missing(archive, tmp_path, MemoryStore(), CANDLES, [span])
    assert result.rest == [span]
    assert len(result.warnings) == 1


def test_asked_for_alone_its_failures_are_raised(archive: Any, tmp_path: Path) -> None:
    span = Span(at("2026-01-01"), at("2026-02-01"))
    archive.app.fault("wrong_checksum")
    store = MemoryStore()
    with pytest.raises(ChecksumMismatch):
        import_missing(archive, tmp_path, store, CANDLES, [span], rest_from=None)
    assert store.covered(CANDLES) == []
    archive.close()
    with pytest.raises(ConnectionFailed):
        import_missing(archive, tmp_path, store, CANDLES, [span], rest_from=None)


def test_asked_for_alone_what_is_not_published_is_lost(archive: Any, tmp_path: Path) -> None:
    span = Span(at("2026-03-01"), at("2026-03-03T09:00"))
    result = import_missing(archive, tmp_path, MemoryStore(), CANDLES, [span], rest_from=None)
    assert result.lost == [Span(at("2026-03-03"), span.end)]
    assert result.rest == []


def test_second_candles_come_from_before_rest_has_them(archive: Any, tmp_path: Path) -> None:
    series = Series("candles", "KRW-BTC", "1s")
    store = MemoryStore()
    span = Span(at("2024-05-04"), at("2024-05-04T02:00"))
    result = import_missing(archive, tmp_path, store, series, [span], rest_from=archive.app.now() - SECONDS_KEPT)
    assert (result.rest, result.lost) == ([], [])
    assert candle_rows(store.read(series, span)) == truth(archive, series, span)


def test_nothing_is_claimed_for_the_time_before_the_archive(archive: Any, tmp_path: Path) -> None:
    store = MemoryStore()
    span = Span(at("2017-10-01"), at("2017-12-01"))
    result = import_missing(archive, tmp_path, store, CANDLES, [span], prefer_files=True)
    assert result.rest == [Span(at("2017-10-01"), at("2017-10-24"))]
    assert store.covered(CANDLES) == [Span(at("2017-10-24"), at("2017-12-01"))]


# --- trades -------------------------------------------------------------------------------------


def rest_trades(archive: Any, span: Span) -> Any:
    import pyarrow as pa

    rows = archive.app.source.trades("KRW-BTC", span)
    columns = {
        "time": [row[0] for row in rows],
        "price": [row[1] for row in rows],
        "volume": [row[2] for row in rows],
        "value": [row[1] * row[2] for row in rows],
        "side": [row[3] for row in rows],
        "sequential_id": [row[0] * 10 for row in rows],
        "seq": [None] * len(rows),
    }
    schema = arrow_schema("trades")
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def test_trades_are_stored_by_the_day(archive: Any, tmp_path: Path) -> None:
    store = ParquetStore(tmp_path / "store")
    span = Span(at("2023-01-30T12:00"), at("2023-02-02"))
    result = import_missing(archive, tmp_path, store, TRADES, [span])
    assert (result.rest, result.lost, result.warnings) == ([], [], [])
    assert store.covered(TRADES) == [Span(at("2023-01-30"), at("2023-02-02"))]
    table = store.read(TRADES, span)
    rows = archive.app.source.trades("KRW-BTC", span)
    assert table["time"].cast("int64").to_pylist() == [row[0] for row in rows]
    assert table["sequential_id"].null_count == len(rows)
    assert table["seq"].null_count == 0


def test_kinds_of_trades_never_share_a_day(archive: Any, tmp_path: Path) -> None:
    store = ParquetStore(tmp_path / "store")
    old = Span(at("2023-01-30T12:00"), at("2023-01-30T15:00"))
    new = Span(at("2026-03-01T12:00"), at("2026-03-01T15:00"))
    for span in (old, new):
        store.write(TRADES, rest_trades(archive, span), span)
    wanted = [Span(at("2023-01-30"), at("2023-01-31")), Span(at("2026-03-01"), at("2026-03-02"))]
    result = import_missing(archive, tmp_path, store, TRADES, subtract(wanted, store.covered(TRADES)))
    # REST still has the newer day, so it goes on from there; the older one is replaced as a whole.
    assert result.rest == subtract([wanted[1]], [new])
    table = store.read(TRADES, wanted[0])
    assert table["sequential_id"].null_count == len(table) == len(archive.app.source.trades("KRW-BTC", wanted[0]))
    assert store.read(TRADES, wanted[1])["sequential_id"].null_count == 0
    assert store.verify() == []


# --- corrections --------------------------------------------------------------------------------


def test_corrected_files_are_found_and_replace_what_was_stored(archive: Any, tmp_path: Path) -> None:
    store = ParquetStore(tmp_path / "store")
    span = Span(at("2026-01-01"), at("2026-03-01"))
    import_missing(archive, tmp_path, store, CANDLES, [span])
    file = month_file("KRW-BTC", INTERVALS["1h"], at("2026-02-01"))

    async def inside() -> tuple[Any, ...]:
        clock = ManualClock(0)
        transport = ArchiveTransport(archive.url, archive.url, clock=clock, folder=tmp_path / "work")
        importer = ArchiveImporter(Archive(transport, clock.monotonic), store, CANDLES, now=archive.app.now())
        try:
            before = await importer.corrected()
            archive.app.correct(file.key)
            changed = await importer.corrected()
            rows = await importer.renew(changed)
            return before, changed, rows, await importer.corrected()
        finally:
            await transport.aclose()

    before, changed, rows, after = asyncio.run(inside())
    assert (before, changed, after) == ([], [file], [])
    assert rows == store.count(CANDLES, file.period)
    assert candle_rows(store.read(CANDLES, span)) == truth(archive, CANDLES, span)


def test_a_day_published_meanwhile_is_taken_next_time(archive: Any, tmp_path: Path) -> None:
    series = Series("candles", "KRW-BTC", "1m")
    store = MemoryStore()
    span = Span(at("2026-03-02"), at("2026-03-03"))
    archive.app.fault("404", "20260302", times=1)
    first = import_missing(archive, tmp_path, store, series, [span])
    assert (first.rest, first.warnings) == ([span], [])
    second = import_missing(archive, tmp_path, store, series, [span])
    assert second.rest == []
    assert store.covered(series) == [day_file("KRW-BTC", INTERVALS["1m"], at("2026-03-02")).period]


# --- the stand-in exchange ----------------------------------------------------------------------


def test_the_exchange_serves_its_archive_at_its_urls(tmp_path: Path) -> None:
    series = Series("candles", "KRW-BTC", "1h")
    span = Span(at("2025-12-01"), at("2026-03-01T03:00"))

    async def inside(exchange: Exchange, store: Any) -> ImportResult:
        config, clock = exchange.config(), ManualClock(0)
        transport = ArchiveTransport(
            config.archive_url, config.archive_listing_url, clock=clock, folder=tmp_path / "work"
        )
        importer = ArchiveImporter(Archive(transport, clock.monotonic), store, series, now=exchange.clock.now())
        try:
            return await importer.import_missing([span])
        finally:
            await transport.aclose()

    store = ParquetStore(tmp_path / "store")
    with Exchange(now="2026-03-01T06:00:00Z", markets=["KRW-BTC"]) as exchange:
        result = asyncio.run(inside(exchange, store))
        assert result.rest == [Span(at("2026-03-01"), span.end)]
        for known in store.covered(series):
            assert store.read(series, known).equals(exchange.market.candles("KRW-BTC", "1h", *known).table())
        assert store.covered(series) == [Span(span.start, at("2026-03-01"))]
