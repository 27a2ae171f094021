"""HTTP/1.1 on loopback for the stand-in exchange: keep-alive, gzip, and every way to misbehave."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate

import h11

from upbit_frames.testing.server.http_messages import Reply, Request

__all__ = ["HttpServer"]

_READ = 65_536
_GZIP_LEVEL = 1  # loopback is not short of bytes
_GZIP_FROM = 256


class HttpServer:
    """A listening socket whose requests all go to a single function.

    Parameters
    ----------
    respond : coroutine function (Request) -> Reply
    date : function () -> int
        Seconds since the epoch for the ``Date`` header.
    """

    def __init__(self, respond: Callable[[Request], Awaitable[Reply]], date: Callable[[], int]) -> None:
        self._respond = respond
        self._date = date
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free port."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=_READ)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break every connection."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            # Cancelled by stop(): this is the end of the task, so the error goes nowhere.
            with suppress(asyncio.CancelledError, ConnectionError):
                await _Connection(reader, writer, self._respond, self._date).serve()
        finally:
            self._connections.discard(task)
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()


class _Connection:
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        respond: Callable[[Request], Awaitable[Reply]],
        date: Callable[[], int],
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.respond = respond
        self.date = date
        self.http = h11.Connection(h11.SERVER)
        self.caller = str(writer.get_extra_info("peername")[0])

    async def serve(self) -> None:
        """Answer requests in order until either side closes."""
        while True:
            try:
                request = await self.read()
            except h11.RemoteProtocolError as wrong:
                await self.write(h11.Response(status_code=wrong.error_status_hint, headers=[("Connection", "close")]))
                return
            if request is None:
                return
            if not await self.answer(request, await self.respond(request)):
                return
            if self.http.our_state is h11.MUST_CLOSE:
                await self.close()
                return
            self.http.start_next_cycle()

    async def read(self) -> Request | None:
        """Return the next request; None when the client has disconnected."""
        request: Request | None = None
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(await self.reader.read(_READ))
            elif isinstance(event, h11.Request):
                path, _, query = event.target.decode("latin-1").partition("?")
                headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                request = Request(event.method.decode(), path, query, headers, self.caller)
            elif isinstance(event, h11.EndOfMessage):
                return request
            elif isinstance(event, h11.ConnectionClosed):
                return None

    async def answer(self, request: Request, reply: Reply) -> bool:
        """Send the reply; False if the connection is to be broken now."""
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.silent:
            while await self.reader.read(_READ):  # until the client gives up
                pass
            return False
        if reply.drop_after == -1:
            return False
        headers, body = self.encoded(request, reply)
        await self.write(h11.Response(status_code=reply.status, headers=headers))
        if reply.drop_after is not None:
            await self.write(h11.Data(data=body[: max(1, min(reply.drop_after, len(body) - 1))]))
            await self.close()
            return False
        if reply.drip is not None:
            size, pause = reply.drip
            for begin in range(0, len(body), size):
                await self.write(h11.Data(data=body[begin : begin + size]))
                await asyncio.sleep(pause)
        elif body:
            self.writer.write(self.http.send(h11.Data(data=body)) or b"")
        await self.write(h11.EndOfMessage())
        return True

    def encoded(self, request: Request, reply: Reply) -> tuple[list[tuple[str, str]], bytes]:
        """Return headers with date, framing and encoding, and the body to send."""
        date = [] if reply.skew is None else [("Date", formatdate(self.date() + reply.skew, usegmt=True))]
        headers = [*date, *reply.headers]
        body = reply.body
        # Upbit compresses what it streams; what has a length goes out as it is.
        if reply.chunked and len(body) >= _GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
            packer = zlib.compressobj(_GZIP_LEVEL, wbits=31)
            body = packer.compress(body) + packer.flush()
            headers.append(("Content-Encoding", "gzip"))
        if reply.chunked and body:
            headers.append(("Transfer-Encoding", "chunked"))
        else:
            headers.append(("Content-Length", str(len(body))))
        return headers, body

    async def write(self, event: h11.Event) -> None:
        """Send a piece and wait while the client reads too slowly."""
        self.writer.write(self.http.send(event) or b"")
        await self.writer.drain()

    async def close(self) -> None:
        """Say that nothing more will come, after everything was sent."""
        with suppress(OSError):
            await self.writer.drain()
            self.writer.close()
            await self.writer.wait_closed()
