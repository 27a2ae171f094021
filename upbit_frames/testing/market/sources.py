"""Trades that are given, not generated: from a list, or behind a file of real candles."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from upbit_frames.testing.market.columns import HIGH, LOW, Ints, Trades, no_trades
from upbit_frames.testing.market.generated import DAY_MS
from upbit_frames.testing.market.listings import Listing
from upbit_frames.testing.market.price_ticks import SCALE

__all__ = ["CandleFile", "FixedTrades", "Source", "read_candle_file"]


class Source(Protocol):
    """Where the trades of a market come from; a day is a number of days since the epoch, UTC."""

    listing: Listing
    first_day: int
    last_day: int

    def day(self, day: int) -> Trades:
        """Return all trades of the day, in order of time."""

    def active_days(self, start: int, end: int) -> Ints:
        """Return the days of ``[start, end)`` that have a trade, ascending."""

    def last_active_day(self, before: int) -> int | None:
        """Return the latest day with a trade before that day."""

    def extremes(self, start: int, end: int) -> tuple[Ints, Ints, Ints]:
        """Return days of ``[start, end)`` with trades, and the highest and lowest price of each, in 1e-8."""


class FixedTrades:
    """A market whose trades are given.

    Parameters
    ----------
    listing : Listing
        Its trading character is ignored, its names and dates count.
    trades : Trades or iterable of (int, str or int or Decimal, str or int or Decimal, str)
        In order of time: milliseconds since the epoch (UTC), price, volume, ``"bid"`` or
        ``"ask"`` for the taker's side. Prices and volumes may have 8 decimals.

    Raises
    ------
    ValueError
        If the trades are not in order of time, or a number has more than 8 decimals.

    Examples
    --------
    >>> listing = Listing("KRW-TOY", "장난감", "Toy", 100, 0, 0)
    >>> market = FixedTrades(listing, [(1_767_225_600_123, 100, "0.5", "bid")])
    >>> len(market.day(20_454))
    1
    """

    def __init__(self, listing: Listing, trades: Trades | Iterable[tuple[int, object, object, str]]) -> None:
        self.listing = listing
        self._trades = trades if isinstance(trades, Trades) else _columns(trades)
        if len(self._trades) and (np.diff(self._trades.ms) < 0).any():
            raise ValueError("the trades must be given in order of time")
        self._days = np.unique(self._trades.ms // DAY_MS)
        self.first_day = min([listing.listed // (DAY_MS * 1000), *self._days[:1].tolist()])
        self.last_day = max([self.first_day, *self._days[-1:].tolist()])
        daily = self._trades.candles(DAY_MS)
        self._high, self._low = daily[HIGH], daily[LOW]

    def day(self, day: int) -> Trades:
        """Return all trades of the day."""
        return self._trades.between(day * DAY_MS, (day + 1) * DAY_MS)

    def active_days(self, start: int, end: int) -> Ints:
        """Return the days of ``[start, end)`` that have a trade."""
        low, high = np.searchsorted(self._days, (start, end))
        return self._days[low:high]

    def last_active_day(self, before: int) -> int | None:
        """Return the latest day with a trade before that day."""
        place = int(np.searchsorted(self._days, before))
        return int(self._days[place - 1]) if place else None

    def extremes(self, start: int, end: int) -> tuple[Ints, Ints, Ints]:
        """Return days of ``[start, end)`` with trades, and their highest and lowest price."""
        low, high = np.searchsorted(self._days, (start, end))
        return self._days[low:high], self._high[low:high], self._low[low:high]


def _columns(rows: Iterable[tuple[int, object, object, str]]) -> Trades:
    listed = list(rows)
    if not listed:
        return no_trades()
    ms, price, volume, side = zip(*listed, strict=True)
    if not set(side) <= {"bid", "ask"}:
        raise ValueError(f"side must be 'bid' or 'ask', got {sorted(set(side) - {'bid', 'ask'})}")
    return Trades(
        np.array(ms, dtype=np.int64),
        np.array([_units(value) for value in price], dtype=np.int64),
        np.array([_units(value) for value in volume], dtype=np.int64),
        np.array([value == "bid" for value in side]),
    )


def _units(number: object) -> int:
    exact = Decimal(str(number)) * SCALE
    if exact != int(exact) or exact <= 0:
        raise ValueError(f"prices and volumes must be positive with at most 8 decimals, got {number!r}")
    return int(exact)


class CandleFile(FixedTrades):
    """A market whose candles are those of a file of real history.

    Behind each row stand up to four trades (open, the two extremes, close) that share its volume,
    so candles of the file's unit come out exactly as they are in the file, and coarser units,
    trades, ticker and book agree with them. The file has no traded value; here it is the sum over
    those trades, about (open + high + low + close) / 4 x volume. Units finer than the file's have
    as many candles as there are such trades.

    Parameters
    ----------
    listing : Listing
        ``listed`` should be the file's first row; see :func:`read_candle_file`.
    path : path
        CSV or gzipped CSV with columns timestamp (UTC, ``yyyy-MM-dd HH:mm:ss``), open, high,
        low, close, volume.
    """

    def __init__(self, listing: Listing, path: str | Path) -> None:
        time, ohlcv = read_candle_file(path)
        super().__init__(listing, _trades_of(time, ohlcv))


def read_candle_file(path: str | Path) -> tuple[Ints, Ints]:
    """Return the rows of a candle file that have volume, in order of time.

    Returns
    -------
    time : int64 array (n,)
        Start of the period, microseconds since the epoch, UTC.
    ohlcv : int64 array (5, n)
        Open, high, low, close, volume in units of 1e-8, exactly as written.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    names = ("open", "high", "low", "close", "volume")
    number = pa.decimal128(27, 8)
    options = pacsv.ConvertOptions(column_types={"timestamp": pa.timestamp("s"), **dict.fromkeys(names, number)})
    table = pacsv.read_csv(pa.BufferReader(data), convert_options=options).combine_chunks()
    time = table["timestamp"].combine_chunks().cast(pa.int64()).to_numpy() * 1_000_000
    ohlcv = np.stack([_unscaled(table[name].combine_chunks()) for name in names])
    rows = np.argsort(time, kind="stable")
    rows = rows[ohlcv[4, rows] > 0]
    return time[rows], ohlcv[:, rows]


def _unscaled(column: pa.Array) -> Ints:
    """Return the integers behind decimals: their low 64 bits, which hold all that occurs here."""
    words = np.frombuffer(column.buffers()[1], dtype=np.int64)
    return words[2 * column.offset : 2 * (column.offset + len(column)) : 2].copy()


def _trades_of(time: Ints, ohlcv: Ints) -> Trades:
    opening, high, low, close, volume = ohlcv
    step = int(np.diff(time).min()) // 1000 if len(time) > 1 else 60_000
    up = close >= opening
    # In a rising period the low comes before the high.
    price = np.stack((opening, np.where(up, low, high), np.where(up, high, low), close), axis=1)
    at = (time // 1000)[:, None] + np.array([0, 1, 2, 3]) * (step // 4) + np.array([137, 911, 411, 703])
    # A volume below four units cannot be shared; such a row becomes a single trade.
    share = np.repeat((volume // 4)[:, None], 4, axis=1)
    share[:, 3] += volume - 4 * (volume // 4)
    tiny = volume < 4
    if (tiny & (high != low)).any():
        raise ValueError("a candle of fewer than 4 units of 1e-8 cannot have several prices")
    share[tiny] = 0
    share[tiny, 0] = volume[tiny]
    keep = share > 0
    same = np.concatenate((np.zeros((len(time), 1), bool), price[:, 1:] >= price[:, :-1]), axis=1)
    return Trades(at[keep], price[keep], share[keep], same[keep])
