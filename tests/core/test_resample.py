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
        with pytest.raises(InvalidInterval, match=f"{coarse} cannot be aggregated from candles of {base}"):
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


def decimal_sums(rows: list[tuple[int, Decimal]], interval: Any) -> dict[int, Decimal]:
    sums: dict[int, Decimal] = {}
    for time, amount in rows:
        start = interval.floor(time)
        sums[start] = sums.get(start, Decimal(0)) + amount
    return sums


@pytest.mark.parametrize(("base", "coarse"), [("1m", "5m"), ("5m", "15m"), ("15m", "30m"), ("30m", "4h"), ("1h", "1d")])
def test_volumes_of_doge_keep_every_decimal(real_data: Path, candles: Any, base: str, coarse: str):
    """A coin with volumes of tens of millions an hour: the decimal digits of the capture, summed as decimals."""
    with gzip.open(real_data / "history" / "KRW-DOGE_1m_2025-09.csv.gz", "rt", encoding="utf-8") as file:
        frame = pd.read_csv(file, dtype={"volume": str})
    times = pd.to_datetime(frame["timestamp"], utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    minutes = list(zip(times.view(np.int64).tolist(), map(Decimal, frame["volume"]), strict=True))
    finer = decimal_sums(minutes, INTERVALS[base])
    made = told(
        resample(
            candles({time: [1, 1, 1, 1, float(amount), float(amount)] for time, amount in finer.items()}),
            INTERVALS[base], INTERVALS[coarse], edges="keep",
        )
    )  # fmt: skip
    wanted = decimal_sums(minutes, INTERVALS[coarse])
    assert list(made) == list(wanted)
    small = {time: float(amount) for time, amount in wanted.items() if amount < 2**26}
    assert small
    assert {time: made[time][4] for time in small} == small
    assert {time: made[time][5] for time in small} == small
    for time in set(wanted) - set(small):
        assert made[time][4] == pytest.approx(float(wanted[time]), rel=3e-16)


def test_an_amount_seen_at_the_exchange(candles: Any):
    rows = {0: [1, 1, 1, 1, 1563605.64937873, 1.0], 300_000_000: [1, 1, 1, 1, 34164231.25350756, 1.0]}
    table = resample(candles(rows), INTERVALS["5m"], INTERVALS["15m"], edges="keep")
    assert table["volume"].to_pylist() == [35727836.90288629]


@given(st.lists(st.integers(0, 2**26 * 10**8), min_size=1, max_size=20))
def test_sums_below_two_to_the_26_are_exact(candles: Any, units: list[int]):
    while sum(units) >= 2**26 * 10**8:
        units = [unit // 2 for unit in units]
    rows = {i * 60_000_000: [1, 1, 1, 1, unit / 1e8, 1] for i, unit in enumerate(units)}
    made = told(resample(candles(rows), INTERVALS["1m"], INTERVALS["1h"], edges="keep"))
    assert made[0][4] == sum(units) / 1e8


def test_amounts_below_a_unit_are_summed_before_they_are_rounded():
    schema = arrow_schema("trades")
    times = pa.array([0, 1, 2]).view(schema.field("time").type)
    columns = [pa.array([3e-4] * 3), pa.array([1e-5] * 3), pa.array([3e-9] * 3)]
    table = pa.Table.from_arrays([times, *columns], names=["time", "price", "volume", "value"])
    made = candles_of_trades(table, INTERVALS["1m"], edges="keep")
    assert made["value"].to_pylist() == [1e-8]


def test_a_missing_amount_stays_missing(candles: Any):
    rows = {0: [1, 1, 1, 1, float("nan"), 2.0], 60_000_000: [1, 1, 1, 1, 1.0, 2.0]}
    made = resample(candles(rows), INTERVALS["1m"], INTERVALS["5m"], edges="keep")
    assert np.isnan(made["volume"].to_pylist()[0])
    assert made["value"].to_pylist() == [4.0]
