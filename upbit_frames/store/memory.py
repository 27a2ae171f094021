"""A store in memory, which ends with its process: for cassettes, tests and throw-away work."""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upbit_frames.core.intervals import Span, intersect, merge, subtract
from upbit_frames.runtime.clock import Clock, SystemClock
from upbit_frames.store import validation as rows
from upbit_frames.store.base import Columns, Series, note_text, selects, sort_key
from upbit_frames.store.pruning import Piece, select
from upbit_frames.store.results import Counted, Finding, Reading, SeriesInfo, StoredFile

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MemoryStore"]


@dataclass
class _SeriesRows:
    """The rows of a series: disjoint ranges in order, each with its table, and the notes."""

    spans: list[Span] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    covered: list[Span] = field(default_factory=list)
    used: int = 0

    def insert(self, span: Span, table: pa.Table) -> None:
        at = bisect_left(self.spans, span)
        self.spans.insert(at, span)
        self.tables.insert(at, table)
        self.covered = merge([*self.covered, span])

    def remove(self, span: Span) -> None:
        """Remove a range; rows outside it stay."""
        touched = [at for at, present in enumerate(self.spans) if present.start < span.end and span.start < present.end]
        parts = [(self.spans[at], self.tables[at]) for at in touched]
        for at in reversed(touched):
            del self.spans[at], self.tables[at]
        self.covered = subtract(self.covered, [span])
        for present, table in parts:
            for rest in subtract([present], [span]):
                self.insert(rest, rows.cut(table, rest))


class MemoryStore:
    """A store with the behaviour of :class:`~upbit_frames.store.parquet.ParquetStore`, in memory.

    Parameters
    ----------
    clock : Clock, optional
        Clock by which :meth:`prune` decides what is old.

    Examples
    --------
    >>> from upbit_frames.core.schema import arrow_schema
    >>> store = MemoryStore()
    >>> series = Series("candles", "KRW-BTC", "1m")
    >>> store.write(series, arrow_schema("candles").empty_table(), Span(0, 60_000_000))
    >>> store.covered(series)
    [Span(start=0, end=60000000)]
    """

    path = None

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._stored: dict[Series, _SeriesRows] = {}
        self._lock = threading.RLock()

    def covered(self, series: Series) -> list[Span]:
        """Return the ranges in which all rows are known: merged, sorted, disjoint."""
        with self._lock:
            stored = self._stored.get(series)
            return [] if stored is None else list(stored.covered)

    def read(self, series: Series, span: Span) -> pa.Table:
        """Return the rows with ``span.start <= time < span.end``, ascending."""
        return self.read_covered(series, span).table

    def read_covered(self, series: Series, span: Span, columns: Columns | None = None) -> Reading:
        """Read the rows of a range together with the parts of it that are covered."""
        with self._lock:
            parts = [rows.choose(table, columns) for table in self._parts(series, span)]
            table = rows.join(series.table, parts, columns)
            return Reading(table, intersect(self.covered(series), [span]))

    def count(self, series: Series, span: Span) -> int:
        """Return the number of rows that :meth:`read` would return."""
        return self.count_covered(series, span).rows

    def count_covered(self, series: Series, span: Span) -> Counted:
        """Count the rows of a range together with the parts of it that are covered."""
        with self._lock:
            number = sum(len(table) for table in self._parts(series, span))
            return Counted(number, intersect(self.covered(series), [span]))

    def _parts(self, series: Series, span: Span) -> Iterator[pa.Table]:
        stored = self._stored.get(series)
        if stored is None:
            return
        stored.used = self._clock.now()
        first = max(0, bisect_left(stored.spans, (span.start,)) - 1)
        for at in range(first, len(stored.spans)):
            present, table = stored.spans[at], stored.tables[at]
            if present.start >= span.end:
                return
            if present.end > span.start and len(table):
                inside = span.start <= present.start and present.end <= span.end
                yield table if inside else rows.cut(table, span)

    def cuts(self, series: Series, span: Span) -> list[Span]:
        """Return the covered parts of a range; any piece of them is read alike."""
        return intersect(self.covered(series), [span])

    def tail(self, series: Series, end: int, count: int) -> pa.Table:
        """Return the last ``count`` rows before ``end`` of the covered range that touches ``end``."""
        return self.tail_covered(series, end, count).table

    def tail_covered(self, series: Series, end: int, count: int, columns: Columns | None = None) -> Reading:
        """Read :meth:`tail` together with the covered range whose last rows they are."""
        with self._lock:
            low = next((span.start for span in self.covered(series) if span.start < end <= span.end), end)
            table, covered = self.read_covered(series, Span(low, end), columns)
        return Reading(table.slice(max(0, len(table) - max(0, count))), covered)

    def head(self, series: Series, start: int, count: int) -> pa.Table:
        """Return the first ``count`` rows from ``start`` on, of the covered range that holds ``start``."""
        return self.head_covered(series, start, count).table

    def head_covered(self, series: Series, start: int, count: int, columns: Columns | None = None) -> Reading:
        """Read :meth:`head` together with the covered range whose first rows they are."""
        with self._lock:
            high = next((span.end for span in self.covered(series) if span.start <= start < span.end), start)
            table, covered = self.read_covered(series, Span(start, high), columns)
        return Reading(table.slice(0, max(0, count)), covered)

    def write(
        self, series: Series, table: pa.Table, span: Span, *, origin: str = "rest", replace: bool = False
    ) -> None:
        """Store the rows of a range; afterwards they are all that is known inside ``span``; see :class:`Store`."""
        table = rows.validate(series, table, span, origin)
        if span.empty:
            return
        with self._lock:
            stored = self._stored.setdefault(series, _SeriesRows())
            stored.used = self._clock.now()
            if replace:
                stored.remove(span)
            for part in subtract([span], self.covered(series)):
                stored.insert(part, rows.cut(table, part))

    def forget(self, series: Series, span: Span) -> None:
        """Remove rows and coverage of a range, as if it had never been written."""
        with self._lock:
            stored = self._stored.get(series)
            if stored is not None:
                stored.remove(span)

    def notes(self, series: Series) -> dict[str, Any]:
        """Return the notes of a series: small JSON values kept beside its rows."""
        with self._lock:
            stored = self._stored.get(series)
            return {} if stored is None else {key: json.loads(text) for key, text in stored.notes.items()}

    def note(self, series: Series, key: str, value: Any) -> None:
        """Store a note, a JSON value, under a key; None removes it."""
        text = note_text(series, key, value)
        with self._lock:
            stored = self._stored.setdefault(series, _SeriesRows())
            stored.notes.pop(key, None)
            if value is not None:
                stored.notes[key] = text

    def fetch_lock(self, series: Series) -> None:
        """Return None: no other process shares the store."""
        return

    def series(self) -> list[Series]:
        """Return every series with stored data."""
        with self._lock:
            return sorted((series for series, stored in self._stored.items() if stored.spans), key=sort_key)

    def info(self, series: Series) -> SeriesInfo:
        """Summarise what is stored of a series; its pieces in memory are counted as files."""
        with self._lock:
            stored = self._stored.get(series) or _SeriesRows()
            filled = [table for table in stored.tables if len(table)]
            return SeriesInfo(
                series,
                rows=sum(len(table) for table in filled),
                files=len(stored.spans),
                bytes=sum(table.nbytes for table in filled),
                covered=tuple(self.covered(series)),
                first=int(rows.times_of(filled[0])[0]) if filled else None,
                last=int(rows.times_of(filled[-1])[-1]) if filled else None,
            )

    def compact(self, series: Series) -> None:
        """Join the tables of each covered range."""
        with self._lock:
            stored = self._stored.get(series)
            if stored is None:
                return
            joined = [(span, self.read(series, span).combine_chunks()) for span in self.covered(series)]
            stored.spans = [span for span, _ in joined]
            stored.tables = [table for _, table in joined]

    def files(self, series: Series, span: Span | None = None) -> list[StoredFile]:
        """Return an empty list: there are no files in memory."""
        return []

    def verify(self, series: Series | None = None, *, repair: bool = False) -> list[Finding]:
        """Return impossible prices as problems; rows in memory have no checksums to verify."""
        return [
            Finding(each, "prices", fault, span=span)
            for each in (self.series() if series is None else [series])
            for span in self.covered(each)
            if (fault := rows.prices(each, self.read(each, span)))
        ]

    def problems(self, series: Series | None = None) -> list[Finding]:
        """Return an empty list: memory has no quarantine."""
        return []

    def clear(self, market: str | None = None, interval: str | None = None, kind: str | None = None) -> int:
        """Remove the series that match all arguments, with their notes; return the bytes freed."""
        with self._lock:
            chosen = [series for series in self._stored if selects(series, market, interval, kind)]
            freed = sum(self.info(series).bytes for series in chosen)
            for series in chosen:
                del self._stored[series]
            return freed

    def prune(
        self,
        *,
        max_bytes: int | None = None,
        before: int | None = None,
        unused_days: float | None = None,
        keep: Iterable[Series] = (),
        force: bool = False,
    ) -> int:
        """Free space; see :class:`Store` for the policies. Return the bytes freed."""
        with self._lock:
            pieces = [
                Piece(series, span, len(table), table.nbytes)
                for series, stored in self._stored.items()
                for span, table in zip(stored.spans, stored.tables, strict=True)
            ]
            used = {series: stored.used for series, stored in self._stored.items()}
            chosen = select(
                pieces, used, self._clock.now(),
                max_bytes=max_bytes, before=before, unused_days=unused_days, keep=keep, force=force,
            )  # fmt: skip
            for piece in chosen:
                self._stored[piece.series].remove(piece.span)
            return sum(piece.bytes for piece in chosen)
