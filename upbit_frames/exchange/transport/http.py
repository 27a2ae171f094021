"""HTTP answers with limits on everything: time, size on the wire, size inflated, encodings.

A timeout of the HTTP library restarts with every byte, so a server that sends a byte a second
would hold a caller for ever. Here one deadline covers an answer as a whole, from the moment its
request is sent. Bodies are inflated here and in small pieces, so that their size is known before
they are in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from upbit_frames._version import __version__
from upbit_frames.core.urls import redacted
from upbit_frames.errors import ConfigError, ConnectionFailed, SchemaError
from upbit_frames.runtime.network import check_allowed

__all__ = ["MAX_ERROR_BODY", "Connections", "Incoming", "answering", "certificates", "open_client"]

MAX_ERROR_BODY = 1 << 16  # bytes of a refusal that are read; its message is within the first few
PIECE = 1 << 16  # bytes inflated at a time
IDLE = 6.0  # seconds after the last answer; a connection is not used again after five anyway
_PROXIES = "check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in the environment"


@functools.cache
def certificates() -> ssl.SSLContext:
    """Return the TLS context that all clients of the process share; reading it takes longer than a request."""
    return httpx.create_ssl_context()


def open_client(
    timeout: float, connections: int, headers: dict[str, str], *, pool: float | None = None
) -> httpx.AsyncClient:
    """Make the client of a transport; redirects are never followed, certificates always verified.

    Parameters
    ----------
    timeout : float
        Seconds for each step of connecting.
    connections : int
        The most that are open at once.
    headers : dict
        Sent with every request. Never an Origin: with one Upbit allows a request in ten seconds.
    pool : float, optional
        Seconds to wait for a connection that others use; None: as long as it takes.

    Raises
    ------
    ConfigError
        If the environment names a proxy that cannot be used.
    ConnectionFailed
        If the certificates cannot be read.
    """
    try:
        return httpx.AsyncClient(
            verify=certificates(),
            timeout=httpx.Timeout(timeout, pool=pool),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"User-Agent": f"upbit-frames/{__version__}", **headers},
            follow_redirects=False,
        )
    except ImportError as error:
        raise ConfigError(
            "the environment names a SOCKS proxy, which needs the package socksio",
            suggestion=f"pip install 'httpx[socks]', or {_PROXIES}",
        ) from error
    except OSError as error:
        raise ConnectionFailed(
            f"the certificates of this machine cannot be read: {error}",
            suggestion="check SSL_CERT_FILE and SSL_CERT_DIR, and how many files are open",
        ) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigError(
            f"the environment names a proxy that cannot be used: {redacted(str(error))}", suggestion=_PROXIES
        ) from error


class Connections:
    """The connections of one transport, on one event loop; closed when they have been idle for a while.

    Parameters
    ----------
    open : function () -> httpx.AsyncClient
        Called for the first request, and for the first after a pause.
    """

    def __init__(self, open: Callable[[], httpx.AsyncClient]) -> None:  # noqa: A002 - says what it does
        self._open = open
        self._client: httpx.AsyncClient | None = None
        self._in_use = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._in_use == 0

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.AsyncClient]:
        """Use the connections for one request."""
        if self._client is None:
            self._client = self._open()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._in_use += 1
        try:
            yield self._client
        finally:
            self._in_use -= 1
            if self.idle and self._client is not None:
                self._timer = asyncio.get_running_loop().call_later(IDLE, self._close_idle)

    async def aclose(self) -> None:
        """Close all connections; the next request opens new ones."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _close_idle(self) -> None:
        if self.idle:
            task = asyncio.get_running_loop().create_task(self.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


@dataclass
class Incoming:
    """An answer whose head has come.

    Attributes
    ----------
    status : int
    headers : httpx.Headers
    size : int
        Bytes of the body that came over the wire so far.
    """

    response: httpx.Response
    progress: Callable[[int], None]
    url: str
    size: int = 0

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    @property
    def headers(self) -> httpx.Headers:
        """The head."""
        return self.response.headers

    async def body(self, most: int) -> bytes:
        """Read the body whole; SchemaError if it is longer than ``most`` bytes.

        Of a refusal only the beginning is read, because its size says nothing.
        """
        whole = bytearray()
        refusal = not 200 <= self.status < 300
        async for piece in self.pieces(most):
            whole += piece
            if refusal and len(whole) >= MAX_ERROR_BODY:
                return bytes(whole[:MAX_ERROR_BODY])
        return bytes(whole)

    async def pieces(self, most: int) -> AsyncIterator[bytes]:
        """Read the body in pieces, inflated; SchemaError as soon as it is longer than ``most`` bytes."""
        inflated = 0
        decode = self._decoder()
        async for raw in self.response.aiter_raw():
            self.size += len(raw)
            self.progress(self.size)
            for piece in decode.feed(raw):
                inflated += len(piece)
                if max(inflated, self.size) > most:
                    raise SchemaError(
                        f"the answer is longer than {most:,} bytes",
                        suggestion="nothing of it was used; a proxy may be altering answers: check HTTPS_PROXY",
                        url=self.url,
                        most=most,
                    )
                yield piece
        decode.end()

    def _decoder(self) -> _Plain | _Gunzip:
        codings = [name.strip().lower() for name in self.headers.get("Content-Encoding", "").split(",")]
        codings = [name for name in codings if name not in ("", "identity")]
        if not codings:
            return _Plain()
        if codings in (["gzip"], ["x-gzip"]):
            return _Gunzip()
        raise SchemaError(
            f"the answer is encoded as {', '.join(codings)[:80]!r}; expected gzip, applied once",
            suggestion="nothing of it was used; a proxy may be altering answers: check HTTPS_PROXY",
            url=self.url,
        )


class _Plain:
    def feed(self, raw: bytes) -> Iterator[bytes]:
        yield raw

    def end(self) -> None:
        """Do nothing: a missing end shows in the length of the body."""


class _Gunzip:
    def __init__(self) -> None:
        self._engine = zlib.decompressobj(wbits=31)
        self._begun = False

    def feed(self, raw: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(raw)
        more = True
        while more and not self._engine.eof:
            try:
                piece = self._engine.decompress(raw, PIECE)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            raw = self._engine.unconsumed_tail
            more = bool(raw) or len(piece) == PIECE  # a full piece may have more behind it
            if piece:
                yield piece

    def end(self) -> None:
        if self._begun and not self._engine.eof:
            raise httpx.DecodingError("the compressed body ends early")


@contextlib.asynccontextmanager
async def answering(
    client: httpx.AsyncClient,
    url: httpx.URL | str,
    *,
    timeout: float,
    public_url: str,
    sent: Callable[[], None] | None = None,
    slowest: float | None = None,
    **options: Any,
) -> AsyncIterator[Incoming]:
    """Send a GET request and give its answer within a deadline for the whole of it.

    Parameters
    ----------
    client : httpx.AsyncClient
    url : httpx.URL or str
    timeout : float
        Seconds for connecting, and again from sending the request to the end of the answer.
    public_url : str
        The URL as errors may show it.
    sent : function, optional
        Called when the request begins to leave: waiting for a connection is over.
    slowest : float, optional
        Bytes a second: an answer that comes at least so fast has as long as it needs.
    **options
        Of the request: headers, params.

    Raises
    ------
    httpx.HTTPError
        ``ReadTimeout`` also where the deadline is over.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(None) as limit:

            async def trace(event: str, info: object) -> None:
                nonlocal began
                check_allowed(str(url))  # at the connection: what vcrpy replays needs none
                if event.endswith("send_request_headers.started"):
                    began = loop.time()
                    limit.reschedule(began + timeout)
                    if sent is not None:
                        sent()
                elif event.endswith("connect_tcp.started"):
                    limit.reschedule(loop.time() + 2 * timeout)  # connecting, then TLS or a proxy's handshake

            def progress(size: int) -> None:
                if slowest is not None:
                    limit.reschedule(began + timeout + size / slowest)

            async with client.stream("GET", url, extensions={"trace": trace}, **options) as response:
                yield Incoming(response, progress, public_url)
    except TimeoutError as error:
        raise httpx.ReadTimeout(f"the answer is not complete after {timeout:g} s") from error
