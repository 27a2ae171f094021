"""The interval that the times of a frame look like, where nothing else says it (pure)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from upbit_frames.core.bar_grid import Grid, as_bars, parse_grid
from upbit_frames.core.intervals import INTERVALS, MICROS, from_micros
from upbit_frames.core.periods import Period
from upbit_frames.errors import InvalidInterval, QueryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["infer_interval"]

_DAY = 86_400  # seconds
_MONTH = 30.4369  # days, on average


def infer_interval(times: NDArray[np.int64], zone: Any = dt.UTC) -> Grid:
    """Return the longest interval that times look like.

    Upbit's own are taken wherever every time lies on their grid. Others, and days that begin at another time
    than 00:00 UTC, need more evidence: most candles must follow the one before without a gap.

    Parameters
    ----------
    times : numpy.ndarray
        int64, microseconds UTC.
    zone : datetime.tzinfo
        In which days may begin, beside UTC.

    Raises
    ------
    InvalidInterval
        If they lie on no grid, or if there are fewer than two.

    Examples
    --------
    >>> str(infer_interval(np.arange(4) * 7200 * MICROS))
    '2h'
    """
    ordered = np.unique(times)
    steps = np.diff(ordered)
    shortest = int(steps.min()) if len(steps) else 0
    fitting = [one for one in INTERVALS.values() if shortest >= one.step and (one.floors(times) == times).all()]
    native = max(fitting, key=lambda one: one.step, default=None)
    if len(steps) > 1:
        lengths, numbers = np.unique(steps, return_counts=True)
        for grid in _grids(int(lengths[np.argmax(numbers)]), int(ordered[0]), zone):
            if (native is None or _length(grid) > _length(native)) and _has_most(grid, ordered):
                return grid
    if native is None:
        raise InvalidInterval(
            "the interval of these candles cannot be inferred from their times",
            suggestion="name it, such as interval='1m'; days that begin at a time of a zone are recognised in frames "
            "of that zone: df.tz_convert('Asia/Seoul')",
        )
    return native


def _length(grid: Grid) -> float:
    return as_bars(grid).period.rough_seconds  # the last part of a day may be shorter than its step


def _has_most(grid: Grid, times: NDArray[np.int64]) -> bool:
    """Whether every time lies on a grid, and most are followed by the next one of it."""
    if not (grid.floors(times) == times).all():
        return False
    return bool(2 * np.count_nonzero(grid.nexts(times[:-1]) == times[1:]) >= len(times) - 1)


def _grids(length: int, first: int, zone: Any) -> Iterator[Grid]:
    """Yield the grids of bars of about a length on which a moment can lie, the longer ones first."""
    for period in _periods(length):
        for base_zone in (dt.UTC, zone):
            clock = from_micros(first).astimezone(base_zone)
            second = clock.hour * 3600 + clock.minute * 60 + clock.second
            minutes, rest = divmod(second % min(period.seconds or _DAY, _DAY), 60)
            try:
                yield parse_grid(str(period), dt.time(*divmod(minutes, 60)), base_zone)
                if rest:  # days begin at whole minutes, and parts of an hour then fit at midnight or nowhere
                    yield parse_grid(str(period), dt.time(), base_zone)
            except (InvalidInterval, QueryError):  # no period that divides a day, or a zone that is no base
                continue


def _periods(length: int) -> list[Period]:
    """Return the periods whose bars can have a length; of days with a change of clocks, and of months, it differs."""
    seconds, rest = divmod(length, MICROS)
    days = round(seconds / _DAY)
    if rest or not seconds:
        return []
    if days < 1 or seconds < _DAY - 3600:
        return [Period.of(seconds, "s")]
    months = round(days / _MONTH)
    periods = [Period(months, "M")] if months and abs(days - months * _MONTH) < 4 else []
    periods += [Period(days // 7, "w")] if days % 7 == 0 else []
    return [*periods, Period.of(days, "d")]
