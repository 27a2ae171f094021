"""What may be stored of the rows of one topic, and under which range (pure).

A range counts as covered if every row inside it is known, so nothing is stored of which this is not known. On one
connection the frames of a topic come in order, and a frame of any topic shows how far the exchange's clock had come.

- **Order books**: every frame is the whole book as of its time. A range begins with a snapshot, at the time of the
  book's last change, and goes on to the last frame, or further, to where the other topics show that the book was
  silent. When the connection breaks it ends with the last book, and the next begins with the next snapshot: where
  nothing had changed, the two touch.
- **Trades** and **candles**: a range goes on as long as the hub repairs what a break cost, and stops before the break
  until it has. Where it could not, there is a hole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC
from typing import NamedTuple

from upbit_frames.core.availability import sealed_until
from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.gaps import OPEN, Gap
from upbit_frames.store.base import Series

__all__ = ["LATE", "Piece", "TopicBuffer", "thinned"]

MILLISECOND = 1_000
LATE = 3_000_000  # microseconds after its time within which a trade is expected; later ones are added to what is stored
NEVER = 2**62


class Piece(NamedTuple):
    """Rows in order of time, and the range in which no others are."""

    span: Span
    rows: list[Row]


class TopicBuffer:
    """The rows of one topic that are not stored yet.

    Parameters
    ----------
    series : Series
        Where they belong.
    every : int
        Of order books: keep the last book of each such period, in microseconds; 0 for all books.

    Attributes
    ----------
    start : int or None
        From where on everything is known and not stored yet; None until the first row.
    """

    def __init__(self, series: Series, every: int = 0) -> None:
        self.series = series
        self.start: int | None = None
        self._every = every
        self._rows: list[tuple[int, Row]] = []
        self._late: list[Row] = []
        self._gaps: deque[Gap] = deque()
        self._newest: int | None = None
        self._begins = False  # whether nothing was stored before ``start``

    def __len__(self) -> int:
        return len(self._rows) + len(self._late)

    def time_of(self, row: Row) -> int:
        """Return the time by which a row is stored, microseconds UTC."""
        if self.series.kind == "candles":
            return to_micros(row.candle_date_time_utc.replace(tzinfo=UTC))
        return int(row.trade_timestamp if self.series.kind == "trades" else row.timestamp) * MILLISECOND

    # --- events -----------------------------------------------------------------------------------

    def add(self, row: Row) -> None:
        """Take a row, in order of arrival."""
        time = self.time_of(row)
        if self.start is None:
            if row.stream_type == BACKFILLED:
                self._late.append(row)
                return
            self.start, self._begins = self._start_with(time), True
        if time < self.start:
            self._late.append(row)
            return
        self._rows.append((time, row))
        if row.stream_type != BACKFILLED:
            self._newest = time

    def disconnect(self, gap: Gap) -> None:
        """Note a gap; its outcome is looked at whenever rows are taken.

        The rows before it may still be on their way to here, even the first ones.
        """
        if self.start is not None or gap.start is not None:
            self._gaps.append(gap)

    def interrupt(self, at: int, reason: str) -> None:
        """Note that rows were lost, at ``at`` by this machine's clock, and that no snapshot need follow."""
        if self.start is not None:
            gap = Gap(self.series.kind, self.series.market, self._newest, at, reason)
            gap.abandon(reason)
            self._gaps.append(gap)

    def drop(self) -> int:
        """Forget the rows, because there is no room for them; return how many."""
        number = len(self)
        self._rows.clear()
        self._late.clear()
        self._gaps.clear()
        self.start = None
        return number

    # --- what can be stored -----------------------------------------------------------------------

    def take(self, reached: int, *, last: bool = False) -> list[Piece]:
        """Return what can be stored, given up to when the exchange's clock is known to have come.

        ``last`` is whether nothing follows, so that no period is waited for.
        """
        self._rows.sort(key=lambda item: item[0])  # stable: rows of one time stay in order of arrival
        books = self.series.kind == "orderbook"
        self._gaps = deque(gap for gap in self._gaps if books or gap.lost or gap.outcome == OPEN)
        pieces = []
        while self.start is not None:
            gap = self._gaps[0] if self._gaps else None
            end = self._end(reached, last) if gap is None else self._end_before(gap, reached)
            if end > self.start:
                pieces.append(self._piece(Span(self.start, end)))
                self.start, self._begins = end, False
            if gap is None or gap.outcome == OPEN:
                break
            self._resume(gap)
        return pieces

    def take_late(self) -> list[Row]:
        """Return rows that came after their range was stored, or before it began."""
        late, self._late = self._late, []
        return late

    def _end(self, reached: int, last: bool = False) -> int:
        """Return up to when everything is known while the connection lasts."""
        if self.series.kind == "trades":
            return reached - LATE
        grid = self.series.grid
        if grid is not None:
            return sealed_until(grid, reached)
        newest = self._rows[-1][0] + 1 if self._rows else 0
        end = max(reached - LATE, newest)
        # A period's last book is known when the period is over; its end belongs to it.
        return end if last or not self._every else (end - 1) // self._every * self._every + 1

    def _end_before(self, gap: Gap, reached: int) -> int:
        """Return up to when everything is known before a gap."""
        if gap.start is None:
            return 0
        if self.series.kind == "orderbook":
            return gap.start + 1
        end = min(gap.start - (LATE if gap.outcome == OPEN else 0), self._end(reached))
        return end if self.series.grid is None else self.series.grid.floor(end)

    def _resume(self, gap: Gap) -> None:
        """Begin a new range after a gap: with the first row that came after it."""
        assert self.start is not None
        self._gaps.remove(gap)
        after = [time for time, row in self._rows if row.received_at >= gap.disconnected_at]
        first = gap.end if gap.end is not None else min(after, default=None)
        if first is None:
            self._gaps.clear()  # nothing came since; whatever comes next begins a range
        start = NEVER if first is None else max(self.start, self._start_with(first))
        self._begins = self._begins or start > self.start
        self.start = None if first is None else start
        self._late += [row for time, row in self._rows if time < start]
        self._rows = [item for item in self._rows if item[0] >= start]

    def _start_with(self, time: int) -> int:
        # Of the millisecond of the first trade that is seen, others may have come before it.
        return time + MILLISECOND if self.series.kind == "trades" else time

    def _piece(self, span: Span) -> Piece:
        inside = [row for time, row in self._rows if time < span.end]
        self._rows = self._rows[len(inside) :]
        if self.series.kind == "trades":
            unique = {row.sequential_id: row for row in inside}.values()
            return Piece(span, sorted(unique, key=lambda row: (row.trade_timestamp, row.sequential_id)))
        if self.series.kind == "candles":
            return Piece(span, newest_states(inside))
        return Piece(span, thinned(distinct(inside), self._every, first=self._begins))


def newest_states(rows: Sequence[Row]) -> list[Row]:
    """Return the newest state of each candle, ascending; one fetched over REST is final."""
    states: dict[object, Row] = {}
    for row in rows:
        known = states.get(row.candle_date_time_utc)
        if known is None or row.timestamp >= known.timestamp:
            states[row.candle_date_time_utc] = row
    return [states[time] for time in sorted(states)]  # type: ignore[type-var]


def same_book(book: Row, other: Row) -> bool:
    """Return whether two frames are the same book of the same moment."""
    return bool(book.timestamp == other.timestamp and book.orderbook_units == other.orderbook_units)


def distinct(rows: Sequence[Row]) -> list[Row]:
    """Leave out books that repeat the one before them, as a snapshot does."""
    return [row for at, row in enumerate(rows) if not at or not same_book(rows[at - 1], row)]


def thinned(rows: Sequence[Row], every: int, *, first: bool = True) -> list[Row]:
    """Return of each period the last book, and where a range begins also the first; all for 0.

    A period ends with its end, inclusive, so that the state at that moment is known exactly.
    """
    if not every:
        return list(rows)
    number = [-(-row.timestamp * MILLISECOND // every) for row in rows]
    last = len(rows) - 1
    return [row for at, row in enumerate(rows) if at == last or (first and at == 0) or number[at] != number[at + 1]]
