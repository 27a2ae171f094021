"""Bring every stored series up to now, many side by side; one that fails does not stop the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from upbit_frames.core.availability import expires
from upbit_frames.core.intervals import Span, iso
from upbit_frames.core.text import counted
from upbit_frames.datasets.collect.catch_up import Gain, catch_up, due
from upbit_frames.datasets.collect.market_lists import MarketLists, Rescaled
from upbit_frames.errors import MarketNotFound, SeriesChanged, StoreError, UpbitFramesError
from upbit_frames.router.candle_pages import CONCURRENCY
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series, Store

__all__ = ["Outcome", "choose", "summary", "update"]

SERIES_AT_ONCE = 40  # so that requests always wait for the limit, however long answers and writing take

STATUSES = ("updated", "current", "not listed", "changed", "failed")


@dataclass(frozen=True)
class Outcome:
    """What an update did for one series.

    Attributes
    ----------
    series : Series
    status : str
        ``updated``, ``current`` (nothing new can be final), ``not listed`` (the exchange does not know the market),
        ``changed`` (its history was rewritten; nothing was stored) or ``failed``.
    gain : Gain
    requests : int
    covered_until : int or None
        Microseconds UTC; None where nothing is stored.
    expires : int or None
        When the exchange may stop to serve what comes after ``covered_until``; None where it does not.
    error : UpbitFramesError or None
    """

    series: Series
    status: str
    gain: Gain
    requests: int = 0
    covered_until: int | None = None
    expires: int | None = None
    error: UpbitFramesError | None = field(default=None, compare=False)


def choose(
    stored: Iterable[Series], markets: Sequence[str], quotes: Sequence[str], interval: str | None
) -> list[Series]:
    """Return the stored series that are meant: all where neither markets nor quote currencies are named.

    Parameters
    ----------
    markets, quotes : sequence of str
        These markets, and those of these quote currencies.
    interval : str, optional
        Name of an interval, or ``"trades"``.
    """
    return [
        series
        for series in stored
        if series.kind != "orderbook"  # no request brings what was not recorded
        and (not (markets or quotes) or series.market in markets or series.market.partition("-")[0] in quotes)
        and (interval is None or (series.interval or series.kind) == interval)
    ]


async def update(
    ports: Ports,
    chosen: Sequence[Series],
    lists: MarketLists | None,
    fetch_list: Callable[[], Awaitable[object]],
    progress: Progress,
) -> list[Outcome]:
    """Bring the chosen series up to now.

    Parameters
    ----------
    lists : MarketLists or None
        Where today's list of markets belongs; it is fetched if anything is due and it is not there yet.
    fetch_list : coroutine function
        Fetches the list of markets, which keeps it.
    """
    starting = await in_thread(_due, ports.store, chosen, ports.server_time.now())
    if lists is not None and starting:
        await _keep_list(ports, lists, fetch_list, progress)
    pages = {series: -(-grid.slots(*span) // 200) if (grid := series.grid) else 1 for series, span in starting.items()}
    progress.expected += sum(pages.values())
    # A recording must ask in the same order every time: then one request is under way at once.
    room = asyncio.Semaphore(SERIES_AT_ONCE if ports.concurrency > 1 else 1)
    concurrency = max(1, min(CONCURRENCY, ports.concurrency) // max(1, len(starting)))

    async def bounded(series: Series) -> Outcome:
        async with room:
            return await _update_series(ports, series, lists, progress, concurrency)

    return list(await asyncio.gather(*(bounded(series) for series in chosen)))


def _due(store: Store, chosen: Sequence[Series], now: int) -> dict[Series, Span]:
    spans = {}
    for series in chosen:
        covered = store.covered(series)
        if covered and not (span := due(series, covered, now)).empty:
            spans[series] = span
    return spans


async def _keep_list(
    ports: Ports, lists: MarketLists, fetch_list: Callable[[], Awaitable[object]], progress: Progress
) -> None:
    """Fetch the list of markets once a day; without it the rows are brought all the same."""
    if await in_thread(lists.has, ports.server_time.now()):
        return
    progress.requests += 1
    try:
        await fetch_list()
    except UpbitFramesError:
        return  # each series will say what is wrong


async def _update_series(
    ports: Ports, series: Series, lists: MarketLists | None, progress: Progress, concurrency: int
) -> Outcome:
    own = Progress()
    gain, error = Gain(Span(0, 0)), None
    try:
        gain = await catch_up(ports, series, own, concurrency)
    except UpbitFramesError as failed:
        error = failed
    progress.requests += own.requests
    progress.rows += own.rows
    if isinstance(error, SeriesChanged) and lists is not None and error.context.get("factor") is not None:
        error = await in_thread(_note, lists, error, ports.server_time.now())
    try:
        covered = await in_thread(ports.store.covered, series)
    except StoreError as failed:
        covered, error = [], error or failed
    until = covered[-1].end if covered else None
    return Outcome(
        series, _status(gain, error), gain, own.requests, until,
        None if until is None else expires(series.grid, until), error,
    )  # fmt: skip


def _status(gain: Gain, error: UpbitFramesError | None) -> str:
    if isinstance(error, SeriesChanged):
        return "changed"
    if isinstance(error, MarketNotFound):
        return "not listed"
    if error is not None:
        return "failed"
    return "current" if gain.span.empty else "updated"


def _note(lists: MarketLists, error: SeriesChanged, now: int) -> UpbitFramesError:
    """Keep a redenomination that was noticed; the error to report, which is that of the folder where it fails."""
    context = error.context
    try:
        lists.note(
            Rescaled(context["market"], context["interval"], context["factor"], context["first"], context["last"], now)
        )
    except StoreError as failed:
        error.suggestion = f"{error.suggestion}. The redenomination could not be noted: {failed.message}"
    return error


def summary(outcomes: Sequence[Outcome], seconds: float, requests: int) -> list[str]:
    """Describe an update in a few lines."""
    if not outcomes:
        return ["nothing is stored, so there is nothing to update; uf.download begins a series"]
    number = Counter(outcome.status for outcome in outcomes)
    counts = ", ".join(f"{number[name]:,} {name}" for name in STATUSES if number[name])
    rows = sum(outcome.gain.rows for outcome in outcomes)
    cost = f"{counted(requests, 'request')}, {seconds:,.1f} s"
    lines = [f"{len(outcomes):,} series: {counts}; {counted(rows, 'new row')}, {cost}"]
    wrong = [outcome for outcome in outcomes if outcome.status in ("changed", "failed")]
    lines += [f"{outcome.series}: {outcome.error.message}" for outcome in wrong if outcome.error]
    ending = sorted(
        (outcome for outcome in outcomes if outcome.expires is not None), key=lambda outcome: outcome.expires or 0
    )
    if ending and ending[0].expires is not None:
        first = ending[0]
        after, until = iso(first.covered_until or 0), iso(first.expires or 0)
        lines.append(f"next to expire: {first.series} after {after} is served until {until}")
    return lines
