"""Checks of single arguments: one place for every call, one form for every message (pure).

A message says what the argument must be and what came: ``depth must be an integer from 1 to 30, got 0``.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

from upbit_frames.core.markets import CODE
from upbit_frames.core.periods import read_period
from upbit_frames.errors import InvalidArgument, InvalidInterval, QueryError

__all__ = ["choice", "depth", "flag", "misfit", "number", "price_level", "sampling", "whole"]

MAX_DEPTH = 30  # price levels of each side that Upbit has (upbit-api 3.6)
MAX_PRICE_LEVEL = 10**9

# What users of other libraries write, for what these calls have.
_SYNONYMS = {
    "start": ("since", "from", "from_", "begin", "start_date", "start_time", "starttime", "fromdate", "first"),
    "end": ("to", "until", "till", "end_date", "end_time", "endtime", "todate", "before"),
    "count": ("limit", "n", "size", "rows", "bars", "number", "max_results", "num", "length", "max"),
    "interval": ("timeframe", "freq", "frequency", "resolution", "unit", "granularity", "period", "step"),
    "market": ("ticker", "tickers", "symbol", "symbols", "code", "codes", "pair", "pairs", "markets", "coin"),
    "markets": ("ticker", "tickers", "symbol", "symbols", "code", "codes", "pair", "pairs", "market", "coin"),
    "quote": ("fiat", "base", "currency"),
    "tz": ("timezone", "time_zone", "zone", "tzinfo"),
    "gaps": ("fill", "missing", "fillna", "ffill"),
    "output": ("format", "as_", "return_type", "engine"),
    "source": ("channel", "mode", "via"),
    "progress": ("progress_bar", "verbose", "show_progress", "tqdm"),
}

# The same for the words that an argument takes.
_MEANT: dict[str, dict[str, tuple[str, ...]]] = {
    "output": {
        "pandas": ("pd", "df", "frame", "dataframe"),
        "arrow": ("pa", "pyarrow", "table", "parquet"),
        "polars": ("pl", "lazy", "lazyframe"),
    },
    "source": {
        "store": ("local", "disk", "file", "files", "offline", "parquet"),
        "rest": ("api", "http", "https", "upbit", "exchange", "network"),
        "live": ("websocket", "ws", "stream", "socket", "realtime"),
    },
    "gaps": {"fill": ("ffill", "pad", "forward", "zero"), "nan": ("na", "null", "none", "missing")},
    "lang": {"ko": ("kr", "korean", "한국어"), "en": ("english", "us", "eng")},
    "engine": {"arrow": ("pyarrow",), "polars": ("pl",), "duckdb": ("sql",)},
}


def whole(
    name: str, value: Any, low: int, high: int | None = None, *, suggestion: str | None = None,
    error: type[QueryError] = QueryError,
) -> int:  # fmt: skip
    """Return an integer within bounds; those of numpy are integers, bool is none.

    Examples
    --------
    >>> whole("depth", 15, 1, 30)
    15
    """
    try:
        # numpy's bool is called bool_ before numpy 2, and converts there.
        integer = None if type(value).__name__ in ("bool", "bool_") else int(value.__index__())
    except (AttributeError, TypeError):
        integer = None
    if integer is None or integer < low or (high is not None and integer > high):
        bounds = f"of at least {low:,}" if high is None else f"from {low:,} to {high:,}"
        if suggestion is None and isinstance(value, str) and value.strip().isdecimal():
            suggestion = f"a number is written without quotes: {name}={int(value)}"
        raise error(f"{name} must be an integer {bounds}, got {value!r}", suggestion=suggestion)
    return integer


def number(
    name: str, value: Any, low: float, high: float = math.inf, *, above: bool = False, infinite: bool = False,
    suggestion: str | None = None,
) -> float:  # fmt: skip
    """Return a number within bounds, ``low`` itself excluded with ``above``; text is none."""
    given = math.nan
    if not isinstance(value, (bool, str, bytes)):
        try:
            given = float(value)
        except (TypeError, ValueError, OverflowError):
            given = math.nan
    if not (low < given if above else low <= given) or given > high or (math.isinf(given) and not infinite):
        bounds = f"above {low:g}" if above else f"of at least {low:g}" if math.isinf(high) else f"from {low:g}"
        bounds += "" if math.isinf(high) else f" {'and up ' if above else ''}to {high:,.0f}"
        raise QueryError(f"{name} must be a number {bounds}, got {value!r}", suggestion=suggestion)
    return given


def sampling(every: Any) -> int:
    """Return the length of a period of samples in microseconds; 0 for None.

    Examples
    --------
    >>> sampling("5s"), sampling(None)
    (5000000, 0)
    """
    if every is None:
        return 0
    period = read_period(every)
    if period is None or period.seconds is None:
        raise InvalidInterval(
            f"every={every!r} is no length of time with a fixed number of seconds",
            suggestion="give a count and one of s m h d w, such as '1s' or '5m'",
        )
    return period.seconds * 1_000_000


def flag(name: str, value: Any) -> bool:
    """Return True or False; anything else is refused, because ``"no"`` would be true."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise QueryError(f"{name} must be True or False, got {value!r}")


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Return the value if it is one of those allowed; QueryError otherwise."""
    if isinstance(value, str) and value in allowed:
        return value
    near = []
    if isinstance(value, str):
        word = value.strip().lower()
        meant = [one for one in allowed if word == one or word in _MEANT.get(name, {}).get(one, ())]
        near = meant or difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    raise QueryError(
        f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}",
        suggestion=f"did you mean {near[0]!r}?" if near else None,
    )


def depth(value: Any) -> int:
    """Return a number of price levels of an order book."""
    return whole("depth", value, 1, MAX_DEPTH)


def price_level(value: Any) -> float:
    """Return a price grouping of order books in the quote currency; 0 and None mean none."""
    if value is None:
        return 0.0
    try:  # text too: the exchange itself writes levels as text
        grouping = float(value)
    except (TypeError, ValueError):
        grouping = -1.0
    if isinstance(value, bool) or not 0 <= grouping <= MAX_PRICE_LEVEL:
        raise QueryError(
            f"level must be a price grouping from 0 to {MAX_PRICE_LEVEL:,}, got {value!r}",
            suggestion="uf.instruments(markets) lists the levels that each market supports",
        )
    return grouping


def misfit(function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> InvalidArgument:
    """Return the error for arguments that a call does not have, with what it has instead.

    Parameters
    ----------
    function : callable
        Whose first parameter is the settings, which no user gives.
    args, given
        What the user gave by position and by name.
    """
    name = function.__name__.removeprefix("open_")
    parameters = list(inspect.signature(function).parameters.values())[1:]
    names = [parameter.name for parameter in parameters]
    for unknown in given:
        if unknown not in names:
            return InvalidArgument(f"{name}() has no argument {unknown!r}", suggestion=_instead(unknown, names))
    positional = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    if len(args) > len(positional):
        extra = args[len(positional)]
        return InvalidArgument(
            f"{name}() takes {_and(positional)} by position and everything else by name, got {extra!r}",
            suggestion=_by_name(args[len(positional) :], names, positional[0]),
        )
    twice = [parameter for parameter in positional[: len(args)] if parameter in given]
    if twice:
        return InvalidArgument(f"{name}() got {twice[0]} twice, by position and by name")
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in given][len(args) :]
    example = f"for instance {name}('KRW-BTC')"
    return InvalidArgument(
        f"{name}() needs {_and(missing) or 'other arguments'}",
        suggestion=example if missing[:1] in (["market"], ["markets"]) else f"there are {', '.join(names)}",
    )


def _by_name(extra: tuple[Any, ...], names: list[str], first: str) -> str:
    """Say how what was given by position too much is given by name, where that is certain."""
    value = extra[0]
    if isinstance(value, int) and not isinstance(value, bool) and "count" in names:
        return f"write count={value!r}"
    if isinstance(value, str) and CODE.fullmatch(value.upper()) and first == "markets":
        return "several markets are a list, such as ['KRW-BTC', 'KRW-ETH']"
    # Text that begins with a year, or is no text: a date or datetime.
    moments = [one for one in extra[:2] if str(one)[:4].isdecimal()]
    if moments and "start" in names:
        return "write " + ", ".join(f"{key}={one!r}" for key, one in zip(("start", "end"), moments, strict=False))
    return f"by name: {', '.join(names)}"


def _instead(unknown: str, names: Iterable[str]) -> str:
    names = list(names)
    word = unknown.lower()
    known = [name for name in names if word in _SYNONYMS.get(name, ()) or word == name]
    near = known or difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    notes = {"end": " (exclusive)", "start": " (inclusive)"}
    if near:
        return f"use {near[0]}={notes.get(near[0], '')}; there are {', '.join(names)}"
    return f"there are {', '.join(names)}"


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
