"""``trades.uf.bars`` of frames that went through a user's hands."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from upbit_frames.core.event_bars import EventBars, Threshold
from upbit_frames.errors import QueryError
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
