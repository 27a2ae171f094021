"""Candles, and the plan for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from upbit_frames.api.calls.call import Call, render
from upbit_frames.api.calls.pinning import check_pinned, pin_query
from upbit_frames.api.engine import engine_for, server_now
from upbit_frames.api.literals import (
    DayBase,
    Frame,
    Gaps,
    IntervalLike,
    Markets,
    Moment,
    Output,
    ProgressMode,
    Source,
    Zone,
)
from upbit_frames.core.bar_grid import sources
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import EPOCH, Span, iso, subtract
from upbit_frames.core.market_selection import parse_selection
from upbit_frames.core.moments import parse_zone, zone_name
from upbit_frames.core.query import CandleQuery, View
from upbit_frames.router.market_selection import resolve_query, stored_query
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series

if TYPE_CHECKING:
    from upbit_frames.router.plan import Plan
    from upbit_frames.router.result import Result
    from upbit_frames.store.base import Store

__all__ = ["candles", "plan"]


def candles(
    config: Config,
    market: Markets | None = None,
    interval: IntervalLike = "1m",
    *,
    quote: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    count: int | None = None,
    forming: bool = False,
    gaps: Gaps = "raw",
    tz: Zone | None = None,
    output: Output | None = None,
    source: Source = "auto",
    columns: Iterable[str] | None = None,
    base: DayBase | None = None,
    progress: ProgressMode | None = None,
) -> Call[Frame]:
    """Candles of any length as one clean frame.

    What the local store lacks is fetched once and stored.

    Parameters
    ----------
    market : str, iterable of str, or frame or index of markets
        ``"KRW-BTC"`` (lower case is accepted), or a Korean name such as ``"비트코인"``: the market in won
        where there is one. Several markets, such as ``uf.markets("KRW")``, give a frame indexed by
        (market, time).
    interval : str, datetime.timedelta or pandas offset
        Upbit's own ``1s 1m 3m 5m 10m 15m 30m 1h 4h 1d 1w 1M 1y``, and any other count of ``s m h d w M``:
        ``"45m"``, ``"2h"``, ``"3d"``, ``"2w"``, ``"3M"``, which are derived from Upbit's own. Other spellings such as
        ``60min``, ``day``, ``minute15``, pandas frequencies and offsets are understood. ``M`` is always a month.
        A part of a day must divide the day; days are counted from 1970-01-01, weeks from Monday
        1970-01-05, months from January 1970.
    quote : str, optional
        Every market of one quote currency, such as ``"KRW"``, instead of ``market``; with
        ``source="store"`` those that are stored.
    start, end : str, datetime.date, datetime.datetime, pandas.Timestamp or numpy.datetime64
        ``[start, end)`` on the candle's start: ``start`` inclusive, ``end`` exclusive. What has no
        time zone of its own is read in ``tz``. Only ``start``: up to now. Only ``end``, or
        neither: the last ``count`` candles before ``end`` (now). Also ``"-7d"`` and a negative
        ``timedelta`` (before now), ``"now"``, ``"today"``, ``"yesterday"``, ``"2026/11/01"``.
    count : int, optional
        With ``end`` or alone: that many of the newest candles, 200 unless given. With ``start``:
        that many of the first. The rows that come back are counted: existing candles (Upbit has none for
        a period without a trade), or with ``gaps`` other than ``"raw"`` the periods.
    forming : bool
        Also append the candles that can still change (the running period, and for 5 s the one
        before). They are fetched every time and never stored; ``count`` counts them too.
    gaps : {"raw", "fill", "nan"}
        What stands for a period without a trade: nothing; a flat candle at the previous close
        with volume 0, marked in a boolean column ``filled``; or NaN.
    tz : str, zoneinfo.ZoneInfo or datetime.timezone, optional
        ``"Asia/Seoul"``, ``"KST"``, ``"+09:00"``: zone in which naive times are read and the index is
        expressed. Default: the setting, UTC.
    output : {"pandas", "arrow", "polars"}, optional
        Default: the setting, pandas.
    source : {"auto", "store", "rest", "live", "archive", "shared", "derived"}
        ``"store"`` (alias ``"cache"``) never touches the network; ``"rest"`` fetches even what is stored;
        ``"derived"`` aggregates shorter candles also to an interval that Upbit has itself;
        ``"shared"`` takes the team's store (setting ``shared_store``) alone;
        ``"archive"`` takes Upbit's published files. Those are for personal, non-commercial use only
        and may not be passed on; ``"auto"`` leaves them alone unless the setting ``archive`` is on.
    columns : iterable of str, optional
        Read and return only these, in this order; of Parquet files only their column chunks are read. The
        index always comes too. Default: all.
    base : str, datetime.time, zoneinfo.ZoneInfo or datetime.timezone, optional
        When days begin, and with them their parts, weeks and months. Default: 00:00 UTC, which is 09:00 in
        Korea. ``"Asia/Seoul"`` or ``"+09:00"``: midnight there; ``"09:00"``: that time in ``tz``;
        ``"17:00 America/New_York"``. A day with a change of clocks has 23 or 25 hours, and its last part may be
        shorter.
    progress : bool or "auto", optional
        A progress bar; by default where it will take more than a second or two.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index ``time`` (aware, microseconds, ascending, unique). Columns, all float64: ``open``,
        ``high``, ``low``, ``close`` in the quote currency (KRW for ``KRW-*``), ``volume`` in the base
        currency, ``value`` in the quote currency (거래대금). ``attrs["upbit_frames"]`` holds the
        query and, in ``route``, which source served each time range, and why.

    Raises
    ------
    InvalidMarket, InvalidInterval, InvalidRange, QueryError
        Before anything is read or requested.
    MarketNotFound
        If the exchange does not know the market.
    NotCached
        With ``source="store"``, naming what is missing.
    RateLimited, Blocked, ServerError, Timeout, ConnectionFailed, SchemaError, StoreError
        If it could not be fetched. Everything fetched until then is stored; the next call continues.

    Notes
    -----
    upbit-api 3.2 (candles) and 4 (their semantics). Second candles reach back three months.

    Derived candles are the exact sums of Upbit's candles of the longest interval that has all their boundaries, or of
    a shorter one that the store holds whole; the steps of the route have the channel ``derived`` and
    name it. They are never stored. Upbit's own candle of a day is not the sum of its hours on rare days (12.3), so its
    thirteen intervals are fetched, and derived only with ``source="derived"``, or with ``source="store"``
    where just a shorter one is stored.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> df = uf.candles("KRW-BTC", "1m", start="2026-01-01", end="2026-03-01")  # doctest: +SKIP
    """
    view = View.build(config, tz, output)
    selection = parse_selection(market, quote)
    query = CandleQuery.build(
        selection, interval, start=start, end=end, count=count, forming=forming,
        gaps=gaps, source=source, columns=columns, base=base, tz=view.tz, now=server_now(config),
    )  # fmt: skip
    wanted = selection, query
    selection, query = pin_query("candles", selection, query, forming=query.forming)
    meter = Progress()
    engine = engine_for(config)

    def finish(answer: Result) -> Any:
        check_pinned(config, "candles", *wanted, answer)
        index = ["market", "time"] if query.many else ["time"]
        if not len(answer.arrow):
            answer.warnings += _unlisted(engine.ports.store, query, answer.ends)
        return render(answer, "candles", view, index)

    async def work() -> Result:
        return await engine.candles.fetch(await resolve_query(engine.quotes, selection, query), meter)

    def stored() -> Result | None:
        if not selection.settled and query.source != "store":
            return None
        return engine.candles.fetch_stored(stored_query(engine.ports.store, selection, query))

    return Call(
        work, finish, meter, f"{selection.title} {query.grid}",
        config.progress if progress is None else progress, stored,
    )  # fmt: skip


def _unlisted(store: Store, query: CandleQuery, markets: Iterable[str]) -> list[str]:
    """Warnings where a range is empty because it ends before the first candle of a market."""
    texts = []
    end = query.grid.ceil(query.end or EPOCH)
    for market in markets if query.end is not None else ():
        for source in (query.interval,) if query.bars is None else sources(query.bars):
            series = Series("candles", market, source.name)
            if not subtract([Span(EPOCH, end)], store.covered(series)):
                break
        else:
            continue
        if not len(store.tail(series, end, 1)):
            texts.append(
                f"{market} has no candle before {iso(end)}, so the result is empty: the market was listed later. "
                f"uf.candles({market!r}, '1d', start='2017-01-01', count=1) gives its first day"
            )
    return texts


def plan(
    config: Config,
    market: Markets | None = None,
    interval: IntervalLike = "1m",
    *,
    quote: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    count: int | None = None,
    forming: bool = False,
    gaps: Gaps = "raw",
    tz: Zone | None = None,
    source: Source = "auto",
    base: DayBase | None = None,
) -> Call[Plan]:
    """Plan what :func:`candles` with the same arguments would do.

    Nothing is requested, but for the list of markets where ``quote`` or a Korean name needs it.

    Returns
    -------
    Plan
        Steps with channel, reason and estimates of requests, bytes and seconds; ``requests``,
        ``seconds``, ``bytes``, ``rows`` in all; ``to_frame()``.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.plan("KRW-BTC", "1m", start="2025-01-01", end="2026-01-01")  # doctest: +SKIP
    """
    selection, zone = parse_selection(market, quote), config.tz if tz is None else tz
    query = CandleQuery.build(
        selection, interval, start=start, end=end, count=count, forming=forming,
        gaps=gaps, source=source, base=base, tz=zone, now=server_now(config),
    )  # fmt: skip
    engine = engine_for(config)

    def finish(plan: Plan) -> Plan:
        return replace(plan, tz=zone_name(parse_zone(zone)))

    async def work() -> Plan:
        return await engine.candles.plan(await resolve_query(engine.quotes, selection, query))

    return Call(work, finish, Progress())
