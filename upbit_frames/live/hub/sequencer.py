"""What one market's stream passes on, and what is missing from it (pure).

A :class:`Line` sees every row of one type and market in the order of arrival. It drops what was
seen before, notices what a break may have cost, and holds back what came after the break until
the missing rows were fetched, so that a reader sees everything once and in order.

- Trades are told apart by ``sequential_id`` and nothing else. Ids are remembered for a while, so
  that the range to be fetched may begin before the break: what was late then is found too.
- Of each candle the last state wins, also where it comes after the next candle has begun. After a
  break the candle that was forming before it, and all up to the one that forms now, are fetched in
  their final state.
- Tickers and order books hold the whole state in each frame: nothing has to be fetched.

Which rows are new is decided by :mod:`upbit_frames.live.hub.seen`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.topics import interval_of
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.seen import SeenRows, seen_of

__all__ = ["Gap", "Line"]

SECOND = 1_000_000
OVERLAP = 10 * SECOND  # how long before the last trade that was seen one may still have been under way
QUIET = 60 * SECOND  # a break may be noticed that much later than it happened: ping, and its time limit
MOST_EARLY = 32  # rows of one market after a break whose time is not believed
MOST_HELD = 50_000  # rows of one market that wait for a repair


@dataclass(eq=False)
class Gap:
    """One break of one market.

    Attributes
    ----------
    type, market : str
    since : int or None
        Time of the last row before it, microseconds; None where there was none.
    until : int or None
        Time of the first row after it; None while there is none.
    broken_at, restored_at : int
        By this machine's clock; 0 while it is not restored.
    reason : str
    span : Span or None
        What has to be fetched; None where nothing has.
    rows : int
        How many rows were fetched that had not been seen.
    outcome : str
        ``open``, ``repaired``, ``nothing missing``, ``snapshot`` (the state came whole), or
        ``not repaired: …``.
    lost : int
        How many rows came and were left out.
    partly : str
        Why some of it cannot be fetched.
    first : Row
        The first row after it.
    """

    type: str
    market: str
    since: int | None
    broken_at: int
    reason: str
    until: int | None = None
    restored_at: int = 0
    span: Span | None = None
    rows: int = 0
    outcome: str = "open"
    lost: int = 0
    partly: str = ""
    first: Row = None


@dataclass(eq=False)
class Line:
    """The rows of one type and market.

    Attributes
    ----------
    type, market : str
    started : int
        When it was subscribed to, by the exchange's clock.
    seen, heard : int
        Rows passed on or held; rows that came.
    """

    type: str
    market: str
    started: int = 0
    seen: int = 0
    heard: int = 0
    _shown: Row = None  # the newest that was passed on, while others wait
    _since: int = 0  # when it had been subscribed to before the break, by the exchange's clock
    _gap: Gap | None = None  # broken, and nothing has come since
    _open: list[Gap] = field(default_factory=list)  # being fetched
    _answers: dict[Gap, list[Row] | str] = field(default_factory=dict)  # rows, or why there are none
    _waiting: deque[Gap | Row] = field(default_factory=deque)
    _early: list[Row] = field(default_factory=list)  # came after a break, from far ahead of the clock
    _lost: Gap | None = None  # of rows that were dropped, while no other row comes between them

    def __post_init__(self) -> None:
        self.rows: SeenRows = seen_of(self.type)
        self.interval: Interval | None = interval_of(self.type)  # of a line of candles

    @property
    def whole(self) -> bool:
        """Whether each row is the whole state, so that nothing is ever missing."""
        return self.type in ("ticker", "orderbook")

    @property
    def last(self) -> Row:
        """The newest row whose time is believed; None where there is none."""
        return self.rows.last

    @property
    def shown(self) -> Row:
        """The newest row that was passed on; None where there is none."""
        return self._shown if self._waiting else self.rows.last

    @property
    def held(self) -> int:
        """How many rows and gaps wait for a repair."""
        return len(self._waiting)

    @property
    def mending(self) -> bool:
        """Whether what a break has cost is still being fetched."""
        return bool(self._open)

    @property
    def broken(self) -> bool:
        """Whether the connection broke and nothing has come since."""
        return self._gap is not None

    @property
    def gap(self) -> Gap | None:
        """What is missing since the connection broke, while nothing has come since."""
        return self._gap

    # --- what happens -------------------------------------------------------------------------

    def broke(self, at: int, reason: str) -> Gap | None:
        """The connection broke; the gap that this makes, unless it is broken already."""
        if self._gap is not None:
            return None
        self._since = self.started
        since = None if self.last is None else self.time_of(self.last)
        self._gap = Gap(self.type, self.market, since, at, reason)
        return self._gap

    def row(self, row: Row, at: int, clock: int | None = None) -> tuple[list[Row], Gap | None]:
        """A row came: what can be passed on, and the gap that has to be fetched.

        ``clock`` is the connection's; a row far ahead of it ends no gap of trades or candles by itself.
        """
        self.heard += 1
        rows = [*self._early, row]
        first = next((one for one in rows if self.whole or not self.rows.ahead(one, clock)), None)
        if self._gap is not None and first is None and len(rows) < MOST_EARLY:
            self._early = rows  # what is missing lies before it, unless its time is wrong
            return [], None
        gap, self._gap, self._early = self._gap, None, []
        if gap is not None:
            first = row if first is None else first
            gap.until, gap.restored_at, gap.first = self.time_of(first), at, first
            if self.whole:
                gap.outcome = "snapshot"
            else:
                self._begin(gap, self._missing(gap, first), hold=self.type == "trade" or gap.since != gap.until)
        fresh = [new for one in rows for new in self._take(one, clock)]
        if self._waiting:
            self._waiting += fresh
            fresh = self._relieve() if len(self._waiting) > MOST_HELD else []
        return fresh, gap if gap is not None and gap.span is not None else None

    def dropped(self, at: int) -> Gap | None:
        """The gap of rows that came so late that nobody can tell whether they were seen, if it is new.

        More of them without another row between belong to the same gap.
        """
        number, self.rows.dropped = self.rows.dropped, 0
        if not number:
            return None
        fresh = self._lost is None
        if self._lost is None:
            reason = "rows came so long after their time that new ones cannot be told from repeated ones"
            self._lost = Gap(self.type, self.market, self.last and self.time_of(self.last), at, reason)
        self._lost.lost += number
        self._lost.until, self._lost.restored_at = self.last and self.time_of(self.last), at
        self._lost.outcome = f"not repaired: {self._lost.lost} left out"
        return self._lost if fresh else None

    def silent(self, at: int, now: int) -> Gap | None:
        """Nothing came although it is subscribed again: the gap that has to be fetched, if any.

        ``now`` is the exchange's time. Where nothing was ever traded there is nothing to fetch.
        """
        gap, self._gap = self._gap, None
        if gap is None:
            return None
        gap.restored_at = at
        if self.last is None:
            gap.outcome = "nothing missing"
        elif self.whole:
            gap.outcome = "not repaired: no snapshot came"
        else:
            gap.until = now
            self._begin(gap, self._span(gap, now), hold=True)
        return gap if gap.span is not None else None

    def cut_off(self, at: int, now: int) -> Gap | None:
        """Nobody waits for the connection to come back: the gap that has to be fetched, up to now."""
        gap = self._gap
        if gap is not None and self.whole:
            gap.outcome = "not repaired: the connection was down until the end"
        elif gap is not None and self.last is None and not self._since:
            gap.outcome = "not repaired: nothing had come before"
        elif gap is not None:
            # The exchange's time is known to a second, and a trade more does no harm.
            self._begin(gap, self._span(gap, now + SECOND if self.type == "trade" else now), hold=True)
        self._gap = None
        return gap if gap is not None and gap.span is not None else None

    def surrender(self, why: str) -> list[Row]:
        """It is over: everything that waits; no gap will be repaired any more."""
        rows = [one for one in [*self._waiting, *self._early] if not isinstance(one, Gap)]
        for gap in [*self._open, *([] if self._gap is None else [self._gap])]:
            gap.outcome = f"not repaired: {why}"
        self._waiting.clear()
        self._early = []
        return rows

    def mended(self, gap: Gap, rows: Iterable[Row]) -> list[Row]:
        """What was fetched for a gap: everything that can be passed on now."""
        self._answers[gap] = list(rows)
        return self._settle(gap)

    def failed(self, gap: Gap, why: str) -> list[Row]:
        """It could not be fetched: everything that can be passed on now."""
        self._answers[gap] = why
        return self._settle(gap)

    # --- how it is judged ---------------------------------------------------------------------

    def time_of(self, row: Row) -> int:
        """What rows are ordered by, in microseconds."""
        return self.rows.time_of(row)

    def _take(self, row: Row, clock: int | None = None, *, fetched: bool = False) -> list[Row]:
        """Which rows are new; remembers them."""
        spans = [gap.span for gap in self._open if gap.span is not None]
        new = self.rows.take(row, started=self.started, clock=clock, fetched=fetched, gaps=spans)
        self.seen += len(new)
        if new and not self.rows.dropped:
            self._lost = None
        return new

    def _missing(self, gap: Gap, row: Row) -> Span | None:
        """What has to be fetched, now that the first row after a break is here."""
        time = self.time_of(row)
        # Something late may have been lost with the connection, though not if it lived on for long.
        settled = gap.broken_at - self.rows.arrived > QUIET
        if self.interval is not None:
            same = gap.since == time
        else:
            same = time == self.rows.newest and self.rows.knows(row)
            if gap.since is None and self._since:
                self.rows.forgotten = self._since - 1
        if (gap.since is None and not self._since) or (same and settled):
            return None
        return self._span(gap, time)

    def _span(self, gap: Gap, until: int) -> Span:
        if self.interval is not None:
            # Without the one that still forms: what REST tells of it is not its last state.
            since = self.interval.floor(self._since if gap.since is None else gap.since - OVERLAP)
            start = max(since, self._known_until + 1)
            return Span(start, max(start, self.interval.floor(until)))
        since = self._since if gap.since is None else max(gap.since, self._since) - OVERLAP
        # Whatever was forgotten cannot be told from what was missed.
        start = max(since, self._known_until + 1)
        end = max(start, max(gap.since or 0, until) + 1000)
        if self.rows.blind >= max(since + OVERLAP, gap.since or 0):
            gap.partly = "the exchange's clock was set back, so what was missed cannot be told from what was seen"
        return Span(start, end)

    @property
    def _known_until(self) -> int:
        """Up to where what was seen is forgotten."""
        return max(self.rows.forgotten, self.rows.blind)

    # --- what waits ---------------------------------------------------------------------------

    def _begin(self, gap: Gap, span: Span | None, *, hold: bool) -> None:
        """Have a span fetched; ``hold`` keeps back what comes until then, as an earlier gap does anyway."""
        if span is None or span.empty:
            gap.outcome = f"not repaired: {gap.partly}" if gap.partly else "nothing missing"
            return
        gap.span = span
        self._open.append(gap)
        if hold or self._waiting:
            self._shown = self.shown
            self._waiting.append(gap)

    def _settle(self, gap: Gap) -> list[Row]:
        """Everything that can be passed on, now that there is an answer for a gap."""
        if gap not in self._waiting:
            return self._judge(gap)  # nothing was held back for it, or not any more
        return self._pass_on()

    def _pass_on(self) -> list[Row]:
        """Everything up to the first gap without an answer; answers are judged in the order of the gaps."""
        ready: list[Row] = []
        while self._waiting:
            first = self._waiting.popleft()
            if not isinstance(first, Gap):
                ready.append(first)
                if self._shown is None or self.time_of(first) >= self.time_of(self._shown):
                    self._shown = first
            elif first in self._answers:
                self._put_in_place(self._judge(first))
            else:
                self._waiting.appendleft(first)
                break
        return ready

    def _judge(self, gap: Gap) -> list[Row]:
        """What the answer for a gap brings that was not seen, in order."""
        answer = self._answers.pop(gap)
        if isinstance(answer, str):
            gap.outcome = f"not repaired: {answer}"
            fresh = []
        else:
            # It is still open, so that what it brings again is not forgotten meanwhile.
            fresh = sorted((row for one in answer for row in self._take(one, fetched=True)), key=self._order)
            gap.rows = len(fresh)
            gap.outcome = "repaired" if fresh else "nothing missing"
            if gap.partly:
                gap.outcome = f"not repaired: {gap.partly}"
        self._open.remove(gap)
        if fresh and self.type != "trade":
            # What waits of these candles is older than their last state.
            final = {self.time_of(row) for row in fresh}
            kept = [one for one in self._waiting if isinstance(one, Gap) or self.time_of(one) not in final]
            self._waiting = deque(kept)
        return fresh

    def _put_in_place(self, rows: list[Row]) -> None:
        """Put what was fetched before what waits, as far as it belongs there."""
        if rows and self.type == "trade":
            # The answer reaches to the end of a millisecond that the stream may have told half of.
            rest: list[Row] = []
            while self._waiting and not isinstance(self._waiting[0], Gap):
                rest.append(self._waiting.popleft())
            rows = sorted(rows + rest, key=self._order)
        self._waiting.extendleft(reversed(rows))

    def _order(self, row: Row) -> tuple[int, int]:
        return self.time_of(row), row.sequential_id if self.type == "trade" else 0

    def _relieve(self) -> list[Row]:
        """Too much waits: pass it on without what the first gap lacks; that comes later."""
        self._waiting.popleft()
        return self._pass_on()
