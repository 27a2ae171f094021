"""Assembling panels: equal to pandas' own pivot of the parts, whatever is missing."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.arrow import wrapped
from upbit_frames.core.bar_grid import parse_grid
from upbit_frames.core.intervals import INTERVALS, Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import QueryError
from upbit_frames.frames.panel import PanelBuilder, apply_missing, cross_section_output, panel_output

START = to_micros(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
FIELDS = ("close", "volume")
GRIDS = {
    "1m": INTERVALS["1m"],
    "1M": INTERVALS["1M"],
    "1w": INTERVALS["1w"],
    "1d, days of 23 and 25 hours": parse_grid("1d", "America/New_York"),
}


@st.composite
def panels(draw: st.DrawFn) -> tuple[Any, Span, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """A grid, a range on it, and for each market its periods and their values, a row a field."""
    grid = GRIDS[draw(st.sampled_from(list(GRIDS)))]
    length = draw(st.integers(0, 40))
    low = grid.ceil(START)
    span = Span(low, grid.shift(low, length))
    markets = {}
    for number in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, length))
        last = draw(st.integers(first, length))
        chosen = draw(st.lists(st.booleans(), min_size=last - first, max_size=last - first))
        if draw(st.booleans()):
            chosen = [True] * len(chosen)
        places = first + np.flatnonzero(chosen)
        values = np.array([places + 1000.0 * number + 1, (places % 3) * 1.0])
        markets[f"KRW-M{number}"] = grid.array(*span)[places], values
    return grid, span, markets


def table_of(times: np.ndarray, values: np.ndarray, pieces: int) -> pa.Table:
    schema = arrow_schema("candles", ("time", *FIELDS))
    arrays = [wrapped(times, schema.field(0).type), *(pa.array(row) for row in values)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    cuts = np.linspace(0, len(table), pieces + 1).astype(int)
    return pa.concat_tables([table.slice(low, high - low) for low, high in itertools.pairwise(cuts)])


def built(panel: Any, pieces: int = 1) -> PanelBuilder:
    grid, span, markets = panel
    builder = PanelBuilder(FIELDS)
    builder.begin(list(markets), grid, span)
    for number, (times, values) in reversed(list(enumerate(markets.values()))):
        builder.put(number, table_of(times, values, pieces))
    builder.close()
    return builder


def pivot(panel: Any) -> pd.DataFrame:
    """The model: pandas joins the columns itself."""
    _, _, markets = panel
    columns = {
        (field, market): pd.Series(values[at], index=pd.to_datetime(times, unit="us", utc=True).as_unit("us"))
        for at, field in enumerate(FIELDS)
        for market, (times, values) in markets.items()
    }
    frame = pd.concat(columns, axis=1, names=["field", "market"], sort=True)
    frame.index = pd.DatetimeIndex(frame.index, name="time", freq=None)
    return frame.astype(float)


def shown(builder: PanelBuilder) -> pd.DataFrame:
    frame: pd.DataFrame = panel_output(builder, "pandas", tz="UTC", several=True, attrs={})
    return frame


@given(panels(), st.integers(1, 3))
def test_a_panel_is_the_pivot_of_its_parts(panel: Any, pieces: int) -> None:
    pd.testing.assert_frame_equal(shown(built(panel, pieces)), pivot(panel), check_column_type=False)


@given(panels())
def test_rows_that_lack_a_market_are_dropped(panel: Any) -> None:
    builder = built(panel)
    apply_missing(builder, "drop")
    pd.testing.assert_frame_equal(shown(builder), pivot(panel).dropna(), check_column_type=False)


@given(panels())
def test_prices_are_carried_forward_and_amounts_become_zero(panel: Any) -> None:
    builder = built(panel)
    apply_missing(builder, "ffill")
    wanted = pivot(panel)
    filled = wanted.ffill()
    zeros = wanted["volume"].isna() & filled["volume"].notna()
    filled["volume"] = filled["volume"].mask(zeros, 0.0)
    pd.testing.assert_frame_equal(shown(builder), filled, check_column_type=False)


@given(panels(), st.data())
def test_nothing_is_carried_to_where_nothing_is_known(panel: Any, data: st.DataObject) -> None:
    grid, span, markets = panel
    low = data.draw(st.integers(0, grid.slots(*span)))
    unknown = Span(grid.shift(span.start, low), grid.shift(span.start, low + data.draw(st.integers(0, 20))))
    builder = PanelBuilder(FIELDS)
    builder.begin(list(markets), grid, span)
    for number, (times, values) in enumerate(markets.values()):
        builder.put(number, table_of(times, values, 1), [unknown] if number == 0 else [])
    builder.close()
    raw = pivot(panel)
    apply_missing(builder, "ffill")
    frame = shown(builder)
    inside = (raw.index >= pd.Timestamp(unknown.start, unit="us", tz="UTC")) & (
        raw.index < pd.Timestamp(unknown.end, unit="us", tz="UTC")
    )
    first = frame.columns[0][1]
    pd.testing.assert_series_equal(frame["close", first][inside], raw["close", first][inside], check_freq=False)
    known = frame["close", first][~inside]
    pd.testing.assert_series_equal(known, raw["close", first].ffill()[~inside], check_freq=False)


@given(panels())
def test_missing_values_are_an_error_that_names_the_markets(panel: Any) -> None:
    lacking = pivot(panel)["close"].isna().sum()
    lacking = lacking[lacking > 0]
    builder = built(panel)
    if lacking.empty:
        apply_missing(builder, "raise")
        return
    with pytest.raises(QueryError, match=f"{len(lacking)} of {len(builder.markets)} markets") as caught:
        apply_missing(builder, "raise")
    assert caught.value.context["markets"] == lacking.index.tolist()
    for market, count in lacking.items():
        assert f"{market} ({count})" in caught.value.message


@given(panels())
def test_arrow_and_polars_hold_the_same(panel: Any) -> None:
    builder = built(panel)
    frame = shown(builder)
    table = panel_output(builder, "arrow", tz="Asia/Seoul", several=True, attrs={"kind": "panel"})
    names = [f"{field}_{market}" for field, market in frame.columns]
    assert table.column_names == ["time", *names]
    assert str(table.schema.field("time").type) == "timestamp[us, tz=Asia/Seoul]"
    polars = panel_output(builder, "polars", tz="UTC", several=True, attrs={})
    for name, column in zip(names, frame.columns, strict=True):
        assert table[name].null_count == 0  # NaN, as in pandas
        np.testing.assert_array_equal(table[name].to_numpy(), frame[column].to_numpy())
        np.testing.assert_array_equal(polars[name].to_numpy(), frame[column].to_numpy())


def test_the_frame_stays_in_the_memory_that_was_filled() -> None:
    times = START + 60_000_000 * np.arange(5)
    panel = (INTERVALS["1m"], Span(START, START + 5 * 60_000_000), {"KRW-A": (times, np.ones((2, 5)))})
    builder = built(panel)
    assert np.shares_memory(shown(builder).to_numpy(), builder.block)
    holes = built((*panel[:2], {"KRW-A": (times[[0, 4]], np.ones((2, 2)))}))
    assert holes.block.base is not None  # closed up inside the array, not copied
    assert holes.block.shape == (2, 2)


def test_a_cross_section_is_the_only_row_turned() -> None:
    builder = PanelBuilder(FIELDS)
    span = Span(START, START + 60_000_000)
    builder.begin(["KRW-A", "KRW-B"], INTERVALS["1m"], span)
    builder.put(0, table_of(np.array([START]), np.array([[5.0], [2.0]]), 1))
    builder.put(1, table_of(np.empty(0, np.int64), np.empty((2, 0)), 1))
    builder.close()
    frame = cross_section_output(builder, "pandas", tz="UTC", attrs={"a": 1})
    assert frame.index.tolist() == ["KRW-A", "KRW-B"]
    assert frame.index.name == "market"
    assert frame.loc["KRW-A"].tolist() == [5.0, 2.0]
    assert frame.loc["KRW-B"].isna().all()
    assert cross_section_output(builder, "arrow", tz="UTC", attrs={}).column_names == ["market", "close", "volume"]


@given(panels(), st.integers(-5, 5).filter(bool), st.booleans())
def test_returns_are_those_of_pandas(panel: Any, periods: int, log: bool) -> None:
    prices = pivot(panel)["close"]
    if not len(prices.columns):
        return
    got = prices.uf.returns(log=log, periods=periods)
    before = prices.shift(periods)
    wanted = np.log(prices / before) if log else prices / before - 1.0
    pd.testing.assert_frame_equal(got, wanted, check_freq=False)


def test_returns_need_a_panel() -> None:
    days = pd.date_range("2026-01-01", periods=3, tz="UTC", name="time")
    panel = pd.DataFrame({"KRW-BTC": [1.0, 2.0, 3.0]}, index=days)
    panel.attrs["upbit_frames"] = {"kind": "panel"}
    assert panel.uf.returns().attrs == panel.attrs
    assert panel.iloc[1:].uf.meta == {"kind": "panel"}
    for periods in (0, 1.5, True, "1"):
        with pytest.raises(QueryError, match="periods must be an integer"):
            panel.uf.returns(periods=periods)  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="log must be True or False"):
        panel.uf.returns(log="yes")  # type: ignore[arg-type]
    for work in (panel.uf.gaps, panel.uf.validate, panel.uf.fill):
        with pytest.raises(QueryError, match="needs candles, and the frame holds a panel"):
            work()
    candles = pd.DataFrame(1.0, index=days, columns=["open", "high", "low", "close", "volume", "value"])
    with pytest.raises(QueryError, match=r"needs a panel, and the frame holds candles.*pct_change"):
        candles.uf.returns()
    with pytest.raises(AttributeError, match="panels"):
        pd.DataFrame({"btc": [1.0] * 3}, index=days).uf  # noqa: B018
