"""The WebSocket transport: opens sockets within the limits, and says what went wrong.

Whether a connection is alive is decided by ping and pong, never by data: a quiet market is no failure
(upbit-api 6.1).
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from typing import Any

import certifi
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.http11 import Response

from upbit_frames._version import __version__
from upbit_frames.core.urls import redacted
from upbit_frames.errors import (
    ApiError,
    ConfigError,
    ConnectionFailed,
    RateLimited,
    ServerError,
    Timeout,
    UpbitFramesError,
)
from upbit_frames.exchange.transport import headers
from upbit_frames.exchange.transport.rate_limiter import Pacer
from upbit_frames.exchange.transport.reconnecting import Wire
from upbit_frames.exchange.wire.error_bodies import error_message
from upbit_frames.runtime.clock import Clock
from upbit_frames.runtime.network import check_allowed

__all__ = ["SocketDialer"]

GROUP = "websocket"
PING_INTERVAL = 30.0  # the exchange drops clients that are silent for a minute
PING_TIMEOUT = 10.0
CLOSE_TIMEOUT = 1.0
MAX_FRAME = 32 * 1024 * 1024  # a list format holds the snapshots of every market in one frame


@functools.cache
def _certificates() -> ssl.SSLContext:
    """The machine's certificates, and those that come with the REST transport's library."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class _Redirected(Exception):
    """The other side says that it is elsewhere."""


class _Connection(ClientConnection):
    """Follows no redirection: rows are believed from the host that the user has named, and no other."""

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        """As the library does it, which would follow a redirection to any host."""
        try:
            await super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            if 300 <= error.response.status_code < 400:
                raise _Redirected(str(error.response.headers.get("Location", ""))[:200]) from error
            raise


class SocketDialer:
    """Opens WebSockets, within the limits.

    Parameters
    ----------
    url : str
    clock : Clock
    limiter : Pacer
        Its group ``websocket`` counts the attempts.
    timeout : float
        Seconds for connecting and the handshake together, however slowly its answer comes.
    ping_interval, ping_timeout : float
        Seconds between pings, and after which one that is not answered ends the connection.
    """

    live = True

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
        """Open a connection.

        Raises
        ------
        Blocked, RateLimited, ServerError, ApiError
            The exchange refused.
        Timeout, ConnectionFailed
            It could not be reached.
        """
        check_allowed(self.url)
        slot = await self._limiter.acquire(GROUP)
        try:
            slot.sent()
            # No Origin header, ever: with one Upbit allows a single attempt in ten seconds.
            socket = await connect(
                self.url,
                create_connection=_Connection,
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
            slot.done(headers.remaining(_header(socket.response, "remaining-req")))
            self._refused = 0
            return _Socket(socket, self._clock, self.url)
        except InvalidStatus as error:
            slot.done()
            raise self._refusal(error) from error
        except _Redirected as error:
            slot.done()
            raise ConnectionFailed(
                f"the exchange redirects to {redacted(str(error)) or 'nowhere'}, which is not followed",
                suggestion="set 'ws_url' to the address itself if it can be trusted",
                url=redacted(self.url),
            ) from error
        except WebSocketException as error:  # no handshake
            raise ConnectionFailed(
                f"no WebSocket could be opened: {redacted(str(error))}",
                suggestion="check the setting 'ws_url'",
                url=redacted(self.url),
            ) from error
        except TimeoutError as error:
            raise Timeout(
                f"no WebSocket could be opened within {self._timeout:g} s",
                suggestion="check the network, or raise the setting 'timeout'", url=redacted(self.url),
            ) from error  # fmt: skip
        except (OSError, EOFError, UnicodeError) as error:  # the last: a host whose name cannot be one
            raise ConnectionFailed(
                f"no connection: {redacted(str(error))}",
                suggestion="check the network and the setting 'ws_url'",
                url=redacted(self.url),
            ) from error
        except (ImportError, ValueError) as error:  # a proxy of the environment, and its package
            raise ConfigError(
                f"the environment names a proxy that cannot be used: {redacted(str(error))}",
                suggestion="check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in the environment",
            ) from error
        finally:
            slot.lost()  # does nothing where the answer has come

    def _refusal(self, error: InvalidStatus) -> UpbitFramesError:
        status = error.response.status_code
        text = error_message(bytes(error.response.body or b"")) or error.response.reason_phrase
        if status == 418:
            stated = headers.block_seconds(_header(error.response, "retry-after"), text, self._clock.now())
            return self._limiter.blocked(redacted(self.url), stated)
        context: dict[str, Any] = {"status": status, "url": redacted(self.url)}
        if status == 429:
            self._refused += 1
            self._limiter.refused(GROUP, self._refused)
            return RateLimited("too many connections were opened", suggestion="open fewer of them", **context)
        if status >= 500:
            return ServerError(f"the exchange failed to open a WebSocket: {text}", **context)
        return ApiError(
            f"the exchange refused to open a WebSocket: {text}", suggestion="check the setting 'ws_url'", **context
        )


def _header(response: Response | None, name: str) -> str | None:
    """Return the first value of a header; get_all, because a repeated header would raise."""
    values = response.headers.get_all(name) if response is not None else []
    return values[0] if values else None


class _Socket:
    """A WebSocket."""

    can_wait = False

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
        try:
            await self._socket.close()
        except asyncio.CancelledError:  # no one waits for the other side any more
            self._socket.transport.abort()
            raise

    def _lost(self, closed: ConnectionClosed) -> ConnectionFailed:
        if closed.sent is not None and "keepalive" in closed.sent.reason:
            why = "no answer to a ping"
        elif closed.rcvd is not None:
            why = f"closed by the exchange with {closed.rcvd.code} {closed.rcvd.reason}".rstrip()
        else:
            why = "broken off"
        return ConnectionFailed(f"the WebSocket is lost: {why}", url=self._url)
