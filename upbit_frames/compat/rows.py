"""Frames as rows of plain Python values, the way other libraries and Upbit itself spell them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["book_rows", "candle_rows", "ccxt_rows", "market_rows", "ticker_rows", "trade_rows"]

_KST = "Asia/Seoul"
_UNITS = 30  # price levels of a book as REST sends it; a shorter side is padded with zeros
CAUTIONS = (
    "PRICE_FLUCTUATIONS", "TRADING_VOLUME_SOARING", "DEPOSIT_AMOUNT_SOARING", "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
)  # fmt: skip
_CANDLE = {
    "opening_price": "open", "high_price": "high", "low_price": "low", "trade_price": "close",
    "candle_acc_trade_price": "value", "candle_acc_trade_volume": "volume",
}  # fmt: skip


def ccxt_rows(candles: pd.DataFrame) -> list[list[Any]]:
    """Return candles as ccxt's ``fetch_ohlcv`` gives them.

    Parameters
    ----------
    candles : pandas.DataFrame
        Of one market, from ``uf.candles``.

    Returns
    -------
    list of list
        ``[milliseconds UTC, open, high, low, close, volume]``, oldest first; int and floats.

    Examples
    --------
    >>> import pandas as pd
    >>> time = pd.DatetimeIndex(["2026-03-01 09:00+09:00"], name="time")
    >>> ccxt_rows(pd.DataFrame({"open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0, "volume": 0.5}, time))
    [[1772323200000, 1.0, 2.0, 1.0, 2.0, 0.5]]
    """
    times = _millis(candles.index)
    numbers = (candles[name].tolist() for name in ("open", "high", "low", "close", "volume"))
    return [list(row) for row in zip(times, *numbers, strict=True)]


def _millis(times: Any) -> list[int]:
    """Return milliseconds since the epoch of aware times."""
    index = pd.DatetimeIndex(times)
    return [value // 1000 for value in index.as_unit("us").asi8.tolist()]


def _plain(number: float) -> int | float:
    """Return a number as an order book spells it: whole ones without a point, nothing as zero."""
    if number != number:  # a side that is shorter has none
        return 0
    return int(number) if float(number).is_integer() else float(number)


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Return rows as dicts of plain Python values, the index among them."""
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    for place, name in enumerate(frame.index.names):
        columns[str(name)] = frame.index.get_level_values(place).tolist()
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def ticker_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return tickers of ``uf.ticker`` as ``/v1/ticker`` sends them."""
    return [_ticker(row) for row in _rows(frame)]


def _ticker(row: dict[str, Any]) -> dict[str, Any]:
    utc = pd.Timestamp(row["time"]).tz_convert("UTC")
    kst = utc.tz_convert(_KST)
    even = row["change"] == "EVEN"  # spelt as a plain 0
    signed, rate = (0, 0) if even else (row["change_price"], row["change_rate"])
    return {
        "market": row["market"],
        "trade_date": utc.strftime("%Y%m%d"),
        "trade_time": utc.strftime("%H%M%S"),
        "trade_date_kst": kst.strftime("%Y%m%d"),
        "trade_time_kst": kst.strftime("%H%M%S"),
        "trade_timestamp": _stamp(row["time"]),
        "opening_price": row["open"],
        "high_price": row["high"],
        "low_price": row["low"],
        "trade_price": row["price"],
        "prev_closing_price": row["prev_close"],
        "change": row["change"],
        "change_price": abs(signed),
        "change_rate": abs(rate),
        "signed_change_price": signed,
        "signed_change_rate": rate,
        "trade_volume": row["volume"],
        "acc_trade_price": row["value"],
        "acc_trade_price_24h": _plain(row["value_24h"]),  # the one amount of a ticker without padding
        "acc_trade_volume": row["volume_day"],
        "acc_trade_volume_24h": row["volume_24h"],
        "highest_52_week_price": row["high_52w"],
        "highest_52_week_date": _day(row["high_52w_date"]),
        "lowest_52_week_price": row["low_52w"],
        "lowest_52_week_date": _day(row["low_52w_date"]),
        "timestamp": _stamp(row["updated"]),
    }


def _stamp(time: Any) -> int:
    return _millis([time])[0]


def _day(day: Any) -> str | None:
    return None if pd.isna(day) else pd.Timestamp(day).strftime("%Y-%m-%d")


def book_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return order books of ``uf.orderbook`` as ``/v1/orderbook`` sends them."""
    books: dict[str, dict[str, Any]] = {}
    for row in _rows(frame):
        book = books.get(row["market"])
        if book is None:
            book = books[row["market"]] = {
                "market": row["market"],
                "timestamp": _stamp(row["time"]),
                "total_ask_size": _plain(row["total_ask_size"]),
                "total_bid_size": _plain(row["total_bid_size"]),
                "orderbook_units": [],
            }
            if row["grouping"] == row["grouping"]:  # present in Korea only
                book["level"] = _plain(row["grouping"])
        names = ("bid_price", "bid_size", "ask_price", "ask_size")
        book["orderbook_units"].append({name: _plain(row[name]) for name in names})
    for book in books.values():
        units = book["orderbook_units"]
        units += [
            dict.fromkeys(("bid_price", "bid_size", "ask_price", "ask_size"), 0) for _ in range(len(units), _UNITS)
        ]
    return list(books.values())


def market_rows(frame: pd.DataFrame, *, details: bool) -> list[dict[str, Any]]:
    """Return markets of ``uf.markets`` as ``/v1/market/all`` sends them."""
    result = []
    for row in _rows(frame):
        market = {"market": row["market"]}
        korea = isinstance(row["korean_name"], str)
        if korea:
            market["korean_name"] = row["korean_name"]
        market["english_name"] = row["english_name"]
        if details and korea:
            cautions = [str(name) for name in row["cautions"]]
            flags = {name: name in cautions for name in CAUTIONS} | dict.fromkeys(cautions, True)
            market["market_event"] = {"warning": bool(row["warning"]), "caution": flags}
        elif details:
            market["market_warning"] = "CAUTION" if row["warning"] else "NONE"
        result.append(market)
    return result


def trade_rows(frame: pd.DataFrame, market: str) -> list[dict[str, Any]]:
    """Return trades of ``uf.trades`` with Upbit's field names, newest first, as far as the frame has them."""
    rows = [
        {
            "market": market,
            "trade_date_utc": time.strftime("%Y-%m-%d"),
            "trade_time_utc": time.strftime("%H:%M:%S"),
            "timestamp": _stamp(time),
            "trade_price": row["price"],
            "trade_volume": row["volume"],
            "ask_bid": row["side"].upper(),
            "sequential_id": None if pd.isna(row["sequential_id"]) else int(row["sequential_id"]),
        }
        for row in _rows(frame)
        for time in [pd.Timestamp(row["time"]).tz_convert("UTC")]
    ]
    return rows[::-1]


def candle_rows(frame: pd.DataFrame, market: str, unit: int | None) -> list[dict[str, Any]]:
    """Return candles of ``uf.candles`` with Upbit's field names, newest first.

    ``timestamp`` (of the last trade) is None, because a stored candle does not keep it.
    """
    rows = []
    for row in _rows(frame):
        utc = pd.Timestamp(row["time"]).tz_convert("UTC")
        candle: dict[str, Any] = {
            "market": market,
            "candle_date_time_utc": utc.strftime("%Y-%m-%dT%H:%M:%S"),
            "candle_date_time_kst": utc.tz_convert(_KST).strftime("%Y-%m-%dT%H:%M:%S"),
        }
        candle |= {field: row[column] for field, column in list(_CANDLE.items())[:4]}
        candle["timestamp"] = None
        candle |= {field: row[column] for field, column in list(_CANDLE.items())[4:]}
        if unit is not None:
            candle["unit"] = unit
        rows.append(candle)
    return rows[::-1]
