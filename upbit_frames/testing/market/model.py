"""The market behind the stand-in exchange: a set of trades, and everything computed from it.

No I/O. Results depend on the seed and the arguments, never on earlier calls.
Times are microseconds since the epoch, UTC; ranges are half-open; prices and volumes are integers
of 1e-8. What happens at or after ``now`` is not known yet, so the candle that holds ``now`` is
the forming candle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from upbit_frames.core.intervals import Interval, Span
from upbit_frames.testing.market.book import Book, make_book
from upbit_frames.testing.market.columns import Candles, Ints, Trades, fold, join_trades, no_candles, no_trades
from upbit_frames.testing.market.days import Day, days_of
from upbit_frames.testing.market.generated import DAY_MS, DAY_US, Maintenance, generated_trades, seeded_maintenance
from upbit_frames.testing.market.listings import Listing, default_listings
from upbit_frames.testing.market.quotes import Ticker, make_ticker
from upbit_frames.testing.market.sources import Source

__all__ = ["END_OF_TIME", "MarketModel"]

END_OF_TIME = 4_102_444_800_000_000  # 2100-01-01


class MarketModel:
    """All markets of a stand-in exchange.

    Parameters
    ----------
    seed : int
        Two models of the same seed and listings say the same.
    listings : iterable of Listing or Source, optional
        What is listed. A :class:`Listing` trades as the seed has it; a source
        (:class:`CandleFile`, :class:`FixedTrades`) brings its own trades.
    maintenance : sequence of Span, optional
        When no generated market trades. Default: some months have a seeded range of hours.
    now : function () -> int, optional
        Until when trades are known. Default: for ever.

    Examples
    --------
    >>> model = MarketModel(seed=7)
    >>> hour = 3_600_000_000
    >>> candles = model.candles("KRW-BTC", "1m", 1_772_323_200_000_000, 1_772_323_200_000_000 + hour)
    >>> len(candles)
    60
    """

    def __init__(
        self,
        seed: int = 7,
        listings: Iterable[Listing | Source] | None = None,
        *,
        maintenance: Iterable[Span] | None = None,
        now: Callable[[], int] | None = None,
    ) -> None:
        self.seed = seed
        self._now = now or (lambda: END_OF_TIME)
        self._maintenance: Maintenance | tuple[Span, ...] = (
            seeded_maintenance(seed) if maintenance is None else tuple(maintenance)
        )
        self._sources: dict[str, Source] = {}
        for listing in default_listings() if listings is None else listings:
            source = generated_trades(listing, seed, self._maintenance) if isinstance(listing, Listing) else listing
            self._sources[source.listing.market] = source
        self._current: dict[tuple[str, int], tuple[int, Day]] = {}
        self._folded: dict[tuple[str, str, int], Ints] = {}

    # --- what is listed -----------------------------------------------------------------------

    def markets(self, now: int | None = None) -> list[Listing]:
        """Return the markets listed at a moment, in the order of the listings."""
        return [source.listing for source in self._sources.values() if _known(source.listing, self._until(now))]

    def listing(self, market: str, now: int | None = None) -> Listing | None:
        """Return the listing of a market code; None if it is unknown, not listed yet or delisted by then."""
        source = self._sources.get(market)
        return source.listing if source is not None and _known(source.listing, self._until(now)) else None

    def maintenance(self, start: int, end: int) -> list[Span]:
        """Return the ranges inside ``[start, end)`` in which no generated market trades."""
        spans: Iterable[Span] = ()
        if isinstance(self._maintenance, Maintenance):
            years = range(1970 + start // (366 * DAY_US), 1971 + end // (365 * DAY_US))
            spans = (span for year in years for span in self._maintenance.of_year(year))
        else:
            spans = self._maintenance
        return [span for span in spans if span.start < end and span.end > start]

    def _until(self, now: int | None) -> int:
        return self._now() if now is None else now

    # --- trades -------------------------------------------------------------------------------

    def trades(self, market: str, start: int, end: int, now: int | None = None) -> Trades:
        """Return the trades of ``[start, end)`` that happened before ``now``, in order of time."""
        return join_trades(self.trades_by_day(market, start, end, now))

    def trades_by_day(self, market: str, start: int, end: int, now: int | None = None) -> list[Trades]:
        """Return the same as a part for each day, days without trades left out."""
        source, end = self._sources[market], min(end, self._until(now))
        parts: list[Trades] = []
        if start >= end:
            return parts
        for day in source.active_days(start // DAY_US, -(-end // DAY_US)).tolist():
            trades = days_of(source).day(source, day).trades
            if day * DAY_US < start or (day + 1) * DAY_US > end:
                trades = trades.between(-(-start // 1000), -(-end // 1000))
            if len(trades):
                parts.append(trades)
        return parts

    def last_trade(self, market: str, before: int) -> Trades:
        """Return the last trade before a moment, as a row; no row if there is none."""
        source, day = self._sources[market], before // DAY_US + 1
        while (active := source.last_active_day(day)) is not None:
            trades = self._day_until(source, active, before).trades
            if len(trades):
                return trades[len(trades) - 1 : len(trades)]
            day = active
        return no_trades()

    def _day_until(self, source: Source, day: int, until: int) -> Day:
        """Return a day as it was known at a moment; the last such view of each day is cached."""
        whole = days_of(source).day(source, day)
        if (day + 1) * DAY_US <= until:
            return whole
        rows = int(np.searchsorted(whole.trades.ms, -(-until // 1000)))
        key = (source.listing.market, day)
        kept = self._current.get(key)
        if kept is None or kept[0] != rows:
            kept = (rows, Day(whole.trades[:rows]))
            if len(self._current) > 4 * len(self._sources):
                self._current.clear()
            self._current[key] = kept
        return kept[1]

    # --- candles ------------------------------------------------------------------------------

    def candles(self, market: str, interval: str | Interval, start: int, end: int, now: int | None = None) -> Candles:
        """Return the existing candles that start inside ``[start, end)``, aggregated from the trades before ``now``."""
        interval, source, until = Interval.parse(interval), self._sources[market], self._until(now)
        end = min(end, until)
        if start >= end:
            return Candles(no_candles())
        if interval.seconds is not None and interval.name != "1w":
            days = source.active_days(start // DAY_US, -(-end // DAY_US)).tolist()
            block = _join([self._day_block(source, day, interval, until) for day in days])
        else:
            first = max(interval.ceil(start), interval.floor(source.first_day * DAY_US))
            block = _join([self._long_block(source, start, interval, until) for start in interval.starts(first, end)])
        low, high = np.searchsorted(block[0], (start, end))
        return Candles(block[:, low:high])

    def last_candles(
        self, market: str, interval: str | Interval, to: int, count: int, now: int | None = None
    ) -> Candles:
        """Return the newest ``count`` existing candles that start before ``to``, in order of time."""
        interval, source, until = Interval.parse(interval), self._sources[market], self._until(now)
        to = min(to, until)
        parts: list[Ints] = []
        missing = count
        for block in self._backwards(source, interval, to, until):
            rows = int(np.searchsorted(block[0], to))
            parts.append(block[:, max(0, rows - missing) : rows])
            missing -= parts[-1].shape[1]
            if missing <= 0:
                break
        return Candles(_join(parts[::-1]))

    def _backwards(self, source: Source, interval: Interval, to: int, until: int) -> Iterable[Ints]:
        """Yield blocks of candles from that which ends at or holds ``to`` back to the first."""
        if interval.seconds is not None and interval.name != "1w":
            day = source.last_active_day(-(-to // DAY_US))
            while day is not None:
                yield self._day_block(source, day, interval, until)
                day = source.last_active_day(day)
            return
        start, first = interval.floor(to - 1), interval.floor(source.first_day * DAY_US)
        while start >= first:
            yield self._long_block(source, start, interval, until)
            start = interval.shift(start, -1)

    def _day_block(self, source: Source, day: int, interval: Interval, until: int) -> Ints:
        """Return a day's candles of an interval up to a day's length."""
        unit_ms = interval.step // 1000
        if unit_ms < DAY_MS or (day + 1) * DAY_US > until:
            return self._day_until(source, day, until).block(unit_ms)
        return days_of(source).candle(source, day)

    def _long_block(self, source: Source, start: int, interval: Interval, until: int) -> Ints:
        """Return a candle of a week, month or year; empty if nothing was traded."""
        end, key = interval.shift(start, 1), (source.listing.market, interval.name, start)
        if end <= until and key in self._folded:
            return self._folded[key]
        days = source.active_days(start // DAY_US, -(-min(end, until) // DAY_US)).tolist()
        block = _join([self._day_block(source, day, Interval.parse("1d"), until) for day in days])
        folded = fold(block, np.full(block.shape[1], start, dtype=np.int64))
        if end <= until:
            self._folded[key] = folded
        return folded

    # --- quotes -------------------------------------------------------------------------------

    def ticker(self, market: str, at: int | None = None) -> Ticker | None:
        """Return the ticker at a moment (default: now); None while nothing was ever traded."""
        return make_ticker(self, self._sources[market], self._until(at))

    def book(self, market: str, at: int | None = None) -> Book:
        """Return the order book at a moment (default: now)."""
        at = self._until(at)
        source = self._sources[market]
        return make_book(source.listing, self.seed, self.last_trade(market, at), at)

    def previous_close(self, market: str, day: int) -> int | None:
        """Return the close of the latest day with trades before that day (in days since the epoch), in 1e-8."""
        source = self._sources[market]
        active = source.last_active_day(day)
        return None if active is None else int(self._day_block(source, active, Interval.parse("1d"), END_OF_TIME)[4, 0])


def _known(listing: Listing, now: int) -> bool:
    return listing.listed <= now and (listing.delisted is None or now < listing.delisted)


def _join(blocks: list[Ints]) -> Ints:
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks, axis=1) if blocks else no_candles()
