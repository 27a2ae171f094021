"""What a store is, for everyone who uses one.

A store remembers, per series, which ranges of time are known and which rows lie in them.
"Covered, and there is no row" is knowledge too: it was asked, and nothing had been traded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from upbit_frames.core.intervals import INTERVALS, Interval, Span
from upbit_frames.core.markets import parse_market
from upbit_frames.errors import InvalidInterval, InvalidMarket, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.store.fetch_lock import FetchLock

__all__ = [
    "STORED_KINDS",
    "Columns",
    "Counted",
    "Finding",
    "Reading",
    "RowStore",
    "Series",
    "SeriesInfo",
    "Store",
    "StoredFile",
]

STORED_KINDS = ("candles", "trades")

Columns: TypeAlias = tuple[str, ...]
"""Names of columns of a kind, ``time`` first: what is read where not all of them are needed."""


@dataclass(frozen=True)
class Series:
    """The name of one series. It becomes part of a path, so it is checked when it is made.

    Parameters
    ----------
    kind : {"candles", "trades"}
    market : str
        Upper case, such as ``"KRW-BTC"``.
    interval : str or None
        The interval's name for candles, None for trades.

    Raises
    ------
    StoreError, InvalidMarket, InvalidInterval
        For anything that cannot be the name of a series.

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
                f"{self.kind!r} is not a kind of data that is stored",
                suggestion=f"there are: {', '.join(STORED_KINDS)}",
            )
        if parse_market(self.market) != self.market:
            raise InvalidMarket(
                f"{self.market!r} is not in upper case", suggestion=f"say {parse_market(self.market)!r}"
            )
        if self.kind == "trades" and self.interval is not None:
            raise InvalidInterval("trades have no interval", suggestion="leave it out", interval=self.interval)
        if self.kind == "candles" and self.interval not in INTERVALS:
            raise InvalidInterval(
                f"{self.interval!r} is not the name of an interval",
                suggestion=f"there are: {', '.join(INTERVALS)}",
                interval=self.interval,
            )

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.market, self.interval) if part)

    @property
    def grid(self) -> Interval | None:
        """The interval whose period starts the rows' times must be; None for trades."""
        return None if self.interval is None else INTERVALS[self.interval]

    @property
    def segment(self) -> str:
        """What one resting file holds: ``day``, ``month``, ``year`` or ``decade``."""
        # A day of trades of a large market has about as many rows as some months of minutes.
        return "day" if self.interval is None else INTERVALS[self.interval].segment


@dataclass(frozen=True)
class SeriesInfo:
    """What is stored of one series.

    Attributes
    ----------
    series : Series
    rows, files, bytes : int
    covered : tuple of Span
        Merged and sorted, half open, microseconds UTC.
    first, last : int or None
        Times of the first and the last row (candles: start of the period), microseconds UTC;
        None where no row is stored.
    """

    series: Series
    rows: int
    files: int
    bytes: int
    covered: tuple[Span, ...]
    first: int | None
    last: int | None


@dataclass(frozen=True)
class StoredFile:
    """One file of a series.

    Attributes
    ----------
    series : Series
    path : Path
    span : Span
        What it covers: where it has no row, nothing was traded.
    rows, bytes : int
    """

    series: Series
    path: Path
    span: Span
    rows: int
    bytes: int


@dataclass(frozen=True)
class Finding:
    """Something wrong in a store.

    Attributes
    ----------
    series : Series
    problem : str
        A short stable name: ``corrupt`` (set aside, and what it covered is unknown now),
        ``repaired`` (set aside, and all of it is known again), ``foreign``, ``overlap``,
        ``prices``, ``leftover`` (harmless; the next write removes it).
    detail : str
        What exactly, in a sentence.
    path : Path or None
        The file; for one that was set aside, where it lies now.
    span : Span or None
        What the file covered.
    """

    series: Series
    problem: str
    detail: str
    path: Path | None = None
    span: Span | None = None

    def __str__(self) -> str:
        where = f" [{self.path.name}]" if self.path else ""
        return f"{self.series}: {self.problem}: {self.detail}{where}"


class Reading(NamedTuple):
    """Rows, and the ranges for which they are complete.

    Both come from one listing of the series and from the files that were opened for it, so they
    agree whatever other threads and processes do to the store meanwhile.

    Attributes
    ----------
    table : pyarrow.Table
    covered : list of Span
        Merged, sorted, disjoint.
    """

    table: pa.Table
    covered: list[Span]


class Counted(NamedTuple):
    """A number of rows, and the ranges for which it is complete.

    Attributes
    ----------
    rows : int
    covered : list of Span
        Merged, sorted, disjoint.
    """

    rows: int
    covered: list[Span]


class RowStore(Protocol):
    """What filling a series needs of a store."""

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
    """Rows of many series and what is known of each. Synchronous and safe to use from threads.

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
            Exactly ``arrow_schema(series.kind)``, also when there are no rows.

        Raises
        ------
        CorruptFile
            A file of the span was damaged. It has been set aside (``moved_to``) and no longer
            counts as covered, so what is missing can be computed anew and fetched again.
        """

    def read_covered(self, series: Series, span: Span, columns: Columns | None = None) -> Reading:
        """Read the rows of a range together with the parts of it that are covered.

        With ``columns`` the table has only these, and no others are decoded. Whoever needs a complete
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

    def tail_covered(self, series: Series, end: int, count: int, columns: Columns | None = None) -> Reading:
        """Read :meth:`tail` together with the covered range whose last rows they are.

        ``covered`` is empty where no covered range reaches up to ``end``; else it is one range
        that ends at ``end``.
        """

    def head_covered(self, series: Series, start: int, count: int, columns: Columns | None = None) -> Reading:
        """Read :meth:`head` together with the covered range whose first rows they are.

        ``covered`` is empty where no covered range holds ``start``; else it is one range that
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
            archive is their origin. All inside ``span``.
        span : Span
            An empty one, with no rows, changes nothing.
        origin : {"rest", "archive", "live"}
            Where the rows are from; kept with them.
        replace : bool
            Whether rows already stored inside the span give way. By default what is covered
            stays as it is, and only the rest of the span is taken from ``table``.

        Raises
        ------
        StoreError
            If the rows are not as described: then nothing was written. If they cannot be
            written, for instance because the disk is full: what was known stays known.
        LockTimeout
            If another writer holds the series for too long.
        """

    def notes(self, series: Series) -> dict[str, Any]:
        """Return the notes of a series: small JSON values kept beside its rows."""

    def note(self, series: Series, key: str, value: Any) -> None:
        """Store a note, a JSON value, under a key; None removes it."""

    def fetch_lock(self, series: Series) -> FetchLock | None:
        """The lock with which one process at a time fetches a series; None where the store is in memory."""

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
            If files overlap that other hands put there, and they cannot be merged.
        """

    def verify(self, series: Series | None = None, *, repair: bool = False) -> list[Finding]:
        """Read everything again and tell what is wrong; damaged files are set aside.

        With ``repair`` leftovers of killed writers are removed and overlapping files merged.
        """

    def problems(self, series: Series | None = None) -> list[Finding]:
        """What was found damaged so far and lies set aside, without reading anything again."""

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
        """Give back space, never of what the exchange could not give again unless ``force``.

        Parameters
        ----------
        max_bytes : int, optional
            Remove until no more is left: least recently used series first, of each the oldest
            segments first.
        before : int, optional
            Remove segments that end at or before this moment (microseconds UTC).
        unused_days : float, optional
            Remove series neither read nor written for so long.
        keep : iterable of Series
            Never touch these.
        force : bool
            Also remove second candles older than 90 days and trades older than 7 days, which
            REST no longer serves.

        Returns
        -------
        int
            Bytes freed.
        """


def sort_key(series: Series) -> tuple[str, str, int]:
    """Sorts series by kind, market and length of the interval."""
    order = list(INTERVALS)
    return series.kind, series.market, -1 if series.interval is None else order.index(series.interval)


def selects(series: Series, market: str | None, interval: str | None, kind: str | None) -> bool:
    """Whether a series matches everything that is not None."""
    return (
        (market is None or series.market == market)
        and (interval is None or series.interval == interval)
        and (kind is None or series.kind == kind)
    )


def note_text(series: Series, key: str, value: Any) -> str:
    """A note as JSON.

    Raises
    ------
    StoreError
        If it cannot be said in JSON.
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
