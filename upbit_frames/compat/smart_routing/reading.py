"""Upbit's rows of each kind through the public coroutines."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import pandas as pd

from upbit_frames import aio
from upbit_frames.api.literals import QuoteSource
from upbit_frames.compat import raw, rows
from upbit_frames.compat.smart_routing.answers import Rows, of_route
from upbit_frames.core.config import current
from upbit_frames.errors import ApiError, InvalidMarket, QueryError

__all__ = ["candles", "forget", "kept_rows", "markets_of", "orderbooks", "tickers", "trades"]

PAGE = 200
_KEPT = 50_000  # candles whose rows are kept as Upbit sent them

_lock = threading.Lock()
_rows: OrderedDict[tuple[str, str, str, str], dict[str, Any]] = OrderedDict()


def markets_of(symbols: Any) -> list[str]:
    """Return the markets of an argument; an empty list is refused."""
    codes = [symbols] if isinstance(symbols, str) else list(symbols) if isinstance(symbols, Iterable) else []
    if not codes:
        raise InvalidMarket(f"at least one market is needed, got {symbols!r}", suggestion="give for instance 'KRW-BTC'")
    return codes


async def tickers(codes: list[str], source: QuoteSource = "auto") -> Rows:
    """Return tickers as ``/v1/ticker`` sends them."""
    frame = await aio.ticker(codes, output="pandas", source=source)
    return Rows(rows.ticker_rows(frame), *of_route(frame))


async def orderbooks(codes: list[str], source: QuoteSource = "auto") -> Rows:
    """Return order books as ``/v1/orderbook`` sends them."""
    frame = await aio.orderbook(codes, output="pandas", source=source)
    answer = rows.book_rows(frame)
    if not answer:
        raise ApiError(f"the order book of {', '.join(codes)} is empty", suggestion="there are neither asks nor bids")
    return Rows(answer, *of_route(frame))


async def trades(codes: list[str], count: int, source: QuoteSource = "auto") -> Rows:
    """Return the newest trades of each market, newest first."""
    parts = []
    for code in codes:
        frame = await aio.trades(code, count=count, output="pandas", tz="UTC", source=source)
        parts.append(Rows(rows.trade_rows(frame, code.upper()), *of_route(frame)))
    return Rows.joined(parts)


async def candles(codes: list[str], interval: Any, count: int, to: Any = None) -> Rows:
    """Return candles as Upbit sends them, newest first, one market after the other.

    Without ``to`` the running candle is the first.
    """
    parts = []
    for code in codes:
        await aio.plan(code, interval, count=count, end=to)  # checks every argument, without a request
        parts.append(await _read_market(code.strip().upper(), interval, count, to))
    return Rows.joined(parts)


async def _read_market(market: str, interval: Any, count: int, to: Any) -> Rows:
    if to is not None:
        return await _range(market, interval, count, to)
    params = {"market": market, "count": str(min(PAGE, count))}
    page = await raw.candle_page(current(), interval, params)
    newest = Rows(page, "rest_api", "the running candle is always fetched")
    if len(page) < min(PAGE, count) or count <= PAGE:
        return newest
    older = await _range(market, interval, count - len(page), f"{page[-1]['candle_date_time_utc']}Z")
    return Rows(page + older.rows, newest.channel, newest.reason)


async def _range(market: str, interval: Any, count: int, to: Any) -> Rows:
    """Return the last candles before a moment: numbers and channel of the store, rows as Upbit sent them.

    The store does not keep the field ``timestamp``. Rows that are fetched here are kept in memory
    with it; what only an earlier process fetched has None there.
    """
    frame = await aio.candles(
        market, interval, end=to, count=count, forming=True, tz="UTC", output="pandas", progress=False
    )
    frame = frame[-count:]
    channel, reason = of_route(frame)
    key = (current().rest_url, market, frame.attrs["upbit_frames"]["interval"])
    times = pd.DatetimeIndex(frame.index).strftime("%Y-%m-%dT%H:%M:%S").tolist()
    with _lock:
        known = {time: _rows[*key, time] for time in times if (*key, time) in _rows}
    if len(known) < len(times) and channel != "cache":
        answer = await _pages(market, interval, len(times), times[-1])
        _keep(key, answer, raw.period_start(interval, frame.attrs["upbit_frames"]["fetched_at"]))
        return Rows(answer, channel, reason)
    texts = rows.candle_rows(frame, market, raw.unit_of(interval))
    return Rows([dict(known.get(row["candle_date_time_utc"], row)) for row in texts], channel, reason)


async def _pages(market: str, interval: str, count: int, newest: str) -> list[dict[str, Any]]:
    """Fetch so many rows up to the one that begins at ``newest``, as Upbit sends them."""
    answer: list[dict[str, Any]] = []
    moment = (pd.Timestamp(newest) + pd.Timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")  # exclusive
    while len(answer) < count:
        wanted = min(PAGE, count - len(answer))
        page = await raw.candle_page(current(), interval, {"market": market, "count": str(wanted), "to": moment})
        answer += page
        if len(page) < wanted:
            break
        moment = f"{page[-1]['candle_date_time_utc']}Z"
    return answer


def _keep(key: tuple[str, str, str], answer: list[dict[str, Any]], current_period: str) -> None:
    """Keep the rows that can no longer change: those that begin before the running period."""
    with _lock:
        for row in answer:
            time = row["candle_date_time_utc"]
            if time < current_period:
                _rows[*key, time] = dict(row)
        while len(_rows) > _KEPT:
            _rows.popitem(last=False)


def forget() -> None:
    """Drop the rows kept in memory; the store keeps its own."""
    with _lock:
        _rows.clear()


def kept_rows() -> int:
    """Return how many rows are kept in memory."""
    return len(_rows)


def positive(count: Any) -> int:
    """Return a count of at least 1."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise QueryError(f"count must be a whole number of at least 1, got {count!r}")
    return count
