"""The WebSocket of the stand-in exchange (upbit-api 6 and 9).

What is sent comes from the same trades as everything else, on the exchange's virtual clock: when
the clock is moved, everything that happened in between is sent; while it runs, so do the streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.http11 import Request, Response

from upbit_frames.core.endpoints import WS_MESSAGES_PER_MINUTE, WS_MESSAGES_PER_SECOND
from upbit_frames.testing.server.limits import ORIGIN
from upbit_frames.testing.server.ws_faults import StreamFaults
from upbit_frames.testing.server.ws_json import error_frame
from upbit_frames.testing.server.ws_session import Mistake, Session, Timed

if TYPE_CHECKING:
    from upbit_frames.testing.server.exchange import Exchange

__all__ = ["LoggedConnection", "WsServer"]

_PATH = "/websocket/v1"
_BEAT = 0.02  # real seconds between two looks at a running clock
_GROUP = "websocket"


@dataclass
class LoggedConnection:
    """An upgrade as the exchange remembers it.

    Attributes
    ----------
    headers : dict of str to str
        Names in lower case.
    status : int
        101, or with what it was refused.
    messages : list of (float, str)
        What the client sent, and when on ``time.monotonic()``.
    pings, sent : int
        Protocol pings received, frames sent.
    ended : str
        Why it is over; empty while it is not.
    """

    headers: dict[str, str]
    status: int = 101
    messages: list[tuple[float, str]] = field(default_factory=list)
    pings: int = 0
    sent: int = 0
    ended: str = ""


class _Connection(ServerConnection):
    """Notes when the client last sent anything, pings included, and when its messages arrived."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.last_received = time.monotonic()
        self.arrivals: deque[float] = deque()
        self.log = LoggedConnection({})

    def process_event(self, event: Any) -> None:
        self.last_received = time.monotonic()
        opcode = getattr(event, "opcode", None)
        if opcode is Opcode.PING:
            self.log.pings += 1
        elif opcode in (Opcode.TEXT, Opcode.BINARY):
            self.arrivals.append(self.last_received)
        super().process_event(event)


class WsServer:
    """The streams of an exchange, which creates, starts and stops this server.

    Parameters
    ----------
    exchange : Exchange

    Attributes
    ----------
    connections : list of LoggedConnection
        Every requested upgrade, in order.
    faults : StreamFaults
    idle_seconds : float
        Real seconds after which a client that says nothing is dropped, without a close frame.
    status_seconds : float
        How often the server says UP to a client that once sent ``PING``.
    close_delay : float
        Real seconds between an error and the end of the connection.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.connections: list[LoggedConnection] = []
        self.faults = StreamFaults()
        self.idle_seconds = 60.5
        self.status_seconds = 10.0
        self.close_delay = 0.15
        self._server: Server | None = None
        self._clients: set[_Client] = set()
        self._forget: Any = None
        self._port = 0

    @property
    def url(self) -> str:
        """What to give as ``ws_url``."""
        return f"ws://{self.exchange.host}:{self._port}{_PATH}"

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._clients)

    async def start(self) -> None:
        """Listen on a port of its own."""
        loop = asyncio.get_running_loop()
        self._server = await serve(
            self._serve, self.exchange.host, 0, process_request=self._admit, process_response=self._stamp,
            create_connection=_Connection, server_header=None, ping_interval=None, close_timeout=1.0,
        )  # fmt: skip
        self._port = next(iter(self._server.sockets)).getsockname()[1]

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the clock may be moved after the exchange has stopped
                loop.call_soon_threadsafe(self._wake)

        self._forget = self.exchange.clock.on_change(wake)

    async def stop(self) -> None:
        """Break every connection."""
        if self._server is None:
            return
        self._forget()
        for client in list(self._clients):
            client.cut("stopped")
        self._server.close(close_connections=False)
        await self._server.wait_closed()
        self._server = None

    def _wake(self) -> None:
        for client in self._clients:
            client.moved.set()

    # --- done by hand, from any thread ----------------------------------------------------------

    def drop(self) -> None:
        """Break every connection now, without a close frame."""
        self._each(lambda client: client.cut("dropped"))

    def close(self, code: int = 1001) -> None:
        """Close every connection in order."""
        self._each(lambda client: client.end(code))

    def half_open(self) -> None:
        """Let every connection of now stay open and dead: nothing is read, nothing is sent."""
        self._each(lambda client: client.die())

    def error(self, name: str) -> None:
        """Send an error to every client, then close its connection."""
        self._each(lambda client: client.fail(Mistake(name)))

    def _each(self, do: Any) -> None:
        async def work() -> None:
            for client in list(self._clients):
                do(client)

        self.exchange.call(work())

    # --- connections ------------------------------------------------------------------------------

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, _Connection)
        connection.log = LoggedConnection({name.lower(): value for name, value in request.headers.raw_items()})
        self.connections.append(connection.log)
        if request.path.split("?")[0] != _PATH:
            return self._refuse(connection, 404, "")
        refusals = self.faults.refuse
        if refusals:
            return self._refuse(connection, refusals.pop(0), "")
        group = ORIGIN if "Origin" in request.headers else _GROUP
        verdict = self.exchange.admit(group, str(connection.remote_address[0]))
        connection.limit = verdict.header  # type: ignore[attr-defined]
        if verdict.status != 200:
            return self._refuse(connection, verdict.status, f"{verdict.blocked:.0f} seconds" if verdict.blocked else "")
        return None

    def _refuse(self, connection: _Connection, status: int, text: str) -> Response:
        connection.log.status, connection.log.ended = status, "refused"
        phrase = HTTPStatus(status).phrase
        return connection.respond(HTTPStatus(status), f"{phrase} {text}".strip() + "\n")

    def _stamp(self, connection: ServerConnection, request: Request, response: Response) -> None:
        limit = getattr(connection, "limit", None)
        if limit is not None:
            response.headers["remaining-req"] = limit
            response.headers["limit-by-ip"] = "Yes"

    async def _serve(self, connection: ServerConnection) -> None:
        assert isinstance(connection, _Connection)
        client = _Client(self, connection)
        self._clients.add(client)
        try:
            await client.run()
        finally:
            self._clients.discard(client)
            connection.log.ended = connection.log.ended or "closed by the client"


class _Client:
    """A connection: its requests, and the frames that it is sent."""

    def __init__(self, server: WsServer, connection: _Connection) -> None:
        exchange = server.exchange
        self.server = server
        self.connection = connection
        self.log = connection.log
        self.clock = exchange.clock
        self.session = Session(exchange.market, exchange.region, self.clock.now())
        self.born = self.clock.now()
        self.life = server.faults.life()
        self.held: deque[tuple[int, bytes]] = deque()
        self.moved = asyncio.Event()
        self.recent: deque[float] = deque()
        self.status_from: float | None = None
        self.dead = False
        self.sending = asyncio.Lock()
        self.ending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        tasks = [asyncio.create_task(coroutine) for coroutine in (self._flow(), self._watch())]
        try:
            async for message in self.connection:
                text = message if isinstance(message, str) else message.decode("utf-8", "replace")
                await self._receive_text(text, self.connection.arrivals.popleft())
        except ConnectionClosed:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self, why: str) -> None:
        """Break the connection."""
        self.log.ended = self.log.ended or why
        self.connection.transport.abort()

    def die(self) -> None:
        """Read and send nothing any more."""
        self.dead = True
        self.connection.transport.pause_reading()

    def end(self, code: int) -> None:
        """Close in order."""
        self.log.ended = self.log.ended or f"closed with {code}"
        self.ending = asyncio.create_task(self.connection.close(code))

    def fail(self, mistake: Mistake) -> None:
        """Send an error, then close."""
        self.log.ended = self.log.ended or mistake.name
        self.ending = asyncio.create_task(self._failing(mistake))

    async def _failing(self, mistake: Mistake) -> None:
        with contextlib.suppress(ConnectionClosed):
            text = error_frame(mistake.name, korea=self.session.korea, value=mistake.value)
            await self.connection.send(text.encode())
            await asyncio.sleep(self.server.close_delay)
            await self.connection.close(1000)

    # --- what the client says ---------------------------------------------------------------------

    async def _receive_text(self, message: str, now: float) -> None:
        self.log.messages.append((now, message))
        if self.log.ended:
            return
        if message == "PING":
            self.status_from = self.status_from or now
            return
        if not self._within_limits(now):
            return self.fail(Mistake("Too Many Requests"))
        if self.server.faults.errors:
            return self.fail(Mistake(self.server.faults.errors.pop(0)))
        async with self.sending:
            await self._send_until(self.clock.now())  # what was subscribed before comes first
            try:
                frames = self.session.receive(message, max(self.session.now, self.clock.now()))
            except Mistake as mistake:
                return self.fail(mistake)
            await self._send(frame.encode() for frame in frames)

    def _within_limits(self, now: float) -> bool:
        self.recent.append(now)
        while self.recent[0] <= now - 60.0:
            self.recent.popleft()
        second = sum(1 for moment in self.recent if moment > now - 1.0)
        limits = self.server.exchange.limits.enabled
        return not limits or (second <= WS_MESSAGES_PER_SECOND and len(self.recent) <= WS_MESSAGES_PER_MINUTE)

    # --- what the client is sent ------------------------------------------------------------------

    async def _flow(self) -> None:
        """Send frames as the clock goes on."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                pause = _BEAT if self.clock.speed else None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self.moved.wait()
                self.moved.clear()
                now, end = self.clock.now(), self._end_of_life()
                async with self.sending:
                    await self._send_until(min(now, end))
                if now >= end:
                    self.cut("dropped")
                    return

    def _end_of_life(self) -> float:
        span = self.server.faults.lifetime
        if span is None:
            return float("inf")
        return self.born + (span[0] + (span[1] - span[0]) * self.life) * 1e6

    async def _send_until(self, now: float) -> None:
        timed: list[Timed] = []
        for frames in self.session.until(int(now)):
            timed += frames
            await asyncio.sleep(0)  # a long step over many markets must not hold up the others
        timed.sort(key=lambda frame: frame.at)
        await self._send(frame.text.encode() for frame in timed)

    async def _send(self, frames: Iterator[bytes]) -> None:
        for frame in self.server.faults.disturbed(frames, self.held):
            if not (self.dead or self.server.faults.silent or self.log.ended):
                await self.connection.send(frame)
                self.log.sent += 1

    async def _watch(self) -> None:
        """Close the connection of a silent client; answer PING with UP."""
        sent_for = 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(min(1.0, self.server.idle_seconds / 4, self.server.status_seconds / 4))
                now = time.monotonic()
                if now - self.connection.last_received > self.server.idle_seconds:
                    self.cut("idle")
                    return
                if self.status_from is None or self.dead:
                    continue
                due = int((now - self.status_from) / self.server.status_seconds)
                if due > sent_for:
                    sent_for = due
                    await self.connection.send(b'{"status":"UP"}')
