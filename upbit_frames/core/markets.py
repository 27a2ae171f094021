"""Market codes: what is accepted, and what is meant by what is not (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from upbit_frames.core.periods import read_period
from upbit_frames.errors import InvalidMarket, QueryError

__all__ = ["CODE", "FIAT", "QUOTES", "codes_in", "parse_market", "parse_markets", "parse_quote"]

FIAT = ("KRW", "SGD", "IDR", "THB")
QUOTES = (*FIAT, "USDT", "BTC")  # quote currencies of all regions; the last two are base currencies, too
CODE = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")
_PARTS = re.compile(r"([A-Z0-9]+)[-_/:. ]([A-Z0-9]+)")
_WORD = re.compile(r"[A-Z0-9]{1,12}")
_LONG_CODE = 5  # letters; what is longer may be an English name
_EXAMPLE = "give quote and base currency such as 'KRW-BTC'; uf.markets() lists all"


def parse_market(value: object) -> str:
    """Return the market code in upper case.

    Raises
    ------
    InvalidMarket
        If it is not of the form ``QUOTE-BASE``; nothing else may become part of a path or URL.
        Also where the two currencies are the wrong way round.

    Examples
    --------
    >>> parse_market("krw-btc")
    'KRW-BTC'
    """
    if isinstance(value, str):
        code = value.strip().upper()
        if code.isascii() and len(code) <= 40:
            if CODE.fullmatch(code) and not _reversed(*code.split("-")):
                return code
            raise _refusal(value, _meant(code))
        raise _refusal(value, _meant(code) if len(code) <= 40 else None)
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        codes = list(parse_markets(value)[0])
        alone = f"give it alone: {codes[0]!r}"
        suggestion = alone if len(codes) == 1 else "call it for each of the markets, or give one flat list of codes"
        raise InvalidMarket(f"market must be one market code, got {len(codes)} of them", suggestion=suggestion)
    raise _refusal(value, None)


def parse_markets(value: Any) -> tuple[tuple[str, ...], bool]:
    """Return the market codes without repetition, and whether several could be given.

    Parameters
    ----------
    value : str, iterable of str, or a frame, table, index or series of markets
        Of a frame the index level or column ``market``: ``uf.markets("KRW")`` is one.
    """
    if isinstance(value, (str, bytes)) or not (isinstance(value, Iterable) or hasattr(value, "column_names")):
        return (parse_market(value),), False
    codes = tuple(dict.fromkeys(parse_market(code) for code in codes_in(value)))
    if not codes:
        raise InvalidMarket("markets must name at least one market, got none", suggestion="for instance ['KRW-BTC']")
    return codes, True


def parse_quote(value: object) -> str:
    """Return a quote currency in upper case; whether the exchange has it is its own to say."""
    if isinstance(value, str) and _WORD.fullmatch(value.strip().upper()):
        return value.strip().upper()
    hint = "the won is 'KRW'" if value == "원화" else f"one of {', '.join(QUOTES)}; several: give a list of markets"
    raise QueryError(f"quote must be a quote currency such as 'KRW', got {value!r}", suggestion=hint)


def codes_in(value: Any) -> Iterable[Any]:
    """Return what may be codes: of tables and frames those that stand under ``market``."""
    library = type(value).__module__.partition(".")[0]
    if library not in ("pandas", "pyarrow", "polars"):
        return value  # type: ignore[no-any-return]
    index = value if hasattr(value, "get_level_values") else getattr(value, "index", None)
    if library == "pandas" and "market" in (getattr(index, "names", None) or ()):
        return index.get_level_values("market").unique()  # type: ignore[union-attr, no-any-return]
    columns = list(getattr(value, "columns", ())) if library != "pyarrow" else getattr(value, "column_names", [])
    if "market" in columns:
        column = value["market"]
        if library == "polars":
            return column.unique(maintain_order=True)  # type: ignore[no-any-return]
        return column.to_pylist() if library == "pyarrow" else column.unique()  # type: ignore[no-any-return]
    if columns or (library == "pandas" and getattr(index, "nlevels", 1) > 1):
        raise InvalidMarket(
            "a frame of markets must have an index or a column 'market', and this one has neither",
            suggestion="uf.markets('KRW') is such a frame; or give the codes as a list",
        )
    return value.to_pylist() if hasattr(value, "to_pylist") else value  # type: ignore[no-any-return]


def _reversed(left: str, right: str) -> bool:
    """Whether the quote currency stands last: no market is quoted in what is no quote currency."""
    if left in QUOTES and right in QUOTES:
        return right in FIAT and left not in FIAT
    return left not in QUOTES and right in QUOTES


def _meant(code: str) -> str | None:
    """Return the hint for a text in upper case that is no code; None where nothing is recognised."""
    if "," in code:
        return f"several markets are a list: {[part.strip() for part in code.split(',') if part.strip()]!r}."
    if read_period(code) is not None:
        return "that is an interval, which comes after the market."
    if match := _PARTS.fullmatch(code):
        left, right = match.groups()
        # Elsewhere the base currency comes first, with a slash between them.
        turned = _reversed(left, right) or ("/" in code and left not in QUOTES)
        return f"did you mean {f'{right}-{left}' if turned else f'{left}-{right}'!r}?"
    if not _WORD.fullmatch(code):
        name = re.fullmatch(r"\w[\w .()]*", code)
        if name is None or code.isascii():
            return None
        return f"names are no codes: uf.markets().query(\"korean_name == '{code}'\") finds its code."
    if code in FIAT or code == "USDT":
        return f"that is a quote currency, and quote={code!r} stands for all of its markets."
    if code == "WON":
        return "the won is 'KRW', and quote='KRW' stands for all of its markets."
    for quote in QUOTES:
        # Names of currencies that end in BTC are no pairs: WBTC.
        if code.endswith(quote) and len(code) > len(quote) + (1 if quote == "BTC" else 0):
            return f"did you mean '{quote}-{code.removesuffix(quote)}'?"
        if code.startswith(quote) and len(code) > len(quote) + 1:
            return f"did you mean '{quote}-{code.removeprefix(quote)}'?"
    if len(code) > _LONG_CODE:
        return f"as the code of a currency it would be 'KRW-{code}'; as a name, uf.markets() has its code."
    return f"did you mean 'KRW-{code}'?"


def _refusal(value: object, hint: str | None) -> InvalidMarket:
    text = f"{hint} A code is quote and base currency, such as 'KRW-BTC'; uf.markets() lists all" if hint else _EXAMPLE
    return InvalidMarket(f"market must be a market code of Upbit, got {value!r}", suggestion=text)
