"""Hypothesis strategies for tests of what works on market data; needs ``hypothesis`` installed.

Everything drawn obeys the exchange's rules: candles lie on the grid, skip periods without a trade
and keep low <= open, close <= high; ids of trades are unique and grow with time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS, Interval, Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.testing.market.columns import Trades, exact_floats
from upbit_frames.testing.market.price_ticks import SCALE, ceil_to_tick, floor_to_tick

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["candles", "intervals", "markets", "moments", "ranges", "trades"]

EARLIEST = 1_506_297_600_000_000  # 2017-09-25, when Upbit began
LATEST = 1_893_456_000_000_000  # 2030-01-01
_MOST_VOLUME = 50_000 * SCALE


def intervals() -> st.SearchStrategy[Interval]:
    """Draw an interval of Upbit's thirteen."""
    return st.sampled_from(list(INTERVALS.values()))


def markets(quote: str | None = None) -> st.SearchStrategy[str]:
    """Draw a market code, of the given quote currency if any."""
    quotes = st.sampled_from(["KRW", "BTC", "USDT"]) if quote is None else st.just(quote)
    base = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=6)
    return st.builds("{}-{}".format, quotes, base)


def moments(earliest: int = EARLIEST, latest: int = LATEST) -> st.SearchStrategy[int]:
    """Draw a moment in microseconds since the epoch, UTC, in ``[earliest, latest)``."""
    return st.integers(earliest, latest - 1)


@st.composite
def ranges(
    draw: st.DrawFn, interval: Interval | str | None = None, *, most: int = 1_000, earliest: int = EARLIEST
) -> Span:
    """Draw a half-open range ``[start, end)`` of at least a microsecond.

    Parameters
    ----------
    interval : Interval or str, optional
        Puts both ends on its grid, 1 to ``most`` periods apart.
    most : int
        How many periods (without an interval: minutes) at most.
    earliest : int
        Microseconds since the epoch.
    """
    start = draw(moments(earliest))
    if interval is None:
        return Span(start, start + draw(st.integers(1, most * 60_000_000)))
    grid = Interval.parse(interval)
    start = grid.ceil(start)
    return Span(start, grid.shift(start, draw(st.integers(1, most))))


def _prices(quote: str) -> st.SearchStrategy[int]:
    """Draw a price on the tick table, in 1e-8."""
    low, high = {"BTC": (1, SCALE), "USDT": (1_000, 200_000 * SCALE)}.get(quote, (10_000, 200_000_000 * SCALE))
    return st.integers(low, high).map(lambda price: int(floor_to_tick(quote, price)))


@st.composite
def candles(
    draw: st.DrawFn,
    interval: Interval | str = "1m",
    *,
    quote: str = "KRW",
    min_size: int = 0,
    max_size: int = 60,
    start: int | None = None,
) -> pa.Table:
    """Draw candles as a table of the schema ``candles``: time ascending, with holes.

    Parameters
    ----------
    interval : Interval or str
    quote : str
        Whose price steps hold.
    min_size, max_size : int
        How many candles.
    start : int, optional
        No candle starts before it (microseconds since the epoch, UTC).
    """
    import pyarrow as pa

    grid = Interval.parse(interval)
    size = draw(st.integers(min_size, max_size))
    time, price = grid.ceil(draw(moments()) if start is None else start), draw(_prices(quote))
    rows: list[tuple[int, int, int, int, int, int]] = []
    for _ in range(size):
        # Most candles follow at once; some leave a hole behind.
        time = grid.shift(time, draw(st.sampled_from([0, 0, 0, 1, 7])))
        swing = draw(st.tuples(*[st.integers(-20, 20)] * 4))
        moved = [int(floor_to_tick(quote, price + price * step // 1000)) for step in swing]
        high, low = int(ceil_to_tick(quote, max(moved))), min(moved)
        rows.append((time, moved[0], high, low, moved[1], draw(st.integers(1, _MOST_VOLUME))))
        price, time = moved[1], grid.shift(time, 1)
    schema = arrow_schema("candles")
    columns: list[Any] = [[row[place] for row in rows] for place in range(6)]
    value = [(row[4] * row[5] + SCALE // 2) // SCALE for row in rows]
    arrays = [pa.array(columns[0], pa.int64()), *(pa.array(exact_floats(column)) for column in [*columns[1:], value])]
    return pa.table([array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema)


@st.composite
def trades(
    draw: st.DrawFn, *, quote: str = "KRW", min_size: int = 0, max_size: int = 100, span: Span | None = None
) -> Trades:
    """Draw trades of a market in order of time, several of them in the same millisecond.

    ``.table()`` makes a table of the schema ``trades`` of them, and
    :class:`~upbit_frames.testing.FixedTrades` a market.

    Parameters
    ----------
    quote : str
        Whose price steps hold.
    min_size, max_size : int
        How many.
    span : Span, optional
        When; default: within some day.
    """
    if span is None:
        begin = draw(moments())
        span = Span(begin, begin + 86_400_000_000)
    first, last = -(-span.start // 1000), (span.end - 1) // 1000
    size = draw(st.integers(min_size, max_size))
    ms = np.array(draw(st.lists(st.integers(first, max(first, last)), min_size=size, max_size=size)), dtype=np.int64)
    again = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), dtype=bool)
    ms.sort()
    if size:
        again[0] = False
        ms = ms[np.maximum.accumulate(np.where(again, 0, np.arange(size)))]
    base = draw(_prices(quote))
    steps = np.array(draw(st.lists(st.integers(-30, 30), min_size=size, max_size=size)), dtype=np.int64)
    price = floor_to_tick(quote, base + base // 1000 * steps)
    volume = np.array(draw(st.lists(st.integers(1, _MOST_VOLUME), min_size=size, max_size=size)), dtype=np.int64)
    bid = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), dtype=bool)
    return Trades(ms, price, volume, bid)
