"""Stored rows for other engines."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upbit_frames.api.calls.call import Call
from upbit_frames.api.engine import engine_for, server_now
from upbit_frames.api.literals import (
    Frame,
    IntervalLike,
    Kind,
    LazyFrame,
    Markets,
    Missing,
    Moment,
    Output,
    ScanEngine,
    Zone,
)
from upbit_frames.core.arguments import choice
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Interval
from upbit_frames.core.market_selection import MarketSelection, parse_selection
from upbit_frames.core.moments import parse_zone
from upbit_frames.core.query import View, parse_span
from upbit_frames.core.urls import check_store_url
from upbit_frames.errors import QueryError, StoreError
from upbit_frames.router import download as bulk
from upbit_frames.router.market_selection import resolve
from upbit_frames.runtime.caller import warn
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import STORED_KINDS

if TYPE_CHECKING:
    from upbit_frames.datasets.selection import Selection

__all__ = ["scan", "sql"]

MISSING = ("raise", "warn", "ignore", "fetch")
SCAN_ENGINES = ("polars", "duckdb", "dask", "arrow")


def scan(
    config: Config,
    markets: Markets | None = None,
    interval: IntervalLike = "1m",
    *,
    quote: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    kind: Kind = "candles",
    columns: Iterable[str] | None = None,
    engine: ScanEngine = "polars",
    missing: Missing = "raise",
    store: str | os.PathLike[str] | None = None,
) -> Call[LazyFrame]:
    """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow.

    The engine is given exactly the files that count, kept as they are for as long as the result, or
    anything derived from it, exists: other processes may write and merge meanwhile.

    Parameters
    ----------
    markets : str or iterable of str, optional
        Codes, or a quote currency; default: every market that is stored.
    interval : str
        As for :func:`candles`; for trades and order books it is ignored.
    quote : str, optional
        The stored markets of a quote currency; with ``missing="fetch"`` those that are listed.
    start, end : optional
        ``[start, end)``, moments as in :func:`candles`; rows outside are left out. An end that is left
        open reads from the first, or to the last, stored row.
    kind : {"candles", "trades", "orderbook"}
    columns : iterable of str, optional
        Only these; ``market`` and ``time`` always come too.
    engine : {"polars", "duckdb", "dask", "arrow"}
        The first two need the extra ``scan``, Dask needs ``dask``.
    missing : {"raise", "warn", "ignore", "fetch"}
        What to do where the store lacks a part of the range: raise NotCached, warn, read what there is,
        or fetch it first, which needs ``start``.
    store : path or URL, optional
        The folder of another local store, or the URL of a shared one (see ``uf.cache.publish``), for workers that have
        no local store: the files of the range are copied to a temporary folder that goes with the result.

    Returns
    -------
    polars.LazyFrame, duckdb.DuckDBPyRelation, dask.dataframe.DataFrame or pyarrow.dataset.Dataset
        Columns market, time (aware, UTC) and those of the kind. Dask: index ``time``; a partition is one
        market and month (day of trades, year of hours), with divisions where there is one market.

    Raises
    ------
    NotCached
        Naming the markets and ranges that are missing.
    QueryError, UsageError, StoreError
        Also where the store is in memory, as inside a cassette.

    Notes
    -----
    Files are linked, not copied, into ``.snapshots`` in the store; what was merged or pruned meanwhile takes
    up room until the result is gone. Checksums are not verified: ``uf.cache.verify()`` does that. Dask reads
    through the store when it computes and sees what is stored then, so its workers need the same folder.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> day = uf.scan(quote="KRW", interval="1m", start="2026-01-31", end="2026-02-01")  # doctest: +SKIP
    >>> day.group_by("market").agg(pl.col("value").sum()).collect()  # doctest: +SKIP
    """
    from upbit_frames.datasets.engines import build, check_engine, output_columns
    from upbit_frames.datasets.selection import check_missing, missing_of, missing_text, select, select_shared
    from upbit_frames.store.object_store import ObjectStore

    choice("kind", kind, STORED_KINDS)
    choice("engine", engine, SCAN_ENGINES)
    choice("missing", missing, MISSING)
    check_engine(engine)
    names = output_columns(kind, columns)
    everything = markets is None and quote is None
    chosen = MarketSelection(()) if everything else parse_selection(markets, quote, currencies=True)
    unit = Interval.parse(interval) if kind == "candles" else None
    now, zone = server_now(config), parse_zone(config.tz)
    low, high = parse_span(start, end, zone, now)
    fetching = missing == "fetch"
    if fetching and (low is None or store is not None or everything):
        raise QueryError(
            "missing='fetch' needs markets or quote, and start, and fetches into the store of the settings"
        )
    shared = store is not None and "://" in os.fspath(store)
    objects = ObjectStore(check_store_url(store), config.origin) if shared else None
    root = None if shared else _root(config, store)
    meter = Progress()
    parts = engine_for(config)

    def take(codes: tuple[str, ...], groups: tuple[str, ...]) -> Selection:
        if objects is not None:
            return select_shared(objects, kind, unit, codes or None, groups, low, high)
        assert root is not None
        return select(root, kind, unit, codes or None, groups, low, high)

    def stored() -> Selection | None:
        return None if fetching or chosen.names else take(chosen.markets, chosen.quotes)

    async def work() -> Selection:
        codes, groups = chosen.markets, chosen.quotes
        if not fetching:  # of a quote currency what is stored is read
            codes = await resolve(parts.quotes, replace(chosen, quotes=()))
        elif low is not None:
            codes, groups = await resolve(parts.quotes, chosen), ()
            summaries = await bulk.download(parts.ports, codes, unit, low, high, "auto", meter)
            failed = [summary for summary in summaries if summary.error]
            if failed:
                first = f"{failed[0].market}: {failed[0].error}"
                raise StoreError(
                    f"{len(failed)} of {len(summaries)} markets could not be fetched: {first}",
                    suggestion="scan again: what was fetched is stored; or missing='ignore'",
                )
        selection: Selection = await in_thread(take, codes, groups)
        return selection

    def finish(selection: Selection) -> Any:
        if missing != "ignore":
            lacking = missing_of(selection, now())
            if lacking and missing == "warn":
                warn(missing_text(lacking))
            else:
                check_missing(lacking, hint="the exchange no longer has it; missing='ignore'" if fetching else None)
        return build(engine, selection, names)

    return Call(work, finish, meter, f"{kind} to scan", config.progress, stored)


def _root(config: Config, store: str | os.PathLike[str] | None) -> Path:
    if store is None:
        root = engine_for(config).ports.store.path
        if root is None:
            raise StoreError("the store is in memory here and has no files", suggestion="scan outside of the cassette")
        return root
    root = Path(store)
    if not root.is_dir():
        raise QueryError(f"store must be the folder of a store, got {os.fspath(store)!r}, which is no folder")
    return root


def sql(config: Config, query: str, *, tz: Zone | None = None, output: Output | None = None) -> Call[Frame]:
    """Run SQL over the stored rows with DuckDB.

    Parameters
    ----------
    query : str
        Over the views ``candles_1m``, ``candles_1h``, ``candles_1d`` …, ``candles_1mo`` for months, and
        ``trades``: every market that is stored, with the columns market and time and those of the kind.
        Only what is stored is read; ``uf.cache.coverage`` says what that is.
    tz : str, optional
        Zone of the session: of times without a zone in the query, of ``date_trunc``, and of the times in
        the result. Default: the setting, UTC.
    output : {"pandas", "arrow", "polars"}, optional
        Default: the setting, pandas.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        The rows of the query; in pandas with a plain index.

    Raises
    ------
    QueryError
        If DuckDB refuses the query, with its own message.
    UsageError
        Without the extra ``scan``.
    StoreError
        If the store cannot be read.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.sql("select market, sum(value) from candles_1m group by market")  # doctest: +SKIP
    """
    from upbit_frames.datasets.engines import check_engine
    from upbit_frames.datasets.sql import run_sql
    from upbit_frames.frames.output import to_polars

    check_engine("duckdb")
    view = View.build(config, tz, output)
    if not isinstance(query, str) or not query.strip():
        raise QueryError(f"query must be SQL text, got {query!r}")
    root = _root(config, None)

    def finish(table: Any) -> Any:
        if view.output == "arrow":
            return table
        return to_polars(table, tz=view.tz) if view.output == "polars" else table.to_pandas()

    async def work() -> Any:
        return await in_thread(run_sql, root, query, view.tz)

    return Call(work, finish, Progress(), "SQL")
