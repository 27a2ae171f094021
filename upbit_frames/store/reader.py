"""Reading one series from its folder. Readers take no lock and never see half a change.

What is covered stands in the file names, so nothing has to be opened for it. A reader that
loses a race (a file it listed was merged away before it could open it) lists again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from upbit_frames.core.intervals import Span, merge
from upbit_frames.errors import CorruptFile, StoreError
from upbit_frames.runtime.clock import Clock
from upbit_frames.store import atomic_files as files
from upbit_frames.store import encoding, layout, quarantine
from upbit_frames.store import validation as rows
from upbit_frames.store.base import Columns, Counted, Reading, Series
from upbit_frames.store.directories import Directory, open_below
from upbit_frames.store.encoding import Damaged, Vanished
from upbit_frames.store.layout import File
from upbit_frames.store.locks import exclusive

__all__ = ["SeriesFolder"]

T = TypeVar("T")
TRIES = 200  # lost races in a row before something else must be wrong
MANY_FILES, MANY_ROWS = 3, 20_000  # from here on threads pay
MOST_THREADS = 8
USED_SECONDS = 3_600

# Damaged files that could not be moved (read-only store), with the identity found damaged.
_shunned: dict[str, Any] = {}
_used: dict[str, float] = {}


class SeriesFolder:
    """One series on the disk.

    Parameters
    ----------
    root : Path
        The store's folder.
    series : Series
    clock : Clock
    lock_timeout : float
        Seconds.
    """

    def __init__(self, root: Path, series: Series, clock: Clock, lock_timeout: float) -> None:
        self.series = series
        self.root = root
        self.path = layout.folder_of(root, series)
        self.clock = clock
        self._lock_path = layout.lock_of(root, series)
        self._lock_timeout = lock_timeout
        self._held = threading.local()
        self._listed: tuple[list[str], tuple[list[File], list[File]]] = ([], ([], []))
        self._merged: tuple[list[File], list[Span]] = ([], [])
        self._text = os.fspath(self.path)
        self._used_path = os.fspath(self.path / layout.USED)

    # --- what is there ---------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every name in the folder, but for damaged files that cannot be moved away."""
        with files.explained("listing the store", self.path):
            names = files.listing(self.path)
        if _shunned:
            names = [name for name in names if not self._is_shunned(name)]
        return names

    def path_of(self, file: File) -> str:
        """Where a file lies."""
        return os.path.join(self._text, file.name)  # noqa: PTH118  called for every file of every read

    def files(self) -> list[File]:
        """The files that count, in order of time."""
        return self.listed()[0]

    def listed(self) -> tuple[list[File], list[File]]:
        """The files that count and the leftovers; see :func:`layout.effective`."""
        names = self.names()
        known, found = self._listed
        if known != names:  # comparing a hundred thousand names is cheap, sorting them is not
            found = layout.effective(names)
            self._listed = (names, found)
        return found

    def covered(self) -> list[Span]:
        """The stretches of which everything is known."""
        present = self.files()
        known, covered = self._merged
        if known is not present:  # the same list for as long as the names are the same
            covered = merge(one.span for one in present)
            self._merged = (present, covered)
        return list(covered)

    def stretch(self, holds: Callable[[Span], bool]) -> tuple[list[File], Span | None]:
        """The files, and the covered stretch that satisfies the condition."""
        found = self.files()
        return found, next((span for span in merge(one.span for one in found) if holds(span)), None)

    # --- reading ---------------------------------------------------------------------------------

    def read(self, span: Span, columns: Columns | None = None) -> Reading:
        """Read the rows of a range, and which parts of it are covered, from one listing."""
        self.touch()
        return self.retry(lambda: self._read(span, columns))

    def _read(self, span: Span, columns: Columns | None) -> Reading:
        parts = layout.territories(self.files(), span)
        return Reading(self.rows_of(parts, columns), merge(part for _, part in parts))

    def count(self, span: Span) -> Counted:
        """Count the rows of a range, and say which parts of it are covered, from one listing."""
        return self.retry(lambda: self._count(span))

    def _count(self, span: Span) -> Counted:
        parts = layout.territories(self.files(), span)
        return Counted(sum(self._each(encoding.count_part, parts)), merge(part for _, part in parts))

    def tail(self, end: int, count: int, columns: Columns | None = None) -> Reading:
        """Read the last rows before ``end``, and say which covered range they end."""
        self.touch()
        return self.retry(lambda: self._edge(end, count, columns, last=True))

    def head(self, start: int, count: int, columns: Columns | None = None) -> Reading:
        """Read the first rows from ``start`` on, and say which covered range they begin."""
        self.touch()
        return self.retry(lambda: self._edge(start, count, columns, last=False))

    def rows_of(
        self, parts: list[tuple[File, Span]], columns: Columns | None = None, *, afresh: bool = False
    ) -> pa.Table:
        """The rows of parts of files, as :func:`layout.territories` gives them."""
        read = partial(encoding.read_part, columns=columns, afresh=afresh)
        if self.series.kind == "candles" and self._many(parts):
            return self._at_once(read, parts, columns)
        return rows.join(self.series.kind, self._each(read, parts), columns)

    def _at_once(
        self, read: Callable[..., pa.Table], parts: list[tuple[File, Span]], columns: Columns | None
    ) -> pa.Table:
        """Many candles in one stretch of memory: what decoding takes for one file serves the next."""
        # Mostly known already: threads would wait for each other longer than that takes.
        counts = self._each(encoding.count_part, parts, threads=False)
        lows = accumulate(counts, initial=0)
        places = {part: (low, count) for (_, part), low, count in zip(parts, lows, counts, strict=False)}
        block = rows.Block(sum(counts), columns)

        def keep(path: str, series: Series, span: Span, part: Span) -> None:
            table = read(path, series, span, part)
            low, count = places[part]
            if len(table) != count:
                raise Vanished(path)  # replaced since it was counted
            block.put(low, table)

        self._each(keep, parts)
        return block.table()

    def read_file(self, file: File) -> pa.Table:
        """All rows of a file, checked anew; none if it is gone."""
        try:
            with files.explained("reading the store", self.path):
                return self.rows_of([(file, file.span)], afresh=True)
        except Vanished:
            return rows.empty(self.series.kind)

    def facts(self, file: File) -> encoding.Facts:
        """What the footer of a file says.

        Raises
        ------
        CorruptFile
            If it is damaged; it has been set aside.
        """
        try:
            with files.explained("reading the store", self.path):
                return encoding.facts_of(self.path_of(file), self.series, file.span)
        except Damaged as damage:
            raise self.discard([(file, damage)]) from damage

    def _edge(self, moment: int, count: int, columns: Columns | None, *, last: bool) -> Reading:
        if last:
            found, stretch = self.stretch(lambda span: span.start < moment <= span.end)
            wanted = Span(stretch.start if stretch else moment, moment)
        else:
            found, stretch = self.stretch(lambda span: span.start <= moment < span.end)
            wanted = Span(moment, stretch.end if stretch else moment)
        parts = layout.territories(found, wanted)
        tables: list[pa.Table] = []
        for part in reversed(parts) if last else parts:
            if count <= 0:
                break
            table = self._each(partial(_outermost, count=count, columns=columns, last=last), [part])[0]
            table = table.slice(max(0, len(table) - count)) if last else table.slice(0, count)
            tables.append(table)
            count -= len(table)
        table = rows.join(self.series.kind, tables[::-1] if last else tables, columns)
        return Reading(table, merge([wanted]))

    def retry(self, work: Callable[[], T]) -> T:
        """Do the work again for as long as it loses races with writers."""
        for attempt in range(TRIES):
            try:
                with files.explained("reading the store", self.path):
                    return work()
            except Vanished:
                if attempt > TRIES // 4:
                    time.sleep(0.005)
        raise StoreError("the store changes faster than it can be read", suggestion="try again", path=str(self.path))

    def _each(self, work: Callable[..., T], parts: list[tuple[File, Span]], *, threads: bool = True) -> list[T]:
        """Do the work for each part; what is damaged is set aside before the first error is raised."""

        def safely(one: tuple[File, Span]) -> tuple[T | None, Damaged | None]:
            file, part = one
            try:
                return work(self.path_of(file), self.series, file.span, part), None
            except Damaged as damage:
                return None, damage

        if not (threads and self._many(parts)):
            results = [safely(one) for one in parts]
        else:
            number = min(len(parts), os.cpu_count() or 1, MOST_THREADS)
            try:
                with ThreadPoolExecutor(number, thread_name_prefix="upbit-frames-read") as pool:
                    results = list(pool.map(safely, parts))
            except RuntimeError:  # the system allows no more threads
                results = [safely(one) for one in parts]
        damaged = [(file, damage) for (file, _), (_, damage) in zip(parts, results, strict=True) if damage is not None]
        if damaged:
            raise self.discard(damaged)
        return [value for value, _ in results]  # type: ignore[misc]  # None only beside a Damaged

    def _many(self, parts: list[tuple[File, Span]]) -> bool:
        return len(parts) >= MANY_FILES and self._at_most(parts) >= MANY_ROWS

    def _at_most(self, parts: list[tuple[File, Span]]) -> float:
        """How many rows parts of files may hold; of trades that is not known."""
        grid = self.series.grid
        return float("inf") if grid is None else sum(part.end - part.start for _, part in parts) / grid.step

    # --- damage ----------------------------------------------------------------------------------

    def discard(self, damaged: list[tuple[File, Damaged]]) -> CorruptFile:
        """Set damaged files aside, and give the error that tells of it.

        Raises
        ------
        Vanished
            If another writer has replaced or removed them meanwhile.
        """
        found = [(file, str(damage), self._set_aside(file)) for file, damage in damaged]
        gone = [(file, reason, moved) for file, reason, (was_damaged, moved) in found if was_damaged]
        if not gone:
            raise Vanished(damaged[0][0].name)
        file, reason, moved = gone[0]
        return CorruptFile(
            f"a stored file was damaged: {reason}",
            suggestion="ask again: what it held will be fetched anew",
            market=self.series.market,
            interval=self.series.interval,
            span=tuple(file.span),
            moved_to=str(moved) if moved else None,
            files=[one.name for one, _, _ in gone],
        )

    def _set_aside(self, file: File) -> tuple[bool, Path | None]:
        """Whether the file is damaged indeed, and where it lies now."""
        try:
            with self.locked():
                reason = self._damage(file)
                if reason is None:
                    return False, None
                with self.directory() as folder:
                    return True, quarantine.set_aside(folder, self.series, file, reason, self.clock.now())
        except (OSError, StoreError):
            # Nothing may be moved here; then at least nobody in this process trusts it again.
            reason = self._damage(file)
            if reason is None:
                return False, None
            path = self.path_of(file)
            with contextlib.suppress(Vanished):
                _shunned[path] = encoding.identity_of(path)
            quarantine.announce(self.series, file, reason, None)
            return True, None

    def _damage(self, file: File) -> str | None:
        """What is wrong with a file now; None if nothing is, or it is gone."""
        try:
            encoding.read_part(self.path_of(file), self.series, file.span, file.span, afresh=True)
        except Damaged as damage:
            return str(damage)
        except Vanished:
            return None
        return None

    def _is_shunned(self, name: str) -> bool:
        path = os.fspath(self.path / name)
        if path not in _shunned:
            return False
        try:
            if encoding.identity_of(path) == _shunned[path]:
                return True
        except Vanished:
            pass
        _shunned.pop(path, None)
        return False

    # --- locks and marks -------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer of the series; may be nested within a thread."""
        if getattr(self._held, "depth", 0):
            yield
            return
        with exclusive(self._lock_path, self._lock_timeout):
            self._held.depth = 1
            try:
                yield
            finally:
                self._held.depth = 0

    def directory(self, *, create: bool = False) -> Directory:
        """Open the folder for changes; see :func:`upbit_frames.store.directories.open_below`."""
        return open_below(self.root, *layout.parts_of(self.series), create=create)

    def touch(self) -> None:
        """Remember that the series is in use; written down at most once an hour."""
        path = self._used_path
        now = time.monotonic()
        if now - _used.get(path, -USED_SECONDS) < USED_SECONDS:
            return
        _used[path] = now
        # Only prune() looks at it, and a read-only store is never pruned.
        with contextlib.suppress(OSError, StoreError), self.directory() as folder:
            folder.touch(layout.USED)

    def used_at(self) -> int:
        """When the series was last read or written, microseconds UTC; within the hour."""
        moments = []
        for name in self.names():
            if name == layout.USED or layout.parse_name(name):
                with files.explained("listing the store", self.path), contextlib.suppress(FileNotFoundError):
                    moments.append((self.path / name).stat().st_mtime_ns // 1_000)
        return max(moments, default=0)


def _outermost(
    path: str, series: Series, span: Span, part: Span, *, count: int, columns: Columns | None, last: bool
) -> pa.Table:
    """Enough of a part of a file to hold its first or last rows."""
    facts = encoding.facts_of(path, series, span)
    return encoding.read_part(path, series, span, encoding.window(facts, part, count, last=last), columns=columns)
