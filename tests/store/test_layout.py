"""File names, folders and which file answers for what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from upbit_frames.core.intervals import INTERVALS, Span, to_micros
from upbit_frames.errors import InvalidInterval, InvalidMarket, StoreError
from upbit_frames.store import layout
from upbit_frames.store.base import Series

LATEST = to_micros(datetime(9999, 1, 1, tzinfo=UTC))
moments = st.integers(0, LATEST)
spans = st.tuples(moments, moments).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: Span(*pair))
small_spans = st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))


@given(spans)
def test_a_name_says_what_is_covered_to_the_microsecond(span: Span) -> None:
    name = layout.file_name(span)
    assert layout.parse_name(name) == span
    assert not set(name) & set(':*?"<>|/\\')


def test_the_name_of_a_month() -> None:
    january = Span(to_micros(datetime(2024, 1, 1, tzinfo=UTC)), to_micros(datetime(2024, 2, 1, tzinfo=UTC)))
    assert layout.file_name(january) == "2024-01-01T000000Z_2024-02-01T000000Z.parquet"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "rows.parquet",
        "2024-01-01T000000Z_2024-01-01T000000Z.parquet",
        "2024-02-01T000000Z_2024-01-01T000000Z.parquet",
        "2024-13-01T000000Z_2025-01-01T000000Z.parquet",
        "2024-01-01T000000.000000Z_2024-02-01T000000Z.parquet",
        "2024-01-01T000000Z_2024-02-01T000000Z.parquet.tmp",
        ".2024-01-01T000000Z_2024-02-01T000000Z.parquet",
        "2024-01-01T000000Z_2024-02-01T000000Z (1).parquet",
        "２０２４-01-01T000000Z_2024-02-01T000000Z.parquet",
    ],
)
def test_other_names_cover_nothing(name: str) -> None:
    assert layout.parse_name(name) is None


@given(st.lists(small_spans, max_size=12, unique=True))
def test_which_file_answers_for_which_moment(covering: list[Span]) -> None:
    names = [layout.file_name(Span(one.start * 10**6, one.end * 10**6)) for one in covering]
    counting, leftover = layout.effective(names)
    for one in leftover:
        assert any(big.span.start <= one.span.start and one.span.end <= big.span.end for big in counting)
    assert sorted([*counting, *leftover]) == sorted(set(counting) | set(leftover))
    wanted = Span(5 * 10**6, 35 * 10**6)
    parts = layout.territories(counting, wanted)
    for second in range(45):
        moment = second * 10**6
        owners = [file for file, part in parts if part.start <= moment < part.end]
        holders = [one for one in counting if one.span.start <= moment < one.span.end]
        if not wanted.start <= moment < wanted.end or not any(one.start <= second < one.end for one in covering):
            assert owners == []
        else:
            assert owners == [min(holders)]  # the earliest, and only that one


@given(
    st.sampled_from(["day", "month", "year", "decade"]), st.integers(0, to_micros(datetime(2199, 12, 31, tzinfo=UTC)))
)
def test_segments_are_calendar_periods(unit: str, moment: int) -> None:
    segment = layout.segment_of(unit, moment)
    assert segment.start <= moment < segment.end
    assert layout.segment_of(unit, segment.end - 1) == segment
    assert layout.segment_of(unit, segment.end).start == segment.end
    code = {"day": "D", "month": "M", "year": "Y", "decade": "Y"}[unit]
    start, end = (np.datetime64(one, "us") for one in segment)
    assert start.astype(f"datetime64[{code}]").astype("datetime64[us]") == start
    assert (end.astype(f"datetime64[{code}]") - start.astype(f"datetime64[{code}]")).astype(int) == (
        10 if unit == "decade" else 1
    )


def test_minutes_and_months_have_different_folders_where_case_does_not_count() -> None:
    folders = {str(layout.folder_of(Path("x"), Series("candles", "KRW-BTC", name))).lower() for name in INTERVALS}
    assert len(folders) == len(INTERVALS)
    locks = {str(layout.lock_of(Path("x"), Series("candles", "KRW-BTC", name))).lower() for name in INTERVALS}
    assert len(locks) == len(INTERVALS)


def test_the_folders_are_hive_partitions() -> None:
    assert layout.folder_of(Path("root"), Series("candles", "KRW-BTC", "1m")) == Path(
        "root/candles/v1/market=KRW-BTC/interval=1m"
    )
    assert layout.folder_of(Path("root"), Series("trades", "KRW-BTC")) == Path("root/trades/v1/market=KRW-BTC")


@pytest.mark.parametrize("name", list(INTERVALS))
def test_a_series_is_found_by_its_folder(tmp_path: Path, name: str) -> None:
    series = Series("candles", "KRW-BTC", name)
    layout.folder_of(tmp_path, series).mkdir(parents=True)
    assert layout.find_series(tmp_path) == [series]
    assert layout.find_series(tmp_path, series.kind, series.interval) == [series]
    assert layout.find_series(tmp_path, "candles", "1s" if name != "1s" else "1m") == []


def test_folders_of_others_are_no_series(tmp_path: Path) -> None:
    base = tmp_path / "candles" / "v1"
    for name in ("market=krw-btc", "market=..", "market=", "other", "market=KRW-BTC/interval=7m", "market=KRW-BTC/x"):
        (base / name).mkdir(parents=True, exist_ok=True)
    (base / "market=KRW-ETH").write_text("a file")
    (tmp_path / "trades").write_text("a file")
    assert layout.find_series(tmp_path) == []


@pytest.mark.parametrize(
    "market", ["../../etc", "KRW", "krw-btc", "KRW-BTC/..", "KRW-BTC\n", "", "KRW-BTC-X", "ＫＲＷ-BTC"]
)
def test_no_path_is_made_of_what_is_no_market(market: str) -> None:
    with pytest.raises(InvalidMarket):
        Series("candles", market, "1m")


def test_no_path_is_made_of_what_is_no_interval() -> None:
    for interval in ("../1m", "60m", "", None, "1mo"):
        with pytest.raises(InvalidInterval):
            Series("candles", "KRW-BTC", interval)
    with pytest.raises(InvalidInterval):
        Series("trades", "KRW-BTC", "1m")
    with pytest.raises(StoreError):
        Series("tickers", "KRW-BTC")
