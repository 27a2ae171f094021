"""When days begin: a wall time of a zone, midnight in UTC by default (pure)."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from upbit_frames.core.intervals import MICROS, to_micros
from upbit_frames.core.moments import Zone, parse_zone, zone_name
from upbit_frames.errors import ConfigError, QueryError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DAY", "DAY_SECONDS", "FIRST_DAY", "LAST_DAY", "OPENED", "UTC_DAYS", "Base", "constant_offset", "day_starts",
    "parse_base",
]  # fmt: skip

DAY_SECONDS = 86_400
DAY = DAY_SECONDS * MICROS
_EPOCH_DATE = dt.date(1970, 1, 1)
# Moments of queries lie between 1970 and 2200, and a period has at most ten years.
FIRST_DAY = (dt.date(1959, 1, 1) - _EPOCH_DATE).days
LAST_DAY = (dt.date(2212, 1, 1) - _EPOCH_DATE).days
OPENED = to_micros(dt.datetime(2017, 1, 1, tzinfo=dt.UTC))  # Upbit opened in September 2017
_TIME_AND_ZONE = re.compile(r"([0-9]{1,2}):([0-9]{2})(?:[ ]+(\S.*))?")
_FORMS = (
    "give a zone ('Asia/Seoul' or '+09:00': midnight there), a time in tz ('09:00'), or both ('17:00 America/New_York')"
)


@dataclass(frozen=True)
class Base:
    """When days begin.

    Attributes
    ----------
    name : str
        As users write it, such as ``"17:00 America/New_York"``; empty for 00:00 UTC.
    offset : int
        Microseconds from 00:00 UTC of a date to the beginning of that day; 0 with ``zone``.
    zone : zoneinfo.ZoneInfo, optional
        Where the offset has changed since Upbit opened.
    clock : int
        The wall time in that zone, microseconds after midnight.
    """

    name: str = field(default="", compare=False)
    offset: int = 0
    zone: zoneinfo.ZoneInfo | None = None
    clock: int = 0


UTC_DAYS = Base()
"""Upbit's own: days begin at 00:00 UTC, which is 09:00 in Korea."""


def parse_base(value: object, tz: object = "UTC") -> Base:
    """Return when days begin.

    Parameters
    ----------
    value : str, datetime.time, zoneinfo.ZoneInfo, datetime.timezone or None
        None: 00:00 UTC. A zone: midnight there. ``"09:00"``: that time in ``tz``. ``"17:00 America/New_York"``.
    tz : str, zoneinfo.ZoneInfo or datetime.timezone

    Raises
    ------
    QueryError
        If it is none of these.

    Examples
    --------
    >>> parse_base("09:00", "Asia/Seoul") == parse_base(None)
    True
    """
    if value is None or isinstance(value, Base):
        return value or UTC_DAYS
    minutes, zone = _wall_time(value, tz)
    clock = minutes * 60 * MICROS
    if isinstance(zone, zoneinfo.ZoneInfo):
        offset = constant_offset(zone, clock)
    else:
        offset = clock - zone.utcoffset(None) // dt.timedelta(microseconds=1)
    if offset == 0:
        return UTC_DAYS
    name = f"{minutes // 60:02}:{minutes % 60:02} {zone_name(zone)}" if minutes else zone_name(zone)
    if offset is None:
        assert isinstance(zone, zoneinfo.ZoneInfo)  # others have one offset
        return Base(name, zone=zone, clock=clock)
    return Base(name, offset)


def _wall_time(value: object, tz: object) -> tuple[int, Zone]:
    """Return the minutes after midnight and the zone that a base names."""
    minutes, named = 0, value
    if isinstance(value, dt.time):
        if value.second or value.microsecond:
            raise _no_base(value)
        minutes, named = value.hour * 60 + value.minute, value.tzinfo or tz
    elif isinstance(value, str) and (match := _TIME_AND_ZONE.fullmatch(value.strip())):
        minutes, named = int(match[1]) * 60 + int(match[2]), match[3] or tz
        if int(match[1]) > 23 or int(match[2]) > 59:
            raise _no_base(value)
    try:
        return minutes, parse_zone(named)
    except ConfigError as error:
        raise _no_base(value, error.suggestion) from None


def _no_base(value: object, hint: str | None = None) -> QueryError:
    near = f"{hint.partition('?')[0]}? " if hint and "did you mean" in hint else ""
    return QueryError(f"base must say when a day begins, got {value!r}", suggestion=near + _FORMS)


def constant_offset(zone: zoneinfo.ZoneInfo, clock: int) -> int | None:
    """Return the offset of the days of a zone if it has not changed since Upbit opened; None if it has."""
    import numpy as np

    starts = day_starts(zone, clock)
    offsets = starts - np.arange(FIRST_DAY, LAST_DAY, dtype=np.int64) * DAY
    since = offsets[OPENED // DAY - FIRST_DAY :]
    return int(since[0]) if (since == since[0]).all() else None


@lru_cache(maxsize=32)
def day_starts(zone: zoneinfo.ZoneInfo, clock: int) -> NDArray[np.int64]:
    """When each date from ``FIRST_DAY`` on begins: the wall time there, the earlier of two.

    A wall time that the clocks skip is counted with the offset before the change, as zoneinfo does; a
    date that a zone skipped as a whole begins where the next one does.
    """
    import numpy as np

    midnight = dt.datetime.combine(_EPOCH_DATE, dt.time())
    step = dt.timedelta(days=1)
    local = midnight + dt.timedelta(days=FIRST_DAY, microseconds=clock)
    second = dt.timedelta(seconds=1)
    offsets = np.empty(LAST_DAY - FIRST_DAY, dtype=np.int64)
    for i in range(len(offsets)):
        offsets[i] = zone.utcoffset(local) // second  # type: ignore[operator] # every zone has an offset
        local += step
    return (np.arange(FIRST_DAY, LAST_DAY, dtype=np.int64) * DAY + clock) - offsets * MICROS
