"""What the router reaches the world through, and small helpers around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from upbit_frames.archive.importer import Archive, Filled, Filler
from upbit_frames.core.intervals import Span
from upbit_frames.errors import QueryError, StoreError
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.router.candle_pages import WALKS
from upbit_frames.router.plan import Edge, Situation
from upbit_frames.runtime.clock import Clock, ServerTime
from upbit_frames.runtime.ttl_cache import Shelf
from upbit_frames.store.base import Reading, RowStore, Series, Store

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.exchange.wire.message_tables import Made

__all__ = ["Answer", "Meter", "Ports", "cut", "edge_of", "fill_from_archive", "in_thread", "position", "synchronise"]

T = TypeVar("T")

SYNC_TRIES = 6  # requests for the exchange's time until two signs agree


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
    shelf: Shelf = field(default_factory=Shelf)

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


@dataclass
class Answer:
    """A table and what there is to say about it.

    Attributes
    ----------
    table : pyarrow.Table
        None where ``made`` has it.
    meta : dict
        JSON scalars, lists and dicts only; becomes ``attrs["upbit_frames"]``.
    warnings : list of str
        What the caller should be told.
    made : Made or None
        Where the same may be asked for again: the rows, and what was made of them so far.
    fresh : bool
        Whether the table's memory is nobody else's.
    ends : dict
        Of candles: up to where each market's answer is complete.
    """

    table: pa.Table
    meta: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    made: Made | None = None
    fresh: bool = False
    ends: dict[str, int] = field(default_factory=dict)

    @property
    def arrow(self) -> pa.Table:
        """The table; made now where only the rows were at hand."""
        return self.table if self.made is None else self.made.table


@dataclass
class Meter:
    """How far a long call has come; written on the loop, read by the caller's thread."""

    requests: int = 0
    expected: int = 0
    rows: int = 0
    saved_hint: str = ""


async def in_thread(func: Callable[..., T], *args: Any) -> T:
    """File work must not hold up the loop, which also feeds the streams."""
    return await asyncio.to_thread(func, *args)


async def synchronise(ports: Ports, market: str, meter: Meter) -> None:
    """Settle the exchange's time before anything is taken for over, for to come or for expired.

    Once a process it costs one small request; two where this machine's clock is not right. The newest
    trade stands in for a ``Date`` where answers have none: it cannot be later than the truth.
    """
    async with ports.settling:
        for _ in range(SYNC_TRIES):
            if ports.server_time.settled:
                return
            page = await ports.api.trades(market, count=1)
            meter.requests += 1
            if page.server_time is None and len(page.table):
                ports.server_time.observe(page.table["time"][-1].value, page.received, page.received)


async def fill_from_archive(
    archive: Archive, ports: Ports, store: RowStore, series: Series, missing: list[Span], meter: Meter,
    *, rest_from: int | None,
) -> Filled:  # fmt: skip
    """Store what published files can answer."""

    def told(requests: int, rows: int) -> None:
        meter.requests += requests
        meter.expected = max(meter.expected, meter.requests)
        meter.rows += rows

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


def cut(table: pa.Table, span: Span) -> pa.Table:
    """The rows of a table sorted by time that lie in the span."""
    low, high = position(table, span.start), position(table, span.end)
    return table.slice(low, high - low)


def position(table: pa.Table, moment: int) -> int:
    """How many rows of a table sorted by time are older than the moment."""
    import numpy as np

    times = table["time"].cast("int64").to_numpy()
    return int(np.searchsorted(times, moment, side="left"))
