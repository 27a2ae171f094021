"""pyupbit's prices, order books and market lists on top of ``uf.ticker``, ``uf.orderbook`` and ``uf.markets``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import upbit_frames as uf
from upbit_frames.compat import rows
from upbit_frames.compat.pyupbit import errors
from upbit_frames.compat.pyupbit.settings import settings
from upbit_frames.compat.sites import warn_once

__all__ = ["Book", "limit", "orderbook", "price", "tickers"]

T = TypeVar("T")


class Book(dict[str, Any]):
    """An order book; ``book[0]`` gives itself, as scripts for pyupbit before 0.2.20 expect a list."""

    def __missing__(self, key: Any) -> Any:
        if isinstance(key, int) and key == 0:
            warn_once("book", "an order book is a dict since pyupbit 0.2.20; leave out the [0]")
            return self
        raise KeyError(key)


def _named(work: Callable[[], T]) -> T:
    """Return the answer, or one of pyupbit's errors."""
    try:
        return work()
    except uf.errors.UpbitFramesError as error:
        raise errors.as_pyupbit(error) from error


def limit(group: str) -> dict[str, Any]:
    """Return what ``limit_info`` gives: the group and how much of it this client uses at most.

    pyupbit says what is left; here a limiter shared by all processes keeps within the limit, and
    an answer may need no request at all.
    """
    second = max(1, round(10 * uf.config.rate))
    return {"group": group, "min": 60 * second, "sec": second}


def tickers(fiat: str, *, is_details: bool, verbose: bool) -> list[Any]:
    """Return market codes that begin with ``fiat``, or their rows."""
    frame = _named(lambda: uf.markets(output="pandas"))
    listed = rows.market_rows(frame, details=is_details)
    result = [row for row in listed if row["market"].startswith(fiat)]
    if not result and fiat:
        warn_once(
            "fiat", f"no market begins with {fiat!r}, so the list is empty; codes are in upper case, such as 'KRW'"
        )
    return result if verbose or is_details else [row["market"] for row in result]


def _codes(ticker: Any, name: str) -> tuple[list[str], bool]:
    """Return the markets of an argument, and whether one answer is wanted rather than several."""
    if isinstance(ticker, str):
        codes = ticker.split(",")
        if len(codes) > 1:
            warn_once(
                "comma", f"{name}={ticker!r} names {len(codes)} markets, but only the first is given; write a list"
            )
        return codes, True
    return [str(item) for item in ticker], isinstance(ticker, list) and len(ticker) == 1


def price(ticker: Any, *, verbose: bool) -> Any:
    """Return last prices, or the tickers' rows with ``verbose``."""
    codes, single = _codes(ticker, "ticker")
    if not codes:
        return [] if verbose else {}
    result = rows.ticker_rows(_named(lambda: uf.ticker(codes, output="pandas")))
    if single and not result:
        raise errors.UpbitError(name="empty", msg=f"the exchange gave no ticker of {codes[0]}")
    if verbose:
        return result[0] if single and settings().like == "0.2.29" else result
    if single:
        return result[0]["trade_price"]
    return {row["market"]: row["trade_price"] for row in result}


def orderbook(ticker: Any) -> Any:
    """Return order books: a dict of one market, a list of several."""
    codes, single = _codes(ticker, "ticker")
    if not codes:
        raise errors.ValidationError(msg="get_orderbook needs at least one market, got an empty list")
    result = [Book(row) for row in rows.book_rows(_named(lambda: uf.orderbook(codes, output="pandas")))]
    if single and not result:
        raise errors.UpbitError(
            name="empty", msg=f"the order book of {codes[0]} is empty: there are neither asks nor bids"
        )
    return result[0] if single else result
