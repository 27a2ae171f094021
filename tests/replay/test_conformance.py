"""What is recorded and replayed keeps the contract of what it stands for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import pytest
from support.conformance.wires import RestConformance, WireConformance

from upbit_frames.core.config import Config
from upbit_frames.core.endpoints import ENDPOINTS
from upbit_frames.errors import MarketNotFound, NotRecorded
from upbit_frames.exchange.transport.rate_limit_state import SharedSlots
from upbit_frames.exchange.transport.rate_limiter import Limiter
from upbit_frames.exchange.transport.reconnecting import Wire
from upbit_frames.exchange.transport.rest import RestTransport
from upbit_frames.exchange.transport.websocket import SocketDialer
from upbit_frames.replay.cassette_ports import open_ports
from upbit_frames.replay.clocks import TapeClock
from upbit_frames.replay.interactions import InteractionLog
from upbit_frames.replay.loaded_tape import LoadedTape
from upbit_frames.replay.tape_wire import RecordingWire, TapePlayer
from upbit_frames.runtime.clock import SystemClock
from upbit_frames.runtime.fixed_clock import FixedServerTime
from upbit_frames.testing import Exchange

REQUESTS = [
    ("ticker", {"markets": "KRW-BTC"}),
    ("markets", {"is_details": "true"}),
    ("ticker", {"markets": "KRW-NONE"}),
]


@dataclass
class Dialer:
    """A dialer from a function."""

    dial: Callable[[], Any]
    live: bool


class TestRecordingWire(WireConformance):
    @pytest.fixture
    def opened(self, exchange: Exchange, tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Dialer]]:
        limiter = Limiter(SharedSlots("test", folder=tmp_path / "slots"), clock=SystemClock())
        socket = SocketDialer(exchange.ws_url, clock=SystemClock(), limiter=limiter)

        def note(kind: str, value: object, at: int | None) -> int:
            return SystemClock().now() if at is None else at

        async def dial() -> Wire:
            return RecordingWire(await socket.dial(), note)

        @asynccontextmanager
        async def open_dialer() -> AsyncIterator[Dialer]:
            yield Dialer(dial, live=True)

        return open_dialer


class TestTapePlayer(WireConformance):
    live = False

    @pytest.fixture(params=[inf, 50.0], ids=["at full speed", "in time"])
    def opened(
        self, request: pytest.FixtureRequest, make_tape: Callable[..., Path]
    ) -> Callable[[], AbstractAsyncContextManager[Dialer]]:
        tape = LoadedTape(make_tape("tape", 5))

        @asynccontextmanager
        async def open_dialer() -> AsyncIterator[Dialer]:
            clock = TapeClock(SystemClock())
            on, position, _ = tape.joins[0]
            player = TapePlayer(tape.connections[on], position, clock, FixedServerTime(clock), request.param)
            yield Dialer(player.dial, live=False)

        return open_dialer


def cassette(exchange: Exchange, log: InteractionLog) -> Callable[[], AbstractAsyncContextManager[RestTransport]]:
    config = Config(rest_url=exchange.rest_url, timeout=30.0)

    @asynccontextmanager
    async def open_transport() -> AsyncIterator[RestTransport]:
        _, rest = open_ports(config, exchange.clock.now(), log, lambda key: NotRecorded(key.text))
        try:
            yield rest
        finally:
            await rest.aclose()

    return open_transport


def new_log(recorded: InteractionLog | None = None) -> InteractionLog:
    loaded = [] if recorded is None else recorded.recorded
    return InteractionLog(loaded, replays=True, protected=recorded is not None)


class TestRecordingRest(RestConformance):
    @pytest.fixture
    def transport(self, exchange: Exchange) -> Callable[[], AbstractAsyncContextManager[RestTransport]]:
        return cassette(exchange, new_log())


class TestReplayedRest(RestConformance):
    @pytest.fixture
    def transport(self, exchange: Exchange) -> Callable[[], AbstractAsyncContextManager[RestTransport]]:
        log = new_log()
        recorder = cassette(exchange, log)

        async def record() -> None:
            async with recorder() as rest:
                for name, params in REQUESTS:
                    try:
                        await rest.get(ENDPOINTS[name], params)
                    except MarketNotFound:
                        assert params == {"markets": "KRW-NONE"}

        asyncio.run(record())
        assert len(log.recorded) == len(REQUESTS)
        assert len(exchange.requests) == len(REQUESTS)
        exchange.requests.clear()
        return cassette(exchange, new_log(log))

    def test_nothing_is_sent(self, transport: Any, exchange: Exchange) -> None:
        self.get(transport, *REQUESTS[:2])
        assert not exchange.requests
        with pytest.raises(NotRecorded):
            self.get(transport, ("ticker", {"markets": "KRW-ETH"}))
        assert not exchange.requests
