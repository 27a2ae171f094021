"""Candles of the drop-in are those of pyupbit, row for row, in every time zone of the machine."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf

KST = dt.timezone(dt.timedelta(hours=9))

EXACT: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "default": ((), {}),
    "market": (("KRW-ETH",), {}),
    "market in a list": ((["KRW-ETH"],), {"count": 3}),
    "lower count": (("KRW-BTC",), {"count": 7}),
    "minute1": (("KRW-BTC", "minute1"), {"count": 30}),
    "minutes1": (("KRW-BTC", "minutes1"), {"count": 3}),
    "minute3": (("KRW-BTC", "minute3"), {"count": 30}),
    "minute5": (("KRW-BTC", "minute5"), {"count": 30}),
    "minute10": (("KRW-BTC", "minute10"), {"count": 30}),
    "minute15": (("KRW-BTC", "minute15"), {"count": 30}),
    "minute30": (("KRW-BTC", "minute30"), {"count": 30}),
    "minute60": (("KRW-BTC", "minute60"), {"count": 450}),
    "minute240": (("KRW-BTC", "minute240"), {"count": 30}),
    "week": (("KRW-BTC", "week"), {"count": 20}),
    "month": (("KRW-BTC", "month"), {"count": 9}),
    "unknown interval": (("KRW-BTC", "minute"), {"count": 5}),
    "interval of another library": (("KRW-BTC", "1m"), {"count": 5}),
    "two pages": (("KRW-BTC", "minute5"), {"count": 400}),
    "sparse": (("KRW-NEW", "minute1"), {"count": 250}),
    "younger than asked": (("KRW-NEW",), {"count": 500}),
    "to text": (("KRW-BTC", "minute1"), {"count": 5, "to": "2026-02-01 12:00:00"}),
    "to inside a candle": (("KRW-BTC", "minute60"), {"count": 5, "to": "2026-02-01 12:34:56"}),
    "to day": (("KRW-BTC",), {"count": 5, "to": "20260201"}),
    "to date": (("KRW-BTC",), {"count": 5, "to": dt.date(2026, 2, 1)}),
    "to datetime": (("KRW-BTC", "minute60"), {"count": 300, "to": dt.datetime(2026, 2, 1, 12)}),
    "to timestamp": (("KRW-BTC", "minute60"), {"count": 3, "to": pd.Timestamp("2026-02-01 12:00")}),
    "to Z": (("KRW-BTC", "minute60"), {"count": 3, "to": "2026-02-01T12:00:00Z"}),
    "to aware UTC": (("KRW-BTC", "minute60"), {"count": 3, "to": dt.datetime(2026, 2, 1, 12, tzinfo=dt.UTC)}),
    "to now": (("KRW-BTC", "minute60"), {"count": 3, "to": "2026-03-01 03:30:00"}),
    "to future": (("KRW-BTC", "minute60"), {"count": 3, "to": "2026-03-09"}),
    "to beyond": (("KRW-BTC", "minute60"), {"count": 3, "to": "2250-03-09"}),
    "count 0": (("KRW-BTC",), {"count": 0}),
    "count -5": (("KRW-BTC",), {"count": -5}),
    "count half": (("KRW-BTC",), {"count": 0.5}),
    "bool count": (("KRW-BTC",), {"count": True}),
    "without period": (("KRW-BTC", "minute60"), {"count": 401, "period": 0}),
}  # fmt: skip
NONE: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "unknown market": (("KRW-NOPE",), {}),
    "bare symbol": (("BTC",), {}),
    "no market": (("",), {}),
    "None for a market": ((None,), {}),
    "never traded": (("KRW-EMPTY",), {}),
    "comma": (("KRW-BTC,KRW-ETH",), {}),
    "before listing": (("KRW-BTC",), {"to": "2010-01-01"}),
    "to int": (("KRW-BTC",), {"to": 20260201}),
    "to other text": (("KRW-BTC",), {"to": "yesterday noon"}),
    "to numpy": (("KRW-BTC",), {"to": pd.Timestamp("2026-02-01").to_datetime64()}),
    "to NaT": (("KRW-BTC",), {"to": pd.NaT}),
    "count None": (("KRW-BTC",), {"count": None}),
    "count float": (("KRW-BTC",), {"count": 10.0}),
    "count text": (("KRW-BTC",), {"count": "10"}),
}
FROM: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "57 rows": (("KRW-BTC", "minute60", "2026-02-01", "2026-02-03"), {}),
    "several pages": (("KRW-BTC", "minute10", "2026-02-01", "2026-02-06 05:00"), {}),
    "days": (("KRW-BTC", "day", "2026-01-01", "2026-02-01"), {}),
    "datetimes": (("KRW-ETH", "minute30", dt.datetime(2026, 2, 1), dt.datetime(2026, 2, 2)), {}),
    "timestamps": (("KRW-ETH", "minute30", pd.Timestamp("2026-02-01"), pd.Timestamp("2026-02-02")), {}),
    "sparse": (("KRW-NEW", "minute1", "2026-02-27", "2026-02-28"), {}),
    "from the beginning": (("KRW-NEW", "day"), {"to": "2026-02-20"}),
    "all of a young market": (("KRW-NEW", "day", "2026-02-20", "2026-03-09"), {}),
    "from in the future, to later": (("KRW-BTC", "day", "2026-03-05", "2026-03-09"), {}),
}
FROM_NONE: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "from in the future": (("KRW-BTC", "day", "2027-01-01"), {}),
    "from after to": (("KRW-BTC", "day", "2026-02-03", "2026-02-01"), {}),
    "from equals to": (("KRW-BTC", "day", "2026-02-03", "2026-02-03"), {}),
    "from int": (("KRW-BTC", "day", 5), {}),
    "from date": (("KRW-BTC", "day", dt.date(2026, 2, 1), "2026-02-03"), {}),
    "unknown market": (("KRW-NOPE", "day", "2026-02-01"), {}),
    "before listing": (("KRW-BTC", "day", "2009-02-01", "2009-03-01"), {}),
}


def same(left: pd.DataFrame | None, right: pd.DataFrame | None) -> None:
    assert left is not None
    assert right is not None
    pd.testing.assert_frame_equal(left, right, check_freq=True)
    assert left.index.dtype == right.index.dtype
    assert (left.index.name, left.columns.name) == (right.index.name, right.columns.name) == (None, None)
    assert left.attrs == right.attrs == {}
    assert str(left) == str(right)
    left["ma5"] = left["close"].rolling(5).mean()  # a frame of one's own
    left.iloc[0, 0] = 1.0


@pytest.mark.usefixtures("quiet", "zone")
@pytest.mark.parametrize("name", EXACT)
def test_candles_are_equal(theirs: Any, ours: Any, name: str) -> None:
    args, kwargs = EXACT[name]
    same(ours.get_ohlcv(*args, **kwargs), theirs.get_ohlcv(*args, **{"period": 0, **kwargs}))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", NONE)
def test_none_where_pyupbit_gives_none(theirs: Any, ours: Any, name: str) -> None:
    args, kwargs = NONE[name]
    assert theirs.get_ohlcv(*args, **kwargs) is None
    assert ours.get_ohlcv(*args, **kwargs) is None
    assert str(args[0]) in str(ours.last_error)


@pytest.mark.usefixtures("quiet", "zone")
@pytest.mark.parametrize("name", FROM)
def test_ranges_are_equal(theirs: Any, ours: Any, name: str) -> None:
    args, kwargs = FROM[name]
    same_or_empty(ours.get_ohlcv_from(*args, **kwargs), theirs.get_ohlcv_from(*args, **kwargs, period=0))


def same_or_empty(left: pd.DataFrame | None, right: pd.DataFrame | None) -> None:
    if right is not None and right.empty:
        assert left is not None
        assert left.empty
        assert list(left.columns) == list(right.columns)
        return
    same(left, right)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", FROM_NONE)
def test_no_range_where_pyupbit_has_none(theirs: Any, ours: Any, name: str) -> None:
    args, kwargs = FROM_NONE[name]
    assert theirs.get_ohlcv_from(*args, **kwargs, period=0) is None
    assert ours.get_ohlcv_from(*args, **kwargs) is None


@pytest.mark.usefixtures("quiet", "zone")
def test_from_without_to_ends_now_in_every_zone(ours: Any) -> None:
    frame = ours.get_ohlcv_from("KRW-BTC", "minute60", "2026-02-28")
    assert frame.index[-1] == pd.Timestamp("2026-03-01 12:00")  # the running hour
    assert frame.index[0] == pd.Timestamp("2026-02-28 00:00")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("begin", ["2026-02-20", "2026-02-20 11:00", "2026-02-21 03:00"])
def test_from_without_to_is_pyupbits_in_asia(
    theirs: Any, ours: Any, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    try:
        expected = theirs.get_ohlcv_from("KRW-BTC", "minute10", begin, period=0)
    finally:
        monkeypatch.undo()
        time.tzset()
    same(ours.get_ohlcv_from("KRW-BTC", "minute10", begin), expected)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("base", [0, 9, 1, 23.99])
def test_days_from_another_hour(theirs: Any, ours: Any, base: float) -> None:
    hours = theirs.get_ohlcv("KRW-BTC", "minute60")
    expected = hours.resample("24h", offset=f"{base}h").agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    pd.testing.assert_frame_equal(ours.get_daily_ohlcv_from_base("KRW-BTC", base), expected, check_freq=True)
    assert ours.get_daily_ohlcv_from_base("KRW-NOPE", base) is None


def test_stated_zones_are_honoured(ours: Any) -> None:
    for to in ("2026-02-01T12:00:00+09:00", pd.Timestamp("2026-02-01 12:00", tz="Asia/Seoul"),
               dt.datetime(2026, 2, 1, 12, tzinfo=KST)):  # fmt: skip
        assert ours.get_ohlcv("KRW-BTC", "minute60", to=to).index[-1] == pd.Timestamp("2026-02-01 11:00")
    frame = ours.get_ohlcv_from("KRW-BTC", "minute60", "2026-02-01T00:00:00+09:00", "2026-02-03T00:00:00+09:00")
    assert len(frame) == 48


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("setting", [{"to": "kst"}, {"like": "0.2.29"}])
def test_korean_time_on_request(ours: Any, setting: dict[str, str]) -> None:
    ours.configure(**setting)
    frame = ours.get_ohlcv("KRW-BTC", "minute60", to="2026-02-01 12:00")
    assert frame.index[-1] == pd.Timestamp("2026-02-01 11:00")
    assert len(ours.get_ohlcv_from("KRW-BTC", "minute60", "2026-02-01", "2026-02-03")) == 48
    older = ours.get_ohlcv("KRW-BTC", "minute60", to=frame.index[0])
    assert older.index[-1] == frame.index[0] - pd.Timedelta(hours=1)


def test_no_request_for_what_is_stored(exchange: Any, ours: Any) -> None:
    first = ours.get_ohlcv("KRW-BTC", "minute60", count=600)
    before = len(exchange.requests)
    pd.testing.assert_frame_equal(ours.get_ohlcv("KRW-BTC", "minute60", count=600), first)
    assert len(exchange.requests) - before <= 2


@pytest.mark.usefixtures("quiet")
def test_unknown_markets_are_not_requested_repeatedly(exchange: Any, ours: Any) -> None:
    before = len(exchange.requests)
    for day in range(1, 29):
        for market in ("KRW-NOPE", "KRW-NADA", "KRW-NONE"):
            assert ours.get_ohlcv(market, to=f"2026-02-{day:02d}") is None
            assert isinstance(ours.last_error, uf.errors.MarketNotFound)
    assert len(exchange.requests) - before <= 5


@pytest.mark.usefixtures("quiet")
def test_a_back_test_by_date_reads_the_store(exchange: Any, ours: Any) -> None:
    days = [dt.datetime(2026, 2, 15, 9) - dt.timedelta(days=back) for back in range(60)]
    first = [ours.get_ohlcv("KRW-BTC", "day", count=10, to=day) for day in days]
    before = len(exchange.requests)
    again = [ours.get_ohlcv("KRW-BTC", "day", count=10, to=day) for day in days]
    assert len(exchange.requests) - before <= 10
    for left, right in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(left, right)
