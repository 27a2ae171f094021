"""A reconnecting WebSocket that restores the full subscription set after every (re)connect.

A subscription request replaces the one before it on the connection, so the merged full set is sent
on every change and after every break. Each period in which the connection is open is an epoch.
Connections are opened by a dialer: the exchange's
(:mod:`upbit_frames.exchange.transport.websocket`), or a tape.
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

# Error names that mean a wrong request (upbit-api 6.5); after any other the same request may work later.
REFUSALS = {"WRONG_FORMAT", "NO_TICKET", "NO_TYPE", "NO_CODES", "INVALID_PARAM", "INVALID_AUTH"}
BACKPRESSURE_POLL = 0.001  # seconds between two looks whether a reader has caught up with a tape
STABLE = 10.0  # seconds after which a connection counts as good, and the next pause is short again
MARGIN = 0.25  # of a second: messages are counted as they arrive, some of them late, not as they are sent


class EndOfTape(Exception):
    """All recorded frames have been played."""


class Wire(Protocol):
    """An open connection that delivers frames: a socket of the exchange, or a tape.

    Attributes
    ----------
    can_wait : bool
        Whether the source pauses until readers have caught up, as a tape can and the exchange
        cannot.
    """

    @property
    def can_wait(self) -> bool:
        """See above."""

    async def receive(self) -> tuple[bytes, int]:
        """Return the next frame and when it arrived, microseconds UTC; raise ConnectionFailed at the end."""

    async def send(self, text: str) -> None:
        """Send a text frame."""

    async def alive(self, timeout: float) -> bool:
        """Return whether the other side answers a ping within ``timeout`` seconds."""

    async def close(self) -> None:
        """Close the connection."""


class Dialer(Protocol):
    """Opens connections.

    Attributes
    ----------
    live : bool
        Whether an exchange is at the other end, which ignores a market it does not know.
    """

    @property
    def live(self) -> bool:
        """See above."""

    async def dial(self) -> Wire:
        """Open a new connection, or raise the reason why it cannot be opened."""


class Sink(Protocol):
    """Receives the events of a connection, on its event loop; must not block."""

    def opened(self, epoch: int) -> None:
        """The connection is open."""

    def frame(self, frame: bytes, received: int) -> None:
        """A frame arrived: data, or of an unknown kind."""

    def congested(self) -> bool:
        """Return whether a subscriber's buffer would overflow now; only called where frames can wait."""

    def broken(self, error: UpbitFramesError) -> None:
        """The connection broke and will be reopened."""

    def refused(self, error: ApiError) -> None:
        """The exchange refused the subscriptions and closed; the connection will be reopened."""

    def ended(self, error: UpbitFramesError | None) -> None:
        """The connection is closed for good."""


class _Budget:
    """Limits the messages that a connection sends per second and per minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: deque[float] = deque(maxlen=WS_MESSAGES_PER_MINUTE)

    async def wait(self) -> None:
        """Wait until another message may be sent."""
        while True:
            now, free = self._clock.monotonic(), 0.0
            for count, seconds in ((WS_MESSAGES_PER_SECOND, 1.0), (WS_MESSAGES_PER_MINUTE, 60.0)):
                if len(self._sent) >= count:
                    free = max(free, self._sent[-count] + seconds + MARGIN)
            if free <= now:
                return
            await self._clock.sleep(free - now)

    def spend(self) -> None:
        """Count a message that is sent now."""
        self._sent.append(self._clock.monotonic())


class WsConnection:
    """A connection that is reopened after a break, with its subscriptions restored.

    Parameters
    ----------
    dialer : Dialer
    sink : Sink
    clock : Clock
    retry : RetryPolicy, optional
        Pauses between attempts. The first connection is given up after ``attempts``; once it has
        been open, attempts go on for ever.
    format : {"DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST"}

    Attributes
    ----------
    epoch : int
        Number of times the connection was opened; 0 before the first.
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
        self._version = 0  # of the wanted set: grows with each change
        self._changed = asyncio.Event()
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, topics: Iterable[Topic], *, resend: bool = False) -> None:
        """Subscribe to these topics and no others; opens the connection if need be.

        ``resend`` sends the request also if nothing changes, for the snapshots that this brings.
        """
        wanted = merged(topics)
        if wanted != self._wanted or resend:
            self._wanted = wanted
            self._version += 1
            self._changed.set()
        if self._task is None and wanted:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def alive(self, timeout: float) -> bool:
        """Return whether it is open and the other side answers a ping within ``timeout`` seconds."""
        return self._wire is not None and self.state == "open" and await self._wire.alive(timeout)

    async def abandon(self) -> None:
        """Close the current connection, so that a new one is opened."""
        if self._wire is not None:
            await self._wire.close()

    async def aclose(self) -> None:
        """Close for good, without an event to the sink."""
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
        except Exception as defect:  # a defect must reach the subscribers, not be lost in a task
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
                if self.epoch == 0 and (failures >= self._retry.attempts or not _transient(error)):
                    raise
                await self._pause(failures, error)
                continue
            began = self._clock.monotonic()
            try:
                self.epoch += 1
                self.state = "open"
                self._sink.opened(self.epoch)
                reason = await self._serve(self._wire)
            finally:
                wire, self._wire = self._wire, None
                with contextlib.suppress(TransportError, OSError):
                    await wire.close()
            if self._clock.monotonic() - began >= STABLE:
                failures = 0
            if isinstance(reason, ApiError) and not _transient(reason):
                self._sink.refused(reason)
            else:
                self._sink.broken(reason)
            failures += 1
            await self._pause(failures, reason)

    async def _pause(self, failures: int, error: UpbitFramesError) -> None:
        self.state = "waiting"
        seconds = self._retry.pause(min(failures, 30))
        if isinstance(error, Blocked):
            seconds = max(seconds, error.until.timestamp() - self._clock.now() / 1e6)
        if self._wanted:  # once every stream is over, the connection is only kept for the next one
            log.warning("%s; trying again in %.1f s", error.message, seconds)
        await self._clock.sleep(seconds)

    async def _serve(self, wire: Wire) -> TransportError | ApiError:
        """Send and receive until the connection ends; return the reason."""
        sending = asyncio.get_running_loop().create_task(self._send_subscriptions(wire))
        receiving = asyncio.get_running_loop().create_task(self._receive(wire))
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
            # Where both failed, the receiver's error is the more precise: it may carry an error frame.
            first = receiving if receiving.done() else sending
            error = first.exception()
            if isinstance(error, (TransportError, ApiError)) and not isinstance(error, OfflineError):
                return error
            assert error is not None  # neither of the two ever returns
            raise error
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)

    async def _send_subscriptions(self, wire: Wire) -> None:
        """Send the full subscription set, again on every change; changes during a wait are merged."""
        budget = _Budget(self._clock)
        sent_version = -1
        while True:
            self._changed.clear()
            if self._wanted and self._version != sent_version:
                await budget.wait()
                if self._wanted:  # the latest, also if it changed during the wait
                    sent_version = self._version
                    budget.spend()
                    await wire.send(request(self._wanted, uuid.uuid4().hex, self._format))
                continue
            await self._changed.wait()

    async def _receive(self, wire: Wire) -> None:
        receive, sink = wire.receive, self._sink.frame
        while True:
            while wire.can_wait and self._sink.congested():
                await self._clock.sleep(BACKPRESSURE_POLL)
            frame, received = await receive()
            message = control(frame)
            if message is None or message.kind == "unknown":  # unknown frames are judged with the data
                sink(frame, received)
            elif message.kind == "error":
                raise _refusal(message.name, message.text)


def _transient(error: UpbitFramesError) -> bool:
    """Return whether a retry may succeed although no attempt has succeeded yet."""
    return isinstance(error, (TransportError, RateLimited, ServerError))


def _refusal(name: str, text: str) -> ApiError:
    """Return the exception for an error frame."""
    if name.lower().replace("_", " ") == "too many requests":
        return RateLimited("too many messages were sent", suggestion="change subscriptions less often", name=name)
    if name not in REFUSALS:
        return ServerError(f"the exchange reported {name}: {text}", name=name)
    return ApiError(
        f"the exchange refused the subscription: {name}: {text}",
        suggestion="check kind, markets and level", name=name,
    )  # fmt: skip
