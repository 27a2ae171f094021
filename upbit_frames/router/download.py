"""Download ranges of many series into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upbit_frames.core.availability import sealed_until
from upbit_frames.core.intervals import Interval, Span, intersect, iso
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import InvalidRange, UpbitFramesError
from upbit_frames.router.candle_fetch import CandleFetcher
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.ports import Ports, sync_server_time
from upbit_frames.router.trade_history import TradeHistory
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress

if TYPE_CHECKING:
    pass

__all__ = ["DownloadSummary", "download"]

MAX_CONCURRENT_MARKETS = 4


@dataclass(frozen=True)
class DownloadSummary:
    """What a download brought for one market.

    Attributes
    ----------
    market : str
    rows : int
        Stored in the range now.
    stored, shared, rest, archive : int
        Rows that were there before, came from the shared store, over REST, from the archive.
    requests : int
    missing : list of str
        Ranges that no source serves.
    error : str or None
        Why this market could not be finished.
    """

    market: str
    rows: int = 0
    stored: int = 0
    shared: int = 0
    rest: int = 0
    archive: int = 0
    requests: int = 0
    missing: tuple[str, ...] = ()
    error: str | None = None


async def download(
    ports: Ports,
    markets: Sequence[str],
    interval: Interval | None,
    start: int,
    end: int | None,
    source: str,
    progress: Progress,
) -> list[DownloadSummary]:
    """Download a range of many markets into the store; None as interval means trades.

    A market that fails does not stop the others; what was fetched of it is stored.
    """
    semaphore = asyncio.Semaphore(MAX_CONCURRENT_MARKETS)

    async def download_market(market: str) -> DownloadSummary:
        async with semaphore:
            try:
                return await _download_market(ports, market, interval, start, end, source, progress)
            except UpbitFramesError as error:
                return DownloadSummary(market, error=f"{type(error).__name__}: {error.message}")

    return list(await asyncio.gather(*(download_market(market) for market in markets)))


async def _download_market(
    ports: Ports, market: str, interval: Interval | None, start: int, end: int | None, source: str, progress: Progress
) -> DownloadSummary:
    history: CandleHistory | TradeHistory
    if interval is None:
        history = trades = TradeHistory(ports, market, source, progress, into_store=True)
        fetch: CandleFetcher | TradeHistory = trades
    else:
        history = candles = CandleHistory(ports, market, interval, source, progress, concurrency=2, into_store=True)
        fetch = candles.fetcher
    await sync_server_time(ports, market, progress)
    span = _span(ports, interval, start, end)
    counted = await history.fetch_range(span)
    counts = {"store": 0, "shared": 0, "rest": 0, "archive": 0}
    for step in history.route(span, arrow_schema(history.series.kind).empty_table()):
        if step.channel in counts:
            for part in intersect([Span(step.start, step.end)], [span]):
                counts[step.channel] += (await in_thread(history.store.count_covered, history.series, part)).rows
    return DownloadSummary(
        market,
        rows=counted.rows,
        requests=sum(step.requests for step in fetch.fetched),
        missing=tuple(str(unavailable) for unavailable in intersect([span], fetch.unavailable)),
        stored=counts["store"],
        shared=counts["shared"],
        rest=counts["rest"],
        archive=counts["archive"],
    )


def _span(ports: Ports, interval: Interval | None, start: int, end: int | None) -> Span:
    now = ports.server_time.now()
    last = now if interval is None else sealed_until(interval, now)
    high = last if end is None else min(end, last)
    span = Span(start, high) if interval is None else Span(interval.ceil(start), interval.ceil(high))
    if span.empty:
        raise InvalidRange(f"start={iso(start)} lies in the future", suggestion=f"the exchange's clock says {iso(now)}")
    return span


def to_rows(summaries: Sequence[DownloadSummary]) -> list[dict[str, Any]]:
    """The summaries as rows of a frame."""
    return [
        {
            "market": summary.market, "rows": summary.rows, "stored": summary.stored, "shared": summary.shared,
            "rest": summary.rest, "archive": summary.archive, "requests": summary.requests,
            "missing": ", ".join(summary.missing), "error": summary.error or "",
        }
        for summary in summaries
    ]  # fmt: skip
