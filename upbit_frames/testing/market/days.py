"""The days of a market held ready: trades of recent ones, day candles of all seen."""

from __future__ import annotations

import threading
from collections import OrderedDict
from weakref import WeakKeyDictionary

from upbit_frames.testing.market.columns import Ints, Trades, fold
from upbit_frames.testing.market.generated import DAY_MS
from upbit_frames.testing.market.sources import Source

__all__ = ["Day", "Days", "days_of"]

_KEPT_TRADES = 200_000  # of one market; a busy market has this many in six weeks
_KEPT_DAYS = 3  # independent of their size: the last 24 hours are of two days, and soon of another two
_MINUTE_MS = 60_000


class Day:
    """The trades of a market on a day, with the candle blocks computed from them so far."""

    def __init__(self, trades: Trades) -> None:
        self.trades = trades
        self._blocks: dict[int, Ints] = {}

    def block(self, unit_ms: int) -> Ints:
        """Return the candles of a unit that divides the day; whole minutes are aggregated from minutes."""
        if unit_ms not in self._blocks:
            self._blocks[unit_ms] = self._make(unit_ms)
        return self._blocks[unit_ms]

    def _make(self, unit_ms: int) -> Ints:
        if unit_ms <= _MINUTE_MS:
            return self.trades.candles(unit_ms)
        minutes = self.block(_MINUTE_MS)
        return fold(minutes, minutes[0] - minutes[0] % (unit_ms * 1000))


class Days:
    """The days of a source, computed on demand; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: OrderedDict[int, Day] = OrderedDict()
        self._kept = 0
        self._candles: dict[int, Ints] = {}

    def day(self, source: Source, day: int) -> Day:
        """Return all trades of a day since the epoch."""
        with self._lock:
            if day in self._recent:
                self._recent.move_to_end(day)
                return self._recent[day]
        built = Day(source.day(day))  # outside the lock: two threads may make the same day, alike
        with self._lock:
            if day not in self._recent:
                self._recent[day] = built
                self._kept += len(built.trades)
                while self._kept > _KEPT_TRADES and len(self._recent) > _KEPT_DAYS:
                    _, dropped = self._recent.popitem(last=False)
                    self._kept -= len(dropped.trades)
        return built

    def candle(self, source: Source, day: int) -> Ints:
        """Return the candle of a whole day; a row is small enough to keep for good."""
        if day not in self._candles:
            self._candles[day] = self.day(source, day).block(DAY_MS)
        return self._candles[day]


# Shared by all models: a test suite makes hundreds of exchanges with the same seed, whose markets
# are then the same source and need their days only once.
_ALL: WeakKeyDictionary[Source, Days] = WeakKeyDictionary()
_ALL_LOCK = threading.Lock()


def days_of(source: Source) -> Days:
    """Return the cached days of a source; they are freed with it."""
    with _ALL_LOCK:
        if source not in _ALL:
            _ALL[source] = Days()
        return _ALL[source]
