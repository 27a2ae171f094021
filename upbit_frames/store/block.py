"""Memory in which many candles lie column after column, so that a frame can go on in it.

Reading fills it file by file. Where candles of several markets become one frame, each market is read into its
own part of one :class:`SharedBlock`, and nothing has to be joined afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from upbit_frames.core.arrow import candle_table, copy_into
from upbit_frames.core.schema import arrow_schema

__all__ = ["Block", "SharedBlock"]

_part: ContextVar[tuple[NDArray[np.float64], tuple[str, ...] | None] | None] = ContextVar("block_part", default=None)


class SharedBlock:
    """Memory for the numbers of candles of several markets, one after the other in every column.

    Parameters
    ----------
    counts : list of int
        How many candles each market is expected to have.
    columns : tuple of str, optional
        What is read, ``time`` first; by default every column.

    Attributes
    ----------
    numbers : numpy.ndarray
        A row for each column of numbers, a place for each candle.
    """

    def __init__(self, counts: list[int], columns: tuple[str, ...] | None = None) -> None:
        self._columns = columns
        self._ends = np.cumsum([0, *counts]).tolist()
        self.numbers = np.empty((len(arrow_schema("candles", columns)) - 1, self._ends[-1]))

    @contextlib.contextmanager
    def part(self, number: int) -> Iterator[None]:
        """Let what this thread reads of a market go into its part, if it has as many candles as expected."""
        token = _part.set((self.numbers[:, self._ends[number] : self._ends[number + 1]], self._columns))
        try:
            yield
        finally:
            _part.reset(token)


class Block:
    """Memory for so many candles of one market, filled in any order and by several threads."""

    def __init__(self, length: int, columns: tuple[str, ...] | None = None) -> None:
        self._columns = columns
        self._times = np.empty(length, np.int64)
        part = _part.get()
        if part is not None and part[1] == columns and part[0].shape[1] == length:
            self._numbers = part[0]
        else:
            self._numbers = np.empty((len(arrow_schema("candles", columns)) - 1, length))

    def put(self, low: int, table: pa.Table) -> None:
        """The table's rows from the place ``low`` on."""
        for target, column in zip((self._times, *self._numbers), table.columns, strict=True):
            copy_into(target[low:], column)

    def table(self) -> pa.Table:
        """All of it, without copying."""
        return candle_table(self._times, self._numbers, self._columns)
