"""What one market's stream passes on, and what is missing from it (pure).

A :class:`Line` sees every row of one type and market in the order of arrival. It drops what was
seen before, notices what a break may have cost, and holds back what came after the break until
the missing rows were fetched, so that a reader sees everything once and in order.

- Trades are told apart by ``sequential_id`` and nothing else. Ids are remembered for a while, so
  that the stretch to be fetched may begin before the break: what was late then is found too.
- Of each candle the last state wins, also where it comes after the next candle has begun. After a
  break the candle that was forming before it, and all up to the one that forms now, are fetched in
  their final state.
- Tickers and order books hold the whole state in each frame: nothing has to be fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC

from upbit_frames.core.intervals import Interval, Span, to_micros
from upbit_frames.core.topics import interval_of
from upbit_frames.exchange.wire.messages import Row

__all__ = ["Gap", "Line"]

SECOND = 1_000_000
OVERLAP = 10 * SECOND  # how long before the last trade that was seen one may still have been under way
QUIET = 60 * SECOND  # a break may be noticed that much later than it happened: ping, and its time limit
MEMORY = 120 * SECOND  # trades older than that, against the newest, are taken for seen
MOST_IDS = 50_000  # of one market
MOST_HELD = 50_000  # rows of one market that wait for a repair
MOST_STATES = 256  # candles of one market whose last state is remembered
EVERY = 256  # trades after which old ids are looked for


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


@dataclass(eq=False)
class Line:
    """The rows of one type and market.

    Attributes
    ----------
    type, market : str
    started : int
        When it was subscribed to, by the exchange's clock.
    seen, repeated, stale : int
        Rows passed on or held; dropped because seen before; dropped because too old to tell.
    """

    type: str
    market: str
    started: int = 0
    seen: int = 0
    repeated: int = 0
    stale: int = 0
    _ids: dict[int, int] = field(default_factory=dict)  # id → time, in order of arrival
    _states: dict[int, Row] = field(default_factory=dict)  # start of a candle → its last state
    _forgotten: int = 0  # everything up to this time counts as seen
    _newest: int = 0
    _arrived: int = 0  # when the newest trade, or the first row of the newest candle, arrived, by our clock
    _last: Row = None
    _shown: Row = None  # the newest that was passed on, while others wait
    _since: int = 0  # when it had been subscribed to before the break, by the exchange's clock
    _gap: Gap | None = None  # broken, and nothing has come since
    _open: list[Gap] = field(default_factory=list)  # being fetched
    _answers: dict[Gap, list[Row] | str] = field(default_factory=dict)  # rows, or why there are none
    _waiting: deque[Gap | Row] = field(default_factory=deque)

    @property
    def interval(self) -> Interval | None:
        """Of a line of candles."""
        return interval_of(self.type)

    @property
    def whole(self) -> bool:
        """Whether each row is the whole state, so that nothing is ever missing."""
        return self.type in ("ticker", "orderbook")

    @property
    def last(self) -> Row:
        """The newest row; None where there is none."""
        return self._last

    @property
    def shown(self) -> Row:
        """The newest row that was passed on; None where there is none."""
        return self._shown if self._waiting else self._last

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

    # --- what happens -------------------------------------------------------------------------

    def broke(self, at: int, reason: str) -> Gap | None:
        """The connection broke; the gap that this makes, unless it is broken already."""
        if self._gap is not None:
            return None
        self._since = self.started
        since = self.time_of(self._last) if self._last is not None else None
        self._gap = Gap(self.type, self.market, since, at, reason)
        return self._gap

    def row(self, row: Row, at: int) -> tuple[list[Row], Gap | None]:
        """A row came: what can be passed on, and the gap that has to be fetched."""
        gap, self._gap = self._gap, None
        if gap is not None:
            gap.until, gap.restored_at = self.time_of(row), at
            if self.whole:
                gap.outcome = "snapshot"
            else:
                self._begin(gap, self._missing(gap, row), hold=self.type == "trade" or gap.since != gap.until)
        fresh = [row] if self._take(row) else []
        if self._waiting:
            self._waiting += fresh
            fresh = self._relieve() if len(self._waiting) > MOST_HELD else []
        return fresh, gap if gap is not None and gap.span is not None else None

    def silent(self, at: int, now: int) -> Gap | None:
        """Nothing came although it is subscribed again: the gap that has to be fetched, if any.

        ``now`` is the exchange's time. Where nothing was ever traded there is nothing to fetch.
        """
        gap, self._gap = self._gap, None
        if gap is None:
            return None
        gap.restored_at = at
        if self._last is None:
            gap.outcome = "nothing missing"
        elif self.whole:
            gap.outcome = "not repaired: no snapshot came"
        else:
            gap.until = now
            self._begin(gap, self._span(gap, now), hold=True)
        return gap if gap.span is not None else None

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
        if self.type == "trade":
            return int(row.trade_timestamp) * 1000
        if self.interval is not None:
            return to_micros(row.candle_date_time_utc.replace(tzinfo=UTC))
        return int(row.timestamp) * 1000

    def _take(self, row: Row, *, fetched: bool = False) -> bool:
        """Whether the row is new; remembers it."""
        if self.type == "trade":
            new = self._new_trade(row, fetched)
        elif self.whole:
            new = self._new_state(row)
        else:
            new = self._new_candle(row, fetched)
        if new:
            self.seen += 1
        return new

    def _new_trade(self, row: Row, fetched: bool) -> bool:
        one, time = row.sequential_id, row.trade_timestamp * 1000
        if one in self._ids:
            self.repeated += 1
            return False
        if not self._ids and not fetched:
            self._begins(row, time, self.started)
        if time <= self._forgotten and not fetched:
            self.stale += 1
            return False
        self._ids[one] = time
        if time >= self._newest:
            self._newest, self._last = time, row
        self._arrived = max(self._arrived, row.received_at)
        if len(self._ids) % EVERY == 0:
            self._forget()
        return True

    def _begins(self, row: Row, time: int, started: int) -> None:
        """The first row: what is older than a snapshot was told before anybody listened."""
        if not self._forgotten:
            snapshot = row.stream_type == "SNAPSHOT" or not started
            self._forgotten = (time if snapshot else min(time, started)) - 1

    def _forget(self) -> None:
        """Forget old ids, but none that the answer to an open gap may bring again."""
        horizon = self._newest - MEMORY
        if len(self._ids) > MOST_IDS:
            horizon = max(horizon, sorted(self._ids.values())[-(MOST_IDS // 2)])
        if horizon > self._forgotten:
            spans = [gap.span for gap in self._open if gap.span is not None]
            self._ids = {
                one: time
                for one, time in self._ids.items()
                if time > horizon or any(span.start <= time < span.end for span in spans)
            }
            self._forgotten = horizon

    def _new_candle(self, row: Row, fetched: bool) -> bool:
        start = self.time_of(row)
        known = self._states.get(start)
        if not self._states and not fetched and self.interval is not None:
            self._begins(row, start, self.started and self.interval.floor(self.started))
        if fetched:
            # Its volume never falls: what tells of less is older, and what tells of as much is the same.
            if known is not None and row.candle_acc_trade_volume < known.candle_acc_trade_volume:
                return False
            new = known is None or row.candle_acc_trade_volume > known.candle_acc_trade_volume
        elif start <= self._forgotten:
            self.stale += 1
            return False
        else:
            new = known is None or _state(row) > _state(known)
        if not new and not fetched:
            self.repeated += 1
            return False
        self._states[start] = row
        if start >= self._newest:
            if start > self._newest:
                self._arrived = row.received_at
            self._newest, self._last = start, row
        if len(self._states) > MOST_STATES:
            oldest = sorted(self._states)[: MOST_STATES // 2]
            for one in oldest:
                del self._states[one]
            self._forgotten = max(self._forgotten, oldest[-1])
        return new

    def _new_state(self, row: Row) -> bool:
        if self._last is not None and not self._newer(row, self._last):
            self.repeated += 1
            return False
        self._last = row
        return True

    def _newer(self, row: Row, last: Row) -> bool:
        if row.timestamp != last.timestamp:
            return bool(row.timestamp > last.timestamp)
        if self.type == "orderbook":
            # The same book again; but more of it where somebody asked for more.
            return len(row.orderbook_units) > len(last.orderbook_units)
        # One moment may have several tickers, of several trades; only the same again is a repetition.
        facts = ("trade_timestamp", "trade_price", "acc_trade_volume", "acc_trade_price_24h", "acc_trade_volume_24h")
        return any(getattr(row, name) != getattr(last, name) for name in facts)

    def _missing(self, gap: Gap, row: Row) -> Span | None:
        """What has to be fetched, now that the first row after a break is here."""
        time = self.time_of(row)
        # Something late may have been lost with the connection, though not if it lived on for long.
        settled = gap.broken_at - self._arrived > QUIET
        if self.interval is not None:
            same = gap.since == time
        else:
            same = row.sequential_id in self._ids and time == self._newest
            if gap.since is None and self._since:
                self._forgotten = self._since - 1
        if (gap.since is None and not self._since) or (same and settled):
            return None
        return self._span(gap, time)

    def _span(self, gap: Gap, until: int) -> Span:
        if self.interval is not None:
            # Without the one that still forms: what REST tells of it is not its last state.
            since = self.interval.floor(self._since if gap.since is None else gap.since - OVERLAP)
            start = max(since, self._forgotten + 1)
            return Span(start, max(start, self.interval.floor(until)))
        since = self._since if gap.since is None else max(gap.since, self._since) - OVERLAP
        # Whatever was forgotten cannot be told from what was missed.
        start = max(since, self._forgotten + 1)
        return Span(start, max(start, max(gap.since or 0, until) + 1000))

    # --- what waits ---------------------------------------------------------------------------

    def _begin(self, gap: Gap, span: Span | None, *, hold: bool) -> None:
        """Have a span fetched; ``hold`` keeps back what comes until then, as an earlier gap does anyway."""
        if span is None or span.empty:
            gap.outcome = "nothing missing"
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
            fresh = sorted((row for row in answer if self._take(row, fetched=True)), key=self._order)
            gap.rows = len(fresh)
            gap.outcome = "repaired" if fresh else "nothing missing"
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


def _state(row: Row) -> tuple[int, float]:
    """What the states of one candle are ordered by."""
    return row.timestamp, row.candle_acc_trade_volume
