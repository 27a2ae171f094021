"""Each quotation endpoint: parameters in, JSON text out, or an error with Upbit's message. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from upbit_frames.core import endpoints
from upbit_frames.core.intervals import INTERVALS, Interval, to_micros
from upbit_frames.testing.market.book import allowed_level
from upbit_frames.testing.market.columns import Candles, Trades
from upbit_frames.testing.market.generated import DAY_US
from upbit_frames.testing.market.model import MarketModel
from upbit_frames.testing.market.price_ticks import SCALE, quote_of
from upbit_frames.testing.server import rest_json as wire

__all__ = ["Quotation", "Refusal", "Route"]

_MOST_BOOK = 30
_MOST_TRADES = 500
_REACH_DAYS = 7
_TO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(Z|[+-]\d\d:\d\d)?")
_TIME_OF_DAY = re.compile(r"(\d\d):?(\d\d):?(\d\d)")
_BY_PATH = {f"/v1/{interval.path}": interval for interval in INTERVALS.values()}
_MINUTES = re.compile(r"/v1/candles/minutes/([^/]+)")

MISSING = "Missing request parameter error. Check the required parameters!"
MISMATCH = "Type mismatch error. Check the parameters type!"
INVALID = "Invalid parameter. Check the given value!"
BAD_UNIT = "specified unit is not valid."
NO_CODE = "Code not found"


@dataclass
class Refusal(Exception):
    """A 4xx with Upbit's message."""

    status: int
    message: str


class Route(NamedTuple):
    """An endpoint: limit group, the function that answers, and how the body is framed."""

    group: str
    answer: Callable[[dict[str, str], int], str]
    chunked: bool = True


class Quotation:
    """The quotation endpoints, each a function of parameters and virtual time."""

    def __init__(self, model: MarketModel, region: str, flat_change: str, seconds_reach: int) -> None:
        self._model = model
        self._korea = region == "kr"
        self._fiat = endpoints.REGIONS[region].quotes[0]
        self._flat = flat_change
        self._seconds_reach = seconds_reach
        self._routes = {
            "/v1/market/all": Route("market", self._markets),
            "/v1/trades/ticks": Route("crix-trades", self._trades),
            "/v1/ticker": Route("ticker", self._ticker),
            "/v1/ticker/all": Route("ticker", self._ticker_all),
            "/v1/orderbook": Route("orderbook", self._orderbook),
            "/v1/orderbook/instruments": Route("orderbook", self._instruments, chunked=False),
            "/v1/orderbook/supported_levels": Route("orderbook", self._supported_levels, chunked=False),
        }

    def route(self, path: str) -> Route | None:
        """Return the endpoint of a path; None for an unknown path."""
        if path in self._routes:
            return self._routes[path]
        if path in _BY_PATH:
            interval = _BY_PATH[path]
            return Route("candles", lambda params, now: self._candles(interval, params, now))
        unit = _MINUTES.fullmatch(path)
        if unit:
            return Route("candles", lambda params, now: _bad_unit(unit[1]))
        return None

    # --- parameters ---------------------------------------------------------------------------

    def _market(self, params: dict[str, str], now: int) -> str:
        """Return the requested market; a list counts as an unknown code."""
        market = _required(params, "market").upper()
        if self._model.listing(market, now) is None:
            raise Refusal(404, NO_CODE)
        return market

    def _market_list(self, params: dict[str, str], now: int) -> list[str]:
        """Return the requested markets, each once, in the order of the request."""
        codes = [code.strip().upper() for code in _required(params, "markets").split(",")]
        if any(self._model.listing(code, now) is None for code in codes):
            raise Refusal(404, NO_CODE)
        return list(dict.fromkeys(codes))

    # --- endpoints ----------------------------------------------------------------------------

    def _markets(self, params: dict[str, str], now: int) -> str:
        details = _boolean(params.get("is_details", params.get("isDetails")))
        listed = self._model.markets(now)
        return wire.rows(wire.market_row(listing, details=details, korea=self._korea) for listing in listed)

    def _candles(self, interval: Interval, params: dict[str, str], now: int) -> str:
        _required(params, "market")
        count = _count(params, endpoints.CANDLES_MAX_COUNT)
        to = min(_to(params.get("to")) or now, now)
        market = self._market(params, now)
        if interval.name == "1d":
            return self._days(market, to, count, now, params)
        candles = self._model.last_candles(market, interval, to, count, now)
        if interval.name == "1s":
            candles = candles[int((candles.time < now - self._seconds_reach).sum()) :]
        return wire.rows(wire.candle_rows(market, interval, candles, korea=self._korea))

    def _days(self, market: str, to: int, count: int, now: int, params: dict[str, str]) -> str:
        candles = self._model.last_candles(market, "1d", to, count + 1, now)
        closes = candles.close.tolist()
        # The very first day has no day before it: its own opening price replaces the close.
        previous = closes[:-1] if len(candles) > count else [*candles.open[:1].tolist(), *closes[:-1]]
        days = candles[len(candles) - len(previous) :]
        currency = params.get("converting_price_unit", params.get("convertingPriceUnit"))
        converted = None if not currency else self._converted(market, days, currency.upper(), now)
        rows = wire.candle_rows(
            market, INTERVALS["1d"], days, previous=previous, flat=self._flat, converted=converted, korea=self._korea
        )
        return wire.rows(rows)

    def _converted(self, market: str, days: Candles, currency: str, now: int) -> list[str]:
        """Return closes in won (or the region's money), through the quote currency's own market of the day."""
        if currency != self._fiat:
            raise Refusal(400, INVALID)
        through = f"{self._fiat}-{quote_of(market)}"
        if quote_of(market) == self._fiat or not len(days) or self._model.listing(through, now) is None:
            return ["null"] * len(days)
        bridge = self._model.candles(through, "1d", int(days.time[0]), int(days.time[-1]) + 1, now)
        rates = dict(zip(bridge.time.tolist(), bridge.close.tolist(), strict=True))
        return [
            wire.padded((close * rates[day] + SCALE // 2) // SCALE) if day in rates else "null"
            for day, close in zip(days.time.tolist(), days.close.tolist(), strict=True)
        ]

    def _trades(self, params: dict[str, str], now: int) -> str:
        _required(params, "market")
        count = _count(params, _MOST_TRADES)
        ago = _integer(params.get("days_ago", params.get("daysAgo"))) or 0
        if not 0 <= ago <= _REACH_DAYS:
            raise Refusal(400, INVALID)
        cursor = _integer(params.get("cursor"))
        until = _time_of_day(params.get("to"))
        market = self._market(params, now)
        day = now // DAY_US - ago
        start = day * DAY_US
        trades = self._model.trades(market, start, start + (DAY_US if until is None else until), now)
        if cursor is not None:
            trades = trades[: int(trades.sequential_id.searchsorted(cursor))]
        return wire.rows(self._trade_rows(market, trades[max(0, len(trades) - count) : len(trades)], day, now))

    def _trade_rows(self, market: str, trades: Trades, day: int, now: int) -> list[str]:
        if not len(trades):
            return []
        before = self._model.previous_close(market, day)
        if before is None:
            first = self._model.candles(market, "1d", day * DAY_US, day * DAY_US + 1, now)
            before = int(first.open[0])
        return wire.trade_rows(market, trades, before)

    def _ticker(self, params: dict[str, str], now: int) -> str:
        tickers = [self._model.ticker(market, now) for market in self._market_list(params, now)]
        return wire.rows(wire.ticker_row(ticker, korea=self._korea) for ticker in tickers if ticker is not None)

    def _ticker_all(self, params: dict[str, str], now: int) -> str:
        name = "quote_currencies" if "quote_currencies" in params else "quoteCurrencies"
        wanted = {code.strip().upper() for code in _required(params, name).split(",")}
        tickers = [
            self._model.ticker(listing.market, now)
            for listing in self._model.markets(now)
            if quote_of(listing.market) in wanted
        ]
        traded = [ticker for ticker in tickers if ticker is not None]
        # The order over several quotes is not documented; the amounts are compared as they stand.
        return wire.rows(
            wire.ticker_row(ticker, korea=self._korea)
            for ticker in sorted(traded, key=lambda ticker: -ticker.value_24h)
        )

    def _orderbook(self, params: dict[str, str], now: int) -> str:
        _required(params, "markets")
        count = _count(params, _MOST_BOOK, default=_MOST_BOOK)
        level = _level(params.get("level"))
        if "level" in params and not self._korea:
            raise Refusal(400, INVALID)
        rows = []
        for market in self._market_list(params, now):
            price = self._price(market, now)
            if level and not allowed_level(market, price, level):
                continue
            book = self._model.book(market, now).grouped(level)
            rows.append(wire.orderbook_row(market, book, count, with_level=self._korea))
        return wire.rows(rows)

    def _price(self, market: str, now: int) -> int:
        """Return the last price; before the first trade the price the market was listed at."""
        last = self._model.last_trade(market, now)
        if len(last):
            return int(last.price[0])
        listing = self._model.listing(market, now)
        assert listing is not None
        return max(1, round(listing.price * SCALE))

    def _instruments(self, params: dict[str, str], now: int) -> str:
        codes = self._market_list(params, now)
        return wire.rows(wire.instrument_row(market, self._price(market, now)) for market in codes)

    def _supported_levels(self, params: dict[str, str], now: int) -> str:
        codes = self._market_list(params, now)
        return wire.rows(wire.levels_row(market, self._price(market, now)) for market in codes)


def _bad_unit(unit: str) -> str:
    raise Refusal(400, BAD_UNIT if re.fullmatch(r"[+-]?\d+", unit) else MISMATCH)


def _required(params: dict[str, str], name: str) -> str:
    if not params.get(name):
        raise Refusal(400, MISSING)
    return params[name]


def _integer(text: str | None) -> int | None:
    """Return the number; None for an absent or empty parameter."""
    if text is None or text == "":
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise Refusal(400, MISMATCH)
    return int(text)


def _count(params: dict[str, str], most: int, default: int = 1) -> int:
    """Return how many rows to send: at most ``most`` without an error, and at least one."""
    count = _integer(params.get("count"))
    if count is None:
        return default
    if count <= 0:
        raise Refusal(400, INVALID)
    return min(count, most)


def _boolean(text: str | None) -> bool:
    if not text:
        return False
    word = text.lower()
    if word not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise Refusal(400, MISMATCH)
    return word in ("true", "1", "yes", "on")


def _to(text: str | None) -> int | None:
    """Parse the four documented spellings, also with a fraction of a second; those without a zone are UTC."""
    if not text:
        return None
    match = _TO.fullmatch(text)
    if match is None:
        raise Refusal(400, INVALID)
    zone = match[3] or "Z"
    try:
        when = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}")
        return to_micros(when.astimezone(UTC))
    except (ValueError, OverflowError):
        raise Refusal(400, INVALID) from None


def _time_of_day(text: str | None) -> int | None:
    """Parse ``HHmmss`` or ``HH:mm:ss`` as microseconds after midnight."""
    if not text:
        return None
    match = _TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise Refusal(400, INVALID)
    hours, minutes, seconds = (int(part) for part in match.groups())
    if hours > 23 or minutes > 59 or seconds > 59:
        raise Refusal(400, INVALID)
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000


def _level(text: str | None) -> int:
    """Parse a price level in units of 1e-8."""
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,10}(\.\d{1,8})?", text):
        raise Refusal(400, INVALID)
    whole, _, fraction = text.partition(".")
    return int(whole) * SCALE + int(fraction.ljust(8, "0"))
