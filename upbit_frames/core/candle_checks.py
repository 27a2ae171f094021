"""What cannot be true of candles (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upbit_frames.core.bar_grid import Grid

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["faults"]


def faults(table: pa.Table, interval: Grid | None) -> list[tuple[str, int, int]]:
    """Every kind of fault in candles.

    Parameters
    ----------
    table : pyarrow.Table
        The columns of schema ``candles``, in any order of rows.
    interval : Interval or BarGrid, optional
        Without it the grid is not looked at.

    Returns
    -------
    list of (str, int, int)
        What is wrong, in how many rows, and the time of the first, in microseconds.
    """
    import numpy as np

    times = np.asarray(table["time"].cast("int64"))
    names = ("open", "high", "low", "close", "volume", "value")
    columns = np.array([np.asarray(table[name]) for name in names]).reshape(len(names), len(times))
    open_, high, low, close, volume, value = columns
    repeated, earlier = np.zeros(len(times), dtype=bool), np.zeros(len(times), dtype=bool)
    repeated[np.unique(times, return_index=True)[1]] = True
    earlier[1:] = times[1:] < times[:-1]
    checks: dict[str, Any] = {
        "time goes back": earlier,
        "time occurs again": ~repeated,
        "time starts no period": np.zeros_like(earlier) if interval is None else interval.floors(times) != times,
        "not a finite number": ~np.isfinite(columns).all(axis=0),
        "price not above zero": (columns[:4] <= 0).any(axis=0),
        "high below low": high < low,
        "open outside of low and high": (open_ < low) | (open_ > high),
        "close outside of low and high": (close < low) | (close > high),
        "volume or value below zero": (volume < 0) | (value < 0),
    }
    return [(what, int(bad.sum()), int(times[np.argmax(bad)])) for what, bad in checks.items() if bad.any()]
