"""What a client opened is closed: by the client, when it is idle, and when there are too many."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import upbit_frames as uf
from upbit_frames.api import engine
from upbit_frames.exchange.transport import http
from upbit_frames.testing import Exchange

linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors of Linux")


def sockets() -> int:
    count = 0
    for handle in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(handle.readlink()).startswith("socket:")
    return count


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_closed_client_says_so(exchange: Exchange, make_client: Callable[..., uf.Client]) -> None:
    with make_client(exchange) as client:
        assert len(client.candles("KRW-BTC", count=3)) == 3
        assert engine.is_open(client.config)
    assert not engine.is_open(client.config)
    for call in (client.candles, client.ticker, client.plan, client.stream, client.follow):
        with pytest.raises(uf.errors.UsageError, match="this Client is closed"):
            call("KRW-BTC")
    client.close()  # again does nothing
    assert client.closed
    assert len(make_client(exchange).candles("KRW-BTC", "1d", count=3)) == 3  # others go on


def test_a_closed_async_client_says_so(exchange: Exchange, make_client: Callable[..., uf.Client]) -> None:
    async def work() -> None:
        async with uf.AsyncClient(make_client(exchange).config) as client:
            assert len(await client.candles("KRW-BTC", count=3)) == 3
        assert not engine.is_open(client.config)
        with pytest.raises(uf.errors.UsageError, match="this AsyncClient is closed"):
            await client.candles("KRW-BTC")
        with pytest.raises(uf.errors.UsageError):
            client.stream("KRW-BTC")

    asyncio.run(work())


def test_closing_before_the_first_call(exchange: Exchange, make_client: Callable[..., uf.Client]) -> None:
    make_client(exchange, timeout=7.7).close()


@linux
def test_closing_leaves_a_call_under_way_alone(exchange: Exchange, make_client: Callable[..., uf.Client]) -> None:
    exchange.delay = 0.2
    other = make_client(exchange)

    async def work() -> None:
        call = asyncio.create_task(uf.AsyncClient(other.config).candles("KRW-BTC", "1m", count=1500))
        await asyncio.sleep(0.3)
        async with uf.AsyncClient(other.config):
            pass
        assert len(await call) == 1500

    asyncio.run(work())


@linux
def test_many_clients_keep_few_sockets(
    exchange: Exchange, make_client: Callable[..., uf.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "IDLE", 0.5)
    before = sockets()
    clients = [make_client(exchange, timeout=5 + number / 100) for number in range(60)]
    for client in clients:
        client.ticker("KRW-BTC", source="rest")
    assert len(engine._engines) <= engine.MAX_ENGINES
    # Both ends of a connection are in this process.
    until(lambda: sockets() - before <= 4)
    for client in clients[:3]:
        client.ticker("KRW-BTC", source="rest")
