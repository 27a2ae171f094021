"""Order books generated around the last trade. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from upbit_frames.testing.market.columns import Ints, Trades
from upbit_frames.testing.market.exact_math import exp, normals, seeded
from upbit_frames.testing.market.listings import Listing
from upbit_frames.testing.market.price_ticks import (
    SCALE,
    ceil_to_tick,
    floor_to_tick,
    quote_of,
    supported_levels,
    tick_size,
)

__all__ = ["Book", "make_book"]

MOST_UNITS = 30
_DEPTH = 120  # price steps a busy book has on a side


@dataclass(frozen=True, eq=False)
class Book:
    """An order book; prices and sizes are integers of 1e-8.

    Attributes
    ----------
    ms : int
        When the book last changed, in milliseconds since the epoch, UTC.
    ask_price, ask_size, bid_price, bid_size : int64 array
        Best price first. The sides may differ in length and may be longer than an orderbook response.
    level : int
        Grouping applied, in 1e-8; 0 for none.
    """

    ms: int
    ask_price: Ints
    ask_size: Ints
    bid_price: Ints
    bid_size: Ints
    level: int = 0

    def grouped(self, level: int) -> Book:
        """Return the book with prices gathered into steps of ``level``: asks upwards, bids downwards."""
        if level == 0:
            return self
        asks = _gather(self.ask_price + (-self.ask_price) % level, self.ask_size)
        bids = _gather(self.bid_price - self.bid_price % level, self.bid_size)
        return replace(self, ask_price=asks[0], ask_size=asks[1], bid_price=bids[0], bid_size=bids[1], level=level)

    def cut(self, count: int = MOST_UNITS) -> Book:
        """Return the best ``count`` prices of each side."""
        return replace(
            self,
            ask_price=self.ask_price[:count],
            ask_size=self.ask_size[:count],
            bid_price=self.bid_price[:count],
            bid_size=self.bid_size[:count],
        )

    def units(self, count: int = MOST_UNITS) -> list[tuple[int, int, int, int]]:
        """Ask price, ask size, bid price, bid size of each level; zeros where a side is shorter."""
        columns = np.zeros((4, count), dtype=np.int64)
        for row, side in enumerate((self.ask_price, self.ask_size, self.bid_price, self.bid_size)):
            columns[row, : len(side)] = side[:count]
        return [(ask, size, bid, volume) for ask, size, bid, volume in columns.T.tolist()]


def _gather(prices: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    if not len(prices):
        return prices, sizes
    at = np.flatnonzero(np.r_[True, prices[1:] != prices[:-1]])
    keep = prices[at] > 0  # the lowest bids may round down to nothing
    return prices[at][keep], np.add.reduceat(sizes, at)[keep]


def beat_of(listing: Listing) -> int:
    """Return how often the book of a market changes by itself, in ms, on the grid of 100 ms."""
    # A busy book changes with every request; a quiet one stands still for minutes.
    return max(1, min(3_000, round(400 / max(listing.trades_per_day, 0.1)))) * 100


def make_book(listing: Listing, seed: int, last: Trades, at: int) -> Book:
    """Return the book at a moment, from the last trade before it.

    Parameters
    ----------
    listing : Listing
    seed : int
    last : Trades
        The last trade, or no row if there was none: then the book is empty.
    at : int
        Microseconds since the epoch, UTC.
    """
    nothing = np.empty(0, dtype=np.int64)
    if not len(last):
        return Book(listing.listed // 1000, nothing, nothing, nothing, nothing)
    beat = beat_of(listing)
    phase = int(seeded(seed, listing.market, "beat").integers(0, 100))
    tick = (at // 1000 - phase) // beat * beat + phase
    changed = max(tick, int(last.ms[0]))
    rng = seeded(seed, listing.market, "book", changed)

    quote, price = quote_of(listing.market), int(last.price[0])
    step = tick_size(quote, price)
    bought = bool(last.bid[0])
    best_ask = price if bought else price + step * int(rng.integers(1, 3))
    best_bid = max(price - step * int(rng.integers(1, 3)), 0) if bought else price
    # A thin market has fewer prices than the 30 of an orderbook response.
    depth = int(np.clip(listing.trades_per_day / 4, 8, _DEPTH))
    gaps = rng.integers(1, 4, (2, depth)) * step
    gaps[:, 0] = 0
    asks = np.unique(ceil_to_tick(quote, best_ask + np.cumsum(gaps[0])))
    down = best_bid - np.cumsum(gaps[1])
    bids = np.unique(floor_to_tick(quote, down[down > 0]))[::-1] if (down > 0).any() else nothing
    worth = exp(normals(rng, (2, depth)) - 0.5) * listing.trade_value * 3
    sizes = np.maximum(1, np.rint(worth / price * (SCALE * SCALE))).astype(np.int64)
    return Book(changed, asks, sizes[0, : len(asks)], bids, sizes[1, : len(bids)])


def allowed_level(market: str, price: int, level: int) -> bool:
    """Return whether the exchange groups a book of that price by that level (both in 1e-8)."""
    return level in supported_levels(quote_of(market), price)
