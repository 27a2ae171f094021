"""Trades and candles as integer columns, and exact sums of them. No I/O.

Prices and volumes are integers of 1e-8. A day's worth in won needs more than 64 bits at 16
decimals, so sums of volume and value are kept in limbs of 1e8 and put together as Python ints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from upbit_frames.testing.market.price_ticks import SCALE

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Candles", "Trades", "exact_floats", "fold", "no_candles", "no_trades", "storage_lag"]

Ints = npt.NDArray[np.int64]
EXACT = 1 << 53  # up to here a float64 holds every integer

# Rows of a candle block.
TIME, OPEN, HIGH, LOW, CLOSE, VOLUME, VOLUME_LOW, VALUE, VALUE_MID, VALUE_LOW, LAST = range(11)
_SUMS = slice(VOLUME, LAST)


def storage_lag(ms: Any) -> Any:
    """Return how many ms after a trade the exchange stored it: 15 to 74, always the same for a trade.

    The ``timestamp`` of a candle is that moment of its last trade, so it can lie past the
    candle's end (upbit-api 4).
    """
    return 15 + ms * 7919 % 60


@dataclass(frozen=True, eq=False)
class Trades:
    """Trades of one market in order of time, as columns of equal length.

    Attributes
    ----------
    ms : int64 array
        Milliseconds since the epoch, UTC, not decreasing.
    price, volume : int64 array
        Units of 1e-8.
    bid : bool array
        Whether the taker bought.
    """

    ms: Ints
    price: Ints
    volume: Ints
    bid: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ms)

    def __getitem__(self, rows: slice) -> Trades:
        part = Trades(self.ms[rows], self.price[rows], self.volume[rows], self.bid[rows])
        # Trades of the same millisecond are numbered within the whole, not within the part.
        part.__dict__["sequential_id"] = self.sequential_id[rows]
        whole, low = self._place
        part.__dict__["_part_of"] = (whole, low + rows.indices(len(self))[0])
        return part

    @property
    def _place(self) -> tuple[Trades, int]:
        """What this is a part of, and from which row on."""
        place: tuple[Trades, int] = self.__dict__.get("_part_of", (self, 0))
        return place

    @cached_property
    def sequential_id(self) -> Ints:
        """The id of each trade as Upbit numbers them."""
        place = np.arange(len(self.ms))
        first = np.ones(len(self.ms), dtype=bool)
        first[1:] = self.ms[1:] != self.ms[:-1]
        ids: Ints = self.ms * 10_000 + place - np.maximum.accumulate(np.where(first, place, 0))
        return ids

    @cached_property
    def value_limbs(self) -> Ints:
        """Price times volume in three rows: whole units, 1e-8 and 1e-16 of the quote currency."""
        price, cents = _split(self.price)
        volume, dust = _split(self.volume)
        carry, low = _split(cents * dust)
        carry, middle = _split(price * dust + cents * volume + carry)
        return np.stack((price * volume + carry, middle, low))

    @cached_property
    def volume_limbs(self) -> Ints:
        """Volume in two rows: whole coins and 1e-8."""
        return np.stack(_split(self.volume))

    @cached_property
    def _sums(self) -> Ints:
        """The limbs of value, volume and the buyers' volume up to before each row: parts are summed at no cost."""
        limbs = np.concatenate((self.value_limbs, self.volume_limbs, self.volume_limbs * self.bid))
        sums = np.zeros((len(limbs), len(self) + 1), dtype=np.int64)
        np.cumsum(limbs, axis=1, out=sums[:, 1:])
        return sums

    def sums(self) -> tuple[int, int, int]:
        """Price times volume in units of 1e-16, volume and the buyers' volume in units of 1e-8, exactly."""
        whole, low = self._place
        a, b, c, d, e, f, g = (whole._sums[:, low + len(self)] - whole._sums[:, low]).tolist()
        return (a * SCALE + b) * SCALE + c, d * SCALE + e, f * SCALE + g

    def between(self, start_ms: int, end_ms: int) -> Trades:
        """Return the trades of ``[start, end)``."""
        low, high = np.searchsorted(self.ms, (start_ms, end_ms))
        return self[int(low) : int(high)]

    def candles(self, unit_ms: int) -> Ints:
        """Candle block of a fixed unit that divides the day: eleven rows, a column per candle."""
        if not len(self):
            return no_candles()
        slot = self.ms // unit_ms
        at, last = _runs(slot)
        block = np.empty((LAST + 1, len(at)), dtype=np.int64)
        block[TIME] = slot[at] * (unit_ms * 1000)
        block[OPEN], block[CLOSE] = self.price[at], self.price[last]
        block[HIGH] = np.maximum.reduceat(self.price, at)
        block[LOW] = np.minimum.reduceat(self.price, at)
        block[VOLUME:VALUE] = np.add.reduceat(self.volume_limbs, at, axis=1)
        block[VALUE:LAST] = np.add.reduceat(self.value_limbs, at, axis=1)
        block[LAST] = self.ms[last] + storage_lag(self.ms[last])
        return block

    def table(self) -> pa.Table:
        """Return the trades in the package's schema ``trades``."""
        import pyarrow as pa

        from upbit_frames.core.schema import arrow_schema

        price, volume = exact_floats(self.price), exact_floats(self.volume)
        columns = [
            pa.array(self.ms * 1000),
            pa.array(price),
            pa.array(volume),
            pa.array(price * volume),
            pa.array(np.where(self.bid, "bid", "ask").tolist(), pa.string()),
            pa.array(self.sequential_id),
            pa.nulls(len(self), pa.int64()),
        ]
        schema = arrow_schema("trades")
        return pa.table([column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)


def no_trades() -> Trades:
    """No trades at all."""
    none = np.empty(0, dtype=np.int64)
    return Trades(none, none, none, none.astype(np.bool_))


def join_trades(parts: list[Trades]) -> Trades:
    """Concatenate parts, given in order of time."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return no_trades()
    return Trades(
        np.concatenate([part.ms for part in parts]),
        np.concatenate([part.price for part in parts]),
        np.concatenate([part.volume for part in parts]),
        np.concatenate([part.bid for part in parts]),
    )


def _split(numbers: Ints) -> tuple[Ints, Ints]:
    """Whole units and the rest; twice as fast as divmod, which is not vectorised."""
    whole = numbers // SCALE
    return whole, numbers - whole * SCALE


def _runs(keys: Ints) -> tuple[Ints, Ints]:
    """Return the first and last position of every run of equal keys; there must be at least one key."""
    change = np.flatnonzero(keys[1:] != keys[:-1])
    at, last = np.empty(len(change) + 1, dtype=np.int64), np.empty(len(change) + 1, dtype=np.int64)
    at[0], last[-1] = 0, len(keys) - 1
    at[1:], last[:-1] = change + 1, change
    return at, last


def no_candles() -> Ints:
    """Return a candle block without a candle."""
    return np.empty((LAST + 1, 0), dtype=np.int64)


def fold(block: Ints, starts: Ints) -> Ints:
    """Join finer candles into coarser ones, exactly.

    Parameters
    ----------
    block : int64 array (11, n)
        Finer candles in order of time.
    starts : int64 array (n,)
        For each of them the start of its coarser candle, not decreasing.
    """
    if not block.shape[1]:
        return no_candles()
    at, last = _runs(starts)
    joined = np.empty((LAST + 1, len(at)), dtype=np.int64)
    joined[TIME] = starts[at]
    joined[OPEN], joined[CLOSE], joined[LAST] = block[OPEN, at], block[CLOSE, last], block[LAST, last]
    joined[HIGH] = np.maximum.reduceat(block[HIGH], at)
    joined[LOW] = np.minimum.reduceat(block[LOW], at)
    joined[_SUMS] = np.add.reduceat(block[_SUMS], at, axis=1)
    return joined


class Candles:
    """Candles of one market and interval in order of time; the truth behind the wire.

    Attributes
    ----------
    time : int64 array
        Start of each period, microseconds since the epoch, UTC.
    open, high, low, close : int64 array
        Units of 1e-8.
    timestamp : int64 array
        Milliseconds since the epoch at which the last trade was stored.
    """

    def __init__(self, block: Ints) -> None:
        self.block = block
        self.time, self.open, self.high, self.low, self.close = block[TIME : CLOSE + 1]
        self.timestamp = block[LAST]

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, rows: slice) -> Candles:
        return Candles(self.block[:, rows])

    @cached_property
    def volume(self) -> list[int]:
        """Amount traded in units of 1e-8, exactly."""
        high, low = (limb.tolist() for limb in self.block[VOLUME:VALUE])
        return [a * SCALE + b for a, b in zip(high, low, strict=True)]

    @cached_property
    def value_exact(self) -> list[int]:
        """Sum of price times volume in units of 1e-16, exactly."""
        limbs = (limb.tolist() for limb in self.block[VALUE:LAST])
        return [(a * SCALE + b) * SCALE + c for a, b, c in zip(*limbs, strict=True)]

    @cached_property
    def value(self) -> list[int]:
        """Sum of price times volume in units of 1e-8, halves up, as the wire has it."""
        return [(value + SCALE // 2) // SCALE for value in self.value_exact]

    def table(self) -> pa.Table:
        """Return the candles in the package's schema ``candles``: floats nearest to what the wire says."""
        import pyarrow as pa

        from upbit_frames.core.schema import arrow_schema

        schema = arrow_schema("candles")
        prices = [exact_floats(column) for column in (self.open, self.high, self.low, self.close)]
        columns = [self.time, *prices, exact_floats(self.volume), exact_floats(self.value)]
        return pa.table(
            [pa.array(column).cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
        )


def exact_floats(numbers: Ints | Iterable[int]) -> npt.NDArray[np.float64]:
    """Return the float64 nearest to each number of 1e-8, correctly rounded."""
    listed = numbers.tolist() if isinstance(numbers, np.ndarray) else list(numbers)
    if listed and max(listed) >= EXACT:
        # int / int is rounded once; float(int) / float would be rounded twice.
        return np.array([value / SCALE for value in listed], dtype=np.float64)
    return np.array(listed, dtype=np.float64) / SCALE
