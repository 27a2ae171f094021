"""The store on the disk: Parquet files whose names state the range they cover.

See :mod:`upbit_frames.store.layout` for where things lie, :mod:`~upbit_frames.store.reader` for
reading, :mod:`~upbit_frames.store.writer` for writing, :mod:`~upbit_frames.store.encoding` for
what a file is.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upbit_frames.core.intervals import Span
from upbit_frames.errors import StoreError
from upbit_frames.runtime.clock import Clock, SystemClock
from upbit_frames.store import inventory, layout, quarantine
from upbit_frames.store import validation as rows
from upbit_frames.store import writer as writing
from upbit_frames.store.base import Columns, Series, selects
from upbit_frames.store.fetch_lock import FetchLock
from upbit_frames.store.pruning import Piece, select
from upbit_frames.store.reader import SeriesFolder
from upbit_frames.store.results import Counted, Finding, Reading, SeriesInfo, StoredFile

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetStore"]

LOCK_SECONDS = 60.0
MAX_ATTEMPTS = 5


class ParquetStore:
    """A store in a folder, shared safely by threads and processes.

    Parameters
    ----------
    root : Path or str
        The folder; created by the first write. Data of different exchanges need different ones.
    clock : Clock, optional
        Clock by which :meth:`prune` decides what is old, and stamps the files.
    lock_timeout : float
        Seconds to wait for another writer of the same series.

    Notes
    -----
    Reading takes no lock, needs no permission to write, and never sees half a change. Writing is
    durable on return; one lock file per series keeps writers apart, in all processes of the
    machine. Any tool that knows hive partitions reads the files, for instance
    ``pyarrow.dataset.dataset(root / "candles/v1", partitioning="hive")``.

    Examples
    --------
    >>> import tempfile
    >>> from upbit_frames.core.schema import arrow_schema
    >>> store = ParquetStore(tempfile.mkdtemp())
    >>> series = Series("candles", "KRW-BTC", "1m")
    >>> store.write(series, arrow_schema("candles").empty_table(), Span(0, 60_000_000))
    >>> store.covered(series)
    [Span(start=0, end=60000000)]
    """

    def __init__(self, root: Path | str, *, clock: Clock | None = None, lock_timeout: float = LOCK_SECONDS) -> None:
        self._root = Path(root)
        self._clock = clock or SystemClock()
        self._lock_timeout = lock_timeout
        self._folders: dict[Series, SeriesFolder] = {}

    def __repr__(self) -> str:
        return f"ParquetStore({os.fspath(self._root)!r})"

    @property
    def path(self) -> Path:
        """The folder."""
        return self._root

    def _folder(self, series: Series) -> SeriesFolder:
        folder = self._folders.get(series)
        if folder is None:
            folder = SeriesFolder(self._root, series, self._clock, self._lock_timeout)
            self._folders[series] = folder
        return folder

    # --- reading ---------------------------------------------------------------------------------

    def covered(self, series: Series) -> list[Span]:
        """Return the ranges in which all rows are known, from the file names alone."""
        return self._folder(series).covered()

    def read(self, series: Series, span: Span) -> pa.Table:
        """Return the rows with ``span.start <= time < span.end``; see :class:`Store`."""
        return self._folder(series).read(span).table

    def read_covered(self, series: Series, span: Span, columns: Columns | None = None) -> Reading:
        """Read the rows of a range together with the parts of it that are covered."""
        return self._folder(series).read(span, columns)

    def count(self, series: Series, span: Span) -> int:
        """Return the number of rows that :meth:`read` would return, mostly from the files' footers."""
        return self._folder(series).count(span).rows

    def count_covered(self, series: Series, span: Span) -> Counted:
        """Count the rows of a range together with the parts of it that are covered."""
        return self._folder(series).count(span)

    def cuts(self, series: Series, span: Span) -> list[Span]:
        """Cut the covered parts of a range into pieces that are read without decoding rows of another; see `Store`."""
        return self._folder(series).cuts(span)

    def tail(self, series: Series, end: int, count: int) -> pa.Table:
        """Return the last ``count`` rows before ``end`` of the covered range that touches ``end``."""
        return self._folder(series).tail(end, count).table

    def tail_covered(self, series: Series, end: int, count: int, columns: Columns | None = None) -> Reading:
        """Read :meth:`tail` together with the covered range whose last rows they are."""
        return self._folder(series).tail(end, count, columns)

    def head(self, series: Series, start: int, count: int) -> pa.Table:
        """Return the first ``count`` rows from ``start`` on, of the covered range that holds ``start``."""
        return self._folder(series).head(start, count).table

    def head_covered(self, series: Series, start: int, count: int, columns: Columns | None = None) -> Reading:
        """Read :meth:`head` together with the covered range whose first rows they are."""
        return self._folder(series).head(start, count, columns)

    def notes(self, series: Series) -> dict[str, Any]:
        """Return the notes of a series: small JSON values kept beside its rows."""
        return writing.read_notes(self._folder(series))

    # --- writing ---------------------------------------------------------------------------------

    def write(
        self, series: Series, table: pa.Table, span: Span, *, origin: str = "rest", replace: bool = False
    ) -> None:
        """Store the rows of a range; afterwards they are all that is known inside ``span``; see :class:`Store`."""
        table = rows.validate(series, table, span, origin)
        if not span.empty:
            writing.write(self._folder(series), table, span, origin, replace=replace)

    def note(self, series: Series, key: str, value: Any) -> None:
        """Store a note, a JSON value, under a key; None removes it."""
        writing.note(self._folder(series), key, value)

    def compact(self, series: Series) -> None:
        """Bring a series to its resting state: one file per segment and covered range.

        Writing merges small files along the way, so this only matters for segments that stay
        covered in part, such as the current month. Cheap where there is nothing to do.
        """
        writing.compact(self._folder(series))

    def fetch_lock(self, series: Series) -> FetchLock:
        """Return the lock with which only one process at a time fetches a series."""
        return FetchLock(layout.fetch_lock_of(self._root, series))

    # --- looking after it ------------------------------------------------------------------------

    def series(self) -> list[Series]:
        """Return every series with stored data."""
        return [series for series in layout.find_series(self._root) if self._folder(series).files()]

    def info(self, series: Series) -> SeriesInfo:
        """Summarise a series; damaged files met on the way are set aside and left out."""
        return inventory.info(self._folder(series))

    def files(self, series: Series, span: Span | None = None) -> list[StoredFile]:
        """List the files that hold a series; see :class:`Store`."""
        folder = self._folder(series)
        for _ in range(MAX_ATTEMPTS):
            stored = inventory.stored_files(folder, span)
            if all(file.span.end <= after.span.start for file, after in itertools.pairwise(stored)):
                return stored
            writing.compact(folder)  # another program put files here that overlap
        raise StoreError(
            "files of a series go on overlapping", suggestion="see uf.cache.verify()", path=str(folder.path)
        )

    def verify(self, series: Series | None = None, *, repair: bool = False) -> list[Finding]:
        """Read every file again and return the problems.

        Checksums, schema, order, grid, what lies outside the span of a file's name, impossible
        prices, overlaps, leftovers of killed writers (harmless: the next write removes them)
        and files that do not belong here. Damaged files are set aside; what was set aside
        before is listed too. With ``repair`` leftovers are removed and overlaps merged.
        """
        problems: list[Finding] = []
        for each in layout.find_series(self._root) if series is None else [series]:
            folder = self._folder(each)
            faults = inventory.faults(folder)
            if repair:
                faults = writing.repair(folder, faults)
            problems += faults + self.problems(each)
        return problems

    def problems(self, series: Series | None = None) -> list[Finding]:
        """Return the quarantined files as problems, without reading the store again."""
        problems: list[Finding] = []
        for each in layout.find_series(self._root) if series is None else [series]:
            folder = self._folder(each)
            problems += quarantine.findings(folder.path, each, folder.covered())
        return problems

    def clear(self, market: str | None = None, interval: str | None = None, kind: str | None = None) -> int:
        """Remove the series that match all arguments, with notes and quarantined files; return the bytes freed."""
        chosen = [series for series in layout.find_series(self._root) if selects(series, market, interval, kind)]
        return sum(writing.clear(self._folder(series)) for series in chosen)

    def prune(
        self,
        *,
        max_bytes: int | None = None,
        before: int | None = None,
        unused_days: float | None = None,
        keep: Iterable[Series] = (),
        force: bool = False,
    ) -> int:
        """Give back space, whole files at a time; see :class:`Store` for the policies. Bytes freed."""
        pieces: list[Piece] = []
        used: dict[Series, int] = {}
        for series in self.series():
            folder = self._folder(series)
            used[series] = folder.used_at()
            pieces += [Piece(series, file.span, file.rows, file.bytes) for file in inventory.stored_files(folder)]
        chosen = select(
            pieces, used, self._clock.now(),
            max_bytes=max_bytes, before=before, unused_days=unused_days, keep=keep, force=force,
        )  # fmt: skip
        names: dict[Series, set[str]] = {}
        for piece in chosen:
            names.setdefault(piece.series, set()).add(layout.file_name(piece.span))
        return sum(writing.remove_files(self._folder(series), wanted) for series, wanted in names.items())
