"""Time zones and points in time, as users write them (pure).

What has no zone of its own is read in the zone of the call. What is relative (``"-7d"``,
``"yesterday"``, a negative ``timedelta``) is relative to the ``now`` that the caller passes, so that
a replay means the moment at which it was recorded.
"""

from __future__ import annotations

import datetime as dt
import difflib
import errno
import re
import zoneinfo
from collections.abc import Callable
from typing import Any

from upbit_frames.core.intervals import to_micros
from upbit_frames.core.periods import Period, read_period
from upbit_frames.errors import ConfigError, InvalidRange

__all__ = ["Now", "Zone", "parse_moment", "parse_zone", "zone_name"]

Zone = zoneinfo.ZoneInfo | dt.timezone
Now = Callable[[], int]
"""The time in microseconds since the epoch, UTC."""

_EARLIEST = 0  # 1970: nothing Upbit has is older, and negative times would need special care
_LATEST = to_micros(dt.datetime(2200, 1, 1, tzinfo=dt.UTC))
_ABBREVIATIONS = {"KST": "Asia/Seoul", "JST": "Asia/Tokyo", "Z": "UTC"}
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{1,2}):?([0-9]{2})?")
_YEAR_OR_MONTH = re.compile(r"([0-9]{4})(?:[-/.]([0-9]{1,2}))?")
_DATE = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})([T ].*)?")
_EPOCH_UNITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}  # by the number of digits, from 2001 to 2096
_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_FORMS = (
    "'2026-01-31', '2026-01-31 09:00', '2026-01-31T09:00:00+09:00', '-7d', 'yesterday', a date, datetime or Timestamp"
)


# --- zones --------------------------------------------------------------------------------------


def parse_zone(value: object) -> Zone:
    """Return the time zone that a value means.

    Parameters
    ----------
    value : str, zoneinfo.ZoneInfo or datetime.timezone
        An IANA name, ``"KST"``, or an offset such as ``"+09:00"``.

    Raises
    ------
    ConfigError
        If it means none.

    Examples
    --------
    >>> zone_name(parse_zone("+0900"))
    '+09:00'
    """
    if isinstance(value, zoneinfo.ZoneInfo) and value.key is not None:
        return value
    if isinstance(value, dt.timezone):
        return _fixed(value.utcoffset(None), value)
    name = getattr(value, "zone", value)  # a zone of pytz says its IANA name there
    if isinstance(name, str):
        text = name.strip()
        if match := _OFFSET.fullmatch(text):
            hours, minutes = int(match[2]), int(match[3] or 0)
            if hours < 15 and minutes < 60:
                return _fixed(dt.timedelta(hours=hours, minutes=minutes) * (1 if match[1] == "+" else -1), value)
        try:
            return zoneinfo.ZoneInfo(_ABBREVIATIONS.get(text.upper(), text))
        except (ValueError, zoneinfo.ZoneInfoNotFoundError):
            pass
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):  # not the zone's fault
                raise
    raise ConfigError(f"tz must be a time zone, got {value!r}", suggestion=_zone_hint(value))


def _fixed(offset: dt.timedelta, value: object) -> Zone:
    if not offset:
        return zoneinfo.ZoneInfo("UTC")
    if offset % dt.timedelta(minutes=1):
        raise ConfigError(f"tz must be a whole number of minutes from UTC, got {value!r}")
    return dt.timezone(offset)


def zone_name(zone: Zone) -> str:
    """Return the name under which pandas and Arrow know the zone: IANA, or ``+09:00``."""
    return zone.key if isinstance(zone, zoneinfo.ZoneInfo) else str(zone).removeprefix("UTC")


def _zone_hint(value: object) -> str:
    """Return what to give, with the zone of a city where only its name was written, or a name with a slip in it."""
    forms = "give an IANA name such as 'Asia/Seoul', an offset such as '+09:00', a ZoneInfo or datetime.timezone"
    if isinstance(value, int) and not isinstance(value, bool) and -12 <= value <= 14:
        return f"as an offset in hours that is '{value:+03}:00'; or {forms}"
    if isinstance(value, str) and value.strip():
        text = value.strip().replace(" ", "_").lower()
        names = {name.lower(): name for name in zoneinfo.available_timezones()}
        near = sorted(names[name] for name in names if name.endswith("/" + text.rpartition("/")[2]))
        slips = difflib.get_close_matches(text, names, n=1, cutoff=0.85) if "/" in text else []
        if near or slips:
            return f"did you mean {(near or [names[slips[0]]])[0]!r}? Or {forms}"
    return forms


# --- moments ------------------------------------------------------------------------------------


def parse_moment(value: Any, zone: Any, name: str, now: Now | None = None) -> int:
    """Return microseconds UTC of a point in time.

    Parameters
    ----------
    value : str, datetime.date, datetime.datetime, pandas.Timestamp, numpy.datetime64 or datetime.timedelta
        Text is ISO 8601, also with ``/`` or ``.`` between year, month and day; a year or a month alone
        stands for its first moment. Relative to now: ``"now"``, ``"-7d"`` (see
        :mod:`upbit_frames.core.periods`), a negative timedelta; midnight of ``"today"``, ``"yesterday"``,
        ``"tomorrow"``.
    zone : tzinfo
        Of what has none of its own.
    name : str
        Of the argument, for messages.
    now : callable, optional
        Default: the machine's clock.

    Raises
    ------
    InvalidRange
        If it is none of these, not a time at all, or not between 1970 and 2200.
    """
    try:
        moment = _as_datetime(value, zone, name, now or _machine_time)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        micros = to_micros(moment)
    except OverflowError:
        micros = -1
    if not _EARLIEST <= micros <= _LATEST:
        raise InvalidRange(f"{name} must be between the years 1970 and 2200, got {value!r}")
    return micros


def _machine_time() -> int:
    return to_micros(dt.datetime.now(dt.UTC))


def _as_datetime(value: Any, zone: Any, name: str, now: Now) -> dt.datetime:
    if isinstance(value, str):
        return _read_text(value, zone, name, now)
    if type(value).__name__ == "NaTType":
        raise InvalidRange(f"{name} must be a point in time, got NaT")
    if isinstance(value, dt.datetime):
        # A pandas Timestamp is a datetime too; its nanoseconds are cut, as datetime has none.
        plain = getattr(value, "to_pydatetime", None)
        return value if plain is None else plain(warn=False)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone is set by the caller
    if type(value).__module__ == "numpy" and type(value).__name__ in ("datetime64", "timedelta64"):
        value = value.astype(f"{type(value).__name__}[us]").item()
        if isinstance(value, dt.datetime):
            return value
    if isinstance(value, dt.timedelta):
        if value >= dt.timedelta(0):
            raise InvalidRange(
                f"{name} must not lie in the future, got {value!r}",
                suggestion="a negative timedelta lies before now: -timedelta(days=7) is seven days ago",
            )
        return _moment(now(), zone) + value
    raise _unreadable(value, name)


def _read_text(text: str, zone: Any, name: str, now: Now) -> dt.datetime:
    clean = text.strip()
    word = clean.lower()
    if word == "now":
        return _moment(now(), zone)
    if word in _DAYS:
        day = _moment(now(), zone).date() + dt.timedelta(days=_DAYS[word])
        return dt.datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the zone is set by the caller
    if clean.startswith("-") and (period := read_period(clean[1:])) is not None:
        return _before(_moment(now(), zone), period)
    if match := _YEAR_OR_MONTH.fullmatch(clean):
        clean = f"{match[1]}-{int(match[2] or 1):02}-01"
    elif match := _DATE.fullmatch(clean):
        clean = f"{match[1]}-{int(match[3]):02}-{int(match[4]):02}{match[5] or ''}"
    try:
        return dt.datetime.fromisoformat(clean)
    except ValueError:
        raise _unreadable(text, name) from None


def _unreadable(value: object, name: str) -> InvalidRange:
    """Build the error for what is no point in time, with what comes nearest to it."""
    return InvalidRange(f"{name} must be a point in time, got {value!r}", suggestion=_moment_hint(value, name))


def _moment_hint(value: object, name: str) -> str:
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if match := re.fullmatch("([12][0-9]{3})([01][0-9])([0-3][0-9])", text):
        return f"write the day as text: '{match[1]}-{match[2]}-{match[3]}'"
    if (match := re.fullmatch("[12][0-9]{9,18}", text)) and (unit := _EPOCH_UNITS.get(len(text))):
        return f"a number has no unit: pd.Timestamp({text}, unit={unit!r}, tz='UTC') is one since 1970"
    if match := re.fullmatch(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})", text):
        days = [f"{match[4]}-{int(a):02}-{int(b):02}" for a, b in ((match[1], match[3]), (match[3], match[1]))]
        return f"write the year first: {' or '.join(repr(day) for day in dict.fromkeys(days) if _is_day(day))}"
    if read_period(value) is not None:
        return f"{name}='-{text}' is so long before now; or give {_FORMS}" if text else f"give {_FORMS}"
    if (match := _DATE.fullmatch(text)) and not _is_day(f"{match[1]}-{int(match[3]):02}-{int(match[4]):02}"):
        return "the calendar has no such day"
    return f"give {_FORMS}"


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _moment(micros: int, zone: Any) -> dt.datetime:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)).astimezone(zone)


def _before(moment: dt.datetime, period: Period) -> dt.datetime:
    """Return the moment a period earlier: months keep day and hour where they can, anything else has its length."""
    if period.months is not None:
        months = moment.year * 12 + moment.month - 1 - period.months
        if months < 12:
            raise OverflowError
        year, month = divmod(months, 12)
        first_of_next = dt.date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
        last = (first_of_next - dt.timedelta(days=1)).day
        return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
    return (moment.astimezone(dt.UTC) - dt.timedelta(seconds=period.seconds or 0)).astimezone(moment.tzinfo)
