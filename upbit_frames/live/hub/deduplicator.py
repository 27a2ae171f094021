"""Which rows of one topic are new, and which repeat received rows or are too old (no I/O).

One class for each way of identifying rows: trades by ``sequential_id``, the states of a candle by
time and volume, full states (tickers, order books) by time. A time far ahead of the connection's
clock bounds nothing: the row is passed on, and later rows are judged as if it had not arrived.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC

from upbit_frames.core.intervals import Interval, Span, to_micros
from upbit_frames.core.topics import interval_of
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.connection_clock import AHEAD

__all__ = ["CandleDeduplicator", "Deduplicator", "StateDeduplicator", "TradeDeduplicator", "deduplicator_for"]

SECOND = 1_000_000
MEMORY = 120 * SECOND  # trades this much older than the newest count as received
MOST_IDS = 50_000  # remembered of one market
MOST_STATES = 256  # candles of one market of which the last state is remembered
EVERY = 256  # trades between two removals of old ids


class Deduplicator:
    """Base of all deduplicators.

    Attributes
    ----------
    last : Row
        The newest row with a credible time, or None.
    newest : int
        Its time, microseconds.
    arrived : int
        When the newest trade, or the first row of the newest candle, arrived, by our clock.
    forgotten : int
        Every row up to this time counts as received.
    blind : int
        Up to this time received and missed rows can no longer be distinguished, because the exchange's
        clock was set back.
    repeated, stale, dropped : int
        Rows left out because they were received before; because they are older than the subscription;
        because they arrived so long after their time that repeated and new ones cannot be distinguished.
    """

    def __init__(self) -> None:
        self.last: Row = None
        self.newest = 0
        self.arrived = 0
        self.forgotten = 0
        self.blind = 0
        self.repeated = 0
        self.stale = 0
        self.dropped = 0
        self._started = False
        self._suspect: Row = None

    @property
    def size(self) -> int:
        """How many rows are remembered."""
        return 0

    @property
    def times(self) -> Collection[int]:
        """The times of the remembered rows, in microseconds."""
        return ()

    def time_of(self, row: Row) -> int:
        """Return the time by which rows are ordered, in microseconds."""
        return int(row.timestamp) * 1000

    def ahead(self, row: Row, clock: int | None) -> bool:
        """Return whether the time of a row is too far ahead of the clock to be credible."""
        return clock is not None and self.time_of(row) > clock + AHEAD

    def take(
        self, row: Row, *, started: int = 0, clock: int | None = None, fetched: bool = False, gaps: Sequence[Span] = ()
    ) -> list[Row]:
        """Return the rows that are new now: this one, none, or also one that waited for confirmation.

        Parameters
        ----------
        row : Row
        started : int
            When the topic was subscribed, by the exchange's clock; 0 if unknown.
        clock : int, optional
            The connection's clock, microseconds.
        fetched : bool
            Whether the row was fetched over REST.
        gaps : sequence of Span
            Ranges being fetched, whose answers may repeat received rows.
        """
        ahead = self.ahead(row, clock)
        if clock is not None and not ahead and self.newest > clock + AHEAD:
            self.newest, self.last = self.time_of(row), row  # the clock was set back
        if not self._started and not ahead:
            self._started = True
            if not fetched and not self.forgotten:
                self._start(row, started)
        if fetched or self.knows(row) or self.time_of(row) > self.forgotten:
            if not fetched:
                self.drop_suspect()
            return [row] if self._new(row, clock, fetched, ahead, gaps) else []
        return self._old(row, clock, ahead, gaps)

    def drop_suspect(self) -> None:
        """Drop the row that waits for a second row to confirm it."""
        if self._suspect is not None:
            self._suspect = None
            self.dropped += 1

    def _old(self, row: Row, clock: int | None, ahead: bool, gaps: Sequence[Span]) -> list[Row]:
        """Judge a row older than all remembered ones: a repetition, or the exchange's clock was set back.

        Two such rows in ascending order prove the latter.
        """
        if row.stream_type != "REALTIME":
            self.stale += 1
            return []
        if self._suspect is not None and self._same(self._suspect, row):
            self.repeated += 1
            return []
        if self._suspect is None or self.time_of(self._suspect) > self.time_of(row):
            self.drop_suspect()
            self._suspect = row
            return []
        first, self._suspect = self._suspect, None
        self.blind = max(self.blind, self.forgotten)
        self.forgotten = self.time_of(first) - 1
        self.newest, self.last = self.forgotten, first
        return [each for each in (first, row) if self._new(each, clock, False, ahead, gaps)]

    def _start(self, row: Row, started: int) -> None:
        """Take the first row as the beginning: rows older than a snapshot precede the subscription."""
        time = self.time_of(row)
        snapshot = row.stream_type == "SNAPSHOT" or not started
        self.forgotten = (time if snapshot else min(time, started)) - 1

    def knows(self, row: Row) -> bool:
        """Return whether exactly this row is remembered."""
        return False

    def _same(self, left: Row, right: Row) -> bool:
        """Return whether two rows are repetitions of each other."""
        return _state(left) == _state(right) and self.time_of(left) == self.time_of(right)

    def _new(self, row: Row, clock: int | None, fetched: bool, ahead: bool, gaps: Sequence[Span]) -> bool:
        """Remember a row; return whether it is new."""
        raise NotImplementedError


class TradeDeduplicator(Deduplicator):
    """Trades, by ``sequential_id``."""

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[int, int] = {}  # id → time, in order of arrival

    @property
    def size(self) -> int:
        """How many ids are remembered."""
        return len(self._ids)

    @property
    def times(self) -> Collection[int]:
        """The times of the remembered trades."""
        return self._ids.values()

    def time_of(self, row: Row) -> int:
        """Return the time of the trade."""
        return int(row.trade_timestamp) * 1000

    def knows(self, row: Row) -> bool:
        """Return whether its id is remembered."""
        return row.sequential_id in self._ids

    def _same(self, left: Row, right: Row) -> bool:
        return bool(left.sequential_id == right.sequential_id)

    def _new(self, row: Row, clock: int | None, fetched: bool, ahead: bool, gaps: Sequence[Span]) -> bool:
        trade_id, time = row.sequential_id, row.trade_timestamp * 1000
        if trade_id in self._ids:
            self.repeated += 1
            return False
        self._ids[trade_id] = time
        if time >= self.newest and not ahead:
            self.newest, self.last = time, row
        self.arrived = max(self.arrived, row.received_at)
        if len(self._ids) % EVERY == 0:
            self._forget(gaps)
        return True

    def _forget(self, gaps: Sequence[Span]) -> None:
        """Forget old ids, except those that a running backfill may repeat."""
        horizon = self.newest - MEMORY
        if len(self._ids) > MOST_IDS:
            credible = sorted(time for time in self._ids.values() if time <= self.newest)
            horizon = max([horizon, *credible[-(MOST_IDS // 2) :][:1]])
        if horizon > self.forgotten:
            self._ids = {
                trade_id: time
                for trade_id, time in self._ids.items()
                if time > horizon or any(span.start <= time < span.end for span in gaps)
            }
            self.forgotten = horizon


class CandleDeduplicator(Deduplicator):
    """The last state of each candle.

    Parameters
    ----------
    interval : Interval
    """

    def __init__(self, interval: Interval) -> None:
        super().__init__()
        self._interval = interval
        self._states: dict[int, Row] = {}  # start of a candle → its last state

    @property
    def size(self) -> int:
        """How many candles are remembered."""
        return len(self._states)

    @property
    def times(self) -> Collection[int]:
        """The starts of the remembered candles."""
        return self._states.keys()

    def time_of(self, row: Row) -> int:
        """Return the start of the candle."""
        return to_micros(row.candle_date_time_utc.replace(tzinfo=UTC))

    def _start(self, row: Row, started: int) -> None:
        super()._start(row, started and self._interval.floor(started))

    def _new(self, row: Row, clock: int | None, fetched: bool, ahead: bool, gaps: Sequence[Span]) -> bool:
        start = self.time_of(row)
        known = self._states.get(start)
        if fetched:
            # The volume of a candle never falls: a smaller one is older, an equal one is the same state.
            if known is not None and row.candle_acc_trade_volume < known.candle_acc_trade_volume:
                return False
            new = known is None or row.candle_acc_trade_volume > known.candle_acc_trade_volume
        else:
            new = known is None or self._later(row, known, clock)
        if not new and not fetched:
            self.repeated += 1
            return False
        self._states[start] = row
        if start >= self.newest and not ahead:
            if start > self.newest:
                self.arrived = row.received_at
            self.newest, self.last = start, row
        if len(self._states) > MOST_STATES:
            oldest = sorted(self._states)[: MOST_STATES // 2]
            for old in oldest:
                del self._states[old]
            self.forgotten = max(self.forgotten, oldest[-1])
        return new

    @staticmethod
    def _later(row: Row, known: Row, clock: int | None) -> bool:
        """Return whether a row is a later state of the same candle."""
        if clock is not None and known.stream_type != BACKFILLED and known.timestamp * 1000 > clock + AHEAD:
            return bool(row.candle_acc_trade_volume >= known.candle_acc_trade_volume)
        return _state(row) > _state(known)


class StateDeduplicator(Deduplicator):
    """Tickers or order books: the full state in each row."""

    def take(
        self, row: Row, *, started: int = 0, clock: int | None = None, fetched: bool = False, gaps: Sequence[Span] = ()
    ) -> list[Row]:
        """See :meth:`Deduplicator.take`; no row waits for confirmation, and an incredible time delays nothing."""
        last = self.last
        if last is not None and (row.timestamp <= last.timestamp) and not self._more(row, last):
            repeated = row.timestamp == last.timestamp or not self.ahead(last, clock)
            if repeated:
                self.repeated += 1
                return []
        self.last, self.newest = row, self.time_of(row)
        return [row]

    @staticmethod
    def _more(row: Row, last: Row) -> bool:
        """Return whether a row of the same moment is deeper, or differs."""
        if row.timestamp != last.timestamp:
            return False
        if hasattr(row, "orderbook_units"):
            # The same book again, but deeper if a subscription requests more levels.
            return len(row.orderbook_units) > len(last.orderbook_units)
        # One moment may have several tickers, of several trades; only an equal one is a repetition.
        fields = ("trade_timestamp", "trade_price", "acc_trade_volume", "acc_trade_price_24h", "acc_trade_volume_24h")
        return any(getattr(row, name) != getattr(last, name) for name in fields)


def deduplicator_for(type_: str) -> Deduplicator:
    """Return a new deduplicator for a type."""
    interval = interval_of(type_)
    if interval is not None:
        return CandleDeduplicator(interval)
    return TradeDeduplicator() if type_ == "trade" else StateDeduplicator()


def _state(row: Row) -> tuple[int, float]:
    """Return the key by which the states of one candle are ordered."""
    return row.timestamp, row.candle_acc_trade_volume
