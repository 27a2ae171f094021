"""What others put into the store's folder: links, fifos, folders and files under its names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from upbit_frames.archive.download_dir import WorkFolder
from upbit_frames.core.intervals import Span
from upbit_frames.errors import CorruptFile, StoreError, UpbitFramesWarning
from upbit_frames.store import layout
from upbit_frames.store import reader as folders
from upbit_frames.store.base import Series
from upbit_frames.store.directories import Directory
from upbit_frames.store.fetch_lock import FetchLock
from upbit_frames.store.parquet import ParquetStore

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs links and fifos")
TRADES = Series("trades", "KRW-BTC")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Somebody's folder, with what the store would change if it followed a link into it."""
    folder = tmp_path / "precious"
    (folder / "deep" / "interval=1m").mkdir(parents=True)
    (folder / "interval=1m").mkdir()
    for name in ("a.txt", "deep/b.txt", "candles.KRW-BTC.1m.lock", ".tmp-1-old", "interval=1m/c.txt"):
        (folder / name).write_text("precious")
        os.utime(folder / name, (1_000_000_000, 1_000_000_000))
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(one.relative_to(folder)): (one.read_bytes(), one.stat().st_mtime_ns) if one.is_file() else (b"", 0)
        for one in sorted(folder.rglob("*"))
    }


def everything(store: ParquetStore, kit: Any) -> int:
    """Call all that changes a store; gives how often that was refused."""
    refused = 0
    calls: list[Callable[[], Any]] = [
        lambda: store.write(kit.series, *kit.page(500, 10)),
        lambda: store.write(kit.series, *kit.page(0, 10), replace=True),
        lambda: store.note(kit.series, "a", 2),
        lambda: store.read(kit.series, Span(0, kit.start + 1_000 * kit.minute)),
        lambda: store.compact(kit.series),
        lambda: store.verify(),
        lambda: store.prune(before=kit.moment("2030-01-01")),
        lambda: store.clear(market="KRW-BTC"),
        lambda: store.clear(),
    ]
    for call in calls:
        folders._used.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UpbitFramesWarning)
            try:
                call()
            except CorruptFile:
                pass
            except StoreError as error:
                refused += bool(error.suggestion)
    return refused


LINKS = [
    ".trash", ".locks", "candles", "candles/v1", "candles/v1/market=KRW-BTC", "candles/v1/market=KRW-BTC/interval=1m",
    "candles/v1/market=KRW-BTC/interval=1m/_quarantine",
]  # fmt: skip


@pytest.mark.parametrize("place", LINKS)
def test_nothing_is_changed_through_a_link_to_a_folder(
    store: ParquetStore, kit: Any, outside: Path, place: str
) -> None:
    for number in range(3):
        store.write(kit.series, *kit.page(number * 20, 20))
    store.note(kit.series, "a", 1)
    link = store.path / place
    damaged = "_quarantine" in place
    if damaged:
        name = kit.names(store, kit.series)[0]
        (store._folder(kit.series).path / name).write_bytes(b"rot")
    if link.is_dir():
        # What was there is what the link leads to, so that a store that follows it finds all it needs.
        shutil.copytree(link, outside, dirs_exist_ok=True)
        shutil.rmtree(link)
    link.symlink_to(outside)
    before = snapshot(outside)
    assert everything(store, kit) > 0 or damaged
    assert snapshot(outside) == before
    if link.is_symlink():
        link.unlink()
    store.write(kit.series, *kit.page(0, 20))
    store.clear()


@pytest.mark.parametrize("name", ["_notes.json", "_used", "lock"])
@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_changed_through_a_link_to_a_file(
    store: ParquetStore, kit: Any, outside: Path, name: str, exists: bool
) -> None:
    store.write(kit.series, *kit.page(0, 20))
    target = outside / ("a.txt" if exists else "new.txt")
    link = layout.lock_of(store.path, kit.series) if name == "lock" else store._folder(kit.series).path / name
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    before = snapshot(outside)
    everything(store, kit)
    assert snapshot(outside) == before


def test_a_stored_file_that_is_a_link_is_replaced_and_not_written_through(
    store: ParquetStore, kit: Any, outside: Path
) -> None:
    for number in range(3):
        store.write(kit.series, *kit.page(number * 20, 20))
    path = store._folder(kit.series).path / kit.names(store, kit.series)[1]
    (outside / "file").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(outside / "file")
    before = snapshot(outside)
    assert store.count(kit.series, Span(0, kit.start + 60 * kit.minute)) == 60
    store.compact(kit.series)
    assert store.count(kit.series, Span(0, kit.start + 60 * kit.minute)) == 60
    assert len(kit.names(store, kit.series)) == 1
    assert snapshot(outside) == before


def test_what_lies_in_the_trash_is_removed_without_following_links(
    store: ParquetStore, kit: Any, outside: Path
) -> None:
    store.write(kit.series, *kit.page(0, 20))
    trash = store.path / ".trash"
    (trash / "old").mkdir(parents=True)
    (trash / "link").symlink_to(outside)
    (trash / "old" / "link").symlink_to(outside)
    (store._folder(kit.series).path / "link").symlink_to(outside)
    before = snapshot(outside)
    assert store.clear() > 0
    assert list(trash.iterdir()) == []
    assert snapshot(outside) == before


def test_the_right_to_fetch_is_not_taken_through_a_link(tmp_path: Path, outside: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    before = snapshot(outside)
    (store / ".locks").symlink_to(outside)
    with pytest.raises(StoreError, match="link"):
        FetchLock(store / ".locks" / "new.lock").try_acquire()
    (store / ".locks").unlink()
    (store / ".locks").mkdir()
    (store / ".locks" / "new.lock").symlink_to(outside / "new.lock")
    os.mkfifo(store / ".locks" / "fifo.lock")
    for name in ("new.lock", "fifo.lock"):
        with pytest.raises(StoreError, match="lock file"):
            FetchLock(store / ".locks" / name).try_acquire()
    assert snapshot(outside) == before


def test_downloads_of_the_archive_do_not_go_through_a_link(tmp_path: Path, outside: Path) -> None:
    (outside / "old.zip").write_bytes(b"precious")
    os.utime(outside / "old.zip", (1, 1))
    (tmp_path / "_archive").symlink_to(outside)
    before = snapshot(outside)
    work = WorkFolder(tmp_path / "_archive")

    async def part() -> None:
        async with work.part():
            pass

    for call in (part, lambda: work.remove(outside / "a.txt"), lambda: work.intact(outside / "old.zip", "0")):
        with pytest.raises(StoreError, match="link"):
            asyncio.run(call())
    assert snapshot(outside) == before


def test_the_store_itself_may_be_a_link(tmp_path: Path, kit: Any) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    store = ParquetStore(tmp_path / "link")
    for number in range(3):
        store.write(kit.series, *kit.page(number * 20, 20))
    assert everything(store, kit) == 0
    assert (tmp_path / "disk" / ".trash").is_dir()


def test_a_link_put_there_at_the_last_moment_leads_nowhere(
    store: ParquetStore, kit: Any, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was looked at and opened, and only then did somebody put a link in its place."""
    store.write(kit.series, *kit.page(0, 20))
    path = store._folder(kit.series).path
    aside = path.with_name("moved")
    before = snapshot(outside)

    def swapping(name: str) -> Callable[..., Any]:
        real = getattr(Directory, name)

        def call(self: Directory, *args: Any) -> Any:
            if self.path == path and not path.is_symlink():
                path.rename(aside)
                path.symlink_to(outside)
            return real(self, *args)

        return call

    for name in ("write_new", "replace", "unlink", "touch", "sync"):
        with monkeypatch.context() as patched:
            patched.setattr(Directory, name, swapping(name))
            folders._used.clear()
            with contextlib.suppress(StoreError, FileNotFoundError):
                store.write(kit.series, *kit.page(0, 20), replace=True)
        assert snapshot(outside) == before, name
        if path.is_symlink():
            path.unlink()
            aside.rename(path)
    assert store.count(kit.series, Span(0, kit.start + 60 * kit.minute)) == 20


# --- something else than a file -------------------------------------------------------------------


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is at most 107 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name[:90])
    finally:
        os.chdir(here)
    if path.name[:90] != path.name:
        path.with_name(path.name[:90]).rename(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS = {"fifo": make_fifo, "socket": make_socket, "device": make_device, "folder": Path.mkdir}


@pytest.fixture(params=list(KINDS))
def put(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink(missing_ok=True)
        KINDS[request.param](path)

    return replace


def test_no_file_under_the_name_of_a_stored_file(store: ParquetStore, kit: Any, put: Callable[[Path], None]) -> None:
    table, span = kit.page(0, 20)
    later, later_span = kit.page(100, 20)
    for seen in (False, True):
        store.write(kit.series, table, span)
        store.write(kit.series, later, later_span)
        if seen:
            store.read(kit.series, span)
        put(store._folder(kit.series).path / layout.file_name(span))
        with pytest.warns(UpbitFramesWarning, match="damaged"), pytest.raises(CorruptFile, match="regular"):
            store.read(kit.series, Span(0, later_span.end))
        assert store.covered(kit.series) == [later_span]
        assert store.read(kit.series, Span(0, later_span.end)).equals(later)


def test_a_merge_goes_round_what_is_no_file(store: ParquetStore, kit: Any, put: Callable[[Path], None]) -> None:
    for number in range(7):
        store.write(kit.series, *kit.page(number * 10, 10))
    put(store._folder(kit.series).path / layout.file_name(kit.page(30, 10)[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UpbitFramesWarning)
        store.write(kit.series, *kit.page(70, 10))
        store.compact(kit.series)
    assert store.count(kit.series, Span(0, kit.start + 100 * kit.minute)) == 70


def test_no_file_under_the_name_of_the_notes(store: ParquetStore, kit: Any, put: Callable[[Path], None]) -> None:
    store.note(kit.series, "a", 1)
    put(store._folder(kit.series).path / layout.NOTES)
    with pytest.warns(UpbitFramesWarning, match="damaged"):
        assert store.notes(kit.series) == {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UpbitFramesWarning)
        with contextlib.suppress(StoreError):  # a folder cannot be replaced by a file
            store.note(kit.series, "b", 1)
            assert store.notes(kit.series) == {"b": 1}


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": ' * 100_000, "\udcff", "[]", "1" * 10_000, '"' + "x" * 20_000_000]
)
def test_odd_notes_count_as_none(store: ParquetStore, kit: Any, text: str) -> None:
    store.note(kit.series, "a", 1)
    (store._folder(kit.series).path / layout.NOTES).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.warns(UpbitFramesWarning, match="damaged"):
        assert store.notes(kit.series) == {}


def test_no_file_under_the_name_of_a_lock(store: ParquetStore, kit: Any, put: Callable[[Path], None]) -> None:
    store.write(kit.series, *kit.page(0, 10))
    put(layout.lock_of(store.path, kit.series))
    with pytest.raises(StoreError, match="lock file"):
        store.write(kit.series, *kit.page(20, 10))
    assert store.count(kit.series, Span(0, kit.start + 60 * kit.minute)) == 10


def test_no_file_under_the_name_of_the_mark_of_use(store: ParquetStore, kit: Any, put: Callable[[Path], None]) -> None:
    store.write(kit.series, *kit.page(0, 10))
    put(store._folder(kit.series).path / layout.USED)
    folders._used.clear()
    assert store.count(kit.series, Span(0, kit.start + 60 * kit.minute)) == 10
    assert len(store.read(kit.series, Span(0, kit.start + 60 * kit.minute))) == 10


@pytest.mark.parametrize("place", [*LINKS, "."])
def test_no_folder_where_a_folder_should_be(
    store: ParquetStore, kit: Any, place: str, put: Callable[[Path], None]
) -> None:
    store.write(kit.series, *kit.page(0, 10))
    path = store.path / place
    if path.is_dir():
        shutil.rmtree(path)
    put(path)
    if path.is_dir() and not path.is_symlink():
        return  # a folder is what belongs there
    everything(store, kit)


def test_a_note_of_the_quarantine_that_is_no_file(store: ParquetStore, kit: Any, put: Callable[[Path], None]) -> None:
    table, span = kit.page(0, 20)
    store.write(kit.series, table, span)
    (store._folder(kit.series).path / layout.file_name(span)).write_bytes(b"rot")
    with pytest.warns(UpbitFramesWarning), pytest.raises(CorruptFile) as caught:
        store.read(kit.series, span)
    put(Path(caught.value.moved_to + ".json"))
    assert [one.problem for one in store.problems()] == ["corrupt"]


# --- a name that claims more ----------------------------------------------------------------------


@pytest.mark.parametrize("change", ["longer", "shorter", "moved"])
def test_a_file_renamed_to_cover_something_else_is_damage(store: ParquetStore, kit: Any, change: str) -> None:
    table, span = kit.page(10, 20)
    store.write(kit.series, table, span)
    store.read(kit.series, span)
    low, high = {"longer": (0, 600), "shorter": (10, 25), "moved": (9, 30)}[change]
    claimed = Span(kit.start + low * kit.minute, kit.start + high * kit.minute)
    path = store._folder(kit.series).path
    (path / layout.file_name(span)).rename(path / layout.file_name(claimed))
    with pytest.warns(UpbitFramesWarning, match="its name claims"), pytest.raises(CorruptFile):
        store.read(kit.series, claimed)
    assert store.covered(kit.series) == []
    store.write(kit.series, table, span)
    assert store.read(kit.series, span).equals(table)


def test_a_long_empty_file_cannot_be_made_from_a_short_one(store: ParquetStore, kit: Any) -> None:
    """Hours without a trade must not become "nothing before 2030"."""
    span = Span(kit.start, kit.start + 60 * kit.minute)
    store.write(kit.series, kit.candles([]), span)
    path = store._folder(kit.series).path
    (path / layout.file_name(span)).rename(path / layout.file_name(Span(0, kit.moment("2030-01-01"))))
    with pytest.warns(UpbitFramesWarning, match="its name claims"), pytest.raises(CorruptFile):
        store.read(kit.series, span)
