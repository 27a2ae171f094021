"""What is kept of one topic, so that a question about it can be answered at once."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.subscriber import Listener
from upbit_frames.router.live_rules import CAPACITY, LiveRequest

__all__ = ["Watch"]


@dataclass(eq=False)
class Watch(Listener):
    """One topic that is kept at hand.

    Attributes
    ----------
    row : Row
        The newest.
    asked : float
        When it was asked for last, monotonic seconds.
    idle : float
        Seconds after that at which it ends.
    complete : bool
        Of trades: whether the ones before the stream's first are here too.
    whole : bool
        Whether there are no older ones than those that are here.
    """

    row: Row = None
    asked: float = 0.0
    idle: float = inf
    complete: bool = False
    whole: bool = False
    _ids: list[tuple[int, int]] = field(default_factory=list)
    _trades: dict[tuple[int, int], Row] = field(default_factory=dict)
    _candles: dict[datetime, Row] = field(default_factory=dict)

    def push(self, rows: Iterable[Row]) -> None:
        """More rows; only what an answer may need is kept."""
        for row in rows:
            self.received += 1
            if hasattr(row, "sequential_id"):
                self._keep_trade(row)
            elif hasattr(row, "candle_date_time_utc"):
                self._candles[row.candle_date_time_utc] = row
                if len(self._candles) > CAPACITY["candle"]:
                    del self._candles[min(self._candles)]
            self.row = row
        self.news.set()

    def _keep_trade(self, row: Row) -> None:
        place = (row.trade_timestamp, row.sequential_id)
        if place not in self._trades:
            self._trades[place] = row
            insort(self._ids, place)
        if len(self._ids) > 2 * CAPACITY["trade"]:
            for old in self._ids[: CAPACITY["trade"]]:
                del self._trades[old]
            del self._ids[: CAPACITY["trade"]]

    def seed(self, rows: Sequence[Row], *, whole: bool) -> None:
        """Trades that REST told; they count where they reach what is here.

        ``whole`` says that there are no older ones.
        """
        if self._ids and any((row.trade_timestamp, row.sequential_id) == self._ids[0] for row in rows):
            self.complete = True
            self.whole = self.whole or whole
            for row in rows:
                self._keep_trade(row)

    def trades(self, count: int) -> list[Row]:
        """The newest so many, ascending."""
        return [self._trades[place] for place in self._ids[-count:]]

    def candles(self, start: datetime) -> list[Row]:
        """Those that begin at ``start`` or later, ascending."""
        times = sorted(self._candles)
        return [self._candles[one] for one in times[bisect_left(times, start) :]]

    @property
    def torn(self) -> bool:
        """Whether a break has cost what could not be fetched."""
        return any(gap.outcome.startswith("not repaired") for gap in list(self.gaps))

    def holds(self, request: LiveRequest, since: datetime | None) -> bool:
        """Whether everything that is asked for is here."""
        if self.row is None or self.torn:
            return False
        if request.kind == "trade":
            # Where the stream alone has told as many, what was traded before it is not needed.
            return len(self._ids) >= request.count or (self.complete and self.whole)
        # The snapshot is the newest candle, so there is none between it and now but what came since.
        return since is None or bool(self._candles and min(self._candles) <= since)
