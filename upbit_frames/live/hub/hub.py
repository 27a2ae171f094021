"""One connection for everything that listens: subscriptions merged, rows handed out, gaps mended.

A :class:`Hub` lives on the background loop. It never waits for a listener: each has a bounded
queue of its own, and what does not fit any more is dropped there, oldest first, and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from upbit_frames.core.topics import Key, Topic
from upbit_frames.errors import ApiError, ConnectionFailed, UpbitFramesError
from upbit_frames.exchange.transport.reconnecting import Dialer, WsConnection
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.backfill import LAG, Mender
from upbit_frames.live.hub.connection_clock import ConnectionClock
from upbit_frames.live.hub.fanout import Audience
from upbit_frames.live.hub.frame_buffer import FrameBuffer, OddFrame
from upbit_frames.live.hub.gap_supervisor import GapSupervisor
from upbit_frames.live.hub.odd_frames import OddFrames
from upbit_frames.live.hub.subscriber import Listener, Tempo
from upbit_frames.runtime.clock import Clock, ServerTime
from upbit_frames.runtime.telemetry import telemetry

__all__ = ["LINGER", "Hub"]

SETTLE = 5.0  # seconds after which a snapshot that has not come will not come
LINGER = 2.0  # seconds for which a connection stays open that nobody listens to any more
PATIENCE = 30.0  # seconds for which a newcomer waits while the connection is down
COMPLAINTS = 3  # errors one after the other, of names not known, until the newcomers are to blame
NEVER = 2**63
LATE = 0.05  # seconds: what arrived in time is handed in before the time is said to be over


class Hub:
    """Shares one connection among listeners.

    Parameters
    ----------
    dialer : Dialer
    mender : Mender
    clock, server_time
    retry : RetryPolicy, optional
    format : str
        In which format frames are asked for; makes no difference to the rows.
    settle, linger, patience : float
        Seconds; see the constants of this module.
    tempo : Tempo, optional
        Of a tape that is recorded or played.
    joined : callable, optional
        Told the topics of every stream that begins, before anything else, and those whose state
        it is told at once because others listen to them; may refuse it.
    """

    def __init__(
        self,
        dialer: Dialer,
        mender: Mender,
        *,
        clock: Clock,
        server_time: ServerTime,
        retry: RetryPolicy | None = None,
        format: str = "DEFAULT",  # noqa: A002 - the exchange's own name for it
        settle: float = SETTLE,
        linger: float = LINGER,
        patience: float = PATIENCE,
        tempo: Tempo | None = None,
        joined: Callable[[frozenset[Topic], frozenset[Topic]], None] | None = None,
    ) -> None:
        self.breaks = 0
        self.heard = 0.0
        self._dialer = dialer
        self._clock = clock
        self._server_time = server_time
        self._retry = retry or RetryPolicy()
        self._format = format
        self._settle = settle
        self._linger = linger
        self._patience = patience
        self._tempo = tempo
        self._joined = joined
        self._due = (NEVER, 0)  # when it will have settled, by our clock and by the exchange's
        self._time = ConnectionClock()
        self._torn = False
        self._complaints = 0
        self._connection: WsConnection | None = None
        self._audience = Audience()
        self._odd = OddFrames(self._audience)
        self._repairs = GapSupervisor(self._audience, mender, clock, self._retry, self._spawn)
        self._frames = FrameBuffer()
        self._drains = False
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # --- listeners ------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Of the connection: idle, connecting, open, waiting (to try again) or ended."""
        return self._connection.state if self._connection is not None else "idle"

    @property
    def frames(self) -> int:
        """How many frames were taken."""
        return self._frames.count

    @property
    def refused_frames(self) -> int:
        """How many frames were not what the API promises."""
        return self._odd.count

    @property
    def live(self) -> bool:
        """Whether an exchange is at the other end, not a tape."""
        return self._dialer.live

    @property
    def epoch(self) -> int:
        """How many times the connection was open."""
        return self._connection.epoch if self._connection is not None else 0

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._audience.listeners)

    def current(self, key: Key) -> bool:
        """Whether the connection as it is now has told the state of this, and nothing is being mended."""
        if self.state != "open" or not self._audience.whole(key, self.epoch):
            return False
        return self._audience.believed(key, self.exchange_time)

    @property
    def exchange_time(self) -> int | None:
        """What time it is at the exchange, by its frames and its REST answers; None where nothing has come yet."""
        offset = self._offset()
        return None if offset is None else self._clock.now() + offset

    def _offset(self) -> int | None:
        known = self._server_time.known
        return self._time.offset(self._server_time.now() - self._clock.now() if known else None)

    def mending(self, key: Key) -> bool:
        """Whether what a break has cost is still being fetched."""
        line = self._audience.lines.get(key)
        return line is not None and line.mending

    def now(self) -> int:
        """The clock by which frames arrive."""
        return self._clock.now()

    async def alive(self, timeout: float) -> bool:
        """Whether the other side answers a ping within so many seconds; counts as having heard it."""
        if self._connection is None or not await self._connection.alive(timeout):
            return False
        self.heard = time.monotonic()
        return True

    async def abandon(self) -> None:
        """Give the connection up, so that it is opened anew."""
        if self._connection is not None:
            await self._connection.abandon()

    async def join(self, listener: Listener) -> None:
        """Begin to listen; returns when the connection is open.

        Raises
        ------
        UpbitFramesError
            If it cannot be opened.
        """
        self._drain()  # what came before belongs to those who were here before
        known = frozenset(one for one in listener.topics if self._audience.knows(one))
        if self._joined is not None:
            self._joined(listener.topics, known)
        self._audience.listeners.append(listener)
        if self._tempo is not None:
            listener.tempo = self._tempo
            listener.since = self._clock.now() if self.state == "open" else None
        fresh = self._audience.add(listener, known, self._exchange_time() or 0)
        self._ask(anew=fresh)
        if self.state == "open":
            return
        try:
            async with asyncio.timeout(self._patience):
                await listener.begun.wait()
        except TimeoutError:
            away = f"the stream could not be opened within {self._patience:g} s"
            listener.end(ConnectionFailed(away, suggestion="check the network; try again"))
        except asyncio.CancelledError:
            self.leave(listener)
            raise
        if listener.error is not None:
            self.leave(listener)
            raise listener.error

    def leave(self, listener: Listener) -> None:
        """Listen no more."""
        if listener not in self._audience.listeners:
            return
        self._audience.remove(listener)
        listener.end(None)
        if self._connection is not None and self.state != "ended":
            self._ask()
        if not self._audience.listeners:
            self._later(self._linger, self._close_if_idle)

    def _ask(self, *, anew: bool = False) -> None:
        """Tell the connection what is wanted; ``anew`` also where it is subscribed to the same already."""
        if self._connection is None or self._connection.state == "ended":
            self._connection = WsConnection(
                self._dialer, self, clock=self._clock, retry=self._retry, format=self._format
            )
        self._connection.subscribe(self._audience.topics, resend=anew)

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers = [one for one in self._timers if not one.cancelled() and one.when() > loop.time()]
        self._timers.append(loop.call_later(seconds, do))

    def _close_if_idle(self) -> None:
        if not self._audience.listeners and self._connection is not None:
            connection, self._connection = self._connection, None
            self._spawn(connection.aclose())

    async def aclose(self) -> None:
        """End everything."""
        for listener in list(self._audience.listeners):
            self.leave(listener)
        for timer in self._timers:
            timer.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.aclose()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- what the connection tells ----------------------------------------------------------------

    def opened(self, epoch: int) -> None:
        """It is open; what was missed is noticed with the first frame of each market."""
        self.heard = time.monotonic()
        now, told = self._clock.now(), self._exchange_time()
        for listener in self._audience.listeners:
            listener.begun.set()
            if self._tempo is not None and listener.since is None:
                listener.since = now
        if epoch > 1:
            self._time = ConnectionClock()
            telemetry.event("reconnects")
            self._due = (now + int(self._settle * 1e6), (told or now) + int(self._settle * 1e6))
            self._later(self._settle + LATE, lambda: self._settled(epoch))
        # On a tape it must be the same moment each time it is played, so only the first one counts.
        if told is not None and (epoch > 1) is (self._tempo is None):
            for line in self._audience.lines.values():
                line.started = told

    def _exchange_time(self) -> int | None:
        """What time it is at the exchange, or earlier: as REST has told it, or else the stream; None: nobody has."""
        if self._server_time.known:
            return self._server_time.now()
        return self.exchange_time

    def frame(self, frame: bytes, received: int) -> None:
        """Keep it until the loop is idle: where many come at once, they are decoded at once."""
        if received >= self._due[0]:
            self._settle_down()
        self._frames.add(frame, received)
        self.heard = time.monotonic()
        if self._torn:
            self._drain()
        elif not self._drains:
            self._drains = True
            asyncio.get_running_loop().call_soon(self._drain)

    def congested(self) -> bool:
        """Whether a listener that wants every row has little room left, or a gap is being mended first."""
        if self._repairs.busy or not self._audience.listeners:
            return True
        more = len(self._frames)
        if any(one.careful and (one.busy or one.rows or more) for one in self._audience.listeners):
            return True
        return any(not one.ring and 2 * (len(one.rows) + more) > one.limit for one in self._audience.listeners)

    def broken(self, error: UpbitFramesError) -> None:
        """Everything that came before the break is handed out first."""
        self._drain()
        self.breaks += 1
        telemetry.event("breaks")
        now = self._clock.now()
        if now >= self._due[0]:
            self._settle_down()
        self._due = (NEVER, 0)
        self._audience.broke(now, error.message)
        # A tape waits while a gap is mended, so nothing that came later may have been handed out.
        self._torn = self._tempo is not None
        self._complaints = self._complaints + 1 if isinstance(error, ApiError) else 0
        if isinstance(error, ApiError) and self._complaints >= COMPLAINTS:
            self._blame(error)

    def refused(self, error: ApiError) -> None:
        """The newcomers are to blame: whatever has brought a frame before was fine."""
        self.broken(error)
        self._blame(error)

    def _blame(self, error: ApiError) -> None:
        """End whoever wants something of which nothing has ever come."""
        self._complaints = 0
        for listener in self._audience.suspects():
            listener.end(error)
            self.leave(listener)

    def ended(self, error: UpbitFramesError | None) -> None:
        """It will not come back; what is being mended is handed out before."""
        self._drain()
        if self._clock.now() >= self._due[0]:
            self._settle_down()
        self._due = (NEVER, 0)
        if self._repairs.busy:
            self._spawn(self._end_mended(error))
        else:
            self._end(error)

    async def _end_mended(self, error: UpbitFramesError | None) -> None:
        await self._repairs.finish()
        self._end(error)

    def _end(self, error: UpbitFramesError | None) -> None:
        for listener in list(self._audience.listeners):
            listener.end(error)
            self.leave(listener)

    # --- rows -----------------------------------------------------------------------------------------

    def _drain(self) -> None:
        self._drains = False
        for rows, odd in self._frames.take():
            self._hand_out(rows)
            for one in odd:
                self._leave_out(one)
        self._torn = self._torn and any(line.broken for line in self._audience.lines.values())

    def _hand_out(self, rows: list[Row]) -> None:
        self._time.observe(rows)
        for torn in self._audience.heard(rows, self.epoch, self._offset()):
            self._repairs.begin(torn)

    def _leave_out(self, odd: OddFrame) -> None:
        """Something odd came; :mod:`upbit_frames.live.hub.odd_frames` says what follows."""
        verdict, error = self._odd.judge(odd), odd.error
        self._audience.count_odd(verdict.broken)
        self._audience.broke(odd.at, f"an odd frame was left out: {error.message}", verdict.broken)
        self._torn = self._torn or (self._tempo is not None and bool(verdict.broken))
        for key in verdict.ended:
            done = self._audience.end(key, error)
            for listener in done:
                listener.end(error)
                self.leave(listener)
            if not done and self.state != "ended":
                self._ask()
        if verdict.abandon:
            self._spawn(self.abandon())
        waiting = [key for key in verdict.broken if key in self._audience.lines]
        if waiting and self._tempo is None:
            self._later(self._settle + LATE, lambda: self._settle_odd(waiting, self.epoch))

    def _settle_odd(self, keys: list[Key], epoch: int) -> None:
        """No frame has followed an odd one: fetch what it may have held."""
        lines = self._audience.lines
        broken = [key for key in keys if key in lines and lines[key].broken and not lines[key].whole]
        if self.state != "open" or self.epoch != epoch or not broken:
            return
        self._drain()
        now = self._clock.now()
        for torn in self._audience.silent(now, self._exchange_time() or now, broken):
            self._repairs.begin(torn)

    # --- gaps -----------------------------------------------------------------------------------------

    def _settled(self, epoch: int) -> None:
        """Whatever has sent nothing by now had nothing to send."""
        if self._connection is None or self._connection.epoch != epoch or self._connection.state != "open":
            return
        self._settle_down()

    def _settle_down(self) -> None:
        (at, now), self._due = self._due, (NEVER, 0)
        if at == NEVER:
            return
        self._drain()
        for torn in self._audience.silent(at, now):
            self._repairs.begin(torn)

    async def complete(self, listener: Listener, seconds: float) -> None:
        """Have what a listener lacks fetched, within so many seconds; it wants nothing newer."""
        self._drain()
        keys = {topic.key for topic in listener.topics}
        if self._tempo is None and listener in self._audience.listeners:
            now = self._clock.now()
            for torn in self._audience.cut_off(listener, now, self._exchange_time() or now):
                self._repairs.begin(torn, LAG)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._repairs.finish(keys)
