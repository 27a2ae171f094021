"""What Upbit's published archive holds: files, their names, periods and terms (pure; upbit-api 11).

A file holds a UTC day or a calendar month of a market. Its key says which, so everything
there is to know before a request is here: key, checksum, the CSV inside, the time it covers,
when it may be expected, and on which terms it is given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from upbit_frames.core.intervals import INTERVALS, Interval, Span, from_micros, to_micros
from upbit_frames.errors import InvalidInterval, InvalidMarket

__all__ = [
    "CANDLE_COLUMNS",
    "PUBLICATION_DELAY",
    "TERMS",
    "TRADE_COLUMNS",
    "ArchiveFile",
    "day_file",
    "file_of",
    "has_archive",
    "month_file",
    "since",
]

TERMS = (
    "Upbit publishes its historical market data for personal, non-commercial use only. It may not be "
    "redistributed, neither as it is nor processed, nor sold. A download means agreement to that: "
    "https://www.upbit.com/historical_data"
)
"""The terms in a single text, quoted by every message about the archive."""

HOUR, DAY = 3_600_000_000, 86_400_000_000
PUBLICATION_DELAY = 5 * HOUR
"""How long after its period a file can be relied upon. It is promised for before 14:00 in Korea
(05:00 UTC) of the next day, and was seen at 01:00 UTC."""

CANDLE_COLUMNS = ("date_time_utc", "open", "high", "low", "close", "acc_trade_price", "acc_trade_volume")
TRADE_COLUMNS = ("seq", "timestamp", "volume", "price", "ask_bid")


def _utc(year: int, month: int, day: int) -> int:
    return to_micros(datetime(year, month, day, tzinfo=UTC))


# The archive's first day. The file of that month holds nothing of the days before, although REST
# may have them, so no file ever answers for them. (Sources disagree whether second candles begin in
# July or September 2023; a file that is not there costs a question, no more.)
_SINCE = {"candles": _utc(2017, 10, 24), "1s": _utc(2023, 7, 1), "trades": _utc(2022, 5, 1)}

_MARKET = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")
_DAY_INTERVAL = INTERVALS["1d"]
_MONTH_INTERVAL = INTERVALS["1M"]


@dataclass(frozen=True, order=True)
class ArchiveFile:
    """A published file.

    Attributes
    ----------
    market : str
        Market code in capitals.
    interval : str or None
        Interval of the candles by this package's name; None for trades.
    period : Span
        The UTC day or month it covers, microseconds, half open.
    monthly : bool
        Whether the period is a month.

    Examples
    --------
    >>> file = month_file("KRW-BTC", INTERVALS["1h"], to_micros(datetime(2025, 9, 17, tzinfo=UTC)))
    >>> file.key
    'candle/KRW-BTC/monthly/60m/2025/KRW-BTC_candle-60m_202509.zip'
    >>> str(file.period)
    '[2025-09-01T00:00:00Z, 2025-10-01T00:00:00Z)'
    """

    market: str
    interval: str | None
    period: Span
    monthly: bool

    @property
    def kind(self) -> str:
        """``candles`` or ``trades``."""
        return "trades" if self.interval is None else "candles"

    @property
    def folder(self) -> str:
        """The folder of the file: the prefix under which a listing has it."""
        often = "monthly" if self.monthly else "daily"
        year = from_micros(self.period.start).year
        if self.interval is None:
            return f"trade/{self.market}/{often}/{year:04d}"
        return f"candle/{self.market}/{often}/{INTERVALS[self.interval].archive}/{year:04d}"

    @property
    def stem(self) -> str:
        """The name without its ending, shared by the zip and the CSV inside."""
        stamp = from_micros(self.period.start).strftime("%Y%m" if self.monthly else "%Y%m%d")
        content = "trade" if self.interval is None else f"candle-{INTERVALS[self.interval].archive}"
        return f"{self.market}_{content}_{stamp}"

    @property
    def key(self) -> str:
        """Path below the archive's host."""
        return f"{self.folder}/{self.stem}.zip"

    @property
    def member(self) -> str:
        """The only file that the zip may hold."""
        return f"{self.stem}.csv"

    @property
    def answers(self) -> Span:
        """The part of its period for which it is complete."""
        return Span(max(self.period.start, since(self.interval)), self.period.end)

    @property
    def slots(self) -> int:
        """Most candles it can hold; 0 for trades, of which there can be any number."""
        return 0 if self.interval is None else INTERVALS[self.interval].slots(*self.period)


def has_archive(interval: Interval) -> bool:
    """Return whether files of this interval can be relied upon: every interval up to days.

    Weeks and months are published too, but it is not known what period such a file covers while
    its candles cross the borders of months; they need one or two REST requests for all of their
    history, so nothing is lost. Years are not published.
    """
    return interval.archive is not None and interval.seconds is not None and interval.seconds * 1_000_000 <= DAY


def since(interval: str | None) -> int:
    """Return the earliest moment for which the archive has data; ``interval`` None means trades."""
    return _SINCE["trades" if interval is None else interval if interval in _SINCE else "candles"]


def day_file(market: str, interval: Interval | None, moment: int) -> ArchiveFile:
    """Return the file of the UTC day that holds the moment; ``interval`` None means trades."""
    return _file(market, interval, moment, monthly=False)


def month_file(market: str, interval: Interval | None, moment: int) -> ArchiveFile:
    """Return the file of the calendar month that holds the moment; ``interval`` None means trades."""
    return _file(market, interval, moment, monthly=True)


def file_of(market: str, interval: Interval | None, period: Span) -> ArchiveFile:
    """Return the file that covers exactly this period.

    Raises
    ------
    ValueError
        If the period is neither a UTC day nor a calendar month.
    """
    for monthly in (False, True):
        file = _file(market, interval, period.start, monthly=monthly)
        if file.period == period:
            return file
    raise ValueError(f"{period} is neither a UTC day nor a calendar month, and the archive has only those")


def _file(market: str, interval: Interval | None, moment: int, *, monthly: bool) -> ArchiveFile:
    if not _MARKET.fullmatch(market):
        # The market becomes part of a URL and of a file name, so this is the last gate.
        raise InvalidMarket(f"{market!r} is not a market code", suggestion="write it like 'KRW-BTC'", market=market)
    if interval is not None and not has_archive(interval):
        raise InvalidInterval(
            f"the archive is not used for {interval.name} candles",
            suggestion="ask with source='rest': it has their whole history in a request or two",
            interval=interval.name,
        )
    grid = _MONTH_INTERVAL if monthly else _DAY_INTERVAL
    low = grid.floor(moment)
    return ArchiveFile(market, None if interval is None else interval.name, Span(low, grid.shift(low, 1)), monthly)
