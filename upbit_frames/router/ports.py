"""What the router reaches the world through, and small helpers around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from upbit_frames.archive.importer import Archive, Filled, Filler
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.topics import Topic
from upbit_frames.errors import QueryError, StoreError
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.router.candle_pages import WALKS
from upbit_frames.router.live_rules import Choice, Wish
from upbit_frames.router.plan import Edge, Situation
from upbit_frames.runtime.clock import Clock, ServerTime
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.ttl_cache import TTLCache
from upbit_frames.store.base import Reading, RowStore, Series, Store

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.exchange.wire.message_tables import Made

__all__ = [
    "LiveResult",
    "LiveSource",
    "Ports",
    "edge_of",
    "fill_from_archive",
    "substitute_ports",
    "substituted",
    "sync_server_time",
]

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
    made : Made or None
        The same of tickers and books.
    age : float
        Milliseconds since the last frame of the connection.
    requests : int
        REST requests that were needed nevertheless.
    whole : bool
        Of candles: whether the older of those that can still change are included.
    """

    choice: Choice
    table: pa.Table | None = None
    age: float = 0.0
    requests: int = 0
    made: Made | None = None
    whole: bool = True


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

    def glance(self, wish: Wish, topics: Sequence[Topic], depth: int | None = None) -> LiveResult | None:
        """Serve tickers or books without waiting, None where they are not cached; from any thread."""

    async def present(self, wish: Wish, topics: Sequence[Topic], depth: int | None = None) -> LiveResult:
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
    rate : float
        Share of the request limit in use, for estimates.
    walks : int
        Most requests one series may have under way at once. With one, what is asked does not
        depend on the order in which answers come, as a recording needs it.
    streams : bool
        Whether a stream may be opened unasked. Inside a cassette it may not: when one is worth
        opening depends on the moment, and a recording must be asked the same every time.
    flights, settling, shelf
        What simultaneous callers share.
    """

    api: RestApi
    store: Store
    clock: Clock
    server_time: ServerTime
    archive: Archive | None = None
    archive_allowed: bool = False
    rate: float = 1.0
    walks: int = WALKS
    streams: bool = True
    flights: dict[Series, asyncio.Lock] = field(default_factory=dict)
    settling: asyncio.Lock = field(default_factory=asyncio.Lock)
    shelf: TTLCache = field(default_factory=TTLCache)

    def archive_for(self, source: str) -> Archive | None:
        """The archive, if a call with that source may use it.

        Raises
        ------
        QueryError
            If it was asked for and there is none.
        """
        if source == "archive" and self.archive is None:
            raise QueryError(
                "there is no published archive of this exchange",
                suggestion="use source='rest', or set archive_url and archive_listing_url too",
            )
        return self.archive if source == "archive" or (source == "auto" and self.archive_allowed) else None

    def situation(self, source: str) -> Situation:
        """Return what decisions about a call rest on, now."""
        archive = self.archive_for(source) is not None
        return Situation(self.server_time.now(), self.rate, self.archive is not None, archive)

    def flight(self, series: Series) -> asyncio.Lock:
        """One fetcher a series: whoever comes second finds it stored."""
        return self.flights.setdefault(series, asyncio.Lock())


async def sync_server_time(ports: Ports, market: str, progress: Progress) -> None:
    """Settle the exchange's time before anything is taken for over, for to come or for expired.

    Once a process it costs one small request; two where this machine's clock is not right. The newest
    trade stands in for a ``Date`` where answers have none: it cannot be later than the truth.
    """
    async with ports.settling:
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
) -> Filled:  # fmt: skip
    """Store what published files can answer."""

    def told(requests: int, rows: int) -> None:
        progress.requests += requests
        progress.expected = max(progress.expected, progress.requests)
        progress.rows += rows

    filler = Filler(
        archive, store, series, now=ports.server_time.now(), rate=ports.rate,
        rest_from=rest_from, prefer_files=rest_from is None, told=told,
    )  # fmt: skip
    try:
        return await filler.fill(missing)
    except StoreError as error:
        if rest_from is None:
            raise
        return Filled(rest=missing, warnings=[f"the archive cannot be used: {error.message}. REST is asked instead"])


def edge_of(reading: Reading, moment: int) -> Edge:
    """Describe what was read at the end or the start of a range."""
    table, covered = reading
    span = covered[0] if covered else Span(moment, moment)
    if not len(table):
        return Edge(0, span, moment, moment)
    return Edge(len(table), span, table["time"][0].value, table["time"][-1].value)


# --- replacing the ports, as a cassette does ----------------------------------------------------------

_substitute: Callable[[Config], Ports | None] | None = None


@contextlib.contextmanager
def substitute_ports(factory: Callable[[Config], Ports | None]) -> Iterator[None]:
    """Let every call of the process go through other ports, as a cassette needs it."""
    global _substitute
    before, _substitute = _substitute, factory
    try:
        yield
    finally:
        _substitute = before


def substituted(config: Config) -> Ports | None:
    """Return the ports that replace those of the settings, if there are any."""
    return None if _substitute is None else _substitute(config)
