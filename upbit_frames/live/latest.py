"""The newest rows of one topic, as many as a request served by the live channel may need."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.router.live_rules import CAPACITY, LiveRequest

__all__ = ["LatestRows"]


@dataclass(eq=False)
class LatestRows(Subscriber):
    """A subscription of the live channel to one topic, with its newest rows.

    Attributes
    ----------
    row : Row
        The newest row.
    requested_at : float
        When it was last requested, monotonic seconds.
    idle_timeout : float
        Seconds without a request after which the subscription ends.
    seeded : bool
        Of trades: whether the trades before the stream's first are included, from REST.
    all_trades : bool
        Whether the market has no trades older than the included ones.
    """

    row: Row = None
    requested_at: float = 0.0
    idle_timeout: float = inf
    seeded: bool = False
    all_trades: bool = False
    _order: list[tuple[int, int]] = field(default_factory=list)
    _trades: dict[tuple[int, int], Row] = field(default_factory=dict)
    _candles: dict[datetime, Row] = field(default_factory=dict)

    def push(self, rows: Iterable[Row]) -> None:
        """Keep as many of the newest rows as a request may need."""
        for row in rows:
            self.received += 1
            if hasattr(row, "sequential_id"):
                self._keep_trade(row)
            elif hasattr(row, "candle_date_time_utc"):
                self._candles[row.candle_date_time_utc] = row
                if len(self._candles) > CAPACITY["candle"]:
                    del self._candles[min(self._candles)]
            self.row = row
        self.changed.set()

    def _keep_trade(self, row: Row) -> None:
        place = (row.trade_timestamp, row.sequential_id)
        if place not in self._trades:
            self._trades[place] = row
            insort(self._order, place)
        if len(self._order) > 2 * CAPACITY["trade"]:
            for old in self._order[: CAPACITY["trade"]]:
                del self._trades[old]
            del self._order[: CAPACITY["trade"]]

    def seed(self, rows: Sequence[Row], *, all_trades: bool) -> None:
        """Add older trades fetched over REST, if they reach the trades of the stream.

        ``all_trades`` means that the market has no older ones.
        """
        if self._order and any((row.trade_timestamp, row.sequential_id) == self._order[0] for row in rows):
            self.seeded = True
            self.all_trades = self.all_trades or all_trades
            for row in rows:
                self._keep_trade(row)

    def trades(self, count: int) -> list[Row]:
        """Return the newest ``count`` trades, ascending."""
        return [self._trades[place] for place in self._order[-count:]]

    def candles(self, start: datetime) -> list[Row]:
        """Return the candles that begin at ``start`` or later, ascending."""
        times = sorted(self._candles)
        return [self._candles[time] for time in times[bisect_left(times, start) :]]

    @property
    def has_lost_rows(self) -> bool:
        """Whether a gap could not be backfilled."""
        return any(gap.lost for gap in list(self.gaps))

    def holds(self, request: LiveRequest, since: datetime | None) -> bool:
        """Return whether all rows of a request are included."""
        if self.row is None or self.has_lost_rows:
            return False
        if request.kind == "trade":
            # Trades from before the stream are not needed if it has brought enough itself.
            return len(self._order) >= request.count or (self.seeded and self.all_trades)
        # The snapshot is the newest candle, so all later ones were received.
        return since is None or bool(self._candles and min(self._candles) <= since)
