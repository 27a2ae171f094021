"""A model of the exchange behind the REST port, without sockets: fast enough for thousands of cases.

The same questions go over real sockets to the stand-in exchange elsewhere; here only what the
router, the history and the store do with the answers is tried.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from upbit_frames.core.endpoints import Endpoint
from upbit_frames.core.intervals import INTERVALS, Interval, from_micros, to_micros
from upbit_frames.errors import MarketNotFound
from upbit_frames.runtime.clock import ManualClock, ServerTime

SECOND = 1_000_000


@dataclass(frozen=True)
class Answered:
    """What the REST port gives back."""

    body: bytes
    server_time: int | None
    url: str = "model://"
    status: int = 200
    received: int = 0
    attempts: int = 1
    waited: float = 0.0


@dataclass
class ModelExchange:
    """Candles of 1m and coarser from a set of traded seconds.

    ``ticks`` maps a moment (whole seconds, microseconds UTC) to a price; a candle exists where a
    tick falls into its period. The exchange has a clock of its own; the client's may be off.
    """

    clock: ManualClock
    ticks: dict[int, float] = field(default_factory=dict)
    skew: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    synchronised: int = 0
    faults: list[Callable[[dict[str, str], bytes], bytes]] = field(default_factory=list)
    markets: tuple[str, ...] = ("KRW-BTC", "KRW-ETH")
    keeps: int | None = None  # how long second candles are served

    @property
    def now(self) -> int:
        return self.clock.now() + self.skew

    def rows(self, interval: Interval, to: int | None, count: int) -> list[dict[str, Any]]:
        """The newest candles before ``to``, newest first, built from the ticks up to now."""
        limit = self.now + 1 if to is None else min(to, self.now + 1)
        floor = 0 if self.keeps is None or interval.name != "1s" else self.now - self.keeps
        moments = sorted(t for t in self.ticks if floor <= t <= self.now)
        candles: dict[int, list[int]] = {}
        for moment in moments:
            start = interval.floor(moment)
            if start < limit:
                candles.setdefault(start, []).append(moment)
        starts = sorted(candles)
        chosen = starts[max(0, bisect_left(starts, limit) - count) :]
        return [self._row(interval, start, candles[start]) for start in reversed(chosen)]

    def _row(self, interval: Interval, start: int, moments: list[int]) -> dict[str, Any]:
        prices = [self.ticks[moment] for moment in moments]
        row = {
            "market": "KRW-BTC",
            "candle_date_time_utc": from_micros(start).strftime("%Y-%m-%dT%H:%M:%S"),
            "opening_price": prices[0],
            "high_price": max(prices),
            "low_price": min(prices),
            "trade_price": prices[-1],
            "timestamp": moments[-1] // 1000,
            "candle_acc_trade_price": sum(prices),
            "candle_acc_trade_volume": float(len(prices)),
        }
        if interval.unit is not None:
            row["unit"] = interval.unit
        return row

    def truth(self, interval: Interval, start: int, end: int) -> list[tuple[int, float, float]]:
        """Start, close and volume of every candle in the range that can no longer change."""
        rows = self.rows(interval, end, 10**9)
        out = []
        for row in reversed(rows):
            begin = to_micros(datetime.fromisoformat(row["candle_date_time_utc"] + "+00:00"))
            if start <= begin < end:
                out.append((begin, row["trade_price"], row["candle_acc_trade_volume"]))
        return out

    async def get(self, endpoint: Endpoint, params: dict[str, str]) -> Answered:
        if params.get("market") not in self.markets:
            raise MarketNotFound("Code not found", market=params.get("market"))
        if endpoint.name == "trades":  # only what time it is
            self.synchronised += 1
            return Answered(b"[]", self.now - self.now % SECOND)
        self.asked.append({"path": endpoint.path, **params})
        interval = next(one for one in INTERVALS.values() if endpoint.path == f"v1/{one.path}")
        to = to_micros(datetime.fromisoformat(params["to"])) if "to" in params else None
        rows = self.rows(interval, to, min(200, int(params.get("count", "1"))))
        for row in rows:
            row["market"] = params["market"]
        body = json.dumps(rows).encode()
        if self.faults:
            body = self.faults.pop(0)(params, body)
        date = self.now - self.now % SECOND
        return Answered(body, date)


class HeardRest:
    """Lets the server time learn from every answer, as the real transport does."""

    def __init__(self, exchange: ModelExchange, server_time: ServerTime) -> None:
        self.exchange = exchange
        self.server_time = server_time

    async def get(self, endpoint: Endpoint, params: dict[str, str]) -> Any:
        sent = self.exchange.clock.now()
        reply = await self.exchange.get(endpoint, params)
        if reply.server_time is not None:
            self.server_time.observe(reply.server_time, sent, self.exchange.clock.now())
        return reply
