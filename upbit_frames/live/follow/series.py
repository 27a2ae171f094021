"""One market that is followed: its sealed candles, the forming ones, and what a reader has had (pure).

What is sealed comes from REST and the store only, in stretches that follow one another without a
hole; what is forming comes from the stream and is forgotten as soon as it is sealed.
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

__all__ = ["Track", "summary"]

log = logging.getLogger("upbit_frames.live")

MOST_OPEN = 10_000  # forming candles that are kept while nothing can be sealed
MOST_STEPS = 1_000  # of the route that are told one by one
CHUNKS = 64  # pieces after which the window is put together


@dataclass(eq=False)
class Track:
    """What is known of one market.

    Attributes
    ----------
    market : str
    interval : Interval
        Of the candles on the stream.
    keep : int
        How many sealed candles stay in memory.
    sealed : int
        Everything before this moment is sealed and was taken in.
    low : int
        The window holds every sealed candle from here on.
    given : int
        Up to where the reader has had the sealed candles.
    seam : int
        Where history ended when it began.
    heard : int
        The latest time that the exchange has told on the stream, microseconds.
    version, shown : int
        Counts changes of forming candles; which of them the reader has had.
    bars : BarGrid, optional
        What the candles of the stream are aggregated to.
    """

    market: str
    interval: Interval
    keep: int
    sealed: int = 0
    low: int = 0
    given: int = 0
    seam: int = 0
    heard: int = 0
    version: int = 0
    shown: int = 0
    bars: BarGrid | None = None
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=MOST_STEPS))
    totals: list[Step] = field(default_factory=list)
    _open: dict[int, tuple[Row, int]] = field(default_factory=dict)
    _window: list[pa.Table] = field(default_factory=list)
    _rows: int = 0

    # --- sealed ---------------------------------------------------------------------------------

    def begin(self, table: pa.Table, end: int) -> None:
        """History, of which everything before ``end`` is sealed."""
        start = table["time"][0].value if len(table) else end
        self.low = self.given = start
        self.seam = self.sealed = end
        self._take_in(table)

    def seal(self, table: pa.Table, until: int, steps: Iterable[Step] = ()) -> None:
        """The sealed candles from where it ended up to ``until``; none where nothing was traded."""
        self.sealed = until
        self.steps.extend(steps)
        self.totals = summary([*self.totals, *steps])
        self._take_in(table)

    def _take_in(self, table: pa.Table) -> None:
        for start in [one for one in self._open if one < self.sealed]:
            del self._open[start]
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
            self.low = whole["time"][0].value
        self._window, self._rows = [whole.combine_chunks()], len(whole)

    def window(self, span: Span) -> pa.Table:
        """The sealed candles of a stretch, as far as they are in memory."""
        import pyarrow as pa

        # The newest pieces are small, and mostly they are all that is wanted.
        parts: list[pa.Table] = []
        for table in reversed(self._window):
            parts.append(slice_time(table, span))
            if table["time"][0].value <= span.start:
                break
        return pa.concat_tables([arrow_schema("candles").empty_table(), *reversed(parts)])

    @property
    def kept(self) -> Span:
        """The stretch of the newest ``keep`` sealed candles."""
        if self._rows > self.keep:
            self._compact()
        return Span(self.low, self.sealed)

    # --- forming --------------------------------------------------------------------------------

    def hear(self, row: Row) -> None:
        """What the stream told; late and repeated rows change nothing."""
        start = to_micros(row.candle_date_time_utc.replace(tzinfo=UTC))
        if row.stream_type != BACKFILLED:
            # A trade is stored within seconds; whatever claims more must not lead into the future.
            self.heard = max(self.heard, min(row.timestamp * 1000, self.interval.shift(start, 1) + 2 * SEAL_GRACE))
        if start < self.sealed:
            return
        known = self._open.get(start)
        if known is not None and not _later(row, known[0]):
            return
        self.version += 1
        self._open[start] = (row, self.version)
        # A bar needs all that it consists of; while it cannot be sealed, the one after it may lack some.
        least = self.sealed if self.bars is None else self.bars.shift(self.sealed, 1)
        if len(self._open) > MOST_OPEN and start >= least:
            del self._open[min(self._open)]

    @property
    def forming(self) -> int:
        """How many candles are known that can still change."""
        return len(self._open if self.bars is None else {self.bars.floor(start) for start in self._open})

    def open_table(self, since: int = 0) -> pa.Table:
        """The forming candles that changed after a version, in order of time."""
        if self.bars is None:
            rows = [self._open[start][0] for start in sorted(self._open) if self._open[start][1] > since]
            return _table(self.interval, rows)
        floor = self.bars.floor
        changed = {floor(start) for start, (_, version) in self._open.items() if version > since}
        rows = [self._open[start][0] for start in sorted(self._open) if floor(start) in changed]
        return resample(_table(self.interval, rows), self.interval, self.bars, edges="keep")


def _later(row: Row, known: Row) -> bool:
    """Whether a row is a later state of a candle: its volume never falls."""
    return bool(row.candle_acc_trade_volume > known.candle_acc_trade_volume)


def _table(interval: Interval, rows: list[Row]) -> pa.Table:
    import pyarrow as pa

    schema = arrow_schema("candles")
    tables = []
    for row in rows:
        try:
            told = to_table(str(interval.stream), [row])
        except SchemaError as error:  # sealed, it will come from REST
            log.warning("a forming candle was left out: %s", error)
            continue
        tables.append(pa.Table.from_arrays([told[name] for name in schema.names], schema=schema))
    return pa.concat_tables([schema.empty_table(), *tables])


def summary(steps: Iterable[Step]) -> list[Step]:
    """Steps of one channel and reason as one, from the first to the last."""
    found: dict[tuple[str, str, str], Step] = {}
    for step in steps:
        key = (step.market, step.channel, step.reason)
        known = found.get(key)
        found[key] = step if known is None else replace(
            known, start=min(known.start, step.start), end=max(known.end, step.end),
            rows=known.rows + step.rows, requests=known.requests + step.requests,
        )  # fmt: skip
    return list(found.values())
