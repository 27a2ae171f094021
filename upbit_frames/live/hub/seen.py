"""What was seen of one market: which rows are new, and which repeat or are older than what is known (pure).

One class for each way of telling rows apart: trades by ``sequential_id``, the states of a candle by
time and volume, whole states (tickers, order books) by time. A time far ahead of the connection's
clock bounds nothing: the row is passed on, and what comes after it is judged as if it had not come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from upbit_frames.core.intervals import Interval, Span, to_micros
from upbit_frames.core.topics import interval_of
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.connection_clock import AHEAD

__all__ = ["SeenCandles", "SeenRows", "SeenStates", "SeenTrades", "seen_of"]

SECOND = 1_000_000
MEMORY = 120 * SECOND  # trades older than that, against the newest, are taken for seen
MOST_IDS = 50_000  # of one market
MOST_STATES = 256  # candles of one market whose last state is remembered
EVERY = 256  # trades after which old ids are looked for


class SeenRows:
    """What all ways have in common.

    Attributes
    ----------
    last : Row
        The newest row whose time is believed; None where there is none.
    newest : int
        Its time, microseconds.
    arrived : int
        When the newest trade, or the first row of the newest candle, arrived, by our clock.
    forgotten : int
        Everything up to this time counts as seen.
    blind : int
        Up to here seen cannot be told from unseen any more, after the exchange's clock was set back.
    repeated, stale, dropped : int
        Rows left out because they were seen before; because they are older than the subscription;
        because they came long after their time, when nobody can tell whether they were seen.
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
        self._begun = False
        self._suspect: Row = None

    @property
    def size(self) -> int:
        """How much is remembered."""
        return 0

    def time_of(self, row: Row) -> int:
        """What rows are ordered by, in microseconds."""
        return int(row.timestamp) * 1000

    def ahead(self, row: Row, clock: int | None) -> bool:
        """Whether the time of a row is not believed."""
        return clock is not None and self.time_of(row) > clock + AHEAD

    def take(
        self, row: Row, *, started: int = 0, clock: int | None = None, fetched: bool = False, gaps: Sequence[Span] = ()
    ) -> list[Row]:
        """Which rows are new now: this one, none, or one more that came before it.

        Parameters
        ----------
        row : Row
        started : int
            When it was subscribed to, by the exchange's clock; 0 if that is not known.
        clock : int, optional
            The connection's clock, microseconds.
        fetched : bool
            Whether REST told it.
        gaps : sequence of Span
            Of which an answer may bring again what was seen.
        """
        ahead = self.ahead(row, clock)
        if clock is not None and not ahead and self.newest > clock + AHEAD:
            self.newest, self.last = self.time_of(row), row  # the clock was set back
        if not self._begun and not ahead:
            self._begun = True
            if not fetched and not self.forgotten:
                self._begin(row, started)
        if fetched or self.knows(row) or self.time_of(row) > self.forgotten:
            if not fetched:
                self.give_up()
            return [row] if self._new(row, clock, fetched, ahead, gaps) else []
        return self._old(row, clock, ahead, gaps)

    def give_up(self) -> None:
        """Drop a row that waits for another one to confirm it."""
        if self._suspect is not None:
            self._suspect = None
            self.dropped += 1

    def _old(self, row: Row, clock: int | None, ahead: bool, gaps: Sequence[Span]) -> list[Row]:
        """A row from before what is remembered: a repetition, or the exchange's clock was set back.

        Two of them in a row say the latter.
        """
        if row.stream_type != "REALTIME":
            self.stale += 1
            return []
        if self._suspect is not None and self._same(self._suspect, row):
            self.repeated += 1
            return []
        if self._suspect is None or self.time_of(self._suspect) > self.time_of(row):
            self.give_up()
            self._suspect = row
            return []
        first, self._suspect = self._suspect, None
        self.blind = max(self.blind, self.forgotten)
        self.forgotten = self.time_of(first) - 1
        self.newest, self.last = self.forgotten, first
        return [one for one in (first, row) if self._new(one, clock, False, ahead, gaps)]

    def _begin(self, row: Row, started: int) -> None:
        """The first row: what is older than a snapshot was told before anybody listened."""
        time = self.time_of(row)
        snapshot = row.stream_type == "SNAPSHOT" or not started
        self.forgotten = (time if snapshot else min(time, started)) - 1

    def knows(self, row: Row) -> bool:
        """Whether exactly this is remembered."""
        return False

    def _same(self, one: Row, other: Row) -> bool:
        """Whether two rows tell the same."""
        return _state(one) == _state(other) and self.time_of(one) == self.time_of(other)

    def _new(self, row: Row, clock: int | None, fetched: bool, ahead: bool, gaps: Sequence[Span]) -> bool:
        raise NotImplementedError


class SeenTrades(SeenRows):
    """Trades, by ``sequential_id``."""

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[int, int] = {}  # id → time, in order of arrival

    @property
    def size(self) -> int:
        """How many ids are remembered."""
        return len(self._ids)

    def time_of(self, row: Row) -> int:
        """When it was traded."""
        return int(row.trade_timestamp) * 1000

    def knows(self, row: Row) -> bool:
        """Whether its id is remembered."""
        return row.sequential_id in self._ids

    def _same(self, one: Row, other: Row) -> bool:
        return bool(one.sequential_id == other.sequential_id)

    def _new(self, row: Row, clock: int | None, fetched: bool, ahead: bool, gaps: Sequence[Span]) -> bool:
        one, time = row.sequential_id, row.trade_timestamp * 1000
        if one in self._ids:
            self.repeated += 1
            return False
        self._ids[one] = time
        if time >= self.newest and not ahead:
            self.newest, self.last = time, row
        self.arrived = max(self.arrived, row.received_at)
        if len(self._ids) % EVERY == 0:
            self._forget(gaps)
        return True

    def _forget(self, gaps: Sequence[Span]) -> None:
        """Forget old ids, but none that the answer to an open gap may bring again."""
        horizon = self.newest - MEMORY
        if len(self._ids) > MOST_IDS:
            believed = sorted(time for time in self._ids.values() if time <= self.newest)
            horizon = max([horizon, *believed[-(MOST_IDS // 2) :][:1]])
        if horizon > self.forgotten:
            self._ids = {
                one: time
                for one, time in self._ids.items()
                if time > horizon or any(span.start <= time < span.end for span in gaps)
            }
            self.forgotten = horizon


class SeenCandles(SeenRows):
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

    def time_of(self, row: Row) -> int:
        """When the candle begins."""
        return to_micros(row.candle_date_time_utc.replace(tzinfo=UTC))

    def _begin(self, row: Row, started: int) -> None:
        super()._begin(row, started and self._interval.floor(started))

    def _new(self, row: Row, clock: int | None, fetched: bool, ahead: bool, gaps: Sequence[Span]) -> bool:
        start = self.time_of(row)
        known = self._states.get(start)
        if fetched:
            # Its volume never falls: what tells of less is older, and what tells of as much is the same.
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
            for one in oldest:
                del self._states[one]
            self.forgotten = max(self.forgotten, oldest[-1])
        return new

    @staticmethod
    def _later(row: Row, known: Row, clock: int | None) -> bool:
        """Whether a row is a later state of the same candle."""
        if clock is not None and known.stream_type != BACKFILLED and known.timestamp * 1000 > clock + AHEAD:
            return bool(row.candle_acc_trade_volume >= known.candle_acc_trade_volume)
        return _state(row) > _state(known)


class SeenStates(SeenRows):
    """Tickers or order books: the whole state in each row."""

    def take(
        self, row: Row, *, started: int = 0, clock: int | None = None, fetched: bool = False, gaps: Sequence[Span] = ()
    ) -> list[Row]:
        """See :meth:`SeenRows.take`; nothing waits here, and a time that is not believed delays nothing."""
        last = self.last
        if last is not None and (row.timestamp <= last.timestamp) and not self._more(row, last):
            again = row.timestamp == last.timestamp or not self.ahead(last, clock)
            if again:
                self.repeated += 1
                return []
        self.last, self.newest = row, self.time_of(row)
        return [row]

    @staticmethod
    def _more(row: Row, last: Row) -> bool:
        """Whether a row of the same moment tells more, or something else."""
        if row.timestamp != last.timestamp:
            return False
        if hasattr(row, "orderbook_units"):
            # The same book again; but more of it where somebody asked for more.
            return len(row.orderbook_units) > len(last.orderbook_units)
        # One moment may have several tickers, of several trades; only the same again is a repetition.
        facts = ("trade_timestamp", "trade_price", "acc_trade_volume", "acc_trade_price_24h", "acc_trade_volume_24h")
        return any(getattr(row, name) != getattr(last, name) for name in facts)


def seen_of(type_: str) -> SeenRows:
    """What remembers the rows of a type."""
    interval = interval_of(type_)
    if interval is not None:
        return SeenCandles(interval)
    return SeenTrades() if type_ == "trade" else SeenStates()


def _state(row: Row) -> tuple[int, float]:
    """What the states of one candle are ordered by."""
    return row.timestamp, row.candle_acc_trade_volume
