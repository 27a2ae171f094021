"""Questions: what is accepted, what it means, and how the rest is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.config import Config
from upbit_frames.core.intervals import to_micros
from upbit_frames.core.markets import parse_market, parse_markets
from upbit_frames.core.moments import parse_moment, parse_zone, zone_name
from upbit_frames.core.query import CandleQuery, TradeQuery
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


@pytest.mark.parametrize(
    "value",
    ["", "soon", 1700000000, 1.5, True, pd.NaT, "2026-13-01", "2026/02/30", "01/11/2026", "2026/1-5", "1969-12-31",
     object(), np.datetime64("NaT", "us"), np.timedelta64("NaT", "us"), "9999-01-01", "-7", "-7x", "+7d", "-100y",
     "-999999999d", dt.timedelta(days=7), dt.timedelta(0), -dt.timedelta(days=999999), [1], b"2026"],
)  # fmt: skip
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRange, match="end must"):
        parse_moment(value, UTC, "end", lambda: NINE)


@pytest.mark.parametrize(
    ("value", "seoul"),
    [
        ("now", "2026-01-01 18:00"),
        ("today", "2026-01-01"),
        ("Yesterday", "2025-12-31"),
        ("tomorrow", "2026-01-02"),
        ("-7d", "2025-12-25 18:00"),
        ("-1h", "2026-01-01 17:00"),
        ("-90m", "2026-01-01 16:30"),
        ("-2w", "2025-12-18 18:00"),
        ("-1M", "2025-12-01 18:00"),
        ("-1y", "2025-01-01 18:00"),
        ("- 30min", "2026-01-01 17:30"),
        (-dt.timedelta(hours=2), "2026-01-01 16:00"),
        (pd.Timedelta(days=-1), "2025-12-31 18:00"),
        (np.timedelta64(-1, "h"), "2026-01-01 17:00"),
        ("2026/11/01", "2026-11-01"),
        ("2026.11.1 09:30", "2026-11-01 09:30"),
        ("2026-1-5", "2026-01-05"),
        ("2026/11", "2026-11-01"),
        ("20261101", "2026-11-01"),
        ("2026-1", "2026-01-01"),
    ],
)
def test_relative_and_other_spellings(value: Any, seoul: str) -> None:
    expected = to_micros(dt.datetime.fromisoformat(seoul).replace(tzinfo=SEOUL))
    assert parse_moment(value, SEOUL, "start", lambda: NINE) == expected


@pytest.mark.parametrize(
    ("now", "value", "expected"),
    [("2026-03-31 12:00", "-1M", "2026-02-28 12:00"), ("2026-01-31 12:00", "-2M", "2025-11-30 12:00"),
     ("2024-02-29 00:00", "-1y", "2023-02-28 00:00"), ("2026-12-31 01:00", "-12M", "2025-12-31 01:00"),
     ("2026-03-08 12:00", "-1d", "2026-03-07 11:00"), ("2026-03-08 12:00", "-24h", "2026-03-07 11:00")],
)  # fmt: skip
def test_months_keep_the_day_and_days_have_24_hours(now: str, value: str, expected: str) -> None:
    """On 2026-03-08 clocks in New York go forward."""
    zone = ZoneInfo("America/New_York")
    moments = [to_micros(dt.datetime.fromisoformat(text).replace(tzinfo=zone)) for text in (now, expected)]
    assert parse_moment(value, zone, "start", lambda: moments[0]) == moments[1]


@pytest.mark.parametrize(
    ("value", "name"),
    [("UTC", "UTC"), ("Asia/Seoul", "Asia/Seoul"), ("KST", "Asia/Seoul"), ("kst", "Asia/Seoul"), ("+09:00", "+09:00"),
     ("+0900", "+09:00"), ("+9", "+09:00"), ("UTC+9", "+09:00"), ("-03:30", "-03:30"), ("Z", "UTC"), ("+00:00", "UTC"),
     (SEOUL, "Asia/Seoul"), (dt.UTC, "UTC"), (dt.timezone(dt.timedelta(hours=9)), "+09:00"),
     (dt.timezone(dt.timedelta(hours=9), "KST"), "+09:00"), (dt.timezone(dt.timedelta(hours=-5)), "-05:00")],
)  # fmt: skip
def test_time_zones(value: Any, name: str) -> None:
    zone = parse_zone(value)
    assert zone_name(zone) == name
    assert parse_zone(name) == zone
    assert parse_moment("2026-01-01", zone, "start") == to_micros(dt.datetime(2026, 1, 1, tzinfo=zone))
    assert Config(tz=value).tz == name


@pytest.mark.parametrize(
    ("value", "hint"),
    [("Seoul", "did you mean 'Asia/Seoul'?"), ("new york", "did you mean 'America/New_York'?"), ("PST", "IANA name"),
     ("", "IANA name"), (9, "IANA name"), ("+25:00", "IANA name"), ("../etc", "IANA name"), ("x" * 300, "IANA name"),
     (dt.timezone(dt.timedelta(seconds=30)), "whole number of minutes"), (dt.timedelta(hours=9), "IANA name")],
)  # fmt: skip
def test_other_zones_are_refused(value: Any, hint: str) -> None:
    for refuse in (lambda: parse_zone(value), lambda: Config(tz=value)):
        with pytest.raises(ConfigError, match="tz must be") as caught:
            refuse()
        assert hint in str(caught.value)


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
    ("value", "hint"),
    [
        ("BTC-KRW", "did you mean 'KRW-BTC'?"),
        ("eth-btc", "did you mean 'BTC-ETH'?"),
        ("BTC/KRW", "did you mean 'KRW-BTC'?"),
        ("XRP/ETH", "did you mean 'ETH-XRP'?"),
        ("KRW/BTC", "did you mean 'KRW-BTC'?"),
        ("BTC", "did you mean 'KRW-BTC'?"),
        ("doge", "did you mean 'KRW-DOGE'?"),
        ("KRW_BTC", "did you mean 'KRW-BTC'?"),
        ("BTC_KRW", "did you mean 'KRW-BTC'?"),
        ("KRW:BTC", "did you mean 'KRW-BTC'?"),
        ("krw btc", "did you mean 'KRW-BTC'?"),
        ("krwbtc", "did you mean 'KRW-BTC'?"),
        ("BTCKRW", "did you mean 'KRW-BTC'?"),
        ("BTCUSDT", "did you mean 'USDT-BTC'?"),
        ("ETHBTC", "did you mean 'BTC-ETH'?"),
        ("비트코인", "uf.markets().query(\"korean_name == '비트코인'\")"),
        ("KRW", "quote='KRW' stands for all of its markets."),
        ("won", "the won is 'KRW'"),
        ("1m", "an interval, which comes after the market"),
        ("bitcoin", "as a name, uf.markets() has its code"),
        ("WBTC", "did you mean 'KRW-WBTC'?"),
        ("KRW-BTC,KRW-ETH", "several markets are a list: ['KRW-BTC', 'KRW-ETH']"),
        ("KRW-", ""),
        ("-BTC", ""),
        ("../etc", ""),
        ("KRW-BTC/..", ""),
        ("KRW-BTC\n1", ""),
        ("KRW-BTC?x", ""),
        ("", ""),
        (None, ""),
        (5, ""),
        ("KRW-비트", ""),
        ("K" * 50 + "-A", ""),
        ("ＫＲＷ-BTC", ""),
        (b"KRW-BTC", ""),
        (1.5, ""),
        ("KRW--BTC", ""),
        (" ", ""),
        ("'; drop", ""),
    ],
)
def test_bad_markets_are_refused_with_what_was_meant(value: Any, hint: str) -> None:
    with pytest.raises(InvalidMarket, match="market must be a market code of Upbit, got") as caught:
        parse_market(value)
    assert hint in str(caught.value)
    assert "uf.markets()" in str(caught.value)


@pytest.mark.parametrize(
    "code", ["USDT-BTC", "BTC-ETH", "KRW-USDT", "ETH-ADA", "IDR-BTC", "BTC-USDT", "KRW-1INCH", "KRW-KRW"]
)
def test_every_order_that_can_be_a_market_is_left_to_the_exchange(code: str) -> None:
    assert parse_market(code) == code


def test_where_one_market_is_wanted_a_list_is_refused_clearly() -> None:
    with pytest.raises(InvalidMarket, match=r"one market code, got 2 of them.*call it for each"):
        parse_market(["KRW-BTC", "KRW-ETH"])
    with pytest.raises(InvalidMarket, match=r"give it alone: 'KRW-BTC'"):
        parse_market(["KRW-BTC"])


FRAME = pd.DataFrame({"korean_name": ["비트코인", "이더리움"]}, index=pd.Index(["KRW-BTC", "KRW-ETH"], name="market"))
ROWS = pd.MultiIndex.from_product([["KRW-BTC", "KRW-ETH"], [0, 1]], names=["market", "level"])


@pytest.mark.parametrize(
    "value",
    [FRAME, FRAME.index, FRAME["korean_name"], FRAME.reset_index(), FRAME.reset_index()["market"], ROWS,
     pd.DataFrame({"price": 1.0}, index=ROWS), pd.Series(["krw-btc", "KRW-ETH"]), np.array(["KRW-BTC", "KRW-ETH"]),
     pa.table({"market": ["KRW-BTC", "KRW-ETH"]}), pa.array(["KRW-BTC", "KRW-ETH"]),
     pl.DataFrame({"market": ["KRW-BTC", "KRW-ETH"]}),
     pl.Series(["KRW-BTC", "KRW-ETH"]), {"KRW-BTC": 1, "KRW-ETH": 2}],
)  # fmt: skip
def test_frames_of_markets_are_markets(value: Any) -> None:
    assert parse_markets(value) == (("KRW-BTC", "KRW-ETH"), True)


@pytest.mark.parametrize(
    "value", [pd.DataFrame({"a": [1]}), pa.table({"a": [1]}), pd.MultiIndex.from_tuples([("a", 1)])]
)
def test_a_frame_without_markets_says_so(value: Any) -> None:
    with pytest.raises(InvalidMarket, match="an index or a column 'market'"):
        parse_markets(value)


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
        {"count": True}, {"count": "5"}, {"count": 10**9}, {"count": 10**12}, {"count": np.True_},
    ],
)  # fmt: skip
def test_impossible_ranges_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidRange):
        CandleQuery.build("KRW-BTC", "1m", **arguments)


def test_a_count_out_of_bounds_names_the_bounds() -> None:
    with pytest.raises(InvalidRange, match=r"count must be an integer from 1 to 100,000,000, got 1000000000"):
        CandleQuery.build("KRW-BTC", "1m", count=10**9)


def test_numpy_counts_are_numbers() -> None:
    assert CandleQuery.build("KRW-BTC", "1m", count=np.int64(5)).count == 5


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"gaps": "zero"}, QueryError),
        ({"source": "cloud"}, QueryError),
        ({"tz": "Seoul"}, ConfigError),
        ({"forming": "no"}, QueryError),
        ({"forming": 1}, QueryError),
        ({"gaps": None}, QueryError),
    ],
)
def test_other_bad_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        CandleQuery.build("KRW-BTC", "1m", **arguments)
    with pytest.raises(InvalidInterval):
        CandleQuery.build("KRW-BTC", "7m")


def test_cache_is_an_alias_of_store() -> None:
    assert CandleQuery.build("KRW-BTC", "1m", source="cache").source == "store"
    assert TradeQuery.build("KRW-BTC", source="cache").source == "store"
    with pytest.raises(QueryError, match="'store'"):
        CandleQuery.build("KRW-BTC", "1m", source="disk")
