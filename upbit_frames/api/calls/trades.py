"""Trades."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from upbit_frames.api.calls.call import Call, render
from upbit_frames.api.calls.pinning import check_pinned, pin_query
from upbit_frames.api.engine import engine_for, server_now
from upbit_frames.api.literals import Frame, Markets, Moment, Output, ProgressMode, Source, Zone
from upbit_frames.core.config import Config
from upbit_frames.core.market_selection import parse_selection
from upbit_frames.core.query import TradeQuery, View
from upbit_frames.router.market_selection import resolve_query
from upbit_frames.runtime.progress import Progress

if TYPE_CHECKING:
    from upbit_frames.router.result import Result

__all__ = ["trades"]


def trades(
    config: Config,
    market: Markets | None = None,
    *,
    quote: str | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    count: int | None = None,
    tz: Zone | None = None,
    output: Output | None = None,
    source: Source = "auto",
    columns: Iterable[str] | None = None,
    progress: ProgressMode | None = None,
) -> Call[Frame]:
    """Single trades, oldest first.

    Upbit serves the last seven UTC days; what was fetched once stays in the local store and
    outlives them.

    Parameters
    ----------
    market, quote
        As for :func:`candles`.
    start, end : str, date, datetime, Timestamp or datetime64, optional
        ``[start, end)`` on the time of the trade. What has no zone is read in ``tz``.
    count : int, optional
        With ``end`` or alone: the newest so many, 200 unless given. With ``start``: the first.
    tz, output, progress
        As for :func:`candles`.
    columns : iterable of str, optional
        Read and return only these, in this order; of Parquet files only their column chunks are read. The
        index always comes too. Default: all.
    source : {"auto", "store", "rest", "live", "archive", "shared"}
        As for :func:`candles`. The newest trades (neither ``start`` nor ``end``), requested frequently, are
        served from a stream; ``"live"`` requires that, up to 500 of them.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index ``time`` (aware, ascending; several trades may share one), of several markets (market,
        time). Columns price (quote
        currency), volume (base currency), value (their product, 거래대금), side ("ask" or "bid", the
        taker's: bid means that a buyer took an ask), sequential_id (int64, unique), seq (only from
        the archive).

    Warns
    -----
    UpbitFramesWarning
        Where a part of the range is older than Upbit's seven days and not in the store; the
        route says which.

    Raises
    ------
    InvalidMarket, InvalidRange, MarketNotFound, NotCached
        And everything that :func:`candles` can raise.

    Notes
    -----
    upbit-api 3.3.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.trades("KRW-BTC", start="-1h")["volume"].sum()  # doctest: +SKIP
    """
    view = View.build(config, tz, output)
    selection = parse_selection(market, quote)
    query = TradeQuery.build(
        selection, start=start, end=end, count=count, source=source, columns=columns, tz=view.tz, now=server_now(config)
    )
    wanted = selection, query
    selection, query = pin_query("trades", selection, query)
    meter = Progress()
    engine = engine_for(config)

    def finish(answer: Result) -> Any:
        check_pinned(config, "trades", *wanted, answer)
        return render(answer, "trades", view, ["market", "time"] if query.many else ["time"])

    async def work() -> Result:
        return await engine.trades.fetch(await resolve_query(engine.quotes, selection, query), meter)

    return Call(
        work, finish, meter, f"{selection.title} trades",
        config.progress if progress is None else progress,
    )  # fmt: skip
