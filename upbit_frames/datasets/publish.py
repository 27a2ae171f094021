"""Publishing: files of the local store copied to a store that a team shares.

Safe to repeat and to break off at any moment: an object appears whole or not at all, what is there with the same name
and size is not sent again, and objects that a larger one holds are removed only after it has arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbit_frames.core.intervals import Span
from upbit_frames.errors import StoreError
from upbit_frames.store import layout
from upbit_frames.store.base import Series
from upbit_frames.store.object_store import ObjectStore
from upbit_frames.store.parquet import ParquetStore

__all__ = ["PublishedSeries", "mirror", "publish_series"]

TRIES = 3  # of a series whose files are merged while they are sent


@dataclass(frozen=True)
class PublishedSeries:
    """What publishing did for one series.

    Attributes
    ----------
    series : Series
    sent, bytes : int
        Files, and their size.
    present : int
        Files that were there already.
    removed : int
        Objects that larger ones hold.
    """

    series: Series
    sent: int
    bytes: int
    present: int
    removed: int


def publish_series(
    objects: ObjectStore, store: ParquetStore, series: Series, span: Span | None, tick: Callable[[int], None]
) -> PublishedSeries:
    """Copy the files of one series that overlap a range, merged to their resting state first.

    Raises
    ------
    StoreError
        If the shared store cannot be reached or written, or the local one not be read.
    """
    store.compact(series)  # small files would be merged, and sent again, later
    sent = size = present = 0
    for _ in range(TRIES):
        there = objects.sizes(series)
        gone = False
        for file in store.files(series, span):
            if there.get(file.path.name) == file.bytes:
                present += 1
                continue
            try:
                size += objects.put(series, file.path)
            except FileNotFoundError:
                gone = True  # merged meanwhile
                continue
            sent += 1
            tick(file.bytes)
        if not gone:
            return PublishedSeries(series, sent, size, present, _remove_leftovers(objects, series))
    raise StoreError(f"the files of {series} go on changing while they are published", suggestion="try again later")


def _remove_leftovers(objects: ObjectStore, series: Series) -> int:
    _, leftovers = objects.files(series)
    objects.remove(series, [file.name for file in leftovers])
    return len(leftovers)


def mirror(objects: ObjectStore, folder: Path, wanted: Sequence[Series], span: Span | None) -> None:
    """Copy the objects of series that overlap a range into an empty local folder, laid out as a store."""
    for series in wanted:
        target = layout.folder_of(folder, series)
        target.mkdir(parents=True, exist_ok=True)
        files, _ = objects.files(series)
        for file in files:
            if span is None or (file.span.start < span.end and span.start < file.span.end):
                objects.fetch(series, file, target / file.name)
