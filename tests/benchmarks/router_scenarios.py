"""What is asked of the router: patterns of calls, lines and faults. What is right is measured, not written here.

A line has a round trip of 40 ms unless the scenario says otherwise: Seoul from elsewhere in East Asia.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

from benchmarks.router_world import MARKETS

__all__ = ["SCENARIOS", "Scenario", "bursts", "drawn", "every"]

BTC, ETH, XRP, MID, THIN, QUIET = MARKETS[:6]


@dataclass(frozen=True)
class Scenario:
    """One pattern.

    Attributes
    ----------
    name : str
        Group and what is particular, such as ``poll/ticker-1s``.
    kind : {"ticker", "orderbook", "trades", "candles"}
    markets : tuple of str
    at : tuple of float
        When it is asked, seconds from the beginning; later if the answer before took longer.
    how : dict
        Further arguments of the call.
    round_trip : float
        Seconds.
    users : int
        Threads that ask all of this side by side; with ``apart`` each for another market.
    events : tuple of (float, str)
        What happens to the stream and when: down, up, cut, hold (open and dead), unavailable (503),
        silent (nothing is sent, pings are answered), well. At 0: before the first call.
    load : float
        Requests a second in the same limit group, by somebody else in the same program.
    heavy : bool
        Needs a processor to itself.
    """

    name: str
    kind: str
    markets: tuple[str, ...] = (BTC,)
    at: tuple[float, ...] = (0.0,)
    how: dict[str, Any] = field(default_factory=dict)
    round_trip: float = 0.040
    users: int = 1
    apart: bool = False
    events: tuple[tuple[float, str], ...] = ()
    load: float = 0.0
    heavy: bool = False

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Scenario:
        """Back from plain values."""
        lists = {name: tuple(told[name]) for name in ("markets", "at")}
        return cls(**{**told, **lists, "events": tuple((at, what) for at, what in told["events"])})

    @property
    def seconds(self) -> float:
        """How long it takes at least."""
        return max(self.at)


def every(seconds: float, times: int) -> tuple[float, ...]:
    """So many times, evenly."""
    return tuple(round(seconds * one, 3) for one in range(times))


def bursts(size: int, pause: float, times: int) -> tuple[float, ...]:
    """So many at once, again and again."""
    return tuple(round(pause * one, 3) for one in range(times) for _ in range(size))


ALL = tuple(MARKETS)
S = Scenario
FORMING = {"interval": "1m", "count": 5, "forming": True}

ONCE = [
    S("once/ticker", "ticker"),
    S("once/ticker-thin", "ticker", (THIN,)),
    S("once/ticker-15", "ticker", ALL[:15]),
    S("once/ticker-200", "ticker", ALL, heavy=True),
    S("once/ticker-1ms", "ticker", round_trip=0.001),
    S("once/ticker-300ms", "ticker", round_trip=0.300),
    S("once/book", "orderbook"),
    S("once/book-15", "orderbook", ALL[:15]),
    S("once/trades-10", "trades", how={"count": 10}),
    S("once/trades-500", "trades", how={"count": 500}),
    S("once/forming", "candles", how=FORMING),
    S("twice/ticker-1s", "ticker", at=every(1, 2)),
    S("few/ticker-10s", "ticker", at=every(10, 3)),
    S("few/book-8s", "orderbook", at=every(8, 3)),
]

# Ten calls a second and fewer, down to three a minute; the slow ones are kept up long enough for a rhythm.
POLL = [
    S("poll/ticker-20s", "ticker", at=every(20, 6)),
    S("poll/ticker-10s", "ticker", at=every(10, 9)),
    S("poll/ticker-5s", "ticker", at=every(5, 12)),
    S("poll/ticker-2s", "ticker", at=every(2, 14)),
    S("poll/ticker-1s", "ticker", at=every(1, 14)),
    S("poll/ticker-500ms", "ticker", at=every(0.5, 20)),
    S("poll/ticker-200ms", "ticker", at=every(0.2, 50)),
    S("poll/ticker-100ms", "ticker", at=every(0.1, 80)),
    S("poll/ticker-50ms", "ticker", at=every(0.05, 140)),
    S("poll/book-2s", "orderbook", at=every(2, 15)),
    S("poll/book-10s", "orderbook", at=every(10, 8)),
]

MANY = [
    S("many/ticker-5-1s", "ticker", ALL[:5], every(1, 12)),
    S("many/ticker-15-1s", "ticker", ALL[:15], every(1, 12)),
    S("many/ticker-50-1s", "ticker", ALL[:50], every(1, 12)),
    S("many/ticker-100-1s", "ticker", ALL[:100], every(1, 12), heavy=True),
    S("many/ticker-200-1s", "ticker", ALL, every(1, 12), heavy=True),
    S("many/ticker-200-200ms", "ticker", ALL, every(0.2, 40), heavy=True),
    S("many/ticker-50-5s", "ticker", ALL[:50], every(5, 9)),
    S("many/ticker-200-10s", "ticker", ALL, every(10, 6), heavy=True),
    S("many/book-15-1s", "orderbook", ALL[:15], every(1, 12), how={"depth": 15}),
    S("many/book-50-5s", "orderbook", ALL[:50], every(5, 8), heavy=True),
]

CHARACTER = [
    S("thin/ticker-1s", "ticker", (THIN,), every(1, 12)),
    S("thin/ticker-10s", "ticker", (THIN,), every(10, 8)),
    S("thin/book-1s", "orderbook", (QUIET,), every(1, 12)),
    S("thin/trades-1s", "trades", (THIN,), every(1, 12), how={"count": 50}),
    S("busy/ticker-1s", "ticker", (XRP,), every(1, 12)),
    S("busy/book-5s", "orderbook", (XRP,), every(5, 9)),
]

LINE = [
    S("line/ticker-1ms-1s", "ticker", at=every(1, 12), round_trip=0.001),
    S("line/ticker-10ms-1s", "ticker", at=every(1, 12), round_trip=0.010),
    S("line/ticker-100ms-1s", "ticker", at=every(1, 12), round_trip=0.100),
    S("line/ticker-200ms-1s", "ticker", at=every(1, 12), round_trip=0.200),
    S("line/ticker-300ms-1s", "ticker", at=every(1, 12), round_trip=0.300),
    S("line/ticker-1ms-5s", "ticker", at=every(5, 9), round_trip=0.001),
    S("line/ticker-300ms-5s", "ticker", at=every(5, 9), round_trip=0.300),
    S("line/book-300ms-500ms", "orderbook", at=every(0.5, 20), round_trip=0.300),
]

FAULT = [
    S("fault/refused", "ticker", at=every(0.5, 20), events=((0, "down"),)),
    S("fault/503", "ticker", at=every(0.5, 20), events=((0, "unavailable"),)),
    S("fault/silent", "ticker", at=every(0.5, 20), events=((0, "silent"),)),
    S("fault/late", "ticker", at=every(0.5, 24), events=((0, "down"), (4, "up"))),
    S("fault/down-for-good", "ticker", at=every(0.5, 20), events=((4, "down"),)),
    S("fault/down-and-up", "ticker", at=every(0.5, 24), events=((5, "down"), (8, "up"))),
    S("fault/cut-once", "ticker", at=every(0.5, 20), events=((6, "cut"),)),
    S("fault/half-open", "ticker", at=every(0.5, 20), events=((5, "hold"),)),
    S("fault/book-half-open", "orderbook", at=every(0.5, 20), events=((5, "hold"),)),
    S("fault/trades-cut", "trades", at=every(0.5, 20), how={"count": 50}, events=((6, "cut"),)),
]

QUOTA = [
    S("quota/ticker-1s", "ticker", at=every(1, 12), load=8.0),
    S("quota/ticker-5s", "ticker", at=every(5, 8), load=8.0),
    S("quota/once", "ticker", at=(2.0,), load=8.0),
    S("quota/book-500ms", "orderbook", at=every(0.5, 20), load=8.0),
]

HISTORY = [
    S("history/candles-1000", "candles", how={"interval": "1m", "count": 1000}),
    S("history/candles-range", "candles", at=every(1, 4), how={"interval": "1m", "start": "2026-03-01T01:00:00Z",
      "end": "2026-03-01T03:00:00Z"}),
    S("history/trades-range", "trades", at=every(1, 4), how={"start": "2026-03-01T03:20:00Z",
      "end": "2026-03-01T03:25:00Z"}),
    S("history/trades-2000", "trades", at=every(1, 5), how={"count": 2000}),
    S("history/ticker-everything", "ticker", (), every(1, 8)),
]  # fmt: skip

COUNT = [
    S("count/trades-1-1s", "trades", at=every(1, 12), how={"count": 1}),
    S("count/trades-10-1s", "trades", at=every(1, 12), how={"count": 10}),
    S("count/trades-50-1s", "trades", at=every(1, 12), how={"count": 50}),
    S("count/trades-200-1s", "trades", at=every(1, 12), how={"count": 200}),
    S("count/trades-500-1s", "trades", at=every(1, 12), how={"count": 500}),
    S("count/trades-100-5s", "trades", at=every(5, 8), how={"count": 100}),
    S("count/trades-busy-100-500ms", "trades", (XRP,), every(0.5, 20), how={"count": 100}),
]

BOOK = [
    S("book/depth-1", "orderbook", at=every(0.5, 20), how={"depth": 1}),
    S("book/depth-5", "orderbook", at=every(0.5, 20), how={"depth": 5}),
    S("book/depth-30", "orderbook", at=every(0.5, 20), how={"depth": 30}),
    S("book/level", "orderbook", at=every(1, 12), how={"level": 10_000}),
    S("book/100ms", "orderbook", at=every(0.1, 60), how={"depth": 5}),
]

CANDLE = [
    S("forming/1m-1s", "candles", at=every(1, 12), how=FORMING),
    S("forming/1m-5s", "candles", at=every(5, 9), how=FORMING),
    S("forming/1m-100ms", "candles", at=every(0.1, 80), how=FORMING),
    S("forming/1m-50ms", "candles", at=every(0.05, 140), how=FORMING),
    S("forming/thin-1s", "candles", (THIN,), every(1, 12), how={"interval": "1h", "count": 3, "forming": True}),
    S("forming/300ms-1s", "candles", at=every(1, 12), how=FORMING, round_trip=0.300),
]

USERS = [
    S("users/3-same-1s", "ticker", at=every(1, 12), users=3),
    S("users/5-same-500ms", "ticker", at=every(0.5, 20), users=5),
    S("users/4-apart-1s", "ticker", ALL[:4], every(1, 12), users=4, apart=True),
    S("users/2-slow-8s", "ticker", at=every(8, 8), users=2),
]

BURST = [
    S("burst/20-every-4s", "ticker", at=bursts(20, 4, 3)),
    S("burst/3-every-8s", "ticker", at=bursts(3, 8, 5)),
    S("burst/10-once", "ticker", at=bursts(10, 1, 1)),
    S("burst/3-once", "ticker", at=bursts(3, 1, 1)),
    S("burst/book-10-every-5s", "orderbook", at=bursts(10, 5, 3)),
]

STOP = [
    S("stop/4-at-1s", "ticker", at=every(1, 4)),
    S("stop/8-at-1s", "ticker", at=every(1, 8)),
    S("stop/10-at-200ms", "ticker", at=every(0.2, 10)),
    S("stop/5-at-4s", "ticker", at=every(4, 5)),
    S("stop/busy-book-6-at-1s", "orderbook", (XRP,), every(1, 6)),
]

SCENARIOS: tuple[Scenario, ...] = (
    *ONCE, *POLL, *MANY, *CHARACTER, *LINE, *FAULT, *QUOTA, *HISTORY, *COUNT, *BOOK, *CANDLE, *USERS, *BURST, *STOP,
)  # fmt: skip


def drawn(seed: int, count: int) -> list[Scenario]:
    """Polling as chance would have it, for trying the router on what its thresholds were not chosen by.

    Every draw is a kind, some markets, a pause of 0.1 to 15 s, 1 to 40 calls within 45 s, and a round
    trip of 3 to 300 ms, each even on a logarithmic scale.
    """
    rng = random.Random(seed)

    def spread(low: float, high: float) -> float:
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    found = []
    for number in range(count):
        kind = rng.choice(["ticker", "ticker", "orderbook", "trades", "candles"])
        size = round(spread(1, {"ticker": 60, "orderbook": 12}.get(kind, 1)))
        pause, calls = spread(0.1, 15), round(spread(1, 40))
        calls = max(1, min(calls, int(45 / pause) + 1))
        how = {"trades": {"count": round(spread(1, 500))}, "orderbook": {"depth": rng.choice([1, 5, 15, 30])}}
        markets = tuple(rng.sample(MARKETS[:60], size))
        if kind in ("trades", "candles"):
            markets = (rng.choice(MARKETS[:4]),)
        found.append(
            Scenario(
                f"drawn/{seed}-{number:02}-{kind}-{size}-{pause:.1f}s-{calls}", kind, markets, every(pause, calls),
                FORMING if kind == "candles" else how.get(kind, {}), spread(0.003, 0.3),
            )
        )  # fmt: skip
    return found
