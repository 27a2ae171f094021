"""What a store does with very many files is bounded: the system's calls are counted, not the time."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from upbit_frames.core.intervals import Span, subtract
from upbit_frames.store import atomic_files, checksums, directories, encoding, identity, layout, locks, reader, writer
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

SECONDS = Series("candles", "KRW-BTC", "1s")
SECOND = 1_000_000
COUNTED = ("listdir", "stat", "lstat", "open", "unlink", "replace", "fsync", "mkdir")


class CountingSystem:
    """The system's calls, counted."""

    def __init__(self, calls: Counter[str]) -> None:
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in COUNTED:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return real(*args, **kwargs)

        return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    for module in (atomic_files, checksums, directories, identity, locks, reader):
        monkeypatch.setattr(module, "os", CountingSystem(counted))
    return counted


def span_at(kit: Any, number: int, length: int = 1) -> Span:
    """Every third second."""
    start = kit.start + 3 * number * SECOND
    return Span(start, start + length * SECOND)


def crowd(store: ParquetStore, kit: Any, count: int) -> Path:
    """A series of so many files of one second each, which do not touch."""
    folder = store._folder(SECONDS).path
    folder.mkdir(parents=True)
    for number in range(count):
        span = span_at(kit, number)
        table = kit.candles([span.start]) if number == 0 else kit.candles([])
        (folder / layout.file_name(span)).write_bytes(encoding.encode(SECONDS, table, span, "rest", 0))
    return folder


@pytest.mark.parametrize("count", [50, 2_000])
def test_a_write_beside_many_files_touches_few(store: ParquetStore, kit: Any, calls: Counter[str], count: int) -> None:
    crowd(store, kit, count)
    assert len(store.covered(SECONDS)) == count
    calls.clear()
    store.covered(SECONDS)
    assert sum(calls.values()) <= 3  # one listing, and the folder's time before and after
    calls.clear()
    span = span_at(kit, count + 10)
    store.write(SECONDS, kit.candles([span.start]), span)
    assert sum(calls.values()) <= 40, calls
    calls.clear()
    span = Span(span_at(kit, 5).end, span_at(kit, 6).start)  # between two others: the segment is looked at
    store.write(SECONDS, kit.candles([]), span)
    assert sum(calls.values()) <= 60, calls
    calls.clear()
    assert store.count(SECONDS, span_at(kit, 0, 3)) == 1
    assert sum(calls.values()) <= 12, calls


def test_many_leftovers_are_removed_a_bounded_number_at_a_time(
    store: ParquetStore, kit: Any, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = crowd(store, kit, 300)
    large = Span(kit.start, span_at(kit, 400).start)
    store.write(SECONDS, kit.candles([kit.start]), large, replace=True)
    for number in range(300):  # a restored backup put the small ones back
        span = span_at(kit, number)
        (folder / layout.file_name(span)).write_bytes(encoding.encode(SECONDS, kit.candles([]), span, "rest", 0))
    monkeypatch.setattr(writer, "TIDY_FILES", 100)
    settled = []
    real = atomic_files.settle
    monkeypatch.setattr(atomic_files, "settle", lambda folder: (settled.append(1), real(folder)))
    for left in (200, 100, 0):
        calls.clear()
        settled.clear()
        span = Span(large.end + left * SECOND, large.end + (left + 1) * SECOND)
        store.write(SECONDS, kit.candles([]), span)
        assert len(list(folder.glob("*.parquet"))) - left <= 4
        assert calls["unlink"] <= 100 + 8
        assert sum(calls.values()) <= 200, calls
        assert len(settled) <= 3  # each may wait for a tick of the clock
    assert store.count(SECONDS, Span(0, large.end)) == 1


def test_leftovers_of_many_files_cost_few_reads(
    store: ParquetStore, kit: Any, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = crowd(store, kit, 200)
    for number in range(200):  # each is inside another one
        span = Span(span_at(kit, number).start, span_at(kit, number).start + 2 * SECOND)
        (folder / layout.file_name(span)).write_bytes(encoding.encode(SECONDS, kit.candles([]), span, "rest", 0))
    monkeypatch.setattr(writer, "TIDY_READS", 20)
    span = span_at(kit, 500)
    calls.clear()
    store.write(SECONDS, kit.candles([]), span)
    assert calls["unlink"] <= 24
    assert sum(calls.values()) <= 200, calls
    assert {one.problem for one in store.verify(SECONDS, repair=True)} == {"leftover"}
    assert store.verify(SECONDS) == []
    assert len(list(folder.glob("*.parquet"))) == 201


def test_a_merge_takes_a_bounded_number_of_files(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store._folder(kit.series).path
    folder.mkdir(parents=True)
    for number in range(200):  # all touch, as no writer leaves them
        table, span = kit.page(number, 1)
        (folder / layout.file_name(span)).write_bytes(encoding.encode(kit.series, table, span, "rest", 0))
    monkeypatch.setattr(writer, "MAX_MERGED", 50)
    store.write(kit.series, *kit.page(200, 1))
    assert len(kit.names(store, kit.series)) == 151
    store.compact(kit.series)
    assert len(kit.names(store, kit.series)) == 1
    assert store.count(kit.series, Span(0, kit.start + 300 * kit.minute)) == 201


def test_many_temporary_files_are_looked_at_a_few_at_a_time(store: ParquetStore, kit: Any, calls: Counter[str]) -> None:
    store.write(kit.series, *kit.page(0, 1))
    folder = store._folder(kit.series).path
    for number in range(1_000):
        (folder / f".tmp-1-{number}").touch()
        os.utime(folder / f".tmp-1-{number}", (1, 1))
    calls.clear()
    store.write(kit.series, *kit.page(10, 1))
    assert sum(calls.values()) <= 2 * atomic_files.SWEPT + 40
    store.verify(kit.series, repair=True)
    assert not list(folder.glob(".tmp*"))


def test_subtracting_many_ranges_looks_at_each_once() -> None:
    class Watched(int):
        compared = 0

        def __lt__(self, other: object) -> bool:
            Watched.compared += 1
            return int.__lt__(self, other)  # type: ignore[operator]

    count = 500
    holes = [Span(Watched(3 * at), Watched(3 * at + 1)) for at in range(count)]
    left = subtract([Span(Watched(0), Watched(3 * count))], holes)
    assert left == [Span(3 * at + 1, 3 * at + 3) for at in range(count)]
    assert Watched.compared < 40 * count
