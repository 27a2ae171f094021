"""How Upbit spells the frames of its WebSocket: key order and digits (upbit-api 6.5 to 6.9; pure).

A frame is built as pairs of key and spelt value; the short keys of ``SIMPLE`` come from the one
table that the reader of frames uses too, and Upbit's own client checks that table in the tests.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from upbit_frames.exchange.wire.messages import SIMPLE_KEYS
from upbit_frames.testing.market.book import Book
from upbit_frames.testing.market.columns import Candles, Trades
from upbit_frames.testing.market.generated import DAY_MS
from upbit_frames.testing.market.listings import Listing
from upbit_frames.testing.market.price_ticks import SCALE
from upbit_frames.testing.market.quotes import Ticker
from upbit_frames.testing.server.rest_json import decimal, padded, plain, rate, stripped

__all__ = ["ERRORS", "candle_frame", "error_frame", "java_double", "orderbook_frame", "ticker_frame", "trade_frame"]

Pairs = list[tuple[str, str]]
_KST_MS = 9 * 3_600_000

# Korean and English texts of each error. An error that was never captured has the same text in both.
ERRORS: dict[str, tuple[str, str]] = {
    "WRONG_FORMAT": ("Format 이 맞지 않습니다.", "Requested using wrong format."),
    "NO_TICKET": ("티켓이 존재하지 않거나, 유효하지 않습니다.", "Ticket field must be contained."),
    "NO_TYPE": ("type field not exists.", "type field not exists."),
    "NO_CODES": ("codes field not exists.", "codes field not exists."),
    "INVALID_PARAM": ("{value} 은 지원하지 않는 타입입니다.", "type {value} is not supported."),
    "INVALID_AUTH": ("인증 정보가 올바르지 않습니다.", "Invalid authentication."),
    "Too Many Requests": ("Too Many Requests", "Too Many Requests"),
    "I'm a teapot": ("I'm a teapot", "I'm a teapot"),
}


def error_frame(name: str, *, korea: bool, value: str = "") -> str:
    """Return an error frame, in the language of the region."""
    texts = ERRORS.get(name, (name, name))
    message = texts[0 if korea else 1].replace("{value}", value)
    return json.dumps({"error": {"name": name, "message": message}}, separators=(",", ":"), ensure_ascii=False)


def java_double(units: int) -> str:
    """Return a number of 1e-8 as Java's ``Double.toString`` has it: an exponent from 1e7 on and below 1e-3.

    Examples
    --------
    >>> java_double(116_539_000 * SCALE), java_double(79_276), java_double(4_500 * SCALE), java_double(0)
    ('1.16539E8', '7.9276E-4', '4500.0', '0')
    """
    if units == 0:
        return "0"  # an empty slot
    if SCALE // 1000 <= units < 10_000_000 * SCALE:
        text = plain(units)
        return text if "." in text else f"{text}.0"
    digits = str(units)
    exponent = len(digits) - 1 - 8
    return f"{digits[0]}.{digits[1:].rstrip('0') or '0'}E{exponent}"


def _spelt(kind: str, pairs: Pairs, simple: bool) -> str:
    if simple:
        short = SIMPLE_KEYS[kind]
        pairs = [(short[key], value) for key, value in pairs]
    return "{" + ",".join([f'"{key}":{value}' for key, value in pairs]) + "}"


def _text(ms: int, form: str) -> str:
    return f'"{datetime.fromtimestamp(ms // 1000, UTC):{form}}"'


def _day(days: int) -> str:
    return _text(days * DAY_MS, "%Y-%m-%d")


def _word(change: int) -> str:
    return '"RISE"' if change > 0 else '"FALL"' if change < 0 else '"EVEN"'


def ticker_frame(ticker: Ticker, listing: Listing, stream_type: str, *, at: int, simple: bool) -> str:
    """Return a ticker frame; ``at`` is its time in milliseconds."""
    change = ticker.change
    share = rate(change, ticker.previous_close) if change else 0
    warning = '"CAUTION"' if listing.warning else '"NONE"'
    pairs = [
        ("type", '"ticker"'), ("code", f'"{ticker.market}"'), ("opening_price", padded(ticker.open)),
        ("high_price", padded(ticker.high)), ("low_price", padded(ticker.low)), ("trade_price", padded(ticker.price)),
        ("prev_closing_price", padded(ticker.previous_close)), ("acc_trade_price", decimal(ticker.day_value, 16)),
        ("change", _word(change)), ("change_price", padded(abs(change))), ("signed_change_price", padded(change)),
        ("change_rate", decimal(abs(share), 10) if change else "0"),
        ("signed_change_rate", decimal(share, 10) if change else "0"),
        ("ask_bid", '"BID"' if ticker.bid else '"ASK"'), ("trade_volume", padded(ticker.volume)),
        ("acc_trade_volume", padded(ticker.day_volume)), ("trade_date", _text(ticker.trade_ms, "%Y%m%d")),
        ("trade_time", _text(ticker.trade_ms, "%H%M%S")), ("trade_timestamp", str(ticker.trade_ms)),
        ("acc_ask_volume", padded(ticker.day_volume - ticker.day_bid_volume)),
        ("acc_bid_volume", padded(ticker.day_bid_volume)),
        ("highest_52_week_price", padded(ticker.high_52w)), ("highest_52_week_date", _day(ticker.high_52w_day)),
        ("lowest_52_week_price", padded(ticker.low_52w)), ("lowest_52_week_date", _day(ticker.low_52w_day)),
        ("market_state", '"ACTIVE"'), ("is_trading_suspended", "false"), ("delisting_date", "null"),
        ("market_warning", warning), ("timestamp", str(at)), ("acc_trade_price_24h", stripped(ticker.value_24h)),
        ("acc_trade_volume_24h", padded(ticker.volume_24h)), ("stream_type", f'"{stream_type}"'),
    ]  # fmt: skip
    return _spelt("ticker", pairs, simple)


def trade_frame(
    market: str, trades: Trades, row: int, previous: int, book: Book, stream_type: str, *, at: int, simple: bool
) -> str:
    """Return the frame of a trade, with the close of the day before and the book after it."""
    ms, price = int(trades.ms[row]), int(trades.price[row])
    change = price - previous
    ask, ask_size, bid, bid_size = book.units(1)[0]
    pairs = [
        ("type", '"trade"'), ("code", f'"{market}"'), ("timestamp", str(at)), ("trade_date", _text(ms, "%Y-%m-%d")),
        ("trade_time", _text(ms, "%H:%M:%S")), ("trade_timestamp", str(ms)), ("trade_price", padded(price)),
        ("trade_volume", padded(int(trades.volume[row]))), ("ask_bid", '"BID"' if trades.bid[row] else '"ASK"'),
        ("prev_closing_price", padded(previous)), ("change", _word(change)), ("change_price", padded(abs(change))),
        ("sequential_id", str(int(trades.sequential_id[row]))), ("best_ask_price", plain(ask)),
        ("best_ask_size", plain(ask_size)), ("best_bid_price", plain(bid)), ("best_bid_size", plain(bid_size)),
        ("stream_type", f'"{stream_type}"'),
    ]  # fmt: skip
    return _spelt("trade", pairs, simple)


def orderbook_frame(
    market: str, book: Book, count: int, stream_type: str, *, simple: bool, with_level: bool = True
) -> str:
    """Return a book frame; the two formats spell its numbers differently."""
    units = book.units(count)
    price, size = (plain, java_double) if simple else (java_double, padded)
    spelt = ",".join(
        _spelt(
            "orderbook",
            [("ask_price", price(ask)), ("bid_price", price(bid)), ("ask_size", size(a)), ("bid_size", size(b))],
            simple,
        )
        for ask, a, bid, b in units
    )
    pairs = [
        ("type", '"orderbook"'), ("code", f'"{market}"'), ("timestamp", str(book.ms)),
        ("total_ask_size", size(sum(unit[1] for unit in units))),
        ("total_bid_size", size(sum(unit[3] for unit in units))),
        ("orderbook_units", f"[{spelt}]"), ("stream_type", f'"{stream_type}"'),
    ]  # fmt: skip
    if with_level:
        pairs.append(("level", plain(book.level)))
    return _spelt("orderbook", pairs, simple)


def candle_frame(
    type_: str, market: str, candles: Candles, stream_type: str, *, simple: bool, korea: bool = True
) -> str:
    """Return the frame of the last of the candles; only Korean frames state the time in Korea."""
    start = int(candles.time[-1]) // 1000
    form = "%Y-%m-%dT%H:%M:%S"
    local = [("candle_date_time_kst", _text(start + _KST_MS, form))] if korea else []
    pairs = [
        ("type", f'"{type_}"'), ("code", f'"{market}"'), ("candle_date_time_utc", _text(start, form)),
        *local, ("opening_price", padded(int(candles.open[-1]))),
        ("high_price", padded(int(candles.high[-1]))), ("low_price", padded(int(candles.low[-1]))),
        ("trade_price", padded(int(candles.close[-1]))), ("candle_acc_trade_volume", padded(candles.volume[-1])),
        ("candle_acc_trade_price", padded(candles.value[-1])), ("timestamp", str(int(candles.timestamp[-1]))),
        ("stream_type", f'"{stream_type}"'),
    ]  # fmt: skip
    return _spelt("candle", pairs, simple)
