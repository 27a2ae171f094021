"""Order books of a stream as rows with lists of levels, the form in which they are stored (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from upbit_frames.core.arrow import wrapped
from upbit_frames.core.schema import arrow_schema
from upbit_frames.exchange.wire.book_levels import level_arrays
from upbit_frames.exchange.wire.json_rows import column, integers, moments
from upbit_frames.exchange.wire.messages import Row

__all__ = ["books_table"]


def books_table(rows: Sequence[Row]) -> pa.Table:
    """Build a table of order books, in their order.

    Parameters
    ----------
    rows : sequence
        Frames of type ``orderbook`` as :func:`upbit_frames.exchange.wire.messages.decode` returns them.

    Returns
    -------
    pyarrow.Table
        A row a book, with the schema of ``books``. Empty levels, which Upbit pads with zeros, are left out.
    """
    schema = arrow_schema("books")
    if not rows:
        return schema.empty_table()
    counts = np.array([len(row.orderbook_units) for row in rows])
    units = [unit for row in rows for unit in row.orderbook_units]
    arrays: dict[str, Any] = {
        "time": wrapped(moments([row.timestamp for row in rows]), schema.field("time").type),
        "received_at": wrapped(integers([row.received_at for row in rows]), schema.field("received_at").type),
        "total_ask_size": pa.array(column([row.total_ask_size for row in rows])),
        "total_bid_size": pa.array(column([row.total_bid_size for row in rows])),
    }
    levels = level_arrays(units)
    for side, price, size in (("ask", *levels[:2]), ("bid", *levels[2:])):
        quoted = price > 0
        ends = np.concatenate([[0], np.cumsum(quoted)])[np.concatenate([[0], np.cumsum(counts)])]
        offsets = pa.array(ends.astype(np.int32))
        arrays[f"{side}_price"] = pa.ListArray.from_arrays(offsets, pa.array(price[quoted]))
        arrays[f"{side}_size"] = pa.ListArray.from_arrays(offsets, pa.array(size[quoted]))
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)
