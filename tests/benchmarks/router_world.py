"""The markets on which the router's choice is tried, and how old an answer about them is.

Their pace is that of a capture of the real exchange: 124 of its won markets told 116 tickers a
second together, the busiest five to thirteen each, most of them one in some seconds. Whoever knows
the markets' names can work out every trade, so what an answer should have said needs no asking.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from upbit_frames.testing import FixedTrades, Listing
from upbit_frames.testing.market.columns import Trades
from upbit_frames.testing.market.exact_math import seeded
from upbit_frames.testing.market.model import MarketModel
from upbit_frames.testing.market.price_ticks import SCALE, floor_to_tick
from upbit_frames.testing.server.virtual_clock import moment

SEED = 7
NOW = "2026-03-01T03:30:20Z"  # not at the turn of a minute, where two candles can still change
START = moment(NOW)
BEFORE, AFTER = 12 * 60.0, 30 * 60.0  # seconds of full pace around the start
HISTORY = 36 * 3600.0  # seconds of sparse trades before it
PACE = {
    # Trades a second; the first three as captured, the rest of the character their names tell.
    "KRW-BTC": 4.3, "KRW-ETH": 3.8, "KRW-XRP": 13.0, "KRW-MID": 0.5, "KRW-THIN": 1 / 40, "KRW-QUIET": 1 / 900,
    "KRW-LOAD": 0.5,
}  # fmt: skip
PRICES = {"KRW-BTC": 103_000_000.0, "KRW-ETH": 3_025_000.0, "KRW-XRP": 2_045.0}
CAPACITY = 200
CODES = [*PACE, *(f"KRW-A{number:03}" for number in range(CAPACITY))][: CAPACITY + 1]
MARKETS = [code for code in CODES if code != "KRW-LOAD"]


def pace_of(code: str) -> float:
    """Trades a second."""
    if code in PACE:
        return PACE[code]
    # Half of them below one in four seconds; 95 a second together.
    return float(np.exp(seeded(SEED, code, "pace").standard_normal() * 1.15 - 1.4))


@cache
def source_of(code: str) -> FixedTrades:
    """The market and all its trades."""
    pace, rng = pace_of(code), seeded(SEED, code, "trades")
    sparse = rng.uniform(-HISTORY, -BEFORE, 2500)
    full = rng.uniform(-BEFORE, AFTER, max(1, rng.poisson(pace * (BEFORE + AFTER))))
    ms = np.sort(START // 1000 + (np.concatenate((sparse, full)) * 1000).astype(np.int64))
    middle = PRICES.get(code, float(np.exp(seeded(SEED, code, "price").uniform(3, 10))))
    walk = np.exp(np.cumsum(rng.standard_normal(len(ms))) * 0.0002)
    price = floor_to_tick("KRW", middle * walk * SCALE)
    volume = np.maximum(1, np.rint(np.exp(rng.standard_normal(len(ms))) * 300_000 / middle * SCALE)).astype(np.int64)
    # A book changes by itself about three times as often as something is traded.
    beats = max(1, round(10 / (3 * pace)))
    listing = Listing(code, code, code, middle, 400 / beats, 300_000)
    return FixedTrades(listing, Trades(ms, price, volume, rng.random(len(ms)) < 0.5))


class Truth:
    """What the exchange says of its markets at any moment; ``model`` is the exchange, where there is one already."""

    def __init__(self, codes: tuple[str, ...], model: MarketModel | None = None) -> None:
        self.model = model or MarketModel(SEED, [source_of(code) for code in codes], now=lambda: 1 << 60)

    def _next_trade(self, code: str, known: int) -> int:
        """When the trade after the first ``known`` ones could be seen, in microseconds."""
        ms = source_of(code)._trades.ms
        return int(ms[known]) * 1000 + 1 if known < len(ms) else 1 << 62

    def after_trade(self, code: str, shown: int) -> int:
        """When what was traded last at ``shown`` was out of date; both in microseconds."""
        ms = source_of(code)._trades.ms
        known = int(np.searchsorted(ms, shown // 1000, side="right"))
        if known == 0 or int(ms[known - 1]) != shown // 1000:
            raise AssertionError(f"nothing was traded on {code} at {shown}: the answer is invented")
        return self._next_trade(code, known)

    def after_candle(self, code: str, start: int, end: int, volume: float) -> int:
        """When a candle of ``[start, end)`` with so much volume was out of date."""
        trades = source_of(code)._trades
        low, high = np.searchsorted(trades.ms, (start // 1000, end // 1000))
        sums = np.cumsum(trades.volume[low:high])
        known = int(np.argmin(np.abs(sums - volume * SCALE)))
        if abs(int(sums[known]) - volume * SCALE) > max(2.0, sums[known] * 1e-9):
            raise AssertionError(f"the candle of {code} at {start} never had a volume of {volume}")
        return self._next_trade(code, int(low) + known + 1)

    def after_book(self, code: str, shown: int, until: int) -> int:
        """When a book that last changed at ``shown`` was out of date, if before ``until``."""
        if self.model.book(code, until).ms * 1000 <= shown:
            return 1 << 62
        low, high = shown, until
        while high - low > 500:
            middle = (low + high) // 2
            low, high = (low, middle) if self.model.book(code, middle).ms * 1000 > shown else (middle, high)
        return high
