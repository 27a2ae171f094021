"""Trades generated from a seed: any UTC day of a market on demand, always the same. No I/O.

Top down. A table of each year says for every day how many trades there are and at which prices
it opens and closes and how far it reaches; the trades of a day are then laid between them. So a
day never needs its predecessors' trades, and the extremes of a year never need any.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from upbit_frames.core.intervals import Span, from_micros, merge, subtract, to_micros
from upbit_frames.testing.market.columns import Ints, Trades, no_trades
from upbit_frames.testing.market.exact_math import Floats, exp, exponentials, log, normals, seeded
from upbit_frames.testing.market.listings import Listing
from upbit_frames.testing.market.price_ticks import SCALE, ceil_to_tick, floor_to_tick, quote_of, snap

__all__ = ["DAY_MS", "DAY_US", "GeneratedTrades", "Maintenance", "generated_trades", "seeded_maintenance"]

DAY_MS = 86_400_000
DAY_US = DAY_MS * 1000
_MINUTE_MS = 60_000
_LAST_YEAR = 2099
_EPOCH_DATE = date(1970, 1, 1).toordinal()
_SWEEP = 0.12  # share of trades in the same millisecond as the trade before
_EARLY = 0.1  # share of its usual trades that a market has before it has grown
_REVERSION = 0.01  # how much of its distance to the usual price a market makes up in a day


def _first_day(year: int) -> int:
    return date(year, 1, 1).toordinal() - _EPOCH_DATE


class Maintenance:
    """Ranges in which no market of the exchange trades.

    Some months have a range of one to five hours at a seeded moment.
    """

    def __init__(self, seed: int, share: float = 0.4) -> None:
        self._seed = seed
        self._share = share
        self._years: dict[int, list[Span]] = {}

    def of_year(self, year: int) -> list[Span]:
        """Return the ranges that begin in a year."""
        if year not in self._years:
            rng = seeded(self._seed, "maintenance", year)
            spans = []
            for month in range(1, 13):
                dice, day, hour, minutes = rng.random(), rng.integers(1, 28), rng.integers(0, 20), rng.integers(60, 300)
                if dice < self._share:
                    start = to_micros(datetime(year, month, int(day), int(hour), tzinfo=UTC))
                    spans.append(Span(start, start + int(minutes) * _MINUTE_MS * 1000))
            self._years[year] = spans
        return self._years[year]


class DayTable(NamedTuple):
    """A year of a market: for each day from ``first`` on how it trades, prices in 1e-8."""

    first: int
    trades: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints


class GeneratedTrades:
    """The trades of a market, generated from a seed.

    Parameters
    ----------
    listing : Listing
    seed : int
    maintenance : Maintenance or sequence of Span
        When the whole exchange stands still.
    """

    def __init__(self, listing: Listing, seed: int, maintenance: Maintenance | tuple[Span, ...]) -> None:
        self.listing = listing
        self.first_day = listing.listed // DAY_US
        end = to_micros(datetime(_LAST_YEAR + 1, 1, 1, tzinfo=UTC)) if listing.delisted is None else listing.delisted
        self.last_day = (end - 1) // DAY_US
        self._life = Span(listing.listed, end)
        self._seed = seed
        self._maintenance = maintenance
        self._quote = quote_of(listing.market)
        self._levels = {from_micros(listing.listed).year: log(listing.price)}
        self._tables: dict[int, DayTable] = {}

    # --- what the days look like --------------------------------------------------------------

    def active_days(self, start: int, end: int) -> Ints:
        """Return the days of ``[start, end)`` that have a trade, ascending, as days since the epoch."""
        start, end = max(start, self.first_day), min(end, self.last_day + 1)
        if start >= end:
            return np.empty(0, dtype=np.int64)
        parts = []
        for year in range(_year_of(start), _year_of(end - 1) + 1):
            table = self._table(year)
            days = np.flatnonzero(table.trades) + table.first
            parts.append(days[(days >= start) & (days < end)])
        return np.concatenate(parts)

    def last_active_day(self, before: int) -> int | None:
        """Return the latest day with a trade before that day."""
        before = min(before, self.last_day + 1)
        while before > self.first_day:
            start = max(self.first_day, _first_day(_year_of(before - 1)))
            days = self.active_days(start, before)
            if len(days):
                return int(days[-1])
            before = start
        return None

    def extremes(self, start: int, end: int) -> tuple[Ints, Ints, Ints]:
        """Return days of ``[start, end)`` with trades, and the highest and lowest price of each."""
        days = self.active_days(start, end)
        high, low = np.empty_like(days), np.empty_like(days)
        for year in range(_year_of(int(days[0])), _year_of(int(days[-1])) + 1) if len(days) else ():
            table = self._table(year)
            inside = (days >= table.first) & (days < table.first + len(table.trades))
            high[inside] = table.high[days[inside] - table.first]
            low[inside] = table.low[days[inside] - table.first]
        return days, high, low

    def _table(self, year: int) -> DayTable:
        """Return the year's table; the price at its beginning follows from the years before."""
        if year not in self._tables:
            known = max(level_year for level_year in self._levels if level_year <= year)
            for missing_year in range(known, year + 1):
                self._tables[missing_year], self._levels[missing_year + 1] = self._make_table(
                    missing_year, self._levels[missing_year]
                )
        return self._tables[year]

    def _make_table(self, year: int, level: float) -> tuple[DayTable, float]:
        first = _first_day(year)
        days = _first_day(year + 1) - first
        listing, rng = self.listing, seeded(self._seed, self.listing.market, "year", year)
        usual, sigma = log(listing.price), listing.volatility
        levels = [level]
        for shock in (sigma * self._shared(normals(rng, days), year)).tolist():
            level += _REVERSION * (usual - level) + shock
            levels.append(level)
        path = np.array(levels)
        overnight = normals(rng, days) * 0.02 * sigma
        reach = np.abs(normals(rng, (2, days))) * 0.6 * sigma
        activity = exp(0.35 * normals(rng, days) - 0.06)
        grown = np.where((first + np.arange(days)) * DAY_US < listing.grown, _EARLY, 1.0)
        count = rng.poisson(listing.trades_per_day * activity * grown * self._open_share(year, first, days))

        opening = floor_to_tick(self._quote, exp(path[:-1] + overnight) * SCALE)
        close = np.where(count == 1, opening, floor_to_tick(self._quote, exp(path[1:]) * SCALE))
        high, low = np.maximum(opening, close), np.minimum(opening, close)
        # Two trades inside are needed to show both extremes.
        wide = count >= 4
        high = np.where(wide, ceil_to_tick(self._quote, high * exp(reach[0])), high)
        low = np.where(wide, floor_to_tick(self._quote, low * exp(-reach[1])), low)
        return DayTable(first, count, opening, high, low, close), level

    def _shared(self, own: Floats, year: int) -> Floats:
        """Mix a market's own shocks of a year with those of the factors that it shares with others."""
        factors = self.listing.factors
        if not factors:
            return own
        shocks: Floats = own * math.sqrt(max(0.0, 1.0 - sum(weight * weight for _, weight in factors)))
        for name, weight in factors:
            shocks = shocks + weight * normals(seeded(self._seed, "factor", name, year), len(own))
        return shocks

    def _closed(self, year: int) -> list[Span]:
        if isinstance(self._maintenance, Maintenance):
            return [*self._maintenance.of_year(year - 1), *self._maintenance.of_year(year)]
        return list(self._maintenance)

    def _open_spans(self, day: int) -> list[Span]:
        """Return the times at which the market is open on a day."""
        whole = Span(max(day * DAY_US, self._life.start), min((day + 1) * DAY_US, self._life.end))
        return subtract([whole], [*self.listing.silences, *self._closed(_year_of(day))])

    def _open_share(self, year: int, first: int, days: int) -> Any:
        """For each day of the year the share of it in which the market is open."""
        share = np.ones(days)
        edges = [Span(first * DAY_US, self._life.start), Span(self._life.end, (first + days) * DAY_US)]
        for closed in merge([*edges, *self.listing.silences, *self._closed(year)]):
            low, high = max(closed.start // DAY_US, first), min(-(-closed.end // DAY_US), first + days)
            if low >= high:
                continue
            share[low - first : high - first] = 0.0
            for day in {low, high - 1}:  # only the ends can be open in part
                span = self._open_spans(day)
                share[day - first] = sum(gap.end - gap.start for gap in span) / DAY_US
        return share

    # --- trades of a day ----------------------------------------------------------------------

    def day(self, day: int) -> Trades:
        """Return all trades of a UTC day, given as days since the epoch."""
        if not self.first_day <= day <= self.last_day:
            return no_trades()
        table = self._table(_year_of(day))
        row = day - table.first
        count = int(table.trades[row])
        if count == 0:
            return no_trades()
        rng = seeded(self._seed, self.listing.market, "day", day)
        ms, group = self._times(rng, day, count)
        bid = (rng.random(count) < 0.5)[group]
        low, high = int(table.low[row]), int(table.high[row])
        price = self._prices(rng, bid, int(table.open[row]), int(table.close[row]), low, high)
        worth = exp(1.1 * normals(rng, count) - 0.5) * self.listing.trade_value
        volume = np.maximum(1, np.rint(worth / price * (SCALE * SCALE))).astype(np.int64)
        return Trades(ms, price, volume, bid)

    def _times(self, rng: np.random.Generator, day: int, count: int) -> tuple[Ints, Ints]:
        """Return when the trades happen, and for each the first trade of its millisecond's sweep."""
        opened = np.array([(gap.start // 1000, gap.end // 1000) for gap in self._open_spans(day)], dtype=np.int64)
        lengths = opened[:, 1] - opened[:, 0]
        total = int(lengths.sum())
        # First on a clock that runs only while the market is open.
        steady = self.listing.steady and day * DAY_US >= self.listing.grown
        if steady:
            minutes = np.flatnonzero(rng.random(-(-total // _MINUTE_MS)) >= self.listing.hole)[:count]
            busy = np.cumsum(exponentials(rng, len(minutes)) ** 2)
            more = np.searchsorted(busy, np.sort(rng.random(count - len(minutes))) * busy[-1])
            minute = np.concatenate((minutes, minutes[more]))
            open_ms: np.ndarray[Any, Any] = minute * _MINUTE_MS + rng.integers(0, _MINUTE_MS, count)
        else:
            bursts = rng.random(max(1, count // 3)) * total
            open_ms = bursts[rng.integers(0, len(bursts), count)] + exponentials(rng, count) * 20_000
        open_ms = np.sort(np.minimum(open_ms.astype(np.int64), total - 1))
        if len(opened) == 1:
            ms = opened[0, 0] + open_ms
        else:
            span = np.searchsorted(np.cumsum(lengths), open_ms, side="right")
            ms = opened[span, 0] + open_ms - (np.cumsum(lengths) - lengths)[span]

        again = rng.random(count) < _SWEEP
        again[0] = False
        if steady:  # a trade moved to another minute would make a hole of its own
            again[1:] &= ms[1:] // _MINUTE_MS == ms[:-1] // _MINUTE_MS
        group = np.maximum.accumulate(np.where(again, 0, np.arange(count)))
        return ms[group], group

    def _prices(self, rng: np.random.Generator, bid: Any, opening: int, close: int, low: int, high: int) -> Ints:
        """Return a bridge from open to close, folded back at low and high, each of which it touches."""
        count = len(bid)
        if count == 1:
            return np.array([opening])
        along = np.arange(count) / (count - 1)
        walk = np.cumsum(normals(rng, count)) * (self.listing.volatility / math.sqrt(count))
        walk += log(opening) - walk[0]
        path = walk + along * (log(close) - walk[-1])
        bottom, width = log(low), max(log(high) - log(low), 1e-12)
        turn = (path - bottom) % (2 * width)
        exact = exp(bottom + np.minimum(turn, 2 * width - turn))
        # Buyers pay the step above, sellers get the step below.
        price = np.minimum(np.maximum(snap(self._quote, exact, bid, low, high), low), high)
        price[0], price[-1] = opening, close
        if count >= 4:
            top, floor = 1 + int(np.argmax(exact[1:-1])), 1 + int(np.argmin(exact[1:-1]))
            if top == floor:
                top, floor = 1, 2
            price[top], price[floor] = high, low
        return price


@lru_cache(maxsize=1024)
def generated_trades(listing: Listing, seed: int, maintenance: Maintenance | tuple[Span, ...]) -> GeneratedTrades:
    """Return the trades of a listing; the same object for the same arguments, so that work is shared."""
    return GeneratedTrades(listing, seed, maintenance)


@lru_cache(maxsize=64)
def seeded_maintenance(seed: int) -> Maintenance:
    """Return the default ranges of a seed; the same object every time."""
    return Maintenance(seed)


def _year_of(day: int) -> int:
    return date.fromordinal(day + _EPOCH_DATE).year
