"""Checks and cuts of tables that are sorted by time (pure)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from upbit_frames.core.candle_checks import NUMBERS, describe, violations
from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import StoreError
from upbit_frames.store.base import Series

__all__ = ["choose", "cut", "disorder", "empty", "join", "prices", "times_of", "validate"]

LATEST = to_micros(datetime(9999, 1, 1, tzinfo=UTC))
ORIGINS = ("rest", "archive", "live")
NULLABLE = frozenset({"sequential_id", "seq"})  # each is null where the other one identifies the trade


def empty(kind: str, columns: tuple[str, ...] | None = None) -> pa.Table:
    """No rows, with the kind's schema or some columns of it."""
    return arrow_schema(kind, columns).empty_table()


def choose(table: pa.Table, columns: tuple[str, ...] | None) -> pa.Table:
    """Return the table with these columns only; all of them for None."""
    return table if columns is None else table.select(columns)


def times_of(table: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The column ``time`` as int64 microseconds."""
    column = table.column("time")
    if column.num_chunks == 1:
        return np.asarray(column.chunk(0).view(pa.int64()))
    return np.asarray(column.cast(pa.int64()))


def cut(table: pa.Table, span: Span) -> pa.Table:
    """The rows of a table sorted by time that lie in the span; nothing is copied."""
    if len(table) == 0:
        return table
    low, high = np.searchsorted(times_of(table), (span.start, span.end), side="left")
    return table if high - low == len(table) else table.slice(int(low), int(high - low))


def join(kind: str, tables: list[pa.Table], columns: tuple[str, ...] | None = None) -> pa.Table:
    """Concatenate tables; without any, return an empty table of these columns."""
    filled = [table for table in tables if len(table)]
    return pa.concat_tables(filled) if filled else empty(kind, columns)


def validate(series: Series, table: pa.Table, span: Span, origin: str = "rest") -> pa.Table:
    """Return the table with exactly the kind's schema, if it may be stored.

    Raises
    ------
    StoreError
        Saying what is wrong: schema, nulls, order, grid, or rows outside the span.
    """
    if origin not in ORIGINS:
        raise _refused(series, span, f"{origin!r} is not an origin; there are {', '.join(ORIGINS)}")
    if span.start < 0 or span.end < span.start or span.end > LATEST:
        raise _refused(
            series, span, f"[{span.start}, {span.end}) is not a range of time between the years 1970 and 9999"
        )
    schema = arrow_schema(series.table)
    if not isinstance(table, pa.Table) or not table.schema.equals(schema):
        actual = getattr(table, "schema", type(table).__name__)
        raise _refused(series, span, f"the table is not of the schema of {series.kind}: {actual}")
    fault = disorder(series, table, span)
    if fault:
        raise _refused(series, span, fault)
    return pa.Table.from_arrays(table.columns, schema=schema)


def _refused(series: Series, span: Span, fault: str) -> StoreError:
    return StoreError(
        f"rows of {series} are not fit to be stored: {fault}",
        suggestion="nothing was written; this points to a defect in the source of the rows, please report it",
        market=series.market,
        interval=series.interval,
        span=tuple(span),
    )


def disorder(series: Series, table: pa.Table, span: Span) -> str | None:
    """Return why the rows may not be stored under this span; None if they may."""
    for name in table.column_names:
        if name not in NULLABLE and table.column(name).null_count:
            return f"column {name!r} has nulls"
    if len(table) == 0:
        return None
    times = times_of(table)
    if series.kind == "trades":
        fault = _trade_order(table, times)
    elif series.kind == "orderbook":
        fault = _first(np.diff(times) < 0, times[1:], "the time decreases") or _ragged(table)
    else:
        fault = _first(np.diff(times) <= 0, times[1:], "the time does not increase")
    return fault or _outside(times, span) or _off_grid(series, times)


def _first(wrong: Any, times: Any, text: str) -> str | None:
    if not wrong.any():
        return None
    row = int(np.argmax(wrong))
    return f"{text} at {np.datetime64(int(times[row]), 'us')} ({int(wrong.sum())} such rows)"


def _outside(times: Any, span: Span) -> str | None:
    if times[0] >= span.start and times[-1] < span.end:
        return None
    return _first((times < span.start) | (times >= span.end), times, f"outside {_text(span)}")


def _text(span: Span) -> str:
    return f"[{np.datetime64(span.start, 'us')}, {np.datetime64(span.end, 'us')})"


def _off_grid(series: Series, times: Any) -> str | None:
    grid = series.grid
    if grid is None:
        return None
    if grid.seconds is not None:
        wrong = (times - grid.floor(0)) % grid.step != 0
    else:
        # Months and years differ in length; there are few enough to look at each.
        wrong = np.array([grid.floor(int(time)) != time for time in times])
    return _first(wrong, times, f"no period of {grid} starts")


def _trade_order(table: pa.Table, times: Any) -> str | None:
    if not NULLABLE.issubset(table.column_names):  # read without its ids: the time alone is looked at
        return _first(np.diff(times) < 0, times[1:], "the time decreases")
    key = pc.coalesce(table.column("sequential_id"), table.column("seq"))
    if key.null_count:
        return "a trade has neither sequential_id nor seq"
    ids = np.asarray(key)
    step = np.diff(times)
    return _first((step < 0) | ((step == 0) & (np.diff(ids) <= 0)), times[1:], "(time, id) does not increase")


def _ragged(table: pa.Table) -> str | None:
    """Return whether a side of a book has another number of prices than of sizes."""
    for side in ("ask", "bid"):
        price, size = f"{side}_price", f"{side}_size"
        if {price, size} <= set(table.column_names):
            lengths = pc.list_value_length(table.column(price)), pc.list_value_length(table.column(size))
            if not lengths[0].equals(lengths[1]):
                return f"a book has another number of {price} than of {size}"
    return None


def prices(series: Series, table: pa.Table) -> str | None:
    """Return what is impossible about the numbers themselves, or None if nothing is."""
    if len(table) == 0:
        return None
    if series.kind == "orderbook":
        return _book_prices(table)
    if series.kind != "trades":
        broken = violations({name: np.asarray(table.column(name)) for name in NUMBERS})
        return describe(broken[0], times_of(table)) if broken else None
    for name in ("price", "volume", "value"):
        column = np.asarray(table.column(name))
        if not np.isfinite(column).all():
            return f"{name} is not a finite number in {int((~np.isfinite(column)).sum())} rows"
        if (column < 0).any():
            return f"{name} is negative in {int((column < 0).sum())} rows"
    unknown = sorted(set(pc.unique(table.column("side")).to_pylist()) - {"ask", "bid"})
    return f"side is {unknown[0]!r}" if unknown else None


def _book_prices(table: pa.Table) -> str | None:
    for name in ("ask_price", "ask_size", "bid_price", "bid_size"):
        values = np.asarray(pc.list_flatten(table.column(name)))
        wrong = ~np.isfinite(values) | (values < 0)
        if wrong.any():
            return f"{name} is negative or no finite number at {int(wrong.sum())} levels"
    return None
