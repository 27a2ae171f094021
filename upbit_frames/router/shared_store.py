"""The shared store as a shelf between the local store and the network.

What a team has published is copied into the local store, so it is fetched from the exchange once for all of them. The
shelf is a help and never a condition: where it cannot be reached, is slow or holds something damaged, one warning says
so, it is passed over for a while, and the exchange is asked as if there were none.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from upbit_frames.core.intervals import Span, merge
from upbit_frames.core.route import SHARED, Step
from upbit_frames.errors import CorruptFile, UpbitFramesError
from upbit_frames.runtime.clock import Clock
from upbit_frames.store.base import RowStore, Series
from upbit_frames.store.layout import File, territories

if TYPE_CHECKING:
    from upbit_frames.store.object_store import ObjectStore

__all__ = ["Copied", "SharedShelf"]

LISTED = 60.0  # seconds for which a listing counts as current
PASSED_OVER = 300.0  # seconds for which a shelf that failed is left alone


@dataclass
class Copied:
    """What was copied from the shelf.

    Attributes
    ----------
    parts : list of Span
        Ranges that the local store covers now, one for each object that was read.
    rows : int
    warnings : list of str
    """

    parts: list[Span] = field(default_factory=list)
    rows: int = 0
    warnings: list[str] = field(default_factory=list)

    def steps(self, market: str) -> list[Step]:
        """Return the steps of a route that say so."""
        return [Step("shared", SHARED, *part, requests=1, market=market) for part in self.parts]


class SharedShelf:
    """A shared store, read-only. Its methods block, and none raises what the shelf causes.

    Parameters
    ----------
    objects : ObjectStore
    clock : Clock
    """

    def __init__(self, objects: ObjectStore, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self._lock = threading.Lock()
        self._listings: dict[Series, tuple[float, list[File]]] = {}
        self._failed_at: float | None = None
        self._failure = ""

    def covered(self, series: Series) -> list[Span]:
        """Return the ranges that the shelf covers, by a listing at most a minute old; none while it is passed over."""
        return merge(file.span for file in self._files(series))

    def copy_into(self, store: RowStore, series: Series, missing: Sequence[Span]) -> Copied:
        """Copy what the shelf has of ranges into a store.

        Raises
        ------
        StoreError
            If the local store cannot be written.
        """
        copied = Copied()
        wanted = [territory for span in missing for territory in territories(self._files(series), span)]
        for file, part in wanted:
            if self._passed_over():
                break
            try:
                rows, origins = self._objects.read(series, file, part)
            except FileNotFoundError:
                self._forget(series)  # merged away meanwhile: the next call finds what replaced it
                continue
            except CorruptFile as error:
                copied.warnings.append(f"{error.message}; it is passed over")
                self._drop(series, file)
                continue
            except UpbitFramesError as error:
                self._fail(error)
                break
            # Rows of the archive stay marked as such, so that a bundle leaves them out.
            store.write(series, rows, part, origin="archive" if "archive" in origins else min(origins))
            copied.parts.append(part)
            copied.rows += len(rows)
        copied.warnings += self._take_failure()
        return copied

    def _files(self, series: Series) -> list[File]:
        if self._passed_over():
            return []
        with self._lock:
            listed, files = self._listings.get(series, (None, []))
        if listed is not None and self._clock.monotonic() - listed < LISTED:
            return files
        try:
            files, _ = self._objects.files(series)
        except UpbitFramesError as error:
            self._fail(error)
            return []
        with self._lock:
            self._listings[series] = (self._clock.monotonic(), files)
        return files

    def _forget(self, series: Series) -> None:
        with self._lock:
            self._listings.pop(series, None)

    def _drop(self, series: Series, damaged: File) -> None:
        """Leave a damaged file out of the listing for as long as that counts as current."""
        with self._lock:
            if series in self._listings:
                listed, files = self._listings[series]
                self._listings[series] = (listed, [file for file in files if file != damaged])

    def _passed_over(self) -> bool:
        return self._failed_at is not None and self._clock.monotonic() - self._failed_at < PASSED_OVER

    def _fail(self, error: UpbitFramesError) -> None:
        with self._lock:
            if not self._passed_over():
                self._failure = error.message
            self._failed_at = self._clock.monotonic()

    def _take_failure(self) -> list[str]:
        """Return the warning that the shelf is passed over, once for each time that it fails."""
        with self._lock:
            failure, self._failure = self._failure, ""
        return [f"{failure}; it is passed over for {PASSED_OVER / 60:.0f} minutes"] if failure else []
