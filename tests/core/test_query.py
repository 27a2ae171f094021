"""Questions: what is accepted, what it means, and how the rest is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import to_micros
from upbit_frames.core.query import CandleQuery, parse_market, parse_markets, parse_moment
from upbit_frames.errors import ConfigError, InvalidInterval, InvalidMarket, InvalidRange, QueryError

UTC = ZoneInfo("UTC")
SEOUL = ZoneInfo("Asia/Seoul")
NINE = to_micros(dt.datetime(2026, 1, 1, 9, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-01 09:00", "2026-01-01T09:00:00", "2026-01-01T09:00Z", "2026-01-01T18:00:00+09:00", "20260101T090000",
        dt.datetime(2026, 1, 1, 9), dt.datetime(2026, 1, 1, 18, tzinfo=SEOUL),
        pd.Timestamp("2026-01-01 09:00"), pd.Timestamp("2026-01-01 18:00", tz="Asia/Seoul"),
        pd.Timestamp("2026-01-01 04:00", tz="America/New_York"), np.datetime64("2026-01-01T09:00"),
    ],
)  # fmt: skip
def test_one_moment_in_many_spellings(value: Any) -> None:
    assert parse_moment(value, UTC, "start") == NINE


@pytest.mark.parametrize("value", ["2026-01-01", dt.date(2026, 1, 1), "2026-01", "2026", np.datetime64("2026-01-01")])
def test_dates_are_midnight_of_the_zone(value: Any) -> None:
    assert parse_moment(value, UTC, "start") == NINE - 9 * 3600 * 10**6
    assert parse_moment(value, SEOUL, "start") == NINE - 18 * 3600 * 10**6


@pytest.mark.parametrize("value", ["yesterday", "", 1700000000, 1.5, True, pd.NaT, "2026-13-01", "1969-12-31", object(),
                                   np.datetime64("NaT", "us"), "9999-01-01"])  # fmt: skip
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRange):
        parse_moment(value, UTC, "end")


@given(
    st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2199, 1, 1)),
    st.sampled_from(["UTC", "Asia/Seoul", "America/New_York"]),
)
def test_naive_times_are_read_in_the_zone(moment: dt.datetime, zone: str) -> None:
    expected = to_micros(moment.replace(tzinfo=ZoneInfo(zone)))
    assert parse_moment(moment, ZoneInfo(zone), "start") == expected
    assert parse_moment(moment.isoformat(), ZoneInfo(zone), "start") == expected


@pytest.mark.parametrize("text", ["krw-btc", " KRW-BTC ", "KRW-BTC"])
def test_market_is_upper_cased(text: str) -> None:
    assert parse_market(text) == "KRW-BTC"


@pytest.mark.parametrize(
    "value",
    ["BTC", "KRW_BTC", "KRW-", "-BTC", "../etc", "KRW-BTC/..", "KRW-BTC\n1", "KRW-BTC?x", "", None, 5, "KRW-비트",
     "K" * 50 + "-A", "KRW-BTC,KRW-ETH", "ＫＲＷ-BTC"],
)  # fmt: skip
def test_bad_markets_are_refused(value: Any) -> None:
    with pytest.raises(InvalidMarket):
        parse_market(value)


def test_the_other_way_round_is_explained() -> None:
    with pytest.raises(InvalidMarket, match="'KRW-BTC'"):
        parse_market("BTC/KRW")


def test_lists_lose_repetitions_but_not_order() -> None:
    assert parse_markets(["KRW-ETH", "krw-btc", "KRW-ETH"]) == (("KRW-ETH", "KRW-BTC"), True)
    assert parse_markets(m for m in ["KRW-ETH"]) == (("KRW-ETH",), True)
    with pytest.raises(InvalidMarket):
        parse_markets([])


def test_defaults() -> None:
    query = CandleQuery.build("KRW-BTC", "1m")
    assert (query.start, query.end, query.count) == (None, None, 200)
    assert CandleQuery.build("KRW-BTC", "1m", start="2026-01-01").count is None
    assert CandleQuery.build("KRW-BTC", "1m", end="2026-01-01").count == 200
    assert CandleQuery.build("KRW-BTC", "1m", start="2026-01-01", count=7).count == 7


@pytest.mark.parametrize(
    "arguments",
    [
        {"start": "2026-01-02", "end": "2026-01-01"}, {"start": "2026-01-01", "end": "2026-01-01"},
        {"start": "2026-01-01", "end": "2026-01-02", "count": 5}, {"count": 0}, {"count": -1}, {"count": 1.5},
        {"count": True}, {"count": "5"}, {"count": 10**12},
    ],
)  # fmt: skip
def test_impossible_ranges_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidRange):
        CandleQuery.build("KRW-BTC", "1m", **arguments)


def test_numpy_counts_are_numbers() -> None:
    assert CandleQuery.build("KRW-BTC", "1m", count=np.int64(5)).count == 5


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"gaps": "zero"}, QueryError), ({"source": "cloud"}, QueryError), ({"tz": "Seoul"}, ConfigError)],
)
def test_other_bad_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        CandleQuery.build("KRW-BTC", "1m", **arguments)
    with pytest.raises(InvalidInterval):
        CandleQuery.build("KRW-BTC", "2m")
