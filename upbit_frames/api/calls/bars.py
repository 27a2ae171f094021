"""Bars that end by what was traded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upbit_frames.api.calls.call import Call, render
from upbit_frames.api.calls.pinning import check_pinned, pin_query
from upbit_frames.api.engine import engine_for, server_now
from upbit_frames.api.literals import Frame, Moment, Output, ProgressMode, Source, Zone
from upbit_frames.core.arguments import choice, flag
from upbit_frames.core.config import Config
from upbit_frames.core.event_bars import Threshold
from upbit_frames.core.market_selection import parse_one
from upbit_frames.core.query import TradeQuery, View
from upbit_frames.errors import InvalidRange
from upbit_frames.router.event_bars import event_bars
from upbit_frames.router.market_selection import resolve_query
from upbit_frames.runtime.progress import Progress

if TYPE_CHECKING:
    from upbit_frames.router.result import Result

__all__ = ["bars"]

SOURCES = ("auto", "store", "cache", "rest", "archive", "shared")


def bars(
    config: Config,
    market: str,
    *,
    ticks: int | None = None,
    volume: float | None = None,
    value: float | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    forming: bool = False,
    tz: Zone | None = None,
    output: Output | None = None,
    source: Source = "auto",
    progress: ProgressMode | None = None,
) -> Call[Frame]:
    """Aggregate trades into bars that end by trades, volume or value instead of by the clock.

    Trades are read and aggregated day by day, so a month of a busy market needs the memory of its
    busiest day. Sums are exact: amounts are added as integers of the exchange's decimals.

    Parameters
    ----------
    market : str
        A code, or a Korean name where it is unique. One market: bars of two have no times in common.
    ticks : int
        A bar ends with so many trades. Exactly one of the three thresholds has to be given.
    volume, value : float
        A bar ends when so much of the base currency, or of the quote currency (거래대금), was traded;
        eight decimals count. The trade that crosses the threshold ends its bar and belongs to it whole;
        the next bar begins at zero.
    start : str, date, datetime, Timestamp or datetime64
        Inclusive, on the time of the trade; required, because bars are counted from it.
    end : str, date, datetime, Timestamp or datetime64, optional
        Exclusive; default now, or with ``source="store"`` the end of what is stored. Naive times are
        read in ``tz``.
    forming : bool
        Also return the last bar, which has not reached its threshold, and the trades of the last five
        seconds, before which others may still come; a boolean column ``complete`` marks it. By default
        both are left out.
    tz, output, progress
        As for :func:`candles`.
    source : {"auto", "store", "rest", "archive", "shared"}
        REST serves the trades of seven UTC days, the archive those of years.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index ``time`` (of the first trade; aware, ascending, and not unique where several bars lie in a
        millisecond). Columns open, high, low, close, volume, value as of candles; ``end`` (of the last
        trade, inclusive), ``trades`` (int64), ``buy_volume`` (what takers bought).

    Warns
    -----
    UpbitFramesWarning
        Where no source has a part of the range. No bar reaches over it: the incomplete one before it is
        left out, and the next begins after it.

    Raises
    ------
    QueryError
        Unless exactly one threshold above zero is given.
    InvalidMarket, InvalidRange, MarketNotFound, NotCached
        And everything that :func:`trades` can raise.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.bars("KRW-BTC", volume=10.0, start="-1d")  # doctest: +SKIP
    >>> uf.bars("KRW-BTC", value=1e9, start="2026-01-01", end="2026-02-01", source="archive")  # doctest: +SKIP
    """
    threshold = Threshold.build(ticks=ticks, volume=volume, value=value)
    choice("source", source, SOURCES)
    if start is None:
        raise InvalidRange(
            "bars need a start: they are counted from it, so another start gives other bars",
            suggestion="for instance start='-1d', or start='2026-01-01' with an end",
        )
    view = View.build(config, tz, output)
    selection, also_forming = parse_one(market), flag("forming", forming)
    query = TradeQuery.build(selection, start=start, end=end, source=source, tz=view.tz, now=server_now(config))
    wanted, ends = (selection, query), dict[str, Any](threshold.argument)
    selection, query = pin_query("bars", selection, query, forming=also_forming, **ends)
    meter = Progress()
    engine = engine_for(config)

    def finish(answer: Result) -> Any:
        check_pinned(config, "bars", *wanted, answer, **ends)
        return render(answer, "bars", view, ["time"])

    async def work() -> Result:
        resolved = await resolve_query(engine.quotes, selection, query)
        return await event_bars(engine.ports, resolved, threshold, also_forming, meter)

    return Call(
        work, finish, meter,
        f"{selection.title} bars", config.progress if progress is None else progress,
    )  # fmt: skip
