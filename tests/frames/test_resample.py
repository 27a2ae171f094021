"""Coarser candles against a naive model, and against Upbit's own."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.core.resample import candles_of_trades, check_divides, resample
from upbit_frames.core.schema import COMPLETE, arrow_schema
from upbit_frames.errors import InvalidInterval, QueryError

PAIRS = [
    ("1s", "1m"), ("1m", "3m"), ("1m", "1h"), ("15m", "4h"), ("4h", "1d"), ("1d", "1w"), ("1d", "1M"), ("1M", "1y"),
    ("1h", "1y"),
]  # fmt: skip


@st.composite
def series(draw: st.DrawFn) -> tuple[Any, Any, dict[int, list[float]]]:
    base, coarse = (INTERVALS[name] for name in draw(st.sampled_from(PAIRS)))
    first = base.ceil(draw(st.integers(0, 2 * 10**15)))
    slots = sorted(draw(st.sets(st.integers(0, 150), max_size=40)))
    rows = {}
    for slot in slots:
        low, a, b, high = sorted(draw(st.tuples(*[st.integers(1, 10**9)] * 4)))
        amounts = draw(st.tuples(*[st.integers(0, 10**14)] * 2))
        rows[base.shift(first, slot)] = [a, high, low, b, amounts[0] / 1e8, amounts[1] / 1e8]
    return base, coarse, rows


def model(rows: dict[int, list[float]], coarse: Any) -> dict[int, list[float]]:
    groups: dict[int, list[list[float]]] = {}
    for time in sorted(rows):
        groups.setdefault(coarse.floor(time), []).append(rows[time])
    return {
        start: [
            group[0][0],
            max(row[1] for row in group),
            min(row[2] for row in group),
            group[-1][3],
            float(sum(Decimal(repr(row[4])) for row in group)),
            float(sum(Decimal(repr(row[5])) for row in group)),
        ]
        for start, group in groups.items()
    }


def told(table: pa.Table) -> dict[int, list[float]]:
    times = table["time"].cast(pa.int64()).to_pylist()
    columns = [table[name].to_pylist() for name in arrow_schema("candles").names[1:]]
    return {time: [column[i] for column in columns] for i, time in enumerate(times)}


@given(series())
def test_every_period_is_what_its_candles_say(candles: Any, made: Any):
    base, coarse, rows = made
    table = resample(candles(rows), base, coarse, edges="keep")
    assert table.schema.equals(arrow_schema("candles"), check_metadata=True)
    found, wanted = told(table), model(rows, coarse)
    assert list(found) == list(wanted)
    for start, row in wanted.items():
        assert found[start][:5] == row[:5]  # the volume to the last digit
        assert found[start][5] == pytest.approx(row[5], rel=1e-15)


@given(series(), st.integers(-200, 0), st.integers(0, 200))
def test_only_whole_periods_are_complete(candles: Any, made: Any, before: int, after: int):
    base, coarse, rows = made
    if not rows:
        return
    span = Span(base.shift(min(rows), before), base.shift(max(rows), after + 1))
    table = candles(rows)
    flagged = resample(table, base, coarse, span=span, edges="flag")
    assert flagged.schema.equals(arrow_schema("candles").append(COMPLETE.field()), check_metadata=True)
    whole = {start for start in model(rows, coarse) if span.start <= start and coarse.shift(start, 1) <= span.end}
    times = flagged["time"].cast(pa.int64()).to_pylist()
    assert {time for time, fine in zip(times, flagged["complete"].to_pylist(), strict=True) if fine} == whole
    assert set(told(resample(table, base, coarse, span=span))) == whole


def test_an_interval_that_does_not_divide_is_refused(candles: Any):
    for base, coarse in (
        ("10m", "15m"),
        ("1h", "1m"),
        ("1w", "1M"),
        ("1M", "1w"),
        ("1y", "1M"),
        ("3m", "10m"),
        ("1w", "1y"),
    ):
        with pytest.raises(InvalidInterval, match=f"{coarse} cannot be made of candles of {base}"):
            resample(candles({}), INTERVALS[base], INTERVALS[coarse])


def test_every_pair_that_divides_has_its_edges_on_the_finer_grid():
    for base in INTERVALS.values():
        for coarse in INTERVALS.values():
            try:
                check_divides(base, coarse)
            except InvalidInterval:
                continue
            starts = [coarse.floor(moment) for moment in range(0, 10**16, 10**14)]
            assert all(base.floor(start) == start for start in starts)


def test_unknown_edges_are_refused(candles: Any):
    with pytest.raises(QueryError, match="'drop', 'keep', 'flag'"):
        resample(candles({}), INTERVALS["1m"], INTERVALS["5m"], edges="cut")


def test_trades_make_candles(trades: pa.Table):
    minute = INTERVALS["1m"]
    span = Span(1_767_225_600_000_000, 1_767_225_720_000_000)
    table = candles_of_trades(trades, minute, span=span)
    assert list(told(table).values()) == [[100, 102, 100, 102, 1.2, 120.4], [99, 99, 99, 99, 2, 198]]
    assert len(candles_of_trades(trades, minute)) == 1  # the second minute is not known to its end
    assert len(candles_of_trades(trades.slice(0, 0), minute)) == 0


def test_minutes_make_the_hours_of_upbit_exactly(real_data: Path, candles: Any):
    """September 2025, KRW-BTC: every hour, every digit."""

    def read(name: str) -> pd.DataFrame:
        with gzip.open(real_data / "history" / name, "rt", encoding="utf-8") as file:
            return pd.read_csv(file)

    minutes, hours = read("KRW-BTC_1m_2025-09.csv.gz"), read("KRW-BTC_1h_2022-2025.csv.gz")
    tables = []
    for frame in (minutes, hours):
        moments = pd.to_datetime(frame[frame.columns[0]], utc=True)
        times = moments.dt.tz_localize(None).to_numpy().astype("datetime64[us]").view(np.int64)
        numbers = frame[["open", "high", "low", "close", "volume"]].to_numpy(float)
        tables.append(dict(zip(times.tolist(), np.column_stack([numbers, numbers[:, 4]]).tolist(), strict=True)))
    made = told(resample(candles(tables[0]), INTERVALS["1m"], INTERVALS["1h"]))
    common = sorted(set(made) & set(tables[1]))
    assert len(common) > 600
    assert [made[time][:5] for time in common] == [tables[1][time][:5] for time in common]
