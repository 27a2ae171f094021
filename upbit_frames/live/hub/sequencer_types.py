"""What differs between the sequencers of trades, of candles, and of full states (no I/O).

- Trades are identified by ``sequential_id`` alone. Ids are remembered for a while, so the fetched range
  may begin before the disconnect and include trades that were still under way.
- The last state of each candle wins, even if it arrives after the next candle began. After a
  disconnect the candle that was forming, and all later ones except the newest, are fetched in their
  final state.
- A ticker or an order book is a full state in each frame: nothing is fetched.

The start of a gap is the newest row before it. If that is far after the end, the row was stamped ahead,
or the exchange's clock was set back. The gap begins at the newest row before its end instead. If other
rows had such times too, the clock may have been set back while rows were missed, of which no range is
known, so the gap is reported as not repaired even if rows were fetched.
"""

from __future__ import annotations

from collections import deque

from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.topics import interval_of
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.connection_clock import AHEAD
from upbit_frames.live.hub.gaps import SNAPSHOT, Gap
from upbit_frames.live.hub.sequencer import SECOND, TopicSequencer

__all__ = ["CandleSequencer", "StateSequencer", "TradeSequencer", "sequencer_for"]

OVERLAP = 10 * SECOND  # a trade this much older than the last received one may still have been under way
SET_BACK = "the exchange's clock was set back: missed and received rows cannot be distinguished"


class _BackfilledSequencer(TopicSequencer):
    """Rows that REST serves too, so that gaps can be backfilled."""

    END_MARGIN = 0  # microseconds past the exchange's time to which a gap that ends while disconnected is fetched

    @property
    def can_be_backfilled(self) -> bool:
        """Whether REST serves the rows too."""
        return True

    def _span(self, gap: Gap, until: int) -> Span:
        """Return the range to fetch for a gap that ends at ``until``."""
        raise NotImplementedError

    def _settle(self, gap: Gap, now: int) -> None:
        gap.end = now
        self._begin_backfill(gap, self._corrected_span(gap, now), hold=True)

    def _end_gap(self, gap: Gap, now: int) -> None:
        if self.last is None and not self._started_before:
            gap.abandon("no row had arrived before")
        else:
            self._begin_backfill(gap, self._corrected_span(gap, now + self.END_MARGIN), hold=True)

    def _corrected_span(self, gap: Gap, until: int) -> Span | None:
        """Return the range to fetch, after a start far after the end was replaced; None if there is none."""
        start = gap.start
        if start is not None and start > until + AHEAD:
            alike = sum(1 for time in self.rows.times if abs(time - start) <= AHEAD)
            if alike > 1 or self._forgotten_until > until:
                gap.unavailable = SET_BACK
            gap.start = max((time for time in self.rows.times if time <= until + AHEAD), default=None)
            if alike > 1 and (gap.start is not None or self._started_before):
                span = self._span(gap, until)
                return Span(span.start, max(span.end, start + 1000))
        if gap.start is None and not self._started_before:
            if not self.accepted:
                return None
            if not self.rows.arrived or not gap.reconnected_at:
                gap.unavailable = "no row with a credible time had arrived before"
                return None
            gap.start = until - (gap.reconnected_at - self.rows.arrived)  # no row has a credible time, only an arrival
        return self._span(gap, until)


class TradeSequencer(_BackfilledSequencer):
    """Trades, identified by ``sequential_id``."""

    END_MARGIN = SECOND  # the exchange's time is known to a second, and fetching one trade too many does no harm

    def _reconnect(self, gap: Gap, first: Row) -> None:
        span: Span | None = None
        time = self.time_of(first)
        same = time == self.rows.newest and self.rows.knows(first)
        if gap.start is None and self._started_before:
            self.rows.forgotten = self._started_before - 1
        if not (same and self._was_settled(gap)):
            span = self._corrected_span(gap, time)
        self._begin_backfill(gap, span, hold=True)

    def _span(self, gap: Gap, until: int) -> Span:
        since = self._started_before if gap.start is None else max(gap.start, self._started_before) - OVERLAP
        # Trades that are forgotten cannot be distinguished from missed ones.
        start = max(since, self._forgotten_until + 1)
        end = max(start, max(gap.start or 0, until) + 1000)
        if self.rows.blind >= max(since + OVERLAP, gap.start or 0):
            gap.unavailable = SET_BACK
        return Span(start, end)

    def _place(self, rows: list[Row]) -> None:
        if rows:
            # The fetched range reaches to the end of a millisecond of which the stream may have sent half.
            following: list[Row] = []
            while self._held and not isinstance(self._held[0], Gap):
                following.append(self._held.popleft())
            rows = sorted(rows + following, key=self._order)
        super()._place(rows)

    def _order(self, row: Row) -> tuple[int, int]:
        return self.time_of(row), row.sequential_id


class CandleSequencer(_BackfilledSequencer):
    """Candles of one interval: the last state of each."""

    def __init__(self, type_: str, market: str, started: int, interval: Interval) -> None:
        super().__init__(type_, market, started)
        self.interval = interval

    def _reconnect(self, gap: Gap, first: Row) -> None:
        span: Span | None = None
        time = self.time_of(first)
        same = gap.start == time and self._was_settled(gap)
        if not same:
            span = self._corrected_span(gap, time)
        self._begin_backfill(gap, span, hold=gap.start != time)

    def _span(self, gap: Gap, until: int) -> Span:
        """Return the range without the forming candle, whose state over REST is not its last."""
        since = self.interval.floor(self._started_before if gap.start is None else gap.start - OVERLAP)
        start = max(since, self._forgotten_until + 1)
        return Span(start, max(start, self.interval.floor(until)))

    def _drop_superseded(self, fetched: list[Row]) -> None:
        if fetched:
            final = {self.time_of(row) for row in fetched}
            kept = [item for item in self._held if isinstance(item, Gap) or self.time_of(item) not in final]
            self._held = deque(kept)


class StateSequencer(TopicSequencer):
    """Tickers or order books: each row is the full state, so a gap ends with the next row."""

    def _ends_gap(self, row: Row, at: int, clock: int | None) -> bool:
        return True

    def _reconnect(self, gap: Gap, first: Row) -> None:
        gap.outcome = SNAPSHOT

    def _settle(self, gap: Gap, now: int) -> None:
        gap.abandon("no snapshot arrived")

    def _end_gap(self, gap: Gap, now: int) -> None:
        gap.abandon("the connection was down until the end")


def sequencer_for(type_: str, market: str, started: int = 0) -> TopicSequencer:
    """Return a new sequencer for a topic."""
    interval = interval_of(type_)
    if interval is not None:
        return CandleSequencer(type_, market, started, interval)
    kind = TradeSequencer if type_ == "trade" else StateSequencer
    return kind(type_, market, started)
