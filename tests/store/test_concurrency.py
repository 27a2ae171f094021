"""Several writers and readers of one series at once: threads, and processes."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from upbit_frames.core.intervals import Span, subtract
from upbit_frames.errors import LockTimeout
from upbit_frames.store import atomic_files as files
from upbit_frames.store import layout, locks
from upbit_frames.store.base import Store
from upbit_frames.store.directories import open_below
from upbit_frames.store.parquet import ParquetStore


class Watcher(threading.Thread):
    """Reads all the time, and notices if anything once known is ever missing or wrong."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self.look = look
        self.looks = 0
        self.failure: BaseException | None = None
        self.stopped = threading.Event()

    def run(self) -> None:
        try:
            while not self.stopped.is_set() or self.looks < 5:  # on a busy machine the others may be done first
                self.look()
                self.looks += 1
                time.sleep(0.002)
        except BaseException as failed:  # noqa: BLE001  told to the test by finish()
            self.failure = failed

    def finish(self) -> None:
        self.stopped.set()
        self.join()
        if self.failure is not None:
            raise self.failure


def watch(store: Store, series: Any, minute: int, traded: Callable[[int], bool], start: int) -> Watcher:
    known: list[Span] = []

    def look() -> None:
        covered = store.covered(series)
        assert subtract(known, covered) == [], "something known was forgotten"
        known[:] = covered
        for span in covered[-2:]:
            times = store.read(series, span).column("time").cast("int64").to_pylist()
            low, high = ((edge - start) // minute for edge in span)
            assert times == [start + at * minute for at in range(low, high) if traded(at)]
            tail = store.tail(series, span.end, 70).column("time").cast("int64").to_pylist()
            assert tail[-min(70, len(times)) :] == times[-70:]  # it may have grown meanwhile

    return Watcher(look)


def run_all(works: list[Callable[[], None]]) -> None:
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failed:  # noqa: BLE001  raised again below
            failures.append(failed)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_six_walks_in_threads_lose_nothing(any_store: Store, kit: Any) -> None:
    """As a backfill does it: each thread walks down its own part, page by page."""
    share, page = 1_000, 50

    def walk(part: int) -> Callable[[], None]:
        def work() -> None:
            for low in range((part + 1) * share - page, part * share - page, -page):
                any_store.write(kit.series, *kit.page(low, page))

        return work

    watcher = watch(any_store, kit.series, kit.minute, lambda at: True, kit.start)
    watcher.start()
    try:
        run_all([walk(part) for part in range(6)])
    finally:
        watcher.finish()
    everything = Span(kit.start, kit.start + 6 * share * kit.minute)
    assert any_store.covered(kit.series) == [everything]
    assert kit.times(any_store.read(kit.series, everything)) == list(range(*everything, kit.minute))
    assert any_store.verify() == []
    if isinstance(any_store, ParquetStore):
        assert len(kit.names(any_store, kit.series)) <= 40


def test_the_same_page_from_many_threads_is_there_once(any_store: Store, kit: Any) -> None:
    run_all([lambda: any_store.write(kit.series, *kit.page(0, 100)) for _ in range(8)])
    assert any_store.count(kit.series, Span(0, kit.start + 200 * kit.minute)) == 100


def test_readers_see_replacements_whole(store: ParquetStore, kit: Any) -> None:
    span = kit.page(0, 400)[1]
    for number in range(4):
        store.write(kit.series, *kit.page(number * 100, 100))

    def look() -> None:
        opens = store.read(kit.series, span).column("open").to_pylist()
        assert len(opens) == 400
        # Replaced as one file, so all prices are of one version once the first replacement is there.
        assert len({price // 1_000 for price in opens}) == 1

    watcher = Watcher(look)
    watcher.start()
    try:
        for version in range(1, 25):
            store.write(kit.series, kit.page(0, 400, value=version * 1_000.0)[0], span, replace=True)
    finally:
        watcher.finish()


def test_notes_of_many_threads_are_all_kept(any_store: Store, kit: Any) -> None:
    def keep(name: str) -> Callable[[], None]:
        return lambda: [any_store.note(kit.series, f"{name}{at}", at) for at in range(8)] and None

    run_all([keep(name) for name in "abcd"])
    assert len(any_store.notes(kit.series)) == 32


def test_clearing_while_others_write_and_read(store: ParquetStore, kit: Any) -> None:
    def look() -> None:
        for span in store.covered(kit.series):
            store.read(kit.series, span)

    watcher = Watcher(look)
    watcher.start()

    def write() -> None:
        for number in range(60):
            store.write(kit.series, *kit.page(number * 20, 20))

    def clear() -> None:
        for _ in range(10):
            store.clear(market="KRW-BTC")
            time.sleep(0.01)

    try:
        run_all([write, clear])
    finally:
        watcher.finish()
    assert store.verify() == []


@pytest.mark.slow
@pytest.mark.parametrize("processes", [3])
def test_processes_lose_nothing_of_each_other(tmp_path: Path, processes: int) -> None:
    script = Path(__file__).with_name("killable.py")
    spec = importlib.util.spec_from_file_location("killable", script)
    assert spec is not None
    assert spec.loader is not None
    killable = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(killable)
    folder, count = tmp_path / "store", 60
    writers = [
        subprocess.Popen([sys.executable, str(script), "share"], stdin=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    store = ParquetStore(folder)
    watcher = watch(store, killable.SERIES, killable.MINUTE, killable.traded, killable.START)
    watcher.start()
    try:
        for share, writer in enumerate(writers):
            assert writer.stdin is not None
            order = {"folder": str(folder), "log": str(tmp_path / f"log{share}"), "mode": "share"}
            writer.stdin.write(json.dumps({**order, "share": share, "shares": processes, "pages": count}) + "\n")
            writer.stdin.close()
        assert [writer.wait(timeout=120) for writer in writers] == [0] * processes
    finally:
        watcher.finish()
    everything = Span(killable.START, killable.START + count * 50 * killable.MINUTE)
    assert store.covered(killable.SERIES) == [everything]
    assert store.count(killable.SERIES, everything) == sum(map(killable.traded, range(count * 50)))
    assert store.verify() == []


def test_whoever_waits_too_long_is_told(tmp_path: Path, kit: Any) -> None:
    store = ParquetStore(tmp_path, lock_timeout=0.05)
    lock = FileLock(layout.lock_of(tmp_path, kit.series))
    Path(lock.lock_file).parent.mkdir(parents=True)
    with lock, pytest.raises(LockTimeout, match=r"0\.05 s") as caught:
        store.write(kit.series, *kit.page(0, 10))
    assert caught.value.suggestion
    store.write(kit.series, *kit.page(0, 10))
    assert len(store.covered(kit.series)) == 1


def test_threads_of_one_process_wait_for_each_other_too(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locks.exclusive(path, 1.0):
        failures: list[BaseException] = []

        def second() -> None:
            try:
                with locks.exclusive(path, 0.05):
                    pass
            except LockTimeout as failed:
                failures.append(failed)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(failures) == 1


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_writes_does_not_hang(store: ParquetStore, kit: Any) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            store.write(kit.series, *kit.page(number * 10, 10))
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        context = multiprocessing.get_context("fork")
        for number in range(3):
            child = context.Process(target=store.write, args=(kit.series, *kit.page(-10 * number - 10, 10)))
            child.start()
            child.join(60)
            assert child.exitcode == 0
    finally:
        stop.set()
        thread.join()
    assert store.covered(kit.series)[0].start == kit.start - 30 * kit.minute


def test_a_listing_that_changed_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that came behind the reader's back, and one that went in front of it, are not both missed."""
    (tmp_path / "part").touch()
    real = files.os.listdir
    changed = []

    def slow(folder: Any) -> list[str]:
        names = real(folder)
        if not changed:
            changed.append(True)
            with open_below(Path(folder)) as directory:
                files.commit(directory, [("merged", b"x")], ["part"])
            return [name for name in names if name != "part"]  # read too early for one, too late for the other
        return names

    monkeypatch.setattr(files.os, "listdir", slow)
    assert files.listing(tmp_path) == ["merged"]
