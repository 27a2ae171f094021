"""Gap policies against a naive model, slot by slot."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core import gaps
from upbit_frames.core.intervals import INTERVALS, Interval, Span, to_micros
from upbit_frames.core.schema import FILLED, arrow_schema
from upbit_frames.errors import InvalidRange, QueryError

SCHEMA = arrow_schema("candles")
NAMES = SCHEMA.names[1:]


def candles(rows: dict[int, list[float]]) -> pa.Table:
    times = pa.array(list(rows), pa.int64()).view(SCHEMA.field("time").type)
    columns = [pa.array([row[i] for row in rows.values()], pa.float64()) for i in range(6)]
    return pa.Table.from_arrays([times, *columns], schema=SCHEMA)


def micros(table: pa.Table) -> list[int]:
    return table["time"].cast(pa.int64()).to_pylist()


@st.composite
def series(draw: st.DrawFn) -> tuple[Interval, Span, dict[int, list[float]]]:
    """An interval, a stretch whose edges need not be on the grid, and some candles inside."""
    interval = INTERVALS[draw(st.sampled_from(["1s", "1m", "4h", "1d", "1w", "1M", "1y"]))]
    start = to_micros(datetime(2020, 1, 1, tzinfo=UTC)) + draw(st.integers(0, 10**14))
    first = interval.ceil(start)
    end = interval.shift(first, draw(st.integers(0, 30))) - draw(st.sampled_from([0, 0, 1]))
    span = Span(start, max(start, end))
    slots = [slot for slot in interval.starts(*span) if draw(st.booleans())]
    return interval, span, {slot: draw(st.lists(st.floats(0.5, 1e9), min_size=6, max_size=6)) for slot in slots}


@given(series(), st.none() | st.floats(1, 1e9))
def test_fill_is_what_a_naive_reader_would_do(made: Any, previous: float | None):
    interval, span, rows = made
    wanted: list[tuple[int, list[float], bool]] = []
    last = previous
    for slot in interval.starts(*span):
        if slot in rows:
            wanted.append((slot, rows[slot], False))
            last = rows[slot][3]
        elif last is not None:
            wanted.append((slot, [last, last, last, last, 0.0, 0.0], True))
    table = gaps.fill(candles(rows), interval, span, "fill", previous_close=previous)
    assert table.schema.equals(SCHEMA.append(FILLED.field()), check_metadata=True)
    assert micros(table) == [slot for slot, _, _ in wanted]
    for i, name in enumerate(NAMES):
        assert table[name].to_pylist() == [row[i] for _, row, _ in wanted]
    assert table["filled"].to_pylist() == [filled for _, _, filled in wanted]


@given(series(), st.none() | st.floats(1, 1e9))
def test_nan_is_the_whole_grid(made: Any, previous: float | None):
    interval, span, rows = made
    table = gaps.fill(candles(rows), interval, span, "nan", previous_close=previous)
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert micros(table) == interval.starts(*span)
    for i, name in enumerate(NAMES):
        column = table[name]
        assert column.null_count == 0
        for slot, value in zip(micros(table), column.to_pylist(), strict=True):
            assert value == rows[slot][i] if slot in rows else math.isnan(value)


@given(series())
def test_raw_changes_nothing(made: Any):
    interval, span, rows = made
    table = candles(rows)
    assert gaps.fill(table, interval, span, "raw") is table


@given(series())
def test_the_missing_stretches_are_the_slots_without_a_candle(made: Any):
    interval, span, rows = made
    times = np.array(sorted(rows), dtype=np.int64)
    found = gaps.missing_ranges(times, interval, span)
    inside = [slot for one in found for slot in interval.starts(*one)]
    assert inside == [slot for slot in interval.starts(*span) if slot not in rows]
    assert all(one.start < one.end and interval.floor(one.start) == one.start for one in found)
    assert all(a.end < b.start for a, b in pairwise(found))
    if rows:
        own = gaps.missing_ranges(times, interval)
        low, high = min(rows), max(rows)
        assert [slot for one in own for slot in interval.starts(*one)] == [
            slot for slot in interval.starts(low, high) if slot not in rows
        ]
    else:
        assert gaps.missing_ranges(times, interval) == []


def test_the_column_filled_fits_after_candles():
    """The forming candle is appended to a filled table by name and type."""
    row = {0: [1.0] * 6}
    filled = gaps.fill(candles(row), INTERVALS["1m"], Span(0, 60_000_000), "fill")
    more = candles({60_000_000: [1.0] * 6}).append_column("filled", pa.array([False], pa.bool_()))
    assert pa.concat_tables([filled, more])["filled"].to_pylist() == [False, False]


@pytest.mark.parametrize("time", [-60_000_000, 120_000_000, 30_000_000])
def test_a_candle_that_does_not_belong_is_refused(time: int):
    table = candles({time: [1.0] * 6})
    for policy in ("fill", "nan"):
        with pytest.raises(InvalidRange, match="starts no further period of 1m"):
            gaps.fill(table, INTERVALS["1m"], Span(0, 120_000_000), policy)


def test_disorder_is_refused():
    table = candles({0: [1.0] * 6})
    with pytest.raises(InvalidRange):
        gaps.fill(pa.concat_tables([table, table]), INTERVALS["1m"], Span(0, 120_000_000), "fill")


def test_an_unknown_policy_is_refused():
    with pytest.raises(QueryError, match="'raw', 'fill', 'nan'"):
        gaps.fill(candles({}), INTERVALS["1m"], Span(0, 0), "zero")
