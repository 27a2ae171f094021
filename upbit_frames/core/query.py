"""Questions, checked and brought to UTC before anything else happens (pure).

A query object is only ever made through its ``build`` function, so whoever holds one may rely
on it: markets are well formed, times are microseconds UTC, the range makes sense.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from upbit_frames.core.config import OUTPUTS, Config
from upbit_frames.core.intervals import Interval, to_micros
from upbit_frames.errors import ConfigError, InvalidMarket, InvalidRange, QueryError

__all__ = ["CandleQuery", "TradesQuery", "View", "parse_market", "parse_markets", "parse_moment"]

GAPS = ("raw", "fill", "nan")
SOURCES = ("auto", "cache", "rest", "live", "archive")
DEFAULT_COUNT = 200
MAX_COUNT = 100_000_000
_MARKET = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")
_YEAR_OR_MONTH = re.compile(r"\d{4}(-\d{2})?")
_EARLIEST = 0  # 1970: nothing Upbit has is older, and negative times would need special care
_LATEST = to_micros(dt.datetime(2200, 1, 1, tzinfo=dt.UTC))


def parse_market(value: object) -> str:
    """The market code in upper case.

    Raises
    ------
    InvalidMarket
        If it is not of the form ``QUOTE-BASE``; nothing else may become part of a path or URL.

    Examples
    --------
    >>> parse_market("krw-btc")
    'KRW-BTC'
    """
    if isinstance(value, str):
        code = value.strip().upper()
        if code.isascii() and len(code) <= 40 and _MARKET.fullmatch(code):
            return code
        if "/" in code and _MARKET.fullmatch("-".join(reversed(code.split("/")))):
            raise InvalidMarket(
                f"{value!r} is not a market code of Upbit",
                suggestion=f"Upbit writes the quote currency first: {'-'.join(reversed(code.split('/')))!r}",
            )
    raise InvalidMarket(
        f"{value!r} is not a market code of Upbit",
        suggestion="give quote and base currency such as 'KRW-BTC'; uf.markets() lists all",
    )


def parse_markets(value: object) -> tuple[tuple[str, ...], bool]:
    """The market codes without repetition, and whether a list was given."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return (parse_market(value),), False
    codes = tuple(dict.fromkeys(parse_market(one) for one in value))
    if not codes:
        raise InvalidMarket("an empty list of markets was given", suggestion="give at least one, such as ['KRW-BTC']")
    return codes, True


def parse_zone(name: str) -> ZoneInfo:
    """The time zone of that name; ConfigError otherwise."""
    try:
        return ZoneInfo(name)
    except (TypeError, ValueError, ZoneInfoNotFoundError, OSError):
        raise ConfigError(
            f"{name!r} is not a time zone", suggestion="give a name such as 'UTC' or 'Asia/Seoul'"
        ) from None


def parse_moment(value: Any, zone: ZoneInfo, name: str) -> int:
    """Microseconds UTC of a point in time.

    A str (ISO 8601; a year or a month alone stands for its first moment), date, datetime,
    pandas Timestamp or numpy datetime64. Whatever has no zone of its own is read in ``zone``.

    Raises
    ------
    InvalidRange
        If it is none of these, not a time at all, or not between 1970 and 2200.
    """
    moment = _as_datetime(value, name)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    micros = to_micros(moment)
    if not _EARLIEST <= micros <= _LATEST:
        raise InvalidRange(f"{name}={value!r} is not between the years 1970 and 2200")
    return micros


def _as_datetime(value: Any, name: str) -> dt.datetime:
    if isinstance(value, str):
        return _read_text(value, name)
    if type(value).__name__ == "NaTType":
        raise InvalidRange(f"{name} is NaT", suggestion="give a real point in time")
    if isinstance(value, dt.datetime):
        # A pandas Timestamp is a datetime too; its nanoseconds are cut, as datetime has none.
        plain = getattr(value, "to_pydatetime", None)
        return value if plain is None else plain(warn=False)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone is set by the caller
    if type(value).__module__ == "numpy" and type(value).__name__ == "datetime64":
        plain = value.astype("datetime64[us]").item()
        if isinstance(plain, dt.datetime):
            return plain
    raise InvalidRange(
        f"{name}={value!r} is not a point in time",
        suggestion="give a str such as '2026-01-01 09:00', a date, datetime or Timestamp (numbers are ambiguous)",
    )


def _read_text(text: str, name: str) -> dt.datetime:
    clean = text.strip()
    if _YEAR_OR_MONTH.fullmatch(clean):
        clean = f"{clean}-01-01"[:10]
    try:
        return dt.datetime.fromisoformat(clean)
    except ValueError:
        raise InvalidRange(
            f"{name}={text!r} cannot be read as a time",
            suggestion="write it as '2026-01-31', '2026-01-31 09:00' or '2026-01-31T09:00:00+09:00'",
        ) from None


def parse_count(value: Any) -> int | None:
    """A whole number of at least 1, or None."""
    if value is None:
        return None
    try:
        number = value.__index__()
    except AttributeError:
        number = 0
    if isinstance(value, bool) or not 1 <= number <= MAX_COUNT:
        raise InvalidRange(f"count={value!r} is not a whole number of at least 1")
    return int(number)


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """The value if it is one of those allowed; QueryError otherwise."""
    if value in allowed:
        return str(value)
    raise QueryError(f"{name}={value!r} is not possible", suggestion=f"give one of {', '.join(map(repr, allowed))}")


@dataclass(frozen=True)
class View:
    """How an answer is shown: zone of the index and kind of frame."""

    tz: str
    output: str

    @classmethod
    def build(cls, config: Config, tz: str | None, output: str | None) -> View:
        """From arguments, or the settings where they are None."""
        shown = config.tz if tz is None else parse_zone(tz).key
        return cls(shown, choice("output", config.output if output is None else output, OUTPUTS))


@dataclass(frozen=True)
class CandleQuery:
    """What ``candles`` was asked, checked.

    Attributes
    ----------
    markets : tuple of str
        Upper case, without repetition.
    many : bool
        Whether a list was given; then the answer has the market in its index.
    interval : Interval
    start, end : int or None
        Microseconds UTC, half open, as given: not yet on the interval's grid.
    count : int or None
        How many candles; None only where ``start`` is given without it.
    forming : bool
    gaps, source : str
    """

    markets: tuple[str, ...]
    many: bool
    interval: Interval
    start: int | None
    end: int | None
    count: int | None
    forming: bool = False
    gaps: str = "raw"
    source: str = "auto"

    @classmethod
    def build(
        cls,
        market: object,
        interval: object,
        *,
        start: Any = None,
        end: Any = None,
        count: Any = None,
        forming: bool = False,
        gaps: str = "raw",
        source: str = "auto",
        tz: str = "UTC",
    ) -> CandleQuery:
        """Check everything; see ``uf.candles`` for the meaning of the arguments."""
        markets, many = parse_markets(market)
        low, high, number = parse_range(start, end, count, parse_zone(tz))
        return cls(
            markets, many, Interval.parse(interval), low, high, number,
            bool(forming), choice("gaps", gaps, GAPS), choice("source", source, SOURCES),
        )  # fmt: skip


def parse_range(start: Any, end: Any, count: Any, zone: ZoneInfo) -> tuple[int | None, int | None, int | None]:
    """``start``, ``end`` and ``count``, checked against each other.

    At most two may be given. Without ``start`` the count is 200 unless given.
    """
    low = None if start is None else parse_moment(start, zone, "start")
    high = None if end is None else parse_moment(end, zone, "end")
    number = parse_count(count)
    if low is not None and high is not None:
        if number is not None:
            raise InvalidRange(
                "start, end and count were all given",
                suggestion="leave one out: start and end for a range, one of them and count for so many rows",
            )
        if low >= high:
            raise InvalidRange(
                f"start={start!r} is not before end={end!r}", suggestion="the range is half open: [start, end)"
            )
    if low is None and number is None:
        number = DEFAULT_COUNT
    return low, high, number


@dataclass(frozen=True)
class TradesQuery:
    """What ``trades`` was asked, checked; the attributes mean what they do in CandleQuery."""

    market: str
    start: int | None
    end: int | None
    count: int | None
    source: str = "auto"

    @classmethod
    def build(
        cls, market: object, *, start: Any = None, end: Any = None, count: Any = None,
        source: str = "auto", tz: str = "UTC",
    ) -> TradesQuery:  # fmt: skip
        """Check everything; see ``uf.trades`` for the meaning of the arguments."""
        low, high, number = parse_range(start, end, count, parse_zone(tz))
        return cls(parse_market(market), low, high, number, choice("source", source, SOURCES))
