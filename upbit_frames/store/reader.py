"""Read a series from its folder. Readers take no lock and never see half a change.

Coverage is encoded in the file names, so no file has to be opened for it. A reader that loses a
race (a listed file was merged away before it could be opened) lists again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from upbit_frames.core.intervals import Span, merge
from upbit_frames.errors import CorruptFile, StoreError
from upbit_frames.runtime.clock import Clock
from upbit_frames.runtime.thread_map import thread_map
from upbit_frames.store import atomic_files as files
from upbit_frames.store import encoding, layout, quarantine, replaced
from upbit_frames.store import validation as rows
from upbit_frames.store.base import Columns, Series
from upbit_frames.store.block import Block
from upbit_frames.store.directories import Directory, open_below
from upbit_frames.store.encoding import Damaged, Vanished
from upbit_frames.store.layout import File
from upbit_frames.store.locks import exclusive
from upbit_frames.store.results import Counted, Reading

__all__ = ["SeriesFolder"]

T = TypeVar("T")
MAX_ATTEMPTS = 200  # lost races in a row before the cause must be another
FEW_COLUMNS = 2  # that are handed out as they were decoded: one block of them would only be one more copy
MANY_FILES, MANY_ROWS = 3, 20_000  # from here on threads pay off
TOUCH_SECONDS = 3_600

# Damaged files that could not be moved (read-only store), with the identity that was damaged.
_untrusted: dict[str, Any] = {}
_used: dict[str, float] = {}


class SeriesFolder:
    """A series on the disk.

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
        """List the names in the folder, without damaged files that cannot be moved away."""
        with files.explained("listing the store", self.path):
            names = files.listing(self.path)
        if _untrusted:
            names = [name for name in names if not self._is_untrusted(name)]
        return names

    def path_of(self, file: File) -> str:
        """Return the path of a file."""
        return os.path.join(self._text, file.name)  # noqa: PTH118  called for every file of every read

    def files(self) -> list[File]:
        """Return the effective files in order of time."""
        return self.listed()[0]

    def listed(self) -> tuple[list[File], list[File]]:
        """Return the effective files and the leftovers; see :func:`layout.effective`."""
        names = self.names()
        known, sorted_files = self._listed
        if known != names:  # comparing a hundred thousand names is cheap, sorting them is not
            sorted_files = layout.effective(names)
            self._listed = (names, sorted_files)
        return sorted_files

    def covered(self) -> list[Span]:
        """Return the ranges in which all rows are known."""
        present = self.files()
        known, covered = self._merged
        if known is not present:  # the same list for as long as the names are the same
            covered = merge(file.span for file in present)
            self._merged = (present, covered)
        return list(covered)

    def covering(self, holds: Callable[[Span], bool]) -> tuple[list[File], Span | None]:
        """Return the effective files, and the covered range that satisfies the condition."""
        present = self.files()
        return present, next((span for span in merge(file.span for file in present) if holds(span)), None)

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
        return Counted(sum(self._map_parts(encoding.count_part, parts)), merge(part for _, part in parts))

    def cuts(self, span: Span) -> list[Span]:
        """Cut the covered parts of a range where reading begins anyway: at files and their row groups."""
        return self.retry(lambda: self._cuts(span))

    def _cuts(self, span: Span) -> list[Span]:
        parts = layout.territories(self.files(), span)
        return [cut for cuts in self._map_parts(encoding.cuts, parts, threads=False) for cut in cuts]

    def tail(self, end: int, count: int, columns: Columns | None = None) -> Reading:
        """Read the last rows before ``end``, and say which covered range they end."""
        self.touch()
        return self.retry(lambda: self._read_end(end, count, columns, last=True))

    def head(self, start: int, count: int, columns: Columns | None = None) -> Reading:
        """Read the first rows from ``start`` on, and say which covered range they begin."""
        self.touch()
        return self.retry(lambda: self._read_end(start, count, columns, last=False))

    def rows_of(
        self, parts: list[tuple[File, Span]], columns: Columns | None = None, *, reverify: bool = False
    ) -> pa.Table:
        """Read the rows of parts of files, as :func:`layout.territories` returns them."""
        read = partial(encoding.read_part, columns=columns, reverify=reverify)
        few = columns is not None and len(columns) <= FEW_COLUMNS
        if self.series.kind == "candles" and self._worth_threads(parts) and not few:
            return self._read_into_block(read, parts, columns)
        return rows.join(self.series.table, self._map_parts(read, parts), columns)

    def _read_into_block(
        self, read: Callable[..., pa.Table], parts: list[tuple[File, Span]], columns: Columns | None
    ) -> pa.Table:
        """Decode many candles into a preallocated block, so that the memory of each file is reused for the next."""
        # The footers are mostly cached: threads would wait for each other longer than counting takes.
        counts = self._map_parts(encoding.count_part, parts, threads=False)
        lows = accumulate(counts, initial=0)
        places = {part: (low, count) for (_, part), low, count in zip(parts, lows, counts, strict=False)}
        block = Block(sum(counts), columns)

        def keep(path: str, series: Series, span: Span, part: Span) -> None:
            table = read(path, series, span, part)
            low, count = places[part]
            if len(table) != count:
                raise Vanished(path)  # replaced since it was counted
            block.put(low, table)

        self._map_parts(keep, parts)
        return block.table()

    def read_file(self, file: File) -> pa.Table:
        """Read all rows of a file, with every checksum verified; empty if the file has been removed."""
        try:
            with files.explained("reading the store", self.path):
                return self.rows_of([(file, file.span)], reverify=True)
        except Vanished:
            return rows.empty(self.series.table)

    def footer(self, file: File) -> encoding.Footer:
        """Read the footer of a file.

        Raises
        ------
        CorruptFile
            If it is damaged; the file has been quarantined.
        """
        try:
            with files.explained("reading the store", self.path):
                return encoding.read_footer(self.path_of(file), self.series, file.span)
        except Damaged as damage:
            raise self.damaged_error([(file, damage)]) from damage

    def _read_end(self, moment: int, count: int, columns: Columns | None, *, last: bool) -> Reading:
        if last:
            present, covering = self.covering(lambda span: span.start < moment <= span.end)
            wanted = Span(covering.start if covering else moment, moment)
        else:
            present, covering = self.covering(lambda span: span.start <= moment < span.end)
            wanted = Span(moment, covering.end if covering else moment)
        parts = layout.territories(present, wanted)
        tables: list[pa.Table] = []
        for part in reversed(parts) if last else parts:
            if count <= 0:
                break
            table = self._map_parts(partial(_read_end_of_part, count=count, columns=columns, last=last), [part])[0]
            table = table.slice(max(0, len(table) - count)) if last else table.slice(0, count)
            tables.append(table)
            count -= len(table)
        table = rows.join(self.series.table, tables[::-1] if last else tables, columns)
        return Reading(table, merge([wanted]))

    def retry(self, work: Callable[[], T]) -> T:
        """Repeat the work for as long as it loses races with writers."""
        for attempt in range(MAX_ATTEMPTS):
            try:
                with files.explained("reading the store", self.path):
                    return work()
            except Vanished:
                if attempt > MAX_ATTEMPTS // 4:
                    time.sleep(0.005)
        raise StoreError("the store changes faster than it can be read", suggestion="try again", path=str(self.path))

    def _map_parts(self, work: Callable[..., T], parts: list[tuple[File, Span]], *, threads: bool = True) -> list[T]:
        """Do the work for each part; damaged files are quarantined before the first error is raised."""

        def safely(file_and_part: tuple[File, Span]) -> tuple[T | None, Damaged | None]:
            file, part = file_and_part
            try:
                return work(self.path_of(file), self.series, file.span, part), None
            except Damaged as damage:
                return None, damage

        if not (threads and self._worth_threads(parts)):
            results = [safely(part) for part in parts]
        else:
            results = thread_map(safely, parts)
        damaged = [(file, damage) for (file, _), (_, damage) in zip(parts, results, strict=True) if damage is not None]
        if damaged:
            raise self.damaged_error(damaged)
        return [value for value, _ in results]  # type: ignore[misc]  # None only beside a Damaged

    def _worth_threads(self, parts: list[tuple[File, Span]]) -> bool:
        return len(parts) >= MANY_FILES and self._max_rows(parts) >= MANY_ROWS

    def _max_rows(self, parts: list[tuple[File, Span]]) -> float:
        """Return the most rows that parts of files may hold; infinite where there is no grid and it is unknown."""
        grid = self.series.grid
        return float("inf") if grid is None else sum(part.end - part.start for _, part in parts) / grid.step

    # --- damage ----------------------------------------------------------------------------------

    def damaged_error(self, damaged: list[tuple[File, Damaged]]) -> CorruptFile:
        """Quarantine damaged files and return the error to raise.

        Raises
        ------
        Vanished
            If another writer has replaced or removed them meanwhile.
        """
        outcomes = [(file, str(damage), self._quarantine(file)) for file, damage in damaged]
        removed = [(file, reason, moved) for file, reason, (was_damaged, moved) in outcomes if was_damaged]
        if not removed:
            raise Vanished(damaged[0][0].name)
        file, reason, moved = removed[0]
        return CorruptFile(
            f"a stored file was damaged: {reason}",
            suggestion="retry: the range it covered will be fetched again",
            market=self.series.market,
            interval=self.series.interval,
            span=tuple(file.span),
            moved_to=str(moved) if moved else None,
            files=[file.name for file, _, _ in removed],
        )

    def _quarantine(self, file: File) -> tuple[bool, Path | None]:
        """Check a file under the lock; return whether it is damaged, and its path in the quarantine."""
        try:
            with self.locked():
                reason = self._damage(file)
                if reason is None:
                    return False, None
                with self.directory() as folder:
                    return True, quarantine.set_aside(folder, self.series, file, reason, self.clock.now())
        except (OSError, StoreError):
            # Nothing may be moved here; then at least this process does not read the file again.
            reason = self._damage(file)
            if reason is None:
                return False, None
            names = files.listing(self.path)
            for name in (file.name, *replaced.marked(self.path, names) & replaced.inside(names, file)):
                path = os.fspath(self.path / name)
                with contextlib.suppress(Vanished):
                    _untrusted[path] = encoding.identity_of(path)
            quarantine.announce(self.series, file, reason, None)
            return True, None

    def _damage(self, file: File) -> str | None:
        """Return what is wrong with a file now; None if it is intact or has been removed."""
        try:
            encoding.read_part(self.path_of(file), self.series, file.span, file.span, reverify=True)
        except Damaged as damage:
            return str(damage)
        except Vanished:
            return None
        return None

    def _is_untrusted(self, name: str) -> bool:
        path = os.fspath(self.path / name)
        if path not in _untrusted:
            return False
        try:
            if encoding.identity_of(path) == _untrusted[path]:
                return True
        except Vanished:
            pass
        _untrusted.pop(path, None)
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
        """Record that the series is in use, on disk at most once an hour."""
        path = self._used_path
        now = time.monotonic()
        if now - _used.get(path, -TOUCH_SECONDS) < TOUCH_SECONDS:
            return
        _used[path] = now
        # Only prune() looks at it, and a read-only store is never pruned.
        with contextlib.suppress(OSError, StoreError), self.directory() as folder:
            folder.touch(layout.USED)

    def used_at(self) -> int:
        """Return when the series was last read or written, microseconds UTC; exact to the hour."""
        moments = []
        for name in self.names():
            if name == layout.USED or layout.parse_name(name):
                with files.explained("listing the store", self.path), contextlib.suppress(FileNotFoundError):
                    moments.append((self.path / name).stat().st_mtime_ns // 1_000)
        return max(moments, default=0)


def _read_end_of_part(
    path: str, series: Series, span: Span, part: Span, *, count: int, columns: Columns | None, last: bool
) -> pa.Table:
    """Read enough row groups of a part of a file to hold its first or last rows."""
    footer = encoding.read_footer(path, series, span)
    return encoding.read_part(path, series, span, encoding.window(footer, part, count, last=last), columns=columns)
