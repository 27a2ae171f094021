"""Whole stories of a hub on virtual time: disconnects, late, repeated and wrongly stamped frames, failing REST.

Everything is drawn from a seed, the order in which the loop runs callbacks too. Each trade is
delivered exactly once, or lies in a gap that is reported as not repaired. A failure names its seed.
``UPBIT_FRAMES_SEEDS=10000`` runs so many seeds instead of a few.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import dataclass, field
from random import Random

import pytest
from support.virtual_loop import VirtualClock, run_virtually

from upbit_frames.core.intervals import Span
from upbit_frames.core.topics import Topic
from upbit_frames.errors import ConnectionFailed, ServerError
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import CLASSES, Row
from upbit_frames.live.hub.gaps import Gap
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.runtime.clock import ServerTime

SEEDS = int(os.environ.get("UPBIT_FRAMES_SEEDS", "40"))
FOUND = (405, 1303, 1351, 1599, 2501, 4392, 4547, 5659)  # that lost a trade without a gap
START = 1_772_323_200_000_000  # microseconds UTC
MARKETS = ("KRW-BTC", "KRW-ETH")
DAY = 86_400_000  # milliseconds
REST_LAG = 0.25  # seconds until REST serves a trade
STORY = 120.0  # seconds

Trade = tuple[int, int]  # milliseconds, sequential_id


@dataclass
class Simulation:
    """An exchange with two markets, whose connections and REST API fail as a seed wants it."""

    seed: int
    trades: dict[str, list[Trade]] = field(default_factory=lambda: {market: [] for market in MARKETS})
    wires: list[SimulatedWire] = field(default_factory=list)
    live: bool = True
    healthy: bool = False

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.clock = VirtualClock(START)
        self.skew = self.random.choice([0, 0, 700, -900, 3000])  # of this machine's clock, milliseconds
        self.ahead = self.random.random() < 0.5  # whether some frames are stamped a day ahead
        self.drops = self.random.choice([0.02, 0.05, 0.1])
        self.rest_fails = self.random.choice([0.0, 0.3, 0.7, 1.0])
        self.knows_time = self.random.random() < 0.5  # whether a REST response gave the time before

    def now_ms(self) -> int:
        """The exchange's time."""
        return self.clock.now() // 1000 - self.skew

    def chance(self, probability: float) -> bool:
        return not self.healthy and self.random.random() < probability

    # --- dialer

    async def dial(self) -> SimulatedWire:
        await asyncio.sleep(self.random.uniform(0.0, 0.5))
        if self.wires and self.chance(0.3):
            raise ConnectionFailed("refused by the story")
        wire = SimulatedWire(self)
        self.wires.append(wire)
        return wire

    # --- GapBackfill

    async def fetch(self, type_: str, market: str, span: Span) -> list[Row]:
        await asyncio.sleep(self.random.uniform(0.0, 1.5))
        if self.chance(self.rest_fails):
            raise ServerError("REST fails in this story")
        known = self.now_ms() - REST_LAG * 1000
        return [
            _row(market, trade, BACKFILLED, self.clock.now())
            for trade in self.trades[market]
            if span.start <= trade[0] * 1000 < span.end and trade[0] <= known
        ]

    # --- what happens

    async def trade(self) -> None:
        """Trades of all markets, and what happens to the connection, until the story ends."""
        ends = asyncio.get_running_loop().time() + STORY
        while asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(self.random.choice([0.0, 0.05, 0.3, 0.8, 2.0]))
            market = self.random.choice(MARKETS)
            now, before = self.now_ms(), self.trades[market][-1:]
            number = before[0][1] % 10_000 + 1 if before and before[0][0] == now else 1
            self.trades[market].append((now, now * 10_000 + number))
            wire = self.wires[-1] if self.wires else None
            if wire is not None:
                wire.stream(market, self.trades[market][-1])
                if self.chance(self.drops):
                    wire.drop()


class SimulatedWire:
    """One connection."""

    can_wait = False

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._markets: set[str] = set()
        self._dead = False

    def _send(self, market: str, trade: Trade, stream_type: str, delay: float, ahead: bool) -> None:
        time = trade[0] + (DAY if ahead else 0)
        frame = json.dumps(
            {"type": "trade", "code": market, "timestamp": time, "trade_timestamp": time, "trade_price": 100.0,
             "trade_volume": 1.0, "ask_bid": "ASK", "sequential_id": trade[1], "stream_type": stream_type}
        ).encode()  # fmt: skip
        asyncio.get_running_loop().call_later(delay, lambda: None if self._dead else self._frames.put_nowait(frame))

    def stream(self, market: str, trade: Trade) -> None:
        """Send a trade; late, twice, or with a wrong time, as the story wants it."""
        if market in self._markets and not self._dead:
            chance = self._simulation.chance
            delay = self._simulation.random.uniform(0.5, 4.0) if chance(0.1) else 0.02
            self._send(market, trade, "REALTIME", delay, self._simulation.ahead and chance(0.02))
            if chance(0.1):
                self._send(market, trade, "REALTIME", delay + self._simulation.random.uniform(0.0, 3.0), False)

    def drop(self) -> None:
        """Break off; frames under way are lost."""
        self._dead = True
        asyncio.get_running_loop().call_later(
            self._simulation.random.choice([0.0, 0.2, 5.0, 30.0]), self._frames.put_nowait, None
        )

    async def receive(self) -> tuple[bytes, int]:
        frame = await self._frames.get()
        if frame is None:
            raise ConnectionFailed("broken off by the story")
        return frame, self._simulation.clock.now()

    async def send(self, text: str) -> None:
        if self._dead:
            return
        self._markets = {code for part in json.loads(text) if "codes" in part for code in part["codes"]}
        for market in sorted(self._markets):
            if self._simulation.trades[market]:
                delay = 0.02 if not self._simulation.chance(0.1) else 2.0
                self._send(market, self._simulation.trades[market][-1], "SNAPSHOT", delay, False)

    async def alive(self, timeout: float) -> bool:
        return not self._dead

    async def close(self) -> None:
        self._dead = True


def _row(market: str, trade: Trade, stream_type: str, received: int) -> Row:
    ms, id_ = trade
    return CLASSES[False]["trade"](market, ms, ms, 100.0, 1.0, "ASK", id_, stream_type, received)


@dataclass
class Outcome:
    """What a subscriber received, and what the exchange had."""

    received: list[tuple[str, int]]
    gaps: list[Gap]
    traded: dict[str, list[Trade]]


async def play(seed: int) -> Outcome:
    """Play the story of a seed."""
    simulation = Simulation(seed)
    clock = simulation.clock
    server_time = ServerTime(clock)
    exchange_time, now = simulation.now_ms() * 1000, clock.now()
    if simulation.knows_time:
        server_time.observe(exchange_time // 1_000_000 * 1_000_000, now, now)  # of the market list
    retry = RetryPolicy(attempts=10, base=0.1, cap=2.0, random=Random(seed))
    hub = Hub(simulation, simulation, clock=clock, server_time=server_time, retry=retry, settle=3.0)
    subscriber = Subscriber(frozenset(Topic("trade", market) for market in MARKETS), limit=100_000)
    trading = asyncio.get_running_loop().create_task(simulation.trade())
    await asyncio.sleep(3.0)
    await hub.subscribe(subscriber)
    await trading
    # The exchange recovers, and a last trade of each market ends every gap.
    simulation.healthy = True
    for _ in range(3):
        await asyncio.sleep(60.0)
        if hub.state != "open":
            await hub.abandon()
    if simulation.wires[-1]._dead:
        await asyncio.sleep(60.0)
    for market in MARKETS:
        simulation.trades[market].append((simulation.now_ms(), simulation.now_ms() * 10_000 + 1))
        simulation.wires[-1].stream(market, simulation.trades[market][-1])
    await asyncio.sleep(60.0)
    rows = subscriber.take_nowait()
    await hub.aclose()
    return Outcome([(row.code, row.sequential_id) for row in rows], list(subscriber.gaps), simulation.trades)


def _covers(gap: Gap, time: int) -> bool:
    """Return whether a gap says that a row of that time may be missing; without a range, every row before its end."""
    if gap.span is None:
        return gap.end is not None and time <= gap.end
    return gap.span.start <= time < gap.span.end


def check(seed: int) -> None:
    """Each trade exactly once, or in a gap that was not repaired."""
    outcome = run_virtually(seed, play(seed))
    assert len(outcome.received) == len(set(outcome.received)), f"seed {seed}: rows came twice"
    for market, trades in outcome.traded.items():
        ids = {id_ for code, id_ in outcome.received if code == market}
        assert ids <= {id_ for _, id_ in trades}, f"seed {seed}: a row that was never traded"
        began = min(ids)
        lost = [gap for gap in outcome.gaps if gap.market == market and gap.lost]
        for ms, id_ in trades:
            covered = any(gap.left_out or _covers(gap, ms * 1000) for gap in lost)
            assert id_ < began or id_ in ids or covered, f"seed {seed}: {market} {id_} is missing without a gap"
    assert all(gap.outcome != "open" for gap in outcome.gaps), f"seed {seed}: a gap stayed open"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Disconnects are what these stories are about."""
    caplog.set_level(logging.CRITICAL, logger="upbit_frames.live")


def test_each_trade_exactly_once_or_in_a_reported_gap() -> None:
    for seed in (*range(SEEDS), *FOUND):
        check(seed)


def test_the_same_seed_gives_the_same_rows() -> None:
    gaps = 0
    for seed in range(3):
        first, second = run_virtually(seed, play(seed)), run_virtually(seed, play(seed))
        assert first.received == second.received
        assert [(gap.market, gap.start, gap.end, gap.outcome) for gap in first.gaps] == [
            (gap.market, gap.start, gap.end, gap.outcome) for gap in second.gaps
        ]
        gaps += len(first.gaps)
    assert gaps
