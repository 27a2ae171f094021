"""``uf.cache.verify(sample=, repair=)`` and ``uf.download``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.api import engine
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series
from upbit_frames.testing import Exchange

MINUTES = Series("candles", "KRW-BTC", "1m")
ASKED = {"start": "2026-02-27", "end": "2026-02-28"}


def micros(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").value // 1000)


@pytest.fixture
def settings(exchange: Exchange, tmp_path: Path) -> Iterator[None]:
    with uf.using(**exchange.settings(), cache_dir=tmp_path / "store", progress=False):
        yield


@pytest.fixture
def store(settings: None) -> Any:
    return engine.engine_for(uf.config).ports.store


# --- verify ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("settings")
def test_a_sound_series_has_no_findings(exchange: Exchange) -> None:
    uf.candles("KRW-BTC", "1m", **ASKED)
    uf.candles("KRW-ELF", "1m", **ASKED)
    exchange.requests.clear()
    assert uf.cache.verify() == []
    assert exchange.requests == []
    assert uf.cache.verify("KRW-BTC", "1m", sample=5) == []
    assert uf.cache.verify("KRW-ELF", "1m", sample=5, repair=True) == []
    assert len(exchange.requests) < 60


@pytest.mark.usefixtures("settings")
def test_the_beginning_of_history_is_checked_too(exchange: Exchange) -> None:
    uf.candles("KRW-NEW", "1m", start="2026-01-01", end="2026-01-20")
    assert uf.cache.verify("KRW-NEW", "1m", sample=3, repair=True) == []


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("1970-01-01", "2026-02-28"),  # as if history had ended here
        ("1970-01-01", "2026-02-27T12:00"),
        ("2026-02-27T03:00", "2026-02-27T09:00"),
    ],
)
def test_ranges_wrongly_known_to_be_empty_are_found_and_repaired(
    exchange: Exchange, store: Any, low: str, high: str
) -> None:
    if high != "2026-02-28":
        uf.candles("KRW-BTC", "1m", **ASKED)
    empty = Span(micros(low), micros(high))
    begin = micros("2026-02-20") if low.startswith("1970") else empty.start
    store.write(MINUTES, arrow_schema("candles").empty_table(), Span(begin, empty.end), replace=True)
    assert len(uf.candles("KRW-BTC", "1m", start=low if low > "2" else "2026-02-27", end=high)) == 0
    findings = uf.cache.verify("KRW-BTC", "1m", sample=1)
    assert {finding.problem for finding in findings} == {"different"}
    assert "stored as without a trade" in findings[0].detail
    uf.cache.verify("KRW-BTC", "1m", sample=1, repair=True)
    assert uf.cache.verify("KRW-BTC", "1m", sample=4) == []
    truth = exchange.market.candles("KRW-BTC", INTERVALS["1m"], begin, empty.end).table()
    assert store.read(MINUTES, Span(begin, empty.end)).equals(truth)


def test_rows_that_differ_are_found_and_repaired(exchange: Exchange, store: Any) -> None:
    import pyarrow as pa

    table = uf.candles("KRW-BTC", "1m", **ASKED, output="arrow").replace_schema_metadata(None)
    span = Span(micros("2026-02-27"), micros("2026-02-28"))
    volumes = pa.array([one + 1.0 for one in table["volume"].to_pylist()])
    store.write(MINUTES, table.set_column(5, table.schema.field(5), volumes), span, replace=True)
    findings = uf.cache.verify("KRW-BTC", "1m", sample=2)
    assert len(findings) > 100
    assert all("volume" in finding.detail for finding in findings)
    uf.cache.verify("KRW-BTC", "1m", sample=40, repair=True)
    repaired = store.read(MINUTES, span)
    same = sum(a == b for a, b in zip(repaired["volume"].to_pylist(), table["volume"].to_pylist(), strict=True))
    assert same > 1200  # forty pages at random places


@pytest.mark.parametrize("kind", ["empty", "short", "skew"])
@pytest.mark.parametrize("after", range(6))
def test_one_odd_answer_neither_accuses_nor_overwrites(exchange: Exchange, store: Any, kind: str, after: int) -> None:
    table = uf.candles("KRW-BTC", "1m", **ASKED, output="arrow").replace_schema_metadata(None)
    exchange.faults.add(kind, after=after, times=1)
    assert uf.cache.verify("KRW-BTC", "1m", sample=2, repair=True) == []
    span = Span(micros("2026-02-27"), micros("2026-02-28"))
    assert store.read(MINUTES, span).equals(table)


@pytest.mark.usefixtures("settings")
def test_a_sample_needs_a_series_that_is_stored() -> None:
    with pytest.raises(uf.errors.QueryError, match="a market and an interval"):
        uf.cache.verify(sample=1)
    with pytest.raises(uf.errors.QueryError, match="nothing of KRW-BTC 1h is stored"):
        uf.cache.verify("KRW-BTC", "1h", sample=1)


# --- download -------------------------------------------------------------------------------------


def test_a_download_stores_all_and_goes_on_where_it_stopped(exchange: Exchange, store: Any) -> None:
    markets = ["KRW-BTC", "KRW-ELF", "KRW-NEW"]
    asked = {"start": "2026-01-10", "end": "2026-01-17"}
    summary = uf.download(markets, "3m", **asked)
    assert list(summary.index) == markets
    assert (summary["error"] == "").all()
    assert (summary["missing"] == "").all()
    for market in markets:
        series, span = Series("candles", market, "3m"), Span(micros("2026-01-10"), micros("2026-01-17"))
        truth = exchange.market.candles(market, INTERVALS["3m"], *span).table()
        assert store.read(series, span).equals(truth)
        assert tuple(summary.loc[market, ["rows", "stored", "rest", "archive"]]) == (len(truth), 0, len(truth), 0)
    exchange.requests.clear()
    again = uf.download(markets, "3m", **asked)
    assert exchange.requests == []
    assert again["stored"].equals(again["rows"])
    assert again["rows"].equals(summary["rows"])


@pytest.mark.usefixtures("settings")
def test_a_market_that_fails_does_not_stop_the_others(exchange: Exchange) -> None:
    summary = uf.download(["KRW-GONE", "KRW-BTC"], "1h", "2026-02-01", "2026-02-10")
    assert summary.loc["KRW-GONE", "error"].startswith("MarketNotFound")
    assert summary.loc["KRW-BTC", "rows"] == summary.loc["KRW-BTC", "rest"] > 200


def test_a_download_of_trades(exchange: Exchange, store: Any) -> None:
    summary = uf.download(["KRW-ELF"], "trades", "2026-02-27", "2026-02-28T06:00")
    trades = uf.trades("KRW-ELF", start="2026-02-27", end="2026-02-28T06:00", source="store")
    assert summary.loc["KRW-ELF", "rows"] == len(trades) > 0
    fresh = uf.trades("KRW-ELF", start="2026-02-27", end="2026-02-28T06:00", source="rest")
    pd.testing.assert_frame_equal(trades, fresh)


@pytest.mark.parametrize(("kind", "times"), [("empty", 2), ("skew", 1), ("short", 1)])
def test_odd_answers_leave_a_download_right(exchange: Exchange, store: Any, kind: str, times: int) -> None:
    exchange.faults.add(kind, after=2, times=times)
    summary = uf.download("KRW-BTC", "1m", "2026-02-26", "2026-02-28")
    assert (summary["error"] == "").all()
    span = Span(micros("2026-02-26"), micros("2026-02-28"))
    assert store.read(MINUTES, span).equals(exchange.market.candles("KRW-BTC", INTERVALS["1m"], *span).table())


@pytest.mark.usefixtures("settings")
def test_refusals() -> None:
    with pytest.raises(uf.errors.InvalidRange, match="needs a start"):
        uf.download("KRW-BTC", "1m")
    with pytest.raises(uf.errors.QueryError):
        uf.download("KRW-BTC", "1m", "2026-02-26", source="live")
