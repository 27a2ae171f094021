"""A loopback server that answers as it is told, and a transport that asks it."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from loopback import listening

from upbit_frames.exchange.transport.rate_limit_state import SharedSlots
from upbit_frames.exchange.transport.rate_limiter import Limiter
from upbit_frames.exchange.transport.rest import RestTransport
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.runtime.clock import ServerTime, SystemClock


@dataclass
class Answer:
    """What the server does with one request."""

    status: int = 200
    body: bytes = b"[]"
    headers: dict[str, str] = field(default_factory=dict)
    zipped: bool = False
    raw: bytes | None = None  # sent instead of everything, as it is
    then: str = "keep"  # keep, close (an orderly end), reset (an abrupt one), hang
    delay: float = 0.0
    short_by: int = 0  # bytes that the length promises and that never come

    def wire(self) -> bytes:
        if self.raw is not None:
            return self.raw
        body = gzip.compress(self.body) if self.zipped else self.body
        headers = {"Content-Type": "application/json;charset=UTF-8", **self.headers}
        if self.zipped:
            headers["Content-Encoding"] = "gzip"
        lines = [f"HTTP/1.1 {self.status} Reason", *(f"{name}: {value}" for name, value in headers.items())]
        lines += [f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body[: len(body) - self.short_by]


@dataclass
class Asked:
    at: float
    target: str
    headers: dict[str, str]


class Server:
    """Answers by a function of the number of the request, from 0."""

    def __init__(self, answer: Callable[[int], Answer]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines)
                self.asked.append(Asked(time.monotonic(), first.split()[1], headers))
                answer = self.answer(len(self.asked) - 1)
                await asyncio.sleep(answer.delay)
                writer.write(answer.wire())
                await writer.drain()
                if answer.then == "hang":
                    await asyncio.sleep(60)
                if answer.then == "reset":
                    writer.transport.abort()
                if answer.then != "keep":
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@dataclass
class Rig:
    """A server, the transport that asks it, and what the transport noticed."""

    server: Server
    url: str
    transport: RestTransport
    limiter: Limiter
    slots: SharedSlots
    server_time: ServerTime


@pytest.fixture
def rig(tmp_path: Path) -> Callable[..., Any]:
    """An async context manager: ``async with rig(answer, attempts=…) as it``."""

    @asynccontextmanager
    async def make(
        answer: Callable[[int], Answer] | Answer, *, attempts: int = 3, timeout: float = 20.0, pause: float = 0.0
    ) -> AsyncIterator[Rig]:
        server = Server(answer if callable(answer) else lambda number: answer)
        async with listening(server.serve) as port:
            slots = SharedSlots("test", folder=tmp_path / "slots")
            clock = SystemClock()
            limiter = Limiter(slots, clock=clock)
            server_time = ServerTime(clock)
            transport = RestTransport(
                f"http://127.0.0.1:{port}", clock=clock, server_time=server_time, limiter=limiter, timeout=timeout,
                retry=RetryPolicy(attempts=attempts, base=pause, cap=pause),
            )  # fmt: skip
            try:
                yield Rig(server, transport.base_url, transport, limiter, slots, server_time)
            finally:
                await transport.aclose()

    return make


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def answer() -> type[Answer]:
    """What a test describes its answers with."""
    return Answer
