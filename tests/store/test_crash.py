"""However a writer ends, the store is right: at every step of the system, and at any moment."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upbit_frames.core.intervals import Span
from upbit_frames.store import atomic_files as files
from upbit_frames.store import directories, encoding
from upbit_frames.store.base import Series
from upbit_frames.store.layout import parse_name
from upbit_frames.store.parquet import ParquetStore

STEPS = ("open", "write", "fsync", "replace", "unlink", "mkdir", "rmdir")
KILLS = int(os.environ.get("UPBIT_FRAMES_TEST_KILLS", "30"))


UNKNOWN, SILENT = -1, 0  # versions begin at 1


class Crash(BaseException):
    """The process is gone; nothing after this touches the disk."""


class DyingSystem:
    """The system's calls, until one of them is the last."""

    def __init__(self, last: int | None) -> None:
        self.last = last
        self.steps = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in STEPS:
            return real

        def step(*args: Any, **kwargs: Any) -> Any:
            self.steps += 1
            if self.last is not None and self.steps >= self.last:
                if name == "write" and self.steps == self.last:
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])  # half of it still arrives
                raise Crash(name)
            return real(*args, **kwargs)

        return step


State = dict[int, float | None]


def state_of(store: ParquetStore, series: Series) -> State:
    """Each covered minute with its price, or None where nothing was traded."""
    known: State = {}
    for span in store.covered(series):
        # Long stretches without rows are looked at where they begin and end.
        start = max(span.start, span.end - 5_000 * 60_000_000)
        known.update(dict.fromkeys([span.start, *range(start, span.end, 60_000_000)]))
        table = store.read(series, span)
        times = table.column("time").cast("int64").to_pylist()
        assert len(set(times)) == len(times)
        known.update(zip(times, table.column("open").to_pylist(), strict=True))
    return known


def pages(kit: Any, count: int) -> Callable[[ParquetStore], None]:
    def prepare(store: ParquetStore) -> None:
        for number in range(count):
            store.write(kit.series, *kit.page(number * 20, 20))

    return prepare


def scenarios(kit: Any) -> dict[str, tuple[Callable[[ParquetStore], None], Callable[[ParquetStore], None]]]:
    """What was done before, and what is done when the process dies."""
    last_hour = kit.moment("2024-01-31T23:00:00")
    empty = kit.candles([])

    def before_listing(store: ParquetStore) -> None:
        store.write(kit.series, empty, Span(0, kit.start + 500 * kit.minute))
        store.write(kit.series, *kit.page(500, 50))
        store.write(kit.series, *kit.page(550, 50))

    def nearly_full(store: ParquetStore) -> None:
        store.write(kit.series, empty, Span(kit.start, last_hour))
        store.write(kit.series, *kit.page(0, 30, base=last_hour))

    return {
        "the first page": (lambda store: None, lambda store: store.write(kit.series, *kit.page(0, 20))),
        "a page": (pages(kit, 2), lambda store: store.write(kit.series, *kit.page(100, 20))),
        "a page that merges": (pages(kit, 7), lambda store: store.write(kit.series, *kit.page(140, 20))),
        "a page over a boundary": (
            pages(kit, 1),
            lambda store: store.write(kit.series, *kit.page(0, 120, base=last_hour)),
        ),
        "the page that fills a month": (
            nearly_full,
            lambda store: store.write(kit.series, *kit.page(30, 30, base=last_hour)),
        ),
        "a page into several holes": (
            lambda store: [store.write(kit.series, *kit.page(at, 10)) for at in (0, 30, 60)] and None,
            lambda store: store.write(kit.series, *kit.page(-10, 100)),
        ),
        "a replacement inside a file": (
            pages(kit, 1),
            lambda store: store.write(kit.series, *kit.page(5, 5, value=900.0), replace=True),
        ),
        "a replacement of the same file": (
            pages(kit, 1),
            lambda store: store.write(kit.series, *kit.page(0, 20, value=900.0), replace=True),
        ),
        "a replacement over several files": (
            pages(kit, 5),
            lambda store: store.write(kit.series, *kit.page(15, 60, value=900.0), replace=True),
        ),
        "a replacement before the listing": (
            before_listing,
            lambda store: store.write(kit.series, *kit.page(450, 120, value=900.0), replace=True),
        ),
        "compacting": (pages(kit, 5), lambda store: store.compact(kit.series)),
        "compacting with a long empty file": (before_listing, lambda store: store.compact(kit.series)),
        "noting": (pages(kit, 1), lambda store: store.note(kit.series, "a", 1)),
    }


NAMES = [
    "the first page", "a page", "a page that merges", "a page over a boundary", "the page that fills a month",
    "a page into several holes", "a replacement inside a file", "a replacement of the same file",
    "a replacement over several files", "a replacement before the listing", "compacting",
    "compacting with a long empty file", "noting",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_dying_at_any_step_leaves_before_or_after(
    tmp_path: Path, kit: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert sorted(scenarios(kit)) == sorted(NAMES)
    prepare, act = scenarios(kit)[name]
    monkeypatch.setattr(files, "TICK", 0)
    origin = ParquetStore(tmp_path / "origin")
    prepare(origin)
    before = state_of(origin, kit.series)

    def attempt(number: int | None) -> tuple[ParquetStore, DyingSystem]:
        folder = tmp_path / f"died-{number}"
        if origin.path.exists():
            shutil.copytree(origin.path, folder)
        system = DyingSystem(number)
        encoding._forget_all()
        with monkeypatch.context() as patched:
            patched.setattr(directories, "os", system)
            if number is None:
                act(ParquetStore(folder))
            else:
                with pytest.raises(Crash):
                    act(ParquetStore(folder))
        encoding._forget_all()
        return ParquetStore(folder), system

    done, system = attempt(None)
    after = state_of(done, kit.series)
    notes = done.notes(kit.series)
    resting = kit.names(done, kit.series)
    assert system.steps >= 4
    for number in range(1, system.steps + 1):
        store, _ = attempt(number)
        found = state_of(store, kit.series)
        for minute in before.keys() | after.keys() | found.keys():
            there = [state.get(minute, "unknown") for state in (before, after)]
            assert found.get(minute, "unknown") in there, (number, minute)
        assert {one.problem for one in store.verify()} <= {"leftover", "overlap"}
        assert store.notes(kit.series) in ({}, notes)
        # The next run does it again, and tidies up.
        monkeypatch.setattr(files, "STALE_SECONDS", -1)
        act(store)
        store.compact(kit.series)
        assert state_of(store, kit.series) == after
        if len(resting) > 1:
            store.write(kit.series, *kit.page(100_000, 1))
            store.prune(before=0)
        assert store.verify() == []
        shutil.rmtree(store.path)


def test_what_a_killed_merge_left_is_taken_away_by_the_next_writer(store: ParquetStore, kit: Any) -> None:
    for number in range(3):
        store.write(kit.series, *kit.page(number * 10, 10))
    folder = store._folder(kit.series).path
    parts = {name: (folder / name).read_bytes() for name in kit.names(store, kit.series)}
    store.compact(kit.series)
    everything = store.read(kit.series, Span(0, kit.start + 30 * kit.minute))
    for name, body in parts.items():
        (folder / name).write_bytes(body)
    assert store.covered(kit.series) == [Span(kit.start, kit.start + 30 * kit.minute)]
    assert store.read(kit.series, Span(0, kit.start + 30 * kit.minute)).equals(everything)
    assert store.info(kit.series).rows == 30
    assert [one.problem for one in store.verify()] == ["leftover"] * 3
    store.write(kit.series, *kit.page(100, 10))
    assert len(kit.names(store, kit.series)) == 2
    assert store.read(kit.series, Span(0, kit.start + 30 * kit.minute)).equals(everything)


def test_leftovers_save_the_rows_if_the_merged_file_rots(store: ParquetStore, kit: Any) -> None:
    for number in range(3):
        store.write(kit.series, *kit.page(number * 10, 10))
    folder = store._folder(kit.series).path
    parts = {name: (folder / name).read_bytes() for name in kit.names(store, kit.series)}
    store.compact(kit.series)
    merged = kit.names(store, kit.series)[0]
    for name, body in parts.items():
        (folder / name).write_bytes(body)
    (folder / merged).write_bytes((folder / merged).read_bytes()[:-9])
    with pytest.warns(match="damaged"):
        store.write(kit.series, *kit.page(100, 10))
    assert store.count(kit.series, Span(0, kit.start + 30 * kit.minute)) == 30


def test_temporary_files_go_when_they_are_old(store: ParquetStore, kit: Any) -> None:
    store.write(kit.series, *kit.page(0, 10))
    folder = store._folder(kit.series).path
    old, new = folder / ".tmp-1-old", folder / ".tmp-1-new"
    for one in (old, new):
        one.write_bytes(b"half")
    os.utime(old, (1, 1))
    store.write(kit.series, *kit.page(10, 10))
    assert not old.exists()
    assert new.exists()


# --- killed at any moment -------------------------------------------------------------------------


def load_killable() -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location("killable", Path(__file__).with_name("killable.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_killed_at_random_moments(nursery: Any, tmp_path: Path) -> None:
    killable = load_killable()
    choose = random.Random(20_240_229)
    folder = tmp_path / "store"
    model = np.full(killable.MINUTES, UNKNOWN)  # the version each minute was written with
    written = 0
    for kill in range(KILLS):
        log = tmp_path / f"log-{kill}"
        pid = nursery.ask(folder=str(folder), log=str(log), seed=kill, base=kill * 100_000, mode="random")
        while not log.exists():
            time.sleep(0.002)
        time.sleep(choose.uniform(0.0, 0.2))
        os.kill(pid, signal.SIGKILL)
        assert nursery.ask(wait=pid) == -signal.SIGKILL

        lines = log.read_bytes().decode().splitlines()
        told = [json.loads(line) for line in lines if line.endswith("}")]
        done = {one["done"] for one in told if "done" in one}
        flying = model
        for one in (one["begin"] for one in told if "begin" in one):
            low, high = one["span"]
            after = model.copy()
            given = np.arange(low, high)
            given = given if one["replace"] else given[model[given] == UNKNOWN]
            after[given] = np.where(given % 7, one["version"], SILENT)
            if one["version"] in done:
                model = after
                written += 1
            flying = after
        found = observed(killable, ParquetStore(folder))
        assert ((found == model) | (found == flying)).all(), f"kill {kill}"
        model = found
    assert written > KILLS
    store = ParquetStore(folder)
    assert {one.problem for one in store.verify()} <= {"leftover"}
    store.write(killable.SERIES, *killable.page(0, 1, 1))
    store.compact(killable.SERIES)
    assert store.verify() == []
    names = [one.name for one in store._folder(killable.SERIES).path.iterdir()]
    assert all(parse_name(name) or name.startswith((".", "_")) for name in names)


def observed(killable: Any, store: ParquetStore) -> Any:
    """What the store tells of each minute: UNKNOWN, SILENT, or the version of its row."""
    encoding._forget_all()
    found = np.full(killable.MINUTES, UNKNOWN)
    everything = Span(killable.START, killable.START + killable.MINUTES * killable.MINUTE)
    table = store.read(killable.SERIES, everything)
    minutes = (np.asarray(table.column("time").cast("int64")) - killable.START) // killable.MINUTE
    assert (np.diff(minutes) > 0).all()
    versions = np.asarray(table.column("open")).astype(int)
    assert (np.asarray(table.column("value")).astype(int) == versions).all()
    for span in store.covered(killable.SERIES):
        low, high = ((edge - killable.START) // killable.MINUTE for edge in span)
        found[low:high] = SILENT
    assert (found[minutes] == SILENT).all()
    found[minutes] = versions
    return found
