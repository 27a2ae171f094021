"""Folders and file names of the store, and the range that a file may span (pure).

``candles/v1/market=KRW-BTC/interval=1m/2024-01-01T000000Z_2024-02-01T000000Z.parquet`` covers the
minutes that start in January 2024: all of them are known, and the rows inside are those in which
something was traded. A range without a single row may be a single file however long it is, for
instance from the epoch up to a market's listing.

Other tools read these folders too, with readers that skip names beginning with a dot or an
underscore and look for names ending in ``.parquet``. All other files are named accordingly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from upbit_frames.core.intervals import INTERVALS, Span, from_micros, to_micros
from upbit_frames.core.schema import SCHEMA_VERSION
from upbit_frames.errors import StoreError, UpbitFramesError
from upbit_frames.store.base import STORED_KINDS, Series, sort_key
from upbit_frames.store.validation import cut, empty, times_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "File", "effective", "file_name", "find_series", "folder_of", "parse_name", "segment_of", "series_of_folders",
    "split",
]  # fmt: skip

VERSION = f"v{SCHEMA_VERSION}"  # a new schema begins folders of its own
SUFFIX = ".parquet"
TEMPORARY = ".tmp-"
NOTES = "_notes.json"
USED = "_used"
SET_ASIDE = "_quarantine"
LOCKS = ".locks"
TRASH = ".trash"

# On file systems that ignore case, "1m" and "1M" would be one folder.
_FOLDER_OF_INTERVAL = {name: "1mo" if name == "1M" else name for name in INTERVALS}
_INTERVAL_OF_FOLDER = {folder: name for name, folder in _FOLDER_OF_INTERVAL.items()}
_MOMENT = r"(\d{4})-(\d\d)-(\d\d)T(\d\d)(\d\d)(\d\d)(?:\.(\d{6}))?Z"
_NAME = re.compile(_MOMENT + "_" + _MOMENT + re.escape(SUFFIX), re.ASCII)


class File(NamedTuple):
    """A file of a series: its name and the range it covers."""

    span: Span
    name: str


def parts_of(series: Series) -> tuple[str, ...]:
    """Return the names of the folders that lead from the store's root to a series."""
    parts = (series.kind, VERSION, f"market={series.market}")
    return parts if series.interval is None else (*parts, f"interval={_FOLDER_OF_INTERVAL[series.interval]}")


def folder_of(root: Path, series: Series) -> Path:
    """Return the folder of a series below the store's root."""
    return root.joinpath(*parts_of(series))


def lock_of(root: Path, series: Series) -> Path:
    """Return the lock file of a series; outside its folder, so that it outlives a cleared folder."""
    parts = [series.kind, series.market]
    if series.interval is not None:
        parts.append(_FOLDER_OF_INTERVAL[series.interval])
    return root / LOCKS / (".".join(parts) + ".lock")


def fetch_lock_of(root: Path, series: Series) -> Path:
    """Return the lock file held by the process that fetches a series."""
    return lock_of(root, series).with_suffix(".fetch")


def find_series(root: Path, kind: str | None = None, interval: str | None = None) -> list[Series]:
    """Return the series whose folders exist, as far as the folders' names are valid.

    With ``kind``, and for candles ``interval``, only these, without a look at the folders of others.
    """
    series: list[Series] = []
    for each in STORED_KINDS if kind is None else (kind,):
        for market in _subfolders(root / each / VERSION, "market="):
            if each != "candles":
                series += _series(each, market, None)
                continue
            if interval is not None:
                series += [one for one in _series(each, market, interval) if folder_of(root, one).is_dir()]
                continue
            for folder in _subfolders(root / each / VERSION / f"market={market}", "interval="):
                if folder in _INTERVAL_OF_FOLDER:
                    series += _series(each, market, _INTERVAL_OF_FOLDER[folder])
    return sorted(series, key=sort_key)


def series_of_folders(names: Iterable[str]) -> list[Series]:
    """Return the series whose folders these are, given relative to a store's root with ``/``.

    Examples
    --------
    >>> [str(series) for series in series_of_folders(["trades/v1/market=KRW-BTC", "other"])]
    ['trades KRW-BTC']
    """
    series: list[Series] = []
    for name in names:
        kind, *parts = name.split("/")
        values = [part.partition("=")[2] for part in parts[1:]]
        if kind in STORED_KINDS and kind != "candles" and len(values) == 1:
            series += _series(kind, values[0], None)
        elif kind == "candles" and len(values) == 2 and values[1] in _INTERVAL_OF_FOLDER:
            series += _series(kind, values[0], _INTERVAL_OF_FOLDER[values[1]])
    wanted = set(names)
    return sorted((stored for stored in series if "/".join(parts_of(stored)) in wanted), key=sort_key)


def _series(kind: str, market: str, interval: str | None) -> list[Series]:
    try:
        return [Series(kind, market, interval)]
    except UpbitFramesError:
        return []  # a folder of another program


def _subfolders(folder: Path, prefix: str) -> list[str]:
    try:
        return [path.name.removeprefix(prefix) for path in folder.iterdir() if path.name.startswith(prefix)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as failed:
        raise StoreError(
            f"{failed.strerror or failed} while listing the store",
            suggestion="check the owner and permissions of the folder, or choose another cache_dir",
            path=str(folder),
        ) from failed


def file_name(span: Span) -> str:
    """Return the name of a file that covers the span.

    Examples
    --------
    >>> file_name(Span(0, 1_500_000))
    '1970-01-01T000000Z_1970-01-01T000001.500000Z.parquet'
    """
    return f"{_moment(span.start)}_{_moment(span.end)}{SUFFIX}"


def _moment(micros: int) -> str:
    text = from_micros(micros).strftime("%Y-%m-%dT%H%M%S")
    return f"{text}.{micros % 1_000_000:06}Z" if micros % 1_000_000 else f"{text}Z"


@lru_cache(maxsize=262_144)
def parse_name(name: str) -> Span | None:
    """Return the range that a file of that name covers; None if the store does not use such names."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    start, end = _micros(match.groups()[:7]), _micros(match.groups()[7:])
    return Span(start, end) if start is not None and end is not None and 0 <= start < end else None


def _micros(texts: tuple[str | None, ...]) -> int | None:
    if texts[-1] == "000000":  # whole seconds have no fraction, so that each moment has a single name
        return None
    year, month, day, hour, minute, second, micros = map(int, (text or 0 for text in texts))
    try:
        return to_micros(datetime(year, month, day, hour, minute, second, micros, UTC))
    except ValueError:
        return None


def effective(names: list[str]) -> tuple[list[File], list[File]]:
    """Return the effective files, sorted, and the leftovers whose range a larger file holds.

    A merge puts the merged file in place before it removes the parts, so a process killed in
    between leaves both. A file inside the span of another is such a leftover.

    Returns
    -------
    present, leftover : list of File
        In ``present`` spans may still overlap in part (only other programs cause that). The earlier
        file is then read for the range that both cover; see :func:`territories`.
    """
    files = [File(span, name) for name in names if (span := parse_name(name)) is not None]
    files.sort(key=lambda file: (file.span.start, -file.span.end))
    present: list[File] = []
    leftover: list[File] = []
    reach = -1
    for file in files:
        if file.span.end > reach:
            present.append(file)
            reach = file.span.end
        else:
            leftover.append(file)
    return present, leftover


def territories(files: list[File], wanted: Span) -> list[tuple[File, Span]]:
    """Return each effective file with the part of ``wanted`` that is read from it; sorted, disjoint."""
    parts = []
    reach = wanted.start
    for file in files:
        part = Span(max(file.span.start, reach), min(file.span.end, wanted.end))
        if not part.empty:
            parts.append((file, part))
            reach = part.end
    return parts


def segment_of(unit: str, micros: int) -> Span:
    """Return the day, month, year or decade that holds a moment."""
    moment = from_micros(micros)
    if unit == "day":
        start = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
        return Span(to_micros(start), to_micros(start + timedelta(days=1)))
    if unit == "month":
        after = (moment.year + moment.month // 12, moment.month % 12 + 1)
        return Span(
            to_micros(datetime(moment.year, moment.month, 1, tzinfo=UTC)), to_micros(datetime(*after, 1, tzinfo=UTC))
        )
    years = 1 if unit == "year" else 10
    first = moment.year - moment.year % years
    return Span(to_micros(datetime(first, 1, 1, tzinfo=UTC)), to_micros(datetime(first + years, 1, 1, tzinfo=UTC)))


def split(series: Series, span: Span, table: pa.Table) -> list[tuple[Span, pa.Table]]:
    """Cut the rows of a span into the files to write.

    Each segment that has rows becomes a file; each range between them becomes a single file
    without rows, however many segments it spans.
    """
    return [
        (part, cut(table, part) if filled else empty(series.table))
        for part, filled in partition(span, segments_with_rows(series, table))
    ]


def partition(span: Span, segments: list[Span]) -> list[tuple[Span, bool]]:
    """Cut a span at the segments given, ascending; True for the parts that lie in one."""
    pieces: list[tuple[Span, bool]] = []
    at = span.start
    for segment in segments:
        part = Span(max(segment.start, span.start), min(segment.end, span.end))
        if at < part.start:
            pieces.append((Span(at, part.start), False))
        pieces.append((part, True))
        at = part.end
    if at < span.end:
        pieces.append((Span(at, span.end), False))
    return pieces


def segments_with_rows(series: Series, table: pa.Table) -> list[Span]:
    """Return the segments in which the table, sorted by time, has rows; ascending."""
    segments: list[Span] = []
    if len(table) == 0:
        return segments
    times = times_of(table)
    row = 0
    while row < len(times):
        segments.append(segment_of(series.segment, int(times[row])))
        row = int(np.searchsorted(times, segments[-1].end, side="left"))
    return segments
