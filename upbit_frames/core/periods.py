"""Lengths of time as users write them: a count and a unit (pure).

One grammar for every call: ``N`` and one of ``s m h d w M y``. ``M`` is a month and never a minute.
Words, pandas frequency strings and offsets, ``timedelta`` and ``numpy.timedelta64`` are accepted
where they can mean only one thing. What is native to Upbit is decided in
:mod:`upbit_frames.core.intervals`; here nothing is known about it.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

__all__ = ["UNITS", "Period", "read_period"]

UNITS = ("s", "m", "h", "d", "w", "M", "y")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_MONTHS = {"M": 1, "y": 12}
_LARGER = {"s": ("m", 60), "m": ("h", 60), "h": ("d", 24), "M": ("y", 12)}  # days and weeks have different anchors
MAX_COUNT = 1_000_000_000

_WORDS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "m": ("m", "min", "mins", "minute", "minutes", "t"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "wk", "week", "weeks", "w-sun", "w-mon"),
    "M": ("mo", "mon", "month", "months"),
    "y": ("y", "yr", "yrs", "year", "years"),
}
_UNIT_OF = {word: unit for unit, words in _WORDS.items() for word in words}
# Spelt with capitals these are pandas frequencies; "ms" would be milliseconds.
_CAPITALS = {
    "M": "M", "MS": "M", "ME": "M",
    "Q": "Q", "QS": "Q", "QE": "Q", "QS-JAN": "Q", "QE-DEC": "Q", "Q-DEC": "Q",
    "YS": "y", "YE": "y", "YS-JAN": "y", "YE-DEC": "y", "A": "y", "AS": "y", "A-DEC": "y", "AS-JAN": "y",
}  # fmt: skip
_COUNT_FIRST = re.compile(r"([0-9]{0,10}) *([A-Za-z]+(?:-[A-Za-z]{3})?)")
_UNIT_FIRST = re.compile(r"([A-Za-z]{3,})/?([0-9]{1,10})")


@dataclass(frozen=True)
class Period:
    """A count of one unit of time, in its largest unit: 60 minutes are 1 hour.

    Attributes
    ----------
    count : int
        At least 1.
    unit : str
        One of :data:`UNITS`.

    Examples
    --------
    >>> str(read_period("minute240"))
    '4h'
    """

    count: int
    unit: str

    @classmethod
    def of(cls, count: int, unit: str) -> Period:
        """Return the period in the largest unit that holds it a whole number of times."""
        while unit in _LARGER:
            larger, size = _LARGER[unit]
            if count % size:
                break
            count, unit = count // size, larger
        return cls(count, unit)

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    @property
    def seconds(self) -> int | None:
        """Length in seconds; None for months and years, whose length the calendar decides."""
        return self.count * _SECONDS[self.unit] if self.unit in _SECONDS else None

    @property
    def months(self) -> int | None:
        """Length in months; None where the length is fixed."""
        return self.count * _MONTHS[self.unit] if self.unit in _MONTHS else None

    @property
    def rough_seconds(self) -> float:
        """Length for comparisons, a month counting as a twelfth of a mean year."""
        seconds, months = self.seconds, self.months
        return float(seconds) if seconds is not None else (months or 0) * 365.2425 / 12 * 86_400


def read_period(value: object) -> Period | None:
    """Return the period that a value means, or None where it means none or more than one.

    Parameters
    ----------
    value : str, datetime.timedelta, numpy.timedelta64 or pandas offset
        Numbers are refused, because they have no unit.
    """
    if isinstance(value, str):
        return _of_text(value.strip())
    if isinstance(value, dt.timedelta):  # a pandas Timedelta is one, too; its nanoseconds are lost here
        if getattr(value, "nanoseconds", 0):
            return None
        return _of_micros(value // dt.timedelta(microseconds=1))
    module = type(value).__module__
    if module == "numpy" and type(value).__name__ == "timedelta64":
        return _of_timedelta64(value)
    if module.partition(".")[0] == "pandas":
        return _of_offset(value)
    return None


def _of_text(text: str) -> Period | None:
    if match := _COUNT_FIRST.fullmatch(text):
        number, word = match.groups()
    elif match := _UNIT_FIRST.fullmatch(text):
        word, number = match.groups()
    else:
        return None
    unit = _CAPITALS.get(word) or (None if word == "ms" else _UNIT_OF.get(word.lower()))
    count = int(number) if number else 1
    if unit == "Q":  # a pandas frequency only; the name of the result is in months
        unit, count = "M", 3 * count
    return None if unit is None or not 1 <= count <= MAX_COUNT else Period.of(count, unit)


def _of_micros(micros: int) -> Period | None:
    seconds, rest = divmod(micros, 1_000_000)
    return None if rest or seconds < 1 else Period.of(seconds, "s")


def _of_timedelta64(value: Any) -> Period | None:
    if str(value) == "NaT":
        return None
    kind = str(value.dtype)
    if kind in ("timedelta64[M]", "timedelta64[Y]"):
        count = int(value.astype("int64"))
        return Period.of(count, kind[-2].replace("Y", "y")) if 1 <= count <= MAX_COUNT else None
    plain = value.astype("timedelta64[us]").item()
    return _of_micros(plain // dt.timedelta(microseconds=1)) if isinstance(plain, dt.timedelta) else None


def _of_offset(value: Any) -> Period | None:
    """Of a pandas offset: what its frequency string says, or the one argument of a DateOffset."""
    arguments = getattr(value, "kwds", None) or {}
    count = getattr(value, "n", None)
    if type(value).__name__ == "DateOffset" and isinstance(count, int) and len(arguments) == 1:
        ((word, number),) = arguments.items()
        if not word.endswith("s") or not isinstance(number, int) or number * count < 1:
            return None
        return _of_text(f"{number * count}{word}")
    text = getattr(value, "freqstr", None)
    return _of_text(text) if isinstance(text, str) else None
