"""Plays a scenario on virtual time: the router, the live channel and the hub are real, the line is a model.

Nothing depends on the machine: the same scenario gives the same costs to the last digit, in a fraction of
the time that it describes. What a call takes beside the line's round trips are the constants below.
``Player`` of ``router_play.py`` plays the same scenarios over real sockets and in real time.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import Counter
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import urlencode

from benchmarks.router_cost import Call, Run
from benchmarks.router_play import TAIL, remaining_subscription, score
from benchmarks.router_scenarios import Scenario
from benchmarks.router_world import SEED, START, Truth, source_of
from support.virtual_loop import VirtualClock, run_virtually

from upbit_frames.api.calls.call import render
from upbit_frames.core.endpoints import Endpoint
from upbit_frames.core.market_selection import parse_selection
from upbit_frames.core.query import CandleQuery, TradeQuery, View
from upbit_frames.errors import UpbitFramesError
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.exchange.transport.rest import Reply
from upbit_frames.live import channel as live_channel
from upbit_frames.live.channel import LiveChannel
from upbit_frames.live.hub import hub as live_hub
from upbit_frames.live.hub.backfill import RestBackfill
from upbit_frames.live.hub.hub import Hub
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import Ports
from upbit_frames.router.quotes import QuoteRouter
from upbit_frames.router.trades import TradeRouter
from upbit_frames.runtime.clock import ServerTime
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.memory import MemoryStore
from upbit_frames.testing.market.book import Book, beat_of, make_book
from upbit_frames.testing.market.exact_math import seeded
from upbit_frames.testing.market.model import MarketModel
from upbit_frames.testing.server.http_messages import Request
from upbit_frames.testing.server.limits import Limits
from upbit_frames.testing.server.rest_app import Bodies, RestApp
from upbit_frames.testing.server.ws_session import Session

__all__ = ["play"]

REQUEST = 0.003  # seconds of processor time for sending a request and reading its answer
READ = 0.0002  # seconds of processor time for the newest rows of a subscription
OPENING = 2  # round trips of TCP and TLS
KEEP_ALIVE = 5.0  # seconds for which httpx keeps a connection that nothing uses
BEATS = {"orderbook": 0.1}  # seconds between two looks of the exchange at what has happened; books come on this grid
BEAT = 0.02
LEAD = 0.3  # seconds before the first call


class RememberingModel(MarketModel):
    """Makes a book once for all moments at which it is the same."""

    def __init__(self, codes: tuple[str, ...]) -> None:
        super().__init__(SEED, [source_of(code) for code in codes], now=lambda: 1 << 60)
        self._books: dict[tuple[str, int], Book] = {}

    def book(self, market: str, at: int | None = None) -> Book:
        """Return the order book at a moment."""
        assert at is not None
        listing, last = source_of(market).listing, self.last_trade(market, at)
        beat, phase = beat_of(listing) * 1000, _phase(market) * 1000
        key = (market, max((at - phase) // beat * beat + phase, int(last.ms[0]) * 1000 if len(last) else 0))
        if key not in self._books:
            self._books[key] = make_book(listing, SEED, last, at)
        return self._books[key]


@cache
def _phase(market: str) -> int:
    return int(seeded(SEED, market, "beat").integers(0, 100))


@lru_cache(maxsize=1)  # the three runs of a scenario share it
def _model(codes: tuple[str, ...]) -> RememberingModel:
    return RememberingModel(codes)


class Line:
    """The exchange behind a line: REST, streams, and a tally of what was used."""

    live = True

    def __init__(self, scenario: Scenario, clock: VirtualClock) -> None:
        self.clock = clock
        self.beat = BEATS.get(scenario.kind, BEAT)
        self.round_trip = scenario.round_trip
        self.model = _model(scenario.markets)
        self.server_time = ServerTime(clock)
        self.rest_app = RestApp(self.model, clock, Limits(enabled=False, clock="virtual"), Bodies())  # type: ignore[arg-type]
        self.requests: Counter[str] = Counter()
        self.wires: list[ModelWire] = []
        self.messages = self.frames = self.rest_bytes = self.stream_bytes = 0
        self._rest_used = -1e9

    async def get(self, endpoint: Endpoint, params: dict[str, str]) -> Reply:
        """Answer a request after a round trip; after more where a connection has to be opened first."""
        sent, began = self.clock.now(), self.clock.monotonic()
        if began - self._rest_used > KEEP_ALIVE:
            await asyncio.sleep(OPENING * self.round_trip)
        await asyncio.sleep(self.round_trip / 2)
        reply = self.rest_app.handle(Request("GET", f"/{endpoint.path}", urlencode(params)))
        assert reply.status == 200, reply.body
        now = self.clock.now()
        self.requests[endpoint.group] += 1
        self.rest_bytes += len(zlib.compress(reply.body, 6))
        await asyncio.sleep(self.round_trip / 2 + REQUEST)
        self._rest_used = self.clock.monotonic()
        date = now - now % 1_000_000
        self.server_time.observe(date, sent, self.clock.now())
        return Reply("model://", 200, reply.body, date, self.clock.now(), 1, 0.0)

    async def dial(self) -> ModelWire:
        """Open a stream: TCP, TLS and the upgrade."""
        self.wires.append(ModelWire(self))
        await asyncio.sleep((OPENING + 1) * self.round_trip)
        return self.wires[-1]

    def tally(self) -> dict[str, Any]:
        """What was used so far."""
        now = self.clock.monotonic()
        return {
            "requests": dict(self.requests), "connections": len(self.wires), "messages": self.messages,
            "frames": self.frames, "bytes": self.rest_bytes + self.stream_bytes, "stream_bytes": self.stream_bytes,
            "seconds_open": sum((wire.closed or now) - wire.opened for wire in self.wires),
            "open": sum(1 for wire in self.wires if wire.closed is None),
        }  # fmt: skip


class ModelWire:
    """One stream."""

    can_wait = False

    def __init__(self, line: Line) -> None:
        self._line = line
        self._session = Session(line.model, "kr", line.clock.now())
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -12)
        self._sending: asyncio.Task[None] | None = None
        self.opened = line.clock.monotonic()
        self.closed: float | None = None

    def _deliver(self, frame: str) -> None:
        body = frame.encode()
        self._line.frames += 1
        self._line.stream_bytes += len(self._deflate.compress(body) + self._deflate.flush(zlib.Z_SYNC_FLUSH))
        asyncio.get_running_loop().call_later(self._line.round_trip / 2, self._arrived.put_nowait, body)

    async def _send(self) -> None:
        while True:
            await asyncio.sleep(self._line.beat - self._line.clock.now() / 1e6 % self._line.beat)
            timed = [one for frames in self._session.until(self._line.clock.now()) for one in frames]
            for one in sorted(timed, key=lambda frame: frame.at):
                self._deliver(one.text)

    async def send(self, text: str) -> None:
        """Subscribe, once the message has arrived."""
        self._line.messages += 1
        asyncio.get_running_loop().call_later(self._line.round_trip / 2, self._said, text)

    def _said(self, text: str) -> None:
        if self.closed is not None:
            return
        for frame in self._session.receive(text, self._line.clock.now()):
            self._deliver(frame)
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def receive(self) -> tuple[bytes, int]:
        """Wait for a frame."""
        return await self._arrived.get(), self._line.clock.now()

    async def alive(self, timeout: float) -> bool:
        """Answer a ping."""
        await asyncio.sleep(min(timeout, self._line.round_trip))
        return self._line.round_trip < timeout

    async def close(self) -> None:
        """End it."""
        if self.closed is None:
            self.closed = self._line.clock.monotonic()
        if self._sending is not None:
            self._sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sending


class _Callers:
    """The routers over a line, as a client has them."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.ports = Ports(RestApi(line), MemoryStore(), line.clock, line.server_time)
        self.hubs: list[Hub] = []
        self.live = LiveChannel(self._hub)
        self.quotes = QuoteRouter(self.ports, "kr", self.live)
        self.candles, self.trades = CandleRouter(self.ports, self.live), TradeRouter(self.ports, self.live)

    def _hub(self) -> Hub:
        backfill, server_time = RestBackfill(self.ports), self.line.server_time
        self.hubs.append(Hub(self.line, backfill, clock=self.line.clock, server_time=server_time))
        return self.hubs[-1]

    async def ask(self, scenario: Scenario, source: str) -> Any:
        """Make the scenario's call; return its frame."""
        how = {**scenario.how, "source": source}
        if scenario.kind == "ticker":
            result = await self.quotes.ticker(scenario.markets, None, False, source)
        elif scenario.kind == "orderbook":
            result = await self.quotes.orderbook(scenario.markets, how.get("depth", 30), None, False, source)
        else:
            selection = parse_selection(scenario.markets[0], None)
            now = self.line.server_time.now
            if scenario.kind == "trades":
                result = await self.trades.fetch(TradeQuery.build(selection, **how, now=now), Progress())
            else:
                result = await self.candles.fetch(CandleQuery.build(selection, **how, now=now), Progress())
        if any(step["channel"] == "live" for step in result.meta["route"]):
            await asyncio.sleep(READ)
        index = {"ticker": ["market"], "orderbook": ["market", "level"]}.get(scenario.kind, ["time"])
        return render(result, scenario.kind, View("UTC", "pandas"), index)

    async def aclose(self) -> None:
        """End the stream."""
        if self.live._heartbeat is not None:
            self.live._heartbeat.cancel()
        for hub in self.hubs:
            await hub.aclose()


async def _play(scenario: Scenario, source: str) -> Run:
    clock = VirtualClock(START)
    line = Line(scenario, clock)
    callers = _Callers(line)
    answers: list[tuple[Call, Any, int]] = []
    zero = clock.monotonic() + LEAD
    for at in scenario.at:
        await asyncio.sleep(max(0.0, zero + at - clock.monotonic()))
        began, frame = clock.monotonic(), None
        call = Call(0, began, 0.0)
        try:
            frame = await callers.ask(scenario, source)
        except UpbitFramesError as error:
            call.error = f"{type(error).__name__}: {error.message}"
        call.latency = (clock.monotonic() - began) * 1000
        call.note_route(frame)
        answers.append((call, frame, clock.now()))
        if call.error:
            break
    run = Run(scenario.name, source, [call for call, _, _ in answers])
    last = clock.monotonic()
    run.used = line.tally()
    while run.used["open"] and clock.monotonic() < last + TAIL:
        await asyncio.sleep(0.25)
        run.used = line.tally()
    if run.used["open"]:
        run.tail = remaining_subscription(run, clock.monotonic() - last)
    await callers.aclose()
    truth = Truth(scenario.markets, line.model)
    for call, frame, ended in answers:
        if not call.error:
            score(scenario, call, frame, ended, truth)
    return run


def play(scenario: Scenario, source: str) -> Run:
    """Play a scenario of one user without disturbances; always the same run."""
    if scenario.users > 1 or scenario.events or scenario.load or not scenario.markets:
        raise ValueError(f"{scenario.name} needs sockets: only one user's calls are played on virtual time")
    timer = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    with mock.patch.object(live_channel, "time", timer), mock.patch.object(live_hub, "time", timer):
        return run_virtually(0, _play(scenario, source))
