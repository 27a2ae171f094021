"""Candle intervals, and the algebra of half-open ranges of time (pure).

Time is an ``int``: microseconds since the epoch, UTC. Every boundary is a UTC boundary
(upbit-api section 4): days start at 00:00 UTC, weeks on Monday, months on the 1st, years on
January 1st.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from upbit_frames.core.periods import Period, read_period
from upbit_frames.errors import InvalidInterval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "EPOCH",
    "INTERVALS",
    "Interval",
    "Span",
    "from_micros",
    "intersect",
    "iso",
    "merge",
    "overlapping",
    "subtract",
    "to_micros",
    "unreadable",
]

MICROS = 1_000_000
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MONDAY = 4 * _DAY  # 1970-01-05, the first Monday after the epoch
EPOCH = 0
_EPOCH_DATETIME = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (moment - _EPOCH_DATETIME) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of microseconds since the epoch."""
    return _EPOCH_DATETIME + timedelta(microseconds=micros)


def iso(micros: int) -> str:
    """Format microseconds since 1970 as ISO 8601 in UTC with a ``Z``."""
    return from_micros(micros).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Interval:
    """One candle interval of Upbit and its names on each channel.

    Attributes
    ----------
    name : str
        The name used everywhere in this package.
    seconds : int or None
        Length where it is fixed; None for months and years.
    path : str
        The REST path below ``/v1`` (upbit-api 3.2).
    stream : str or None
        The WebSocket type (6.2); None where there is none.
    archive : str or None
        The name in the published archive (section 11); None where there is none.
    segment : str
        What one resting file of the store holds: ``month``, ``year`` or ``decade``. Chosen so
        that a resting file has some thousand to some million rows.
    unit : int or None
        The ``unit`` that minute candles carry on the wire.
    """

    name: str
    seconds: int | None
    path: str
    stream: str | None
    archive: str | None
    segment: str
    unit: int | None = None

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def parse(value: object) -> Interval:
        """Return the interval of Upbit that a value means.

        Parameters
        ----------
        value : str, datetime.timedelta, numpy.timedelta64, pandas offset or Interval
            A count and one of ``s m h d w M y``, such as ``"15m"``; words such as ``"day"`` and
            ``"minute15"``; whatever :func:`upbit_frames.core.periods.read_period` understands.

        Raises
        ------
        InvalidInterval
            For anything else, naming the intervals next to it.
        """
        if isinstance(value, Interval):
            return value
        if isinstance(value, str) and value in INTERVALS:
            return INTERVALS[value]
        period = read_period(value)
        interval = None if period is None else _BY_PERIOD.get(period)
        if interval is None:
            raise _refusal(value, period)
        return interval

    @property
    def step(self) -> int:
        """Length in microseconds; for months and years the shortest they can be."""
        if self.seconds is not None:
            return self.seconds * MICROS
        return (28 if self.name == "1M" else 365) * _DAY * MICROS

    def floor(self, micros: int) -> int:
        """Start of the period that holds the moment."""
        if self.seconds is not None:
            offset = (_MONDAY if self.name == "1w" else 0) * MICROS
            return micros - (micros - offset) % self.step
        day = from_micros(micros)
        month = day.month if self.name == "1M" else 1
        return to_micros(datetime(day.year, month, 1, tzinfo=UTC))

    def floors(self, micros: NDArray[np.int64]) -> NDArray[np.int64]:
        """:meth:`floor` of every moment of an array."""
        import numpy as np

        if self.seconds is not None:
            return micros - (micros - self.floor(EPOCH)) % self.step
        # Months and years differ in length; numpy's calendar knows their starts.
        unit = "M" if self.name == "1M" else "Y"
        starts = micros.view("datetime64[us]").astype(f"datetime64[{unit}]").astype("datetime64[us]")
        return starts.view(np.int64)

    def ceil(self, micros: int) -> int:
        """The first period start at or after the moment."""
        low = self.floor(micros)
        return low if low == micros else self.shift(low, 1)

    def shift(self, start: int, periods: int) -> int:
        """The period start that many periods later; ``start`` must be one itself."""
        if self.seconds is not None:
            return start + periods * self.step
        day = from_micros(start)
        months = (day.year * 12 + day.month - 1) + periods * (1 if self.name == "1M" else 12)
        return to_micros(datetime(max(1, months // 12), months % 12 + 1, 1, tzinfo=UTC))

    def nexts(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The end of each period, given where it starts."""
        import numpy as np

        if self.seconds is not None:
            return starts + self.step
        if self.name == "1M":
            ends = starts.view("datetime64[us]").astype("datetime64[M]") + np.timedelta64(1, "M")
        else:
            ends = starts.view("datetime64[us]").astype("datetime64[Y]") + np.timedelta64(1, "Y")
        return ends.astype("datetime64[us]").view(np.int64)

    def slots(self, start: int, end: int) -> int:
        """How many periods start inside ``[start, end)``."""
        if end <= start:
            return 0
        low, high = self.ceil(start), self.ceil(end)
        if self.seconds is not None:
            return (high - low) // self.step
        a, b = from_micros(low), from_micros(high)
        if self.name == "1M":
            return (b.year - a.year) * 12 + b.month - a.month
        return b.year - a.year

    def starts(self, start: int, end: int) -> list[int]:
        """Every period start inside ``[start, end)``, ascending."""
        low = self.ceil(start)
        if self.seconds is not None:
            return list(range(low, end, self.step))
        starts = []
        while low < end:
            starts.append(low)
            low = self.shift(low, 1)
        return starts

    def array(self, start: int, end: int) -> NDArray[np.int64]:
        """:meth:`starts` as an array."""
        import numpy as np

        if self.seconds is None:
            return np.array(self.starts(start, end), dtype=np.int64)
        return np.arange(self.ceil(start), end, self.step, dtype=np.int64)


def _minutes(n: int, name: str, segment: str) -> Interval:
    # Minute candles share one shape; only the unit differs. 60 and 240 are called 1h and 4h here.
    return Interval(name, n * _MINUTE, f"candles/minutes/{n}", f"candle.{n}m", f"{n}m", segment, n)


INTERVALS: dict[str, Interval] = {
    interval.name: interval
    for interval in (
        Interval("1s", 1, "candles/seconds", "candle.1s", "1s", "month"),
        _minutes(1, "1m", "month"),
        _minutes(3, "3m", "month"),
        _minutes(5, "5m", "month"),
        _minutes(10, "10m", "month"),
        _minutes(15, "15m", "month"),
        _minutes(30, "30m", "month"),
        _minutes(60, "1h", "year"),
        _minutes(240, "4h", "year"),
        Interval("1d", _DAY, "candles/days", None, "day", "decade"),
        Interval("1w", 7 * _DAY, "candles/weeks", None, "week", "decade"),
        Interval("1M", None, "candles/months", None, "month", "decade"),
        Interval("1y", None, "candles/years", None, None, "decade"),
    )
}
_PERIODS = {Period(int(name[:-1]), name[-1]): interval for name, interval in INTERVALS.items()}
_BY_PERIOD = _PERIODS | {Period(7, "d"): INTERVALS["1w"]}
_ADVERBS = {"hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "1M", "yearly": "1y", "annual": "1y"}
_CODE = re.compile(r"[A-Za-z]{3,4}-[A-Za-z0-9]{2,}")
_BELOW_SECONDS = re.compile(r"[0-9]* *(ms|us|ns|millis.*|micros.*|nanos.*)", re.IGNORECASE)
_COUNT_AND_WORD = re.compile(r"([1-9][0-9]*) *[^\W\d]+")


def _refusal(value: object, period: Period | None) -> InvalidInterval:
    """Return the error for what is no interval of Upbit, with the intervals that come nearest to it."""
    wanted, listed = "one of Upbit's", f"There are: {', '.join(INTERVALS)}"
    if period is None:
        return unreadable(value, wanted, listed)
    message = f"interval must be {wanted}, got {value!r}"
    message = f"{message}, which is {period}" if str(period) != value else message
    minutes = _PERIODS.get(Period.of(period.months, "m")) if period.months else None
    if minutes is not None and isinstance(value, str) and "M" in value:
        hint = f"'M' is a month; write {minutes.name!r} for minutes."
    elif (native := _made_of(period)) is not None:
        hint = f"candles of {period} are made of {native.name!r}: give that here."
    else:
        hint = f"did you mean {_or(_neighbours(period))}?"
    return InvalidInterval(message, suggestion=f"{hint} {listed}", interval=str(value))


def _made_of(period: Period) -> Interval | None:
    """Return the longest interval of Upbit of which candles of a period are made; None where there are none."""
    from upbit_frames.core.bar_grid import parse_grid, sources  # which builds on this module

    try:
        return next(iter(sources(parse_grid(str(period)))), None)
    except InvalidInterval:
        return None


def unreadable(value: Any, wanted: str, listed: str) -> InvalidInterval:
    """Build the error for what is no length of time.

    Parameters
    ----------
    wanted : str
        What the interval must be.
    listed : str
        The end of the suggestion: what there is.
    """
    hint, text = "", value.strip() if isinstance(value, str) else ""
    if (isinstance(value, (int, float)) and not isinstance(value, bool)) or re.fullmatch("[0-9]{1,9}", text):
        number = int(text) if text else value
        same = [repr(interval.name) for (p, interval) in _PERIODS.items() if p.seconds == number * _MINUTE]
        hint = "a number has no unit; " + (f"write {same[0]} for minutes." if same else f"rows are count={number}.")
    elif _CODE.fullmatch(text):
        hint = "that is a market, which comes before the interval."
    elif _BELOW_SECONDS.fullmatch(text):
        hint = "the shortest is '1s'."
    elif near := _lookalikes(text):
        hint = f"did you mean {_or(near)}?"
    message = f"interval must be {wanted}, got {value!r}"
    return InvalidInterval(message, suggestion=f"{hint} {listed}".strip(), interval=str(value))


def _or(names: list[str]) -> str:
    return " or ".join(map(repr, names))


def _neighbours(period: Period) -> list[str]:
    """Return the next shorter and the next longer interval."""
    lengths = {interval.name: native.rough_seconds for native, interval in _PERIODS.items()}
    shorter = [name for name, length in lengths.items() if length < period.rough_seconds]
    longer = [name for name, length in lengths.items() if length > period.rough_seconds]
    return [*shorter[-1:], *longer[:1]]


def _lookalikes(text: str) -> list[str]:
    """Return the intervals that a text without meaning resembles."""
    if text.lower() in _ADVERBS:
        return [_ADVERBS[text.lower()]]
    if match := _COUNT_AND_WORD.fullmatch(text):  # the number may be right where the unit is not
        return [name for name in INTERVALS if name[:-1] == match.group(1)]
    near = difflib.get_close_matches(text.lower(), _ADVERBS, n=1, cutoff=0.75)
    return [_ADVERBS[word] for word in near]


class Span(NamedTuple):
    """A half-open range of time ``[start, end)`` in microseconds, UTC."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"[{iso(self.start)}, {iso(self.end)})"

    @property
    def empty(self) -> bool:
        """Whether no moment is inside."""
        return self.end <= self.start


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same moments as few, sorted, disjoint spans; touching ones are joined."""
    merged: list[Span] = []
    for span in sorted(span for span in spans if not span.empty):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def subtract(wanted: Iterable[Span], known: Iterable[Span]) -> list[Span]:
    """The moments of ``wanted`` that are not in ``known``."""
    holes = merge(known)
    left: list[Span] = []
    at = 0
    for span in merge(wanted):
        start = span.start
        at = bisect_right(holes, start, lo=at, key=attrgetter("end"))
        while at < len(holes) and holes[at].start < span.end:
            if start < holes[at].start:
                left.append(Span(start, holes[at].start))
            start = max(start, holes[at].end)
            if start >= span.end:  # this hole may reach into the next span too
                break
            at += 1
        if start < span.end:
            left.append(Span(start, span.end))
    return left


def overlapping(spans: Sequence[Span], span: Span) -> Sequence[Span]:
    """The part of sorted, disjoint spans that overlaps one, without looking at all of them."""
    return spans[bisect_right(spans, span.start, key=attrgetter("end")) : bisect_left(spans, (span.end,))]


def intersect(spans: Iterable[Span], other: Iterable[Span]) -> list[Span]:
    """The moments that are in both."""
    first, second = merge(spans), merge(other)
    common: list[Span] = []
    i = j = 0
    while i < len(first) and j < len(second):
        low = max(first[i].start, second[j].start)
        high = min(first[i].end, second[j].end)
        if low < high:
            common.append(Span(low, high))
        if first[i].end < second[j].end:
            i += 1
        else:
            j += 1
    return common
