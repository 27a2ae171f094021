"""Recorded order books: a range, samples at regular moments, one moment.

What was not recorded is never bridged: a sample is the last book at or before its moment only if everything between
the two was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from upbit_frames.core.intervals import Span, iso, merge, subtract
from upbit_frames.core.text import counted
from upbit_frames.runtime.thread_map import thread_map
from upbit_frames.store.base import Series, Store

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["flat", "missing_text", "sampled", "unknown_spans", "whole_range"]

SHOWN = 5  # missing ranges that a message names
SIDES = ("ask_price", "ask_size", "bid_price", "bid_size")
OTHERS = ("received_at", "total_ask_size", "total_bid_size")
COLUMNS = ("time", *OTHERS, *SIDES)


def flat(table: pa.Table, levels: int) -> pa.Table:
    """Return books with a column for each level, ``ask_price_0`` the best; NaN where a side is shorter."""
    others = table.select([name for name in table.column_names if name not in SIDES])
    return with_levels(others, level_matrix(table, levels))


def level_matrix(table: pa.Table, levels: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the levels of books, or of some rows of them, as an array of shape (sides * levels, rows).

    The first ``levels`` lines are the first of :data:`SIDES`; NaN where a side is shorter.
    """
    number = len(table) if rows is None else len(rows)
    matrix = np.full((len(SIDES) * levels, number), np.nan)
    for side, name in enumerate(SIDES):
        lists = table.column(name).combine_chunks()
        offsets, values = np.asarray(lists.offsets, dtype=np.int64), np.asarray(lists.values)
        starts, ends = (offsets[:-1], offsets[1:]) if rows is None else (offsets[rows], offsets[rows + 1])
        for level in range(levels):
            at = starts + level
            present = at < ends
            if present.all():
                matrix[side * levels + level] = values[at]
            else:
                matrix[side * levels + level, present] = values[at[present]]
    return matrix


def with_levels(others: pa.Table, matrix: NDArray[np.float64]) -> pa.Table:
    """Return a table with the lines of :func:`level_matrix` as further columns."""
    import pyarrow as pa

    levels = len(matrix) // len(SIDES)
    names = [f"{name}_{level}" for name in SIDES for level in range(levels)]
    columns = [*others.columns, *(pa.array(line) for line in matrix)]
    return pa.Table.from_arrays(columns, names=[*others.column_names, *names])


def whole_range(store: Store, series: Series, span: Span) -> tuple[pa.Table, list[Span]]:
    """Return every recorded book of a range as it is stored, and what was not recorded."""
    reading = store.read_covered(series, span, COLUMNS)
    return reading.table, subtract([span], reading.covered)


# --- samples ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Piece:
    """What the samples need of a piece of a range: the last book at each moment, and the last of all.

    Attributes
    ----------
    others : pyarrow.Table
        The columns of these books that are no levels.
    levels : array
        See :func:`level_matrix`.
    index : int64 array
        Of each moment inside, the book that was the last one then; -1 for one before the first book.
    covered : list of Span
    """

    others: pa.Table
    levels: NDArray[np.float64]
    index: NDArray[np.int64]
    covered: list[Span]


def sampled(
    store: Store, series: Series, moments: NDArray[np.int64], levels: int
) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return the book as of each moment, ascending; read piece by piece, of which only what is needed is kept.

    Returns
    -------
    table : pyarrow.Table
        As of :func:`flat`, a row a moment; ``time`` is when the book had changed last. Null, and NaN for the levels,
        where it was not recorded.
    known : array of bool
        Whether everything was recorded from that change up to the moment.
    """
    import pyarrow as pa

    cuts = store.cuts(series, Span(int(moments[0]), int(moments[-1]) + 1))
    edges = np.searchsorted(moments, np.array(cuts, dtype=np.int64).reshape(-1, 2)).tolist()
    useful = [(span, low, high) for span, (low, high) in zip(cuts, edges, strict=True) if low < high]
    pieces = thread_map(lambda cut: _read(store, series, cut[0], moments[cut[1] : cut[2]], levels), useful)
    kept = [_last(store, series, int(moments[0]), levels)]
    index, size, reached = np.full(len(moments), -1, dtype=np.int64), len(kept[0].others), int(moments[0])
    carried = size - 1
    for (span, low, high), piece in zip(useful, pieces, strict=True):
        if span.start != reached and (piece.index < 0).any():  # what comes before it was not read
            kept.append(_last(store, series, int(moments[low]), levels))
            size += len(kept[-1].others)
            carried = size - 1 if len(kept[-1].others) else -1
        index[low:high] = np.where(piece.index < 0, carried, piece.index + size)
        kept.append(piece)
        size += len(piece.others)
        carried, reached = size - 1 if len(piece.others) else carried, span.end
    left_out = [span for span, (low, high) in zip(cuts, edges, strict=True) if low == high]
    others = pa.concat_tables([piece.others for piece in kept]).combine_chunks()
    known = _bridged(
        np.asarray(others.column("time").cast("int64")), index, moments,
        merge([*left_out, *(span for piece in kept for span in piece.covered)]),
    )  # fmt: skip
    nothing = np.full((len(kept[0].levels), 1), np.nan)
    matrix = np.concatenate([*(piece.levels for piece in kept), nothing], axis=1)[:, np.where(known, index, -1)]
    return with_levels(others.take(pa.array(index, mask=~known)), matrix), known


def _read(store: Store, series: Series, span: Span, moments: NDArray[np.int64], levels: int) -> _Piece:
    reading = store.read_covered(series, span, COLUMNS)
    times = np.asarray(reading.table.column("time").cast("int64"))
    at = np.searchsorted(times, moments, side="right") - 1
    rows = np.unique(np.append(at[at >= 0], len(times) - 1)) if len(times) else at[:0]
    index = np.where(at < 0, -1, np.searchsorted(rows, at))
    others = reading.table.select(["time", *OTHERS]).take(rows)
    return _Piece(others, level_matrix(reading.table, levels, rows), index, list(reading.covered))


def _last(store: Store, series: Series, moment: int, levels: int) -> _Piece:
    """Return the last book at a moment as a piece of its own, without any where that is not known."""
    reading = store.tail_covered(series, moment + 1, 1, COLUMNS)
    others, index = reading.table.select(["time", *OTHERS]), np.empty(0, dtype=np.int64)
    return _Piece(others, level_matrix(reading.table, levels), index, list(reading.covered))


def _bridged(
    times: NDArray[np.int64], index: NDArray[np.int64], moments: NDArray[np.int64], covered: Sequence[Span]
) -> NDArray[np.bool_]:
    """Return for each moment whether it has a book, and everything between the two was recorded."""
    known: NDArray[np.bool_] = index >= 0
    if not len(times) or not covered:
        return np.zeros(len(index), dtype=np.bool_)
    starts, ends = np.array(covered, dtype=np.int64).T
    inside = np.searchsorted(starts, moments, side="right") - 1
    place = np.maximum(inside, 0)
    known &= (inside >= 0) & (moments < ends[place]) & (times[np.maximum(index, 0)] >= starts[place])
    return known


def unknown_spans(known: NDArray[np.bool_], moments: NDArray[np.int64], end: int) -> list[Span]:
    """Return the ranges of the moments that are not known, each up to the next moment or the end."""
    edges = np.append(moments, end)
    return merge(Span(int(edges[at]), int(edges[at + 1])) for at in np.flatnonzero(~known))


def missing_text(series: Series, missing: Sequence[Span]) -> str:
    """Name what was not recorded, the longest ranges first."""
    if not missing:
        return f"the order book of {series.market} was never recorded"
    longest = sorted(missing, key=lambda span: span.start - span.end)[:SHOWN]
    listed = ", ".join(f"{iso(span.start)} → {iso(span.end)}" for span in sorted(longest))
    more = f" and {len(missing) - SHOWN} shorter ones" if len(missing) > SHOWN else ""
    return f"the order book of {series.market} was not recorded in {counted(len(missing), 'range')}: {listed}{more}"
