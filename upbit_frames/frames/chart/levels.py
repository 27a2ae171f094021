"""Candles aggregated to coarser and coarser ones, of which a chart draws the finest that its pixels have room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from upbit_frames.core.bar_grid import Grid
from upbit_frames.core.resample import resample
from upbit_frames.frames.from_pandas import micros_of
from upbit_frames.frames.plot.content import all_filled, coarser_grids

__all__ = ["FEWEST", "Level", "levels_of", "tail_of"]

FEWEST = 400  # candles that any picture has room for; coarser levels are of no use
_THINNED = 2  # a level has at most this part of the candles of the one before


@dataclass(frozen=True)
class Level:
    """The candles of one grid.

    Attributes
    ----------
    grid : Interval or BarGrid
    table : pyarrow.Table
        Schema ``candles``, ascending; periods without a candle have no row.
    filled : numpy.ndarray
        bool: which candles consist of filled ones alone.
    """

    grid: Grid
    table: pa.Table
    filled: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.table)


def levels_of(table: pa.Table, filled: np.ndarray[Any, Any], step: Grid) -> list[Level]:
    """Return the candles themselves and the levels above, each with at most half as many.

    Parameters
    ----------
    table : pyarrow.Table
        Schema ``candles``, ascending.
    filled : numpy.ndarray
        bool, of each row.
    step : Interval or BarGrid
        Of ``table``.
    """
    levels = [Level(step, table, filled)]
    times = micros_of(table)
    for grid in coarser_grids(step):
        if len(levels[-1]) <= FEWEST:
            break
        coarse = resample(table, step, grid, edges="keep")
        if len(coarse) * _THINNED <= len(levels[-1]):
            levels.append(Level(grid, coarse, all_filled(times, filled, micros_of(coarse))))
    return levels


def tail_of(base: Level, grids: list[Grid], start: int) -> list[Level]:
    """Return the candles of each grid that can differ once rows of ``base`` from ``start`` on are new.

    Parameters
    ----------
    base : Level
        All candles, the new ones among them.
    grids : list of Interval or BarGrid
        Of the levels, the base's own first.
    start : int
        Microseconds; the first new or changed row.

    Returns
    -------
    list of Level
        For each grid, the candles from the one that holds ``start`` on: they replace those of the same times.
    """
    times = micros_of(base.table)
    tails = []
    for grid in grids:
        first = int(np.searchsorted(times, grid.floor(start)))
        part, filled = base.table.slice(first), base.filled[first:]
        coarse = part if grid == base.grid else resample(part, base.grid, grid, edges="keep")
        tails.append(Level(grid, coarse, all_filled(times[first:], filled, micros_of(coarse))))
    return tails
