"""Shares one connection among subscribers: merged subscriptions, fan-out, backfilled gaps.

A :class:`Hub` lives on the background loop and never waits for a subscriber: each has a bounded
queue, whose oldest rows are dropped and counted when it is full. The hub supervises the connection
and the subscriptions; the rest is done by its parts:

- :mod:`upbit_frames.live.hub.frame_buffer` decodes frames in batches.
- :mod:`upbit_frames.live.hub.invalid_frames` has the policy for frames that are not what the API promises.
- :mod:`upbit_frames.live.hub.fanout` distributes rows, with a sequencer for each topic.
- :mod:`upbit_frames.live.hub.gap_supervisor` decides when gaps are backfilled, and runs the backfills.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from upbit_frames.core.topics import Key, Topic
from upbit_frames.errors import ApiError, ConnectionFailed, UpbitFramesError
from upbit_frames.exchange.transport.reconnecting import Dialer, WsConnection
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.live.hub.backfill import GapBackfill
from upbit_frames.live.hub.connection_clock import ConnectionClock
from upbit_frames.live.hub.fanout import FanOut
from upbit_frames.live.hub.frame_buffer import FrameBuffer, InvalidFrame
from upbit_frames.live.hub.gap_supervisor import SETTLE, GapSupervisor
from upbit_frames.live.hub.invalid_frames import InvalidFrames
from upbit_frames.live.hub.subscriber import Subscriber, Tempo
from upbit_frames.runtime.clock import Clock, ServerTime
from upbit_frames.runtime.telemetry import telemetry

__all__ = ["LINGER", "Hub"]

LINGER = 2.0  # seconds for which a connection without subscribers stays open
OPEN_TIMEOUT = 30.0  # seconds for which a new subscriber waits while the connection is down
MOST_REFUSALS = 3  # refused connections in a row, with unknown error names, until the newest subscribers are ended


class Hub:
    """Shares one connection among subscribers.

    Parameters
    ----------
    dialer : Dialer
    backfill : GapBackfill
    clock, server_time
    retry : RetryPolicy, optional
    format : str
        The format in which frames are requested; makes no difference to the rows.
    settle, linger, open_timeout : float
        Seconds; see ``SETTLE``, ``LINGER`` and ``OPEN_TIMEOUT``.
    tempo : Tempo, optional
        Of a tape that is recorded or replayed.
    on_subscribe : callable, optional
        Called first with the topics of every new subscription, and those of them whose state is
        known and delivered at once; may refuse the subscription by raising.

    Attributes
    ----------
    breaks : int
        How many times the connection broke.
    last_received : float
        When the last frame or pong arrived, monotonic seconds.
    """

    def __init__(
        self,
        dialer: Dialer,
        backfill: GapBackfill,
        *,
        clock: Clock,
        server_time: ServerTime,
        retry: RetryPolicy | None = None,
        format: str = "DEFAULT",  # noqa: A002 - the exchange's own name for it
        settle: float = SETTLE,
        linger: float = LINGER,
        open_timeout: float = OPEN_TIMEOUT,
        tempo: Tempo | None = None,
        on_subscribe: Callable[[frozenset[Topic], frozenset[Topic]], None] | None = None,
    ) -> None:
        self.breaks = 0
        self.last_received = 0.0
        self._dialer = dialer
        self._clock = clock
        self._server_time = server_time
        self._retry = retry or RetryPolicy()
        self._format = format
        self._linger = linger
        self._open_timeout = open_timeout
        self._tempo = tempo
        self._on_subscribe = on_subscribe
        self._connection_clock = ConnectionClock()
        self._drain_at_once = False
        self._refusals = 0
        self._connection: WsConnection | None = None
        self._fan_out = FanOut()
        self._invalid = InvalidFrames(self._fan_out)
        self._gaps = GapSupervisor(
            self._fan_out, backfill, clock, self._retry,
            settle=settle, drain=self._drain, spawn=self._spawn, call_later=self._call_later,
        )  # fmt: skip
        self._frames = FrameBuffer()
        self._drain_scheduled = False
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # --- state ----------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Of the connection: idle, connecting, open, waiting (to reconnect) or ended."""
        return self._connection.state if self._connection is not None else "idle"

    @property
    def frames(self) -> int:
        """Frames decoded so far."""
        return self._frames.count

    @property
    def invalid_frames(self) -> int:
        """Frames that were not what the API promises."""
        return self._invalid.count

    @property
    def live(self) -> bool:
        """Whether the frames come from an exchange, not from a tape."""
        return self._dialer.live

    @property
    def epoch(self) -> int:
        """How many times the connection was opened."""
        return self._connection.epoch if self._connection is not None else 0

    @property
    def subscribers(self) -> int:
        """Number of subscribers."""
        return len(self._fan_out.subscribers)

    def is_primed(self, key: Key) -> bool:
        """Return whether the newest row of a topic is its current, credible state."""
        if self.state != "open" or not self._fan_out.is_primed(key, self.epoch):
            return False
        return self._fan_out.is_credible(key, self.exchange_time)

    def is_backfilling(self, key: Key) -> bool:
        """Return whether a gap of a topic is being backfilled."""
        sequencer = self._fan_out.sequencers.get(key)
        return sequencer is not None and sequencer.backfilling

    def now(self) -> int:
        """Return the time by the clock that stamps arriving frames, microseconds UTC."""
        return self._clock.now()

    @property
    def exchange_time(self) -> int | None:
        """The exchange's time by its frames and REST responses, microseconds UTC; None while unknown."""
        offset = self._clock_offset()
        return None if offset is None else self._clock.now() + offset

    def _clock_offset(self) -> int | None:
        known = self._server_time.known
        return self._connection_clock.offset(self._server_time.now() - self._clock.now() if known else None)

    def _earliest_exchange_time(self) -> int | None:
        """Return the exchange's time or an earlier one, from REST where known, else from the stream."""
        if self._server_time.known:
            return self._server_time.now()
        return self.exchange_time

    # --- subscriptions --------------------------------------------------------------------------

    async def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber; return when the connection is open.

        Raises
        ------
        UpbitFramesError
            If it cannot be opened.
        """
        self._drain()  # frames that have arrived belong to earlier subscribers
        known = frozenset(topic for topic in subscriber.topics if self._fan_out.knows(topic))
        if self._on_subscribe is not None:
            self._on_subscribe(subscriber.topics, known)
        if self._tempo is not None:
            subscriber.tempo = self._tempo
            subscriber.position = self._clock.now() if self.state == "open" else None
        new_topic = self._fan_out.add(subscriber, known, self._earliest_exchange_time() or 0)
        self._send_subscriptions(resend=new_topic)
        if self.state == "open":
            return
        try:
            async with asyncio.timeout(self._open_timeout):
                await subscriber.opened.wait()
        except TimeoutError:
            message = f"the stream could not be opened within {self._open_timeout:g} s"
            subscriber.close(ConnectionFailed(message, suggestion="check the network; try again"))
        except asyncio.CancelledError:
            self.unsubscribe(subscriber)
            raise
        if subscriber.error is not None:
            self.unsubscribe(subscriber)
            raise subscriber.error

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a subscriber; the connection closes when it was the last one."""
        if subscriber not in self._fan_out.subscribers:
            return
        self._fan_out.remove(subscriber)
        subscriber.close(None)
        if self._connection is not None and self.state != "ended":
            self._send_subscriptions()
        if not self._fan_out.subscribers:
            self._call_later(self._linger, self._close_if_idle)

    def _send_subscriptions(self, *, resend: bool = False) -> None:
        """Send the merged subscriptions; ``resend`` also if they have not changed."""
        if self._connection is None or self._connection.state == "ended":
            self._connection = WsConnection(
                self._dialer, self, clock=self._clock, retry=self._retry, format=self._format
            )
        self._connection.subscribe(self._fan_out.topics, resend=resend)

    def _end_subscriber(self, subscriber: Subscriber, error: UpbitFramesError | None) -> None:
        subscriber.close(error)
        self.unsubscribe(subscriber)

    async def complete(self, subscriber: Subscriber, timeout: float) -> None:
        """Backfill up to now what a subscriber lacks that wants no newer rows, within ``timeout`` seconds."""
        self._drain()
        await self._gaps.complete(subscriber, self._earliest_exchange_time() or self._clock.now(), timeout)

    # --- connection -----------------------------------------------------------------------------

    async def alive(self, timeout: float) -> bool:
        """Return whether the other side answers a ping within ``timeout`` seconds; a pong counts as received."""
        if self._connection is None or not await self._connection.alive(timeout):
            return False
        self.last_received = time.monotonic()
        return True

    async def abandon(self) -> None:
        """Close the connection, so that it is replaced by a new one."""
        if self._connection is not None:
            await self._connection.abandon()

    def _close_if_idle(self) -> None:
        if not self._fan_out.subscribers and self._connection is not None:
            connection, self._connection = self._connection, None
            self._spawn(connection.aclose())

    async def aclose(self) -> None:
        """End all subscriptions, close the connection, and cancel backfills."""
        for subscriber in list(self._fan_out.subscribers):
            self.unsubscribe(subscriber)
        for timer in self._timers:
            timer.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.aclose()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _call_later(self, seconds: float, function: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers = [timer for timer in self._timers if not timer.cancelled() and timer.when() > loop.time()]
        self._timers.append(loop.call_later(seconds, function))

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _still(self, epoch: int) -> Callable[[], bool]:
        """Return a function that returns whether the connection of an epoch is still open."""
        return lambda: self.state == "open" and self.epoch == epoch

    # --- events of the connection (Sink) --------------------------------------------------------

    def opened(self, epoch: int) -> None:
        """Start the settle time after a reconnect; a topic's gap ends with its first row."""
        self.last_received = time.monotonic()
        now, exchange_time = self._clock.now(), self._earliest_exchange_time()
        for subscriber in self._fan_out.subscribers:
            subscriber.opened.set()
            if self._tempo is not None and subscriber.position is None:
                subscriber.position = now
        if epoch > 1:
            self._connection_clock = ConnectionClock()
            telemetry.event("reconnects")
            self._gaps.reconnected(now, exchange_time, self._still(epoch))
        # A tape must give the same moment in every replay, so only its first epoch counts.
        if exchange_time is not None and (epoch > 1) is (self._tempo is None):
            for sequencer in self._fan_out.sequencers.values():
                sequencer.started = exchange_time

    def frame(self, frame: bytes, received: int) -> None:
        """Buffer a frame until the loop is idle, so that many are decoded together."""
        self._gaps.settle_if_due(received)
        self._frames.add(frame, received)
        self.last_received = time.monotonic()
        if self._drain_at_once:
            self._drain()
        elif not self._drain_scheduled:
            self._drain_scheduled = True
            asyncio.get_running_loop().call_soon(self._drain)

    def congested(self) -> bool:
        """Return whether a queue would overflow soon, or a backfill has to end first."""
        subscribers = self._fan_out.subscribers
        if self._gaps.busy or not subscribers:
            return True
        more = len(self._frames)
        if any(each.lossless and (each.busy or each.rows or more) for each in subscribers):
            return True
        return any(not each.ring and 2 * (len(each.rows) + more) > each.limit for each in subscribers)

    def broken(self, error: UpbitFramesError) -> None:
        """Deliver the frames from before the disconnect, then open a gap of every topic."""
        self._drain()
        self.breaks += 1
        telemetry.event("breaks")
        now = self._clock.now()
        self._gaps.disconnected(now)
        self._fan_out.disconnect(now, error.message)
        # A tape waits while a gap is backfilled, so no later frame may have been delivered before.
        self._drain_at_once = self._tempo is not None
        self._refusals = self._refusals + 1 if isinstance(error, ApiError) else 0
        if isinstance(error, ApiError) and self._refusals >= MOST_REFUSALS:
            self._end_unconfirmed(error)

    def refused(self, error: ApiError) -> None:
        """End the newest subscribers, whose topics the exchange must have refused."""
        self.broken(error)
        self._end_unconfirmed(error)

    def _end_unconfirmed(self, error: ApiError) -> None:
        """End all subscribers with a topic on which no frame has ever arrived."""
        self._refusals = 0
        for subscriber in self._fan_out.unconfirmed():
            self._end_subscriber(subscriber, error)

    def ended(self, error: UpbitFramesError | None) -> None:
        """End all subscriptions once running backfills are delivered; the connection is closed for good."""
        self._drain()
        self._gaps.disconnected(self._clock.now())
        if self._gaps.busy:
            self._spawn(self._end_after_backfills(error))
        else:
            self._end_all(error)

    async def _end_after_backfills(self, error: UpbitFramesError | None) -> None:
        await self._gaps.finish()
        self._end_all(error)

    def _end_all(self, error: UpbitFramesError | None) -> None:
        for subscriber in list(self._fan_out.subscribers):
            self._end_subscriber(subscriber, error)

    # --- rows -----------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Decode and distribute all buffered frames."""
        self._drain_scheduled = False
        for rows, invalid_frames in self._frames.take():
            self._connection_clock.observe(rows)
            self._gaps.start(self._fan_out.distribute(rows, self.epoch, self._clock_offset()))
            for invalid in invalid_frames:
                self._leave_out(invalid)
        sequencers = self._fan_out.sequencers.values()
        self._drain_at_once = self._drain_at_once and any(each.gap is not None for each in sequencers)

    def _leave_out(self, invalid: InvalidFrame) -> None:
        """Apply the policy of :mod:`upbit_frames.live.hub.invalid_frames` to a frame."""
        verdict, error = self._invalid.judge(invalid), invalid.error
        self._fan_out.count_invalid_frame(verdict.lossy)
        self._fan_out.disconnect(invalid.at, f"an invalid frame was left out: {error.message}", verdict.lossy)
        self._drain_at_once = self._drain_at_once or (self._tempo is not None and bool(verdict.lossy))
        for key in verdict.ended:
            done = self._fan_out.end_topic(key, error)
            for subscriber in done:
                self._end_subscriber(subscriber, error)
            if not done and self.state != "ended":
                self._send_subscriptions()
        if verdict.abandon:
            self._spawn(self.abandon())
        lossy = [key for key in verdict.lossy if key in self._fan_out.sequencers]
        if lossy and self._tempo is None:
            self._gaps.settle_invalid(lossy, self._earliest_exchange_time, self._still(self.epoch))
