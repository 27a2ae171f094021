"""Frames on grids of any length and base: ``df.uf`` and charts of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.bar_grid import Grid, parse_grid, sources
from upbit_frames.core.intervals import INTERVALS, Span, to_micros
from upbit_frames.core.resample import resample
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import InvalidInterval, QueryError, UpbitFramesWarning
from upbit_frames.frames import output as frames

SCHEMA = arrow_schema("candles")
# Ranges in which clocks change in New York (March, November) and on Lord Howe (April, October), and one without.
BEGINS = [to_micros(pd.Timestamp(day, tz="UTC")) for day in
          ("2026-03-06T11:00", "2026-10-30T02:00", "2026-04-03T22:30", "2025-10-03T07:00", "2024-02-27")]  # fmt: skip
ANY = st.tuples(
    st.sampled_from(["45m", "90m", "2h", "3h", "4h", "6h", "12h", "1d", "2d", "1w", "1M"]),
    st.sampled_from([
        None, "Asia/Seoul", "17:00 America/New_York", "America/New_York", "Australia/Lord_Howe",
        "02:30 Australia/Lord_Howe", "09:30", "Asia/Kathmandu",
    ]),
)  # fmt: skip


def aggregated(rows: dict[int, list[float]], grid: Grid, span: Span) -> list[list[Any]]:
    """Whole bars in exact decimals."""
    groups: dict[int, list[list[float]]] = {}
    for time in sorted(rows):
        groups.setdefault(grid.floor(time), []).append(rows[time])
    return [
        [start, group[0][0], max(row[1] for row in group), min(row[2] for row in group), group[-1][3],
         *(float(sum(Decimal(repr(row[column])) for row in group)) for column in (4, 5))]
        for start, group in groups.items()
        if span.start <= start and grid.shift(start, 1) <= span.end
    ]  # fmt: skip


def listed(table: pa.Table) -> list[list[Any]]:
    return list(map(list, zip(table["time"].cast(pa.int64()).to_pylist(),
                              *(table[name].to_pylist() for name in SCHEMA.names[1:]), strict=True)))  # fmt: skip


@given(ANY, st.data(), st.sampled_from(BEGINS), st.integers(0, 200), st.floats(0.01, 1.0))
def test_every_bar_is_the_exact_sum_of_its_candles(
    candles: Any, which: tuple[str, Any], data: st.DataObject, begin: int, length: int, share: float
) -> None:
    grid = parse_grid(*which)
    fine = data.draw(st.sampled_from([one for one in sources(grid) if one.step >= 15 * 60_000_000]))
    start = fine.ceil(begin)
    span = Span(start, fine.shift(start, length))
    random = np.random.default_rng(length)
    rows = {}
    for time in fine.starts(*span):
        if random.random() < share:  # a thin market
            low, a, b, high = sorted(random.integers(1, 10**9, 4).tolist())
            rows[time] = [a, high, low, b, *(random.integers(0, 10**13, 2) / 1e8).tolist()]
    assert listed(resample(candles(rows), fine, grid, span=span)) == aggregated(rows, grid, span)


@pytest.fixture
def hours(candles: Any) -> pd.DataFrame:
    """Ten days of hours across New York's change of clocks of March 2026, an hour missing each day."""
    hour = INTERVALS["1h"]
    start = hour.ceil(to_micros(pd.Timestamp("2026-03-02", tz="America/New_York")))
    rows = {}
    for number, time in enumerate(hour.starts(start, start + 10 * 86_400_000_000)):
        if number % 24 != 5:
            rows[time] = [100.0 + number, 110.0 + number, 90.0 + number, 105.0 + number, 0.1, 12.3]
    attrs = {"market": "KRW-BTC", "interval": "1h"}
    return frames.to_output(candles(rows), "candles", "pandas", tz="America/New_York", attrs=attrs)


def test_days_of_a_zone_have_23_hours_where_clocks_change(hours: pd.DataFrame) -> None:
    days = hours.uf.resample("1d", base="America/New_York")
    assert [str(one) for one in days.index[[0, 6, 7]]] == [
        "2026-03-02 00:00:00-05:00", "2026-03-08 00:00:00-05:00", "2026-03-09 00:00:00-04:00",
    ]  # fmt: skip
    assert days["volume"].iloc[[0, 6]].tolist() == [2.3, 2.2]
    assert days.uf.meta == {"market": "KRW-BTC", "interval": "1d", "base": "America/New_York", "resampled": True}
    pd.testing.assert_frame_equal(hours.uf.resample("1d", base="00:00"), days)  # a time is one in the frame's zone
    assert hours.uf.resample("1d", base="09:00 Asia/Seoul").uf.meta["interval"] == "1d"
    assert "base" not in hours.uf.resample("1d", base="09:00 Asia/Seoul").uf.meta


def test_a_frame_with_a_base_keeps_its_abilities(hours: pd.DataFrame) -> None:
    parts = hours.uf.resample("2h", base="America/New_York")
    assert parts.uf.gaps().empty
    assert parts.uf.validate().empty
    days = parts.uf.resample("1d", base="America/New_York")
    pd.testing.assert_frame_equal(days, hours.uf.resample("1d", base="America/New_York"))
    with pytest.raises(
        InvalidInterval, match=r"1d cannot be aggregated from candles of 2h \(base America/New_York\)"
    ) as caught:
        parts.uf.resample("1d")
    assert "resample with base='America/New_York'" in str(caught.value)
    holes = parts.drop(parts.index[[3, 4, 70]])
    assert holes.uf.gaps()["periods"].tolist() == [2, 1]
    full = holes.uf.fill()
    assert full.index.equals(parts.index)
    assert full["filled"].sum() == 3
    assert full.uf.meta["base"] == "America/New_York"
    daily = days.drop(days.index[4]).uf.fill("nan")
    assert daily.index.equals(days.index)
    assert daily.index.freq == pd.tseries.frequencies.to_offset("D")
    assert parts.drop(parts.index[-1:]).uf.resample("1w", base="America/New_York").shape == (1, 6)


@pytest.mark.parametrize(
    ("interval", "freq"), [("2h", "2h"), ("3d", "3D"), ("45m", "45min"), ("2w", "2W-MON"), ("3M", "3MS")]
)
def test_a_filled_grid_knows_its_frequency(candles: Any, interval: str, freq: str) -> None:
    grid = parse_grid(interval)
    start = grid.ceil(BEGINS[0])
    rows = {grid.shift(start, number): [1.0] * 6 for number in (0, 1, 4)}
    df = frames.to_output(candles(rows), "candles", "pandas", attrs={"interval": interval})
    assert df.uf.gaps()["periods"].tolist() == [2]
    assert df.uf.fill().index.freq == pd.tseries.frequencies.to_offset(freq)


def test_trades_become_candles_of_any_length() -> None:
    times = pd.date_range("2026-03-01T00:00:00Z", periods=400, freq="7min", name="time")
    trades = pd.DataFrame({"price": np.arange(1.0, 401), "volume": 0.1, "value": np.arange(1.0, 401) / 10}, index=times)
    made = trades.uf.resample("6h", base="Asia/Seoul", start="2026-02-28T12:00")
    assert made.index[0] == pd.Timestamp("2026-02-28T21:00Z")
    assert made["volume"].iloc[0] == float(Decimal("0.1") * len(trades[:"2026-03-01T02:59Z"]))
    assert made.uf.meta["base"] == "Asia/Seoul"


def test_what_cannot_be_is_refused_and_what_became_nothing_warns(hours: pd.DataFrame) -> None:
    with pytest.raises(InvalidInterval, match="did you mean '6h' or '8h'"):
        hours.uf.resample("7h")
    with pytest.raises(InvalidInterval, match="candles of 45m cannot be aggregated from candles of 1h"):
        hours.uf.resample("45m")
    with pytest.raises(
        InvalidInterval, match=r"candles of 1d \(base Asia/Kathmandu\) cannot be aggregated from candles of 1h"
    ):
        hours.uf.resample("1d", base="Asia/Kathmandu")
    with pytest.raises(QueryError, match="base must say when a day begins, got '1m'"):
        hours.uf.resample("1d", base="1m")
    with pytest.warns(UpbitFramesWarning, match=r"no candle of 1M \(base Asia/Seoul\) is complete in these 230 rows"):
        assert hours.uf.resample("1M", base="Asia/Seoul").empty


def test_a_chart_of_them_is_drawn(hours: pd.DataFrame) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    ax = hours.uf.resample("2h", base="America/New_York").uf.plot(most=20)
    assert "KRW-BTC 2h" in ax.get_title(loc="left") + ax.get_title()
