"""pyupbit's candle functions on top of ``uf.candles``."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

import pandas as pd

import upbit_frames as uf
from upbit_frames.api.calls.call import warning_sink
from upbit_frames.compat.pyupbit.moments import KST, Moment, read, remember, returned
from upbit_frames.compat.pyupbit.settings import failed, settings
from upbit_frames.compat.sites import warn_once
from upbit_frames.errors import InvalidRange, MarketNotFound, NotCached, QueryError, UpbitFramesError

__all__ = ["between", "daily", "last"]

PAGE = 200
COLUMNS = ["open", "high", "low", "close", "volume", "value"]
_MINUTES = {1: "1m", 3: "3m", 5: "5m", 10: "10m", 15: "15m", 30: "30m", 60: "1h", 240: "4h"}
INTERVALS = {
    "day": "1d", "days": "1d", "week": "1w", "weeks": "1w", "month": "1M", "months": "1M",
    **{f"minute{unit}": name for unit, name in _MINUTES.items()},
    **{f"minutes{unit}": name for unit, name in _MINUTES.items()},
}  # fmt: skip
_FAR = dt.datetime(2199, 1, 1, tzinfo=dt.UTC)  # beyond it there is no range to ask for
_BEGINNING = Moment(dt.datetime(2000, 1, 1, tzinfo=KST), dt.datetime(2000, 1, 1), False)  # noqa: DTZ001 - pyupbit's own


class _Nothing(UpbitFramesError):
    """There is no candle to give."""


def last(ticker: Any, interval: Any, count: Any, to: Any) -> pd.DataFrame | None:
    """Return the last ``count`` candles that begin before ``to``; None where that fails."""

    def work() -> pd.DataFrame:
        name = _interval(interval)
        number = _count(count)
        moment = None if to is None else read(to, "to")
        end = None if moment is None or moment.at >= _FAR else moment.at
        frame = _candles(ticker, name, end=end, count=number)[-number:]
        if frame.empty:
            when = "" if to is None else f" before {to}"
            raise _Nothing(f"there is no candle of {ticker}{when}", suggestion="was it listed by then?", market=ticker)
        frame_kst = _to_kst(frame)
        if moment is not None and moment.naive:
            _warn_naive(to, moment, frame_kst, name)
        return frame_kst

    frame_kst = _or_none(work, ticker)
    if frame_kst is not None:
        remember(frame_kst.index)  # type: ignore[arg-type]
    return frame_kst


def between(ticker: Any, interval: Any, start: Any, to: Any) -> pd.DataFrame | None:
    """Read a range as ``get_ohlcv_from`` does: from Korean time inclusive to UTC exclusive, unless zones are stated."""

    def work() -> pd.DataFrame:
        name = _interval(interval)
        begin = read(start, "fromDatetime", zone=KST, dates=False) if start is not None else _BEGINNING
        end = None if to is None else read(to, "to", dates=False)
        faithful = (begin.naive or start is None) and (end is None or end.naive)
        if end is not None:  # pyupbit compares the naive values, regardless of zones
            low, high = (begin.wall, end.wall) if faithful else (begin.at, end.at)
            if high <= low:
                raise InvalidRange(
                    f"fromDatetime={start!r} is not before to={to!r}", suggestion="swap them?", market=ticker
                )
        limit = None if end is None or end.at >= _FAR else end.at
        frame = _range(ticker, name, begin.at, limit)
        missed = _missed(frame, begin.wall) if faithful else 0
        frame_kst = _to_kst(frame[missed:])
        if missed or (end is not None and end.naive):
            _warn_from(frame_kst, name, missed)
        return frame_kst

    frame_kst = _or_none(work, ticker)
    if frame_kst is not None:
        remember(frame_kst.index)  # type: ignore[arg-type]
    return frame_kst


def daily(ticker: Any, base: Any) -> pd.DataFrame | None:
    """Return 200 hours as days that begin at the hour ``base``."""

    def work() -> pd.DataFrame:
        frame = _candles(ticker, "1h", end=None, count=PAGE)[-PAGE:]
        if frame.empty:
            raise _Nothing(f"there is no candle of {ticker}", suggestion="was it listed?", market=ticker)
        try:
            days = _to_kst(frame).resample("24h", offset=f"{base}h")
        except ValueError as error:
            raise QueryError(f"base must be an hour of the day, got {base!r}", market=ticker) from error
        how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
        table: pd.DataFrame = days.agg(how)
        return table

    return _or_none(work, ticker)


# --- arguments ---------------------------------------------------------------------------------------


def _interval(interval: Any) -> str:
    name = INTERVALS.get(interval) if isinstance(interval, str) else None
    if name is not None:
        return name
    if settings().errors == "raise":
        raise uf.errors.InvalidInterval(
            f"pyupbit knows no interval {interval!r} and would read the daily candle",
            suggestion=f"it knows {', '.join(item for item in INTERVALS if not item.startswith('minutes'))}",
        )
    warn_once(
        "interval",
        f"interval={interval!r} is none that pyupbit knows, so this is the daily candle; write for instance "
        f"'minute60', or uf.candles(…, '1h')",
    )
    return "1d"


def _count(count: Any) -> int:
    try:
        number = operator.index(max(count, 1))
    except TypeError as error:
        raise QueryError(f"count must be a whole number, got {count!r}", suggestion="write for instance 200") from error
    if count < 1:
        if settings().errors == "raise":
            raise QueryError(f"count must be at least 1, got {count!r}", suggestion="write for instance 200")
        warn_once("count", f"count={count!r} is below 1, so one candle is read; write the number that is meant")
    return number


# --- reading -----------------------------------------------------------------------------------------


def _candles(ticker: Any, name: str, **limits: Any) -> pd.DataFrame:
    """Return candles from the store or the exchange; a market known not to be listed from the store only."""
    ways: dict[str, Any] = {"forming": True, "tz": "UTC", "output": "pandas", "progress": False}
    if not isinstance(ticker, str):
        if not (isinstance(ticker, list | tuple) and len(ticker) == 1):
            raise QueryError(f"ticker must be one market such as 'KRW-BTC', got {ticker!r}")
        ticker = ticker[0]
    texts: list[str] = []
    token = warning_sink.set(texts.append)
    try:
        read = _stored if _unlisted(ticker) else uf.candles
        frame: pd.DataFrame = read(ticker, cast("Any", name), **{**ways, **limits})
    except MarketNotFound:
        _learn()
        raise
    finally:
        warning_sink.reset(token)
    if len(frame):  # for an empty frame the caller has a message of its own
        for text in texts:
            warn_once("answer", text)
    return frame


_listed: dict[str, tuple[float, frozenset[str]]] = {}  # by exchange: until when it is believed, and the markets
_BELIEVED = 60.0  # seconds; as long as uf.markets keeps its own list


def _learn() -> None:
    """Read which markets are listed, so that the same unknown one is not requested again and again."""
    try:
        markets = frozenset(uf.markets(output="pandas").index)
    except UpbitFramesError:
        return  # the error that led here says more
    _listed[uf.config.rest_url] = (monotonic() + _BELIEVED, markets)


def _unlisted(ticker: Any) -> bool:
    until, markets = _listed.get(uf.config.rest_url, (0.0, frozenset()))
    return isinstance(ticker, str) and monotonic() < until and ticker.strip().upper() not in markets


def _stored(ticker: Any, name: str, **limits: Any) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = uf.candles(ticker, cast("Any", name), **{**limits, "forming": False}, source="store")
        return frame
    except NotCached as error:
        raise MarketNotFound(
            f"the exchange does not list {ticker}", suggestion="misspelt or delisted? pyupbit.get_tickers() lists all",
            market=ticker, status=404,
        ) from error  # fmt: skip


def _range(ticker: Any, name: str, start: dt.datetime, end: dt.datetime | None) -> pd.DataFrame:
    """Return candles of a range; pyupbit gives none at all where nothing precedes the end."""
    try:
        frame = _candles(ticker, name, start=start, end=end)
    except InvalidRange:
        if end is None:
            raise
        frame = None  # the whole range lies in the future: pyupbit looks from its end back, and keeps nothing
    if frame is None or frame.empty:
        newest = _candles(ticker, name, end=end, count=1)
        if newest.empty:
            raise _Nothing(f"there is no candle of {ticker} before {end}", suggestion="was it listed?", market=ticker)
        frame = newest[:0]
    return frame


def _to_kst(frame: pd.DataFrame) -> pd.DataFrame:
    """Shape a frame as pyupbit does: the index in Korean time without a zone or a name, nothing attached."""
    index = pd.DatetimeIndex(frame.index).tz_convert(KST).tz_localize(None)
    if pd.__version__.startswith("2."):  # what it makes of a list of datetimes; later ones stay at microseconds
        index = index.as_unit("ns")
    table = pd.DataFrame({name: frame[name].to_numpy(copy=True) for name in COLUMNS}, index=index.rename(None))
    return table


def _missed(frame: pd.DataFrame, stop: dt.datetime) -> int:
    """Return how many of the oldest rows pyupbit does not reach.

    It reads pages of 200 backwards until one begins, in UTC, at or before what is meant as
    Korean time; so up to nine hours are missing at the beginning.
    """
    times = pd.DatetimeIndex(frame.index).tz_localize(None)
    for place in range(len(times) - PAGE, 0, -PAGE):
        if times[place] <= stop:
            return place
    return 0


def _or_none(work: Callable[[], pd.DataFrame], ticker: Any) -> pd.DataFrame | None:
    """Return the frame, or None with the reason in a warning and in ``last_error``."""
    try:
        return work()
    except UpbitFramesError as error:
        if str(ticker) not in str(error):
            error.context["market"] = str(ticker)
        failed(error)
        naive = isinstance(error, InvalidRange) and "configure(to='error')" in error.message
        if naive or settings().errors == "raise":
            raise
        warn_once(
            "none",
            f"None instead of candles of {ticker}: {error}. The error itself is in pyupbit.last_error; "
            "configure(errors='raise') raises it, as uf.candles does",
        )
        return None


# --- warnings ----------------------------------------------------------------------------------------


def _clock(moment: Any, name: str) -> str:
    return f"{moment:%Y-%m-%d}" if name in ("1d", "1w", "1M") else f"{moment:%Y-%m-%d %H:%M}"


def _warn_naive(to: Any, moment: Moment, frame_kst: pd.DataFrame, name: str) -> None:
    newest = _clock(frame_kst.index[-1], name)
    instead = f"write to='{moment.wall:%Y-%m-%d %H:%M:%S}+09:00' if Korean time is meant, '…Z' if UTC is"
    if returned(to, moment.wall):
        warn_once(
            "index",
            f"to={to!s} was taken from an index: the index is KST, but `to` is read as UTC, so pages leave holes or "
            f"repeat rows; the last row is {newest} KST. One call reads any length: uf.candles(…, start=…, end=…), or "
            f"{instead}",
        )
        return
    warn_once(
        "to",
        f"to={to!s} has no time zone and is read as UTC, while the index is KST: the last row is {newest} KST; "
        f"{instead}; configure(to='kst') reads all of them as Korean time",
    )


def _warn_from(frame_kst: pd.DataFrame, name: str, missed: int) -> None:
    newest = _clock(frame_kst.index[-1], name) if len(frame_kst) else "absent"
    first = _clock(frame_kst.index[0], name) if len(frame_kst) else "absent"
    short = f"; {missed} rows before the first are missing, as pyupbit stops paging up to nine hours early" * bool(
        missed
    )
    warn_once(
        "from",
        f"fromDatetime is read as KST and `to` as UTC, nine hours apart: {len(frame_kst)} rows, the first {first} KST, "
        f"the last {newest} KST{short}; write both with a zone ('+09:00'), or uf.candles(…, start=…, end=…, "
        "tz='Asia/Seoul')",
    )
