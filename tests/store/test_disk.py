"""A full disk, a folder that may not be written, and other troubles of the system."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from upbit_frames.core.intervals import Span
from upbit_frames.errors import CorruptFile, StoreError, UpbitFramesWarning
from upbit_frames.store import directories, encoding
from upbit_frames.store import reader as folder
from upbit_frames.store.parquet import ParquetStore

NOBODY = 65_534


class FailingSystem:
    """The system's calls, of which the n-th of one kind fails; everything after works again."""

    def __init__(self, name: str, number: int, code: int) -> None:
        self.name, self.left, self.code = name, number, code
        self.failed = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name != self.name:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self.failed = True
                if name == "write":
                    real(args[0], bytes(args[1])[:100])
                raise OSError(self.code, os.strerror(self.code))
            return real(*args, **kwargs)

        return call


@pytest.mark.parametrize(
    ("code", "advice"),
    [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "permissions"), (errno.EIO, "the disk")],
)
@pytest.mark.parametrize(
    ("name", "number"),
    # Opened are the root and the locks' folder, the root and four folders down to the series', and the file.
    [("open", 1), ("open", 2), ("open", 7), ("open", 8), ("write", 1), ("fsync", 1), ("fsync", 2), ("replace", 1)],
)
def test_a_failing_disk_leaves_the_store_as_it_was(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch, name: str, number: int, code: int, advice: str
) -> None:
    for at in range(7):
        store.write(kit.series, *kit.page(at * 10, 10))
    before = {one: (store._folder(kit.series).path / one).read_bytes() for one in kit.names(store, kit.series)}
    system = FailingSystem(name, number, code)
    with monkeypatch.context() as patched:
        patched.setattr(directories, "os", system)
        with pytest.raises(StoreError) as caught:
            store.write(kit.series, *kit.page(70, 10))  # the eighth: all become one file
    assert system.failed
    assert advice in str(caught.value.suggestion)
    assert caught.value.__cause__ is not None
    after = {one: (store._folder(kit.series).path / one).read_bytes() for one in kit.names(store, kit.series)}
    in_place = name == "fsync" and number == 2  # the folder's own turn: the new file is there already
    if not in_place:
        assert after == before
        assert store.covered(kit.series) == [Span(kit.start, kit.start + 70 * kit.minute)]
    assert not [one for one in store._folder(kit.series).path.iterdir() if one.name.startswith(".tmp")]
    store.write(kit.series, *kit.page(70, 10))
    store.compact(kit.series)
    assert len(kit.names(store, kit.series)) == 1
    assert store.count(kit.series, Span(0, kit.start + 80 * kit.minute)) == 80
    assert store.verify() == []


def test_a_system_out_of_handles_is_not_taken_for_damage(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, span = kit.page(0, 10)
    store.write(kit.series, table, span)

    def exhausted(path: str) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    with monkeypatch.context() as patched:
        patched.setattr(encoding.pa, "OSFile", exhausted)
        with pytest.raises(StoreError, match="Too many open files"):
            store.read(kit.series, span)
    assert store.read(kit.series, span).equals(table)
    assert store.problems() == []


@pytest.mark.parametrize(
    "trouble",
    [
        pa.ArrowMemoryError("malloc of size 8192 failed"),
        MemoryError(),
        pa.ArrowNotImplementedError("Support for codec 'lz4' not built"),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        OSError(errno.EACCES, os.strerror(errno.EACCES)),
        OSError(errno.EIO, os.strerror(errno.EIO)),
        OSError(errno.EINTR, os.strerror(errno.EINTR)),
        OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("place", ["footer", "checksums", "rows"])
def test_troubles_of_the_process_set_no_file_aside(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch, trouble: Exception, place: str
) -> None:
    """Second candles older than three months exist nowhere else: only damage may move them."""
    table, span = kit.page(0, 100)
    store.write(kit.series, table, span)
    later, later_span = kit.page(200, 100)
    store.write(kit.series, later, later_span)

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise trouble

    target, name = {
        "footer": (encoding, "read_seal"),
        "checksums": (encoding, "check_groups"),
        "rows": (encoding.pq.ParquetFile, "read_row_groups"),
    }[place]
    everything = Span(0, later_span.end)
    calls: list[Callable[[], Any]] = [
        lambda: store.read(kit.series, everything),
        lambda: store.tail(kit.series, span.end, 5),
        lambda: store.head(kit.series, span.start, 5),
        lambda: store.count(kit.series, Span(span.start + kit.minute, span.end)),
        lambda: store.verify(),
        lambda: store.write(kit.series, table.slice(0, 9), Span(span.start, span.start + 9 * kit.minute), replace=True),
    ]
    if place == "footer":
        calls += [lambda: store.info(kit.series), lambda: store.prune(before=1)]
    for call in calls:
        encoding._forget_all()
        with monkeypatch.context() as patched:
            patched.setattr(target, name, fails)
            with pytest.raises(StoreError) as caught:
                call()
        assert not isinstance(caught.value, CorruptFile)
        assert caught.value.suggestion
    assert store.problems() == []
    assert store.covered(kit.series) == [span, later_span]
    assert store.read(kit.series, everything).equals(pa.concat_tables([table, later]))


def test_where_no_more_threads_are_to_be_had_one_reads(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in range(1, 5):
        store.write(kit.series, *kit.page(0, 100, base=kit.moment(f"2024-0{month}-01")))

    def refused(*args: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert len(store.read(kit.series, Span(0, kit.moment("2025-01-01")))) == 400


def test_a_file_where_a_folder_should_be(tmp_path: Path, kit: Any) -> None:
    (tmp_path / "store").write_text("not a folder")
    store = ParquetStore(tmp_path / "store")
    with pytest.raises(StoreError):
        store.write(kit.series, *kit.page(0, 10))
    assert store.series() == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may reach."""
    folder_ = Path(tempfile.mkdtemp(prefix="uf-disk-"))
    folder_.chmod(0o755)
    yield folder_
    for one in folder_.rglob("*"):
        if one.is_dir():
            one.chmod(0o755)
    shutil.rmtree(folder_)


def in_a_child(work: Callable[[], None], *, as_nobody: bool = False) -> None:
    """Do something in a process of its own, without the rights of root if asked."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if as_nobody and os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stderr.flush()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and users")
forking = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@needs_fork
@forking
def test_a_read_only_folder_is_read_and_not_written(open_folder: Path, kit: Any) -> None:
    store = ParquetStore(open_folder)
    table, span = kit.page(0, 100)
    store.write(kit.series, table, span)
    store.note(kit.series, "a", 1)
    for one in [open_folder, *open_folder.rglob("*")]:
        one.chmod(0o555 if one.is_dir() else 0o444)

    def work() -> None:
        folder._used.clear()
        encoding._forget_all()
        assert store.read(kit.series, span).equals(table)
        assert store.tail(kit.series, span.end, 5).equals(table.slice(95))
        assert store.notes(kit.series) == {"a": 1}
        assert store.series() == [kit.series]
        assert store.verify() == []
        store.write(kit.series, table, span)  # known already: nothing to do
        for act in (
            lambda: store.write(kit.series, *kit.page(200, 10)),
            lambda: store.write(kit.series, table, span, replace=True),
            lambda: store.note(kit.series, "b", 2),
            store.clear,
            lambda: store.prune(max_bytes=0),
        ):
            with pytest.raises(StoreError) as caught:
                act()
            assert "permission" in str(caught.value.suggestion)
        assert store.read(kit.series, span).equals(table)

    in_a_child(work, as_nobody=True)
    assert store.read(kit.series, span).equals(table)


@needs_fork
@forking
def test_damage_in_a_read_only_folder_is_told_and_left_out(open_folder: Path, kit: Any) -> None:
    store = ParquetStore(open_folder)
    store.write(kit.series, *kit.page(0, 100))
    store.write(kit.series, *kit.page(200, 100))
    victim = store._folder(kit.series).path / kit.names(store, kit.series)[0]
    body = victim.read_bytes()
    victim.write_bytes(body[:-5])
    for one in [open_folder, *open_folder.rglob("*")]:
        one.chmod(0o555 if one.is_dir() else 0o444)
    everything = Span(0, kit.start + 300 * kit.minute)

    def work() -> None:
        with pytest.warns(UpbitFramesWarning, match="could not be moved"), pytest.raises(CorruptFile) as caught:
            store.read(kit.series, everything)
        assert "moved_to" not in caught.value.context
        assert store.covered(kit.series) == [kit.page(200, 100)[1]]
        assert len(store.read(kit.series, everything)) == 100

    in_a_child(work, as_nobody=True)
    # Once it is whole again it counts again.
    victim.chmod(0o644)
    victim.write_bytes(body)
    assert len(store.read(kit.series, everything)) == 200


@needs_fork
@forking
def test_the_limit_of_a_file_is_a_full_disk(open_folder: Path, kit: Any) -> None:
    """The kernel itself cuts the write short, as a full disk does."""
    import resource

    store = ParquetStore(open_folder)
    store.write(kit.series, *kit.page(0, 20))

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_500, 2_500))
        with pytest.raises(StoreError, match="full"):
            store.write(kit.series, *kit.page(100, 5_000))
        assert store.covered(kit.series) == [kit.page(0, 20)[1]]
        assert not list(store.path.rglob(".tmp*"))
        store.write(kit.series, *kit.page(100, 10))

    in_a_child(work)
    assert store.count(kit.series, Span(0, kit.start + 200 * kit.minute)) == 30
    assert store.verify() == []
