"""What a chart of candles draws: numbers out of a frame, coarser where there are too many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upbit_frames.core.bar_grid import BarGrid, Grid, contains, grid_of, parse_grid
from upbit_frames.core.intervals import INTERVALS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["MICROS_A_DAY", "Array", "Chart", "all_filled", "chart_of", "coarser_grids", "filled_rows", "guess"]

Array = Any  # of numpy; the stubs of matplotlib and numpy do not agree about them
MICROS_A_DAY = 86_400_000_000


@dataclass
class Chart:
    """What is drawn: times in days since 1970, the rest as in the frame."""

    left: Array
    width: Array
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    filled: Array  # which candles no trade made
    note: tuple[int, str, str] | None  # candles, their interval, the one drawn

    def __len__(self) -> int:
        return len(self.left)


def chart_of(frame: pd.DataFrame, named: str | None, most: int) -> tuple[Chart, Any, Grid | None]:
    """Return what to draw of a frame, its zone, and its grid where that is known."""
    import numpy as np

    from upbit_frames.frames.from_pandas import micros_of, plain_zone, tables, zone_of

    ((_, table),) = tables(frame, "candles", filled=True)
    filled = filled_rows(frame)
    known = grid_of(frame.attrs.get("upbit_frames", {}), named or None)
    step = known or guess(micros_of(table), plain_zone(zone_of(frame)))
    note = None
    if len(table) > most:
        fine = micros_of(table)
        table, drawn = _coarser(table, step, most)
        filled = all_filled(fine, filled, micros_of(table))
        note = (len(frame), step.name, drawn.name)
        visible = drawn
    else:
        visible = step
    times = micros_of(table)
    ends = visible.nexts(times)
    left = times / MICROS_A_DAY
    columns = {name: np.asarray(table[name]) for name in ("open", "high", "low", "close")}
    columns["volume"] = np.asarray(table["volume"]) if "volume" in table.column_names else np.zeros(len(table))
    chart = Chart(filled=filled, left=left, width=(ends - times) / MICROS_A_DAY, note=note, **columns)
    return chart, zone_of(frame), step if known is not None or len(times) > 1 else None


def guess(times: Array, zone: Any) -> Grid:
    """Return the interval by the times; a day for a single candle, whose width means nothing anyway."""
    from upbit_frames.frames.interval_of_times import infer_interval

    return infer_interval(times, zone) if len(times) > 1 else INTERVALS["1d"]


def _coarser(table: pa.Table, step: Grid, most: int) -> tuple[pa.Table, Grid]:
    """The candles as the finest coarser ones that are few enough."""
    from upbit_frames.core.resample import resample

    coarse, used = table, step
    for grid in coarser_grids(step):
        coarse, used = resample(table, step, grid, edges="keep"), grid
        if len(coarse) <= most:
            break
    return coarse, used


def coarser_grids(step: Grid) -> list[Grid]:
    """Return Upbit's intervals that candles of a grid can be aggregated to, ascending."""
    base = step.base if isinstance(step, BarGrid) else None
    grids = [parse_grid(interval, base) for interval in sorted(INTERVALS.values(), key=lambda grid: grid.step)]
    return [grid for grid in grids if grid.step > step.step and contains(step, grid)]


def filled_rows(frame: pd.DataFrame) -> Array:
    """Return which of the candles with a price were filled in."""
    import numpy as np

    real = ~np.isnan(frame["close"].to_numpy(dtype=np.float64, na_value=np.nan))
    if "filled" not in frame.columns:
        return np.zeros(int(real.sum()), dtype=bool)
    return frame["filled"].to_numpy(dtype=bool, na_value=False)[real]


def all_filled(fine: Array, filled: Array, coarse: Array) -> Array:
    """Return which coarser candles consist of filled ones alone.

    Parameters
    ----------
    fine, coarse : numpy.ndarray
        Starts of the candles and of the coarser ones, int64 microseconds, ascending.
    filled : numpy.ndarray
        Of ``fine``, bool.
    """
    import numpy as np

    if not len(coarse):
        return np.zeros(0, dtype=bool)
    return np.logical_and.reduceat(filled, np.searchsorted(fine, coarse))
