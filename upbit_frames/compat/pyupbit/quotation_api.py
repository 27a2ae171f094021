"""pyupbit's quotation functions: the same names, parameters and results."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from upbit_frames.compat.sites import warn_once

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "get_current_price",
    "get_daily_ohlcv_from_base",
    "get_ohlcv",
    "get_ohlcv_from",
    "get_orderbook",
    "get_tick_size",
    "get_tickers",
    "get_url_ohlcv",
]


def get_tickers(fiat: str = "", is_details: bool = False, limit_info: bool = False, verbose: bool = False) -> Any:
    """List the markets.

    Parameters
    ----------
    fiat : str
        What their codes begin with, such as ``"KRW"``.
    is_details, verbose : bool
        Rows instead of codes; ``is_details`` with warnings.
    limit_info : bool
        A pair with the request limit.

    Returns
    -------
    list of str or dict, or pair

    Raises
    ------
    UpbitError
    """
    from upbit_frames.compat.pyupbit.prices import limit, tickers

    result = tickers(fiat, is_details=is_details, verbose=verbose)
    return (result, limit("market")) if limit_info else result


def get_url_ohlcv(interval: str) -> str:
    """Return the address that pyupbit reads an interval from; the daily one where it knows none."""
    from upbit_frames.compat.pyupbit.history import INTERVALS

    name = INTERVALS.get(interval, "1d") if isinstance(interval, str) else "1d"
    paths = {"1d": "days", "1w": "weeks", "1M": "months"}
    path = paths.get(name) or f"minutes/{int(name[:-1]) * (60 if name.endswith('h') else 1)}"
    return f"https://api.upbit.com/v1/candles/{path}"


def get_ohlcv(
    ticker: str = "KRW-BTC", interval: str = "day", count: int = 200, to: Any = None, period: float = 0.1
) -> pd.DataFrame | None:
    """Read the last ``count`` candles.

    Parameters
    ----------
    ticker, interval : str
        An unknown interval is the daily one.
    count : int
    to : str, date, datetime or Timestamp, optional
        Exclusive. Without a time zone it is UTC, although the index is Korean time.
    period : float
        Ignored: requests are spaced by the limiter.

    Returns
    -------
    pandas.DataFrame or None
        Index: start of the candle in Korean time, without a zone; columns open, high, low, close,
        volume, value. The last row is the running candle where ``to`` is not given. None where
        anything fails; ``pyupbit.last_error`` has the reason.
    """
    from upbit_frames.compat.pyupbit.history import last

    return last(ticker, interval, count, to)


def get_ohlcv_from(
    ticker: str = "KRW-BTC",
    interval: str = "day",
    fromDatetime: Any = None,  # noqa: N803 - pyupbit's own name
    to: Any = None,
    period: float = 0.1,
) -> pd.DataFrame | None:
    """Read the candles of a range.

    Parameters
    ----------
    ticker, interval, period
        As for :func:`get_ohlcv`.
    fromDatetime : str, datetime or Timestamp, optional
        Inclusive; without a time zone Korean time. Default: the beginning.
    to : str, datetime or Timestamp, optional
        Exclusive; without a time zone UTC. Default: now.

    Returns
    -------
    pandas.DataFrame or None
    """
    from upbit_frames.compat.pyupbit.history import between

    return between(ticker, interval, fromDatetime, to)


def get_daily_ohlcv_from_base(ticker: str = "KRW-BTC", base: float = 0) -> pd.DataFrame | None:
    """Read the last 200 hours as days that begin at another hour.

    Parameters
    ----------
    ticker : str
    base : float
        Hour of Korean time.

    Returns
    -------
    pandas.DataFrame or None
        Columns open, high, low, close, volume; the first and last day are not whole.
    """
    from upbit_frames.compat.pyupbit.history import daily

    return daily(ticker, base)


def get_current_price(ticker: Any = "KRW-BTC", limit_info: bool = False, verbose: bool = False) -> Any:
    """Read last prices.

    Parameters
    ----------
    ticker : str or list of str
    limit_info : bool
        A pair with the request limit.
    verbose : bool
        Rows with every field.

    Returns
    -------
    float, dict of str to float, list of dict, or pair
        A number for one market, a dict for several.

    Raises
    ------
    UpbitError
    """
    from upbit_frames.compat.pyupbit.prices import limit, price

    result = price(ticker, verbose=verbose)
    return (result, limit("ticker")) if limit_info else result


def get_orderbook(ticker: Any = "KRW-BTC", limit_info: bool = False, *, tickers: Any = None) -> Any:
    """Read order books.

    Parameters
    ----------
    ticker : str or list of str
    limit_info : bool
        A pair with the request limit.
    tickers : str or list of str, optional
        The old name of ``ticker``.

    Returns
    -------
    dict, list of dict, or pair
        A dict for one market, a list for several.

    Raises
    ------
    UpbitError
    """
    from upbit_frames.compat.pyupbit.prices import limit, orderbook

    if tickers is not None:
        warn_once("tickers", "get_orderbook(tickers=…) is the spelling before pyupbit 0.2.20; write ticker=…")
        ticker = tickers
    result = orderbook(ticker)
    return (result, limit("orderbook")) if limit_info else result


# Lowest price of each step, and the step, as pyupbit has them; Upbit has changed its own since.
_WHOLE_STEPS = (
    (2_000_000, 1000), (1_000_000, 500), (500_000, 100), (100_000, 50), (10_000, 10), (1_000, 1),
)  # fmt: skip
_SMALL_STEPS = (
    (100, 0.1, 10), (10, 0.01, 100), (1, 0.001, 1_000), (0.1, 0.0001, 10_000), (0.01, 0.00001, 100_000),
    (0.001, 0.000001, 1_000_000), (0.0001, 0.0000001, 10_000_000),
)  # fmt: skip


def get_tick_size(price: float, method: str = "floor") -> float:
    """Fit a price in won to the price steps that pyupbit knows.

    Parameters
    ----------
    price : float
    method : {"floor", "round"}
        Anything else rounds up.

    Returns
    -------
    float
        The price, not the step.
    """
    warn_once(
        "tick",
        "get_tick_size knows the price steps of an older Upbit; uf.instruments(market)['tick_size'] has today's",
    )
    ways: dict[str, Callable[[float], int]] = {"floor": math.floor, "round": round}
    fit = ways.get(method, math.ceil)
    for lowest, step in _WHOLE_STEPS:
        if price >= lowest:
            return fit(price / step) * step
    for least, unit, parts in _SMALL_STEPS:
        if price >= least:
            return fit(price / unit) / parts
    return fit(price / 0.00000001) / 100_000_000
