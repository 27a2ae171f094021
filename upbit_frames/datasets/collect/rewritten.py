"""Notice that the exchange has rewritten the history of a market: the same candle has other numbers now.

A redenomination multiplies all earlier prices by one factor and divides the volumes by it (upbit-api 12.6), so one
stored candle, fetched again, shows it. Stored and new rows are then both right, and must not stand in one series.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from upbit_frames.core.intervals import EPOCH, Interval, Span, intersect, iso
from upbit_frames.errors import SeriesChanged

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.router.call_store import CallStore
    from upbit_frames.store.base import Series

__all__ = ["changed_error", "factor_of", "first_changed", "last_row", "same_candle"]

PRICES = ("open", "high", "low", "close")
ALIKE = 0.02  # ratios of the prices of one candle differ by that much through rounding to price ticks
ROUNDING = 1e-9
LEAST = 0.05  # how far from 1 a factor must be; prices that were corrected are no new units

Row = dict[str, Any]
"""A candle: its column names and values."""


def same_candle(stored: Row, served: Row | None) -> bool:
    """Whether the exchange serves what is stored, but for how a channel rounds the last digits of an amount."""
    return served is not None and all(math.isclose(stored[name], served[name], rel_tol=ROUNDING) for name in stored)


def factor_of(stored: Row, served: Row | None) -> float | None:
    """Return the served prices divided by the stored ones; None unless it is one factor for all, and not about 1.

    Examples
    --------
    >>> stored = {"open": 800.0, "high": 840.0, "low": 790.0, "close": 820.0}
    >>> factor_of(stored, {name: price / 10 for name, price in stored.items()})
    0.1
    >>> factor_of(stored, {**stored, "close": 8.2}) is None
    True
    """
    if served is None:
        return None
    if not all(stored[name] > 0 and served[name] > 0 for name in PRICES):
        return None
    ratios = sorted(served[name] / stored[name] for name in PRICES)
    factor = math.sqrt(ratios[1] * ratios[2])
    alike = ratios[-1] / ratios[0] <= 1 + ALIKE
    return factor if alike and abs(math.log(factor)) > LEAST else None


def last_row(store: CallStore, series: Series, covered: list[Span], before: int) -> tuple[pa.Table, Span] | None:
    """Find the last stored row before a moment, as a table of one row, and the covered range that holds it."""
    for span in reversed(intersect(covered, [Span(EPOCH, before)])):
        table = store.tail_covered(series, span.end, 1).table
        if len(table):
            return table, span
    return None


async def first_changed(
    rows: Callable[[int], Awaitable[Row | None]],
    differs: Callable[[Row], Awaitable[bool]],
    low: int,
    last: Row,
    interval: Interval,
) -> Row:
    """Find the first stored candle that the exchange serves with other numbers.

    Parameters
    ----------
    rows : coroutine function (moment) -> row or None
        The last stored candle before a moment.
    differs : coroutine function (row) -> bool
        Whether the exchange serves other numbers.
    low : int
        The first stored candle starts here, or is no longer served before.
    last : row
        A candle that differs. Where a candle differs, all later ones up to it are taken to differ, too.

    Notes
    -----
    Asks for about as many candles as the number of stored ones has binary digits.
    """
    first = await rows(interval.shift(low, 1))
    if first is not None and first["time"] >= low and await differs(first):
        return first
    same, different = low, last
    while True:
        middle = interval.floor((same + different["time"]) // 2)
        row = await rows(interval.shift(middle, 1))
        if row is None or row["time"] <= same:
            if middle <= same:
                return different
            same = middle  # nothing is stored in between
        elif row["time"] >= different["time"]:
            return different
        elif await differs(row):
            different = row
        else:
            same = max(middle, row["time"])


def changed_error(series: Series, stored: Row, served: Row | None, first: Row) -> SeriesChanged:
    """Build the error of a series whose history was rewritten."""
    factor = factor_of(stored, served)
    market, name = series.market, series.interval or ""
    if served is None:
        change = "is no longer served"
    elif factor is not None:
        change = f"is served with prices {factor:.6g} times the stored ones, as after a redenomination"
    else:
        differing = [column for column in stored if stored[column] != served[column]]
        change = f"is served with another {', '.join(differing)}"
    return SeriesChanged(
        f"the stored candle of {market} {name} at {iso(stored['time'])} {change}; the first stored candle that differs "
        f"is at {iso(first['time'])}. Nothing was stored, so that old and new numbers are not mixed",
        suggestion=f"if you need the old numbers, copy the files of uf.cache.files(markets={market!r}, "
        f"interval={name!r}); then uf.cache.clear({market!r}, {name!r}) and "
        f"uf.download({market!r}, {name!r}, {iso(first['time'])[:10]!r})",
        market=market,
        interval=name,
        factor=factor,
        first=iso(first["time"]),
        last=iso(stored["time"]),
    )
