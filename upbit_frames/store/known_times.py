"""The times of candles that were decoded and verified before, so that they are not decoded again (pure).

Candles lie on a grid of equal steps, so one bit a period says which of them exist; where none is missing, the
first and the last time say it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KnownTimes"]

MAX_PERIODS_A_ROW = 16  # of a thinner row group the times are decoded each time, as its bits would take longer


class KnownTimes:
    """Times of the row groups of a file.

    Parameters
    ----------
    step : int
        Microseconds from one period to the next.
    first, last : list of int
        Times of the first and the last row of each row group.
    ends : list of int
        How many rows there are up to the end of each row group.

    Examples
    --------
    >>> known = KnownTimes(10, [0], [30], [3])
    >>> known.add(0, np.array([0, 10, 30]))
    >>> known.times(range(1)).tolist()
    [0, 10, 30]
    """

    def __init__(self, step: int, first: list[int], last: list[int], ends: list[int]) -> None:
        self._step = step
        self._first, self._last, self._ends = first, last, ends
        self._bits: dict[int, NDArray[np.uint8] | None] = {}

    def _periods(self, number: int) -> int:
        return (self._last[number] - self._first[number]) // self._step + 1

    def _rows(self, number: int) -> int:
        return self._ends[number] - (self._ends[number - 1] if number else 0)

    def _kept(self, number: int) -> bool:
        return self._periods(number) <= MAX_PERIODS_A_ROW * self._rows(number)

    @property
    def weight(self) -> int:
        """The most bytes that the bits can take."""
        sparse = [n for n in range(len(self._ends)) if self._kept(n) and self._periods(n) > self._rows(n)]
        return sum(self._periods(number) // 8 + 200 for number in sparse)

    def add(self, number: int, times: NDArray[np.int64]) -> None:
        """Remember the times of a row group: ascending, on the grid, the first and the last as declared."""
        if not self._kept(number):
            return
        if self._periods(number) == len(times):
            self._bits[number] = None
            return
        present = np.zeros(self._periods(number), dtype=bool)
        present[(times - self._first[number]) // self._step] = True
        self._bits[number] = np.packbits(present)

    def has(self, groups: range) -> bool:
        """Return whether the times of all these row groups are known."""
        return all(number in self._bits for number in groups)

    def times(self, groups: range) -> NDArray[np.int64]:
        """Return the times of row groups that are known, in their order."""
        begin = self._ends[groups.start - 1] if groups.start else 0
        times = np.empty(self._ends[groups.stop - 1] - begin, dtype=np.int64)
        for number in groups:
            part = times[self._ends[number] - self._rows(number) - begin : self._ends[number] - begin]
            bits = self._bits[number]
            if bits is None:
                part[:] = np.arange(self._first[number], self._last[number] + 1, self._step)
                continue
            present = np.unpackbits(bits, count=self._periods(number)).view(bool)
            np.multiply(np.flatnonzero(present), self._step, out=part)
            part += self._first[number]
        return times
