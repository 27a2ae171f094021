"""Which markets a call is about: codes, Korean names, or every market of a quote currency (pure).

The one place that reads ``market``, ``markets`` and ``quote`` arguments. What needs the exchange's list of
markets is left to :mod:`upbit_frames.router.market_selection`.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from upbit_frames.core.markets import FIAT, QUOTES, codes_in, parse_market, parse_quote
from upbit_frames.errors import InvalidMarket, MarketNotFound, QueryError

__all__ = ["MarketSelection", "code_named", "parse_one", "parse_selection"]

_NAME = re.compile(r"\w[\w .,()&'+-]*")
_CURRENCIES = QUOTES[:-1]  # "BTC" alone may be meant as a market; as a quote currency it has to be given as one


@dataclass(frozen=True)
class MarketSelection:
    """The markets of a call, checked as far as they can be without the exchange's list.

    Attributes
    ----------
    markets : tuple of str
        Codes in upper case and Korean names, in the order given, without repetition.
    quotes : tuple of str
        Quote currencies, of which every market is meant.
    many : bool
        Whether several could be given; then results name the market of each row.
    """

    markets: tuple[str, ...]
    quotes: tuple[str, ...] = ()
    many: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The Korean names among the markets."""
        return tuple(market for market in self.markets if not market.isascii())

    @property
    def settled(self) -> bool:
        """Whether the markets are codes already, so that the exchange's list is not needed."""
        return not self.quotes and not self.names

    def resolved(self, codes: tuple[str, ...]) -> MarketSelection:
        """Return the selection of these codes, which are what it means."""
        return MarketSelection(codes, many=self.many)

    @property
    def title(self) -> str:
        """A short text for progress bars."""
        named = [f"{quote} markets" for quote in self.quotes] + list(self.markets)
        return ", ".join(named[:3]) + (" …" if len(named) > 3 else "")


def parse_selection(markets: Any, quote: Any = None, *, currencies: bool = False) -> MarketSelection:
    """Read the arguments that say which markets a call is about.

    Parameters
    ----------
    markets : str, iterable of str, or a frame, table, index or series of markets
        Codes such as ``"KRW-BTC"`` and Korean names such as ``"비트코인"``; of a frame the index level or
        column ``market``.
    quote : str, optional
        A quote currency, instead of ``markets``.
    currencies : bool
        Whether a quote currency may stand among the markets, for all of its own.

    Raises
    ------
    InvalidMarket, QueryError
        If both or neither are given, there is no market in it, or one is malformed.

    Examples
    --------
    >>> parse_selection(["krw-btc", "KRW-ETH"]).markets
    ('KRW-BTC', 'KRW-ETH')
    >>> parse_selection(None, "krw").quotes
    ('KRW',)
    """
    if isinstance(markets, MarketSelection):
        return markets
    if markets is not None and quote is not None:
        raise QueryError("markets and quote were both given", suggestion="give one of them")
    if quote is not None:
        return MarketSelection((), (parse_quote(quote),))
    if markets is None:
        raise InvalidMarket("neither markets nor quote was given", suggestion="for instance 'KRW-BTC', or quote='KRW'")
    if isinstance(markets, (str, bytes)) or not (isinstance(markets, Iterable) or hasattr(markets, "column_names")):
        if currencies and _is_currency(markets):
            return MarketSelection((), (str(markets).strip().upper(),))
        return MarketSelection((_market(markets),), many=False)
    given = list(codes_in(markets))
    if not given:
        raise InvalidMarket(
            f"markets must name at least one market, and this {type(markets).__name__} is empty",
            suggestion="for instance ['KRW-BTC'], or quote='KRW'",
        )
    quotes = [code.strip().upper() for code in given if currencies and _is_currency(code)]
    rest = [_market(code) for code in given if not (currencies and _is_currency(code))]
    return MarketSelection(tuple(dict.fromkeys(rest)), tuple(dict.fromkeys(quotes)))


def parse_one(market: Any) -> MarketSelection:
    """Read the argument of a call about one market: a code, or a Korean name.

    Raises
    ------
    InvalidMarket
        If it is malformed, or a list.

    Examples
    --------
    >>> parse_one("비트코인").names
    ('비트코인',)
    """
    selection = parse_selection(market)
    if selection.many:
        codes = selection.markets
        raise InvalidMarket(
            f"market must be one market, got a list of {len(codes)}",
            suggestion=f"give it alone: {codes[0]!r}" if len(codes) == 1 else "call it for each of the markets",
        )
    return selection


def _is_currency(value: Any) -> bool:
    return isinstance(value, str) and value.strip().upper() in _CURRENCIES


def _market(value: Any) -> str:
    """Return a code in upper case, or a Korean name as the exchange spells it."""
    if isinstance(value, str) and not value.isascii():
        name = _normal(value)
        if len(name) <= 40 and _NAME.fullmatch(name):
            return name
    return parse_market(value)


def _normal(name: str) -> str:
    """Return a name with composed letters, as some systems write them apart, and single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def code_named(name: str, listed: Sequence[tuple[str, str | None]]) -> str:
    """Return the code of the market with a Korean name: the one in won where there is one.

    Parameters
    ----------
    name : str
    listed : sequence of (code, Korean name or None)

    Raises
    ------
    InvalidMarket
        If several markets have that name, naming them.
    MarketNotFound
        If none has it, with names that are near.

    Examples
    --------
    >>> code_named("비트코인", [("KRW-BTC", "비트코인"), ("USDT-BTC", "비트코인")])
    'KRW-BTC'
    """
    wanted = _normal(name).casefold()
    codes = [code for code, korean in listed if korean is not None and _normal(korean).casefold() == wanted]
    fiat = [code for code in codes if code.partition("-")[0] in FIAT]
    if len(fiat) == 1 or len(codes) == 1:
        return (fiat or codes)[0]
    if codes:
        raise InvalidMarket(
            f"{name!r} is the name of {len(codes)} markets: {', '.join(codes)}",
            suggestion="give the code of one of them",
            candidates=codes,
        )
    names = {_normal(korean): code for code, korean in reversed(listed) if korean is not None}
    near = difflib.get_close_matches(wanted, [korean for korean in names if _misspelt(wanted, korean)], n=3, cutoff=0)
    longer = [korean for korean in names if korean.startswith(wanted)][:3]
    hint = ", ".join(f"{korean!r} ({names[korean]})" for korean in near or longer)
    begin = "did you mean {}?" if near else "names that begin so: {}" if longer else "uf.markets() lists all with {}"
    raise MarketNotFound(
        f"the exchange lists no market with the Korean name {name!r}",
        suggestion=begin.format(hint or "their names"),
        markets=[name],
    )


def _misspelt(name: str, listed: str) -> bool:
    """Whether a name is another one with a slip in it, and not that of another currency.

    What differs between their common beginning and end must sound alike: 비트코인캐쉬 is 비트코인캐시, and is neither
    비트코인 nor 비트코인골드.

    Examples
    --------
    >>> [_misspelt("비트코인캐쉬", name) for name in ("비트코인캐시", "비트코인", "비트코인골드")]
    [True, False, False]
    """
    same = _common(name, listed)
    left, right = name[same:], listed[same:]
    tail = _common(left[::-1], right[::-1])
    left, right = left[: len(left) - tail], right[: len(right) - tail]
    if not left or not right:  # a letter too many or too few, inside the name
        return bool(same and tail) and len(left + right) == 1
    # By single letters: each syllable is taken apart.
    one, other = unicodedata.normalize("NFD", left), unicodedata.normalize("NFD", right)
    alike = difflib.SequenceMatcher(None, one, other, autojunk=False).ratio() >= 0.5
    return alike and len(left) + len(right) <= len(name)


def _common(one: str, other: str) -> int:
    """Return with how many letters both texts begin."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
