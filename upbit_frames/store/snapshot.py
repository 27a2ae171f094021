"""A snapshot of stored files that stays readable while writers merge, replace and prune.

The files are linked into a folder of this process, under names of their own: the contents of a stored
file never change, only its name disappears, so a hard link keeps exactly what was listed for as long as
it is needed, without copying. Where the file system has no hard links the files are copied. In that folder
each market has one, which stays until the process ends: removing a folder costs much more than removing a link.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from upbit_frames.core.intervals import Span, merge
from upbit_frames.errors import StoreError
from upbit_frames.runtime.clock import SystemClock
from upbit_frames.runtime.fork import on_fork
from upbit_frames.store import writer
from upbit_frames.store.base import Series
from upbit_frames.store.directories import open_below
from upbit_frames.store.encoding import Vanished
from upbit_frames.store.reader import SeriesFolder

if TYPE_CHECKING:
    from upbit_frames.store.layout import File

__all__ = ["LinkedSeries", "Snapshot", "take_snapshot"]

FOLDER = ".snapshots"
OVERLAP_TRIES = 5
LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class LinkedSeries:
    """The files of a series in a snapshot.

    Attributes
    ----------
    series : Series
    paths : tuple of str
        In order of time.
    spans : tuple of Span
        What each file covers.
    """

    series: Series
    paths: tuple[str, ...]
    spans: tuple[Span, ...]

    @property
    def files(self) -> list[tuple[str, Span]]:
        """Each path with what its file covers."""
        return list(zip(self.paths, self.spans, strict=True))

    @property
    def covered(self) -> list[Span]:
        """The ranges that the files cover, merged and sorted."""
        return merge(self.spans)


class Snapshot:
    """Linked files, removed when the last reference to this object is gone.

    Attributes
    ----------
    parts : list of LinkedSeries
    """

    def __init__(self, parts: list[LinkedSeries]) -> None:
        self.parts = parts
        self._remove = weakref.finalize(self, _remove_links, os.getpid(), self.paths)

    def __deepcopy__(self, memo: object) -> Snapshot:
        # pandas copies what hangs on a frame; the links are the same, and go with the last reference.
        return self

    @property
    def paths(self) -> list[str]:
        """Every file, series after series."""
        return [path for part in self.parts for path in part.paths]

    def close(self) -> None:
        """Remove the links now."""
        self._remove()


def take_snapshot(root: Path, wanted: Iterable[Series], span: Span | None = None) -> Snapshot:
    """Link the files of series that overlap a range; each series as of one listing.

    A file that a writer merged away between listing and linking is listed again, so a series is
    linked whole or not at all.

    Parameters
    ----------
    root : Path
        The store's folder.
    wanted : iterable of Series
        All of one kind and interval: the folders are named after the market alone.
    span : Span, optional
        Only files that overlap it.

    Raises
    ------
    StoreError
        If the store cannot be read, or changes faster than it can be listed.
    """
    if not root.is_dir():
        return Snapshot([LinkedSeries(series, (), ()) for series in wanted])
    links = _Links(_home_of(root))
    try:
        parts = []
        for series in wanted:
            source = SeriesFolder(root, series, SystemClock(), LOCK_SECONDS)
            parts.append(_link_series(source, links, span))
        return Snapshot(parts)
    except BaseException:
        _remove_links(os.getpid(), links.made)
        raise


class _Links:
    """The links of one snapshot: their names begin with one that no other snapshot has."""

    def __init__(self, home: Path) -> None:
        self._home = os.fspath(home)
        self._token = secrets.token_hex(6)
        self.made: list[str] = []

    def path_of(self, series: Series, name: str) -> str:
        """Return where a file of a series is linked."""
        return f"{self._home}{os.sep}market={series.market}{os.sep}{self._token}-{name}"

    def add(self, path: str, target: str) -> None:
        """Link a file, or copy it where links are impossible; what an earlier attempt linked there is replaced."""
        self.made.append(target)
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(target))  # noqa: PTH102, PTH120
        _link(path, target)


def _link_series(source: SeriesFolder, links: _Links, span: Span | None) -> LinkedSeries:
    def link_all() -> list[File]:
        files = [
            file
            for file in source.files()
            if span is None or (file.span.start < span.end and span.start < file.span.end)
        ]
        if any(after.span.start < file.span.end for file, after in itertools.pairwise(files)):
            return files
        for file in files:
            links.add(source.path_of(file), links.path_of(source.series, file.name))
        return files

    for _ in range(OVERLAP_TRIES):
        files = source.retry(link_all)
        if all(file.span.end <= after.span.start for file, after in itertools.pairwise(files)):
            source.touch()
            return LinkedSeries(
                source.series,
                tuple(links.path_of(source.series, file.name) for file in files),
                tuple(file.span for file in files),
            )
        writer.compact(source)  # other hands put files here that overlap
    raise StoreError(
        "files of a series go on overlapping", suggestion="see uf.cache.verify()", path=os.fspath(source.path)
    )


def _link(path: str, target: str) -> None:
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise Vanished(path) from None
    except FileExistsError:
        os.unlink(target)  # noqa: PTH108
        _link(path, target)
    except OSError:  # another file system, or one without links
        try:
            shutil.copyfile(path, target)
        except FileNotFoundError:
            raise Vanished(path) from None


# --- the folders of this process ---------------------------------------------------------------

_guard = threading.Lock()
_homes: dict[Path, tuple[Path, FileLock | None]] = {}  # a lock is held for as long as it is referred to


@on_fork
def _forget_all() -> None:
    # Another thread may have held the lock at the moment of the fork; the folders are the parent's.
    global _guard
    _guard = threading.Lock()
    _homes.clear()


def _home_of(root: Path) -> Path:
    with _guard:
        home = _homes.get(root)
        if home is None or not home[0].is_dir():
            home = _homes[root] = _make_home(root)
    return home[0]


def _make_home(root: Path) -> tuple[Path, FileLock | None]:
    """A folder that this process owns: beside the files, so that they can be linked; its lock says that it lives."""
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    try:
        open_below(root, FOLDER, create=True).close()
        lock = FileLock(root / FOLDER / f"{name}.lock")
        lock.acquire(timeout=0)
        open_below(root, FOLDER, name, create=True).close()
    except OSError:  # the store may be read but not written: links fail there, so files are copied
        home = Path(tempfile.mkdtemp(prefix="upbit-frames-"))
        atexit.register(_remove_folder, os.getpid(), home)
        return home, None
    _sweep(root / FOLDER)
    atexit.register(_leave, os.getpid(), root / FOLDER / name, lock)
    return root / FOLDER / name, lock


def _sweep(folder: Path) -> None:
    """Remove what killed processes left: no one holds its lock."""
    for path in folder.glob("*.lock"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        lock.release()
        path.unlink(missing_ok=True)


def _leave(owner: int, home: Path, lock: FileLock) -> None:
    if os.getpid() == owner:
        shutil.rmtree(home, ignore_errors=True)
        lock.release()
        home.with_suffix(".lock").unlink(missing_ok=True)


def _remove_links(owner: int, paths: Iterable[str]) -> None:
    if os.getpid() == owner:  # a forked child must not remove what its parent reads
        for path in paths:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108


def _remove_folder(owner: int, folder: Path) -> None:
    if os.getpid() == owner:  # a forked child must not remove what its parent reads
        shutil.rmtree(folder, ignore_errors=True)
