"""The part of a follow that runs on the background loop: history, stream, sealing, and the waiting reader.

- The history is what ``uf.candles`` returns; candles that are over but not final yet are added to it.
- :class:`FollowSession` subscribes to the stream, which updates forming candles at once.
- :mod:`upbit_frames.live.follow.sealing` fetches sealed candles over REST.
- :mod:`upbit_frames.live.follow.reader` builds the batches of the reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arrow import slice_time
from upbit_frames.core.availability import sealed_until
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT
from upbit_frames.core.intervals import Span
from upbit_frames.errors import TransportError, UpbitFramesError
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.message_tables import rows_from_rest
from upbit_frames.live.follow.batches import Batch, FollowQuery
from upbit_frames.live.follow.reader import BatchReader
from upbit_frames.live.follow.sealing import SLICE, Sealer
from upbit_frames.live.follow.series import FollowedSeries
from upbit_frames.live.hub.connection_clock import AHEAD
from upbit_frames.live.hub.gaps import GapLog
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.live.stream import OpenHub
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import sync_server_time
from upbit_frames.router.result import Result
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.telemetry import telemetry

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FollowSession"]

log = logging.getLogger("upbit_frames.live")

STABLE = 60.0  # seconds after which a subscription counts as good, and the next pause is short again
OPEN_TIMEOUT = 2.0  # seconds for which opening a follow waits for the stream


class FollowSession:
    """A follow on the background loop.

    Parameters
    ----------
    query : FollowQuery
    router : CandleRouter
    open_hub : OpenHub
    progress : Progress
        Of the history.

    Attributes
    ----------
    query : FollowQuery
    series : dict of str to FollowedSeries
        By market; empty until the markets are resolved.
    gaps : GapLog
        Of the stream.
    warnings : list of str
        Of the history.
    closed : bool
    error, stream_error : UpbitFramesError or None
        Why the follow ended; why the stream is down.
    received : int
        Rows of the stream.
    """

    def __init__(self, query: FollowQuery, router: CandleRouter, open_hub: OpenHub, progress: Progress) -> None:
        self.ports = router.ports
        self.gaps = GapLog()
        self.warnings: list[str] = []
        self.closed = False
        self.error: UpbitFramesError | None = None
        self.stream_error: UpbitFramesError | None = None
        self.received = 0
        self._router = router
        self._progress = progress
        self._open_hub = open_hub
        self._hub: Hub | None = None
        self._subscriber: Subscriber | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._stream_tried = asyncio.Event()
        self._follow(query)

    def _follow(self, query: FollowQuery) -> None:
        """Begin with the markets of a query; those of a quote currency, and names, are known when it is opened."""
        self.query = query
        self.series = {
            market: FollowedSeries(market, query.interval, query.keep, bars=query.bars)
            for market in (query.markets if query.selection.settled else ())
        }
        self.sealer = Sealer(query, self.ports, self.series, self._spawn, self._changed.set, self._let_tape_go_on)
        self.reader = BatchReader(query, self.series, self.sealer.read)

    # --- life -----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Fetch the history, and go on from there in the background."""
        try:
            self._hub, codes = await self._open_hub()
            if not self.query.selection.settled:
                self._follow(self.query.resolved(codes))
            self._spawn(self._stream(self._hub))
            await self._fetch_history()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OPEN_TIMEOUT):
                    await self._stream_tried.wait()
            await self._fetch_unsealed()
        except BaseException:
            await self.aclose()
            raise
        self._spawn(self.sealer.run())

    async def aclose(self) -> None:
        """End the follow; candles in memory stay. May be called twice."""
        self._end(None)
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, error: UpbitFramesError | None) -> None:
        if not self.closed:
            self.closed, self.error = True, error
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        if self._hub is not None and self._subscriber is not None:
            self._hub.unsubscribe(self._subscriber)
        self._changed.set()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Run a part of the follow; its error ends the follow and reaches the reader."""
        try:
            await work
        except UpbitFramesError as error:
            self._end(error)
        except Exception as defect:
            log.exception("following %s failed", ", ".join(self.query.markets))
            failure = TransportError(f"following failed in an unforeseen way: {defect!r}")
            failure.__cause__ = defect
            self._end(failure)

    @property
    def state(self) -> str:
        """Of the stream: open, waiting, connecting …; closed when the follow has ended."""
        if self.closed:
            return "closed"
        if self._hub is None:
            return "new"
        subscribed = self._subscriber is not None and not self._subscriber.closed
        return self._hub.state if subscribed else "waiting"

    # --- history --------------------------------------------------------------------------------

    async def _fetch_history(self) -> None:
        query, ports = self.query, self.ports
        await sync_server_time(ports, query.markets[0], self._progress)
        end = sealed_until(query.grid, ports.server_time.now())
        result: Result | None = None
        if query.history:
            result = await self._router.fetch(query.candle_query(end), self._progress)
            self.warnings = result.warnings
            self.reader.start(result.meta)
            telemetry.answered(result.meta)
        for series in self.series.values():
            table = _of_market(result, series.market, query.many)
            series.start(table, end if result is None else result.ends[series.market])

    async def _fetch_unsealed(self) -> None:
        """Fetch candles whose period is over but not their grace, and the candles of the bars that form.

        No snapshot of the stream includes them.
        """
        interval = self.query.interval
        now = interval.floor(self.ports.server_time.now())

        async def fetch(series: FollowedSeries) -> None:
            start = series.sealed_until
            if self.query.bars is not None:
                final = sealed_until(interval, self.ports.server_time.now())
                async with self.sealer.slots:
                    table, span = await self.sealer.history(series.market).read_range(Span(start, max(start, final)))
                for row in rows_from_rest(str(interval.stream), series.market, table, 0):
                    series.update(row)
                start = span.end
            count = min(CANDLES_MAX_COUNT, interval.slots(start, now) + 1)
            async with self.sealer.slots:
                page = await self.ports.api.candles(series.market, interval, count=count)
            fresh = slice_time(page.table, Span(start, start + 2 * CANDLES_MAX_COUNT * interval.step))
            for row in rows_from_rest(str(interval.stream), series.market, fresh, page.received):
                series.update(row)

        fetches = [fetch(series) for series in self.series.values() if series.sealed_until < now]
        for failure in await asyncio.gather(*fetches, return_exceptions=True):
            if isinstance(failure, UpbitFramesError):
                log.warning("candles that can still change are not available: %s", failure.message)
            elif failure is not None:
                raise failure

    # --- stream -----------------------------------------------------------------------------------

    async def _stream(self, hub: Hub) -> None:
        """Update forming candles from the stream; while it is down, sealed candles go on coming."""
        failures, loop = 0, asyncio.get_running_loop()
        while not self.closed:
            self._subscriber = subscriber = Subscriber(self.query.topics, gaps=self.gaps, lossless=True)
            began = loop.time()
            try:
                await hub.subscribe(subscriber)
                self._stream_tried.set()
                self.stream_error, began = None, loop.time()
                if failures and self.query.bars is not None:  # a bar lacks the candles that passed meanwhile
                    self._spawn(self._fetch_unsealed())
                while rows := await subscriber.take():
                    self._update(rows)
                    if subscriber.ended_markets and not subscriber.rows:
                        break  # subscribe to all markets together again
                if subscriber.error is None and not subscriber.ended_markets:
                    self._end(None)  # the hub was closed, or a tape has ended
                    return
                self.stream_error = subscriber.error or next(iter(subscriber.ended_markets.values()))
            except UpbitFramesError as error:
                self.stream_error = error
            self._stream_tried.set()
            hub.unsubscribe(subscriber)
            failures = failures + 1 if loop.time() - began < STABLE else 1
            log.warning("no forming candles for now: %s", self.stream_error.message)
            await asyncio.sleep(max(SLICE, RetryPolicy().pause(failures)))

    def _update(self, rows: list[Any]) -> None:
        """Apply rows of the stream to the forming candles."""
        self.received += len(rows)
        clock = self._hub.exchange_time if self._hub is not None else None
        changed, latest = False, 0
        for row in rows:
            series = self.series[row.code]
            version = series.version
            series.update(row)
            changed = changed or series.version != version
            latest = max(latest, series.stream_time if clock is None else min(series.stream_time, clock + AHEAD))
        if changed:
            self._changed.set()
        if self.sealer.observe_stream_time(latest) and self._subscriber is not None:
            self._subscriber.busy = True  # a tape waits until the candles are sealed

    def _let_tape_go_on(self) -> None:
        if self._subscriber is not None:
            self._subscriber.busy = False

    # --- reading ------------------------------------------------------------------------------------

    async def take(self) -> Batch | None:
        """Return what the reader has not received, waiting for it; None when the follow has ended.

        A batch counts as received only after ``reader.mark_read``, so that an interrupted reader
        misses nothing.

        Raises
        ------
        UpbitFramesError
            After the last batch, if the follow ended with an error.
        """
        while True:
            self._changed.clear()
            closed = self.closed
            batch = await self.reader.next_batch()
            if batch is not None:
                return batch
            if closed:
                if self.error is not None:
                    raise self.error
                return None
            await self._changed.wait()


def _of_market(result: Result | None, market: str, many: bool) -> pa.Table:
    """Return the candles of one market in a result."""
    import pyarrow.compute as pc

    from upbit_frames.core.schema import arrow_schema

    if result is None:
        return arrow_schema("candles").empty_table()
    if not many:
        return result.table
    table = result.table
    return table.filter(pc.equal(table["market"].cast("string"), market)).drop_columns(["market"])
