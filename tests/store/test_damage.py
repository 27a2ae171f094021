"""Damaged files are set aside, told of, and what they covered can be fetched again."""

from __future__ import annotations

import json
import os
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import CorruptFile, UpbitFramesWarning
from upbit_frames.store import atomic_files, encoding, layout, quarantine, replaced
from upbit_frames.store.base import Series
from upbit_frames.store.checksums import seal
from upbit_frames.store.parquet import ParquetStore


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], **meta: Any) -> None:
    """Write other rows under the same name, with checksums that are right."""
    footer = pq.read_metadata(path).metadata
    told = {**json.loads(footer[b"upbit_frames"]), **meta}
    table = change(pq.read_table(path, partitioning=None))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"upbit_frames": json.dumps(told)})
    path.write_bytes(seal(sink.getvalue()))


def shifted(table: pa.Table, micros: int) -> pa.Table:
    times = pc.add(table.column("time").cast(pa.int64()), micros).cast(table.schema.field("time").type)
    return table.set_column(0, table.schema.field("time"), times)


def flip(path: Path, at: int) -> None:
    body = bytearray(path.read_bytes())
    body[at] ^= 0x10
    path.write_bytes(body)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "other bytes": lambda path: path.write_bytes(b"PAR1" + b"\xff" * 500 + b"\x20\0\0\0PAR1"),
    "zeros at the end": lambda path: path.write_bytes(path.read_bytes() + bytes(4096)),
    "a flipped bit among the rows": lambda path: flip(path, 700),
    "outside its name": lambda path: rewrite(path, lambda table: shifted(table, 86_400 * 1_000_000 * 40)),
    "off the grid": lambda path: rewrite(path, lambda table: shifted(table, 1_000_000)),
    "backwards": lambda path: rewrite(path, lambda table: table.take(list(range(len(table) - 1, -1, -1)))),
    "a row twice": lambda path: rewrite(path, lambda table: pa.concat_tables([table.slice(0, 1), table])),
    "a column missing": lambda path: rewrite(path, lambda table: table.drop_columns(["value"])),
    "a column of text": lambda path: rewrite(
        path, lambda table: table.set_column(1, "open", table.column("open").cast(pa.string()))
    ),
    "of another market": lambda path: rewrite(path, lambda table: table, market="KRW-ETH"),
    "of another interval": lambda path: rewrite(path, lambda table: table, interval="5m"),
    "of another version": lambda path: rewrite(path, lambda table: table, schema=2),
    "of another tool": lambda path: pq.write_table(pq.read_table(path, partitioning=None), path),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
@pytest.mark.parametrize("seen_before", [False, True])
def test_a_damaged_file_is_set_aside_and_fetched_again(
    store: ParquetStore, kit: Any, damage: str, seen_before: bool
) -> None:
    first, first_span = kit.page(0, 300)
    later, later_span = kit.page(1_000, 300)
    store.write(kit.series, first, first_span)
    store.write(kit.series, later, later_span)
    if seen_before:
        store.read(kit.series, first_span)
    path = store._folder(kit.series).path / kit.names(store, kit.series)[0]
    DAMAGES[damage](path)

    with pytest.warns(UpbitFramesWarning, match="damaged") as caught, pytest.raises(CorruptFile) as raised:
        store.read(kit.series, Span(first_span.start, later_span.end))
    assert len(caught) == 1
    assert raised.value.span == tuple(first_span)
    assert raised.value.suggestion
    moved = Path(raised.value.moved_to)
    assert moved.exists()
    assert moved.parent.name == "_quarantine"
    assert not path.exists()

    assert store.covered(kit.series) == [later_span]
    assert store.read(kit.series, later_span).equals(later)
    assert [(one.problem, one.span, one.path) for one in store.problems()] == [("corrupt", first_span, moved)]
    store.write(kit.series, first, first_span)
    assert store.read(kit.series, first_span).equals(first)
    assert [one.problem for one in store.verify()] == ["repaired"]
    assert moved.exists()


def test_a_merge_reads_again_what_was_read_before(store: ParquetStore, kit: Any) -> None:
    """A bit that rots leaves size and time as they are; a merge must not put a right checksum over it."""
    first, first_span = kit.page(0, 300)
    store.write(kit.series, first, first_span)
    store.write(kit.series, *kit.page(300, 300))
    store.read(kit.series, first_span)
    path = store._folder(kit.series).path / kit.names(store, kit.series)[0]
    before = path.stat()
    flip(path, 700)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def write_until_merged() -> None:
        for page in range(2, 9):
            store.write(kit.series, *kit.page(300 * page, 300))

    with pytest.warns(UpbitFramesWarning, match="damaged"):
        write_until_merged()
    assert store.covered(kit.series)[0].start == first_span.end
    assert [finding.problem for finding in store.verify()] == ["corrupt"]


def test_every_way_of_reading_notices(store: ParquetStore, kit: Any) -> None:
    span = Span(kit.start, kit.start + 100 * kit.minute)
    for read in (
        lambda: store.tail(kit.series, span.end, 5),
        lambda: store.head(kit.series, span.start, 5),
        lambda: store.count(kit.series, Span(span.start + kit.minute, span.end)),
        lambda: store.read(kit.series, Span(span.start, span.start + kit.minute)),
    ):
        store.write(kit.series, *kit.page(0, 100))
        (store._folder(kit.series).path / kit.names(store, kit.series)[0]).write_bytes(b"rot")
        with pytest.warns(UpbitFramesWarning), pytest.raises(CorruptFile):
            read()
        assert store.covered(kit.series) == []
    assert len(store.problems()) == 4


def test_all_damaged_files_of_a_read_go_at_once(store: ParquetStore, kit: Any) -> None:
    for month in range(1, 7):
        store.write(kit.series, *kit.page(0, 50, base=kit.moment(f"2024-0{month}-01")))
    folder = store._folder(kit.series).path
    for name in kit.names(store, kit.series)[1:4]:
        (folder / name).write_bytes(b"rot")
    with pytest.warns(UpbitFramesWarning) as caught, pytest.raises(CorruptFile) as raised:
        store.read(kit.series, Span(0, kit.moment("2025-01-01")))
    assert len(caught) == len(raised.value.files) == 3
    assert len(store.read(kit.series, Span(0, kit.moment("2025-01-01")))) == 150


def test_writing_beside_a_damaged_file_succeeds(store: ParquetStore, kit: Any) -> None:
    for page in range(7):
        store.write(kit.series, *kit.page(page * 10, 10))
    folder = store._folder(kit.series).path
    (folder / kit.names(store, kit.series)[3]).write_bytes(b"rot")
    with pytest.warns(UpbitFramesWarning):
        store.write(kit.series, *kit.page(70, 10))  # the eighth: all were to be merged
    assert store.covered(kit.series) == [
        Span(kit.start, kit.start + 30 * kit.minute),
        Span(kit.start + 40 * kit.minute, kit.start + 80 * kit.minute),
    ]
    assert store.count(kit.series, Span(kit.start, kit.start + 80 * kit.minute)) == 70


def test_replacing_a_damaged_file_needs_nothing_of_it(store: ParquetStore, kit: Any) -> None:
    table, span = kit.page(0, 100)
    store.write(kit.series, table, span)
    (store._folder(kit.series).path / kit.names(store, kit.series)[0]).write_bytes(b"rot")
    with pytest.warns(UpbitFramesWarning):
        store.write(kit.series, table.slice(0, 50), Span(span.start, span.start + 50 * kit.minute), replace=True)
    assert store.covered(kit.series) == [Span(span.start, span.start + 50 * kit.minute)]


def test_compacting_over_a_damaged_file_keeps_the_rest(store: ParquetStore, kit: Any) -> None:
    for page in range(4):
        store.write(kit.series, *kit.page(page * 10, 10))
    (store._folder(kit.series).path / kit.names(store, kit.series)[1]).write_bytes(b"rot")
    with pytest.warns(UpbitFramesWarning):
        store.compact(kit.series)
    assert len(kit.names(store, kit.series)) == 2
    assert store.count(kit.series, Span(0, kit.start + 40 * kit.minute)) == 30


def test_any_single_changed_byte_is_noticed_or_harmless(tmp_path: Path, kit: Any) -> None:
    """No change of a byte makes the store give other rows than were written, or break in another way."""
    random.seed(20240101)
    origin = ParquetStore(tmp_path / "origin")
    table, span = kit.page(0, 40)
    origin.write(kit.series, table, span)
    name = kit.names(origin, kit.series)[0]
    body = (origin._folder(kit.series).path / name).read_bytes()
    noticed = 0
    for at in sorted(random.sample(range(len(body)), min(len(body), 250))):
        store = ParquetStore(tmp_path / f"copy{at}")
        folder = store._folder(kit.series).path
        folder.mkdir(parents=True)
        wrong = bytearray(body)
        wrong[at] ^= 1 << random.randrange(8)
        (folder / name).write_bytes(wrong)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UpbitFramesWarning)
            try:
                assert store.read(kit.series, span).equals(table), f"byte {at}"
            except CorruptFile:
                noticed += 1
                assert store.covered(kit.series) == []
        shutil.rmtree(store.path)
    assert noticed > 100


def test_a_part_found_right_is_not_verified_again_but_a_changed_file_is(store: ParquetStore, kit: Any) -> None:
    table, span = kit.page(0, 300)
    store.write(kit.series, table, span)
    folder = store._folder(kit.series)
    store.read(kit.series, span)
    assert folder.footer(folder.files()[0]).verified == {(0, name) for name in arrow_schema("candles").names}
    path = folder.path / folder.files()[0].name
    flip(path, 700)
    with pytest.warns(UpbitFramesWarning), pytest.raises(CorruptFile):
        store.read(kit.series, span)


def test_memory_for_footers_is_bounded(store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "CACHE_BYTES", 40_000)
    for page in range(0, 300, 3):
        store.write(kit.series, *kit.page(page, 2))
    for _ in range(2):
        assert store.count(kit.series, Span(0, kit.moment("2025-01-01"))) == 200
        assert sum(map(encoding._weight, encoding._cache.values())) == encoding._cache_bytes <= 40_000


def test_trades_are_checked_too(store: ParquetStore, kit: Any) -> None:
    series = Series("trades", "KRW-BTC")
    start = kit.start
    span = Span(start, start + 1_000)
    store.write(series, kit.trades([start, start + 1], [1, 2]), span)
    path = store._folder(series).path / kit.names(store, series)[0]
    rewrite(path, lambda table: table.take([1, 0]), interval=None)
    with pytest.warns(UpbitFramesWarning), pytest.raises(CorruptFile):
        store.read(series, span)
    assert store.read(series, span).schema.equals(arrow_schema("trades"), check_metadata=True)


def test_damaged_notes_count_as_none_and_say_so(store: ParquetStore, kit: Any) -> None:
    store.note(kit.series, "a", 1)
    (store._folder(kit.series).path / "_notes.json").write_bytes(b"{")
    with pytest.warns(UpbitFramesWarning, match="notes"):
        assert store.notes(kit.series) == {}


def interrupted(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> None:
    """Do the work as if killed before the superseded files are removed."""

    class Killed(BaseException):
        pass

    def kill(folder: Any, names: Any) -> None:
        if names:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(atomic_files, "remove", kill)
        with pytest.raises(Killed):
            work()


@pytest.mark.parametrize("movable", [True, False])
def test_replaced_rows_never_count_again(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch, movable: bool
) -> None:
    """A killed replacement leaves the old files; then the new one rots."""
    store.write(kit.series, *kit.page(10, 100, value=1.0))
    store.write(kit.series, *kit.page(200, 100, value=1.0))
    new, span = kit.page(0, 400, value=500.0)
    interrupted(monkeypatch, lambda: store.write(kit.series, new, span, replace=True))
    assert len(kit.names(store, kit.series)) == 3
    assert store.read(kit.series, span).equals(new)
    (store._folder(kit.series).path / layout.file_name(span)).write_bytes(b"rot")
    if not movable:
        monkeypatch.setattr(quarantine, "set_aside", lambda *args: (_ for _ in ()).throw(PermissionError("read-only")))
    with pytest.warns(UpbitFramesWarning, match="damaged"), pytest.raises(CorruptFile):
        store.read(kit.series, span)
    assert store.covered(kit.series) == []
    assert len(store.read(kit.series, span)) == 0


def test_merged_rows_count_again(store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed merge leaves the parts; then the merged file rots: nothing is lost."""
    spans = [kit.page(number * 10, 10)[1] for number in range(8)]
    for number in range(7):
        store.write(kit.series, *kit.page(number * 10, 10))
    interrupted(monkeypatch, lambda: store.write(kit.series, *kit.page(70, 10)))
    merged = Span(spans[0].start, spans[-1].end)
    (store._folder(kit.series).path / layout.file_name(merged)).write_bytes(b"rot")
    with pytest.warns(UpbitFramesWarning, match="damaged"), pytest.raises(CorruptFile):
        store.read(kit.series, merged)
    assert store.covered(kit.series) == [Span(spans[0].start, spans[6].end)]
    assert store.count(kit.series, merged) == 70


def test_the_list_of_replaced_files_ends_with_the_replacement(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = store._folder(kit.series).path / replaced.REPLACED
    store.write(kit.series, *kit.page(10, 100, value=1.0))
    store.write(kit.series, *kit.page(0, 400, value=2.0), replace=True)
    assert not marks.exists()
    interrupted(monkeypatch, lambda: store.write(kit.series, *kit.page(0, 600, value=3.0), replace=True))
    assert marks.exists()
    store.write(kit.series, *kit.page(1_000, 10))
    assert not marks.exists()
    assert len(kit.names(store, kit.series)) == 2
    assert store.verify() == []


@pytest.mark.parametrize("body", [b"", b"rot", b"7", b"[[]]"])
def test_a_damaged_list_of_replaced_files_lets_none_of_them_count(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    store.write(kit.series, *kit.page(10, 100, value=1.0))
    store.write(kit.series, *kit.page(900, 100))
    new, span = kit.page(0, 400, value=500.0)
    interrupted(monkeypatch, lambda: store.write(kit.series, new, span, replace=True))
    folder = store._folder(kit.series).path
    (folder / replaced.REPLACED).write_bytes(body)
    (folder / layout.file_name(span)).write_bytes(b"rot")
    with pytest.warns(UpbitFramesWarning, match="damaged"), pytest.raises(CorruptFile):
        store.read(kit.series, span)
    assert store.covered(kit.series) == [kit.page(900, 100)[1]]
