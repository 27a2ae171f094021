"""Import missing ranges of a series from the published archive into the store.

The third source of history, beside candle pages and trade pages: list what is published, choose
the cheapest mix of files, verify, read, check and store each, and plan again without the files
that turned out to be missing or unusable. Ranges that remain are left for REST.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from upbit_frames.archive import plan as archive_plan
from upbit_frames.archive.catalog import (
    Download,
    Listed,
    NotPublished,
    Portion,
    Published,
    folders_worth_listing,
    to_steps,
)
from upbit_frames.archive.csv_tables import candles_zip, trades_zip
from upbit_frames.archive.files import ArchiveFile, file_of
from upbit_frames.core.intervals import INTERVALS, Span, merge, subtract
from upbit_frames.core.route import Step
from upbit_frames.errors import ApiError, SchemaError, TransportError, UpbitFramesError
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.task_group import TaskGroup
from upbit_frames.store.base import RowStore, Series

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Archive", "ArchiveImporter", "ImportResult"]

T = TypeVar("T")

MAX_IN_FLIGHT = 8  # files of a series between request and storage
MAX_IN_MEMORY = 2  # files decoded in memory at the same time, over all series
LISTING_TTL = 600.0  # seconds for which a listing is used again
NOTE = "archive "  # begins the keys of the notes with the digest of each imported file


class ArchivePort(Protocol):
    """What the importer needs of the archive client."""

    async def list(self, folder: str) -> dict[str, Listed]:
        """Return the files of a folder by key."""

    async def digest(self, key: str) -> str | NotPublished:
        """Return the digest published for a file."""

    async def fetch(self, key: str, expected: str | None = None) -> Download | NotPublished:
        """Download and verify a file."""

    async def discard(self, download: Download) -> None:
        """Delete a downloaded file that is no longer needed."""


@dataclass
class Archive:
    """The archive of an exchange with its cached listings, shared by all series.

    Attributes
    ----------
    transport : ArchivePort
    monotonic : function () -> float
        Seconds on a clock that never steps.
    """

    transport: ArchivePort
    monotonic: Callable[[], float]
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_IN_MEMORY))
    _listings: dict[str, tuple[float, dict[str, Listed]]] = field(default_factory=dict)

    async def listing(self, folder: str) -> dict[str, Listed]:
        """Return the files of a folder, from the cache while the listing is fresh."""
        known = self._listings.get(folder)
        if known is None or self.monotonic() - known[0] > LISTING_TTL:
            known = self._listings[folder] = (self.monotonic(), await self.transport.list(folder))
        return known[1]


@dataclass
class ImportResult:
    """The outcome of an import.

    Attributes
    ----------
    steps : list of Step
        Ranges served by the archive, with the requests and bytes used.
    rest : list of Span
        Ranges left for REST.
    lost : list of Span
        Ranges that neither source has.
    warnings : list of str
        Published files that could not be used.
    """

    steps: list[Step] = field(default_factory=list)
    rest: list[Span] = field(default_factory=list)
    lost: list[Span] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class ArchiveImporter:
    """Imports missing ranges of a series.

    Parameters
    ----------
    archive : Archive
    store : Store
    series : Series
    now : int
        The exchange's time, microseconds.
    rate : float
        Share of the request limit in use.
    rest_from : int or None
        Moment before which REST has no data. None: REST must not be used, so ranges that the
        archive cannot serve are lost, and its failures are raised instead of becoming warnings.
    prefer_files : bool
        Use a file wherever it is published, even where pages are cheaper.
    on_progress : function (requests, rows)
        Called after each file or listing with the requests and rows it took.
    """

    def __init__(
        self,
        archive: Archive,
        store: RowStore,
        series: Series,
        *,
        now: int,
        rate: float = 1.0,
        rest_from: int | None = 0,
        prefer_files: bool = False,
        on_progress: Callable[[int, int], None] = lambda requests, rows: None,
    ) -> None:
        self.archive = archive
        self.store = store
        self.series = series
        self.rate = rate
        self.rest_from = rest_from
        self.prefer_files = prefer_files
        self.on_progress = on_progress
        self.published = Published(now)
        self.warnings: list[str] = []
        self.done: list[Portion] = []
        self._unlistable: set[str] = set()
        self._unavailable = False

    # --- filling --------------------------------------------------------------------------------

    async def import_missing(self, missing: Iterable[Span]) -> ImportResult:
        """Store the missing ranges that files can serve.

        Raises
        ------
        StoreError
            If a file cannot be stored.
        SchemaError, ApiError, TransportError
            Only where REST must not be used: if a file is unusable or unavailable.
        """
        left = merge(missing)
        while True:
            plan = await self._plan_with_listings(left)
            files = [portion for portion in plan if portion.file is not None]
            if not files:
                break
            await self._import_files(files)
            left = subtract(left, [span for portion in self.done for span in portion.spans])
        return ImportResult(
            to_steps(self.done, self.series.market),
            merge(span for portion in plan if portion.channel == "rest" for span in portion.spans),
            merge(span for portion in plan if portion.channel == "none" for span in portion.spans),
            self.warnings,
        )

    def plan(self, missing: Iterable[Span]) -> list[Portion]:
        """Return which source would serve which range, from what is known about the archive so far."""
        market = self.series.market
        if self.series.interval is not None:
            return archive_plan.plan_candle_files(
                market, INTERVALS[self.series.interval], missing, self.published,
                rate=self.rate, rest_from=self.rest_from, prefer_files=self.prefer_files,
            )  # fmt: skip
        return archive_plan.plan_trade_files(
            market, missing, self.store.covered(self.series), self.published,
            rate=self.rate, rest=self.rest_from is not None, prefer_files=self.prefer_files,
        )  # fmt: skip

    async def _plan_with_listings(self, missing: list[Span]) -> list[Portion]:
        """Plan, after listing the folders of which the plan uses many files."""
        while True:
            plan = await in_thread(self.plan, missing)
            folders = [
                folder for folder in folders_worth_listing(plan, self.published) if folder not in self._unlistable
            ]
            if not folders:
                return plan
            for folder in folders:
                try:
                    self.published = self.published.listing(folder, await self.archive.listing(folder))
                    self.on_progress(1, 0)
                except (ApiError, TransportError, SchemaError):
                    # Without a listing each file is simply requested.
                    self._unlistable.add(folder)

    async def _import_files(self, portions: list[Portion]) -> None:
        in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)

        async def import_file(portion: Portion) -> None:
            async with in_flight:
                if not self._unavailable:
                    await self._import_file(portion)

        async with TaskGroup() as group:
            for portion in portions:
                group.create_task(import_file(portion))
        if self._unavailable:
            self.published = Published(0)  # as if nothing were published

    async def _import_file(self, portion: Portion) -> None:
        assert portion.file is not None  # only such portions are imported
        file = portion.file
        try:
            download = await self.archive.transport.fetch(file.key)
            if isinstance(download, NotPublished):
                self.on_progress(download.requests, 0)
            else:
                rows = await self._read_and_store(file, download)
                self.on_progress(download.requests, rows)
                if rows:
                    size = 0 if download.kept else download.size
                    self.done.append(replace(portion, requests=download.requests, bytes=size, rows=rows))
                    return
                self.warnings.append(
                    f"the archive's {file.member} has no rows, which no other source confirms, so it was not stored"
                )
        except SchemaError as error:
            self._unusable(error, f"the archive's {file.member} was not used")
        except (ApiError, TransportError) as error:
            if not self._unavailable:
                self._unavailable = True
                self._unusable(error, "the archive is unavailable")
        self.published = self.published.without(file.key)

    def _unusable(self, error: UpbitFramesError, problem: str) -> None:
        if self.rest_from is None:
            raise error
        self.warnings.append(f"{problem}: {error.message}. REST serves the range instead, where it can")

    async def _read_and_store(self, file: ArchiveFile, download: Download) -> int:
        """Read, check and store a file, unless it has no rows; return how many it has."""
        async with self.archive.reading:
            try:
                rows = await in_thread(self._store, file, download.path, download.sha256)
            except SchemaError:
                await self.archive.transport.discard(download)
                raise
        await self.archive.transport.discard(download)
        return rows

    def _store(self, file: ArchiveFile, path: Path, digest: str, renew: bool = False) -> int:
        table = _read(file, path)
        if not len(table):
            return 0
        # A whole day's file always replaces stored trades: rows with and without sequential_id must
        # not share a day, not even if another process stores some of them at this moment.
        self.store.write(self.series, table, file.answers, origin="archive", replace=renew or file.interval is None)
        provenance = {"sha256": digest, "start": file.period.start, "end": file.period.end}
        self.store.note(self.series, NOTE + file.stem, provenance)
        return len(table)

    # --- corrections ----------------------------------------------------------------------------

    async def corrected(self) -> list[ArchiveFile]:
        """Return the files whose published digest differs from that of the file that was imported."""
        known = await in_thread(self._imported_files)
        published = await asyncio.gather(*(self.archive.transport.digest(file.key) for file, _ in known))
        self.on_progress(len(known), 0)
        return [
            file
            for (file, stored), digest in zip(known, published, strict=True)
            if isinstance(digest, str) and digest != stored
        ]

    async def renew(self, files: Iterable[ArchiveFile]) -> int:
        """Fetch files again and replace what is stored of their periods; return the rows stored.

        Raises
        ------
        SchemaError, ApiError, TransportError
            If a file is unusable or unavailable; the stored rows stay as they are.
        """
        rows = 0
        for file in files:
            download = await self.archive.transport.fetch(file.key)
            if isinstance(download, NotPublished):
                continue
            async with self.archive.reading:
                rows += await in_thread(self._store, file, download.path, download.sha256, True)
            await self.archive.transport.discard(download)
        return rows

    def _imported_files(self) -> list[tuple[ArchiveFile, str]]:
        interval = None if self.series.interval is None else INTERVALS[self.series.interval]
        imported = [note for key, note in self.store.notes(self.series).items() if key.startswith(NOTE)]
        return [
            (file_of(self.series.market, interval, Span(note["start"], note["end"])), note["sha256"])
            for note in imported
        ]


def _read(file: ArchiveFile, path: Path) -> pa.Table:
    if file.interval is None:
        return trades_zip(path, file.market, file.period)
    table = candles_zip(path, file.market, INTERVALS[file.interval], file.period)
    if file.answers != file.period:
        import pyarrow.compute as pc

        table = table.filter(pc.greater_equal(table["time"].cast("int64"), file.answers.start))
    return table
