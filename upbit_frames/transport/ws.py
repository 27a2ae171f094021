"""The WebSocket transport: one connection that comes back, and always asks for everything wanted.

A new request replaces what a connection was subscribed to, so the merged full set is sent on every
change and after every break. Each time it is open is an epoch of its own. Whether it is alive is
told by ping and pong, never by data: a quiet market is no failure (upbit-api 6.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import ssl
import uuid
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from upbit_frames._version import __version__
from upbit_frames.clock import Clock
from upbit_frames.endpoints import WS_MESSAGES_PER_MINUTE, WS_MESSAGES_PER_SECOND
from upbit_frames.errors import (
    ApiError,
    Blocked,
    ConnectionFailed,
    OfflineError,
    RateLimited,
    ServerError,
    Timeout,
    TransportError,
    UpbitFramesError,
)
from upbit_frames.normalize_ws import control
from upbit_frames.subscriptions import Topic, merged, request
from upbit_frames.transport.limiter import Pacer
from upbit_frames.transport.retry import RetryPolicy

__all__ = ["Dialer", "EndOfTape", "Sink", "SocketDialer", "Wire", "WsConnection"]

log = logging.getLogger("upbit_frames.live")

GROUP = "websocket"
PING_INTERVAL = 30.0  # the exchange drops whoever is silent for a minute
PING_TIMEOUT = 10.0
CLOSE_TIMEOUT = 1.0
MAX_FRAME = 32 * 1024 * 1024  # a list format holds the snapshots of every market in one frame
STABLE = 10.0  # seconds after which a connection counts as good, and the next pause is short again
MARGIN = 0.05  # of a second: messages are counted as they arrive, not as they are sent
_REMAINING = re.compile(r"sec=(\d+)")
_DURATION = re.compile(r"(\d+)\s*s")


class EndOfTape(Exception):
    """Everything that was recorded has been played."""


class Wire(Protocol):
    """One open connection to whatever frames come from."""

    async def receive(self) -> tuple[bytes, int]:
        """The next frame, and when it arrived in microseconds; ConnectionFailed when it is over."""

    async def send(self, text: str) -> None:
        """Say something."""

    async def alive(self, timeout: float) -> bool:
        """Whether the other side answers within so many seconds."""

    async def close(self) -> None:
        """End it."""


class Dialer(Protocol):
    """Opens wires."""

    async def dial(self) -> Wire:
        """A new one, or an error that says why not."""


class Sink(Protocol):
    """Told of everything that happens on a connection, on its loop; must not wait."""

    def opened(self, epoch: int) -> None:
        """It is open."""

    def frame(self, frame: bytes, received: int) -> None:
        """A frame of data."""

    def broken(self, error: UpbitFramesError) -> None:
        """It broke; it will come back."""

    def refused(self, error: ApiError) -> None:
        """The exchange refused the subscriptions and closes; it will be opened anew."""

    def ended(self, error: UpbitFramesError | None) -> None:
        """It will not come back."""


@functools.cache
def _certificates() -> ssl.SSLContext:
    """The machine's certificates, and those that come with the REST transport's library."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


class SocketDialer:
    """Opens WebSockets, within the limits.

    Parameters
    ----------
    url : str
    clock : Clock
    limiter : Pacer
        Its group ``websocket`` counts the attempts.
    timeout : float
        Seconds for connecting and the handshake.
    ping_interval, ping_timeout : float
        Seconds between pings, and after which one that is not answered ends the connection.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        limiter: Pacer,
        timeout: float = 10.0,
        ping_interval: float = PING_INTERVAL,
        ping_timeout: float = PING_TIMEOUT,
    ) -> None:
        self.url = url
        self._clock = clock
        self._limiter = limiter
        self._timeout = timeout
        self._pings = (ping_interval, ping_timeout)
        self._refused = 0

    async def dial(self) -> Wire:
        """Connect, or say why not.

        Raises
        ------
        Blocked, RateLimited, ServerError, ApiError
            The exchange refused.
        Timeout, ConnectionFailed
            It could not be reached.
        """
        slot = await self._limiter.acquire(GROUP)
        try:
            slot.sent()
            # No Origin header, ever: with one Upbit allows a single attempt in ten seconds.
            socket = await connect(
                self.url,
                ssl=_certificates() if self.url.startswith("wss:") else None,
                user_agent_header=f"upbit-frames/{__version__}",
                compression="deflate",
                open_timeout=self._timeout,
                ping_interval=self._pings[0],
                ping_timeout=self._pings[1],
                close_timeout=CLOSE_TIMEOUT,
                max_size=MAX_FRAME,
                max_queue=1024,
            )
            said = socket.response.headers.get("remaining-req", "") if socket.response else ""
            found = _REMAINING.search(said)
            slot.done(int(found[1]) if found else None)
            self._refused = 0
            return _Socket(socket, self._clock, self.url)
        except InvalidStatus as error:
            slot.done()
            raise self._refusal(error) from error
        except InvalidHandshake as error:
            raise ConnectionFailed(
                f"no WebSocket could be opened: {error}", suggestion="check the setting 'ws_url'", url=self.url
            ) from error
        except TimeoutError as error:
            raise Timeout(
                f"no WebSocket could be opened within {self._timeout:g} s",
                suggestion="check the network, or raise the setting 'timeout'", url=self.url,
            ) from error  # fmt: skip
        except (OSError, EOFError) as error:
            raise ConnectionFailed(
                f"no connection: {error}", suggestion="check the network and the setting 'ws_url'", url=self.url
            ) from error
        finally:
            slot.lost()  # does nothing where the answer has come

    def _refusal(self, error: InvalidStatus) -> UpbitFramesError:
        status = error.response.status_code
        text = (error.response.body or b"")[:200].decode("utf-8", "replace").strip()
        if status == 418:
            found = _DURATION.search(text)
            return self._limiter.blocked(self.url, float(found[1]) if found else None)
        context: dict[str, Any] = {"status": status, "url": self.url}
        if status == 429:
            self._refused += 1
            self._limiter.refused(GROUP, self._refused)
            return RateLimited("too many connections were opened", suggestion="open fewer of them", **context)
        if status >= 500:
            return ServerError(f"the exchange failed to open a WebSocket: {text}", **context)
        return ApiError(
            f"the exchange refused to open a WebSocket: {text}", suggestion="check the setting 'ws_url'", **context
        )


class _Socket:
    """A WebSocket."""

    def __init__(self, socket: ClientConnection, clock: Clock, url: str) -> None:
        self._socket = socket
        self._clock = clock
        self._url = url

    async def receive(self) -> tuple[bytes, int]:
        try:
            return await self._socket.recv(decode=False), self._clock.now()
        except ConnectionClosed as closed:
            raise self._lost(closed) from closed

    async def send(self, text: str) -> None:
        try:
            await self._socket.send(text)
        except ConnectionClosed as closed:
            raise self._lost(closed) from closed

    async def alive(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await (await self._socket.ping())
        except (ConnectionClosed, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        await self._socket.close()

    def _lost(self, closed: ConnectionClosed) -> ConnectionFailed:
        if closed.sent is not None and "keepalive" in closed.sent.reason:
            why = "no answer to a ping"
        elif closed.rcvd is not None:
            why = f"closed by the exchange with {closed.rcvd.code} {closed.rcvd.reason}".rstrip()
        else:
            why = "broken off"
        return ConnectionFailed(f"the WebSocket is lost: {why}", url=self._url)


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
            if isinstance(why, ApiError):
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
            frame, received = await receive()
            said = control(frame)
            if said is None:
                sink(frame, received)
            elif said.kind == "error":
                raise _refusal(said.name, said.text)
            elif said.kind == "unknown":
                log.warning("a frame that nobody understands was left out: %s", said.text)


def _passing(error: UpbitFramesError) -> bool:
    """Whether it is worth trying again, although it has never worked."""
    return isinstance(error, (TransportError, RateLimited, ServerError))


def _refusal(name: str, text: str) -> ApiError:
    """The exception for an error frame."""
    if name.lower().replace("_", " ") == "too many requests":
        return RateLimited("too many messages were sent", suggestion="change subscriptions less often", name=name)
    return ApiError(
        f"the exchange refused the subscription: {name}: {text}",
        suggestion="check kind, markets and level", name=name,
    )  # fmt: skip
