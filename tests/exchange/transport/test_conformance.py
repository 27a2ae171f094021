"""REST over httpx and WebSockets keep the contract that replays keep too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from support.conformance.wires import RestConformance, WireConformance

from upbit_frames.exchange.transport.rate_limit_state import SharedSlots
from upbit_frames.exchange.transport.rate_limiter import Limiter
from upbit_frames.exchange.transport.rest import RestTransport
from upbit_frames.exchange.transport.websocket import SocketDialer
from upbit_frames.runtime.clock import ServerTime, SystemClock
from upbit_frames.testing import Exchange


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, limits=False) as exchange:
        yield exchange


@pytest.fixture
def limiter(tmp_path: Path) -> Limiter:
    return Limiter(SharedSlots("test", folder=tmp_path / "slots"), clock=SystemClock())


class TestSocketDialer(WireConformance):
    @pytest.fixture
    def opened(self, exchange: Exchange, limiter: Limiter) -> Callable[[], AbstractAsyncContextManager[SocketDialer]]:
        @asynccontextmanager
        async def open_dialer() -> AsyncIterator[SocketDialer]:
            yield SocketDialer(exchange.ws_url, clock=SystemClock(), limiter=limiter)

        return open_dialer


class TestRestTransport(RestConformance):
    @pytest.fixture
    def transport(
        self, exchange: Exchange, limiter: Limiter
    ) -> Callable[[], AbstractAsyncContextManager[RestTransport]]:
        @asynccontextmanager
        async def open_transport() -> AsyncIterator[RestTransport]:
            clock = SystemClock()
            rest = RestTransport(
                exchange.rest_url, clock=clock, server_time=ServerTime(clock), limiter=limiter, timeout=30.0
            )
            try:
                yield rest
            finally:
                await rest.aclose()

        return open_transport
