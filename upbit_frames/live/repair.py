"""What one market's stream passes on, and what is missing from it (pure).

A :class:`Line` sees every row of one type and market in the order of arrival. It drops what was
seen before, notices what a break may have cost, and holds back what came after the break until
the missing rows were fetched, so that a reader sees everything once and in order.

- Trades are told apart by ``sequential_id`` and nothing else. Ids are remembered for a while, so
  that the stretch to be fetched may begin before the break: what was late then is found too.
- Of a candle the last state wins. After a break the candle that was forming before it, and all
  up to the one that forms now, are fetched in their final state.
- Tickers and order books hold the whole state in each frame: nothing has to be fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC

from upbit_frames.intervals import Interval, Span, to_micros
from upbit_frames.normalize_ws import Row
from upbit_frames.stream_tables import REST
from upbit_frames.subscriptions import interval_of

__all__ = ["Gap", "Line"]

SECOND = 1_000_000
OVERLAP = 10 * SECOND  # how long before the last trade that was seen one may still have been under way
QUIET = 60 * SECOND  # a break may be noticed that much later than it happened: ping, and its time limit
MEMORY = 120 * SECOND  # trades older than that, against the newest, are taken for seen
MOST_IDS = 50_000  # of one market
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
    _forgotten: int = 0  # everything up to this time counts as seen
    _newest: int = 0
    _arrived: int = 0  # when the newest row arrived, by this machine's clock
    _last: Row = None
    _gap: Gap | None = None  # broken, and nothing has come since
    _waiting: deque[Gap | Row] = field(default_factory=deque)

    @property
    def interval(self) -> Interval | None:
        """Of a line of candles."""
        return interval_of(self.type)

    @property
    def last(self) -> Row:
        """The newest row; None where there is none."""
        return self._last

    @property
    def held(self) -> int:
        """How many rows and gaps wait for a repair."""
        return len(self._waiting)

    @property
    def broken(self) -> bool:
        """Whether the connection broke and nothing has come since."""
        return self._gap is not None

    # --- what happens -------------------------------------------------------------------------

    def broke(self, at: int, reason: str) -> Gap | None:
        """The connection broke; the gap that this makes, unless it is broken already."""
        if self._gap is not None:
            return None
        since = self.time_of(self._last) if self._last is not None else None
        self._gap = Gap(self.type, self.market, since, at, reason)
        return self._gap

    def row(self, row: Row, at: int) -> tuple[list[Row], Gap | None]:
        """A row came: what can be passed on, and the gap that has to be fetched."""
        gap, self._gap = self._gap, None
        if gap is not None:
            gap.until, gap.restored_at = self.time_of(row), at
            gap.span = self._missing(gap, row)
            if gap.span is None:
                gap.outcome = "snapshot" if self.type in ("ticker", "orderbook") else "nothing missing"
            else:
                self._waiting.append(gap)
        fresh = [row] if self._take(row) else []
        if self._waiting:
            self._waiting += fresh
            fresh = self._relieve() if len(self._waiting) > MOST_HELD else []
        return fresh, gap if gap is not None and gap.span is not None else None

    def silent(self, at: int, now: int) -> Gap | None:
        """Nothing came although it is subscribed again: the gap that has to be fetched, if any.

        ``now`` is the exchange's time. Where nothing was ever traded there is nothing to fetch.
        """
        gap = self._gap
        if gap is None:
            return None
        self._gap = None
        gap.restored_at = at
        if self.type in ("ticker", "orderbook") or self._last is None:
            gap.outcome = "nothing missing" if self._last is None else "snapshot"
            return None
        gap.until = now
        span = self._span(gap.since or self.started, now)
        if span.empty:
            gap.outcome = "nothing missing"
            return None
        gap.span = span
        self._waiting.append(gap)
        return gap

    def mended(self, gap: Gap, rows: Iterable[Row]) -> list[Row]:
        """What was fetched for a gap: everything that can be passed on now."""
        fresh = []
        for row in rows:
            if self._take(row, fetched=True):
                fresh.append(row)
        gap.rows = len(fresh)
        gap.outcome = "repaired" if fresh else "nothing missing"
        return self._settle(gap, fresh)

    def failed(self, gap: Gap, why: str) -> list[Row]:
        """It could not be fetched: everything that can be passed on now."""
        gap.outcome = f"not repaired: {why}"
        return self._settle(gap, [])

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
        new = self._new_trade(row, fetched) if self.type == "trade" else self._new_state(row, fetched)
        if new:
            self.seen += 1
        return new

    def _new_trade(self, row: Row, fetched: bool) -> bool:
        one, time = row.sequential_id, row.trade_timestamp * 1000
        if one in self._ids:
            self.repeated += 1
            return False
        if not self._ids and not self._forgotten and not fetched:
            self._forgotten = time - 1  # what is older was traded before anybody listened
        if time <= self._forgotten and not fetched:
            self.stale += 1
            return False
        self._ids[one] = time
        if time >= self._newest:
            self._newest, self._last = time, row
        self._arrived = max(self._arrived, row.received_at)
        if len(self._ids) > MOST_IDS or len(self._ids) % 256 == 0:
            self._forget()
        return True

    def _forget(self) -> None:
        """Forget old ids, but none that the answer to an open gap may bring again."""
        horizon = self._newest - MEMORY
        if len(self._ids) > MOST_IDS:
            horizon = max(horizon, sorted(self._ids.values())[-(MOST_IDS // 2)])
        for waiting in self._waiting:
            if isinstance(waiting, Gap) and waiting.span is not None:
                horizon = min(horizon, waiting.span.start - 1)
        if horizon > self._forgotten:
            self._ids = {one: time for one, time in self._ids.items() if time > horizon}
            self._forgotten = horizon

    def _new_state(self, row: Row, fetched: bool) -> bool:
        last = self._last
        if fetched:
            # Final, and older than whatever the stream has sent since the break.
            if last is None or self.time_of(row) >= self.time_of(last):
                self._last = row
            return True
        if last is not None and not self._newer(row, last):
            self.repeated += 1
            return False
        self._last = row
        return True

    def _newer(self, row: Row, last: Row) -> bool:
        if self.interval is not None:
            older, newer = self.time_of(last), self.time_of(row)
            if newer != older:
                return newer > older
            if last.stream_type == REST:
                return False
            return bool((row.timestamp, row.candle_acc_trade_volume) > (last.timestamp, last.candle_acc_trade_volume))
        if self.type == "orderbook":
            return bool(row.timestamp > last.timestamp)
        if row.timestamp != last.timestamp:
            return bool(row.timestamp > last.timestamp)
        # One moment may have several tickers, of several trades; only the same again is a repetition.
        facts = ("trade_timestamp", "trade_price", "acc_trade_volume", "acc_trade_price_24h", "acc_trade_volume_24h")
        return any(getattr(row, name) != getattr(last, name) for name in facts)

    def _missing(self, gap: Gap, row: Row) -> Span | None:
        """What has to be fetched, now that the first row after a break is here."""
        if self.type in ("ticker", "orderbook"):
            return None
        time = self.time_of(row)
        if self.interval is not None:
            since = gap.since if gap.since is not None else self.interval.floor(self.started) if self.started else time
            return Span(since, time) if since < time else None
        if gap.since is None:
            return self._span(self.started, time) if self.started else None
        unchanged = row.sequential_id in self._ids and time == self._newest
        # Nothing newer than what was seen; but something late may have been lost with the connection.
        settled = gap.broken_at - self._arrived > QUIET
        return None if unchanged and settled else self._span(gap.since, time)

    def _span(self, since: int, until: int) -> Span:
        if self.interval is not None:
            # Without the one that still forms: what REST tells of it is not its last state.
            return Span(since, max(since, self.interval.floor(until)))
        # Whatever was forgotten cannot be told from what was missed.
        return Span(max(since - OVERLAP, self._forgotten + 1), max(since, until) + 1000)

    # --- what waits ---------------------------------------------------------------------------

    def _settle(self, gap: Gap, rows: list[Row]) -> list[Row]:
        """Put the rows where the gap was, and pass on everything up to the next one."""
        items = list(self._waiting)
        if gap not in items:
            return sorted(rows, key=self._order)  # given up before the answer came
        at = items.index(gap)
        self._waiting = deque([*items[:at], *sorted(rows, key=self._order), *items[at + 1 :]])
        return self._flush()

    def _order(self, row: Row) -> tuple[int, int]:
        return self.time_of(row), row.sequential_id if self.type == "trade" else 0

    def _flush(self) -> list[Row]:
        ready = []
        while self._waiting and not isinstance(self._waiting[0], Gap):
            ready.append(self._waiting.popleft())
        return ready

    def _relieve(self) -> list[Row]:
        """Too much waits: pass it on without what the first gap lacks; that comes later."""
        first = self._waiting.popleft()
        assert isinstance(first, Gap)
        return self._flush()
