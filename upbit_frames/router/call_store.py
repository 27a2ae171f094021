"""The store as one call sees it: what is stored, and what this call has fetched itself.

Other threads and processes may clear, prune or repair the store at any moment. What a call fetched
stays with the call until it has returned, so it never has to be fetched twice, and a store that
cannot be used at all costs a warning instead of the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from upbit_frames.core.arrow import slice_time
from upbit_frames.core.intervals import Span, merge, subtract
from upbit_frames.errors import CorruptFile, StoreError
from upbit_frames.runtime.fork import on_fork
from upbit_frames.store.base import Columns, Series, Store
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.results import Counted, Reading
from upbit_frames.store.validation import join

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.store.fetch_lock import FetchLock

__all__ = ["VANISHED_TRIES", "CallStore", "StallGuard", "vanishing_error"]

T = TypeVar("T")

CORRUPT_TRIES = 100  # damaged files set aside in one reading before it fails
VANISHED_TRIES = 20  # times in a row that the store may lose what was just fetched

_warned: set[str] = set()
_warned_lock = threading.Lock()


@on_fork
def _reset_lock() -> None:
    global _warned_lock
    _warned_lock = threading.Lock()


class CallStore:
    """Reads what is stored or was fetched by this call; writes to both.

    Parameters
    ----------
    inner : Store
    write_only : bool
        Read nothing of what is stored, as ``source="rest"`` needs it; what is fetched is stored all
        the same.
    offline : bool
        Nothing can be fetched, so every error of the store is raised, damage included.
    required : bool
        Keep nothing here, because the store is what it is fetched for; its errors are raised.
    columns : tuple of str, optional
        What readings have, ``time`` first; by default every column. What is written has them all.

    Notes
    -----
    Where nothing has to be raised, a store that cannot be listed, read or written is left alone for
    the rest of the call, and :meth:`warning` says so.

    Rows of the archive are kept here only after something has vanished (:meth:`keep_archive`): a file
    can have millions of rows, and the store gives them back in one block of memory.
    """

    def __init__(
        self, inner: Store, *, write_only: bool = False, offline: bool = False, required: bool = False,
        columns: Columns | None = None,
    ) -> None:  # fmt: skip
        self._inner = inner
        self._columns = columns
        self._write_only = write_only
        self._offline = offline
        self._required = required
        self._memory = MemoryStore()
        self._empty = True  # nothing is kept: a warm call, which must be quick
        self._keep_archive = False
        self._failure: StoreError | None = None
        self._warning: str | None = None

    # --- reading ---------------------------------------------------------------------------------

    def covered(self, series: Series) -> list[Span]:
        """Return the ranges of which everything is known here."""
        in_memory = [] if self._empty else self._memory.covered(series)
        nothing: list[Span] = []
        stored = self._read_inner(lambda: self._inner.covered(series), nothing)
        return merge([*stored, *in_memory]) if in_memory else stored

    def read_covered(self, series: Series, span: Span) -> Reading:
        """Read the rows of a range together with the parts of it that are covered."""
        if self._empty:
            return self._read_inner_range(series, span)
        in_memory = self._memory.read_covered(series, span, self._columns)
        if not in_memory.covered:
            return self._read_inner_range(series, span)
        pieces = [(part.start, slice_time(in_memory.table, part)) for part in in_memory.covered]
        covered = list(in_memory.covered)
        for hole in subtract([span], in_memory.covered):
            stored = self._read_inner_range(series, hole)
            pieces.append((hole.start, stored.table))
            covered += stored.covered
        tables = [table for _, table in sorted(pieces, key=lambda piece: piece[0])]
        return Reading(join(series.table, tables, self._columns), merge(covered))

    def count_covered(self, series: Series, span: Span) -> Counted:
        """Count the rows of a range together with the parts of it that are covered."""
        number, in_memory = self._memory.count_covered(series, span)
        covered = list(in_memory)
        for hole in subtract([span], in_memory):
            rows, parts = self._read_inner(partial(self._inner.count_covered, series, hole), Counted(0, []))
            number += rows
            covered += parts
        return Counted(number, merge(covered))

    def tail_covered(self, series: Series, end: int, count: int) -> Reading:
        """Read the last rows before ``end`` of the covered range that reaches up to it."""
        if self._empty:
            return self._read_inner(
                partial(self._inner.tail_covered, series, end, count, self._columns), self._empty_reading(series)
            )
        tables: list[pa.Table] = []
        low, left = end, count
        while left > 0:
            reading = self._memory.tail_covered(series, low, left, self._columns)
            if not reading.covered:
                inner = partial(self._inner.tail_covered, series, low, left, self._columns)
                reading = self._read_inner(inner, reading)
            if not reading.covered:
                break
            tables.insert(0, reading.table)
            low, left = reading.covered[0].start, left - len(reading.table)
        return Reading(join(series.table, tables, self._columns), merge([Span(low, end)]))

    def head_covered(self, series: Series, start: int, count: int) -> Reading:
        """Read the first rows from ``start`` on of the covered range that holds it."""
        if self._empty:
            return self._read_inner(
                partial(self._inner.head_covered, series, start, count, self._columns), self._empty_reading(series)
            )
        tables: list[pa.Table] = []
        high, left = start, count
        while left > 0:
            reading = self._memory.head_covered(series, high, left, self._columns)
            if not reading.covered:
                inner = partial(self._inner.head_covered, series, high, left, self._columns)
                reading = self._read_inner(inner, reading)
            if not reading.covered:
                break
            tables.append(reading.table)
            high, left = reading.covered[0].end, left - len(reading.table)
        return Reading(join(series.table, tables, self._columns), merge([Span(start, high)]))

    def _read_inner_range(self, series: Series, span: Span) -> Reading:
        return self._read_inner(
            partial(self._inner.read_covered, series, span, self._columns), self._empty_reading(series)
        )

    def _empty_reading(self, series: Series) -> Reading:
        return _empty_reading(series, self._columns)

    def _read_inner(self, read: Callable[[], T], nothing: T) -> T:
        if self._write_only or self._failure is not None:
            return nothing
        for attempt in range(CORRUPT_TRIES):
            try:
                return read()
            except CorruptFile:
                # Set aside by now, so it is missing from the next reading and is fetched again.
                if self._offline or attempt == CORRUPT_TRIES - 1:
                    raise
            except StoreError as error:
                self._give_up(error)
                return nothing
        raise AssertionError("unreachable")

    # --- writing ---------------------------------------------------------------------------------

    def write(
        self, series: Series, table: pa.Table, span: Span, *, origin: str = "rest", replace: bool = False
    ) -> None:
        """Make known that inside ``span`` the rows are exactly these, here and in the store.

        Raises
        ------
        StoreError
            If the rows are not fit to be stored, or the store is required and cannot be written.
        """
        keep = not self._required and (self._keep_archive or origin != "archive" or self._failure is not None)
        if keep:
            self._keep(series, table, span, origin, replace)
        elif replace:
            self._memory.forget(series, span)
        if self._failure is not None:
            return
        try:
            self._inner.write(series, table, span, origin=origin, replace=replace)
        except StoreError as error:
            if not keep and not self._required:  # rows that are not fit to be stored are refused here, too
                self._keep(series, table, span, origin, replace)
            self._give_up(error)

    def _keep(self, series: Series, table: pa.Table, span: Span, origin: str, replace: bool) -> None:
        self._memory.write(series, table, span, origin=origin, replace=replace)
        self._empty = False

    def fetch_lock(self, series: Series) -> FetchLock | None:
        """Return the lock with which one process at a time fetches a series, where that is of use."""
        return None if self._write_only or self._failure is not None else self._inner.fetch_lock(series)

    def keep_archive(self) -> None:
        """Keep also what comes from the archive, because the store loses it while it is fetched."""
        self._keep_archive = True

    def compact(self, series: Series) -> None:
        """Merge the small files of a series."""
        self._change_inner(lambda: self._inner.compact(series))

    def notes(self, series: Series) -> dict[str, Any]:
        """Return the small facts kept beside a series."""
        return self._read_inner(lambda: self._inner.notes(series), {})

    def note(self, series: Series, key: str, value: Any) -> None:
        """Keep a small fact beside a series."""
        self._change_inner(lambda: self._inner.note(series, key, value))

    def _change_inner(self, change: Callable[[], None]) -> None:
        if self._failure is None:
            try:
                change()
            except StoreError as error:
                self._give_up(error)

    # --- a store that cannot be used -------------------------------------------------------------

    def _give_up(self, error: StoreError) -> None:
        if self._offline or self._required:
            raise error
        self._failure = error

    def warning(self) -> str | None:
        """Say that the store cannot be used, in one call a process and folder; None where it can."""
        if self._failure is None or self._warning is not None:
            return self._warning or None
        folder = str(self._inner.path)
        with _warned_lock:
            first = folder not in _warned
            _warned.add(folder)
        self._warning = (
            f"the cache in {folder} cannot be used ({self._failure.message}), so what is fetched is not stored; "
            "check the folder and its permissions, or choose another cache_dir"
            if first
            else ""
        )
        return self._warning or None


@lru_cache
def _empty_reading(series: Series, columns: Columns | None) -> Reading:
    return Reading(join(series.table, [], columns), [])


class StallGuard:
    """Notices that a reading gets no further, because the store loses what is fetched."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._best: int | None = None
        self._stalls = 0

    def stalled(self, reached: int) -> bool:
        """Note how far the reading has come; whether that is no further than before.

        Raises
        ------
        StoreError
            After too many times in a row.
        """
        if self._best is None or reached > self._best:
            self._best, self._stalls = reached, 0
            return False
        self._stalls += 1
        if self._stalls >= VANISHED_TRIES:
            raise vanishing_error(self._name)
        return True


def vanishing_error(name: str) -> StoreError:
    """Build the error of a store that loses rows faster than they can be fetched."""
    return StoreError(
        f"the stored rows of {name} vanish as fast as they are fetched ({VANISHED_TRIES} times in a row)",
        suggestion="something clears or prunes the cache all the time; stop it, or choose another cache_dir",
    )
