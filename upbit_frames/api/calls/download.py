"""Many series at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upbit_frames.api.calls.call import Call
from upbit_frames.api.engine import engine_for, server_now
from upbit_frames.api.literals import IntervalLike, Markets, Moment, ProgressMode, Source, Zone
from upbit_frames.core.arguments import choice
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Interval
from upbit_frames.core.market_selection import parse_selection
from upbit_frames.core.markets import parse_markets
from upbit_frames.core.moments import parse_zone
from upbit_frames.core.query import parse_range
from upbit_frames.errors import InvalidRange
from upbit_frames.router import cross_check as checking
from upbit_frames.router import download as bulk
from upbit_frames.router.market_selection import resolve
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.telemetry import telemetry
from upbit_frames.store.results import Finding

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cross_check", "download"]

DOWNLOAD_SOURCES = ("auto", "rest", "archive")


def download(
    config: Config,
    markets: Markets | None = None,
    interval: IntervalLike = "1m",
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    quote: str | None = None,
    tz: Zone | None = None,
    source: Source = "auto",
    progress: ProgressMode | None = None,
) -> Call[pd.DataFrame]:
    """Download a range of many markets into the local store.

    Nothing is fetched twice: a run that was broken off goes on where it stopped, and a market that
    fails does not stop the others.

    Parameters
    ----------
    markets : str or iterable of str, optional
        Codes; a quote currency such as ``"KRW"`` stands for all of its markets.
    quote : str, optional
        All markets of one quote currency. Not together with ``markets``.
    interval : str
        As for :func:`candles`, or ``"trades"``.
    start : str, date, datetime or Timestamp
        Inclusive. Required.
    end : str, date, datetime or Timestamp, optional
        Exclusive; default now.
    tz, progress
        As for :func:`candles`.
    source : {"auto", "rest", "archive"}

    Returns
    -------
    pandas.DataFrame
        Index ``market``; columns rows (in the range now), stored (were there before), shared, rest,
        archive (came from there), requests, missing (ranges that no source serves), error (empty where all is well).

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.download(["KRW-BTC", "KRW-ETH"], "1h", "2024-01-01")  # doctest: +SKIP
    """
    selection = parse_selection(markets, quote, currencies=True)
    unit = None if interval == "trades" else Interval.parse(interval)
    choice("source", source, DOWNLOAD_SOURCES)
    low, high, _ = parse_range(start, end, None, parse_zone(config.tz if tz is None else tz), server_now(config))
    if low is None:
        raise InvalidRange("a download needs a start", suggestion="give start, for instance '2024-01-01'")
    meter = Progress()
    engine = engine_for(config)

    def finish(summaries: list[bulk.DownloadSummary]) -> pd.DataFrame:
        import pandas as pd

        came = {"store": "stored", "shared": "shared", "rest": "rest", "archive": "archive"}
        route = [
            {"channel": channel, "reason": "download", "rows": rows}
            for channel, name in came.items()
            if (rows := sum(getattr(summary, name) for summary in summaries))
        ]
        telemetry.answered({"route": route})
        return pd.DataFrame(bulk.to_rows(summaries)).set_index("market")

    async def work() -> list[bulk.DownloadSummary]:
        listed = await resolve(engine.quotes, selection)
        return await bulk.download(engine.ports, listed, unit, low, high, source, meter)

    return Call(
        work, finish, meter, f"{selection.title} {unit or interval}",
        config.progress if progress is None else progress,
    )  # fmt: skip


def cross_check(
    config: Config, market: str, interval: str, *, sample: int = 10, repair: bool = False
) -> Call[list[Finding]]:
    """Compare stored candles with fresh answers; the work behind ``uf.cache.verify(sample=…)``."""
    codes, _ = parse_markets(market)
    unit = Interval.parse(interval)
    engine = engine_for(config)
    return Call(lambda: checking.cross_check(engine.ports, codes[0], unit, sample, repair), lambda findings: findings)
