"""How Upbit spells its answers: key order and digits (upbit-api 2.5 and 3), as text. No I/O.

Numbers are Java BigDecimals: as many decimals as their scale, padded with zeros, and an exponent
below 1e-6 (``9.9E-7``, ``0E-8``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np

from upbit_frames.core.intervals import Interval
from upbit_frames.testing.market.book import Book
from upbit_frames.testing.market.columns import Candles, Ints, Trades
from upbit_frames.testing.market.generated import DAY_MS
from upbit_frames.testing.market.listings import CAUTIONS, Listing
from upbit_frames.testing.market.price_ticks import SCALE, quote_of, supported_levels, tick_size
from upbit_frames.testing.market.quotes import Ticker

__all__ = [
    "candle_rows",
    "decimal",
    "error",
    "instrument_row",
    "market_row",
    "orderbook_row",
    "padded",
    "plain",
    "rate",
    "rows",
    "stripped",
    "ticker_row",
    "trade_rows",
]

_KST_US = 9 * 3_600_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_RATE_SCALE = 10
_RATE_ONE = 10_000_000_000


def decimal(units: int, scale: int) -> str:
    """Return ``units`` x 10^-scale as Java's ``BigDecimal.toString`` spells it.

    Examples
    --------
    >>> decimal(10_346_000_000_000_000, 8), decimal(99, 8), decimal(0, 8), decimal(105060683, 10)
    ('103460000.00000000', '9.9E-7', '0E-8', '0.0105060683')
    """
    sign, digits = ("-", str(-units)) if units < 0 else ("", str(units))
    exponent = len(digits) - 1 - scale
    if exponent < -6:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}E{exponent}"
    digits = digits.rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def padded(units: int) -> str:
    """Return a price, volume or amount of 1e-8 with its 8 decimals."""
    if units >= 100:
        digits = str(units) if units >= SCALE else f"{units:09d}"
        return f"{digits[:-8]}.{digits[-8:]}"
    return decimal(units, 8)


def _padded_all(column: Ints) -> list[str]:
    """Apply :func:`padded` to every number; much faster where all are whole, as most prices in won are."""
    whole = column // SCALE
    if (whole * SCALE == column).all() and (column > 0).all():
        return [f"{number}.00000000" for number in whole.tolist()]
    return [padded(number) for number in column.tolist()]


def plain(units: int) -> str:
    """Return a number of 1e-8 without padding and without exponent, as the order book has it."""
    whole, rest = divmod(units, SCALE)
    return f"{whole}.{rest:08d}".rstrip("0") if rest else str(whole)


def stripped(units16: int) -> str:
    """Return an amount of 1e-16 rounded to 8 decimals, halves up, without padding: ``acc_trade_price_24h``."""
    return plain((units16 + SCALE // 2) // SCALE)


def rate(change: int, previous: int) -> int:
    """Return ``change / previous`` in units of 1e-10, halves rounded away from zero."""
    size = (2 * abs(change) * _RATE_ONE + previous) // (2 * previous)
    return size if change >= 0 else -size


def rows(items: Iterable[str]) -> str:
    """Return a JSON array of rows."""
    return f"[{','.join(items)}]"


def error(name: int | str, message: str) -> str:
    """Return the body of a refusal; quotation endpoints name it by the status, the gateway by a word."""
    return json.dumps({"error": {"name": name, "message": message}}, separators=(",", ":"), ensure_ascii=False)


# --- candles ----------------------------------------------------------------------------------


def candle_rows(
    market: str,
    interval: Interval,
    candles: Candles,
    *,
    previous: Sequence[int] = (),
    flat: str = "null",
    converted: Sequence[str] | None = None,
    korea: bool = True,
) -> list[str]:
    """Return candles as JSON objects, newest first.

    Parameters
    ----------
    market : str
    interval : Interval
        Decides which further keys there are.
    candles : Candles
        Ascending.
    previous : sequence of int
        For day candles: the close before each, in 1e-8.
    flat : str
        What ``change_price`` says on a day without change.
    converted : sequence of str, optional
        For day candles: ``converted_trade_price`` of each, spelt.
    korea : bool
        Only there candles say their time in Korea too.
    """
    utc = np.datetime_as_string(candles.time.astype("datetime64[us]"), unit="s").tolist()
    local = np.datetime_as_string((candles.time + _KST_US).astype("datetime64[us]"), unit="s").tolist()
    kst = [f',"candle_date_time_kst":"{stamp}"' if korea else "" for stamp in local]
    prices = (_padded_all(column) for column in (candles.open, candles.high, candles.low, candles.close))
    columns = zip(utc, kst, *prices, candles.timestamp.tolist(), candles.value, candles.volume, strict=True)
    head = f'{{"market":"{market}","candle_date_time_utc":"'
    ends = _ends(interval, utc, candles, previous, flat, converted)
    lines = [
        f'{head}{start}"{local},"opening_price":{o},"high_price":{h},'
        f'"low_price":{low},"trade_price":{c},"timestamp":{stored},'
        f'"candle_acc_trade_price":{padded(value)},"candle_acc_trade_volume":{padded(volume)}{end}'
        for (start, local, o, h, low, c, stored, value, volume), end in zip(columns, ends, strict=True)
    ]
    return lines[::-1]


def _ends(
    interval: Interval,
    utc: list[str],
    candles: Candles,
    previous: Sequence[int],
    flat: str,
    converted: Sequence[str] | None,
) -> list[str]:
    """Return the fields that follow the common fields of each candle, with the closing brace."""
    if interval.unit is not None:
        return [f',"unit":{interval.unit}}}'] * len(utc)
    if interval.name in ("1w", "1M", "1y"):
        return [f',"first_day_of_period":"{start[:10]}"}}' for start in utc]
    if interval.name != "1d":
        return ["}"] * len(utc)
    ends = []
    for row, (close, before) in enumerate(zip(candles.close.tolist(), previous, strict=True)):
        change = close - before
        spelt = (padded(change), decimal(rate(change, before), _RATE_SCALE)) if change else (flat, "0")
        extra = "" if converted is None else f',"converted_trade_price":{converted[row]}'
        ends.append(
            f',"prev_closing_price":{padded(before)},"change_price":{spelt[0]},"change_rate":{spelt[1]}{extra}}}'
        )
    return ends


# --- trades -----------------------------------------------------------------------------------


def trade_rows(market: str, trades: Trades, previous_close: int) -> list[str]:
    """Return the trades of a UTC day as JSON objects, newest first; the close before that day in 1e-8."""
    utc = np.datetime_as_string(trades.ms.astype("datetime64[ms]"), unit="s").tolist()
    columns = zip(
        utc,
        trades.ms.tolist(),
        _padded_all(trades.price),
        _padded_all(trades.price - previous_close),
        trades.volume.tolist(),
        trades.bid.tolist(),
        trades.sequential_id.tolist(),
        strict=True,
    )
    before = padded(previous_close)
    lines = [
        f'{{"market":"{market}","trade_date_utc":"{time[:10]}","trade_time_utc":"{time[11:]}","timestamp":{ms},'
        f'"trade_price":{price},"trade_volume":{padded(volume)},"prev_closing_price":{before},'
        f'"change_price":{change},"ask_bid":"{"BID" if bid else "ASK"}",'
        f'"sequential_id":{sequential}}}'
        for time, ms, price, change, volume, bid, sequential in columns
    ]
    return lines[::-1]


# --- quotes -----------------------------------------------------------------------------------


def ticker_row(ticker: Ticker, *, korea: bool = True) -> str:
    """Return a row of ticker or ticker/all; Korean rows also state the time of the last trade in Korea."""
    utc, kst = _stamp(ticker.trade_ms), _stamp(ticker.trade_ms + _KST_US // 1000)
    local = f'"trade_date_kst":"{kst[0]}","trade_time_kst":"{kst[1]}",' if korea else ""
    change = ticker.change
    word = "RISE" if change > 0 else "FALL" if change < 0 else "EVEN"
    signed, signed_rate = "0", "0"
    size, size_rate = "0", "0"
    if change:
        share = rate(change, ticker.previous_close)
        signed, signed_rate = padded(change), decimal(share, _RATE_SCALE)
        size, size_rate = padded(abs(change)), decimal(abs(share), _RATE_SCALE)
    return (
        f'{{"market":"{ticker.market}","trade_date":"{utc[0]}","trade_time":"{utc[1]}",{local}'
        f'"trade_timestamp":{ticker.trade_ms},"opening_price":{padded(ticker.open)},'
        f'"high_price":{padded(ticker.high)},"low_price":{padded(ticker.low)},"trade_price":{padded(ticker.price)},'
        f'"prev_closing_price":{padded(ticker.previous_close)},"change":"{word}","change_price":{size},'
        f'"change_rate":{size_rate},"signed_change_price":{signed},"signed_change_rate":{signed_rate},'
        f'"trade_volume":{padded(ticker.volume)},"acc_trade_price":{decimal(ticker.day_value, 16)},'
        f'"acc_trade_price_24h":{stripped(ticker.value_24h)},"acc_trade_volume":{padded(ticker.day_volume)},'
        f'"acc_trade_volume_24h":{padded(ticker.volume_24h)},"highest_52_week_price":{padded(ticker.high_52w)},'
        f'"highest_52_week_date":"{_date(ticker.high_52w_day)}","lowest_52_week_price":{padded(ticker.low_52w)},'
        f'"lowest_52_week_date":"{_date(ticker.low_52w_day)}","timestamp":{ticker.ms}}}'
    )


def _stamp(ms: int) -> tuple[str, str]:
    """Date ``yyyyMMdd`` and time ``HHmmss`` of a moment."""
    seconds = ms // 1000 % 86_400
    day = date.fromordinal(ms // DAY_MS + _EPOCH_ORDINAL)
    return f"{day:%Y%m%d}", f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"


def _date(day: int) -> str:
    return date.fromordinal(day + _EPOCH_ORDINAL).isoformat()


def orderbook_row(market: str, book: Book, count: int, *, with_level: bool = True) -> str:
    """Return a row of orderbook: ``count`` units, zeros where a side is shorter; totals of these units."""
    units = book.units(count)
    asks, bids = sum(unit[1] for unit in units), sum(unit[3] for unit in units)
    spelt = ",".join(
        f'{{"bid_price":{plain(bid)},"bid_size":{plain(bid_size)},"ask_price":{plain(ask)},"ask_size":{plain(ask_size)}}}'
        for ask, ask_size, bid, bid_size in units
    )
    level = f',"level":{plain(book.level)}' if with_level else ""
    return (
        f'{{"market":"{market}","timestamp":{book.ms},"total_ask_size":{plain(asks)},"total_bid_size":{plain(bids)},'
        f'"orderbook_units":[{spelt}]{level}}}'
    )


def instrument_row(market: str, price: int) -> str:
    """Return a row of orderbook/instruments; the tick is that of the price (in 1e-8)."""
    quote = quote_of(market)
    levels = ",".join(f'"{plain(level)}"' for level in supported_levels(quote, price))
    return (
        f'{{"market":"{market}","quote_currency":"{quote}","tick_size":"{plain(tick_size(quote, price))}",'
        f'"supported_levels":[{levels}]}}'
    )


def levels_row(market: str, price: int) -> str:
    """Return a row of the deprecated orderbook/supported_levels."""
    levels = ",".join(plain(level) for level in supported_levels(quote_of(market), price))
    return f'{{"market":"{market}","supported_levels":[{levels}]}}'


def market_row(listing: Listing, *, details: bool, korea: bool) -> str:
    """Return a row of market/all; other regions have no Korean name and a one-word warning."""
    row: dict[str, object] = {"market": listing.market}
    if korea:
        row["korean_name"] = listing.korean_name
    row["english_name"] = listing.english_name
    if details and korea:
        flags = {name: name in listing.cautions for name in CAUTIONS}
        row["market_event"] = {"warning": listing.warning, "caution": flags}
    elif details:
        row["market_warning"] = "CAUTION" if listing.warning else "NONE"
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False)
