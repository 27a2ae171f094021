"""What the tests of this folder share: lively markets, and an sink at the end of a connection."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from upbit_frames.core.topics import Topic
from upbit_frames.errors import ApiError, UpbitFramesError
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.exchange.transport.rate_limit_state import SharedSlots
from upbit_frames.exchange.transport.rate_limiter import Limiter
from upbit_frames.exchange.transport.reconnecting import WsConnection
from upbit_frames.exchange.transport.rest import RestTransport
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.transport.websocket import SocketDialer
from upbit_frames.live.hub.backfill import RestBackfill
from upbit_frames.live.hub.hub import Hub
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.clock import ServerTime, SystemClock
from upbit_frames.store.memory import MemoryStore
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import Listing, default_listings

NOW = "2026-03-01T03:00:20Z"
BTC, ETH = Topic("trade", "KRW-BTC"), Topic("trade", "KRW-ETH")
QUICK = RetryPolicy(attempts=3, base=0.01, cap=0.05)


def lively(per_day: float = 300_000.0) -> list[Listing]:
    """The default markets, two of them with several trades a second."""
    busy = ("KRW-BTC", "KRW-ETH")
    return [replace(one, trades_per_day=per_day) if one.market in busy else one for one in default_listings()]


def limiter(folder: Path) -> Limiter:
    """Limits that no other test shares."""
    return Limiter(SharedSlots("test", folder=folder / "slots"), clock=SystemClock())


def dialer(exchange: Exchange, folder: Path, **options: Any) -> SocketDialer:
    return SocketDialer(exchange.ws_url, clock=SystemClock(), limiter=limiter(folder), **options)


async def until(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came to that"
        await asyncio.sleep(0.005)


@dataclass
class RecordingSink:
    """Remembers the events of a connection."""

    frames: list[bytes] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    breaks: list[UpbitFramesError] = field(default_factory=list)
    refusals: list[ApiError] = field(default_factory=list)
    ends: list[UpbitFramesError | None] = field(default_factory=list)

    def opened(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def frame(self, frame: bytes, received: int) -> None:
        self.frames.append(frame)
        self.received.append(received)

    def congested(self) -> bool:
        return False

    def broken(self, error: UpbitFramesError) -> None:
        self.breaks.append(error)

    def refused(self, error: ApiError) -> None:
        self.refusals.append(error)

    def ended(self, error: UpbitFramesError | None) -> None:
        self.ends.append(error)


def connection(
    exchange: Exchange,
    folder: Path,
    sink: RecordingSink,
    retry: RetryPolicy = QUICK,
    format_: str = "DEFAULT",
    **options: Any,
) -> WsConnection:
    return WsConnection(dialer(exchange, folder, **options), sink, clock=SystemClock(), retry=retry, format=format_)


def asked(message: str) -> set[tuple[str, str]]:
    """What a request subscribes to: (type, code)."""
    return {(part["type"], code) for part in json.loads(message) if "type" in part for code in part["codes"]}


def pairs(topics: Iterable[Topic]) -> set[tuple[str, str]]:
    return {(one.type, one.market) for one in topics}


@asynccontextmanager
async def hub_of(
    exchange: Exchange, folder: Path, *, url: str = "", rest_tries: int = 2, **options: Any
) -> AsyncIterator[Hub]:
    """A hub with everything that belongs to it, and nothing shared with other tests."""
    clock = SystemClock()
    server_time, shared = ServerTime(clock), limiter(folder)
    rest = RestTransport(
        exchange.rest_url, clock=clock, server_time=server_time, limiter=shared, timeout=10.0,
        retry=RetryPolicy(attempts=rest_tries, base=0.01, cap=0.02),
    )  # fmt: skip
    pings = {name: options.pop(name) for name in ("ping_interval", "ping_timeout") if name in options}
    socket = SocketDialer(url or exchange.ws_url, clock=clock, limiter=shared, **pings)
    backfill = options.pop("backfill", None) or RestBackfill(Ports(RestApi(rest), MemoryStore(), clock, server_time))
    it = Hub(socket, backfill, clock=clock, server_time=server_time, **{"retry": QUICK, "settle": 2.0, **options})
    try:
        yield it
    finally:
        async with asyncio.timeout(60):
            await it.aclose()
            await rest.aclose()


async def listened(exchange: Exchange, folder: Path, topics: list[Topic], format_: str, seconds: float) -> list[bytes]:
    """Return all frames of some virtual seconds, snapshots first."""
    sink = RecordingSink()
    connected = connection(exchange, folder, sink, format_=format_)
    streams = exchange.streams
    before = len(streams.connections)
    try:
        connected.subscribe(topics)
        await until(lambda: len(streams.connections) > before and streams.connections[before].sent)
        await sent_up_to_now(exchange)
        exchange.clock.advance(seconds)
        await sent_up_to_now(exchange)
        assert await connected.alive(60.0)  # answered after everything that was sent before
        await until(lambda: len(sink.frames) == streams.connections[before].sent)
    finally:
        await connected.aclose()
        await until(lambda: streams.connections[before].ended)
    return sink.frames


async def sent_up_to_now(exchange: Exchange) -> None:
    def sent() -> bool:
        clients = list(exchange.streams._clients)
        return all(one.session.now >= exchange.clock.now() and not one.sending.locked() for one in clients)

    await until(sent)
