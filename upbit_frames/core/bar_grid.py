"""Candles of any length, and days that begin at any time of any zone: where each begins and ends (pure).

A grid is a sequence of moments; a bar reaches from one to the next. Days begin at a wall time of a
zone; parts of a day are counted in elapsed time from there, so the last part of a day with a change
of clocks may be shorter. Moments are microseconds since the epoch, UTC, as in
:mod:`upbit_frames.core.intervals`. Longer than other modules, because the two kinds of grids answer the same questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from upbit_frames.core.day_base import (
    DAY,
    DAY_SECONDS,
    FIRST_DAY,
    LAST_DAY,
    OPENED,
    UTC_DAYS,
    Base,
    day_starts,
    parse_base,
)  # fmt: skip
from upbit_frames.core.intervals import INTERVALS, MICROS, Interval, unreadable
from upbit_frames.core.periods import Period, read_period
from upbit_frames.errors import InvalidInterval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "BarGrid",
    "Grid",
    "as_bars",
    "contains",
    "grid_of",
    "named",
    "parse_grid",
    "sources",
]

_MONDAY = 4  # 1970-01-05, in days since the epoch
_LONGEST = 10 * 366 * DAY_SECONDS
_WHOLE_DAY = 2**62  # longer than any day, so that a day has one part


# --- where bars begin ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lattice:
    """Bars of one length: they begin at ``offset`` and every ``step`` before and after it."""

    offset: int
    step: int

    @property
    def shortest(self) -> int:
        return self.step

    def floor(self, micros: int) -> int:
        return micros - (micros - self.offset) % self.step

    def floors(self, micros: NDArray[np.int64]) -> NDArray[np.int64]:
        return micros - (micros - self.offset) % self.step

    def index(self, start: int) -> int:
        return (start - self.offset) // self.step

    def indexes(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        return (starts - self.offset) // self.step

    def at(self, index: int) -> int:
        return self.offset + index * self.step

    def all_at(self, indexes: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.offset + indexes * self.step


class _Table:
    """Bars that differ in length.

    Parameters
    ----------
    bounds : numpy.ndarray
        int64, rising: the beginnings of days, or of longer bars.
    step : int
        The length of a part where bars are parts of these; the last part of each may be shorter.
    """

    def __init__(self, bounds: NDArray[np.int64], step: int = _WHOLE_DAY) -> None:
        import numpy as np

        self.bounds = bounds
        self.step = step
        lengths = np.diff(bounds)
        self._before = np.concatenate([[0], np.cumsum(-(-lengths // step))])  # bars before each bound
        last = lengths % step
        self.shortest = int(min(step, last[last > 0].min(initial=step)))

    def floor(self, micros: int) -> int:
        low = int(self.bounds[self._place(micros)])
        return low + (micros - low) // self.step * self.step

    def floors(self, micros: NDArray[np.int64]) -> NDArray[np.int64]:
        lows: NDArray[np.int64] = self.bounds[self._places(micros)]
        return lows + (micros - lows) // self.step * self.step

    def index(self, start: int) -> int:
        place = self._place(start)
        return int(self._before[place]) + (start - int(self.bounds[place])) // self.step

    def indexes(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        places = self._places(starts)
        indexes: NDArray[np.int64] = self._before[places] + (starts - self.bounds[places]) // self.step
        return indexes

    def at(self, index: int) -> int:
        index = min(max(index, 0), int(self._before[-1]))
        place = int(self._before.searchsorted(index, "right")) - 1
        return int(self.bounds[place]) + (index - int(self._before[place])) * min(self.step, DAY)

    def all_at(self, indexes: NDArray[np.int64]) -> NDArray[np.int64]:
        indexes = indexes.clip(0, self._before[-1])
        places = self._before.searchsorted(indexes, "right") - 1
        starts: NDArray[np.int64] = self.bounds[places] + (indexes - self._before[places]) * min(self.step, DAY)
        return starts

    def _place(self, micros: int) -> int:
        return max(0, int(self.bounds.searchsorted(micros, "right")) - 1)

    def _places(self, micros: NDArray[np.int64]) -> NDArray[np.intp]:
        places: NDArray[np.intp] = (self.bounds.searchsorted(micros, "right") - 1).clip(0)
        return places


@lru_cache(maxsize=64)
def _rule(period: Period, base: Base) -> _Lattice | _Table:
    """Return where the bars of a period begin."""
    import numpy as np

    seconds, fixed = period.seconds, base.zone is None
    if fixed and seconds is not None:
        return _Lattice(base.offset + (_MONDAY * DAY if period.unit == "w" else 0), seconds * MICROS)
    dates = np.arange(FIRST_DAY, LAST_DAY, dtype=np.int64)
    starts = dates * DAY + base.offset if base.zone is None else day_starts(base.zone, base.clock)
    if period.months is not None:
        months = dates.view("datetime64[D]").astype("datetime64[M]")
        first_days = months.astype("datetime64[D]").view(np.int64) == dates
        chosen = first_days & (months.view(np.int64) % period.months == 0)
    elif period.unit == "w":
        chosen = (dates - _MONDAY) % (7 * period.count) == 0
    else:
        chosen = dates % (period.count if period.unit == "d" else 1) == 0
    bounds = starts[chosen]
    bounds = bounds[np.concatenate([[True], bounds[1:] > bounds[:-1]])]  # a date may have no length
    return _Table(bounds) if seconds is None or seconds >= DAY_SECONDS else _Table(bounds, seconds * MICROS)


@dataclass(frozen=True)
class BarGrid:
    """Candles of any length, with the methods of :class:`~upbit_frames.core.intervals.Interval`.

    Attributes
    ----------
    period : Period
    base : Base
        When days begin.

    Examples
    --------
    >>> grid = parse_grid("1d", "Asia/Seoul")
    >>> from upbit_frames.core.intervals import iso
    >>> iso(grid.floor(0)), str(grid)
    ('1969-12-31T15:00:00Z', '1d (base Asia/Seoul)')
    """

    period: Period
    base: Base = UTC_DAYS
    stream = None  # none is streamed
    unit = None

    @property
    def name(self) -> str:
        """The length as users write it, such as ``"2h"``."""
        return str(self.period)

    def __str__(self) -> str:
        return f"{self.name} (base {self.base.name})" if self.base.name else self.name

    @property
    def seconds(self) -> int | None:
        """Length where every bar has the same; None else."""
        rule = self._rule
        return rule.step // MICROS if isinstance(rule, _Lattice) else None

    @property
    def step(self) -> int:
        """Length in microseconds; where bars differ, the shortest that they can be."""
        return self._rule.shortest

    @property
    def _rule(self) -> _Lattice | _Table:
        return _rule(self.period, self.base)

    def floor(self, micros: int) -> int:
        """Start of the bar that holds the moment."""
        return self._rule.floor(micros)

    def floors(self, micros: NDArray[np.int64]) -> NDArray[np.int64]:
        """:meth:`floor` of every moment of an array."""
        return self._rule.floors(micros)

    def ceil(self, micros: int) -> int:
        """The first bar start at or after the moment."""
        low = self.floor(micros)
        return low if low == micros else self.shift(low, 1)

    def shift(self, start: int, periods: int) -> int:
        """The bar start that many bars later; ``start`` must be one itself."""
        rule = self._rule
        return rule.at(rule.index(start) + periods)

    def nexts(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The end of each bar, given where it starts."""
        rule = self._rule
        return rule.all_at(rule.indexes(starts) + 1)

    def slots(self, start: int, end: int) -> int:
        """How many bars start inside ``[start, end)``."""
        rule = self._rule
        return 0 if end <= start else rule.index(self.ceil(end)) - rule.index(self.ceil(start))

    def array(self, start: int, end: int) -> NDArray[np.int64]:
        """Every bar start inside ``[start, end)``, ascending."""
        import numpy as np

        rule = self._rule
        if end <= start:
            return np.empty(0, dtype=np.int64)
        return rule.all_at(np.arange(rule.index(self.ceil(start)), rule.index(self.ceil(end)), dtype=np.int64))

    def starts(self, start: int, end: int) -> list[int]:
        """:meth:`array` as a list."""
        starts: list[int] = self.array(start, end).tolist()
        return starts


Grid = Interval | BarGrid


# --- reading, and what a grid can be made of -----------------------------------------------------------


def parse_grid(value: object, base: object = None, tz: object = "UTC") -> Grid:
    """Return the grid of candles that an interval and a base mean.

    Parameters
    ----------
    value : str, datetime.timedelta, numpy.timedelta64, pandas offset, Interval or BarGrid
        A count and one of ``s m h d w M``; what :func:`upbit_frames.core.periods.read_period` understands.
        Seven days are a week.
    base : str, datetime.time, zoneinfo.ZoneInfo, datetime.timezone or None
        When days begin; see :func:`parse_base`.
    tz : str, zoneinfo.ZoneInfo or datetime.timezone
        The zone of a base that is a time only.

    Returns
    -------
    Interval or BarGrid
        One of Upbit's own thirteen where the grid is the same.

    Raises
    ------
    InvalidInterval
        If it is no length of time, does not divide a day, or has more than ten years.
    QueryError
        If the base says no time of day.

    Examples
    --------
    >>> str(parse_grid("45m")), str(parse_grid("1h", "Asia/Seoul")), str(parse_grid("12h", "09:30"))
    ('45m', '1h', '12h (base 09:30 UTC)')
    """
    if base is None and isinstance(value, str) and value in INTERVALS:
        return INTERVALS[value]
    if base is None and isinstance(value, BarGrid):
        return value
    day = parse_base(base, tz)
    grid = BarGrid(_checked_period(value), day)
    if day != UTC_DAYS and _same(grid, BarGrid(grid.period)):
        grid = BarGrid(grid.period)
    native = INTERVALS.get(grid.name)
    return native if native is not None and grid.base == UTC_DAYS else grid


def named(grid: Grid) -> dict[str, str]:
    """Return what a frame's metadata says of its grid: ``interval``, and ``base`` where days begin at another time.

    Examples
    --------
    >>> named(parse_grid("1d", "KST")), named(parse_grid("1h"))
    ({'interval': '1d', 'base': 'Asia/Seoul'}, {'interval': '1h'})
    """
    base = grid.base.name if isinstance(grid, BarGrid) else ""
    return {"interval": grid.name, "base": base} if base else {"interval": grid.name}


def grid_of(meta: Mapping[str, Any], interval: object = None) -> Grid | None:
    """Return the grid that a frame's metadata names; None where it names none.

    Parameters
    ----------
    meta : mapping
        With ``interval`` and perhaps ``base``.
    interval : str or datetime.timedelta, optional
        Instead of the one that the metadata names.
    """
    interval = meta.get("interval") if interval is None else interval
    return None if interval is None else parse_grid(interval, meta.get("base"))


def _checked_period(value: object) -> Period:
    if isinstance(value, BarGrid):
        return value.period
    period = read_period(value.name if isinstance(value, Interval) else value)
    if period is None:
        raise unreadable(
            value, "a count and one of s, m, h, d, w, M", "Such as: 1m, 45m, 2h, 1d, 3d, 1w, 1M, or a timedelta"
        )
    if period == Period(7, "d"):
        return Period(1, "w")
    seconds = period.seconds
    if period.rough_seconds > _LONGEST:
        raise InvalidInterval(
            f"interval must be at most ten years, got {value!r}",
            suggestion="Upbit opened in 2017; did you mean '1y'?",
            interval=str(value),
        )
    if seconds is not None and (DAY_SECONDS % seconds if seconds <= DAY_SECONDS else seconds % DAY_SECONDS):
        raise InvalidInterval(
            f"interval must divide a day or be whole days, got {value!r}",
            suggestion=f"did you mean {_neighbours(period)}?",
            interval=str(value),
        )
    return period


def _neighbours(period: Period) -> str:
    """Return the next shorter and the next longer period that will do, in the same unit where that exists."""
    seconds = period.seconds or 0
    if seconds > DAY_SECONDS:
        days = seconds // DAY_SECONDS
        return f"'{days}d' or '{days + 1}d'"
    unit = seconds // period.count
    fitting = [unit * n for n in range(1, DAY_SECONDS // unit + 1) if DAY_SECONDS % (unit * n) == 0]
    shorter, longer = max(n for n in fitting if n < seconds), min(n for n in fitting if n > seconds)
    return f"'{Period.of(shorter, 's')}' or '{Period.of(longer, 's')}'"


def _same(grid: BarGrid, other: BarGrid) -> bool:
    """Whether two grids have the same boundaries since Upbit opened."""
    return contains(grid, other) and contains(other, grid)


def as_bars(grid: Grid) -> BarGrid:
    """Return an interval of Upbit as a grid of bars."""
    return grid if isinstance(grid, BarGrid) else BarGrid(Period(int(grid.name[:-1]), grid.name[-1]))


def contains(fine: Grid, coarse: Grid) -> bool:
    """Whether every boundary of one grid is also one of another, since Upbit opened.

    Examples
    --------
    >>> contains(parse_grid("1h"), parse_grid("1d", "Asia/Seoul")), contains(parse_grid("1w"), parse_grid("1M"))
    (True, False)
    """
    small, large = as_bars(fine), as_bars(coarse)
    inner, outer = small._rule, large._rule
    if isinstance(outer, _Lattice):
        if isinstance(inner, _Lattice):
            return outer.step % inner.step == 0 and (outer.offset - inner.offset) % inner.step == 0
        # Parts of days whose beginnings differ by whole parts are the same on every base.
        days = inner.bounds[inner.bounds >= OPENED]
        return outer.step % inner.step == 0 and not ((days - outer.offset) % inner.step).any()
    bounds = outer.bounds[outer.bounds >= OPENED]
    if not (inner.floors(bounds) == bounds).all():
        return False
    if outer.step == _WHOLE_DAY:
        return True
    return outer.step % inner.step == 0 and (isinstance(inner, _Lattice) or small.base == large.base)


@lru_cache(maxsize=256)
def sources(grid: Grid) -> tuple[Interval, ...]:
    """Return Upbit's own intervals of which a grid's candles can be made, the longest first.

    Examples
    --------
    >>> [interval.name for interval in sources(parse_grid("2h"))][:2]
    ['1h', '30m']
    """
    target = as_bars(grid)
    fitting = [
        interval for interval in INTERVALS.values() if contains(interval, target) and not contains(target, interval)
    ]
    return tuple(reversed(fitting))
