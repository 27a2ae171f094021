"""Downloads over real sockets: verified or refused, bounded, resumable, and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from upbit_frames.archive.catalog import Download, NotPublished
from upbit_frames.archive.client import ArchiveTransport
from upbit_frames.archive.csv_tables import candles_zip, trades_zip
from upbit_frames.archive.files import day_file, month_file
from upbit_frames.core.intervals import INTERVALS, to_micros
from upbit_frames.errors import (
    ChecksumMismatch,
    ConnectionFailed,
    SchemaError,
    ServerError,
    StoreError,
    Timeout,
)
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.runtime.clock import ManualClock
from upbit_frames.testing.server.archive_app import Reply

HOUR = INTERVALS["1h"]
FEBRUARY = to_micros(datetime(2026, 2, 1, tzinfo=UTC))
DAY = 86_400_000_000
FILE = month_file("KRW-BTC", HOUR, FEBRUARY)


def run(archive: Any, folder: Path, work: Callable[[ArchiveTransport], Awaitable[Any]], **options: Any) -> Any:
    """The result of some work with a transport whose clock does not wait."""

    async def inside() -> Any:
        transport = ArchiveTransport(
            archive.url, archive.url + "/listing", clock=ManualClock(0), folder=folder, **options
        )
        try:
            return await work(transport)
        finally:
            await transport.aclose()

    return asyncio.run(inside())


def fetch(archive: Any, folder: Path, key: str = FILE.key, expected: str | None = None, **options: Any) -> Any:
    return run(archive, folder, lambda transport: transport.fetch(key, expected), **options)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- what works ---------------------------------------------------------------------------------


def test_a_file_arrives_verified(archive: Any, tmp_path: Path) -> None:
    got = fetch(archive, tmp_path)
    data = got.path.read_bytes()
    assert isinstance(got, Download)
    assert hashlib.sha256(data).hexdigest() == got.sha256
    assert (got.size, got.requests, got.kept) == (len(data), 2, False)
    table = candles_zip(got.path, "KRW-BTC", HOUR, FILE.period)
    columns = [table["time"].cast("int64"), *table.columns[1:]]
    rows = list(zip(*(column.to_pylist() for column in columns), strict=True))
    assert rows == archive.app.source.candles("KRW-BTC", HOUR, FILE.period)


def test_trades_too(archive: Any, tmp_path: Path) -> None:
    file = day_file("KRW-BTC", None, FEBRUARY)
    table = trades_zip(fetch(archive, tmp_path, file.key).path, "KRW-BTC", file.period)
    columns = [table["time"].cast("int64"), table["price"], table["volume"], table["side"]]
    rows = list(zip(*(column.to_pylist() for column in columns), strict=True))
    assert rows == archive.app.source.trades("KRW-BTC", file.period)


def test_what_was_verified_is_not_downloaded_again_until_discarded(archive: Any, tmp_path: Path) -> None:
    first = fetch(archive, tmp_path)
    again = fetch(archive, tmp_path)
    assert (again.kept, again.requests, again.path) == (True, 1, first.path)
    known = fetch(archive, tmp_path, expected=first.sha256)
    assert (known.kept, known.requests) == (True, 0)
    assert archive.count(".zip") == 3  # one file, two checksums
    run(archive, tmp_path, lambda transport: transport.discard(again))
    assert left(tmp_path) == []
    assert not fetch(archive, tmp_path).kept


def test_a_kept_file_that_was_damaged_is_downloaded_again(archive: Any, tmp_path: Path) -> None:
    first = fetch(archive, tmp_path)
    first.path.write_bytes(b"damaged")
    assert not fetch(archive, tmp_path).kept
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.sha256


def test_a_corrected_file_is_noticed(archive: Any, tmp_path: Path) -> None:
    old = fetch(archive, tmp_path)
    assert run(archive, tmp_path, lambda transport: transport.digest(FILE.key)) == old.sha256
    archive.app.correct(FILE.key)
    assert run(archive, tmp_path, lambda transport: transport.digest(FILE.key)) != old.sha256
    old.path.unlink()
    new = fetch(archive, tmp_path, expected=old.sha256)
    assert new.sha256 != old.sha256
    assert new.requests == 3  # the file, and because it was another one the checksum and the file


def test_the_listing_shows_what_is_published(archive: Any, tmp_path: Path) -> None:
    found = run(archive, tmp_path, lambda transport: transport.list(FILE.folder))
    zips = sorted(key for key in found if key.endswith(".zip"))
    assert [key[-10:-4] for key in zips] == ["202601", "202602"]
    assert found[FILE.key].modified == FILE.period.end + 3_600_000_000
    days = run(archive, tmp_path, lambda transport: transport.list("candle/KRW-NEW/daily/60m/2026"))
    stamps = sorted(key[-12:-4] for key in days if key.endswith(".zip"))
    assert (stamps[0], stamps[-1], len(stamps)) == ("20260210", "20260302", 21)
    for nothing in ("candle/KRW-NONE/daily/60m/2026", "candle/KRW-BTC/daily/60m/2031", "candle"):
        assert run(archive, tmp_path, lambda transport, folder=nothing: transport.list(folder)) == {}


# --- what is not there --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404])
def test_refused_files_are_not_published(archive: Any, tmp_path: Path, status: int) -> None:
    archive.app.fault(str(status))
    assert fetch(archive, tmp_path) == NotPublished(FILE.key, status, 1)
    assert left(tmp_path) == []


def test_today_and_the_running_month_are_not_published(archive: Any, tmp_path: Path) -> None:
    now = archive.app.now()
    for file in (
        day_file("KRW-BTC", HOUR, now),
        month_file("KRW-BTC", HOUR, now),
        day_file("KRW-NONE", HOUR, FEBRUARY),
    ):
        assert isinstance(fetch(archive, tmp_path, file.key), NotPublished)
    assert isinstance(fetch(archive, tmp_path, day_file("KRW-BTC", HOUR, now - DAY).key), Download)
    assert isinstance(run(archive, tmp_path, lambda t: t.digest(day_file("KRW-BTC", HOUR, now).key)), NotPublished)


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_wrong_checksum_is_tried_twice_and_nothing_is_kept(archive: Any, tmp_path: Path) -> None:
    archive.app.fault("wrong_checksum")
    with pytest.raises(ChecksumMismatch) as caught:
        fetch(archive, tmp_path)
    assert archive.count(".zip") == 4
    assert left(tmp_path) == []
    assert caught.value.expected == hashlib.sha256(b"something else").hexdigest()
    assert caught.value.found != caught.value.expected
    assert caught.value.suggestion


def test_a_checksum_wrong_once_is_forgiven(archive: Any, tmp_path: Path) -> None:
    archive.app.fault("wrong_checksum", times=1)
    assert fetch(archive, tmp_path).requests == 4
    assert len(left(tmp_path)) == 1


def test_a_page_instead_of_a_file_is_not_kept(archive: Any, tmp_path: Path) -> None:
    archive.app.fault("html")
    with pytest.raises(ChecksumMismatch):
        fetch(archive, tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("kind", ["drop", "500"])
def test_passing_failures_are_tried_again(archive: Any, tmp_path: Path, kind: str) -> None:
    archive.app.fault(kind, times=3)
    got = fetch(archive, tmp_path)
    assert got.requests == 5
    assert hashlib.sha256(got.path.read_bytes()).hexdigest() == got.sha256
    assert len(left(tmp_path)) == 1


@pytest.mark.parametrize(("kind", "error"), [("drop", ConnectionFailed), ("500", ServerError)])
def test_lasting_failures_are_told(archive: Any, tmp_path: Path, kind: str, error: type[Exception]) -> None:
    archive.app.fault(kind)
    with pytest.raises(error) as caught:
        fetch(archive, tmp_path)
    assert caught.value.suggestion
    assert caught.value.url.startswith(archive.url)
    assert left(tmp_path) == []


def test_silence_is_a_timeout(archive: Any, tmp_path: Path) -> None:
    archive.app.fault("slow")
    with pytest.raises(Timeout):
        fetch(archive, tmp_path, timeout=0.1, retry=RetryPolicy(attempts=2))
    assert archive.count(".zip") == 3
    assert left(tmp_path) == []


def test_nobody_there_is_a_failed_connection(archive: Any, tmp_path: Path) -> None:
    archive.close()
    with pytest.raises(ConnectionFailed):
        fetch(archive, tmp_path)


@pytest.mark.parametrize("body", [b"", b"<html>", b"deadbeef", b"g" * 64])
def test_a_checksum_must_be_one(archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr(archive.app, "file", lambda path: Reply(200, "text/plain", body))
    with pytest.raises(SchemaError, match="not a SHA-256 digest"):
        fetch(archive, tmp_path)


@pytest.mark.parametrize("dress", ["{}", "{}\n", "\ufeff{}  KRW-BTC.zip\r\n", " {} *x\n"])
def test_a_checksum_may_be_dressed(archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dress: str) -> None:
    plain = archive.app.file

    def dressed(path: str) -> Reply:
        reply = plain(path)
        if not path.endswith(".checksum"):
            return reply
        return reply._replace(body=dress.format(reply.body.decode()[:64].upper()).encode())

    monkeypatch.setattr(archive.app, "file", dressed)
    assert fetch(archive, tmp_path).requests == 2


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'[{"key": 1}]', b"[1]"])
def test_a_listing_must_be_one(archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr(archive.app, "listing", lambda prefix: Reply(200, "application/json", body))
    with pytest.raises(SchemaError, match="listing"):
        run(archive, tmp_path, lambda transport: transport.list(FILE.folder))


@pytest.mark.parametrize("key", ["../secret", "/etc/passwd", "a//b", "a/../b", "a b", "a?b", "a%2e", "http://x/y", ""])
def test_strange_keys_never_become_urls(archive: Any, tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        fetch(archive, tmp_path, key)
    assert archive.app.requests == []


def test_an_endless_answer_is_cut_off(archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upbit_frames.archive.client.FILE_MOST", 1000)
    with pytest.raises(SchemaError, match="larger than"):
        fetch(archive, tmp_path)
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_used_is_told(archive: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="folder for downloads"):
        fetch(archive, tmp_path / "file" / "work")


@pytest.mark.parametrize("kind", ["cut", "bomb", "wrong_columns", "other_day", "duplicate"])
def test_verified_but_wrong_files_are_refused_by_the_reader(archive: Any, tmp_path: Path, kind: str) -> None:
    archive.app.fault(kind)
    got = fetch(archive, tmp_path)
    with pytest.raises(SchemaError) as caught:
        candles_zip(got.path, "KRW-BTC", HOUR, FILE.period)
    assert caught.value.suggestion


# --- many at once -------------------------------------------------------------------------------


def days(count: int) -> list[str]:
    return [day_file("KRW-BTC", HOUR, FEBRUARY + i * DAY).key for i in range(count)]


def test_connections_are_bounded(archive: Any, tmp_path: Path) -> None:
    archive.pause = 0.01

    async def all_of_them(transport: ArchiveTransport) -> list[Any]:
        return await asyncio.gather(*(transport.fetch(key) for key in days(24)))

    got = run(archive, tmp_path, all_of_them, connections=3)
    assert all(isinstance(one, Download) for one in got)
    assert 2 <= archive.most_under_way <= 3


def test_cancelling_leaves_nothing_half_done(archive: Any, tmp_path: Path) -> None:
    archive.pause = 0.02

    async def cancelled(transport: ArchiveTransport) -> None:
        for patience in (0.0, 0.01, 0.03, 0.05, 0.07):
            tasks = [asyncio.create_task(transport.fetch(key)) for key in days(8)]
            await asyncio.sleep(patience)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert not [name for name in left(tmp_path) if name.endswith(".part")]

    run(archive, tmp_path, cancelled)
    for path in tmp_path.iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name.split(".")[1]


def test_memory_does_not_grow_with_the_file(archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = os.urandom(1 << 20) * 48
    digest = hashlib.sha256(body).hexdigest()

    def file(path: str) -> Reply:
        checksum = path.endswith(".checksum")
        return Reply(200, "application/zip", digest.encode() if checksum else memoryview(body))  # type: ignore[arg-type]

    monkeypatch.setattr(archive.app, "file", file)
    fetch(archive, tmp_path / "warm")
    tracemalloc.start()
    try:
        assert fetch(archive, tmp_path / "cold").size == len(body)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


CHILD = """
import asyncio, sys
from pathlib import Path
from upbit_frames.runtime.clock import SystemClock
from upbit_frames.archive.client import ArchiveTransport
from upbit_frames.exchange.transport.retry import RetryPolicy

async def main(url, folder, keys):
    transport = ArchiveTransport(url, url, clock=SystemClock(), folder=Path(folder), connections=1)
    print("begun", flush=True)
    for key in keys:
        await transport.fetch(key)
    await transport.aclose()
    print("done", flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
"""


@pytest.mark.slow
def test_killed_again_and_again_only_what_is_in_flight_is_repeated(archive: Any, tmp_path: Path) -> None:
    keys, kills = days(28), 0
    archive.pause = 0.02
    for number in range(200):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, archive.url, str(tmp_path), *keys], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        if kills < 50:
            time.sleep(0.01 * (1 + number % 7))
            child.kill()
            kills += 1
        finished = child.stdout.read() == b"done\n"
        child.stdout.close()
        child.wait()
        for path in tmp_path.glob("*.zip"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name.split(".")[1]
        if finished:
            break
    asked = [path for path, _ in archive.app.requests if path.endswith(".zip")]
    assert kills >= 10
    assert set(asked) == {"/" + key for key in keys}
    assert len(asked) - len(keys) <= kills
    assert len(list(tmp_path.glob("*.zip"))) == len(keys)
