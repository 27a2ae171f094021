"""Intervals and range algebra against simple models."""

from __future__ import annotations

import datetime as dt
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS, Interval, Span, from_micros, intersect, merge, subtract, to_micros
from upbit_frames.core.periods import Period, read_period
from upbit_frames.errors import InvalidInterval

MOMENTS = st.integers(0, to_micros(datetime(2100, 1, 1, tzinfo=UTC)))
NAMES = st.sampled_from(list(INTERVALS))
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: Span(*pair)), max_size=8)


@given(NAMES, MOMENTS)
def test_floor_is_a_boundary_at_or_before(name: str, moment: int) -> None:
    interval = INTERVALS[name]
    low = interval.floor(moment)
    assert low <= moment < interval.shift(low, 1)
    assert interval.floor(low) == low
    assert interval.ceil(low) == low
    assert interval.ceil(moment) in (low, interval.shift(low, 1))


@given(NAMES, MOMENTS, st.integers(-50, 50))
def test_shift_there_and_back(name: str, moment: int, periods: int) -> None:
    interval = INTERVALS[name]
    low = interval.floor(max(moment, to_micros(datetime(2022, 1, 1, tzinfo=UTC))))
    assert interval.shift(interval.shift(low, periods), -periods) == low


@given(NAMES, MOMENTS, st.integers(0, 60), st.integers(0, 10_000_000))
def test_slots_counts_starts(name: str, moment: int, periods: int, extra: int) -> None:
    interval = INTERVALS[name]
    start = moment
    end = interval.shift(interval.ceil(moment), periods) + extra % interval.step
    starts = interval.starts(start, end)
    assert interval.slots(start, end) == len(starts)
    assert all(start <= one < end and interval.floor(one) == one for one in starts)


@pytest.mark.parametrize(
    ("name", "moment", "expected"),
    [
        ("1w", datetime(2026, 3, 11, 14, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)),
        ("1M", datetime(2026, 3, 11, 14, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        ("1y", datetime(2026, 3, 11, 14, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        ("4h", datetime(2026, 3, 11, 14, 40, tzinfo=UTC), datetime(2026, 3, 11, 12, tzinfo=UTC)),
    ],
)
def test_boundaries_are_utc(name: str, moment: datetime, expected: datetime) -> None:
    assert from_micros(INTERVALS[name].floor(to_micros(moment))) == expected


@pytest.mark.parametrize(
    ("value", "name"),
    [("60m", "1h"), ("240m", "4h"), ("day", "1d"), ("week", "1w"), ("month", "1M"), ("year", "1y"),
     ("minute", "1m"), ("second", "1s"), ("1M", "1M"), ("1m", "1m"), ("1H", "1h"), ("minute15", "15m"),
     ("minutes/5", "5m"), ("minute240", "4h"), ("5min", "5m"), ("60min", "1h"), ("1hour", "1h"), ("1day", "1d"),
     ("1week", "1w"), ("1mo", "1M"), ("1month", "1M"), ("12M", "1y"), ("24h", "1d"), ("7d", "1w"), ("60s", "1m"),
     ("1440m", "1d"), ("5 m", "5m"), (" 1d ", "1d"), ("015m", "15m"),
     ("s", "1s"), ("S", "1s"), ("m", "1m"), ("T", "1m"), ("15T", "15m"), ("min", "1m"), ("h", "1h"), ("H", "1h"),
     ("4H", "4h"), ("D", "1d"), ("d", "1d"), ("W", "1w"), ("W-SUN", "1w"), ("W-MON", "1w"), ("M", "1M"), ("MS", "1M"),
     ("ME", "1M"), ("Y", "1y"), ("y", "1y"), ("YS", "1y"), ("YE-DEC", "1y"),
     (dt.timedelta(minutes=15), "15m"), (dt.timedelta(days=7), "1w"), (dt.timedelta(seconds=1), "1s"),
     (pd.Timedelta("1h"), "1h"), (pd.Timedelta(hours=24), "1d"), (np.timedelta64(1, "h"), "1h"),
     (np.timedelta64(240, "m"), "4h"), (np.timedelta64(1, "M"), "1M"), (np.timedelta64(1, "Y"), "1y"),
     (pd.offsets.Second(), "1s"), (pd.offsets.Minute(30), "30m"), (pd.offsets.Hour(4), "4h"), (pd.offsets.Day(), "1d"),
     (pd.offsets.Week(), "1w"), (pd.offsets.Week(weekday=0), "1w"), (pd.offsets.MonthBegin(), "1M"),
     (pd.offsets.MonthEnd(), "1M"), (pd.offsets.YearBegin(), "1y"), (pd.DateOffset(hours=1), "1h"),
     (pd.DateOffset(months=1), "1M"), (pd.tseries.frequencies.to_offset("15min"), "15m"), (INTERVALS["1d"], "1d")],
)  # fmt: skip
def test_what_means_one_interval_is_accepted(value: Any, name: str) -> None:
    assert Interval.parse(value).name == name


@pytest.mark.parametrize(
    ("value", "hint"),
    [("2h", "2h are made of '1h'"), ("12h", "12h are made of '4h'"), ("2m", "2m are made of '1m'"),
     ("45m", "45m are made of '15m'"), ("30d", "30d are made of '1d'"), ("10y", "10y are made of '1y'"),
     ("7m", "did you mean '5m' or '10m'?"), ("50d", "50d are made of '1d'"), ("20y", "did you mean '1y'?"),
     ("3M", "'M' is a month; write '3m' for minutes"), ("15M", "'M' is a month; write '15m' for minutes"),
     ("60M", "'M' is a month; write '1h' for minutes"), ("2M", "2M are made of '1M'"),
     (60, "a number has no unit; write '1h' for minutes"), (5, "a number has no unit; write '5m' for minutes"),
     (1.5, "a number has no unit"), (dt.timedelta(hours=2), "got datetime.timedelta(seconds=7200), which is 2h"),
     (pd.offsets.Hour(2), "2h are made of '1h'"), (np.timedelta64(3, "M"), "3M are made of '1M'"),
     ("5y", "5y are made of '1y'"), ("60", "write '1h' for minutes"), (200, "rows are count=200"),
     ("500ms", "the shortest is '1s'"), ("KRW-BTC", "a market, which comes before the interval"),
     ("hourly", "did you mean '1h'?"), ("Daily", "did you mean '1d'?"), ("5x", "did you mean '5m'?"),
     ("3분", "did you mean '3m'?"), ("minite", "")],
)  # fmt: skip
def test_a_refusal_names_what_works(value: object, hint: str) -> None:
    with pytest.raises(InvalidInterval) as caught:
        Interval.parse(value)
    assert hint in str(caught.value)
    assert "There are: 1s, 1m, 3m, 5m" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [None, "", " ", True, b"1m", "ms", "1ms", "Q", "B", "W-TUE", "0m", "-5m", "1.5h", "1h30min", "1m1m", "99999999999m",
     "PT1H", "٣m", dt.timedelta(0), dt.timedelta(-1), dt.timedelta(milliseconds=1), pd.NaT, np.timedelta64("NaT", "s"),
     np.timedelta64(3, "ms"), np.timedelta64(-1, "M"), pd.Timedelta(nanoseconds=1), pd.Timedelta("1h1ns"),
     pd.offsets.BusinessDay(), pd.offsets.Week(weekday=2), pd.offsets.Hour(-1), pd.DateOffset(hour=1),
     pd.DateOffset(days=1, hours=1), pd.DateOffset(hours=-1), ["1m"], object()],
)  # fmt: skip
def test_what_means_nothing_or_two_things_is_refused(value: object) -> None:
    with pytest.raises(InvalidInterval, match=r"interval must be one of Upbit's, got .* There are: 1s, 1m"):
        Interval.parse(value)


@given(st.integers(1, 5000), st.sampled_from(["s", "m", "h", "d", "w", "M", "y"]))
def test_a_month_is_never_minutes_and_equal_lengths_are_one_period(count: int, unit: str) -> None:
    period = read_period(f"{count}{unit}")
    assert period is not None
    assert (period.months is not None) == (unit in "My")
    assert read_period(str(period)) == period
    if period.seconds is not None:
        assert period.seconds == count * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
        assert read_period(dt.timedelta(seconds=period.seconds)) in (period, Period(7 * period.count, "d"))
    else:
        assert period.months == count * (12 if unit == "y" else 1)


def moments(spans: list[Span]) -> set[int]:
    return {moment for span in spans for moment in range(span.start, span.end)}


@given(SPANS, SPANS)
def test_algebra_agrees_with_sets(one: list[Span], other: list[Span]) -> None:
    for result, expected in (
        (merge(one), moments(one)),
        (subtract(one, other), moments(one) - moments(other)),
        (intersect(one, other), moments(one) & moments(other)),
    ):
        assert moments(result) == expected
        assert all(not span.empty for span in result)
        assert all(a.end < b.start for a, b in pairwise(result))


def test_months_and_years_are_at_least_as_long_as_their_step() -> None:
    day = 86_400_000_000
    assert (
        INTERVALS["1M"].step
        == 28 * day
        == to_micros(datetime(2023, 3, 1, tzinfo=UTC)) - to_micros(datetime(2023, 2, 1, tzinfo=UTC))
    )
    assert INTERVALS["1y"].step == 365 * day
