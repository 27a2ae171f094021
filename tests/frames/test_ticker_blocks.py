"""Frames that are asked for again and again are those that their table would give."""

from __future__ import annotations

from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.errors import SchemaError
from upbit_frames.exchange.wire.message_tables import CachedRows
from upbit_frames.exchange.wire.messages import CLASSES
from upbit_frames.frames import output as frames
from upbit_frames.frames.ticker_blocks import cached_frame

INDEX = ["market"]
NUMBERS = st.floats(0, 1e12)
DAYS = st.dates().map(str) | st.none()
MILLIS = st.integers(1, 253_402_300_799_999)


@st.composite
def tickers(draw: st.DrawFn) -> Any:
    ticker = CLASSES[False]["ticker"]
    values: dict[str, Any] = {}
    for one in msgspec.structs.fields(ticker):
        name = one.name
        if name.endswith("_date"):
            values[name] = draw(DAYS)
        elif name.endswith("timestamp"):
            values[name] = draw(MILLIS)
        elif name.startswith(("highest", "lowest")):
            values[name] = draw(NUMBERS | st.none())
        elif name == "change":
            values[name] = draw(st.sampled_from(["RISE", "EVEN", "FALL"]))
        elif name == "code":
            values[name] = draw(st.sampled_from(["KRW-BTC", "KRW-ETH", "BTC-ETH"]))
        elif name == "stream_type":
            values[name] = "REALTIME"
        elif name != "received_at":
            values[name] = draw(NUMBERS)
    return ticker(**values)


@given(st.lists(tickers(), min_size=1, max_size=4), st.sampled_from(["UTC", "Asia/Seoul", "America/New_York"]))
def test_tickers_without_a_table_in_between(rows: list[Any], tz: str) -> None:
    cached = CachedRows("ticker", rows)
    assert len(cached) == len(rows)
    frame = cached_frame(cached, INDEX, tz, {"kind": "ticker"})
    pd.testing.assert_frame_equal(frame, frames.to_pandas(cached.table, index=INDEX, tz=tz))
    assert frame.attrs == {frames.ATTRS: {"kind": "ticker"}}


@given(tickers())
def test_nobody_disturbs_the_others(row: Any) -> None:
    cached = CachedRows("ticker", [row])
    first, second = (cached_frame(cached, INDEX, "UTC", {}) for _ in range(2))
    before = second.copy(deep=True)
    first["price"] = -1.0
    first.loc[row.code, "change"] = "changed"
    first.loc[row.code, "time"] = pd.Timestamp("1999-01-01", tz="UTC")
    first.index.name = "other"
    del first["volume"]
    pd.testing.assert_frame_equal(second, before)
    pd.testing.assert_frame_equal(cached_frame(cached, INDEX, "UTC", {}), before)


@given(tickers(), st.sampled_from(["2026-02-30", "20260301", "2026-W10-3", "soon"]))
def test_a_day_that_is_none_is_refused(row: Any, day: str) -> None:
    row.highest_52_week_date = day
    with pytest.raises(SchemaError, match="is not a date"):
        cached_frame(CachedRows("ticker", [row]), INDEX, "UTC", {})
    with pytest.raises(SchemaError, match="is not a date"):
        _ = CachedRows("ticker", [row]).table
