"""Between numpy and Arrow without copying, and the one layout in which many candles lie in memory (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from upbit_frames.core.schema import arrow_schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["block_of", "candle_table", "copy_into", "wrapped"]


def wrapped(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """An array without nulls, not copied; ``pyarrow.array`` takes ten times as long for a few values."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def copy_into(target: NDArray[Any], column: pa.ChunkedArray) -> None:
    """The values of a column, times as int64; nulls of numbers become NaN."""
    at = 0
    for chunk in column.chunks:
        values = chunk.view(pa.int64()) if pa.types.is_timestamp(chunk.type) else chunk
        target[at : at + len(chunk)] = values.to_numpy(zero_copy_only=False)
        at += len(chunk)


def candle_table(times: NDArray[np.int64], numbers: NDArray[np.float64]) -> pa.Table:
    """Candles over the arrays' own memory, a copy where they are not in order there.

    The numbers, a row for each column of the schema ``candles``, become one buffer, column after
    column: see :func:`block_of`.
    """
    schema = arrow_schema("candles")
    numbers = np.ascontiguousarray(numbers)
    count, memory = len(times), pa.py_buffer(numbers)
    arrays = [wrapped(times, schema.field(0).type)]
    arrays += [pa.Array.from_buffers(pa.float64(), count, [None, memory], 0, count * i) for i in range(len(numbers))]
    return pa.Table.from_arrays(arrays, schema=schema)


def block_of(columns: Sequence[pa.ChunkedArray]) -> NDArray[np.float64] | None:
    """The memory of float columns, a row for each, where they lie as in :func:`candle_table`; else None."""
    chunks = [column.chunk(0) for column in columns if column.num_chunks == 1]
    if not chunks or not len(chunks[0]) or len(chunks) < len(columns) or any(one.null_count for one in chunks):
        return None
    length, memory = len(chunks[0]), chunks[0].buffers()[1]
    lie = [(one.buffers()[1].address, one.offset) for one in chunks]
    if lie != [(memory.address, length * row) for row in range(len(columns))] or not memory.is_mutable:
        return None
    if memory.size != 8 * length * len(columns):
        return None
    return np.frombuffer(memory, np.float64).reshape(len(columns), length)
