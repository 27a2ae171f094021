"""Times that are remembered as bits are the times that were decoded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS, Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series
from upbit_frames.store.known_times import MAX_PERIODS_A_ROW, KnownTimes
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
START = to_micros(datetime(2024, 1, 1, tzinfo=UTC))


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=60).filter(any), min_size=1, max_size=5), st.data())
def test_what_was_added_comes_back(groups: list[list[bool]], data: st.DataObject) -> None:
    parts, low = [], START
    for group in groups:
        parts.append(low + MINUTE * np.flatnonzero(group))
        low += MINUTE * len(group)
    ends = np.cumsum([len(part) for part in parts]).tolist()
    known = KnownTimes(MINUTE, [int(part[0]) for part in parts], [int(part[-1]) for part in parts], ends)
    added = [number for number in range(len(parts)) if data.draw(st.booleans())]
    for number in added:
        known.add(number, parts[number])
    for first in range(len(parts)):
        for stop in range(first + 1, len(parts) + 1):
            wanted = range(first, stop)
            thin = any((part[-1] - part[0]) // MINUTE + 1 > MAX_PERIODS_A_ROW * len(part) for part in parts[first:stop])
            assert known.has(wanted) == (set(wanted) <= set(added) and not thin)
            if known.has(wanted):
                assert known.times(wanted).tolist() == np.concatenate(parts[first:stop]).tolist()
    assert known.weight >= 0


def rows(times: np.ndarray) -> pa.Table:
    columns = [pa.array(times).cast(pa.timestamp("us", tz="UTC")), *([pa.array(times / MINUTE)] * 6)]
    return pa.Table.from_arrays(columns, schema=arrow_schema("candles"))


@pytest.mark.parametrize("interval", ["1m", "1d", "1M"])
@pytest.mark.parametrize("share", [1.0, 0.7, 0.02])
def test_a_second_reading_equals_the_first(tmp_path: Path, interval: str, share: float) -> None:
    grid = INTERVALS[interval]
    starts = grid.array(START, grid.shift(START, 40_000 if interval == "1m" else 400))
    present = np.random.default_rng(3).random(len(starts)) < share
    present[:3] = [True, False, True]
    span = Span(START, grid.shift(int(starts[-1]), 1))
    series = Series("candles", "KRW-BTC", interval)
    ParquetStore(tmp_path).write(series, rows(starts[present]), span)
    store = ParquetStore(tmp_path)
    first = store.read(series, span)
    assert first["time"].cast("int64").to_pylist() == starts[present].tolist()
    for columns in (None, ("time", "close"), ("time",)):
        again = store.read_covered(series, span, columns).table
        assert again.equals(first if columns is None else first.select(columns))
        assert again.schema.equals(arrow_schema("candles", columns), check_metadata=True)
    inner = Span(int(starts[len(starts) // 3]), int(starts[len(starts) // 2]))
    assert store.count(series, inner) == int(present[len(starts) // 3 : len(starts) // 2].sum())
    assert store.read(series, inner)["close"].to_pylist() == [
        at / MINUTE for at, there in zip(starts, present, strict=True) if there and inner.start <= at < inner.end
    ]


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path, kit: Any) -> None:
    store = ParquetStore(tmp_path)
    span = Span(START, START + 1000 * MINUTE)
    store.write(kit.series, rows(START + MINUTE * np.arange(0, 1000, 2)), span)
    store.read(kit.series, span)
    replaced = rows(START + MINUTE * np.arange(1, 1000, 2))
    store.write(kit.series, replaced, span, replace=True)
    assert store.read(kit.series, span).equals(replaced)
    assert store.read_covered(kit.series, span, ("time", "close")).table.equals(replaced.select(["time", "close"]))
