"""What every WebSocket connection does, live or replayed, and every REST transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from upbit_frames.core.endpoints import ENDPOINTS
from upbit_frames.core.topics import Topic, request
from upbit_frames.errors import ConnectionFailed, MarketNotFound
from upbit_frames.exchange.transport.reconnecting import Dialer, EndOfTape, Wire
from upbit_frames.exchange.transport.rest import RestTransport
from upbit_frames.exchange.wire.messages import control, decode

__all__ = ["SUBSCRIPTION", "RestConformance", "WireConformance"]

SUBSCRIPTION = request([Topic("trade", "KRW-BTC"), Topic("ticker", "KRW-BTC")], "conformance", "DEFAULT")
SECONDS = 60  # more than any machine is busy: only a hang takes so long


async def drained(wire: Wire) -> None:
    """Receive until the connection says that it has ended."""
    while True:
        await wire.receive()


class WireConformance:
    """Inherited by the tests of every :class:`~upbit_frames.exchange.transport.reconnecting.Dialer`.

    A subclass has a fixture ``opened``: a function that returns an asynchronous context manager of a dialer,
    whose other side delivers frames of ``SUBSCRIPTION`` after it was requested. ``live`` is what it says of itself.
    """

    live = True

    @pytest.fixture
    def opened(self) -> Callable[[], AbstractAsyncContextManager[Dialer]]:
        raise NotImplementedError("the subclass returns a function that opens a dialer")

    def run(self, opened: Callable[[], AbstractAsyncContextManager[Dialer]], work: Callable[[Dialer], Any]) -> Any:
        async def inside() -> Any:
            async with opened() as dialer:
                return await asyncio.wait_for(work(dialer), SECONDS)

        return asyncio.run(inside())

    def test_frames_arrive_after_the_request(self, opened: Any) -> None:
        async def work(dialer: Dialer) -> list[tuple[bytes, int]]:
            wire = await dialer.dial()
            await wire.send(SUBSCRIPTION)
            frames: list[tuple[bytes, int]] = []
            while len(frames) < 2:
                frame, received = await wire.receive()
                if control(frame) is None:
                    frames.append((frame, received))
            await wire.close()
            return frames

        frames = self.run(opened, work)
        assert all(isinstance(frame, bytes) and type(received) is int for frame, received in frames)
        assert [received for _, received in frames] == sorted(received for _, received in frames)
        rows, refused = decode(*zip(*frames, strict=True))
        assert (len(rows), refused) == (2, [])
        assert [row.received_at for row in rows] == [received for _, received in frames]

    def test_what_it_says_of_itself(self, opened: Any) -> None:
        async def work(dialer: Dialer) -> tuple[bool, bool]:
            wire = await dialer.dial()
            await wire.close()
            return dialer.live, wire.can_wait

        assert self.run(opened, work) == (self.live, not self.live)

    def test_it_is_alive_while_it_is_open(self, opened: Any) -> None:
        async def work(dialer: Dialer) -> bool:
            wire = await dialer.dial()
            try:
                return await wire.alive(SECONDS)
            finally:
                await wire.close()

        assert self.run(opened, work) is True

    def test_it_may_be_closed_twice_and_then_delivers_nothing_more(self, opened: Any) -> None:
        async def work(dialer: Dialer) -> None:
            wire = await dialer.dial()
            await wire.send(SUBSCRIPTION)
            await wire.close()
            await wire.close()
            with pytest.raises((ConnectionFailed, EndOfTape)):
                await drained(wire)  # frames that had arrived before are still delivered

        self.run(opened, work)

    def test_receiving_can_be_cancelled(self, opened: Any) -> None:
        async def work(dialer: Dialer) -> None:
            wire = await dialer.dial()
            waiting = asyncio.create_task(wire.receive())  # nothing has been requested
            await asyncio.sleep(0)
            waiting.cancel()
            outcome = await asyncio.gather(waiting, return_exceptions=True)
            assert isinstance(outcome[0], asyncio.CancelledError)
            await wire.close()

        self.run(opened, work)


class RestConformance:
    """Inherited by the tests of every :class:`~upbit_frames.exchange.transport.rest.RestTransport`.

    A subclass has a fixture ``transport``: a function that returns an asynchronous context manager of a
    transport. Its other side knows the market list, the ticker of KRW-BTC, and no market KRW-NONE.
    """

    @pytest.fixture
    def transport(self) -> Callable[[], AbstractAsyncContextManager[RestTransport]]:
        raise NotImplementedError("the subclass returns a function that opens a transport")

    def get(self, transport: Any, *requests: tuple[str, dict[str, str]]) -> list[Any]:
        async def inside() -> list[Any]:
            async with transport() as rest:
                return [await rest.get(ENDPOINTS[name], params) for name, params in requests]

        return asyncio.run(inside())

    def test_an_answer_has_its_body_and_times(self, transport: Any) -> None:
        (reply,) = self.get(transport, ("ticker", {"markets": "KRW-BTC"}))
        assert reply.status == 200
        assert reply.body.lstrip().startswith(b"[")
        assert b"KRW-BTC" in reply.body
        assert reply.url.endswith("/v1/ticker?markets=KRW-BTC")
        assert reply.attempts == 1
        assert type(reply.received) is int
        assert reply.server_time % 1_000_000 == 0

    def test_answers_come_in_the_order_of_the_requests(self, transport: Any) -> None:
        first, second = self.get(transport, ("markets", {"is_details": "true"}), ("ticker", {"markets": "KRW-BTC"}))
        assert b"korean_name" in first.body
        assert b"trade_price" in second.body
        assert first.received <= second.received

    def test_a_refusal_is_the_same_error(self, transport: Any) -> None:
        with pytest.raises(MarketNotFound) as caught:
            self.get(transport, ("ticker", {"markets": "KRW-NONE"}))
        assert caught.value.status == 404
        assert caught.value.market == "KRW-NONE"
        assert caught.value.suggestion
