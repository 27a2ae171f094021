"""The store's interface: series names and the :class:`Store` protocol.

A store keeps the rows of each series together with its coverage, the ranges in which all rows are
known. "Covered, and there is no row" is knowledge too: the range was fetched, and nothing had been
traded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from upbit_frames.core.intervals import INTERVALS, Interval, Span
from upbit_frames.core.markets import parse_market
from upbit_frames.errors import InvalidInterval, InvalidMarket, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.store.fetch_lock import FetchLock
    from upbit_frames.store.results import Counted, Finding, Reading, SeriesInfo, StoredFile

__all__ = [
    "STORED_KINDS",
    "Columns",
    "RowStore",
    "Series",
    "Store",
]

STORED_KINDS = ("candles", "trades", "orderbook")

_TABLES = {"orderbook": "books"}

Columns: TypeAlias = tuple[str, ...]
"""Names of columns of a kind, ``time`` first: what is read where not all of them are needed."""


@dataclass(frozen=True)
class Series:
    """The name of a series. It becomes part of a path, so the constructor validates it.

    Parameters
    ----------
    kind : {"candles", "trades", "orderbook"}
    market : str
        Upper case, such as ``"KRW-BTC"``.
    interval : str or None
        The interval's name for candles, None for trades and order books.

    Raises
    ------
    StoreError, InvalidMarket, InvalidInterval
        If kind, market or interval cannot be part of the name of a series.

    Examples
    --------
    >>> print(Series("candles", "KRW-BTC", "1m"))
    candles KRW-BTC 1m
    """

    kind: str
    market: str
    interval: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in STORED_KINDS:
            raise StoreError(
                f"kind must be one of {', '.join(STORED_KINDS)}, got {self.kind!r}",
                suggestion="other kinds of data are not stored",
            )
        if parse_market(self.market) != self.market:
            raise InvalidMarket(
                f"{self.market!r} is not in upper case", suggestion=f"say {parse_market(self.market)!r}"
            )
        if self.kind != "candles" and self.interval is not None:
            rows = "trades" if self.kind == "trades" else "order books"
            raise InvalidInterval(f"{rows} have no interval", suggestion="leave it out", interval=self.interval)
        if self.kind == "candles" and self.interval not in INTERVALS:
            raise InvalidInterval(
                f"{self.interval!r} is not the name of an interval",
                suggestion=f"there are: {', '.join(INTERVALS)}",
                interval=self.interval,
            )

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.market, self.interval) if part)

    @property
    def table(self) -> str:
        """The kind of table that its rows are, a key of :data:`upbit_frames.core.schema.KINDS`."""
        return table_of(self.kind)

    @property
    def grid(self) -> Interval | None:
        """The interval whose period starts the rows' times must be; None for trades and order books."""
        return None if self.interval is None else INTERVALS[self.interval]

    @property
    def segment(self) -> str:
        """The period of a fully merged file: ``day``, ``month``, ``year`` or ``decade``."""
        # A day of trades of a large market has about as many rows as some months of minutes.
        return "day" if self.interval is None else INTERVALS[self.interval].segment


class RowStore(Protocol):
    """What importing rows needs of a store."""

    def covered(self, series: Series) -> list[Span]:
        """Return the ranges in which all rows are known: merged, sorted, disjoint."""

    def write(
        self, series: Series, table: pa.Table, span: Span, *, origin: str = "rest", replace: bool = False
    ) -> None:
        """Store the rows of a range; afterwards they are all that is known inside ``span``; see :class:`Store`."""

    def notes(self, series: Series) -> dict[str, Any]:
        """Return the notes of a series: small JSON values kept beside its rows."""

    def note(self, series: Series, key: str, value: Any) -> None:
        """Store a note, a JSON value, under a key; None removes it."""


class Store(RowStore, Protocol):
    """Rows and coverage of many series. Synchronous and safe to use from threads.

    Times are microseconds since the epoch, UTC; spans are half open.
    """

    @property
    def path(self) -> Path | None:
        """The folder, or None for a store in memory."""

    def covered(self, series: Series) -> list[Span]:
        """Return the ranges in which all rows are known: merged, sorted, disjoint."""

    def read(self, series: Series, span: Span) -> pa.Table:
        """Return the rows with ``span.start <= time < span.end``, ascending.

        Returns
        -------
        pyarrow.Table
            Exactly ``arrow_schema(series.table)``, also when there are no rows.

        Raises
        ------
        CorruptFile
            A file of the span was damaged. It has been quarantined (``moved_to``) and no longer
            counts as covered, so the missing range can be computed and fetched again.
        """

    def read_covered(self, series: Series, span: Span, columns: Columns | None = None) -> Reading:
        """Read the rows of a range together with the parts of it that are covered.

        With ``columns`` the table has only these, and no others are decoded. Callers that need a complete
        answer reads with this: the store may have changed since :meth:`covered` was called, and only
        what this returns belongs together.

        Raises
        ------
        CorruptFile
            As for :meth:`read`.
        """

    def count(self, series: Series, span: Span) -> int:
        """Return the number of rows that :meth:`read` would return."""

    def count_covered(self, series: Series, span: Span) -> Counted:
        """Count the rows of a range together with the parts of it that are covered."""

    def cuts(self, series: Series, span: Span) -> list[Span]:
        """Cut the covered parts of a range into pieces that are read without decoding many rows of another.

        Ascending and disjoint; together they are what is covered of the range. Whoever reads a range in such pieces
        needs the memory of one of them, and may leave out those that are of no use.
        """

    def tail_covered(self, series: Series, end: int, count: int, columns: Columns | None = None) -> Reading:
        """Read :meth:`tail` together with the covered range whose last rows they are.

        ``covered`` is empty where no covered range reaches up to ``end``; else it is a single range
        that ends at ``end``.
        """

    def head_covered(self, series: Series, start: int, count: int, columns: Columns | None = None) -> Reading:
        """Read :meth:`head` together with the covered range whose first rows they are.

        ``covered`` is empty where no covered range holds ``start``; else it is a single range that
        begins at ``start``.
        """

    def tail(self, series: Series, end: int, count: int) -> pa.Table:
        """Return the last ``count`` rows before ``end`` of the covered range that touches ``end``.

        Fewer if the range holds fewer; none if no range reaches up to ``end``.
        """

    def head(self, series: Series, start: int, count: int) -> pa.Table:
        """Return the first ``count`` rows from ``start`` on, of the covered range that holds ``start``."""

    def write(
        self, series: Series, table: pa.Table, span: Span, *, origin: str = "rest", replace: bool = False
    ) -> None:
        """Store the rows of a range; afterwards they are all that is known inside ``span``. Durable on return.

        Parameters
        ----------
        series : Series
        table : pyarrow.Table
            Of the kind's schema. Candles strictly ascending in time, on the interval's grid;
            trades ascending and unique in (time, sequential_id), or (time, seq) where the
            archive is their origin; order books ascending in time, several may have the same. All
            inside ``span``.
        span : Span
            An empty span, with no rows, changes nothing.
        origin : {"rest", "archive", "live"}
            Where the rows are from; kept with them.
        replace : bool
            Whether rows already stored inside the span are replaced. By default covered ranges
            stay as they are, and only the rest of the span is taken from ``table``.

        Raises
        ------
        StoreError
            If the rows are not as described: nothing was written. If they cannot be written,
            for instance because the disk is full: rows and coverage are as before.
        LockTimeout
            If another writer holds the series for too long.
        """

    def notes(self, series: Series) -> dict[str, Any]:
        """Return the notes of a series: small JSON values kept beside its rows."""

    def note(self, series: Series, key: str, value: Any) -> None:
        """Store a note, a JSON value, under a key; None removes it."""

    def fetch_lock(self, series: Series) -> FetchLock | None:
        """Return the lock with which only one process at a time fetches a series; None where the store is in memory."""

    def series(self) -> list[Series]:
        """Return every series with stored data, sorted by kind, market and interval."""

    def info(self, series: Series) -> SeriesInfo:
        """Summarise what is stored of a series."""

    def compact(self, series: Series) -> None:
        """Bring a series to its resting state: one file per segment and covered range."""

    def files(self, series: Series, span: Span | None = None) -> list[StoredFile]:
        """List the files that hold a series, for other engines to read; none for memory.

        Parameters
        ----------
        series : Series
        span : Span, optional
            Only files that overlap it.

        Returns
        -------
        list of StoredFile
            In order of time, without leftovers of merges, and none overlaps another.

        Raises
        ------
        StoreError
            If files added by other programs overlap, and they cannot be merged.
        """

    def verify(self, series: Series | None = None, *, repair: bool = False) -> list[Finding]:
        """Read all rows again and return the problems; damaged files are quarantined.

        With ``repair`` leftovers of killed writers are removed and overlapping files merged.
        """

    def problems(self, series: Series | None = None) -> list[Finding]:
        """Return the quarantined files as problems, without reading the store again."""

    def clear(self, market: str | None = None, interval: str | None = None, kind: str | None = None) -> int:
        """Remove the series that match all arguments, with their notes; return the bytes freed."""

    def prune(
        self,
        *,
        max_bytes: int | None = None,
        before: int | None = None,
        unused_days: float | None = None,
        keep: Iterable[Series] = (),
        force: bool = False,
    ) -> int:
        """Free space; rows that the exchange no longer serves are kept unless ``force``.

        Parameters
        ----------
        max_bytes : int, optional
            Remove until at most this is left: least recently used series first, of each the oldest
            segments first.
        before : int, optional
            Remove segments that end at or before this moment (microseconds UTC).
        unused_days : float, optional
            Remove series neither read nor written for that many days.
        keep : iterable of Series
            Never remove these.
        force : bool
            Also remove second candles older than 90 days and trades older than 7 days, which
            REST no longer serves.

        Returns
        -------
        int
            Bytes freed.
        """


def table_of(kind: str) -> str:
    """Return the kind of table that the rows of a stored kind are.

    An order book is stored as a row with lists, and served by REST as a table of levels.

    Examples
    --------
    >>> table_of("trades"), table_of("orderbook")
    ('trades', 'books')
    """
    return _TABLES.get(kind, kind)


def sort_key(series: Series) -> tuple[str, str, int]:
    """Return the key that sorts series by kind, market and length of the interval."""
    order = list(INTERVALS)
    return series.kind, series.market, -1 if series.interval is None else order.index(series.interval)


def selects(series: Series, market: str | None, interval: str | None, kind: str | None) -> bool:
    """Return whether a series matches all arguments that are not None."""
    return (
        (market is None or series.market == market)
        and (interval is None or series.interval == interval)
        and (kind is None or series.kind == kind)
    )


def note_text(series: Series, key: str, value: Any) -> str:
    """Return a note as JSON.

    Raises
    ------
    StoreError
        If it cannot be represented in JSON.
    """
    try:
        if not isinstance(key, str):
            raise TypeError(f"the key {key!r} is not a str")
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as failed:
        raise StoreError(
            f"the note {key!r} of {series} cannot be kept: {failed}",
            suggestion="notes are JSON: text, numbers, lists and dicts",
        ) from failed
