"""Which markets the stand-in exchange lists, and how each of them trades. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from upbit_frames.core.intervals import Span, to_micros

__all__ = ["CAUTIONS", "DEFAULT_LISTINGS", "Listing", "default_listings", "many"]

CAUTIONS = (
    "PRICE_FLUCTUATIONS", "TRADING_VOLUME_SOARING", "DEPOSIT_AMOUNT_SOARING", "GLOBAL_PRICE_DIFFERENCES",
    "CONCENTRATION_OF_SMALL_ACCOUNTS",
)  # fmt: skip


def _day(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return to_micros(datetime(year, month, day, hour, minute, tzinfo=UTC))


@dataclass(frozen=True)
class Listing:
    """A market of the stand-in exchange and the character of its trading.

    Attributes
    ----------
    market : str
        Code such as ``KRW-BTC``.
    korean_name, english_name : str
    price : float
        Where the price begins, and what it keeps coming back to, in the quote currency.
    trades_per_day : float
        Trades of an average day; 0 for a market in which nothing ever trades.
    trade_value : float
        Typical worth of a trade, in the quote currency.
    volatility : float
        Standard deviation of a day's logarithmic return.
    steady : bool
        Nearly every minute has a trade (needs two trades a minute or more). Otherwise trades
        come in clusters with silence between.
    hole : float
        Share of minutes without a trade in a steady market.
    listed : int
        When trading began, in microseconds since the epoch, UTC.
    grown : int
        Until then (a UTC midnight) it has a tenth of its trades, in clusters.
    delisted : int or None
        From when on the exchange knows the market no more.
    silences : tuple of Span
        Ranges without any trade.
    warning : bool
        Investment warning (유의).
    cautions : tuple of str
        Names of the caution flags set, out of ``CAUTIONS``.
    factors : tuple of (str, float)
        What its days share with other markets: the name of a factor and its correlation with it, as far as the
        factors are independent of each other; the sum of their squares is at most 1.
    """

    market: str
    korean_name: str
    english_name: str
    price: float
    trades_per_day: float
    trade_value: float
    volatility: float = 0.03
    steady: bool = False
    hole: float = 0.003
    listed: int = _day(2017, 9, 25)
    grown: int = 0
    delisted: int | None = None
    silences: tuple[Span, ...] = ()
    warning: bool = False
    cautions: tuple[str, ...] = ()
    factors: tuple[tuple[str, float], ...] = ()


DEFAULT_LISTINGS: tuple[Listing, ...] = (
    Listing("KRW-BTC", "비트코인", "Bitcoin", 103_000_000, 4_300, 800_000, 0.022, True, 0.0005,
            grown=_day(2023, 1, 1)),
    Listing("KRW-ETH", "이더리움", "Ethereum", 3_025_000, 3_600, 500_000, 0.03, True, grown=_day(2023, 1, 1)),
    Listing("KRW-XRP", "엑스알피(리플)", "XRP", 2_045, 3_200, 300_000, 0.035, True, 0.004, grown=_day(2023, 1, 1)),
    Listing("KRW-DOGE", "도지코인", "Dogecoin", 298, 1_500, 200_000, 0.04, False, listed=_day(2021, 2, 24, 5)),
    Listing("KRW-SHIB", "시바이누", "Shiba Inu", 0.0185, 700, 60_000, 0.04, False, listed=_day(2021, 10, 14, 8),
            cautions=("TRADING_VOLUME_SOARING",)),
    Listing("KRW-USDT", "테더", "Tether", 1_463, 900, 400_000, 0.001, False, listed=_day(2023, 12, 8, 1)),
    Listing("KRW-ELF", "엘프", "aelf", 214, 60, 90_000, 0.045, False, listed=_day(2019, 9, 26, 6)),
    Listing("KRW-NEW", "새내기", "Newcomer", 512, 2_200, 150_000, 0.08, False, listed=_day(2026, 1, 15, 7),
            cautions=("PRICE_FLUCTUATIONS", "GLOBAL_PRICE_DIFFERENCES")),
    Listing("KRW-QUIET", "고요", "Quiet", 31.4, 25, 40_000, 0.03, False, listed=_day(2020, 3, 2, 4),
            silences=(Span(_day(2025, 12, 20), _day(2026, 2, 3, 9, 17)), Span(_day(2024, 5, 1, 3), _day(2024, 9, 1)))),
    Listing("KRW-GONE", "떠남", "Gone", 7.7, 300, 50_000, 0.07, False, listed=_day(2021, 6, 1, 5),
            delisted=_day(2025, 12, 22, 6), warning=True),
    Listing("KRW-EMPTY", "빈칸", "Empty", 100, 0, 0, 0.0, False, listed=_day(2026, 2, 20, 4)),
    Listing("BTC-ETH", "이더리움", "Ethereum", 0.0292, 40, 0.004, 0.015, False, listed=_day(2017, 9, 25)),
    Listing("BTC-XRP", "엑스알피(리플)", "XRP", 0.00001977, 6, 0.002, 0.02, False, listed=_day(2017, 9, 25)),
    Listing("USDT-BTC", "비트코인", "Bitcoin", 70_700, 120, 220, 0.022, False, listed=_day(2018, 5, 8, 4)),
    Listing("USDT-DOGE", "도지코인", "Dogecoin", 0.2041, 3, 90, 0.04, False, listed=_day(2021, 6, 11, 5)),
)  # fmt: skip

# Value of a won in the other exchanges' currencies, for prices of the right size only.
_WON = {"KRW": 1.0, "IDR": 11.3, "SGD": 0.00088, "THB": 0.0217}
_QUOTES = {"kr": "KRW", "sg": "SGD", "id": "IDR", "th": "THB"}


def default_listings(region: str = "kr", extra: int = 0) -> tuple[Listing, ...]:
    """Return the default markets of a region, with ``extra`` invented markets.

    Parameters
    ----------
    region : {"kr", "sg", "id", "th"}
    extra : int
        How many more markets, as of :func:`many`.
    """
    fiat = _QUOTES[region]
    listings = tuple(
        listing
        if not listing.market.startswith("KRW-")
        else replace(
            listing,
            market=listing.market.replace("KRW-", f"{fiat}-", 1),
            price=listing.price * _WON[fiat],
            trade_value=listing.trade_value * _WON[fiat],
        )
        for listing in DEFAULT_LISTINGS
    )
    return listings + many(extra, fiat)


def many(count: int, quote: str = "KRW") -> tuple[Listing, ...]:
    """Return so many more markets of modest trading, ``KRW-C001`` and so on.

    Examples
    --------
    >>> [listing.market for listing in many(2)]
    ['KRW-C001', 'KRW-C002']
    """
    return tuple(
        Listing(
            f"{quote}-C{number:03d}",
            f"코인{number:03d}",
            f"Coin {number:03d}",
            # Spread over six powers of ten, so that every band of the tick table is in use.
            price=float(f"{10 ** (number * 0.618 % 1 * 6 - 1):.4g}") * _WON.get(quote, 1.0),
            trades_per_day=40 + number * 37 % 300,
            trade_value=50_000 * _WON.get(quote, 1.0),
            volatility=0.02 + number % 7 * 0.01,
            listed=_day(2018 + number % 8, 1 + number % 12, 1 + number % 28, 4),
        )
        for number in range(1, count + 1)
    )
