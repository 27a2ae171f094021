"""What the router reaches the world through, and small helpers around it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from upbit_frames.archive.importer import Archive, ArchiveImporter, ImportResult
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.topics import Topic
from upbit_frames.errors import QueryError, StoreError
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.router.candle_pages import CONCURRENCY
from upbit_frames.router.live_rules import Choice, LiveRequest
from upbit_frames.router.plan import SHARED_SOURCES, PlanContext, StoredEdge
from upbit_frames.router.shared_store import Copied, SharedShelf
from upbit_frames.runtime.clock import Clock, ServerTime
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.ttl_cache import TTLCache
from upbit_frames.store.base import RowStore, Series, Store
from upbit_frames.store.results import Reading

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.exchange.wire.message_tables import CachedRows

__all__ = [
    "MAX_CONCURRENT_MARKETS",
    "LiveResult",
    "LiveSource",
    "Ports",
    "fill_from_archive",
    "fill_from_shared",
    "stored_edge",
    "sync_server_time",
]

MAX_CONCURRENT_MARKETS = 8  # series of one call that are worked on side by side
SYNC_TRIES = 6  # requests for the exchange's time until two signs agree


@dataclass
class LiveResult:
    """What the live stream serves, if anything.

    Attributes
    ----------
    choice : Choice
        REST or the stream, and why.
    table : pyarrow.Table or None
        Trades or candles; None where REST has to serve them.
    cached : CachedRows or None
        The same of tickers and books.
    age : float
        Milliseconds since the last frame of the connection.
    requests : int
        REST requests that were needed nevertheless.
    complete : bool
        Of candles: whether the older of those that can still change are included.
    """

    choice: Choice
    table: pa.Table | None = None
    age: float = 0.0
    requests: int = 0
    cached: CachedRows | None = None
    complete: bool = True


class LiveSource(Protocol):
    """The live stream as a channel of the router; :class:`upbit_frames.live.channel.LiveChannel` is it."""

    def decide_candles(self, interval: Interval, market: str, span: Span, source: str) -> Choice:
        """Choose who would serve the candles of a span that can still change; from any thread."""

    async def candles(self, interval: Interval, market: str, span: Span, source: str) -> LiveResult:
        """Serve the candles of a span that can still change."""

    def decide_trades(self, market: str, count: int, source: str) -> Choice:
        """Choose who would serve the newest trades; from any thread."""

    async def trades(self, market: str, count: int, source: str) -> LiveResult:
        """Serve the newest trades."""

    def seed(self, market: str, table: pa.Table, count: int) -> None:
        """Take the newest ``count`` trades from REST, for the stream's to follow on."""

    def cached_quotes(
        self, request: LiveRequest, topics: Sequence[Topic], depth: int | None = None
    ) -> LiveResult | None:
        """Serve tickers or books without waiting, None where they are not cached; from any thread."""

    async def live_quotes(self, request: LiveRequest, topics: Sequence[Topic], depth: int | None = None) -> LiveResult:
        """Serve tickers or books."""


@dataclass
class Ports:
    """Everything the router reaches the world through.

    Attributes
    ----------
    api : RestApi
        Every REST endpoint.
    store, clock, server_time
    archive : Archive or None
        The published files; None where the exchange has none.
    archive_allowed : bool
        Whether they may be used unasked: the user has agreed to their terms.
    shared : SharedShelf or None
        A team's store behind the local one; None where the settings name none.
    rate : float
        Share of the request limit in use, for estimates.
    concurrency : int
        Most requests one series may have under way at once. With 1, the requests do not
        depend on the order in which answers come, as a recording needs it.
    streams : bool
        Whether a stream may be opened unasked. Inside a cassette it may not: when one is worth
        opening depends on the moment, and a recording needs the same requests every time.
    series_locks, sync_lock, lists_cache
        What simultaneous callers share.
    """

    api: RestApi
    store: Store
    clock: Clock
    server_time: ServerTime
    archive: Archive | None = None
    archive_allowed: bool = False
    shared: SharedShelf | None = None
    rate: float = 1.0
    concurrency: int = CONCURRENCY
    streams: bool = True
    series_locks: dict[Series, asyncio.Lock] = field(default_factory=dict)
    sync_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    lists_cache: TTLCache = field(default_factory=TTLCache)

    def archive_for(self, source: str) -> Archive | None:
        """Return the archive, if a call with that source may use it.

        Raises
        ------
        QueryError
            If it was requested and there is none.
        """
        if source == "archive" and self.archive is None:
            raise QueryError(
                "there is no published archive of this exchange",
                suggestion="use source='rest', or set archive_url and archive_listing_url too",
            )
        return self.archive if source == "archive" or (source == "auto" and self.archive_allowed) else None

    def shared_for(self, source: str) -> SharedShelf | None:
        """Return the shared store, if a call with that source looks there.

        Raises
        ------
        QueryError
            If it was requested and there is none.
        """
        if source == "shared" and self.shared is None:
            raise QueryError(
                "source='shared' reads a team's store, and none is set",
                suggestion='uf.configure(shared_store="s3://bucket/prefix") sets it',
            )
        return self.shared if source in SHARED_SOURCES else None

    def plan_context(self, source: str) -> PlanContext:
        """Return what decisions about a call rest on, now."""
        archive = self.archive_for(source) is not None
        return PlanContext(self.server_time.now(), self.rate, self.archive is not None, archive)

    def shared_ranges(self, series: Series, source: str) -> list[Span]:
        """Return what the shared store covers, if a call with that source looks there; blocks, so not for the loop."""
        shared = self.shared_for(source)
        return [] if shared is None else shared.covered(series)

    def series_lock(self, series: Series) -> asyncio.Lock:
        """Return the lock of a series: a second caller waits, and finds the rows stored."""
        return self.series_locks.setdefault(series, asyncio.Lock())


async def sync_server_time(ports: Ports, market: str, progress: Progress) -> None:
    """Settle the exchange's time before anything is taken for over, for to come or for expired.

    Once a process it costs one small request; two where this machine's clock is not right. The newest
    trade stands in for a ``Date`` where answers have none: it cannot be later than the truth.
    """
    async with ports.sync_lock:
        for _ in range(SYNC_TRIES):
            if ports.server_time.settled:
                return
            page = await ports.api.trades(market, count=1)
            progress.requests += 1
            if page.server_time is None and len(page.table):
                ports.server_time.observe(page.table["time"][-1].value, page.received, page.received)


async def fill_from_archive(
    archive: Archive, ports: Ports, store: RowStore, series: Series, missing: list[Span], progress: Progress,
    *, rest_from: int | None,
) -> ImportResult:  # fmt: skip
    """Store what published files can answer."""

    def add_progress(requests: int, rows: int) -> None:
        progress.requests += requests
        progress.expected = max(progress.expected, progress.requests)
        progress.rows += rows

    importer = ArchiveImporter(
        archive, store, series, now=ports.server_time.now(), rate=ports.rate,
        rest_from=rest_from, prefer_files=rest_from is None, on_progress=add_progress,
    )  # fmt: skip
    try:
        return await importer.import_missing(missing)
    except StoreError as error:
        if rest_from is None:
            raise
        return ImportResult(
            rest=missing, warnings=[f"the archive cannot be used: {error.message}. REST serves instead"]
        )


async def fill_from_shared(
    ports: Ports, store: RowStore, series: Series, missing: Sequence[Span], source: str, progress: Progress
) -> Copied:
    """Store what the shared store has of ranges, if a call with that source looks there."""
    shared = ports.shared_for(source)
    if shared is None or not missing:
        return Copied()
    copied: Copied = await in_thread(shared.copy_into, store, series, missing)
    progress.rows += copied.rows
    return copied


def stored_edge(reading: Reading, moment: int) -> StoredEdge:
    """Describe what was read at the end or the start of a range."""
    table, covered = reading
    span = covered[0] if covered else Span(moment, moment)
    if not len(table):
        return StoredEdge(0, span, moment, moment)
    return StoredEdge(len(table), span, table["time"][0].value, table["time"][-1].value)
