"""Writes what was recorded, keeps what could not be written, and adds rows that came late."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.datasets.collect.record.buffer import Piece
from upbit_frames.errors import StoreError
from upbit_frames.exchange.wire.book_lists import books_table
from upbit_frames.exchange.wire.message_tables import to_table
from upbit_frames.exchange.wire.messages import Row, type_of
from upbit_frames.runtime.telemetry import telemetry
from upbit_frames.store.base import Series, Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SeriesWriter", "rows_table"]

log = logging.getLogger("upbit_frames.datasets.collect")


def rows_table(series: Series, rows: Sequence[Row]) -> pa.Table:
    """Return rows of a stream as they are stored."""
    if series.kind == "orderbook":
        return books_table(rows)
    schema = arrow_schema(series.table)
    return to_table(type_of(rows[0]), rows).select(schema.names).cast(schema) if rows else schema.empty_table()


class SeriesWriter:
    """Writes the pieces of one series; used by one thread at a time.

    Parameters
    ----------
    store : Store
    series : Series

    Attributes
    ----------
    rows : int
        Written so far.
    errors : int
        Attempts to write that failed.
    waiting : deque of (Span, pyarrow.Table)
        What could not be written yet.
    error : StoreError or None
        Why the last attempt failed; None if it did not.
    """

    def __init__(self, store: Store, series: Series) -> None:
        self.store = store
        self.series = series
        self.rows = 0
        self.errors = 0
        self.waiting: deque[tuple[Span, pa.Table]] = deque()
        self.error: StoreError | None = None

    @property
    def waiting_rows(self) -> int:
        """How many rows could not be written yet."""
        return sum(len(table) for _, table in self.waiting)

    def write(self, pieces: Sequence[Piece], late: Sequence[Row]) -> None:
        """Write pieces, after those that could not be written before; what fails is kept for the next time."""
        self.waiting += [(span, rows_table(self.series, rows)) for span, rows in pieces]
        try:
            while self.waiting:
                span, table = self.waiting[0]
                self.store.write(self.series, table, span, origin="live")
                self.waiting.popleft()
                self.rows += len(table)
                telemetry.event("recorded", len(table))
            if late:
                self._amend(late)
        except StoreError as error:
            self._failed(error)
            return
        if self.error is not None:
            log.warning("%s is written again", self.series)
        self.error = None

    def _failed(self, error: StoreError) -> None:
        self.errors += 1
        telemetry.event("write_errors")
        if self.error is None:
            log.warning("%s cannot be written and is kept in memory: %s", self.series, error.message)
        self.error = error

    def shed(self, room: int) -> int:
        """Drop the oldest of what could not be written until it has so many rows at most; return how many went."""
        dropped = 0
        while self.waiting and self.waiting_rows > room:
            dropped += len(self.waiting.popleft()[1])
        return dropped

    # --- late rows --------------------------------------------------------------------------------

    def _amend(self, late: Sequence[Row]) -> None:
        """Add rows to ranges that are stored already; a row outside of them is left to REST."""
        covered = self.store.covered(self.series)
        table = rows_table(self.series, _in_order(self.series, late))
        times = table["time"].cast("int64").to_pylist()
        step = 1 if self.series.grid is None else self.series.grid.step
        for time in sorted(set(times)):
            span = Span(time, time + step)
            if not any(part.start <= span.start and span.end <= part.end for part in covered):
                continue
            stored = self.store.read(self.series, span)
            new = table.slice(times.index(time), times.count(time))
            changed = _joined(self.series, stored, new)
            if changed is not None:
                self.store.write(self.series, changed, span, origin="live", replace=True)
                self.rows += len(changed) - len(stored)


def _in_order(series: Series, rows: Sequence[Row]) -> list[Row]:
    if series.kind == "trades":
        return sorted(rows, key=lambda row: (row.trade_timestamp, row.sequential_id))
    if series.kind == "candles":
        return sorted(rows, key=lambda row: (row.candle_date_time_utc, row.timestamp))
    return sorted(rows, key=lambda row: row.timestamp)


def _joined(series: Series, stored: pa.Table, new: pa.Table) -> pa.Table | None:
    """Return the rows of one moment with new ones; None if they are known already."""
    import pyarrow as pa

    if series.kind == "candles":
        last = new.slice(len(new) - 1)
        grown = not len(stored) or last["volume"][0].as_py() > stored["volume"][0].as_py()
        return last if grown else None
    known = stored.to_pylist()
    if series.kind == "trades":
        ids = {row["sequential_id"] for row in known}
        fresh = {row["sequential_id"]: row for row in new.to_pylist() if row["sequential_id"] not in ids}
        rows = sorted([*known, *fresh.values()], key=lambda row: row["sequential_id"] or 0)
        added = bool(fresh) and None not in ids  # trades from the archive are complete, and have other ids
    else:
        rows = list(known)
        for row in new.to_pylist():
            if all(_levels(row) != _levels(other) for other in rows):
                rows.append(row)
        added = len(rows) > len(known)
    return pa.Table.from_pylist(rows, schema=stored.schema) if added else None


def _levels(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("ask_price", "ask_size", "bid_price", "bid_size"))
