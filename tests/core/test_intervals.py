"""Intervals and range algebra against simple models."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS, Interval, Span, from_micros, intersect, merge, subtract, to_micros
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
    ("text", "name"),
    [("60m", "1h"), ("240m", "4h"), ("day", "1d"), ("week", "1w"), ("month", "1M"), ("year", "1y"),
     ("minute", "1m"), ("second", "1s"), ("1M", "1M"), ("1m", "1m"), ("1H", "1h"), ("minute15", "15m")],
)  # fmt: skip
def test_names_and_aliases(text: str, name: str) -> None:
    assert Interval.parse(text).name == name


@pytest.mark.parametrize(
    ("text", "near"), [("2m", "m"), ("hourly", "1h"), ("5 m", "5m"), (5, ""), (None, ""), ("", "")]
)
def test_unknown_interval_names_the_nearest(text: object, near: str) -> None:
    with pytest.raises(InvalidInterval) as caught:
        Interval.parse(text)
    assert "did you mean" in str(caught.value)
    assert near in str(caught.value)


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
