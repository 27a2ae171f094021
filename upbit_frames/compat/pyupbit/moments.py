"""What pyupbit's ``to`` and ``fromDatetime`` mean, and which index values were given out before."""

from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import pandas as pd

from upbit_frames.compat.pyupbit.settings import settings
from upbit_frames.errors import InvalidRange, QueryError

__all__ = ["KST", "Moment", "read", "remember", "returned"]

KST = dt.timezone(dt.timedelta(hours=9))
_REMEMBERED = 64  # frames whose index is known; a pager feeds back the last one


@dataclass(frozen=True)
class Moment:
    """A point in time as it was given.

    Attributes
    ----------
    at : datetime
        Aware.
    wall : datetime
        What stood there, without a zone.
    naive : bool
        Whether it had no zone of its own and was read as UTC, which is pyupbit's trap.
    """

    at: dt.datetime
    wall: dt.datetime
    naive: bool


def read(value: Any, name: str, *, zone: dt.tzinfo = dt.UTC, dates: bool = True) -> Moment:
    """Return a ``to`` or ``fromDatetime`` as pyupbit reads it; a stated zone is honoured.

    Parameters
    ----------
    value : str, date, datetime or Timestamp
    name : str
        Of the argument, for messages.
    zone : tzinfo
        In which pyupbit means a naive value of this argument.
    dates : bool
        Whether a ``datetime.date`` is possible.

    Raises
    ------
    QueryError
        If it is nothing that pyupbit could send.
    InvalidRange
        If it is naive where that is refused (``configure(to="error")``).
    """
    moment = _as_datetime(value, name, dates=dates)
    if moment.tzinfo is not None:
        return Moment(moment.astimezone(dt.UTC), moment.replace(tzinfo=None), False)
    way = settings().naive
    if way == "error":
        raise InvalidRange(
            f"{name}={value!r} has no time zone, which configure(to='error') refuses",
            suggestion=f"write it with one, such as '{moment:%Y-%m-%d %H:%M:%S}+09:00' for Korean time",
        )
    source_zone = KST if way == "kst" else zone
    return Moment(moment.replace(tzinfo=source_zone).astimezone(dt.UTC), moment, way == "utc")


def _as_datetime(value: Any, name: str, *, dates: bool) -> dt.datetime:
    if isinstance(value, str):
        try:
            value = pd.to_datetime(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise QueryError(
                f"{name}={value!r} cannot be read as a time", suggestion="write it as '2026-01-31 09:00+09:00'"
            ) from error
    if value is pd.NaT:
        raise QueryError(f"{name} is no point in time", suggestion="write it as '2026-01-31 09:00+09:00'")
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime(warn=False)
    if isinstance(value, dt.datetime):
        return value.replace(microsecond=0)
    if isinstance(value, dt.date) and (dates or settings().naive == "error"):  # refused for its zone first
        return dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone is set by the caller
    raise QueryError(
        f"{name}={value!r} must be a str, datetime or Timestamp, got {type(value).__name__}",
        suggestion="write it as '2026-01-31 09:00+09:00'",
    )


# --- values that come from an index ----------------------------------------------------------------

_lock = threading.Lock()
_given: deque[pd.DatetimeIndex] = deque(maxlen=_REMEMBERED)


def remember(index: pd.DatetimeIndex) -> None:
    """Note the index of a frame that is given out."""
    if len(index):
        with _lock:
            _given.append(index)


def returned(value: Any, wall: dt.datetime) -> bool:
    """Return whether a ``to`` is the start of a candle that was given out before.

    Text counts where it is spelt as ``str(df.index[0])`` spells it, and of text and plain datetimes
    only the first and last of an index, since people write round times by hand too.
    """
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return False
    if isinstance(value, str) and value != str(wall):
        return False
    moment = pd.Timestamp(wall)
    with _lock:
        indexes = list(_given)
    for index in indexes:
        if moment == index[0] or moment == index[-1]:
            return True
        if isinstance(value, pd.Timestamp):
            place = int(index.searchsorted(moment))
            if place < len(index) and index[place] == moment:
                return True
    return False
