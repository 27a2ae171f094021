"""Candle intervals, and the algebra of half-open ranges of time (pure).

Time is an ``int``: microseconds since the epoch, UTC. Every boundary is a UTC boundary
(upbit-api section 4): days start at 00:00 UTC, weeks on Monday, months on the 1st, years on
January 1st.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from upbit_frames.errors import InvalidInterval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EPOCH", "INTERVALS", "Interval", "Span", "from_micros", "intersect", "merge", "subtract", "to_micros"]

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


@dataclass(frozen=True)
class Interval:
    """One candle interval and every name it goes by.

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
    aliases : tuple of str
        Other accepted spellings.
    """

    name: str
    seconds: int | None
    path: str
    stream: str | None
    archive: str | None
    segment: str
    unit: int | None = None
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def parse(text: object) -> Interval:
        """The interval of that name.

        Raises
        ------
        InvalidInterval
            For anything else, naming the nearest interval there is.
        """
        if isinstance(text, Interval):
            return text
        if isinstance(text, str):
            found = _BY_NAME.get(text) or _BY_NAME.get(text.lower() if text != "1M" else text)
            if found is not None:
                return found
        near = difflib.get_close_matches(str(text), list(_BY_NAME), n=1, cutoff=0.0)
        raise InvalidInterval(
            f"{text!r} is not an interval of Upbit",
            suggestion=f"did you mean {_BY_NAME[near[0]].name!r}? There are: {', '.join(INTERVALS)}",
            interval=str(text),
        )

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
        found = []
        while low < end:
            found.append(low)
            low = self.shift(low, 1)
        return found


def _minutes(n: int, name: str, segment: str, *aliases: str) -> Interval:
    # Minute candles share one shape; only the unit differs. 60 and 240 are called 1h and 4h here.
    return Interval(
        name, n * _MINUTE, f"candles/minutes/{n}", f"candle.{n}m", f"{n}m", segment, n,
        (f"minute{n}", f"minutes{n}", f"minutes/{n}", f"{n}min", *aliases),
    )  # fmt: skip


INTERVALS: dict[str, Interval] = {
    one.name: one
    for one in (
        Interval("1s", 1, "candles/seconds", "candle.1s", "1s", "month", None, ("second", "seconds", "sec", "second1")),
        _minutes(1, "1m", "month", "minute", "minutes"),
        _minutes(3, "3m", "month"),
        _minutes(5, "5m", "month"),
        _minutes(10, "10m", "month"),
        _minutes(15, "15m", "month"),
        _minutes(30, "30m", "month"),
        _minutes(60, "1h", "year", "60m", "hour"),
        _minutes(240, "4h", "year", "240m"),
        Interval("1d", _DAY, "candles/days", None, "day", "decade", None, ("day", "days", "24h", "1day")),
        Interval("1w", 7 * _DAY, "candles/weeks", None, "week", "decade", None, ("week", "weeks", "7d", "1week")),
        Interval("1M", None, "candles/months", None, "month", "decade", None, ("month", "months", "1mo", "1month")),
        Interval("1y", None, "candles/years", None, None, "decade", None, ("year", "years", "12M", "1year")),
    )
}
_BY_NAME: dict[str, Interval] = {alias: one for one in INTERVALS.values() for alias in (one.name, *one.aliases)}


class Span(NamedTuple):
    """A half-open range of time ``[start, end)`` in microseconds, UTC."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"[{_iso(self.start)}, {_iso(self.end)})"

    @property
    def empty(self) -> bool:
        """Whether no moment is inside."""
        return self.end <= self.start


def _iso(micros: int) -> str:
    return from_micros(micros).isoformat().replace("+00:00", "Z")


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
    left = merge(wanted)
    for hole in merge(known):
        rest: list[Span] = []
        for span in left:
            if hole.end <= span.start or span.end <= hole.start:
                rest.append(span)
                continue
            rest.extend(part for part in (Span(span.start, hole.start), Span(hole.end, span.end)) if not part.empty)
        left = rest
    return left


def intersect(one: Iterable[Span], other: Iterable[Span]) -> list[Span]:
    """The moments that are in both."""
    first, second = merge(one), merge(other)
    found: list[Span] = []
    i = j = 0
    while i < len(first) and j < len(second):
        low = max(first[i].start, second[j].start)
        high = min(first[i].end, second[j].end)
        if low < high:
            found.append(Span(low, high))
        if first[i].end < second[j].end:
            i += 1
        else:
            j += 1
    return found
