"""Bring one stored series up to now.

Candles: the last stored one is fetched again and compared before anything is stored. Where the new candles fit into
some pages, it rides in the last of them, and all are stored at once; else it costs a request of its own, and the pages
are stored as they come. A short answer is asked for again before it is believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from upbit_frames.core.availability import SEAL_GRACE, rest_horizon, sealed_until
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT
from upbit_frames.core.intervals import Interval, Span, intersect, iso
from upbit_frames.datasets.collect.rewritten import Row, changed_error, factor_of, first_changed, last_row, same_candle
from upbit_frames.errors import SchemaError, SeriesChanged
from upbit_frames.router.call_store import CallStore
from upbit_frames.router.candle_fetch import CandleFetcher
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.candle_pages import Page
from upbit_frames.router.history_start import pause
from upbit_frames.router.ports import Ports, sync_server_time
from upbit_frames.router.single_flight import single_flight
from upbit_frames.router.trade_history import TradeHistory
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Gain", "catch_up", "due"]

HELD_PERIODS = 100 * CANDLES_MAX_COUNT  # of a series whose new candles are held in memory until they are compared
TRIES = 2  # of a page that came back short, and of a candle that differs: two readings count


@dataclass(frozen=True)
class Gain:
    """What an update brought for one series.

    Attributes
    ----------
    span : Span
        From the end of what was covered to the end of what is covered now; empty where nothing was due.
    rows : int
    compared : bool
        Whether the last stored candle was fetched again, and is the same.
    missing : tuple of Span
        What is no longer served and not stored.
    """

    span: Span
    rows: int = 0
    compared: bool = False
    missing: tuple[Span, ...] = field(default=())


def due(series: Series, covered: list[Span], now: int) -> Span:
    """Return what an update has to bring by the exchange's time; empty where nothing new can be final."""
    begin = covered[-1].end
    end = now - SEAL_GRACE if series.grid is None else sealed_until(series.grid, now)
    return Span(begin, max(begin, end))


async def catch_up(ports: Ports, series: Series, progress: Progress, concurrency: int) -> Gain:
    """Bring one stored series up to now.

    Parameters
    ----------
    progress : Progress
        Of this series alone; its requests are what the series cost.
    concurrency : int
        Requests that a series with more than a hundred new pages may have under way at once.

    Raises
    ------
    SeriesChanged
        If the exchange serves other numbers for the last stored candle; nothing was stored.
    MarketNotFound, RateLimited, Blocked, ServerError, Timeout, ConnectionFailed, SchemaError, StoreError
    """
    covered = await in_thread(ports.store.covered, series)
    if due(series, covered, ports.server_time.now()).empty:
        return Gain(Span(covered[-1].end, covered[-1].end))
    await sync_server_time(ports, series.market, Progress())
    span = due(series, covered, ports.server_time.now())
    if span.empty:
        return Gain(span)
    return await (_Trades if series.grid is None else _Candles)(ports, series, progress, concurrency).run(span, covered)


class _Trades:
    def __init__(self, ports: Ports, series: Series, progress: Progress, concurrency: int) -> None:
        self.ports = ports
        self.series = series
        self.progress = progress

    async def run(self, span: Span, covered: list[Span]) -> Gain:
        history = TradeHistory(self.ports, self.series.market, "auto", self.progress, into_store=True)
        counted = await history.fetch_range(span)
        known = await in_thread(self.ports.store.covered, self.series)
        missing = tuple(intersect([span], history.unavailable))
        return Gain(Span(span.start, known[-1].end), counted.rows, missing=missing)


class _Candles:
    def __init__(self, ports: Ports, series: Series, progress: Progress, concurrency: int) -> None:
        assert series.grid is not None
        self.ports = ports
        self.series = series
        self.interval: Interval = series.grid
        self.progress = progress
        self.concurrency = concurrency
        self.store = CallStore(ports.store, required=True)
        self.fetcher = CandleFetcher(ports, self.store, series.market, self.interval, "auto", progress, 1)

    async def run(self, span: Span, covered: list[Span]) -> Gain:
        horizon = self.interval.shift(rest_horizon(self.interval, self.ports.server_time.now()), 1)
        stored_last = await in_thread(last_row, self.store, self.series, covered, span.start)
        last = None if stored_last is None or _row(stored_last[0])["time"] < horizon else _row(stored_last[0])
        together = stored_last is not None and stored_last[1].end == span.start
        if last is None or not together or self.interval.slots(last["time"], span.end) > HELD_PERIODS:
            return await self._apart(span, last, horizon)
        return await self._together(span, last)

    # --- few new candles ----------------------------------------------------------------------------

    async def _together(self, span: Span, last: Row) -> Gain:
        """Fetch the new candles and the last stored one in the same pages, and store them if that is the same."""

        def lacking() -> bool:
            return self.ports.store.covered(self.series)[-1].end < span.end

        async with single_flight(self.ports, self.store, self.series, lacking):
            if not await in_thread(lacking):  # another call has just brought it
                return Gain(Span(span.end, span.end))
            table, date = await self._agreeing_pages(span, last)
            new = table.slice(1)
            if len(new) and _row(new)["time"] < span.start:
                market, name = self.series.market, self.interval.name
                raise SchemaError(
                    f"the exchange serves a candle of {market} {name} at {iso(_row(new)['time'])}, where the store "
                    "knows that nothing was traded",
                    suggestion=f"uf.cache.verify({market!r}, {name!r}, sample=10, repair=True) replaces what differs",
                    market=market,
                )
            await self.fetcher.keep(span, Page(len(new), None, (new, date)))
        return await self._gain(span, compared=True)

    async def _agreeing_pages(self, span: Span, last: Row) -> tuple[pa.Table, int | None]:
        """Fetch the pages, again where they are odd in the last stored candle: then they may be so in others.

        Raises
        ------
        SeriesChanged
            If that candle, fetched alone, is not as it is stored either.
        SchemaError
            If page and candle go on contradicting each other.
        """
        for attempt in range(1, TRIES + 1):
            table, date = await self._pages(span, last["time"])
            first = _row(table) if len(table) else None
            if first is not None and first["time"] == last["time"] and same_candle(last, first):
                return table, date
            await pause(self.ports, attempt)
            await self._require_same(last)
        raise SchemaError(
            f"the exchange serves the candle of {self.series.market} {self.interval} at {iso(last['time'])} with one "
            "number in a page and another alone",
            suggestion="try again later; nothing was stored",
            market=self.series.market,
        )

    async def _pages(self, span: Span, oldest: int) -> tuple[pa.Table, int | None]:
        """Fetch every candle from ``oldest`` up to the end of a span, newest page first; with the first page's date."""
        import pyarrow as pa

        tables: list[pa.Table] = []
        to, date = span.end, None
        while to > oldest:
            page = await self._page(to, min(CANDLES_MAX_COUNT, self.interval.slots(oldest, to)), oldest)
            if page.oldest is None:
                break
            table, written = page.payload
            date = written if to == span.end else date
            tables.insert(0, table)
            to = page.oldest
        joined = pa.concat_tables(tables) if tables else None
        if joined is None:
            raise SchemaError(
                f"the exchange serves no candle of {self.series.market} {self.interval} before {iso(span.end)}, "
                f"although one at {iso(oldest)} is stored",
                suggestion="try again later; nothing was stored",
                market=self.series.market,
            )
        times = joined["time"].cast("int64").to_numpy()
        return joined.slice(int((times < oldest).sum())), date

    async def _page(self, to: int, count: int, oldest: int) -> Page:
        """Fetch a page; one that ends before the candle it must reach is fetched again, and the fuller one counts."""
        best = Page(0, None, None)
        for attempt in range(1, TRIES + 1):
            page = await self.fetcher.page(to, count)
            best = max(best, page, key=lambda candidate: candidate.rows)
            if best.rows == count or (best.oldest is not None and best.oldest <= oldest):
                break
            if attempt < TRIES:
                await pause(self.ports, attempt)
        return best

    # --- many ---------------------------------------------------------------------------------------

    async def _apart(self, span: Span, last: Row | None, horizon: int) -> Gain:
        """Compare the last stored candle, if it is still served, then fetch like a download."""
        if last is not None:
            await self._require_same(last)
        history = CandleHistory(
            self.ports, self.series.market, self.interval, "auto", self.progress, self.concurrency, into_store=True
        )
        await history.fetch_range(span)
        return await self._gain(span, compared=last is not None, unavailable=history.fetcher.unavailable)

    async def _gain(self, span: Span, *, compared: bool, unavailable: list[Span] | None = None) -> Gain:
        known = await in_thread(self.ports.store.covered, self.series)
        reached = Span(span.start, max(span.start, known[-1].end))
        rows = await in_thread(self.ports.store.count, self.series, reached)
        return Gain(reached, rows, compared, tuple(intersect([span], unavailable or [])))

    # --- comparing ----------------------------------------------------------------------------------

    async def _served(self, start: int) -> Row | None:
        """Fetch one candle; None where the exchange has none there."""
        page = await self.fetcher.page(self.interval.shift(start, 1), 1)
        return _row(page.payload[0]) if page.oldest == start else None

    async def _require_same(self, stored: Row) -> None:
        """Fetch the candle alone; raise SeriesChanged if the exchange serves other numbers, and does so again."""
        for attempt in range(1, TRIES + 1):
            served = await self._served(stored["time"])
            if same_candle(stored, served):
                return
            if attempt < TRIES:
                await pause(self.ports, attempt)
        raise await self._changed(stored, served)

    async def _changed(self, stored: Row, served: Row | None) -> SeriesChanged:
        covered = await in_thread(self.ports.store.covered, self.series)

        async def rows(moment: int) -> Row | None:
            stored_last = await in_thread(last_row, self.store, self.series, covered, moment)
            return None if stored_last is None else _row(stored_last[0])

        async def differs(row: Row) -> bool:
            there = await self._served(row["time"])
            if factor_of(stored, served) is None:
                return not same_candle(row, there)
            return factor_of(row, there) is not None

        info = await in_thread(self.ports.store.info, self.series)
        horizon = self.interval.shift(rest_horizon(self.interval, self.ports.server_time.now()), 1)
        low = max(
            info.first if info.first is not None else stored["time"], horizon if self.interval.name == "1s" else 0
        )
        first = await first_changed(rows, differs, low, stored, self.interval)
        return changed_error(self.series, stored, served, first)


def _row(table: pa.Table) -> Row:
    """Return the first row of a table of candles, its time in microseconds."""
    row: Row = {name: table[name][0].as_py() for name in table.column_names if name != "time"}
    return {"time": table["time"][0].value, **row}
