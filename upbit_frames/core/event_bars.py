"""Bars that end by what was traded instead of by the clock: so many trades, so much volume or value (pure).

:class:`EventBars` takes trades chunk by chunk and keeps only the bar that is not complete, so a month of
trades needs the memory of one chunk, and where the chunks are cut changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from upbit_frames.core.arguments import number, whole
from upbit_frames.core.arrow import times_of
from upbit_frames.core.exact_sums import UNIT, carried, cumulative, digits_of, product_digits, to_floats
from upbit_frames.core.schema import COMPLETE, arrow_schema
from upbit_frames.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Digits = NDArray[np.int64]

__all__ = ["EventBars", "Threshold", "bought_column", "bought_of", "float_column"]

LARGEST = 1e15  # of a threshold; sums up to it are exact integers
_SHORT = 16  # trades a bar up to which one search of all is faster than one search a bar
_UNIT_BITS = 27  # that a digit below UNIT takes
_ROWS = 1 << 17  # trades worked on at once: what is computed of them stays in the processor's cache


@dataclass(frozen=True)
class Threshold:
    """What ends a bar.

    Attributes
    ----------
    kind : {"ticks", "volume", "value"}
    amount : int
        Trades, or units of 1e-8 of the base currency (volume) or the quote currency (value).
    """

    kind: str
    amount: int

    @classmethod
    def build(cls, *, ticks: Any = None, volume: Any = None, value: Any = None) -> Threshold:
        """Check the arguments of ``uf.bars``: exactly one threshold, above 0.

        Raises
        ------
        QueryError
        """
        given = {"ticks": ticks, "volume": volume, "value": value}
        given = {name: amount for name, amount in given.items() if amount is not None}
        if len(given) != 1:
            came = " and ".join(f"{name}={amount!r}" for name, amount in given.items()) or "none"
            raise QueryError(
                f"bars need exactly one threshold, ticks=, volume= or value=, got {came}",
                suggestion="for instance ticks=500, volume=10.0 or value=1e9",
            )
        ((kind, amount),) = given.items()
        if kind == "ticks":
            return cls(kind, whole("ticks", amount, 1))
        units = int(round(Decimal(repr(number(kind, amount, 0, LARGEST, above=True))), 8) * UNIT)
        if units == 0:
            raise QueryError(f"{kind} must be at least 0.00000001, the exchange's smallest amount, got {amount!r}")
        return cls(kind, units)

    @property
    def argument(self) -> dict[str, float]:
        """The argument of ``uf.bars`` that says the same."""
        return {self.kind: self.amount if self.kind == "ticks" else self.amount / UNIT}

    @property
    def text(self) -> str:
        """The argument, as it is written."""
        return f"ticks={self.amount}" if self.kind == "ticks" else f"{self.kind}={self.amount / UNIT:g}"


@dataclass
class _Bars:
    """Bars as columns; sums as digits, see :mod:`upbit_frames.core.exact_sums`."""

    time: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    end: NDArray[np.int64]
    trades: NDArray[np.int64]
    volume: Digits
    value: Digits
    buy_volume: Digits

    def part(self, rows: slice) -> _Bars:
        """Return some of the bars, copied so that the rest can be freed."""
        return _Bars(**{name: column[..., rows].copy() for name, column in vars(self).items()})

    def continue_from(self, before: _Bars) -> None:
        """Let the first bar be the continuation of the only one of ``before``."""
        self.time[0], self.open[0] = before.time[0], before.open[0]
        self.high[0] = max(self.high[0], before.high[0])
        self.low[0] = min(self.low[0], before.low[0])
        self.trades[0] += before.trades[0]
        for name in ("volume", "value", "buy_volume"):
            column = getattr(self, name)
            column[:, 0] = carried(column[:, :1] + getattr(before, name))[:, 0]

    def to_table(self) -> pa.Table:
        """Return the bars in the schema ``bars``."""
        schema = arrow_schema("bars")
        sums = {name: to_floats(getattr(self, name)) for name in ("volume", "value", "buy_volume")}
        columns = {**vars(self), **sums}
        arrays = [
            pa.array(columns[field.name]).view(field.type) if pa.types.is_timestamp(field.type)
            else pa.array(columns[field.name])
            for field in schema
        ]  # fmt: skip
        return pa.Table.from_arrays(arrays, schema=schema)


class EventBars:
    """Aggregates trades, chunk by chunk, into bars that a threshold ends.

    The trade with which a bar reaches its threshold ends it and belongs to it whole; what it
    has above the threshold does not count for the next bar.

    Parameters
    ----------
    threshold : Threshold

    Examples
    --------
    >>> bars = EventBars(Threshold.build(ticks=2))
    >>> len(bars.add(arrow_schema("trades").empty_table()))
    0
    """

    def __init__(self, threshold: Threshold) -> None:
        self.threshold = threshold
        self._last = -(2**63)
        self._open: _Bars | None = None

    def add(self, trades: pa.Table) -> pa.Table:
        """Return the bars that these trades complete.

        Parameters
        ----------
        trades : pyarrow.Table
            Columns time, price, volume and ``bought`` (see :func:`bought_of`) or side; ascending in
            time, and not older than the trades before.

        Returns
        -------
        pyarrow.Table
            Schema ``bars``.

        Raises
        ------
        QueryError
            If a price or a volume is no number that can be added, or the times do not ascend.
        """
        parts = [self._add(trades.slice(at, _ROWS)).to_table() for at in range(0, len(trades), _ROWS)]
        return pa.concat_tables(parts) if parts else arrow_schema("bars").empty_table()

    def forming(self) -> pa.Table:
        """Return the bar that is not complete, in the schema ``bars``: one row, or none."""
        return arrow_schema("bars").empty_table() if self._open is None else self._open.to_table()

    def interrupt(self) -> None:
        """Leave out the bar that is not complete, because the trades that follow it are unknown."""
        self._open = None

    def finish(self, parts: Sequence[pa.Table], *, forming: bool) -> pa.Table:
        """Return bars as one table; with ``forming`` the incomplete one too, and a column ``complete``."""
        table = pa.concat_tables([arrow_schema("bars").empty_table(), *parts])
        if not forming:
            return table
        last = self.forming()
        complete = np.concatenate([np.ones(len(table), dtype=bool), np.zeros(len(last), dtype=bool)])
        return pa.concat_tables([table, last]).append_column(COMPLETE.field(), pa.array(complete))

    def _add(self, trades: pa.Table) -> _Bars:
        times = times_of(trades)
        if times[0] < self._last or (times[1:] < times[:-1]).any():
            raise QueryError("the times of these trades do not ascend", suggestion="sort them: df = df.sort_index()")
        self._last = int(times[-1])
        price, amounts = (float_column(trades[name]) for name in ("price", "volume"))
        volume = digits_of(amounts)
        value = product_digits(digits_of(price, "price"), volume)
        ends = self._ends(len(times), volume, value)
        first = np.concatenate([[0], ends + 1])
        first = first[first < len(times)]  # nothing follows where the last trade ends a bar
        last = np.concatenate([first[1:], [len(times)]]) - 1
        total = partial(np.add.reduceat, indices=first, axis=1)
        bars = _Bars(
            times[first], price[first], np.maximum.reduceat(price, first), np.minimum.reduceat(price, first),
            price[last], times[last], last - first + 1,
            total(volume), total(value), total(volume * bought_column(trades)),
        )  # fmt: skip
        if self._open is not None:
            bars.continue_from(self._open)
        complete = len(ends)
        self._open = bars.part(slice(complete, None)) if complete < len(first) else None
        return bars.part(slice(0, complete))

    def _ends(self, rows: int, volume: Digits, value: Digits) -> NDArray[np.int64]:
        """Return the positions of the trades that end a bar."""
        before, amount = self._open, self.threshold.amount
        if self.threshold.kind == "ticks":
            begun = 0 if before is None else int(before.trades[0])
            return np.arange(amount - begun - 1, rows, amount, dtype=np.int64)
        digits = volume if self.threshold.kind == "volume" else value
        start = None if before is None else getattr(before, self.threshold.kind)
        return _crossings(cumulative(digits, start), divmod(amount, UNIT))


def _crossings(sums: Digits, amount: tuple[int, int]) -> NDArray[np.int64]:
    """Return where running sums have grown by ``amount`` since the last such place, or since 0."""
    bars = (int(sums[0, -1]) + 1) / (amount[0] + amount[1] / UNIT)  # at most
    return (_crossings_by_trade if bars * _SHORT > sums.shape[1] else _crossings_by_bar)(sums, amount)


def _crossings_by_bar(sums: Digits, amount: tuple[int, int]) -> NDArray[np.int64]:
    """Search for the end of one bar after the other: fast where bars have many trades."""
    columns = [memoryview(row) for row in np.ascontiguousarray(sums)]
    rows, at = sums.shape[1], 0
    reached = [0] * len(columns)
    ends: list[int] = []
    while at < rows:
        at = _first_reaching(columns, _target(reached, amount), at, rows)
        if at == rows:
            break
        reached = [column[at] for column in columns]
        ends.append(at)
        at += 1
    return np.array(ends, dtype=np.int64)


def _crossings_by_trade(sums: Digits, amount: tuple[int, int]) -> NDArray[np.int64]:
    """Search, in one call, for the end of the bar that begins at each trade; then go from bar to bar.

    The search compares keys: as many leading bits of the digits as an int64 has room for. Where the key alone
    does not decide, all digits do.
    """
    rows = sums.shape[1]
    targets = np.zeros_like(sums)
    targets[:, 1:] = sums[:, :-1]
    targets[0] += amount[0]
    targets[1] += amount[1]
    targets = carried(targets)
    spare = max(0, int(max(sums[0, -1], targets[0, -1])).bit_length() + _UNIT_BITS - 63)
    keys, wanted = ((digits[0] << (_UNIT_BITS - spare)) | (digits[1] >> spare) for digits in (sums, targets))
    ends: NDArray[np.int64] = np.searchsorted(keys, wanted)
    if spare or len(sums) > 2:
        equal = np.flatnonzero(keys[np.minimum(ends, rows - 1)] == wanted)
        columns = [memoryview(row) for row in np.ascontiguousarray(sums)]
        for begin in equal[_less(sums[:, ends[equal]], targets[:, equal])].tolist():
            ends[begin] = _first_reaching(columns, targets[:, begin].tolist(), begin, rows)
    follows, at = ends.data, 0
    chain: list[int] = []
    while at < rows:
        chain.append(follows[at])
        at = chain[-1] + 1
    if at > rows:
        chain.pop()  # the last bar is not complete
    return np.array(chain, dtype=np.int64)


def _less(digits: Digits, others: Digits) -> NDArray[np.bool_]:
    """Return which amounts are less than the others, digit by digit."""
    less = np.zeros(digits.shape[1], dtype=bool)
    for digit, other in zip(digits[::-1], others[::-1], strict=True):
        less = (digit < other) | ((digit == other) & less)
    return less


def _target(reached: list[int], amount: tuple[int, int]) -> list[int]:
    target = [reached[0] + amount[0], reached[1] + amount[1], *reached[2:]]
    if target[1] >= UNIT:
        target[0], target[1] = target[0] + 1, target[1] - UNIT
    return target


def _first_reaching(columns: list[Any], target: list[int], low: int, high: int) -> int:
    """Return the first position in ``[low, high)`` whose digits are at least the target's; else ``high``."""
    for column, digit in zip(columns, target, strict=True):
        left = bisect_left(column, digit, low, high)
        right = bisect_right(column, digit, left, high)
        if left == right:
            return left
        low, high = left, right  # equal so far: the next digit decides among them
    return low


def bought_of(side: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return whether the taker bought, of a column of sides.

    Raises
    ------
    QueryError
        If a side is neither ``"bid"`` nor ``"ask"``.
    """
    bought = pc.equal(side, "bid")
    if bought.null_count or not pc.all(pc.or_(bought, pc.equal(side, "ask")), min_count=0).as_py():
        odd = [value for value in pc.unique(side).to_pylist() if value not in ("bid", "ask")]
        raise QueryError(
            f"side must be 'bid' (the taker bought) or 'ask' (the taker sold), got {odd[:3]}",
            suggestion="df['side'] = df['side'].str.lower() where only the case differs",
        )
    return bought


def bought_column(trades: pa.Table) -> NDArray[np.bool_]:
    """Return whether the taker bought, of a column ``bought`` or of ``side``."""
    bought = trades["bought"] if "bought" in trades.column_names else bought_of(trades["side"])
    return np.asarray(bought.to_numpy(zero_copy_only=False) if isinstance(bought, pa.Array) else bought.to_numpy())


def float_column(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return numbers as an array, not copied where they are one chunk; nulls become NaN."""
    return np.asarray(column.to_numpy(), dtype=np.float64)
