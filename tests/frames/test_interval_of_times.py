"""The interval of frames that do not say it: Upbit's own, others, and days that begin in a zone."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.bar_grid import parse_grid
from upbit_frames.core.intervals import INTERVALS, to_micros
from upbit_frames.errors import InvalidInterval
from upbit_frames.frames import output as frames
from upbit_frames.frames.interval_of_times import infer_interval

# Clocks change in New York in March and November, on Lord Howe in April and October.
FIRST = [to_micros(pd.Timestamp(day, tz="UTC")) for day in ("2026-03-02", "2025-10-01", "2026-03-30", "2024-02-20")]
GRIDS = [
    ("2h", None), ("45m", None), ("90s", None), ("6h", None), ("12h", "09:30"), ("1h", "00:30"), ("90m", "00:07"),
    ("2d", None), ("3d", "Asia/Seoul"), ("1d", "Asia/Seoul"), ("1d", "17:00 America/New_York"),
    ("2h", "America/New_York"), ("6h", "Australia/Lord_Howe"), ("1d", "02:00 Australia/Lord_Howe"),
    ("1w", "Asia/Seoul"), ("2w", None), ("1M", "Asia/Kathmandu"), ("3M", None),
]  # fmt: skip


@pytest.mark.parametrize(("interval", "base"), GRIDS)
@pytest.mark.parametrize("first", FIRST)
def test_bars_of_any_length_are_recognised_in_their_zone(interval: str, base: Any, first: int) -> None:
    grid = parse_grid(interval, base)
    zone = ZoneInfo(base.split()[-1]) if base and "/" in base else ZoneInfo("UTC")
    start = grid.ceil(first)
    numbers = [n for n in range(60) if n % 7 != 3]  # some periods without a trade
    times = np.array([grid.shift(start, n) for n in numbers], dtype=np.int64)
    inferred = infer_interval(times, zone)
    assert inferred.name == grid.name
    low, high = int(times[0]), int(times[-1])
    assert inferred.starts(low, high) == grid.starts(low, high)


@given(
    st.sampled_from(list(INTERVALS.values())), st.sampled_from(FIRST), st.sets(st.integers(0, 50), min_size=2),
    st.sampled_from(["UTC", "Asia/Seoul", "America/New_York"]),
)  # fmt: skip
def test_every_time_lies_on_the_interval_that_is_inferred(own: Any, first: int, numbers: set[int], zone: str) -> None:
    """Candles of Upbit, however seldom traded: never a shorter interval than theirs, never one that misses a row."""
    start = own.ceil(first)
    times = np.array([own.shift(start, n) for n in sorted(numbers)], dtype=np.int64)
    inferred = infer_interval(times, ZoneInfo(zone))
    assert (inferred.floors(times) == times).all()
    assert inferred.step >= own.step
    if numbers >= set(range(max(numbers) + 1)) and len(numbers) > 2:
        assert inferred.starts(int(times[0]), int(times[-1])) == own.starts(int(times[0]), int(times[-1]))


def test_a_frame_without_metadata_keeps_its_abilities(candles: Any, tmp_path: Any) -> None:
    grid = parse_grid("1d", "America/New_York")
    rows = {time: [1.0, 2.0, 1.0, 2.0, 0.5, 0.7] for time in grid.starts(FIRST[0], FIRST[0] + 30 * 86_400_000_000)}
    del rows[list(rows)[10]]
    attrs = {"market": "KRW-BTC", "interval": "1d", "base": "America/New_York"}
    days = frames.to_output(candles(rows), "candles", "pandas", tz="America/New_York", attrs=attrs)
    days.to_csv(tmp_path / "days.csv")
    read = pd.read_csv(tmp_path / "days.csv")
    read.index = pd.DatetimeIndex(pd.to_datetime(read.pop("time"), utc=True)).tz_convert("America/New_York")
    pd.testing.assert_frame_equal(read.uf.gaps(), days.uf.gaps())
    assert read.uf.gaps()["periods"].tolist() == [1]
    assert read.uf.validate().empty
    pd.testing.assert_frame_equal(read.uf.fill(), days.uf.fill(), check_freq=False, check_names=False)
    weeks = days.uf.resample("1w", base="America/New_York")
    pd.testing.assert_frame_equal(read.uf.resample("1w", base="America/New_York"), weeks, check_freq=False)


def test_what_lies_on_no_grid_says_what_to_do() -> None:
    with pytest.raises(InvalidInterval, match=r"tz_convert\('Asia/Seoul'\)"):
        infer_interval(np.array([1, 3, 7_000_000], dtype=np.int64))
    for times in ([FIRST[0]], [], [FIRST[0], FIRST[0] + 1]):
        with pytest.raises(InvalidInterval, match="name it, such as interval='1m'"):
            infer_interval(np.array(times, dtype=np.int64))
