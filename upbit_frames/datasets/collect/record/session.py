"""A recording on the background loop: subscribe, keep rows for a few seconds, write them, repair what is missing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from upbit_frames.core.intervals import Span
from upbit_frames.core.topics import Topic, interval_of
from upbit_frames.datasets.collect.record.buffer import TopicBuffer
from upbit_frames.datasets.collect.record.repair import repair
from upbit_frames.datasets.collect.record.writing import SeriesWriter
from upbit_frames.errors import TransportError, UpbitFramesError
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import Row, type_of
from upbit_frames.live.hub.connection_clock import AHEAD
from upbit_frames.live.hub.gaps import Gap, GapLog
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.telemetry import telemetry
from upbit_frames.store.base import Series

__all__ = ["RecordQuery", "RecordSession", "series_of"]

log = logging.getLogger("upbit_frames.datasets.collect")

FLUSH = 2.0  # seconds between two writes: what a killed recorder loses
REPAIR = 10.0  # seconds between two looks for holes
LAST_REPAIR = 10.0  # seconds that the end of a recording may take for repairs
MOST_ROWS = 40_000  # kept in memory, some 100 MB if all of them are order books
STABLE = 60.0  # seconds after which a subscription counts as good


@dataclass(frozen=True)
class RecordQuery:
    """What is recorded, checked.

    Attributes
    ----------
    markets : tuple of str
    types : tuple of str
        Wire names, such as ``trade``.
    every : int
        Of order books: keep the last of each such period, microseconds; 0 for all.
    """

    markets: tuple[str, ...]
    types: tuple[str, ...]
    every: int = 0

    @property
    def topics(self) -> frozenset[Topic]:
        """What to subscribe to."""
        return frozenset(Topic(type_, market) for type_ in self.types for market in self.markets)


def series_of(type_: str, market: str) -> Series:
    """Return the series to which the rows of a topic belong."""
    interval = interval_of(type_)
    if interval is not None:
        return Series("candles", market, interval.name)
    return Series("trades" if type_ == "trade" else "orderbook", market)


class _Gaps(GapLog):
    """Passes each gap to the buffers, as it opens."""

    def __init__(self, opened: Callable[[Gap], None]) -> None:
        super().__init__()
        self._opened = opened

    def append(self, gap: Gap) -> None:
        super().append(gap)
        self._opened(gap)


class RecordSession:
    """A recording on the background loop.

    Parameters
    ----------
    query : RecordQuery
    ports : Ports
    open_hub : coroutine function () -> Hub
        Also checks that the markets exist.
    keep_list : coroutine function, optional
        Keeps the list of markets of the day.

    Attributes
    ----------
    writers : dict of (str, str) to SeriesWriter
        By type and market.
    gaps : GapLog
    received, lost, repaired : int
        Rows of the stream; rows for which there was no room; rows fetched over REST for holes.
    reached : int
        Up to when the exchange's clock is known to have come, microseconds UTC; 0 before the first frame.
    closed : bool
    error : UpbitFramesError or None
        Why the stream is down, or why the recording ended.
    """

    def __init__(
        self, query: RecordQuery, ports: Ports, open_hub: Callable[[], Awaitable[Hub]],
        keep_list: Callable[[], Awaitable[object]] | None = None,
    ) -> None:  # fmt: skip
        self.query = query
        self.ports = ports
        self.gaps: GapLog = _Gaps(self._gap_opened)
        self.received = self.lost = self.repaired = self.invalid = 0
        self.reached = 0
        self.closed = False
        self.error: UpbitFramesError | None = None
        keys = [(type_, market) for type_ in query.types for market in query.markets]
        self._buffers = {key: TopicBuffer(series_of(*key), query.every if key[0] == "orderbook" else 0) for key in keys}
        self.writers = {key: SeriesWriter(ports.store, series_of(*key)) for key in keys}
        self._open_hub = open_hub
        self._keep_list = keep_list
        self._hub: Hub | None = None
        self._subscriber: Subscriber | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._unserved: dict[Series, set[Span]] = {}
        self._writing = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()

    # --- life -----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Subscribe; return when the connection is open.

        Raises
        ------
        MarketNotFound
        UpbitFramesError
            If no connection can be opened.
        """
        self._hub = await self._open_hub()
        await self._subscribe(self._hub)
        self._tasks = [
            asyncio.get_running_loop().create_task(self._guarded(work))
            for work in (self._stream(self._hub), self._flush_now_and_then(), self._repair_now_and_then())
        ]

    async def aclose(self) -> None:
        """Unsubscribe, write everything that is known, repair what REST serves; may be called twice."""
        if self.closed:
            await self.ended.wait()
            return
        self.closed = True
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            if self._hub is not None and self._subscriber is not None:
                self._hub.unsubscribe(self._subscriber)
                self._take(self._subscriber.take_nowait())
            await self.flush(last=True)
            for buffer in self._buffers.values():
                buffer.drop()  # trades and candles that are not known to be complete yet; REST serves them
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_REPAIR):
                    await self._repair()
        finally:
            self.ended.set()

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Run a part of the recording; a defect ends it, with everything written."""
        try:
            await work
        except Exception as defect:
            log.exception("recording %s failed", ", ".join(self.query.markets))
            self.error = TransportError(f"recording failed in an unforeseen way: {defect!r}")
            self._spawn_close()

    def _spawn_close(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self.aclose())

    @property
    def state(self) -> str:
        """Of the stream: open, waiting, connecting …; closed when the recording has ended."""
        if self.closed:
            return "closed"
        subscribed = self._hub is not None and self._subscriber is not None and not self._subscriber.closed
        return self._hub.state if subscribed and self._hub is not None else "waiting"

    @property
    def pending(self) -> int:
        """How many rows are in memory."""
        waiting = sum(writer.waiting_rows for writer in self.writers.values())
        return waiting + sum(map(len, self._buffers.values()))

    # --- stream ---------------------------------------------------------------------------------

    async def _subscribe(self, hub: Hub) -> None:
        subscriber = Subscriber(self.query.topics, MOST_ROWS, gaps=self.gaps, lossless=True, reports_gaps=True)
        self._subscriber = subscriber
        await hub.subscribe(subscriber)

    async def _stream(self, hub: Hub) -> None:
        """Take rows for as long as the recording lasts; subscribe again when a subscription has ended."""
        failures, loop = 0, asyncio.get_running_loop()
        began = loop.time()
        while True:
            subscriber = self._subscriber
            assert subscriber is not None
            dropped = 0
            while not subscriber.closed or subscriber.rows:
                rows = await subscriber.take()
                if subscriber.dropped > dropped:
                    self.lost += subscriber.dropped - dropped
                    dropped = subscriber.dropped
                    self._interrupt("rows came faster than they could be recorded")
                self._take(rows)
                if subscriber.ended_markets and not subscriber.rows:
                    break
            error = subscriber.error or next(iter(subscriber.ended_markets.values()), None)
            hub.unsubscribe(subscriber)
            self._interrupt("the subscription ended" if error is None else error.message)
            if error is None:  # the hub was closed, or a tape has ended
                self._spawn_close()
                return
            failures = failures + 1 if loop.time() - began < STABLE else 1
            began = await self._subscribe_again(hub, error, failures)

    async def _subscribe_again(self, hub: Hub, error: UpbitFramesError, failures: int) -> float:
        """Subscribe until that succeeds; return when it did."""
        while True:
            self.error = error
            log.warning("nothing is recorded for now: %s", error.message)
            await asyncio.sleep(max(0.1, RetryPolicy().pause(failures)))
            try:
                await self._subscribe(hub)
            except UpbitFramesError as failed:
                error, failures = failed, failures + 1
                continue
            self.error = None
            return asyncio.get_running_loop().time()

    def _take(self, rows: Sequence[Row]) -> None:
        """Sort rows into the buffers."""
        self.received += len(rows)
        clock = self._hub.exchange_time if self._hub is not None else None
        # After a reconnect the clock rests on few frames, and what was known before it counts as well.
        latest = NEVER if clock is None else max(clock, self.reached) + AHEAD
        for row in rows:
            time = row.timestamp * 1000
            if row.stream_type != BACKFILLED:
                if time > latest:
                    self.invalid += 1
                    if type_of(row) == "orderbook":
                        continue  # no clock will confirm it, and no REST serves it
                else:
                    self.reached = max(self.reached, time)
            self._buffers[type_of(row), row.code].add(row)

    def _gap_opened(self, gap: Gap) -> None:
        buffer = self._buffers.get((gap.type, gap.market))
        if buffer is not None:
            buffer.disconnect(gap)

    def _interrupt(self, reason: str) -> None:
        at = self._hub.now() if self._hub is not None else 0
        for buffer in self._buffers.values():
            buffer.interrupt(at, reason)

    # --- writing --------------------------------------------------------------------------------

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(FLUSH)
            # A thread that writes goes on when its task is cancelled, so the task has to outlive this one.
            self._flushing = asyncio.get_running_loop().create_task(self.flush())
            await asyncio.shield(self._flushing)

    async def flush(self, *, last: bool = False) -> None:
        """Write what can be stored, series by series; errors are counted, and the rows kept."""
        async with self._writing:
            for key, buffer in self._buffers.items():
                pieces, late = buffer.take(self.reached, last=last), buffer.take_late()
                writer = self.writers[key]
                if pieces or late or writer.waiting:
                    await in_thread(writer.write, pieces, late)
            self._make_room()

    def _make_room(self) -> None:
        """Drop the oldest rows that could not be written, if there are too many."""
        if self.pending <= MOST_ROWS:
            return
        room = MOST_ROWS // max(1, len(self.writers))
        dropped = sum(writer.shed(room) for writer in self.writers.values())
        for buffer in self._buffers.values():
            if len(buffer) > MOST_ROWS // 2:
                dropped += buffer.drop()
        self.lost += dropped
        telemetry.event("drops", dropped)

    # --- repairing ------------------------------------------------------------------------------

    async def _repair_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(REPAIR)
            await self._repair()
            if self._keep_list is not None:
                with contextlib.suppress(UpbitFramesError):  # the next look tries again
                    await self._keep_list()

    async def _repair(self) -> None:
        for writer in self.writers.values():
            if writer.series.kind != "orderbook":
                known = self._unserved.setdefault(writer.series, set())
                self.repaired += await repair(self.ports, writer.series, known)


NEVER = 2**63
