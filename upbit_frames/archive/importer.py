"""Fills the store from the published archive and says what is left for REST.

The third way, beside candle pages and trade pages, in which a series gets its missing ranges:
look what is published, take the cheapest mix of files, have each verified, read, checked and
stored, and plan again without the files that turned out not to be there or not to be usable.
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

__all__ = ["Archive", "Filled", "Filler"]

T = TypeVar("T")

AHEAD = 8  # files of one series between being asked for and being stored
READING = 2  # files that are rows in memory at the same time, over all series
LISTING_VALID = 600.0  # seconds for which a listing is believed
NOTE = "archive "  # begins the keys of the notes that tell which file rows are from


class ArchivePort(Protocol):
    """What is needed of the archive transport."""

    async def list(self, folder: str) -> dict[str, Listed]:
        """The files of a folder by key."""

    async def digest(self, key: str) -> str | NotPublished:
        """The digest published for a file."""

    async def fetch(self, key: str, expected: str | None = None) -> Download | NotPublished:
        """Have a file verified on disk."""

    async def discard(self, download: Download) -> None:
        """Let go of it."""


@dataclass
class Archive:
    """The archive as the router's ports hold it; one for all series of an exchange.

    Attributes
    ----------
    transport : ArchivePort
    monotonic : function () -> float
        Seconds on a clock that never steps.
    """

    transport: ArchivePort
    monotonic: Callable[[], float]
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READING))
    _listings: dict[str, tuple[float, dict[str, Listed]]] = field(default_factory=dict)

    async def listing(self, folder: str) -> dict[str, Listed]:
        """The files of a folder, asked once in a while only."""
        known = self._listings.get(folder)
        if known is None or self.monotonic() - known[0] > LISTING_VALID:
            known = self._listings[folder] = (self.monotonic(), await self.transport.list(folder))
        return known[1]


@dataclass
class Filled:
    """What came of it.

    Attributes
    ----------
    steps : list of Step
        What the archive answered, with the requests and bytes it took.
    rest : list of Span
        What is left for REST.
    lost : list of Span
        What neither has.
    warnings : list of str
        Files that were there and could not be used.
    """

    steps: list[Step] = field(default_factory=list)
    rest: list[Span] = field(default_factory=list)
    lost: list[Span] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Filler:
    """Fills one series.

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
        Before this moment REST has nothing; None: REST must not be used, so what the archive
        cannot answer is lost, and its failures are raised instead of being warned of.
    prefer_files : bool
        Take a file wherever there is one, even where pages are cheaper.
    told : function (requests, rows)
        Called as the work goes on.
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
        told: Callable[[int, int], None] = lambda requests, rows: None,
    ) -> None:
        self.archive = archive
        self.store = store
        self.series = series
        self.rate = rate
        self.rest_from = rest_from
        self.prefer_files = prefer_files
        self.told = told
        self.published = Published(now)
        self.warnings: list[str] = []
        self.done: list[Portion] = []
        self._unlistable: set[str] = set()
        self._down = False

    # --- filling --------------------------------------------------------------------------------

    async def fill(self, missing: Iterable[Span]) -> Filled:
        """Store what files can answer of the missing ranges.

        Raises
        ------
        StoreError
            If a file cannot be stored.
        SchemaError, ApiError, TransportError
            Only where REST must not be used: if a file cannot be used or had.
        """
        left = merge(missing)
        while True:
            plan = await self._look(left)
            files = [portion for portion in plan if portion.file is not None]
            if not files:
                break
            await self._take(files)
            left = subtract(left, [span for portion in self.done for span in portion.spans])
        return Filled(
            to_steps(self.done, self.series.market),
            merge(span for portion in plan if portion.channel == "rest" for span in portion.spans),
            merge(span for portion in plan if portion.channel == "none" for span in portion.spans),
            self.warnings,
        )

    def plan(self, missing: Iterable[Span]) -> list[Portion]:
        """Who would answer what, from what is known about the archive so far."""
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

    async def _look(self, missing: list[Span]) -> list[Portion]:
        """The plan, after listing the folders of which it takes many files."""
        while True:
            plan = await in_thread(self.plan, missing)
            folders = [one for one in folders_worth_listing(plan, self.published) if one not in self._unlistable]
            if not folders:
                return plan
            for folder in folders:
                try:
                    self.published = self.published.listing(folder, await self.archive.listing(folder))
                    self.told(1, 0)
                except (ApiError, TransportError, SchemaError):
                    # Without a listing the files are simply asked for.
                    self._unlistable.add(folder)

    async def _take(self, portions: list[Portion]) -> None:
        room = asyncio.Semaphore(AHEAD)

        async def one(portion: Portion) -> None:
            async with room:
                if not self._down:
                    await self._one(portion)

        async with TaskGroup() as group:
            for portion in portions:
                group.create_task(one(portion))
        if self._down:
            self.published = Published(0)  # as if nothing were published

    async def _one(self, portion: Portion) -> None:
        assert portion.file is not None  # only such portions are taken
        file = portion.file
        try:
            got = await self.archive.transport.fetch(file.key)
            if isinstance(got, NotPublished):
                self.told(got.requests, 0)
            else:
                rows = await self._keep(file, got)
                self.told(got.requests, rows)
                if rows:
                    taken = 0 if got.kept else got.size
                    self.done.append(replace(portion, requests=got.requests, bytes=taken, rows=rows))
                    return
                self.warnings.append(
                    f"the archive's {file.member} has no row, which nothing confirms, so it was not stored"
                )
        except SchemaError as error:
            self._unusable(error, f"the archive's {file.member} was not used")
        except (ApiError, TransportError) as error:
            if not self._down:
                self._down = True
                self._unusable(error, "the archive is unavailable")
        self.published = self.published.without(file.key)

    def _unusable(self, error: UpbitFramesError, what: str) -> None:
        if self.rest_from is None:
            raise error
        self.warnings.append(f"{what}: {error.message}. REST is asked instead, where it can answer")

    async def _keep(self, file: ArchiveFile, got: Download) -> int:
        """Read, check and store a file; how many rows it has. One without any is not stored."""
        async with self.archive.reading:
            try:
                rows = await in_thread(self._store, file, got.path, got.sha256)
            except SchemaError:
                await self.archive.transport.discard(got)
                raise
        await self.archive.transport.discard(got)
        return rows

    def _store(self, file: ArchiveFile, path: Path, digest: str, renew: bool = False) -> int:
        table = _read(file, path)
        if not len(table):
            return 0
        # Trades always give way to a whole day's file: rows with and without sequential_id must
        # not share a day, not even if another process stores some in this moment.
        self.store.write(self.series, table, file.answers, origin="archive", replace=renew or file.interval is None)
        fact = {"sha256": digest, "start": file.period.start, "end": file.period.end}
        self.store.note(self.series, NOTE + file.stem, fact)
        return len(table)

    # --- corrections ----------------------------------------------------------------------------

    async def corrected(self) -> list[ArchiveFile]:
        """Files whose published digest is no longer the one of what was stored from them."""
        known = await in_thread(self._known)
        published = await asyncio.gather(*(self.archive.transport.digest(file.key) for file, _ in known))
        self.told(len(known), 0)
        return [
            file
            for (file, stored), digest in zip(known, published, strict=True)
            if isinstance(digest, str) and digest != stored
        ]

    async def renew(self, files: Iterable[ArchiveFile]) -> int:
        """Fetch files again and let them replace what is stored of their periods; rows stored.

        Raises
        ------
        SchemaError, ApiError, TransportError
            If one cannot be used or had; what is stored stays as it is.
        """
        rows = 0
        for file in files:
            got = await self.archive.transport.fetch(file.key)
            if isinstance(got, NotPublished):
                continue
            async with self.archive.reading:
                rows += await in_thread(self._store, file, got.path, got.sha256, True)
            await self.archive.transport.discard(got)
        return rows

    def _known(self) -> list[tuple[ArchiveFile, str]]:
        interval = None if self.series.interval is None else INTERVALS[self.series.interval]
        facts = [fact for key, fact in self.store.notes(self.series).items() if key.startswith(NOTE)]
        return [
            (file_of(self.series.market, interval, Span(fact["start"], fact["end"])), fact["sha256"]) for fact in facts
        ]


def _read(file: ArchiveFile, path: Path) -> pa.Table:
    if file.interval is None:
        return trades_zip(path, file.market, file.period)
    table = candles_zip(path, file.market, INTERVALS[file.interval], file.period)
    if file.answers != file.period:
        import pyarrow.compute as pc

        table = table.filter(pc.greater_equal(table["time"].cast("int64"), file.answers.start))
    return table
