"""What a store returns: rows with their coverage, counts, summaries, files and problems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from upbit_frames.core.intervals import Span
from upbit_frames.store.base import Series

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Counted", "Finding", "Reading", "SeriesInfo", "StoredFile"]


@dataclass(frozen=True)
class SeriesInfo:
    """Summary of a stored series.

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
    """A file of a series.

    Attributes
    ----------
    series : Series
    path : Path
    span : Span
        The range it covers: where it has no row, nothing was traded.
    rows, bytes : int
    origins : frozenset of {"rest", "archive", "live"}
        Where its rows are from.
    """

    series: Series
    path: Path
    span: Span
    rows: int
    bytes: int
    origins: frozenset[str]


@dataclass(frozen=True)
class Finding:
    """A problem in a store.

    Attributes
    ----------
    series : Series
    problem : str
        A short stable name: ``corrupt`` (quarantined, and the range it covered is missing),
        ``repaired`` (quarantined, and the range is stored again), ``foreign``, ``overlap``,
        ``prices``, ``leftover`` (harmless; the next write removes it).
    detail : str
        A sentence of explanation.
    path : Path or None
        The file; its present path if it was quarantined.
    span : Span or None
        The range that the file covered.
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
    agree, even if other threads and processes change the store meanwhile.

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
