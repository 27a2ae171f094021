"""Queries: arguments checked and converted to UTC before anything else happens (pure).

A query object is only ever made through its ``build`` function, so its user may rely
on it: markets are well formed, times are microseconds UTC, the range makes sense.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from upbit_frames.core.arguments import choice, flag, whole
from upbit_frames.core.bar_grid import BarGrid, Grid, as_bars, parse_grid, sources
from upbit_frames.core.config import OUTPUTS, Config
from upbit_frames.core.intervals import Interval
from upbit_frames.core.market_selection import parse_selection
from upbit_frames.core.moments import Now, Zone, parse_moment, parse_zone, zone_name
from upbit_frames.core.schema import KINDS
from upbit_frames.core.terms import TERMS
from upbit_frames.errors import InvalidInterval, InvalidRange, QueryError

__all__ = ["CandleQuery", "TradeQuery", "View", "parse_columns", "parse_range", "parse_span"]

GAPS = ("raw", "fill", "nan")
SOURCES = ("auto", "store", "rest", "live", "archive", "shared")
CANDLE_SOURCES = (*SOURCES, "derived")
DEFAULT_COUNT = 200
MAX_COUNT = 100_000_000


def parse_source(source: object, allowed: tuple[str, ...] = SOURCES) -> str:
    """Return the checked ``source``; ``"cache"`` is an alias of ``"store"``."""
    return choice("source", "store" if source == "cache" else source, allowed)


def parse_columns(kind: str, value: Any, more: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Return the columns of a kind that are wanted beside ``time``, in the order given; None for all.

    Parameters
    ----------
    kind : str
    value : str, iterable of str, or None
        ``time`` and ``market`` may be among them; they come in any case.
    more : tuple of str
        Columns that this call adds to those of the kind.

    Raises
    ------
    QueryError
        If one is unknown, naming those that exist, or none is given.

    Examples
    --------
    >>> parse_columns("candles", ["close", "value"])
    ('close', 'value')
    """
    if value is None:
        return None
    there = (*(column.name for column in KINDS[kind]), *more)
    exist = f"there are {', '.join(there)}"
    if isinstance(value, (bytes, bytearray)) or not isinstance(value, Iterable):
        raise QueryError(f"columns must be names of columns, got {value!r}", suggestion=exist)
    given = [value] if isinstance(value, str) else list(value)
    if not given:
        raise QueryError("columns must name at least one column, got none", suggestion=f"leave it out for all; {exist}")
    for name in given:
        if not isinstance(name, str) or name not in (*there, "market"):
            raise QueryError(f"{kind} have no column {name!r}", suggestion=_column_hint(kind, str(name), there) + exist)
    return tuple(dict.fromkeys(name for name in given if name not in ("time", "market")))


def _column_hint(kind: str, name: str, there: tuple[str, ...]) -> str:
    """Return which column is meant: one with a slip in it, by the name of Upbit's field, or in Korean."""
    word = name.strip().lower()
    if kind == "candles" and word == "filled":
        return "gaps='fill' adds that column; "
    korean = [key for key, text in TERMS["ko"].items() if text == word and key in there]
    fields = [column.name for column in KINDS[kind] if column.source == word]
    near = korean or fields or difflib.get_close_matches(word, there, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}? " if near else ""


def _with_time(kind: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return ``time`` and these columns of a kind, in the order in which they are stored."""
    wanted = {"time", *names}
    return tuple(column.name for column in KINDS[kind] if column.name in wanted)


@dataclass(frozen=True)
class View:
    """How a result is presented: zone of the index and kind of frame."""

    tz: str
    output: str

    @classmethod
    def build(cls, config: Config, tz: object, output: str | None) -> View:
        """From arguments, or the settings where they are None."""
        zone = config.tz if tz is None else zone_name(parse_zone(tz))
        return cls(zone, choice("output", config.output if output is None else output, OUTPUTS))


@dataclass(frozen=True)
class CandleQuery:
    """The checked arguments of ``candles``.

    Attributes
    ----------
    markets : tuple of str
        Codes in upper case, without repetition; none, or also names, until
        :mod:`upbit_frames.router.market_selection` has resolved them.
    many : bool
        Whether a list was given; then the answer has the market in its index.
    interval : Interval
        What is fetched or read.
    start, end : int or None
        Microseconds UTC, half open, as given: not yet on the grid.
    count : int or None
        How many candles; None only where ``start`` is given without it.
    forming : bool
    gaps, source : str
    columns : tuple of str or None
        Wanted beside ``time``; None for all.
    bars : BarGrid or None
        What the candles of ``interval`` are aggregated to; None where they are what is wanted.
    """

    markets: tuple[str, ...]
    many: bool
    interval: Interval
    start: int | None
    end: int | None
    count: int | None
    forming: bool = False
    gaps: str = "raw"
    source: str = "auto"
    columns: tuple[str, ...] | None = None
    bars: BarGrid | None = None

    @property
    def grid(self) -> Grid:
        """The grid of the candles that come back."""
        return self.interval if self.bars is None else self.bars

    @property
    def read_columns(self) -> tuple[str, ...] | None:
        """What has to be read of stored candles, ``time`` first; None for all."""
        if self.columns is None:
            return None
        return _with_time("candles", [*self.columns, *(["close"] if self.gaps == "fill" else [])])

    @classmethod
    def build(
        cls,
        market: object,
        interval: object,
        *,
        base: object = None,
        start: Any = None,
        end: Any = None,
        count: Any = None,
        forming: bool = False,
        gaps: str = "raw",
        source: str = "auto",
        columns: Any = None,
        tz: object = "UTC",
        now: Now | None = None,
    ) -> CandleQuery:
        """Check everything; see ``uf.candles`` for the meaning of the arguments."""
        selection = parse_selection(market)
        source = parse_source(source, CANDLE_SOURCES)
        fetched, bars = _fetched(parse_grid(interval, base, tz), derived=source == "derived")
        low, high, number = parse_range(start, end, count, parse_zone(tz), now)
        return cls(
            selection.markets, selection.many, fetched, low, high, number,
            flag("forming", forming), choice("gaps", gaps, GAPS), "auto" if source == "derived" else source,
            parse_columns("candles", columns, ("filled",) if gaps == "fill" else ()), bars,
        )  # fmt: skip


def _fetched(grid: Grid, *, derived: bool) -> tuple[Interval, BarGrid | None]:
    """Return the interval that is fetched for a grid, and what its candles are aggregated to, if anything."""
    if isinstance(grid, Interval) and not derived:
        return grid, None
    native = sources(grid)
    if not native:
        raise InvalidInterval(
            f"candles of {grid} cannot be derived: Upbit has no finer interval with these boundaries",
            suggestion="leave out source='derived'" if isinstance(grid, Interval) else "choose another base",
            interval=grid.name,
        )
    return native[0], as_bars(grid)


def parse_range(
    start: Any, end: Any, count: Any, zone: Zone, now: Now | None = None
) -> tuple[int | None, int | None, int | None]:
    """Return ``start``, ``end`` and ``count``, checked against each other.

    At most two may be given. Without ``start`` the count is 200 unless given.
    """
    number = None if count is None else whole("count", count, 1, MAX_COUNT, error=InvalidRange)
    if start is not None and end is not None and number is not None:
        raise InvalidRange(
            "start, end and count were all given",
            suggestion="leave one out: start and end for a range, one of them and count for so many rows",
        )
    low, high = parse_span(start, end, zone, now)
    if low is None and number is None:
        number = DEFAULT_COUNT
    return low, high, number


def parse_span(start: Any, end: Any, zone: Zone, now: Now | None = None) -> tuple[int | None, int | None]:
    """Return ``start`` and ``end`` in microseconds, None where they are open.

    Raises
    ------
    InvalidRange
        If one is no moment, or start is not before end.
    """
    low = None if start is None else parse_moment(start, zone, "start", now)
    high = None if end is None else parse_moment(end, zone, "end", now)
    if low is not None and high is not None and low >= high:
        hint = "swap them" if low > high else "end is exclusive: one day ends where the next one begins"
        raise InvalidRange(f"start={start!r} is not before end={end!r}", suggestion=hint)
    return low, high


@dataclass(frozen=True)
class TradeQuery:
    """The checked arguments of ``trades``; the attributes mean what they do in CandleQuery."""

    markets: tuple[str, ...]
    many: bool
    start: int | None
    end: int | None
    count: int | None
    source: str = "auto"
    columns: tuple[str, ...] | None = None

    @property
    def market(self) -> str:
        """The market of a query about one."""
        (market,) = self.markets
        return market

    @property
    def read_columns(self) -> tuple[str, ...] | None:
        """What has to be read of stored trades, ``time`` first and with what orders them; None for all."""
        return None if self.columns is None else _with_time("trades", [*self.columns, "sequential_id"])

    @classmethod
    def build(
        cls, market: object, *, start: Any = None, end: Any = None, count: Any = None,
        source: str = "auto", columns: Any = None, tz: object = "UTC", now: Now | None = None,
    ) -> TradeQuery:  # fmt: skip
        """Check everything; see ``uf.trades`` for the meaning of the arguments."""
        low, high, number = parse_range(start, end, count, parse_zone(tz), now)
        selection, chosen = parse_selection(market), parse_columns("trades", columns)
        return cls(selection.markets, selection.many, low, high, number, parse_source(source), chosen)
