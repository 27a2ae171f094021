"""Panels: many markets side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from upbit_frames.api.calls.call import Call, warn_user
from upbit_frames.api.calls.pinning import check_pinned, pin_query
from upbit_frames.api.engine import engine_for, server_now
from upbit_frames.api.literals import (
    DayBase,
    Frame,
    IntervalLike,
    Markets,
    Moment,
    Output,
    PanelMissing,
    PanelUniverse,
    ProgressMode,
    Source,
    Zone,
)
from upbit_frames.core.arguments import choice
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import iso
from upbit_frames.core.market_selection import MarketSelection, parse_selection
from upbit_frames.core.moments import parse_moment, parse_zone
from upbit_frames.core.query import CandleQuery, View, parse_columns
from upbit_frames.core.schema import KINDS
from upbit_frames.datasets.pins import active_pin
from upbit_frames.errors import InvalidRange, QueryError
from upbit_frames.router.market_selection import resolve_query, stored_query
from upbit_frames.router.panel import fetch_panel, read_stored_panel
from upbit_frames.runtime.progress import Progress

if TYPE_CHECKING:
    from upbit_frames.api.engine import Engine
    from upbit_frames.frames.panel import PanelBuilder
    from upbit_frames.router.result import Result

__all__ = ["cross_section", "panel"]

SOURCES = ("auto", "store", "cache", "rest", "archive", "shared")
UNIVERSES = ("all", "listed")


def panel(
    config: Config,
    markets: Markets | None = None,
    interval: IntervalLike = "1d",
    field: str | Iterable[str] = "close",
    *,
    quote: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    count: int | None = None,
    base: DayBase | None = None,
    tz: Zone | None = None,
    missing: PanelMissing = "nan",
    universe: PanelUniverse = "all",
    output: Output | None = None,
    source: Source = "auto",
    progress: ProgressMode | None = None,
) -> Call[Frame]:
    """One field of many markets side by side: a column a market.

    The same values as of :func:`candles` market by market, read column by column into one array, so that a
    large panel needs hardly more memory than it has itself. What the store lacks is fetched, several
    markets at a time.

    Parameters
    ----------
    markets : str, iterable of str, or frame or index of markets
        As for :func:`candles`; their order is that of the columns.
    interval : str or datetime.timedelta
        As for :func:`candles`.
    field : str or iterable of str
        Which column of candles: ``"close"``, ``"value"`` … Several give columns (field, market).
    quote : str, optional
        Every market of a quote currency, instead of ``markets``; with ``source="store"`` those stored.
    start, end
        As for :func:`candles`.
    count : int, optional
        So many periods, the newest ones, or with ``start`` the first ones; default 200. Periods, because the
        last 200 candles of two markets are not of the same time.
    base, tz, output, progress
        As for :func:`candles`.
    missing : {"nan", "ffill", "drop", "raise"}
        For a market without a candle in a period in which another one has one: NaN; ``"ffill"`` carries each
        price forward from the market's last candle and puts 0 for volume and value (nothing marks these
        places, nothing is put before the first candle of the range or where it is unknown whether there was
        a trade); ``"drop"`` leaves the row out; ``"raise"`` raises QueryError.
    universe : {"all", "listed"}
        With ``"listed"`` the values of a market are NaN on UTC days on which it was not listed by the lists that are
        kept (:func:`universe`), and on days of which no list is kept; this comes after ``missing``. The attrs count
        the places: listed, not listed, not known. Delisted markets cannot be fetched; those that are stored are among
        the columns with ``quote`` and ``source="store"``.
    source : {"auto", "store", "rest", "archive"}
        As for :func:`candles`.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index ``time`` (aware, microseconds, ascending): the periods in which at least one market has a
        candle. Columns of float64, named ``market``, or (field, market); in Arrow and Polars ``field_market``.
        Candles that can still change are left out. ``attrs["upbit_frames"]["coverage"]`` has for each market
        how many periods of the range were ``traded``, ``not_traded``, ``not_listed`` (before its first candle,
        as far as that is known) and ``unknown``, and its ``first`` and ``last`` candle in the range.

    Raises
    ------
    QueryError
        If the field is unknown, naming those that exist; with ``missing="raise"``, naming the markets.
    InvalidMarket, InvalidInterval, InvalidRange, MarketNotFound, NotCached
        And everything else that :func:`candles` can raise; the error of one market stops the call.

    Notes
    -----
    The array has a place for every period of the range; periods without any candle are closed up in it. A
    panel of nothing but markets that trade seldom therefore takes the memory of the whole grid.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> prices = uf.panel(quote="KRW", interval="1d", start="2025-01-01")  # doctest: +SKIP
    >>> prices.uf.returns().corr()  # doctest: +SKIP
    """
    from upbit_frames.frames.panel import MISSING, apply_missing, panel_output

    choice("missing", missing, MISSING)
    choice("universe", universe, UNIVERSES)
    several = not isinstance(field, str)
    query, selection, view = _query(
        config, markets, quote, interval, _fields(field), tz, output, source,
        base=base, start=start, end=end, count=count,
    )  # fmt: skip

    def fill(answer: Result, builder: PanelBuilder) -> None:
        apply_missing(builder, missing)
        answer.meta |= {"fields": list(builder.fields), "missing": missing}
        if universe == "listed":
            answer.meta["universe"] = _mask(config, builder)

    def finish(answer: Result, builder: PanelBuilder) -> Any:
        return panel_output(builder, view.output, tz=view.tz, several=several, attrs=answer.meta)

    return _call(
        config, "panel", query, selection, progress, finish, fill,
        missing=None if missing == "nan" else missing, universe=None if universe == "all" else universe,
    )  # fmt: skip


def cross_section(
    config: Config,
    at: Moment,
    interval: IntervalLike = "1d",
    quote: str | None = None,
    *,
    markets: Markets | None = None,
    columns: Iterable[str] | None = None,
    base: DayBase | None = None,
    tz: Zone | None = None,
    output: Output | None = None,
    source: Source = "auto",
    progress: ProgressMode | None = None,
) -> Call[Frame]:
    """Many markets at one moment: a row a market.

    Parameters
    ----------
    at : str, datetime.date, datetime.datetime or pandas.Timestamp
        The moment; the candle whose period holds it is taken, which is the one that starts there if one
        does. What has no time zone of its own is read in ``tz``.
    interval : str or datetime.timedelta
        As for :func:`candles`.
    quote : str, optional
        Every market of a quote currency, instead of ``markets``. Default: ``"KRW"``.
    markets : str, iterable of str, or frame or index of markets, optional
        As for :func:`candles`.
    columns : iterable of str, optional
        Only these columns of candles. Default: all.
    base, tz, output, source, progress
        As for :func:`candles`.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index ``market``; columns open, high, low, close, volume, value (float64). A market without a trade
        in that period has NaN; ``attrs["upbit_frames"]["coverage"]`` says whether it was not listed yet.
        ``attrs["upbit_frames"]["start"]`` and ``"end"`` are the period's.

    Raises
    ------
    InvalidRange
        If the period is not over, so that its candles can still change.
    InvalidMarket, InvalidInterval, MarketNotFound, NotCached
        And everything else that :func:`candles` can raise.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.cross_section("2026-01-15")["value"].nlargest(10)  # doctest: +SKIP
    """
    from upbit_frames.frames.panel import cross_section_output

    zone = parse_zone(config.tz if tz is None else tz)
    moment = parse_moment(at, zone, "at", server_now(config))
    fields = parse_columns("candles", columns) or _every_field()
    if markets is None and quote is None:
        quote = "KRW"
    query, selection, view = _query(
        config, markets, quote, interval, fields, tz, output, source, base=base, start=at, count=1
    )
    low = query.grid.floor(moment)
    query = replace(query, start=low, end=query.grid.shift(low, 1), count=None)

    def finish(answer: Result, builder: PanelBuilder) -> Any:
        if not builder.periods:
            raise InvalidRange(
                f"the {query.grid} candles of {iso(low)} can still change",
                suggestion="uf.ticker has the prices of now; or give an earlier moment",
            )
        return cross_section_output(builder, view.output, tz=view.tz, attrs=answer.meta)

    return _call(config, "cross_section", query, selection, progress, finish)


def _query(
    config: Config, markets: Any, quote: str | None, interval: Any, fields: tuple[str, ...], tz: Any,
    output: str | None, source: str, **which: Any,
) -> tuple[CandleQuery, MarketSelection, View]:  # fmt: skip
    """Check what a panel and a cross-section have in common."""
    choice("source", source, SOURCES)
    view = View.build(config, tz, output)
    selection = replace(parse_selection(markets, quote), many=True)
    query = CandleQuery.build(
        selection, interval, **which, source=source, columns=fields, tz=view.tz, now=server_now(config)
    )
    return query, selection, view


def _mask(config: Config, builder: PanelBuilder) -> dict[str, int]:
    """Leave of a closed panel only what was listed by the lists kept in the store's folder."""
    from upbit_frames.datasets.collect.universe import Universe, mask_block

    lists = engine_for(config).lists
    kept = () if lists is None else lists.read().lists
    if not kept:
        raise QueryError(
            "universe='listed' needs lists of markets, and none is kept",
            suggestion="uf.markets() and uf.update() keep today's, once a day; leave universe out until then",
        )
    return mask_block(builder.block, builder.times, builder.markets, Universe(kept))


def _every_field() -> tuple[str, ...]:
    return tuple(column.name for column in KINDS["candles"] if column.name != "time")


def _fields(field: Any) -> tuple[str, ...]:
    """Return the columns of a panel."""
    fields = parse_columns("candles", field)
    if not fields:
        raise QueryError(
            f"field must be a column of candles, got {field!r}", suggestion=f"there are {', '.join(_every_field())}"
        )
    return fields


def _call(
    config: Config, name: str, query: CandleQuery, selection: MarketSelection, progress: bool | str | None,
    finish: Callable[[Result, PanelBuilder], Any], fill: Callable[[Result, PanelBuilder], None] | None = None,
    **more: Any,
) -> Call[Any]:  # fmt: skip
    """Run a panel: from the store in the caller's thread, else on the loop.

    ``fill`` settles what stands where there is no candle; a lock holds what stands there then, and ``more`` of the
    arguments.
    """
    from upbit_frames.frames.panel import PanelBuilder, wide_table

    wanted = selection, query
    selection, query = pin_query(name, selection, query, **more)
    meter, builder = Progress(), PanelBuilder(query.columns or ())
    engine: Engine = engine_for(config)

    async def work() -> Result:
        chosen = await resolve_query(engine.quotes, selection, query)
        return await fetch_panel(engine.candles, chosen, builder, meter)

    def stored() -> Result | None:
        if not selection.settled and query.source != "store":
            return None
        return read_stored_panel(engine.candles, stored_query(engine.ports.store, selection, query), builder)

    def finish_panel(answer: Result) -> Any:
        builder.close()
        warn_user(answer.warnings)
        if fill is not None:
            fill(answer, builder)
        if active_pin() is not None:
            answer.table = wide_table(builder, several=True)
            check_pinned(config, name, *wanted, answer, **more)
        return finish(answer, builder)

    title = f"{selection.title} {query.grid}"
    return Call(work, finish_panel, meter, title, config.progress if progress is None else progress, stored)
