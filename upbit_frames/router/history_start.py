"""The independent sign of where a market's history begins: its first month or day with a candle.

It is fetched when a page claims that nothing is older, once a market, and kept beside the series
as soon as it has agreed with such a claim. How the two are compared: :mod:`upbit_frames.core.availability`.
"""

from __future__ import annotations

from upbit_frames.core.availability import nothing_before
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT
from upbit_frames.core.intervals import INTERVALS, Interval, Span
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import RowStore, Series

__all__ = ["fetch_first_period", "nothing_older", "pause", "stored_first_period"]

EMPTY_PAGE_TRIES = 3  # for a first month or day that comes back empty
NOTE_KEY = "first"  # keeps a market's first month or day with a candle


async def pause(ports: Ports, attempt: int) -> None:
    """Wait before an implausible page is requested again."""
    await ports.clock.sleep(RetryPolicy().pause(attempt))


async def nothing_older(
    ports: Ports, store: RowStore, series: Series, claim: int, row: bool, progress: Progress
) -> bool | None:
    """Compare a claimed beginning of candles with the market's first month, and with its first day where that decides.

    Parameters
    ----------
    store : RowStore
        Keeps the sign.
    series : Series
        Of candles.
    claim : int
        Nothing is older than this moment.
    row : bool
        Whether a candle begins there.

    Returns
    -------
    bool or None
        Whether the sign agrees; None where it is inconclusive, or the exchange has none.
    """
    interval = INTERVALS[series.interval or ""]
    first = await in_thread(stored_first_period, store, series.market)
    if first is not None and nothing_before(interval, claim, row=row, first=first):
        return True
    month = await fetch_first_period(ports, series.market, INTERVALS["1M"], None, progress)
    if month is None:
        return None
    first, verdict = month, nothing_before(interval, claim, row=row, first=month)
    if verdict is None:
        day = await fetch_first_period(ports, series.market, INTERVALS["1d"], month, progress)
        if day is None:
            return None
        first, verdict = day, nothing_before(interval, claim, row=row, first=day)
    if verdict:
        await in_thread(store.note, series, NOTE_KEY, [*first])
    return verdict


async def fetch_first_period(
    ports: Ports, market: str, coarse: Interval, within: Span | None, progress: Progress
) -> Span | None:
    """Fetch the first month of a market with a candle, or the first day of that month.

    None where the exchange shows no candle at all, or more than one page of them.
    """
    for attempt in range(1, EMPTY_PAGE_TRIES + 1):
        page = await ports.api.candles(market, coarse, to=None if within is None else within.end)
        progress.requests += 1
        table = page.table
        if len(table):
            start = table["time"][0].value
            return Span(start, coarse.shift(start, 1)) if len(table) < CANDLES_MAX_COUNT else None
        await pause(ports, attempt)
    return None


def stored_first_period(store: RowStore, market: str) -> Span | None:
    """Return the market's first month or day, as it was kept for any of its series."""
    for name in INTERVALS:
        kept = store.notes(Series("candles", market, name)).get(NOTE_KEY)
        if isinstance(kept, list) and len(kept) == 2 and all(isinstance(moment, int) for moment in kept):
            return Span(*kept)
    return None
