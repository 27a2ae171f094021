"""Between numpy and Arrow without copying, and the one layout in which many candles lie in memory (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.runtime.thread_map import thread_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "block_of",
    "candle_table",
    "copy_into",
    "grid_codes",
    "joined",
    "lies_in",
    "rows_before",
    "slice_time",
    "times_of",
    "wrapped",
]

_IN_CACHE = 32_768  # rows whose times are worked on at once, so that they stay in the processor's cache
_WORTH_THREADS = 8 * _IN_CACHE  # rows from which on threads number them
_SPARSE = 4  # slots of a grid for each row, above which its rows are numbered by sorting instead


def wrapped(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """An array without nulls, not copied; ``pyarrow.array`` takes ten times as long for a few values."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def times_of(table: pa.Table) -> NDArray[np.int64]:
    """Return the column ``time`` as int64 microseconds; not copied where it is one chunk."""
    column = table.column("time")
    if column.num_chunks == 1:
        return np.asarray(column.chunk(0).view(pa.int64()))
    return np.asarray(column.cast(pa.int64()))


def rows_before(table: pa.Table, moment: int) -> int:
    """Count the rows of a table sorted by time that are older than the moment."""
    return int(np.searchsorted(times_of(table), moment, side="left"))


def slice_time(table: pa.Table, span: Span) -> pa.Table:
    """Return the rows of a table sorted by time that lie in the span; nothing is copied."""
    if len(table) == 0:
        return table
    low, high = np.searchsorted(times_of(table), (span.start, span.end), side="left")
    return table if high - low == len(table) else table.slice(int(low), int(high - low))


def copy_into(target: NDArray[Any], column: pa.ChunkedArray) -> None:
    """The values of a column, times as int64; nulls of numbers become NaN."""
    at = 0
    for chunk in column.chunks:
        values = chunk.view(pa.int64()) if pa.types.is_timestamp(chunk.type) else chunk
        target[at : at + len(chunk)] = values.to_numpy(zero_copy_only=False)
        at += len(chunk)


def candle_table(
    times: NDArray[np.int64], numbers: NDArray[np.float64], columns: tuple[str, ...] | None = None
) -> pa.Table:
    """Candles over the arrays' own memory, a copy where the rows of ``numbers`` are not contiguous.

    The numbers, a row for each column of the schema ``candles``, or of ``columns``, after ``time``,
    become one buffer, column after column: see :func:`block_of`.
    """
    schema = arrow_schema("candles", columns)
    if numbers.strides[-1:] == (numbers.itemsize,) and not numbers.flags.c_contiguous:  # a part of a larger block
        rows = [wrapped(row, pa.float64()) for row in numbers]
        return pa.Table.from_arrays([wrapped(times, schema.field(0).type), *rows], schema=schema)
    numbers = np.ascontiguousarray(numbers)
    count, memory = len(times), pa.py_buffer(numbers)
    arrays = [wrapped(times, schema.field(0).type)]
    arrays += [pa.Array.from_buffers(pa.float64(), count, [None, memory], 0, count * i) for i in range(len(numbers))]
    return pa.Table.from_arrays(arrays, schema=schema)


def block_of(columns: Sequence[pa.ChunkedArray]) -> NDArray[np.float64] | None:
    """The memory of float columns, a row for each, where they lie as in :func:`candle_table`; else None."""
    chunks = [column.chunk(0) for column in columns if column.num_chunks == 1]
    if not chunks or not len(chunks[0]) or len(chunks) < len(columns) or any(chunk.null_count for chunk in chunks):
        return None
    length, memory = len(chunks[0]), chunks[0].buffers()[1]
    lie = [(chunk.buffers()[1].address, chunk.offset) for chunk in chunks]
    if lie != [(memory.address, length * row) for row in range(len(columns))] or not memory.is_mutable:
        return None
    if memory.size != 8 * length * len(columns):
        return None
    return np.frombuffer(memory, np.float64).reshape(len(columns), length)


def lies_in(block: NDArray[np.float64], columns: Sequence[pa.ChunkedArray]) -> bool:
    """Return whether float columns are the rows of an array, each chunk at its place in that very memory."""
    if block.shape != (len(columns), len(columns[0]) if columns else 0) or not block.flags.c_contiguous:
        return False
    for row, column in zip(block, columns, strict=True):
        address = row.ctypes.data
        for chunk in column.chunks:
            if chunk.null_count or (len(chunk) and chunk.buffers()[1].address + 8 * chunk.offset != address):
                return False
            address += 8 * len(chunk)
    return True


def joined(markets: Sequence[str | None], tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of several markets as one, with the market as its first column; nothing else is copied."""
    field = arrow_schema("ticker").field("market")
    words = pa.array(markets, pa.string())
    parts = []
    for code, table in enumerate(tables):
        codes = wrapped(np.full(len(table), code, dtype=np.int32), pa.int32())
        parts.append(table.add_column(0, field, pa.DictionaryArray.from_arrays(codes, words)))
    return pa.concat_tables(parts)


def grid_codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.int32]] | None:
    """Return the distinct times of a column, ascending, and which of them each row has.

    Times of candles lie on a grid, where a table of its slots numbers them without sorting and
    without a second column of 64 bits.

    Returns
    -------
    tuple or None
        None where the times lie on no grid that is small enough to be written down.
    """
    parts = [
        chunk.view(pa.int64()).to_numpy(zero_copy_only=True)
        for chunk in column.chunks
        if len(chunk) and not chunk.null_count
    ]
    rows = sum(map(len, parts))
    if not parts or rows < len(column):
        return None
    low, high = min(int(part.min()) for part in parts), max(int(part.max()) for part in parts)
    # A sample suggests the step; every row has to confirm it below.
    step = int(np.gcd.reduce([np.gcd.reduce(part[:: max(1, len(part) // 512)] - low) for part in parts])) or 1
    if (high - low) // step >= min(_SPARSE * rows + 1024, 2**31 - 1):
        return None
    present = np.zeros((high - low) // step + 1, dtype=bool)
    codes = np.empty(rows, dtype=np.int32)
    ends = np.cumsum([0, *map(len, parts)]).tolist()

    def number(at: int) -> bool:
        return _number_slots(parts[at], low, step, codes[ends[at] : ends[at + 1]], present)

    if not all((thread_map if rows > _WORTH_THREADS else map)(number, range(len(parts)))):
        return None
    full = bool(present.all())
    if full:
        return low + step * np.arange(len(present), dtype=np.int64), codes
    ranks = np.cumsum(present, dtype=np.int32) - np.int32(1)
    for at in range(0, rows, 1 << 20):
        codes[at : at + (1 << 20)] = ranks[codes[at : at + (1 << 20)]]
    return low + step * np.flatnonzero(present).astype(np.int64), codes


def _number_slots(
    times: NDArray[np.int64], low: int, step: int, codes: NDArray[np.int32], present: NDArray[np.bool_]
) -> bool:
    """Number the slots of times and mark them as present; return whether every time lies on the grid."""
    first, full = (int(times[0]) - low) // step, bool(present.all())
    pieces = range(0, len(times), _IN_CACHE)
    if times[-1] - times[0] == step * (len(times) - 1) and (times[0] - low) % step == 0:
        pairs = (times[begin : begin + _IN_CACHE + 1] for begin in pieces)
        if all((pair[1:] - pair[:-1] == step).all() for pair in pairs):  # no slot between them is missing
            codes[:] = np.arange(first, first + len(times), dtype=np.int32)
            present[first : first + len(times)] = True
            return True
    for begin in pieces:
        offsets = times[begin : begin + _IN_CACHE] - low
        slots = codes[begin : begin + len(offsets)]
        np.floor_divide(offsets, step, out=slots, casting="unsafe")
        offsets -= np.multiply(slots, step, dtype=np.int64)  # in threads NumPy before 2.2 would take 32 bits
        if offsets.any():
            return False
        if not full:
            present[slots] = True
    return True
