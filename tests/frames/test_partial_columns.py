"""``df.uf`` on frames of some of the columns: what can work does, else the error says how to get the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from upbit_frames.core.intervals import INTERVALS
from upbit_frames.errors import QueryError
from upbit_frames.frames import output as frames

START = 1_767_225_600_000_000  # 2026-01-01
ALL = ["open", "high", "low", "close", "volume", "value"]


@pytest.fixture
def df(candles: Any) -> pd.DataFrame:
    """Two hours of minutes, some missing."""
    random = np.random.default_rng(1)
    rows = {}
    for n, time in enumerate(INTERVALS["1m"].starts(START, START + 7_200_000_000)):
        low, a, b, high = sorted(random.integers(1, 1000, 4).tolist())
        if n % 11 != 7:
            rows[time] = [a, high, low, b, *(random.integers(0, 10**10, 2) / 1e8).tolist()]
    attrs = {"kind": "candles", "market": "KRW-BTC", "interval": "1m"}
    return frames.to_output(candles(rows), "candles", "pandas", attrs=attrs)


@pytest.mark.parametrize("columns", [[name] for name in ALL] + [["close", "value"], ["high", "low", "volume"]])
def test_what_needs_no_other_column_is_as_of_the_whole_frame(df: pd.DataFrame, columns: list[str]) -> None:
    part = df[columns]
    pd.testing.assert_frame_equal(part.uf.gaps(), df.uf.gaps())
    assert part.uf.validate().empty
    for interval in ("5m", "1h"):
        pd.testing.assert_frame_equal(part.uf.resample(interval), df.uf.resample(interval)[columns])
    grid = part.uf.fill("nan")
    pd.testing.assert_frame_equal(grid, df.uf.fill("nan")[columns])
    pd.testing.assert_frame_equal(grid.uf.fill("raw"), part, check_freq=False)
    assert len(grid.uf.gaps()) == len(df.uf.gaps())
    if "close" in columns:
        pd.testing.assert_frame_equal(part.uf.fill(), df.uf.fill()[[*columns, "filled"]])
    else:
        with pytest.raises(QueryError, match="needs the column close, and the frame lacks close"):
            part.uf.fill()
    both = pd.concat({"KRW-BTC": part, "KRW-ETH": part}, names=["market"])
    assert both.uf.resample("1h").loc["KRW-ETH"].equals(part.uf.resample("1h"))
    assert part.uf.naive("Asia/Seoul").index[0] == pd.Timestamp("2026-01-01 09:00")


def test_faults_of_the_columns_that_are_there_are_found(df: pd.DataFrame) -> None:
    df.iloc[3, df.columns.get_loc("close")] = 1e9
    df.iloc[4, df.columns.get_loc("volume")] = -1.0
    assert df[["close", "high"]].uf.validate()["check"].tolist() == ["close outside of low and high"]
    assert df[["close", "low"]].uf.validate().empty
    assert df[["volume"]].uf.validate()["check"].tolist() == ["volume or value below zero"]


CALLS: list[tuple[list[str], str, Callable[[Any], Any]]] = [
    (["close"], "needs the columns open, high, low, close, and the frame lacks open, high, low", lambda uf: uf.plot()),
    (["open", "high", "low", "close"], "lacks volume", lambda uf: uf.chart()),
    (["close", "volume"], "lacks open, high, low", lambda uf: uf.to_backtesting()),
]


@pytest.mark.parametrize(("columns", "says", "call"), CALLS)
def test_what_needs_more_says_how_to_read_it(
    df: pd.DataFrame, columns: list[str], says: str, call: Callable[[Any], Any]
) -> None:
    with pytest.raises(QueryError, match=says) as caught:
        call(df[columns].uf)
    assert "uf.candles('KRW-BTC', '1m', …, columns=['open', 'high', 'low', 'close'" in str(caught.value)


def test_a_comparison_needs_closes_and_a_picture_no_volumes(df: pd.DataFrame) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    both = pd.concat({"KRW-BTC": df, "KRW-ETH": df}, names=["market"])
    assert len(both[["close"]].uf.plot().get_lines()) == 2
    with pytest.raises(QueryError, match="lacks close"):
        both[["high"]].uf.plot()
    ax = df[["open", "high", "low", "close"]].uf.plot()
    assert (len(ax.figure.axes), len(df.uf.plot().figure.axes)) == (1, 2)


def test_trades_of_some_columns() -> None:
    times = pd.date_range("2026-01-01T00:00:00Z", periods=10, freq="7s", name="time")
    trades = pd.DataFrame({"price": 1.0, "volume": 0.5, "value": 0.5, "side": "bid"}, index=times)
    trades.attrs["upbit_frames"] = {"kind": "trades", "market": "KRW-BTC"}
    pd.testing.assert_frame_equal(trades[["price", "volume", "side"]].uf.bars(ticks=3), trades.uf.bars(ticks=3))
    pd.testing.assert_frame_equal(
        trades[["price", "volume", "side"]].uf.flow("1m", edges="keep"), trades.uf.flow("1m", edges="keep")
    )
    for part, says in ((trades[["price"]], "lacks volume"), (trades[["volume"]], "lacks price")):
        with pytest.raises(QueryError, match=says):
            part.uf.bars(ticks=3)
        with pytest.raises(QueryError, match=r"columns price, volume, value, .*\n?.*uf.trades\('KRW-BTC', …, columns="):
            part.uf.resample("1m")
    with pytest.raises(QueryError, match="this needs the column side"):
        trades[["price", "volume"]].uf.bars(ticks=3)


def test_what_says_neither_is_no_frame_of_ours(df: pd.DataFrame) -> None:
    amounts = df[["volume"]].copy()
    amounts.attrs = {}
    with pytest.raises(AttributeError, match="lacks open, high, low, close, value"):
        _ = amounts.uf
    prices = df[["close"]].copy()
    prices.attrs = {}
    assert len(prices.uf.gaps()) == len(df.uf.gaps())
