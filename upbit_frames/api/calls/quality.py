"""What stored candles are worth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from upbit_frames.api.calls.call import Call
from upbit_frames.api.engine import engine_for, server_now
from upbit_frames.api.literals import IntervalLike, Markets, Moment, ProgressMode, Zone
from upbit_frames.core import html
from upbit_frames.core.arguments import flag
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Interval, iso
from upbit_frames.core.market_selection import MarketSelection, parse_selection
from upbit_frames.core.moments import parse_zone
from upbit_frames.core.query import parse_range
from upbit_frames.datasets.collect import pages
from upbit_frames.datasets.collect import quality as examining
from upbit_frames.datasets.collect.universe import Universe
from upbit_frames.datasets.collect.update import choose
from upbit_frames.errors import QueryError
from upbit_frames.router import download as bulk
from upbit_frames.router.market_selection import resolve
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series

if TYPE_CHECKING:
    from upbit_frames.datasets.collect.report import Report

__all__ = ["quality"]

COLUMNS = {
    "market": "str", "interval": "str", "check": "str", "severity": "str", "cause": "str", "start": "time",
    "end": "time", "periods": "int64", "detail": "str",
}  # fmt: skip
MARKED = ("before listing", "outage", "unknown")  # in coverage bars
HEAD = ("market", "interval", "severity", "check", "cause", "start", "end", "periods", "detail")
SEVERITIES = {"error": "#c03030", "warning": "#b06a00", "info": "#2f62b0", "ok": "#606060"}


def quality(
    config: Config,
    market: Markets | None = None,
    interval: IntervalLike | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    quote: str | None = None,
    tz: Zone | None = None,
    fetch: bool = False,
    progress: ProgressMode | None = None,
) -> Call[Report]:
    """Examine stored candles: coverage, gaps with their causes, impossible numbers, disagreement, jumps, expiry.

    Reads only the store and asks nothing, unless ``fetch=True``.

    Parameters
    ----------
    market : str or iterable of str, optional
        Default: every market of which candles are stored.
    interval : str, optional
        Default: every stored interval.
    start, end : str, date, datetime or Timestamp, optional
        Half open, as for ``uf.candles``. Default: from the first stored candle to the end of what is stored; without
        ``end`` the report also says what is stale and what will expire.
    quote : str, optional
        Only markets of one quote currency. Not together with ``market``.
    tz : str, optional
        Zone in which naive times are read. Default: the setting.
    fetch : bool
        First fetch what the store lacks of the range; needs ``start``.
    progress : bool or "auto", optional
        A progress bar.

    Returns
    -------
    pandas.DataFrame
        One row a finding, the worst first within a series, with a summary as its ``repr`` and a page with coverage
        bars as its HTML. Columns market, interval, check, severity, cause, start and end (aware UTC, half open),
        periods, detail. Severity: ``"error"``, ``"warning"``, ``"info"`` (explained) or ``"ok"`` (as it should be).

        ======================  ======================================================================
        check                   causes
        ======================  ======================================================================
        ``gap``                 ``no trade``; ``outage`` (every other stored market of the interval is
                                silent, too, and that is no accident); ``before listing``; ``unknown``
        ``impossible``          the rule of a valid candle that is broken
        ``identity``            the interval and the next finer or coarser stored one disagree; Upbit's
                                own day candles do on rare days (``info``)
        ``jump``                ``like a redenomination`` (volumes move the other way), ``price``
        ``stale``               ``not updated``, ``no trade at the end``, ``not listed any more``
        ``expiry``              ``will expire``: not stored, and served for a limited time only
        ``damage``              files that were set aside
        ======================  ======================================================================

        ``attrs["upbit_frames"]``: ``problems`` (number of errors and warnings) and ``series`` (for each the range and
        its periods by cause).

    Raises
    ------
    QueryError
        If nothing of what is named is stored.
    InvalidMarket, InvalidInterval, InvalidRange
    StoreError
        If the store cannot be read.

    Notes
    -----
    upbit-api 12.3, 12.6, 12.8.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.quality("KRW-BTC", "1m", "2026-01-01", "2026-03-01")  # doctest: +SKIP
    """
    everything = market is None and quote is None
    selection = MarketSelection(()) if everything else parse_selection(market, quote, currencies=True)
    if interval == "trades":
        raise QueryError("quality examines candles, not trades", suggestion="give an interval such as '1m'")
    unit = None if interval is None else Interval.parse(interval)
    low = high = None
    if start is not None or end is not None:
        low, high, _ = parse_range(start, end, None, parse_zone(config.tz if tz is None else tz), server_now(config))
    if flag("fetch", fetch) and (low is None or unit is None or everything):
        raise QueryError("fetch=True needs market or quote, interval and start")
    engine = engine_for(config)
    meter = Progress()

    async def work() -> list[examining.Examination]:
        if fetch and low is not None:
            codes = await resolve(engine.quotes, selection)
            await bulk.download(engine.ports, codes, unit, low, high, "auto", meter)
        codes = await resolve(engine.quotes, replace(selection, quotes=()))
        stored = [series for series in await in_thread(engine.ports.store.series) if series.grid is not None]
        chosen: list[Series] = choose(stored, codes, selection.quotes, None if unit is None else unit.name)
        if not chosen and not (everything and unit is None):
            named = " ".join([selection.title, "" if unit is None else unit.name]).strip()
            raise QueryError(
                f"no candles of {named} are stored, so there is nothing to examine",
                suggestion="uf.download fetches them; uf.cache.ls() lists what is stored",
            )
        lists = () if engine.lists is None else (await in_thread(engine.lists.read)).lists
        now = engine.ports.server_time.now()
        return await in_thread(examining.examine, engine.ports.store, chosen, low, high, now, Universe(lists))

    def finish(results: list[examining.Examination]) -> Report:
        from upbit_frames.datasets.collect.report import report

        lines = examining.summary(results)
        rows = [
            (result.series.market, result.series.interval, finding.check, finding.severity, finding.cause,
             *finding.span, finding.periods, finding.detail)
            for result in results
            for finding in result.findings
        ]  # fmt: skip
        attrs = {
            "kind": "quality",
            "problems": sum(len(result.problems) for result in results),
            "series": [
                {"market": result.series.market, "interval": result.series.interval, "start": iso(result.span.start),
                 "end": iso(result.span.end), "periods": result.periods}
                for result in results
            ],
        }  # fmt: skip
        return report(rows, COLUMNS, lines, attrs, page=_page(results, lines))

    title = f"examine {selection.title or 'all'}"
    return Call(work, finish, meter, title, config.progress if progress is None else progress)


def _page(results: list[examining.Examination], lines: list[str]) -> str:
    bars: list[tuple[object, ...]] = []
    for result in results:
        parts = [(cause, part) for cause in MARKED for part in result.parts.get(cause, ())]
        shares = ", ".join(f"{cause} {number:,}" for cause, number in result.periods.items() if number)
        bars.append(
            (result.series.market, result.series.interval, pages.coverage_bar(result.span, parts, shares), shares)
        )
    rows = [
        (result.series.market, result.series.interval, html.badge(finding.severity, SEVERITIES[finding.severity]),
         finding.check, finding.cause, iso(finding.span.start), iso(finding.span.end), finding.periods, finding.detail)
        for result in results
        for finding in result.findings
    ]  # fmt: skip
    return "".join(
        [
            html.paragraph(lines[0]),
            pages.legend(),
            html.table(("market", "interval", "coverage", "periods"), bars, unit="series"),
            html.table(HEAD, rows, unit="finding") if rows else "",
        ]
    )
