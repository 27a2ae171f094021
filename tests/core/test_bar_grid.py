"""Grids of any length and base, against a walk through the calendar."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.bar_grid import BarGrid, Grid, contains, parse_grid, sources
from upbit_frames.core.day_base import UTC_DAYS, parse_base
from upbit_frames.core.intervals import INTERVALS, Interval, from_micros, iso, to_micros
from upbit_frames.errors import InvalidInterval, QueryError

ZONES = [
    "UTC", "Asia/Seoul", "America/New_York", "Australia/Lord_Howe", "Europe/London", "America/Sao_Paulo",
    "America/Havana", "Asia/Kathmandu", "Africa/Casablanca", "Africa/Cairo", "America/Santiago", "Pacific/Apia",
]  # fmt: skip
PERIODS = [
    "1s", "90s", "1m", "45m", "1h", "90m", "2h", "3h", "6h", "8h", "12h",
    "1d", "2d", "3d", "5d", "1w", "2w", "1M", "2M", "3M", "1y", "2y",
]  # fmt: skip
CLOCKS = ["00:00", "00:30", "02:00", "02:15", "09:00", "17:00", "23:30"]
LOW, HIGH = dt.datetime(2017, 1, 1, tzinfo=dt.UTC), dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
MOMENTS = st.integers(to_micros(LOW), to_micros(HIGH))
GRIDS = st.tuples(st.sampled_from(PERIODS), st.sampled_from(CLOCKS), st.sampled_from(ZONES))


@cache
def days(clock: str, zone: str) -> list[tuple[dt.date, int]]:
    """Every date and when it begins, by the calendar and zoneinfo alone."""
    hours, minutes = map(int, clock.split(":"))
    found: list[tuple[dt.date, int]] = []
    date = dt.date(1960, 1, 1)
    while date < dt.date(2032, 1, 1):
        wall = dt.datetime(date.year, date.month, date.day, hours, minutes, tzinfo=ZoneInfo(zone))
        begins = to_micros(wall.astimezone(dt.UTC))
        if not found or begins > found[-1][1]:
            found.append((date, begins))
        date += dt.timedelta(days=1)
    return found


@cache
def long_bars(period: str, clock: str, zone: str) -> list[int]:
    """The beginnings of bars of whole days, weeks, months or years."""
    count, unit = int(period[:-1]), period[-1]
    epoch, monday = dt.date(1970, 1, 1), dt.date(1970, 1, 5)
    chosen = {
        "d": lambda date: (date - epoch).days % count == 0,
        "w": lambda date: (date - monday).days % (7 * count) == 0,
        "M": lambda date: date.day == 1 and ((date.year - 1970) * 12 + date.month - 1) % count == 0,
        "y": lambda date: date.day == 1 and date.month == 1 and (date.year - 1970) % count == 0,
    }[unit]
    return [begins for date, begins in days(clock, zone) if chosen(date)]


def bar_of(period: str, clock: str, zone: str, moment: int) -> tuple[int, int]:
    """The beginning and the end of the bar that holds a moment."""
    if period[-1] in "dwMy":
        bounds = long_bars(period, clock, zone)
        place = bisect_right(bounds, moment)
        return bounds[place - 1], bounds[place]
    step = int(period[:-1]) * {"s": 1, "m": 60, "h": 3600}[period[-1]] * 1_000_000
    begins = [one for _, one in days(clock, zone)]
    place = bisect_right(begins, moment)
    low, end = begins[place - 1], begins[place]
    while low + step <= moment:  # parts of the day, one after the other
        low += max(1, (moment - low) // step) * step
    return low, min(low + step, end)


@given(GRIDS, MOMENTS)
def test_every_bar_is_the_calendars(which: tuple[str, str, str], moment: int) -> None:
    period, clock, zone = which
    grid = parse_grid(period, f"{clock} {zone}")
    start, end = bar_of(period, clock, zone, moment)
    assert grid.floor(moment) == start
    assert grid.shift(start, 1) == end
    assert grid.shift(end, -1) == start
    assert grid.ceil(moment) == (start if moment == start else end)
    assert end - start >= grid.step
    assert grid.seconds is None or end - start == grid.seconds * 1_000_000


@given(GRIDS, MOMENTS, st.integers(0, 300), st.integers(0, 10**12))
def test_arrays_counts_and_single_moments_agree(
    which: tuple[str, str, str], moment: int, bars: int, extra: int
) -> None:
    grid = parse_grid(which[0], f"{which[1]} {which[2]}")
    end = min(grid.shift(grid.ceil(moment), bars) + extra % grid.step, to_micros(HIGH))
    starts = grid.array(moment, end)
    assert grid.slots(moment, end) == len(starts)
    assert starts.tolist() == grid.starts(moment, end)
    assert all(moment <= one < end and grid.floor(one) == one for one in starts.tolist())
    assert all(high == grid.shift(low, 1) for low, high in pairwise(starts.tolist()))
    assert grid.nexts(starts).tolist() == [grid.shift(one, 1) for one in starts.tolist()]
    between = np.arange(moment, max(end, moment + 1), max(1, (end - moment) // 50))
    assert grid.floors(between).tolist() == [grid.floor(one) for one in between.tolist()]


@given(GRIDS, MOMENTS, st.integers(-2000, 2000))
def test_shift_goes_there_and_back(which: tuple[str, str, str], moment: int, bars: int) -> None:
    grid = parse_grid(which[0], f"{which[1]} {which[2]}")
    start = grid.floor(moment)
    there = grid.shift(start, bars)
    if to_micros(dt.datetime(1961, 1, 1, tzinfo=dt.UTC)) < there < to_micros(dt.datetime(2200, 1, 1, tzinfo=dt.UTC)):
        assert grid.shift(there, -bars) == start
        assert grid.slots(*sorted((start, there))) == abs(bars)


@pytest.mark.parametrize(
    ("zone", "date", "hours", "last"),
    [
        ("America/New_York", "2026-03-08", 23.0, 1.0), ("America/New_York", "2026-11-01", 25.0, 1.0),
        ("Australia/Lord_Howe", "2026-10-04", 23.5, 1.5), ("Australia/Lord_Howe", "2026-04-05", 24.5, 0.5),
        ("America/New_York", "2026-07-01", 24.0, 2.0),
    ],
)  # fmt: skip
def test_a_day_with_a_change_of_clocks_is_shorter_or_longer(zone: str, date: str, hours: float, last: float) -> None:
    begins = to_micros(dt.datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone)))
    day, part = parse_grid("1d", zone), parse_grid("2h", zone)
    end = day.shift(begins, 1)
    assert day.floor(begins) == begins
    assert (end - begins) / 3_600e6 == hours
    parts = part.starts(begins, end)
    assert parts[0] == begins
    assert (end - parts[-1]) / 3_600e6 == last
    assert {one - two for two, one in pairwise(parts)} == {2 * 3_600_000_000}


def test_a_skipped_date_has_no_bar() -> None:
    # Samoa crossed the date line: 30 December 2011 did not exist there.
    grid = parse_grid("1d", "Pacific/Apia")
    before = to_micros(dt.datetime(2011, 12, 29, tzinfo=ZoneInfo("Pacific/Apia")))
    starts = [from_micros(one) for one in grid.starts(before, before + 3 * 86_400_000_000)]
    assert [one.astimezone(ZoneInfo("Pacific/Apia")).day for one in starts] == [29, 31, 1]


@pytest.mark.parametrize(
    ("value", "base", "tz", "name"),
    [
        ("2h", None, "UTC", "2h"), ("120m", None, "UTC", "2h"), ("45m", None, "UTC", "45m"),
        ("90s", None, "UTC", "90s"),
        (dt.timedelta(hours=6), None, "UTC", "6h"), (pd.Timedelta("12h"), None, "UTC", "12h"),
        ("24M", None, "UTC", "2y"),
        (pd.offsets.Day(3), None, "UTC", "3d"), (np.timedelta64(2, "h"), None, "UTC", "2h"), ("QS", None, "UTC", "3M"),
        (pd.offsets.QuarterBegin(startingMonth=1), None, "UTC", "3M"), ("14d", None, "UTC", "14d"),
        ("1d", "Asia/Seoul", "UTC", "1d (base Asia/Seoul)"), ("1d", "KST", "UTC", "1d (base Asia/Seoul)"),
        ("1d", "+09:00", "UTC", "1d (base +09:00)"),
        ("1d", dt.timezone(dt.timedelta(hours=9)), "UTC", "1d (base +09:00)"),
        ("1d", ZoneInfo("Asia/Seoul"), "UTC", "1d (base Asia/Seoul)"),
        ("1d", "00:00", "Asia/Seoul", "1d (base Asia/Seoul)"),
        ("1d", dt.time(17), "America/New_York", "1d (base 17:00 America/New_York)"),
        ("1d", "9:30", "UTC", "1d (base 09:30 UTC)"), ("4h", "02:00", "UTC", "4h (base 02:00 UTC)"),
        ("1d", "00:00 -03:30", "UTC", "1d (base -03:30)"), ("7d", "Asia/Seoul", "UTC", "1w (base Asia/Seoul)"),
    ],
)  # fmt: skip
def test_what_means_a_grid_is_read(value: Any, base: Any, tz: str, name: str) -> None:
    grid = parse_grid(value, base, tz)
    assert isinstance(grid, BarGrid)
    assert str(grid) == name
    assert parse_grid(grid.name, grid.base.name or None) == grid


@pytest.mark.parametrize(
    ("value", "base", "tz"),
    [("1h", "Asia/Seoul", "UTC"), ("1d", "09:00", "Asia/Seoul"), ("1w", "09:00 Asia/Seoul", "UTC"),
     ("1M", "UTC", "UTC"),
     ("15m", "America/New_York", "UTC"), ("30m", "Australia/Lord_Howe", "UTC"), ("4h", "+04:00", "UTC"),
     ("7d", None, "UTC"), ("24h", None, "UTC"), ("1d", "19:00 America/Bogota", "UTC"), ("1m", "00:01", "UTC")],
)  # fmt: skip
def test_the_same_grid_as_upbits_is_upbits(value: Any, base: Any, tz: str) -> None:
    grid = parse_grid(value, base, tz)
    assert isinstance(grid, Interval)


@pytest.mark.parametrize(
    ("value", "says"),
    [("7h", "must divide a day or be whole days, got '7h'. Suggestion: did you mean '6h' or '8h'?"),
     ("7m", "did you mean '6m' or '8m'?"), ("50m", "did you mean '48m' or '1h'?"),
     ("36h", "did you mean '1d' or '2d'?"),
     ("13h", "did you mean '12h' or '1d'?"), ("7s", "did you mean '6s' or '8s'?"),
     ("25h", "did you mean '1d' or '2d'?"),
     ("11y", "at most ten years"), ("4000d", "at most ten years"), ("600w", "at most ten years"),
     (5, "a number has no unit; write '5m' for minutes"), ("hourly", "did you mean '1h'?"), ("", "a count and one of"),
     (None, "a count and one of"), (True, "a count and one of"), ("0h", "a count and one of"), ("-2h", "a count and"),
     (dt.timedelta(milliseconds=100), "a count and one of"), (pd.offsets.BusinessDay(2), "a count and one of"),
     ("1h30min", "a count and one of"), (b"2h", "a count and one of")],
)  # fmt: skip
def test_what_is_no_grid_is_refused_with_what_works(value: Any, says: str) -> None:
    with pytest.raises(InvalidInterval) as caught:
        parse_grid(value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "value", ["Asia/Seol", "", "25:00", "09:60", "9", "09:00:30", "noon", 9, True, dt.time(9, 0, 1), "09:00 Mars",
    "+25:00"]
)  # fmt: skip
def test_what_says_no_time_of_day_is_refused(value: Any) -> None:
    with pytest.raises(QueryError, match=r"base must say when a day begins, got .*'17:00 America/New_York'"):
        parse_base(value)


def test_a_city_is_suggested() -> None:
    with pytest.raises(QueryError, match=r"did you mean 'America/New_York'\?"):
        parse_base("17:00 New York")


@pytest.mark.parametrize(
    ("value", "base", "coarsest"),
    [("2h", None, "1h"), ("45m", None, "15m"), ("6h", None, "1h"), ("12h", None, "4h"), ("3d", None, "1d"),
     ("90s", None, "1s"),
     ("2w", None, "1w"), ("3M", None, "1M"), ("2y", None, "1y"), ("1d", "Asia/Seoul", "1h"),
     ("1d", "America/New_York", "1h"),
     ("1d", "Australia/Lord_Howe", "30m"), ("1d", "Asia/Kathmandu", "15m"), ("1d", "12:00", "4h"),
     ("1M", "Asia/Seoul", "1h"),
     ("2d", "00:01", "1m"), ("1w", "04:00", "4h"), ("1h", "Australia/Lord_Howe", "30m"), ("20m", None, "10m"),
     ("1d", None, "4h"), ("1w", None, "1d"), ("1M", None, "1d"), ("1y", None, "1M"), ("1h", None, "30m"),
     ("1m", None, "1s")],
)  # fmt: skip
def test_the_longest_source_is_the_one_that_has_every_boundary(value: str, base: Any, coarsest: str) -> None:
    assert sources(parse_grid(value, base))[0].name == coarsest
    assert [one.step for one in sources(parse_grid(value, base))] == sorted(
        (one.step for one in sources(parse_grid(value, base))), reverse=True
    )


def test_seconds_are_made_of_nothing() -> None:
    assert sources(INTERVALS["1s"]) == ()


@given(GRIDS, st.sampled_from(list(INTERVALS)), MOMENTS)
def test_a_source_has_every_boundary(which: tuple[str, str, str], name: str, moment: int) -> None:
    grid: Grid = parse_grid(which[0], f"{which[1]} {which[2]}")
    if INTERVALS[name] in sources(grid):
        bounds = grid.array(moment, min(grid.shift(grid.ceil(moment), 400), to_micros(HIGH)))
        assert (INTERVALS[name].floors(bounds) == bounds).all()


@given(GRIDS, GRIDS, MOMENTS)
def test_grids_that_contain_each_other(one: tuple[str, str, str], other: tuple[str, str, str], moment: int) -> None:
    fine, coarse = (parse_grid(which[0], f"{which[1]} {which[2]}") for which in (one, other))
    if contains(fine, coarse):
        bounds = coarse.array(moment, min(coarse.shift(coarse.ceil(moment), 100), to_micros(HIGH)))
        assert (fine.floors(bounds) == bounds).all()


def test_a_base_of_whole_days_contains_what_it_should() -> None:
    seoul, new_york = "Asia/Seoul", "America/New_York"
    assert contains(parse_grid("2h", seoul), parse_grid("1d", seoul))
    assert contains(parse_grid("1d", new_york), parse_grid("1w", new_york))
    assert contains(parse_grid("2h", new_york), parse_grid("6h", new_york))
    assert not contains(parse_grid("2h", new_york), parse_grid("3h", new_york))
    assert not contains(parse_grid("1d", new_york), parse_grid("1d", seoul))
    assert not contains(parse_grid("1d"), parse_grid("1d", seoul))
    assert not contains(parse_grid("3d"), parse_grid("1w"))
    assert contains(parse_grid("1h"), parse_grid("2h", new_york))


def test_equal_bases_are_equal_however_they_are_written() -> None:
    assert parse_base("09:00", "Asia/Seoul") == UTC_DAYS == parse_base("UTC") == parse_base("+00:00")
    assert parse_base("Asia/Seoul") == parse_base("+09:00")
    assert parse_base("Asia/Seoul") != parse_base("15:00")  # the same moments, which other dates begin with
    assert iso(parse_grid("1d", "Asia/Seoul").ceil(to_micros(LOW))) == "2017-01-01T15:00:00Z"
