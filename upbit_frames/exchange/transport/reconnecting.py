"""One connection that comes back, and always asks for everything wanted.

A new request replaces what a connection was subscribed to, so the merged full set is sent on every
change and after every break. Each time it is open is an epoch of its own. What opens a connection
is a dialer: the exchange's (:mod:`upbit_frames.exchange.transport.websocket`), or a tape.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from upbit_frames.core.endpoints import WS_MESSAGES_PER_MINUTE, WS_MESSAGES_PER_SECOND
from upbit_frames.core.topics import Topic, merged, request
from upbit_frames.errors import (
    ApiError,
    Blocked,
    OfflineError,
    RateLimited,
    ServerError,
    TransportError,
    UpbitFramesError,
)
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.messages import control
from upbit_frames.runtime.clock import Clock

__all__ = ["Dialer", "EndOfTape", "Sink", "Wire", "WsConnection"]

log = logging.getLogger("upbit_frames.live")

# Errors that say that the request was wrong (upbit-api 6.5); with any other the same may work later.
REFUSALS = {"WRONG_FORMAT", "NO_TICKET", "NO_TYPE", "NO_CODES", "INVALID_PARAM", "INVALID_AUTH"}
CROWDED = 0.001  # seconds between two looks whether a reader has caught up with a tape
STABLE = 10.0  # seconds after which a connection counts as good, and the next pause is short again
MARGIN = 0.25  # of a second: messages are counted as they arrive, some of them late, not as they are sent


class EndOfTape(Exception):
    """Everything that was recorded has been played."""


class Wire(Protocol):
    """One open connection to whatever frames come from.

    Attributes
    ----------
    patient : bool
        Whether it can be made to wait, as a tape can and the exchange cannot.
    """

    @property
    def patient(self) -> bool:
        """See above."""

    async def receive(self) -> tuple[bytes, int]:
        """The next frame, and when it arrived in microseconds; ConnectionFailed when it is over."""

    async def send(self, text: str) -> None:
        """Say something."""

    async def alive(self, timeout: float) -> bool:
        """Whether the other side answers within so many seconds."""

    async def close(self) -> None:
        """End it."""


class Dialer(Protocol):
    """Opens wires.

    Attributes
    ----------
    live : bool
        Whether an exchange is at the other end, which ignores a market it does not know.
    """

    @property
    def live(self) -> bool:
        """See above."""

    async def dial(self) -> Wire:
        """A new one, or an error that says why not."""


class Sink(Protocol):
    """Told of everything that happens on a connection, on its loop; must not wait."""

    def opened(self, epoch: int) -> None:
        """It is open."""

    def frame(self, frame: bytes, received: int) -> None:
        """A frame of data, or of nothing that is known."""

    def crowded(self) -> bool:
        """Whether somebody would lose rows if more came now; asked only where frames can wait."""

    def broken(self, error: UpbitFramesError) -> None:
        """It broke; it will come back."""

    def refused(self, error: ApiError) -> None:
        """The exchange refused the subscriptions and closes; it will be opened anew."""

    def ended(self, error: UpbitFramesError | None) -> None:
        """It will not come back."""


class _Budget:
    """How many messages a connection may still send: so many a second, and so many a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: deque[float] = deque(maxlen=WS_MESSAGES_PER_MINUTE)

    async def wait(self) -> None:
        """Until one more message may be sent."""
        while True:
            now, free = self._clock.monotonic(), 0.0
            for count, seconds in ((WS_MESSAGES_PER_SECOND, 1.0), (WS_MESSAGES_PER_MINUTE, 60.0)):
                if len(self._sent) >= count:
                    free = max(free, self._sent[-count] + seconds + MARGIN)
            if free <= now:
                return
            await self._clock.sleep(free - now)

    def spend(self) -> None:
        """One was sent."""
        self._sent.append(self._clock.monotonic())


class WsConnection:
    """One connection that comes back after a break and restores what was subscribed.

    Parameters
    ----------
    dialer : Dialer
    sink : Sink
    clock : Clock
    retry : RetryPolicy, optional
        Pauses between attempts. The first time it gives up after ``attempts``; once it has been
        open, it never does.
    format : {"DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST"}

    Attributes
    ----------
    epoch : int
        How many times it was open; 0 before the first.
    state : {"idle", "connecting", "open", "waiting", "ended"}
    """

    def __init__(
        self,
        dialer: Dialer,
        sink: Sink,
        *,
        clock: Clock,
        retry: RetryPolicy | None = None,
        format: str = "DEFAULT",  # noqa: A002 - the exchange's own name for it
    ) -> None:
        self.epoch = 0
        self.state = "idle"
        self._dialer = dialer
        self._sink = sink
        self._clock = clock
        self._retry = retry or RetryPolicy()
        self._format = format
        self._wanted: frozenset[Topic] = frozenset()
        self._asked = 0  # how often that changed
        self._changed = asyncio.Event()
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None

    def want(self, topics: Iterable[Topic], *, anew: bool = False) -> None:
        """Subscribe to these topics and no others; opens the connection if need be.

        ``anew`` asks again also if nothing changes, for the snapshots that this brings.
        """
        wanted = merged(topics)
        if wanted != self._wanted or anew:
            self._wanted = wanted
            self._asked += 1
            self._changed.set()
        if self._task is None and wanted:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def alive(self, timeout: float) -> bool:
        """Whether it is open and the other side answers a ping within so many seconds."""
        return self._wire is not None and self.state == "open" and await self._wire.alive(timeout)

    async def abandon(self) -> None:
        """Give the wire up, so that another one is opened."""
        if self._wire is not None:
            await self._wire.close()

    async def aclose(self) -> None:
        """End it; the sink is not told."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.state = "ended"

    # --- life -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        ended: UpbitFramesError | None = None
        try:
            await self._live()
        except EndOfTape:
            pass
        except UpbitFramesError as error:
            ended = error
        except asyncio.CancelledError:
            raise
        except Exception as defect:  # a defect must reach whoever waits, not be lost in a task
            log.exception("the connection to %s failed in an unforeseen way", self._dialer)
            ended = TransportError(f"the connection failed in an unforeseen way: {defect!r}")
            ended.__cause__ = defect
        self.state = "ended"
        self._sink.ended(ended)

    async def _live(self) -> None:
        failures = 0
        while True:
            self.state = "connecting"
            try:
                self._wire = await self._dialer.dial()
            except (ApiError, TransportError) as error:
                failures += 1
                if self.epoch == 0 and (failures >= self._retry.attempts or not _passing(error)):
                    raise
                await self._pause(failures, error)
                continue
            began = self._clock.monotonic()
            try:
                self.epoch += 1
                self.state = "open"
                self._sink.opened(self.epoch)
                why = await self._serve(self._wire)
            finally:
                wire, self._wire = self._wire, None
                with contextlib.suppress(TransportError, OSError):
                    await wire.close()
            if self._clock.monotonic() - began >= STABLE:
                failures = 0
            if isinstance(why, ApiError) and not _passing(why):
                self._sink.refused(why)
            else:
                self._sink.broken(why)
            failures += 1
            await self._pause(failures, why)

    async def _pause(self, failures: int, error: UpbitFramesError) -> None:
        self.state = "waiting"
        seconds = self._retry.pause(min(failures, 30))
        if isinstance(error, Blocked):
            seconds = max(seconds, error.until.timestamp() - self._clock.now() / 1e6)
        if self._wanted:  # once every stream is over, the connection is only kept for the next one
            log.warning("%s; trying again in %.1f s", error.message, seconds)
        await self._clock.sleep(seconds)

    async def _serve(self, wire: Wire) -> TransportError | ApiError:
        """Talk and listen until it is over; why it is."""
        talking = asyncio.get_running_loop().create_task(self._talk(wire))
        listening = asyncio.get_running_loop().create_task(self._listen(wire))
        try:
            await asyncio.wait((talking, listening), return_when=asyncio.FIRST_COMPLETED)
            # What was heard last tells more than that nothing can be said any more.
            first = listening if listening.done() else talking
            error = first.exception()
            if isinstance(error, (TransportError, ApiError)) and not isinstance(error, OfflineError):
                return error
            assert error is not None  # neither of the two ever returns
            raise error
        finally:
            for task in (talking, listening):
                task.cancel()
            await asyncio.gather(talking, listening, return_exceptions=True)

    async def _talk(self, wire: Wire) -> None:
        """Send the full subscription, again on every change; what came while waiting goes along."""
        budget = _Budget(self._clock)
        told = -1
        while True:
            self._changed.clear()
            if self._wanted and self._asked != told:
                await budget.wait()
                if self._wanted:  # the latest, also if it changed during the wait
                    told = self._asked
                    budget.spend()
                    await wire.send(request(self._wanted, uuid.uuid4().hex, self._format))
                continue
            await self._changed.wait()

    async def _listen(self, wire: Wire) -> None:
        receive, sink = wire.receive, self._sink.frame
        while True:
            while wire.patient and self._sink.crowded():
                await self._clock.sleep(CROWDED)
            frame, received = await receive()
            said = control(frame)
            if said is None or said.kind == "unknown":  # what is odd is judged with the data
                sink(frame, received)
            elif said.kind == "error":
                raise _refusal(said.name, said.text)


def _passing(error: UpbitFramesError) -> bool:
    """Whether it is worth trying again, although it has never worked."""
    return isinstance(error, (TransportError, RateLimited, ServerError))


def _refusal(name: str, text: str) -> ApiError:
    """The exception for an error frame."""
    if name.lower().replace("_", " ") == "too many requests":
        return RateLimited("too many messages were sent", suggestion="change subscriptions less often", name=name)
    if name not in REFUSALS:
        return ServerError(f"the exchange reported {name}: {text}", name=name)
    return ApiError(
        f"the exchange refused the subscription: {name}: {text}",
        suggestion="check kind, markets and level", name=name,
    )  # fmt: skip
