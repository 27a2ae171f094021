"""Order and deduplicate the rows of one topic, detect gaps, and hold rows back until a gap is backfilled (no I/O).

A :class:`TopicSequencer` accepts every row of one type and market in order of arrival. It drops
repeated rows, opens a gap when the connection breaks, and holds back the rows after the gap until the
missing rows are fetched, so that subscribers receive every row once and in order.

:mod:`upbit_frames.live.hub.sequencer_types` has what differs by type of row,
:mod:`upbit_frames.live.hub.deduplicator` decides which rows are new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from upbit_frames.core.intervals import Span
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.connection_clock import AHEAD
from upbit_frames.live.hub.deduplicator import Deduplicator, deduplicator_for
from upbit_frames.live.hub.gaps import NOTHING_MISSING, REPAIRED, Gap

__all__ = ["SECOND", "TopicSequencer"]

SECOND = 1_000_000
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
        first = next((each for each in rows if self._ends_gap(each, at, clock)), None)
        if self._gap is not None and first is None and len(rows) < MOST_AHEAD:
            self._ahead = rows  # the missing rows are older, unless the time of this one is wrong
            return [], None
        gap, self._gap, self._ahead = self._gap, None, []
        if gap is not None:
            first = row if first is None else first
            gap.end, gap.reconnected_at, gap.first_row = self.time_of(first), at, first
            self._forget_wrong_start(clock)
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
        self._forget_wrong_start(now)
        if self.last is None and self._ahead:
            gap.end = max(map(self.time_of, self._ahead))
            gap.abandon("all rows are stamped far ahead of the exchange's time, so the missing range is unknown")
        elif self.last is None and not self.accepted:
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

    def _ends_gap(self, row: Row, at: int, clock: int | None) -> bool:
        """Return whether the time of a row proves that the rows before it are known or missing.

        The connection's clock has to agree with it, or the newest row before the gap and the time that
        has passed since by our clock.
        """
        if not self.rows.ahead(row, clock):
            return True
        start = None if self._gap is None else self._gap.start
        return start is not None and self.time_of(row) <= start + at - self.rows.arrived + AHEAD

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

    def _forget_wrong_start(self, now: int | None) -> None:
        """Forget when the topic was subscribed, if a wrong exchange's time was believed then."""
        if now is not None and self._started_before > now + AHEAD:
            self._started_before = 0

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
