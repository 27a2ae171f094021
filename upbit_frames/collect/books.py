"""Recorded order books: a range, samples at regular moments, one moment.

What was not recorded is never bridged: a sample is the last book at or before its moment only if everything between
the two was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from upbit_frames.core.intervals import Span, iso, merge, subtract
from upbit_frames.runtime.thread_map import thread_map
from upbit_frames.store.base import Series, Store

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Books", "flat", "missing_text", "rows_of_moments", "sampled", "whole_range"]

HOUR = 3_600_000_000
SHOWN = 5  # missing ranges that a message names
SIDES = ("ask_price", "ask_size", "bid_price", "bid_size")
OTHERS = ("received_at", "total_ask_size", "total_bid_size")
COLUMNS = ("time", *OTHERS, *SIDES)


@dataclass(frozen=True)
class Books:
    """Books of one market.

    Attributes
    ----------
    table : pyarrow.Table
        See :func:`flat`.
    missing : list of Span
        What was not recorded of the range.
    """

    table: pa.Table
    missing: list[Span]


def flat(table: pa.Table, levels: int) -> pa.Table:
    """Return books with a column for each level, ``ask_price_0`` the best; NaN where a side is shorter.

    A row of nulls, a moment that was not recorded, has NaN everywhere.
    """
    import pyarrow as pa

    columns = {name: table.column(name) for name in table.column_names if name not in SIDES}
    for name in SIDES:
        values = level_matrix(table.column(name).combine_chunks(), levels)
        columns.update({f"{name}_{level}": pa.array(values[level]) for level in range(levels)})
    return pa.table(columns)


def level_matrix(lists: Any, levels: int) -> NDArray[np.float64]:
    """Return lists as an array of shape (levels, rows); NaN where a list is shorter."""
    import pyarrow.compute as pc

    if hasattr(lists, "chunks"):
        lists = lists.chunk(0) if lists.num_chunks else lists.type.wrap_array([])
    offsets = np.asarray(lists.offsets, dtype=np.int64)
    values = np.asarray(lists.values, dtype=np.float64)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0), dtype=np.int64)
    level = np.arange(levels)[:, None]
    present = level < lengths[None, :]
    if not len(values):
        return np.full(present.shape, np.nan)
    at = np.minimum(offsets[None, :-1] + level, len(values) - 1)
    return np.where(present, values[at], np.nan)


def whole_range(store: Store, series: Series, span: Span) -> tuple[pa.Table, list[Span]]:
    """Return every recorded book of a range as it is stored, and what was not recorded."""
    reading = store.read_covered(series, span, COLUMNS)
    return reading.table, subtract([span], reading.covered)


# --- samples ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """The books of a part of a range that its samples need."""

    rows: pa.Table
    index: NDArray[np.int64]  # of each moment, the row that was the last one then; -1 for one of an earlier part
    last: pa.Table  # the last book of the part, if it has any
    covered: list[Span]


def sampled(store: Store, series: Series, moments: NDArray[np.int64]) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return the book as of each moment, ascending; read in parts, of which only what is needed is kept.

    Returns
    -------
    table : pyarrow.Table
        As stored, a row a moment; ``time`` is when the book had changed last. Nulls where it was not recorded.
    known : array of bool
        Whether everything was recorded from that change up to the moment.
    """
    import pyarrow as pa

    first, end = int(moments[0]), int(moments[-1]) + 1
    before = store.tail_covered(series, first + 1, 1, COLUMNS)
    edges = np.arange(first, end, HOUR).tolist()
    spans = [Span(low, min(low + HOUR, end)) for low in edges]
    parts: list[_Part] = thread_map(lambda span: _part(store, series, span, moments), spans)
    tables, index, size, carried = [before.table], [], len(before.table), len(before.table) - 1
    for part in parts:
        index.append(np.where(part.index < 0, carried, part.index + size))
        tables += [part.rows, part.last]
        size += len(part.rows) + len(part.last)
        carried = size - 1 if len(part.last) else carried
    rows = pa.concat_tables(tables)
    covered = merge([*before.covered, *(span for part in parts for span in part.covered)])
    return rows_of_moments(rows, np.concatenate(index), moments, covered)


def _part(store: Store, series: Series, span: Span, moments: NDArray[np.int64]) -> _Part:
    reading = store.read_covered(series, span, COLUMNS)
    table = reading.table.combine_chunks()
    low, high = np.searchsorted(moments, [span.start, span.end])
    at = np.searchsorted(_micros(table), moments[low:high], side="right") - 1
    used, place = np.unique(at[at >= 0], return_inverse=True)
    index = np.full(len(at), -1, dtype=np.int64)
    index[at >= 0] = place
    return _Part(table.take(used), index, table.slice(max(0, len(table) - 1)), list(reading.covered))


def rows_of_moments(
    rows: pa.Table, index: NDArray[np.int64], moments: NDArray[np.int64], covered: Sequence[Span]
) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return the rows that the moments refer to, null where the range between the two was not recorded."""
    import pyarrow as pa

    known = index >= 0
    if len(rows) and covered:
        starts = np.array([span.start for span in covered])
        ends = np.array([span.end for span in covered])
        inside = np.searchsorted(starts, moments, side="right") - 1
        times = _micros(rows)[np.maximum(index, 0)]
        known &= (inside >= 0) & (moments < ends[np.maximum(inside, 0)]) & (times >= starts[np.maximum(inside, 0)])
    else:
        known &= False
    return rows.combine_chunks().take(pa.array(index, mask=~known)), known


def _micros(table: pa.Table) -> NDArray[np.int64]:
    return np.asarray(table.column("time").cast("int64"))


def unknown_spans(known: NDArray[np.bool_], moments: NDArray[np.int64], end: int) -> list[Span]:
    """Return the ranges of the moments that are not known, each up to the next moment or the end."""
    edges = np.append(moments, end)
    return merge(Span(int(edges[at]), int(edges[at + 1])) for at in np.flatnonzero(~known))


def missing_text(series: Series, missing: Sequence[Span]) -> str:
    """Name what was not recorded, the longest ranges first."""
    longest = sorted(missing, key=lambda span: span.start - span.end)[:SHOWN]
    shown = ", ".join(f"{iso(span.start)} → {iso(span.end)}" for span in sorted(longest))
    more = f" and {len(missing) - SHOWN} shorter ones" if len(missing) > SHOWN else ""
    return f"the order book of {series.market} was not recorded in {len(missing)} ranges: {shown}{more}"
