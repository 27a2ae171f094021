"""What is drawn obeys the exchange's rules."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS, Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.testing import strategies
from upbit_frames.testing.market.price_ticks import SCALE, floor_to_tick


@settings(max_examples=50)
@given(st.data(), strategies.intervals(), st.sampled_from(["KRW", "BTC", "USDT"]))
def test_candles(data, interval, quote):
    table = data.draw(strategies.candles(interval, quote=quote, max_size=20))
    assert table.schema == arrow_schema("candles")
    rows = table.to_pylist()
    times = [to_micros(row["time"]) for row in rows]
    assert times == sorted(set(times))
    for time, row in zip(times, rows, strict=True):
        assert interval.floor(time) == time
        assert row["low"] <= min(row["open"], row["close"])
        assert row["high"] >= max(row["open"], row["close"])
        assert row["low"] > 0 < row["volume"]
        prices = [round(row[name] * SCALE) for name in ("open", "high", "low", "close")]
        assert floor_to_tick(quote, prices).tolist() == prices


@settings(max_examples=50)
@given(st.data())
def test_trades(data):
    span = data.draw(strategies.ranges("1m"))
    trades = data.draw(strategies.trades(span=span, max_size=30))
    assert ((trades.ms * 1000 >= span.start) & (trades.ms * 1000 < span.end)).all()
    assert (np.diff(trades.sequential_id) > 0).all()
    table = trades.table()
    assert table.schema == arrow_schema("trades")
    assert table["sequential_id"].to_pylist() == trades.sequential_id.tolist()
    assert table["seq"].type == pa.int64()
    assert table["seq"].null_count == len(trades)


@given(st.data(), st.sampled_from([None, *INTERVALS]))
def test_ranges(data, name):
    span = data.draw(strategies.ranges(name, most=50))
    assert isinstance(span, Span)
    assert not span.empty
    if name:
        interval = INTERVALS[name]
        assert interval.floor(span.start) == span.start
        assert interval.floor(span.end) == span.end
        assert 1 <= interval.slots(*span) <= 50


@given(strategies.markets("BTC"), strategies.moments())
def test_codes_and_moments(market, time):
    assert market.startswith("BTC-")
    assert strategies.EARLIEST <= time < strategies.LATEST


def test_sizes_are_kept():
    @settings(max_examples=5)
    @given(strategies.candles("1d", min_size=3, max_size=3, start=0), strategies.trades(min_size=4, max_size=4))
    def check(table, trades):
        assert (table.num_rows, len(trades)) == (3, 4)

    check()


@pytest.mark.parametrize("kind", ["candles", "trades"])
def test_empty_ones_have_the_schema(kind):
    @settings(max_examples=2)
    @given(getattr(strategies, kind)(max_size=0))
    def check(drawn):
        assert (drawn if kind == "candles" else drawn.table()).schema == arrow_schema(kind)

    check()
