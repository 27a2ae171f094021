"""What follows candles on the background loop: listens, seals, and wakes whoever reads.

The stream tells how a candle forms, at once. It has no mark for a candle that is over, and whether
its last frame holds the last trades is not promised (upbit-api 6.9), so what is sealed is asked of
REST, once the period and a grace are over by the exchange's clock: on the way of ``uf.candles``,
which stores it and knows a period without a trade as such. A break of the stream can therefore
lose nothing that is sealed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arrow import slice_time
from upbit_frames.core.availability import SEAL_GRACE, sealed_until
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT
from upbit_frames.core.intervals import Span
from upbit_frames.core.route import Step
from upbit_frames.errors import TransportError, UpbitFramesError
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.message_tables import rows_from_rest
from upbit_frames.live.follow.backoff import Troubles
from upbit_frames.live.follow.batches import Asked, Batch, Part
from upbit_frames.live.follow.series import Track
from upbit_frames.live.hub.connection_clock import AHEAD
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Gaps, Listener
from upbit_frames.router import derive
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import sync_server_time
from upbit_frames.router.result import Result
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.telemetry import telemetry

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Following"]

log = logging.getLogger("upbit_frames.live")

SECOND = 1_000_000
SLICE = 1.0  # seconds between two looks at the exchange's clock, which may be moved
AT_ONCE = 8  # markets that are asked for at the same time
TOGETHER = 1.0  # seconds for which what is sealed waits for the other markets of the same round
CALM = 60.0  # seconds after which the pause before the stream is opened again is short again
WELCOME = 2.0  # seconds for which opening waits for the stream


class Following:
    """The part of a follow that lives on the background loop.

    Parameters
    ----------
    asked : Asked
    router : CandleRouter
    open_hub : coroutine function () -> Hub
        Also makes sure that the markets exist.
    meter : Progress
        How far the history has come.
    """

    def __init__(
        self, asked: Asked, router: CandleRouter, open_hub: Callable[[], Awaitable[Hub]], meter: Progress
    ) -> None:
        self.asked = asked
        self.router = router
        self.ports = router.ports
        self.meter = meter
        self.tracks = {market: Track(market, asked.interval, asked.keep, bars=asked.bars) for market in asked.markets}
        self.gaps = Gaps()
        self.warnings: list[str] = []
        self.over = False
        self.error: UpbitFramesError | None = None
        self.live_error: UpbitFramesError | None = None
        self.hub: Hub | None = None
        self.received = self.sealed = self.requests = self.retries = 0
        self._told = 0  # the latest time that the exchange has told on the stream
        self._open_hub = open_hub
        self._listener: Listener | None = None
        self._history: dict[str, Any] | None = None  # of the frame the reader has not had yet
        self._history_route: list[dict[str, Any]] = []
        self._troubles = Troubles()
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._wake = asyncio.Event()
        self._joined = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)

    # --- life -----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Have the history, and go on from there in the background."""
        try:
            self.hub = await self._open_hub()
            self._spawn(self._listen(self.hub))
            await self._begin()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WELCOME):
                    await self._joined.wait()
            await self._fill_seam()
        except BaseException:
            await self.aclose()
            raise
        self._spawn(self._seal_on())

    async def aclose(self) -> None:
        """End; what is in memory stays. May be called twice."""
        self._end(None)
        mine = [task for task in self._tasks if task is not asyncio.current_task()]
        await asyncio.gather(*mine, return_exceptions=True)

    def _end(self, error: UpbitFramesError | None) -> None:
        """Nothing will come any more."""
        if not self.over:
            self.over, self.error = True, error
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        if self.hub is not None and self._listener is not None:
            self.hub.leave(self._listener)
        self._news.set()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except UpbitFramesError as error:
            self._end(error)
        except Exception as defect:  # a defect must reach whoever reads, not be lost in a task
            log.exception("following %s failed in an unforeseen way", ", ".join(self.asked.markets))
            told = TransportError(f"following failed in an unforeseen way: {defect!r}")
            told.__cause__ = defect
            self._end(told)

    # --- the beginning --------------------------------------------------------------------------

    async def _begin(self) -> None:
        asked, ports = self.asked, self.ports
        await sync_server_time(ports, asked.markets[0], self.meter)
        end = sealed_until(asked.grid, ports.server_time.now())
        answer: Result | None = None
        if asked.history:
            answer = await self.router.fetch(asked.query(end), self.meter)
            self._history, self.warnings = answer.meta, answer.warnings
            telemetry.answered(answer.meta)
            self._history_route = answer.meta["route"]
        for track in self.tracks.values():
            table = _of_market(answer, track.market, asked.many)
            track.begin(table, end if answer is None else answer.ends[track.market])

    async def _fill_seam(self) -> None:
        """Fetch candles whose period is over but not their grace, and of bars those that they consist of so far.

        No snapshot of the stream tells of them.
        """
        interval = self.asked.interval
        now = interval.floor(self.ports.server_time.now())

        async def one(track: Track) -> None:
            start = track.sealed
            if self.asked.bars is not None:
                source = self._source(track.market)
                final = sealed_until(interval, self.ports.server_time.now())
                async with self._room:
                    table, span = await source.read_range(Span(start, max(start, final)))
                for row in rows_from_rest(str(interval.stream), track.market, table, 0):
                    track.hear(row)
                start = span.end
            count = min(CANDLES_MAX_COUNT, interval.slots(start, now) + 1)
            async with self._room:
                page = await self.ports.api.candles(track.market, interval, count=count)
            fresh = slice_time(page.table, Span(start, start + 2 * CANDLES_MAX_COUNT * interval.step))
            for row in rows_from_rest(str(interval.stream), track.market, fresh, page.received):
                track.hear(row)

        waiting = [one(track) for track in self.tracks.values() if track.sealed < now]
        for failed in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(failed, UpbitFramesError):
                log.warning("what can still change could not be had: %s", failed.message)
            elif failed is not None:
                raise failed

    # --- listening --------------------------------------------------------------------------------

    async def _listen(self, hub: Hub) -> None:
        """Take what the stream tells; without it sealed candles go on coming."""
        failures, loop = 0, asyncio.get_running_loop()
        while not self.over:
            self._listener = listener = Listener(self.asked.topics, gaps=self.gaps, careful=True)
            began = loop.time()
            try:
                await hub.join(listener)
                self._joined.set()
                self.live_error, began = None, loop.time()
                if failures and self.asked.bars is not None:  # a bar lacks the candles that passed meanwhile
                    self._spawn(self._fill_seam())
                while rows := await listener.take():
                    self._heard(rows)
                    if listener.ended and not listener.rows:  # the others are asked for again together with it
                        break
                if listener.error is None and not listener.ended:  # the hub was closed, or a tape is over
                    self._end(None)
                    return
                self.live_error = listener.error or next(iter(listener.ended.values()))
            except UpbitFramesError as error:
                self.live_error = error
            self._joined.set()
            hub.leave(listener)
            failures = failures + 1 if loop.time() - began < CALM else 1
            log.warning("no forming candles for now: %s", self.live_error.message)
            await asyncio.sleep(max(SLICE, RetryPolicy().pause(failures)))

    def _heard(self, rows: list[Any]) -> None:
        self.received += len(rows)
        changed = False
        due = self._due()
        clock = self.hub.exchange_time if self.hub is not None else None
        for row in rows:
            track = self.tracks[row.code]
            before = track.version
            track.hear(row)
            changed = changed or track.version != before
            self._told = max(self._told, track.heard if clock is None else min(track.heard, clock + AHEAD))
        if changed:
            self._news.set()
        if self._due() != due:
            if self._listener is not None:
                self._listener.busy = True
            self._wake.set()

    # --- sealing ----------------------------------------------------------------------------------

    def _due(self) -> int:
        """Up to where candles should be final by the exchange's clock.

        What the stream tells proves that it is at least so late, give or take a trade's way into
        its candle. What is stored is final by the exchange's settled time and the date of the very
        answer that brought it, whatever is believed here.
        """
        return sealed_until(self.asked.grid, max(self.ports.server_time.now(), self._told - SECOND))

    async def _seal_on(self) -> None:
        batch = self.asked.batch(self.ports.rate)
        while not self.over:
            due, now = self._due(), asyncio.get_running_loop().time()
            for track in self.tracks.values():
                ready = due - track.sealed >= batch and self._troubles.again(track.market) <= now
                if ready and track.market not in self._busy:
                    self._busy.add(track.market)
                    self._spawn(self._seal(track, due))
            if self._listener is not None and all(due - track.sealed < batch for track in self.tracks.values()):
                self._listener.busy = False
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_next(batch)):
                    await self._wake.wait()

    def _until_next(self, batch: int) -> float:
        """Seconds to sleep, a slice at most."""
        now, time = self.ports.server_time.now(), asyncio.get_running_loop().time()
        waits = [
            max((self._ready_at(track, batch) + SEAL_GRACE - now) / SECOND, self._troubles.again(track.market) - time)
            for track in self.tracks.values()
            if track.market not in self._busy
        ]
        return min(SLICE, max(0.005, min(waits, default=SLICE)))

    def _ready_at(self, track: Track, batch: int) -> int:
        """Return when the next candles of a market are due."""
        return max(track.sealed + batch, self.asked.grid.shift(track.sealed, 1))

    async def _seal(self, track: Track, due: int) -> None:
        why: UpbitFramesError | None = None
        try:
            async with self._room:
                table, until, steps = await self._sealed(track, due)
            if until < due:
                self._forget_told()
            if until > track.sealed:
                track.seal(table, until, steps)
                self.sealed += len(table)
                self._troubles.over(track.market)
                return
        except UpbitFramesError as error:
            why = error
        finally:
            self._busy.discard(track.market)
            self._wake.set()
            if self._busy:
                asyncio.get_running_loop().call_later(TOGETHER, self._news.set)
            else:
                self._news.set()
        self._troubles.failed(track.market, why, asyncio.get_running_loop().time())
        self.retries += 1
        log.warning("%s could not be sealed yet: %s", track.market, why.message if why else "not final so far")

    def _forget_told(self) -> None:
        """Believe the stream no longer: a frame that was stamped ahead must not be asked for again and again."""
        self._told = 0
        for track in self.tracks.values():
            track.heard = 0

    async def _sealed(self, track: Track, due: int) -> tuple[pa.Table, int, list[Step]]:
        """Sealed candles on the way of ``uf.candles``, and up to where they are known now."""
        source = self._source(track.market)
        try:
            table, span, steps = await self._read(source, Span(track.sealed, due))
        finally:
            self.requests += source.progress.requests
        return table, span.end, steps

    async def _read(self, source: CandleHistory, span: Span) -> tuple[pa.Table, Span, list[Step]]:
        """Read sealed candles of a range on the grid, up to where they are known, and say what served them."""
        table, span = await source.read_range(span)
        if self.asked.bars is None:
            return table, span, source.route(span, table)
        query = self.asked.query(span.end)
        bars, whole = derive.aggregate(query, table, span, source.fetcher.unavailable)
        return bars, whole, derive.derived_steps(query, source.route(whole, table), bars)

    def _source(self, market: str) -> CandleHistory:
        return CandleHistory(self.ports, market, self.asked.interval, "auto", Progress(), 1)

    # --- reading ------------------------------------------------------------------------------------

    async def take(self) -> Batch | None:
        """What the reader has not had; waits until there is something. None: it is over.

        It counts as had only once :meth:`had` says so, so that an interrupted reader misses nothing.
        """
        while True:
            self._news.clear()
            over = self.over
            batch = await self._fresh()
            if batch is not None:
                return batch
            if over:
                if self.error is not None:
                    raise self.error
                return None
            await self._news.wait()

    async def _fresh(self) -> Batch | None:
        meta = self._history
        parts = [await self._part(track, begins=meta is not None) for track in self.tracks.values()]
        batch = Batch(parts, meta)
        if meta is None and not any(part.span.start < part.span.end or len(part.forming) for part in parts):
            return None
        if meta is None and not batch.rows:
            self.had(batch)  # nothing was traded
            return None
        return batch

    async def _part(self, track: Track, *, begins: bool) -> Part:
        import pyarrow as pa

        span = Span(track.given, track.seam if begins else track.sealed)
        version = track.version
        changes = self.asked.forming and not begins
        forming = track.open_table(track.shown if changes else version)
        route = [step for step in track.steps if span.start <= step.start < span.end]
        table = track.window(Span(max(span.start, track.low), span.end))
        if span.start < track.low:  # the reader is far behind
            source, older = self._source(track.market), Span(span.start, min(track.low, span.end))
            found, _, steps = await self._read(source, older)
            table, route = pa.concat_tables([found, table]), [*steps, *route]
        return Part(track.market, span, table, forming, route, version if changes else track.shown)

    def had(self, batch: Batch) -> None:
        """The reader has had a batch; from any thread."""
        if batch.meta is not None:
            self._history = None
        for part in batch.parts:
            track = self.tracks[part.market]
            track.given, track.shown = part.span.end, part.version

    def whole(self, *, forming: bool) -> Batch:
        """Everything in memory now."""
        parts = []
        for track in self.tracks.values():
            span = track.kept
            table = track.open_table() if forming else track.open_table(track.version)
            parts.append(Part(track.market, span, track.window(span), table, track.totals))
        return Batch(parts, None, self._history_route)

    # --- telling ------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Of the stream: open, waiting, connecting …; closed when all is over."""
        if self.over:
            return "closed"
        if self.hub is None:
            return "new"
        joined = self._listener is not None and not self._listener.over
        return self.hub.state if joined else "waiting"


def _of_market(answer: Result | None, market: str, many: bool) -> pa.Table:
    import pyarrow.compute as pc

    from upbit_frames.core.schema import arrow_schema

    if answer is None:
        return arrow_schema("candles").empty_table()
    if not many:
        return answer.table
    table = answer.table
    return table.filter(pc.equal(table["market"].cast("string"), market)).drop_columns(["market"])
