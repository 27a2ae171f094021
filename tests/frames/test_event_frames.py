"""``trades.uf.bars`` of frames that went through a user's hands."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from upbit_frames.core.event_bars import EventBars, Threshold
from upbit_frames.errors import InvalidInterval, QueryError, UpbitFramesWarning
from upbit_frames.frames.output import to_pandas

META = {"kind": "trades", "market": "KRW-BTC"}


@pytest.fixture
def frame(trades: Any) -> pd.DataFrame:
    return to_pandas(trades, index=["time"], tz="Asia/Seoul", attrs=dict(META))


def test_bars_of_a_frame_are_those_of_its_table(frame: pd.DataFrame, trades: Any):
    bars = frame.uf.bars(volume=1.1)
    expected = to_pandas(EventBars(Threshold.build(volume=1.1)).add(trades), index=["time"], tz="Asia/Seoul")
    pd.testing.assert_frame_equal(bars, expected)
    assert bars["volume"].tolist() == [1.1, 2.1]
    assert bars["buy_volume"].tolist() == [1.0, 2.0]
    assert bars.attrs["upbit_frames"] == {**META, "kind": "bars", "threshold": "volume=1.1"}


def test_several_markets_are_worked_on_one_by_one(frame: pd.DataFrame):
    both = pd.concat({"KRW-BTC": frame, "KRW-ETH": frame}, names=["market", "time"])
    bars = both.uf.bars(ticks=2, forming=True)
    assert bars.index.names == ["market", "time"]
    alone = frame.uf.bars(ticks=2, forming=True)
    for market in ("KRW-BTC", "KRW-ETH"):
        pd.testing.assert_frame_equal(bars.loc[market], alone, check_index_type=False)
    assert alone["complete"].tolist() == [True, True]


def test_a_forming_bar_is_marked(frame: pd.DataFrame):
    bars = frame.uf.bars(ticks=3, forming=True)
    assert bars["complete"].tolist() == [True, False]
    assert bars["trades"].tolist() == [3, 1]


def test_bars_of_no_trades_have_the_columns(frame: pd.DataFrame):
    empty = frame.iloc[:0].uf.bars(value=5)
    assert empty.dtypes.equals(frame.uf.bars(value=5).dtypes)


def test_bars_need_trades_with_sides_in_order(frame: pd.DataFrame, candles: Any):
    with pytest.raises(QueryError, match="needs the column side"):
        frame.drop(columns="side").uf.bars(ticks=2)
    with pytest.raises(QueryError, match="side must be 'bid'"):
        frame.assign(side="BUY").uf.bars(ticks=2)
    with pytest.raises(QueryError, match="do not rise"):
        frame.iloc[::-1].uf.bars(ticks=2)
    with pytest.raises(QueryError, match="this needs trades, and the frame holds candles"):
        to_pandas(candles({0: [1, 1, 1, 1, 1, 1]}), index=["time"]).uf.bars(ticks=2)
    with pytest.raises(QueryError, match="exactly one threshold"):
        frame.uf.bars()
    with pytest.raises(QueryError, match="forming must be True or False"):
        frame.uf.bars(ticks=2, forming=1)


# --- flow ---------------------------------------------------------------------------------------


def test_flow_of_a_frame(frame: pd.DataFrame):
    flow = frame.uf.flow("1m", start="2026-01-01T09:00", end="2026-01-01T09:02")  # read in the frame's zone
    assert flow.index.tolist() == [pd.Timestamp("2026-01-01 09:00", tz="Asia/Seoul"), pd.Timestamp("2026-01-01 00:01Z")]
    assert flow.iloc[0].to_dict() == {
        "trades": 3, "buy_volume": 1.0, "sell_volume": 0.2, "delta": 0.8, "buy_value": 100.0, "sell_value": 20.4,
        "vwap": 120.4 / 1.2,
    }  # fmt: skip
    meta = flow.attrs["upbit_frames"]
    assert (meta["kind"], meta["market"], meta["interval"]) == ("flow", "KRW-BTC", "1m")


def test_flow_adds_up_to_the_candles(frame: pd.DataFrame):
    day = {"start": "2026-01-01T00:00", "end": "2026-01-02T00:00"}
    for interval, base in (("1m", None), ("45m", "Asia/Seoul"), ("1d", "Asia/Seoul")):
        flow, candles = (method(interval, base, **day) for method in (frame.uf.flow, frame.uf.resample))
        assert flow.index.equals(candles.index)
        assert (flow["buy_volume"] + flow["sell_volume"]).tolist() == pytest.approx(candles["volume"].tolist())
        assert (flow["buy_value"] + flow["sell_value"]).tolist() == pytest.approx(candles["value"].tolist())
    assert flow.attrs["upbit_frames"]["base"] == "Asia/Seoul"
    assert flow["trades"].tolist() == [4]


def test_flow_of_incomplete_periods_only_warns(frame: pd.DataFrame):
    with pytest.warns(UpbitFramesWarning, match="no candle of 1h is complete in these 4 rows"):
        assert len(frame.uf.flow("1h")) == 0
    flagged = frame.uf.flow("1h", edges="flag")
    assert (flagged["complete"].tolist(), flagged["trades"].tolist()) == ([False], [4])


def test_flow_needs_trades_with_sides(frame: pd.DataFrame, candles: Any):
    with pytest.raises(QueryError, match="needs the column side"):
        frame.drop(columns="side").uf.flow()
    with pytest.raises(QueryError, match="this needs trades"):
        to_pandas(candles({0: [1, 1, 1, 1, 1, 1]}), index=["time"]).uf.flow()
    with pytest.raises(InvalidInterval):
        frame.uf.flow("7m")


def test_flow_of_several_markets(frame: pd.DataFrame):
    both = pd.concat({"KRW-BTC": frame, "KRW-ETH": frame}, names=["market", "time"])
    flow = both.uf.flow("1m", edges="keep")
    assert flow.index.names == ["market", "time"]
    assert flow["trades"].tolist() == [3, 1, 3, 1]
