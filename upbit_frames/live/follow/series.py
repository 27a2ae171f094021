"""One followed market: its sealed and forming candles, and the reader's position (no I/O).

Sealed candles come from REST and the store only, in adjacent ranges without a hole. Forming candles
come from the stream and are dropped as soon as they are sealed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import TYPE_CHECKING

from upbit_frames.core.arrow import slice_time
from upbit_frames.core.availability import SEAL_GRACE
from upbit_frames.core.bar_grid import BarGrid
from upbit_frames.core.intervals import Interval, Span, to_micros
from upbit_frames.core.resample import resample
from upbit_frames.core.route import Step
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import SchemaError
from upbit_frames.exchange.wire.message_tables import BACKFILLED, to_table
from upbit_frames.exchange.wire.messages import Row

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FollowedSeries", "summary"]

log = logging.getLogger("upbit_frames.live")

MOST_FORMING = 10_000  # forming candles kept while sealing is impossible
MOST_STEPS = 1_000  # newest steps of the route, for the frames of the reader
CHUNKS = 64  # tables above which the window is combined into one


@dataclass(eq=False)
class FollowedSeries:
    """The candles of one followed market.

    Attributes
    ----------
    market : str
    interval : Interval
        Of the candles of the stream.
    keep : int
        How many sealed candles stay in memory.
    sealed_until : int
        All candles before this time are sealed and included.
    window_start : int
        The window holds every sealed candle from here on.
    read_until : int
        End of the sealed candles that the reader has received.
    history_end : int
        End of the history.
    stream_time : int
        The latest credible time of a frame, microseconds.
    version, read_version : int
        Counts the changes of forming candles; the last one that the reader has received.
    bars : BarGrid, optional
        What the candles of the stream are aggregated to.
    steps, totals : deque, list of Step
        The newest steps of the route, and their totals since the history.
    """

    market: str
    interval: Interval
    keep: int
    sealed_until: int = 0
    window_start: int = 0
    read_until: int = 0
    history_end: int = 0
    stream_time: int = 0
    version: int = 0
    read_version: int = 0
    bars: BarGrid | None = None
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=MOST_STEPS))
    totals: list[Step] = field(default_factory=list)
    _forming: dict[int, tuple[Row, int]] = field(default_factory=dict)
    _window: list[pa.Table] = field(default_factory=list)
    _rows: int = 0

    # --- sealed ---------------------------------------------------------------------------------

    def start(self, table: pa.Table, end: int) -> None:
        """Begin with the history, which is sealed before ``end``."""
        start = table["time"][0].value if len(table) else end
        self.window_start = self.read_until = start
        self.history_end = self.sealed_until = end
        self._append(table)

    def seal(self, table: pa.Table, until: int, steps: Iterable[Step] = ()) -> None:
        """Append the sealed candles up to ``until``; a period without a trade has none."""
        self.sealed_until = until
        self.steps.extend(steps)
        self.totals = summary([*self.totals, *steps])
        self._append(table)

    def _append(self, table: pa.Table) -> None:
        for start in [start for start in self._forming if start < self.sealed_until]:
            del self._forming[start]
        if not len(table):
            return
        self._window.append(table)
        self._rows += len(table)
        if len(self._window) > CHUNKS or self._rows > 2 * self.keep:
            self._compact()

    def _compact(self) -> None:
        import pyarrow as pa

        whole = pa.concat_tables(self._window)
        if len(whole) > self.keep:
            whole = whole.slice(len(whole) - self.keep)
            self.window_start = whole["time"][0].value
        self._window, self._rows = [whole.combine_chunks()], len(whole)

    def window(self, span: Span) -> pa.Table:
        """Return the sealed candles of a range, as far as they are in memory."""
        import pyarrow as pa

        # From the newest, since a reader mostly needs only the last, small tables.
        parts: list[pa.Table] = []
        for table in reversed(self._window):
            parts.append(slice_time(table, span))
            if table["time"][0].value <= span.start:
                break
        return pa.concat_tables([arrow_schema("candles").empty_table(), *reversed(parts)])

    @property
    def kept(self) -> Span:
        """The range of the newest ``keep`` sealed candles."""
        if self._rows > self.keep:
            self._compact()
        return Span(self.window_start, self.sealed_until)

    # --- forming --------------------------------------------------------------------------------

    def update(self, row: Row) -> None:
        """Apply a row of the stream; late and repeated rows change nothing."""
        start = to_micros(row.candle_date_time_utc.replace(tzinfo=UTC))
        if row.stream_type != BACKFILLED:
            # A trade reaches its candle within seconds; a later timestamp is not credible.
            self.stream_time = max(
                self.stream_time, min(row.timestamp * 1000, self.interval.shift(start, 1) + 2 * SEAL_GRACE)
            )
        if start < self.sealed_until:
            return
        known = self._forming.get(start)
        if known is not None and not _later(row, known[0]):
            return
        self.version += 1
        self._forming[start] = (row, self.version)
        # A bar needs all its candles; while it cannot be sealed, the next bar may lack some.
        least = self.sealed_until if self.bars is None else self.bars.shift(self.sealed_until, 1)
        if len(self._forming) > MOST_FORMING and start >= least:
            del self._forming[min(self._forming)]

    @property
    def forming_count(self) -> int:
        """Number of forming candles."""
        return len(self._forming if self.bars is None else {self.bars.floor(start) for start in self._forming})

    def forming_table(self, since: int = 0) -> pa.Table:
        """Return the forming candles that changed after a version, in order of time."""
        if self.bars is None:
            rows = [self._forming[start][0] for start in sorted(self._forming) if self._forming[start][1] > since]
            return _table(self.interval, rows)
        floor = self.bars.floor
        changed = {floor(start) for start, (_, version) in self._forming.items() if version > since}
        rows = [self._forming[start][0] for start in sorted(self._forming) if floor(start) in changed]
        return resample(_table(self.interval, rows), self.interval, self.bars, edges="keep")


def _later(row: Row, known: Row) -> bool:
    """Return whether a row is a later state of a candle, whose volume never falls."""
    return bool(row.candle_acc_trade_volume > known.candle_acc_trade_volume)


def _table(interval: Interval, rows: list[Row]) -> pa.Table:
    import pyarrow as pa

    schema = arrow_schema("candles")
    tables = []
    for row in rows:
        try:
            table = to_table(str(interval.stream), [row])
        except SchemaError as error:  # REST will serve it when it is sealed
            log.warning("a forming candle was left out: %s", error)
            continue
        tables.append(pa.Table.from_arrays([table[name] for name in schema.names], schema=schema))
    return pa.concat_tables([schema.empty_table(), *tables])


def summary(steps: Iterable[Step]) -> list[Step]:
    """Merge the steps of one market, channel and reason into one, from the first start to the last end."""
    merged: dict[tuple[str, str, str], Step] = {}
    for step in steps:
        key = (step.market, step.channel, step.reason)
        known = merged.get(key)
        merged[key] = step if known is None else replace(
            known, start=min(known.start, step.start), end=max(known.end, step.end),
            rows=known.rows + step.rows, requests=known.requests + step.requests,
        )  # fmt: skip
    return list(merged.values())
