"""Order and deduplicate the rows of one topic, detect gaps, and hold rows back until a gap is backfilled (no I/O).

A :class:`TopicSequencer` accepts every row of one type and market in order of arrival. It drops
repeated rows, opens a gap when the connection breaks, and holds back the rows after the gap until the
missing rows are fetched, so that subscribers receive every row once and in order.

- Trades are identified by ``sequential_id`` alone. Ids are remembered for a while, so the fetched range
  may begin before the disconnect and include trades that were still under way.
- The last state of each candle wins, even if it arrives after the next candle began. After a
  disconnect the candle that was forming, and all later ones except the newest, are fetched in their
  final state.
- A ticker or an order book is a full state in each frame: nothing is fetched.

:mod:`upbit_frames.live.hub.deduplicator` decides which rows are new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.topics import interval_of
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.deduplicator import Deduplicator, deduplicator_for
from upbit_frames.live.hub.gaps import NOTHING_MISSING, REPAIRED, SNAPSHOT, Gap

__all__ = ["CandleSequencer", "StateSequencer", "TopicSequencer", "TradeSequencer", "sequencer_for"]

SECOND = 1_000_000
OVERLAP = 10 * SECOND  # a trade this much older than the last received one may still have been under way
DETECTION = 60 * SECOND  # a disconnect may be detected this long after it happened: ping interval and timeout
MOST_AHEAD = 32  # rows of one market, stamped ahead of the clock, that wait after a disconnect
MOST_HELD = 50_000  # rows of one market held back for a backfill, some 20 MB


class TopicSequencer:
    """The rows of one topic; what differs by type is in the subclasses.

    Attributes
    ----------
    type, market : str
    started : int
        When the topic was subscribed, by the exchange's clock.
    accepted, received : int
        New rows, delivered or held back; all rows that arrived.
    rows : Deduplicator
    """

    def __init__(self, type_: str, market: str, started: int = 0) -> None:
        self.type = type_
        self.market = market
        self.started = started
        self.accepted = 0
        self.received = 0
        self.rows: Deduplicator = deduplicator_for(type_)
        self._last_delivered: Row = None  # while rows are held back
        self._started_before = 0  # ``started`` at the time of the disconnect
        self._gap: Gap | None = None  # disconnected, and no row has arrived since
        self._backfills: list[Gap] = []  # being fetched
        self._answers: dict[Gap, list[Row] | str] = {}  # fetched rows, or why there are none
        self._held: deque[Gap | Row] = deque()
        self._ahead: list[Row] = []  # arrived after a disconnect, stamped far ahead of the clock
        self._late_gap: Gap | None = None  # of late rows that were dropped, until the next new row

    # --- state --------------------------------------------------------------------------------

    @property
    def last(self) -> Row:
        """The newest row with a credible time, or None."""
        return self.rows.last

    @property
    def last_delivered(self) -> Row:
        """The newest row that was delivered, or None."""
        return self._last_delivered if self._held else self.rows.last

    @property
    def held(self) -> int:
        """How many rows and gaps are held back."""
        return len(self._held)

    @property
    def backfilling(self) -> bool:
        """Whether rows missed during a disconnect are being fetched."""
        return bool(self._backfills)

    @property
    def gap(self) -> Gap | None:
        """The gap since the disconnect, until a row arrives again."""
        return self._gap

    @property
    def can_be_backfilled(self) -> bool:
        """Whether REST serves the rows too."""
        return False

    def time_of(self, row: Row) -> int:
        """Return the time by which rows are ordered, in microseconds."""
        return self.rows.time_of(row)

    # --- events -------------------------------------------------------------------------------

    def disconnect(self, at: int, reason: str) -> Gap | None:
        """Open a gap because rows may be lost from now on; None if one is open already."""
        if self._gap is not None:
            return None
        self._started_before = self.started
        start = None if self.last is None else self.time_of(self.last)
        self._gap = Gap(self.type, self.market, start, at, reason)
        return self._gap

    def accept(self, row: Row, at: int, clock: int | None = None) -> tuple[list[Row], Gap | None]:
        """Accept a row; return the rows to deliver, and the gap to backfill.

        ``clock`` is the connection's; a row far ahead of it does not end a gap of trades or candles.
        """
        self.received += 1
        rows = [*self._ahead, row]
        first = next((each for each in rows if self._ends_gap(each, clock)), None)
        if self._gap is not None and first is None and len(rows) < MOST_AHEAD:
            self._ahead = rows  # the missing rows are older, unless the time of this one is wrong
            return [], None
        gap, self._gap, self._ahead = self._gap, None, []
        if gap is not None:
            first = row if first is None else first
            gap.end, gap.reconnected_at, gap.first_row = self.time_of(first), at, first
            self._reconnect(gap, first)
        fresh = [new for each in rows for new in self._take(each, clock)]
        if self._held:
            self._held += fresh
            fresh = self._release_oldest_gap() if len(self._held) > MOST_HELD else []
        return fresh, gap if gap is not None and gap.span is not None else None

    def drop_late_rows(self, at: int) -> Gap | None:
        """Open a gap for rows so late that repeated and new ones cannot be distinguished; None if it is open already.

        Late rows without a new row between them belong to the same gap.
        """
        number, self.rows.dropped = self.rows.dropped, 0
        if not number:
            return None
        is_new = self._late_gap is None
        end = self.last and self.time_of(self.last)
        if self._late_gap is None:
            reason = "rows arrived so long after their time that new ones cannot be distinguished from repeated ones"
            self._late_gap = Gap(self.type, self.market, end, at, reason)
        self._late_gap.left_out += number
        self._late_gap.end, self._late_gap.reconnected_at = end, at
        self._late_gap.abandon(f"{self._late_gap.left_out} left out")
        return self._late_gap if is_new else None

    def settle(self, at: int, now: int) -> Gap | None:
        """End the gap of a topic on which nothing arrived after it was restored; return it if it must be backfilled.

        ``now`` is the exchange's time. Without any earlier row there is nothing to fetch.
        """
        gap, self._gap = self._gap, None
        if gap is None:
            return None
        gap.reconnected_at = at
        if self.last is None:
            gap.outcome = NOTHING_MISSING
        else:
            self._settle(gap, now)
        return gap if gap.span is not None else None

    def end_gap(self, now: int) -> Gap | None:
        """End the gap at ``now`` because no subscriber waits for the reconnect; return it if it must be backfilled."""
        gap, self._gap = self._gap, None
        if gap is not None:
            self._end_gap(gap, now)
        return gap if gap is not None and gap.span is not None else None

    def close(self, reason: str) -> list[Row]:
        """End the topic: return the rows held back; no gap is backfilled any more."""
        rows = [item for item in [*self._held, *self._ahead] if not isinstance(item, Gap)]
        for gap in [*self._backfills, *([] if self._gap is None else [self._gap])]:
            gap.abandon(reason)
        self._held.clear()
        self._ahead = []
        return rows

    def backfill(self, gap: Gap, rows: Iterable[Row]) -> list[Row]:
        """Fill a gap with fetched rows; return all rows that can be delivered now."""
        self._answers[gap] = list(rows)
        return self._resolve(gap)

    def fail_backfill(self, gap: Gap, reason: str) -> list[Row]:
        """Give up a gap that could not be fetched; return all rows that can be delivered now."""
        self._answers[gap] = reason
        return self._resolve(gap)

    # --- what differs by type -----------------------------------------------------------------

    def _ends_gap(self, row: Row, clock: int | None) -> bool:
        """Return whether the time of a row proves that the rows before it are known or missing."""
        return not self.rows.ahead(row, clock)

    def _reconnect(self, gap: Gap, first: Row) -> None:
        """Decide about a gap, given the first row after it."""
        raise NotImplementedError

    def _settle(self, gap: Gap, now: int) -> None:
        """Decide about a gap after which nothing arrived."""
        raise NotImplementedError

    def _end_gap(self, gap: Gap, now: int) -> None:
        """Decide about a gap that ends while disconnected."""
        raise NotImplementedError

    def _place(self, rows: list[Row]) -> None:
        """Put fetched rows before the rows held back."""
        self._held.extendleft(reversed(rows))

    def _order(self, row: Row) -> tuple[int, int]:
        return self.time_of(row), 0

    # --- backfills ----------------------------------------------------------------------------

    def _take(self, row: Row, clock: int | None = None, *, fetched: bool = False) -> list[Row]:
        """Return the rows that are new, and remember them."""
        spans = [gap.span for gap in self._backfills if gap.span is not None]
        new = self.rows.take(row, started=self.started, clock=clock, fetched=fetched, gaps=spans)
        self.accepted += len(new)
        if new and not self.rows.dropped:
            self._late_gap = None
        return new

    @property
    def _forgotten_until(self) -> int:
        """The time up to which received rows are no longer remembered."""
        return max(self.rows.forgotten, self.rows.blind)

    def _was_settled(self, gap: Gap) -> bool:
        """Return whether the connection lived on so long after the last row that no late row was under way."""
        return gap.disconnected_at - self.rows.arrived > DETECTION

    def _begin_backfill(self, gap: Gap, span: Span | None, *, hold: bool) -> None:
        """Mark a span to be fetched; ``hold`` holds rows back until then, as an earlier gap does anyway."""
        if span is None or span.empty:
            gap.outcome = NOTHING_MISSING
            if gap.unavailable:
                gap.abandon(gap.unavailable)
            return
        gap.span = span
        self._backfills.append(gap)
        if hold or self._held:
            self._last_delivered = self.last_delivered
            self._held.append(gap)

    def _resolve(self, gap: Gap) -> list[Row]:
        """Return all rows that can be delivered, now that a gap is resolved."""
        if gap not in self._held:
            return self._missing_rows(gap)  # no rows were held back for it, or they were released
        return self._release()

    def _release(self) -> list[Row]:
        """Return everything up to the first unresolved gap; gaps are resolved in their order."""
        ready: list[Row] = []
        while self._held:
            item = self._held.popleft()
            if not isinstance(item, Gap):
                ready.append(item)
                if self._last_delivered is None or self.time_of(item) >= self.time_of(self._last_delivered):
                    self._last_delivered = item
            elif item in self._answers:
                self._place(self._missing_rows(item))
            else:
                self._held.appendleft(item)
                break
        return ready

    def _release_oldest_gap(self) -> list[Row]:
        """Deliver the rows behind the oldest gap before it is filled, because too many are held back."""
        self._held.popleft()
        return self._release()

    def _missing_rows(self, gap: Gap) -> list[Row]:
        """Return the fetched rows of a gap that had not been received, in order."""
        answer = self._answers.pop(gap)
        fresh: list[Row] = []
        if isinstance(answer, str):
            gap.abandon(answer)
        else:
            # The gap is still in ``_backfills``, so that rows it may repeat are not forgotten meanwhile.
            fresh = sorted((new for row in answer for new in self._take(row, fetched=True)), key=self._order)
            gap.rows = len(fresh)
            gap.outcome = REPAIRED if fresh else NOTHING_MISSING
            if gap.unavailable:
                gap.abandon(gap.unavailable)
        self._backfills.remove(gap)
        self._drop_superseded(fresh)
        return fresh

    def _drop_superseded(self, fetched: list[Row]) -> None:
        """Drop rows held back that fetched rows replace."""


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
        self._begin_backfill(gap, self._span(gap, now), hold=True)

    def _end_gap(self, gap: Gap, now: int) -> None:
        if self.last is None and not self._started_before:
            gap.abandon("no row had arrived before")
        else:
            self._begin_backfill(gap, self._span(gap, now + self.END_MARGIN), hold=True)


class TradeSequencer(_BackfilledSequencer):
    """Trades, identified by ``sequential_id``."""

    END_MARGIN = SECOND  # the exchange's time is known to a second, and fetching one trade too many does no harm

    def _reconnect(self, gap: Gap, first: Row) -> None:
        span: Span | None = None
        time = self.time_of(first)
        same = time == self.rows.newest and self.rows.knows(first)
        if gap.start is None and self._started_before:
            self.rows.forgotten = self._started_before - 1
        if not (gap.start is None and not self._started_before) and not (same and self._was_settled(gap)):
            span = self._span(gap, time)
        self._begin_backfill(gap, span, hold=True)

    def _span(self, gap: Gap, until: int) -> Span:
        since = self._started_before if gap.start is None else max(gap.start, self._started_before) - OVERLAP
        # Trades that are forgotten cannot be distinguished from missed ones.
        start = max(since, self._forgotten_until + 1)
        end = max(start, max(gap.start or 0, until) + 1000)
        if self.rows.blind >= max(since + OVERLAP, gap.start or 0):
            gap.unavailable = "the exchange's clock was set back: missed and received trades cannot be distinguished"
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
        if not (gap.start is None and not self._started_before) and not same:
            span = self._span(gap, time)
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

    def _ends_gap(self, row: Row, clock: int | None) -> bool:
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
