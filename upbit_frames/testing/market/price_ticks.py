"""Upbit's price steps (upbit-api 7), on prices held as integers of 1e-8. No I/O."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SCALE", "ceil_to_tick", "floor_to_tick", "quote_of", "snap", "supported_levels", "tick_size"]

SCALE = 100_000_000  # prices and volumes are integers of 1e-8
Ints = npt.NDArray[np.int64]

# Ascending (from this price, tick), both in units of 1e-8; the first row also holds below it.
_KRW = (
    (0, 1), (1_000, 10), (10_000, 100), (100_000, 1_000), (1_000_000, 10_000), (10_000_000, 100_000),
    (100_000_000, 1_000_000), (1_000_000_000, 10_000_000), (10_000_000_000, SCALE), (500_000_000_000, 5 * SCALE),
    (1_000_000_000_000, 10 * SCALE), (5_000_000_000_000, 50 * SCALE), (10_000_000_000_000, 100 * SCALE),
    (50_000_000_000_000, 500 * SCALE), (100_000_000_000_000, 1_000 * SCALE),
)  # fmt: skip
_USDT = (
    (0, 1), (10_000, 10), (100_000, 100), (1_000_000, 1_000), (10_000_000, 10_000), (100_000_000, 100_000),
    (1_000_000_000, 1_000_000),
)  # fmt: skip
_BTC = ((0, 1),)

# The tables of Singapore, Indonesia and Thailand were not collected: they get the table whose
# prices have the same size. Of Indonesia it is known that IDR-BTC moves by 10,000.
_IDR = (*_KRW, (10_000_000_000_000_000, 10_000 * SCALE))
_TABLES = {"KRW": _KRW, "IDR": _IDR, "THB": _KRW, "USDT": _USDT, "SGD": _USDT, "BTC": _BTC}
_ARRAYS = {
    quote: (np.array([low for low, _ in table]), np.array([tick for _, tick in table]))
    for quote, table in _TABLES.items()
}
_FIAT = ("KRW", "IDR", "THB", "SGD")
MOST_GROUPING = 100_000_000  # whole units; the largest grouping Upbit has


def quote_of(market: str) -> str:
    """Return the currency of a market's prices: the part before the dash."""
    return market.partition("-")[0]


def tick_size(quote: str, price: int) -> int:
    """Return the price step at a price; both integers of 1e-8.

    Examples
    --------
    >>> tick_size("KRW", 103_460_000 * SCALE) // SCALE
    1000
    """
    table = _TABLES.get(quote, _BTC)
    return next(tick for low, tick in reversed(table) if price >= low)


def floor_to_tick(quote: str, prices: Any) -> Ints:
    """Return the nearest prices of the table at or below the given prices, at least one step."""
    lows, ticks = _ARRAYS.get(quote, _ARRAYS["BTC"])
    prices = np.maximum(np.asarray(prices, dtype=np.int64), 1)
    tick = ticks[np.searchsorted(lows, prices, side="right") - 1]
    floored: Ints = np.maximum(prices - prices % tick, tick)
    return floored


def ceil_to_tick(quote: str, prices: Any) -> Ints:
    """Return the nearest prices on the table at or above the given ones."""
    lows, ticks = _ARRAYS.get(quote, _ARRAYS["BTC"])
    prices = np.maximum(np.asarray(prices, dtype=np.int64), 1)
    tick = ticks[np.searchsorted(lows, prices, side="right") - 1]
    raised: Ints = prices + (-prices) % tick
    return raised


def snap(quote: str, prices: Any, up: Any, low: int, high: int) -> Ints:
    """Move prices between ``low`` and ``high`` onto the table: upwards where ``up``, else downwards."""
    lows, ticks = _ARRAYS.get(quote, _ARRAYS["BTC"])
    prices = np.asarray(prices, dtype=np.int64)
    bands = np.searchsorted(lows, (low, high), side="right") - 1
    # Nearly always a single step holds for the whole range, and then nothing need be looked up.
    tick = ticks[bands[0]] if bands[0] == bands[1] else ticks[np.searchsorted(lows, prices, side="right") - 1]
    down = prices // tick * tick
    snapped: Ints = down + np.where(up & (down != prices), tick, 0)
    return snapped


def supported_levels(quote: str, price: int) -> list[int]:
    """Return the levels by which the exchange groups an order book of that price, in units of 1e-8, 0 first.

    Only fiat markets have any: powers of ten from the tick to the price (upbit-api 3.7).
    """
    levels = [0]
    if quote in _FIAT:
        # A tick of 1,000 starts at 10,000: grouping by the tick itself would change nothing. The
        # documented list of KRW-TRX nevertheless begins with its tick of 1, so below 1,000 it does.
        step = tick_size(quote, price)
        power = 1
        while power < step or (power == step and step >= 1_000 * SCALE):
            power *= 10
        while power <= min(price, MOST_GROUPING * SCALE):
            levels.append(power)
            power *= 10
    return levels
