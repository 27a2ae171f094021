"""``uf.panel`` and ``uf.cross_section`` of whole calls: equal to single calls, point for point."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest

import upbit_frames as uf
from upbit_frames.api.engine import engine_for
from upbit_frames.errors import (
    DataChanged,
    InvalidMarket,
    InvalidRange,
    MarketNotFound,
    NotCached,
    NotRecorded,
    QueryError,
    UpbitFramesWarning,
)
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing import Exchange

MARKETS = ["KRW-ETH", "KRW-BTC", "KRW-NEW", "KRW-QUIET", "BTC-XRP", "KRW-ELF"]
HOURS: dict[str, Any] = {
    "start": "2026-01-10",
    "end": "2026-02-08",
}  # KRW-NEW begins, KRW-QUIET is silent until February


def pivot(client: uf.Client, markets: list[str], interval: str, field: str, **asked: Any) -> pd.DataFrame:
    """The model: single calls, joined by pandas."""
    columns = {market: client.candles(market, interval, **asked)[field] for market in markets}
    frame = pd.concat(columns, axis=1, names=["market"], sort=True)
    frame.index.name = "time"
    return frame


@pytest.mark.parametrize("source", ["auto", "store", "rest"])
@pytest.mark.parametrize("interval", ["1h", "1d"])
def test_a_panel_is_the_pivot_of_single_calls(client: uf.Client, interval: str, source: str) -> None:
    if source == "store":
        client.candles(MARKETS, interval, **HOURS)
    panel = client.panel(MARKETS, interval, source=source, **HOURS)
    again = client.panel(MARKETS, interval, source=source, **HOURS)
    wanted = pivot(client, MARKETS, interval, "close", **HOURS)
    pd.testing.assert_frame_equal(panel, wanted, check_column_type=False, check_freq=False)
    pd.testing.assert_frame_equal(panel, again)
    assert panel.columns.name == "market"
    assert str(panel.index.dtype) == "datetime64[us, UTC]"
    meta = panel.attrs["upbit_frames"]
    assert meta["kind"] == "panel"
    assert meta["market"] == MARKETS
    periods = (29 * 24) if interval == "1h" else 29
    for market, known in meta["coverage"].items():
        assert known["traded"] == wanted[market].count()
        assert sum(known[name] for name in ("traded", "not_traded", "not_listed", "unknown")) == periods
        assert known["unknown"] == 0
    assert meta["coverage"]["KRW-NEW"]["not_listed"] == (5 * 24 + 7 if interval == "1h" else 5)
    assert meta["coverage"]["KRW-BTC"]["not_listed"] == meta["coverage"]["KRW-QUIET"]["not_listed"] == 0
    assert sum(step["rows"] for step in meta["route"]) == wanted.count().sum()


def test_what_is_missing_is_fetched_once_and_read_from_the_store(exchange: Exchange, client: uf.Client) -> None:
    first = client.panel(["KRW-BTC", "KRW-ETH"], "1h", **HOURS)
    asked = len(exchange.requests)
    again = client.panel(["KRW-BTC", "KRW-ETH"], "1h", "value", **HOURS)
    assert len(exchange.requests) == asked
    assert {step["channel"] for step in first.attrs["upbit_frames"]["route"]} == {"rest"}
    assert {step["channel"] for step in again.attrs["upbit_frames"]["route"]} == {"store"}
    wanted = pivot(client, ["KRW-BTC", "KRW-ETH"], "1h", "value", **HOURS)
    pd.testing.assert_frame_equal(again, wanted, check_column_type=False, check_freq=False)


def test_several_fields_and_outputs(client: uf.Client) -> None:
    panel = client.panel(["KRW-BTC", "KRW-ELF"], "1h", ["value", "close"], tz="Asia/Seoul", **HOURS)
    assert panel.columns.names == ["field", "market"]
    assert panel.columns.tolist() == [
        ("value", "KRW-BTC"), ("value", "KRW-ELF"), ("close", "KRW-BTC"), ("close", "KRW-ELF"),
    ]  # fmt: skip
    for field in ("value", "close"):
        wanted = pivot(client, ["KRW-BTC", "KRW-ELF"], "1h", field, tz="Asia/Seoul", **HOURS)
        pd.testing.assert_frame_equal(panel[field], wanted, check_column_type=False, check_freq=False)
    table = client.panel(["KRW-BTC", "KRW-ELF"], "1h", output="arrow", tz="Asia/Seoul", **HOURS)
    assert table.column_names == ["time", "KRW-BTC", "KRW-ELF"]
    np.testing.assert_array_equal(table["KRW-ELF"].to_numpy(), panel["close", "KRW-ELF"].to_numpy())
    polars = client.panel(["KRW-BTC", "KRW-ELF"], "1h", ["close"], output="polars", tz="Asia/Seoul", **HOURS)
    assert polars.columns == ["time", "close_KRW-BTC", "close_KRW-ELF"]


def test_a_quote_currency_a_frame_and_names(client: uf.Client) -> None:
    listed = client.markets("BTC")
    panel = client.panel(quote="BTC", interval="1d", **HOURS)
    assert panel.columns.tolist() == listed.index.tolist()
    pd.testing.assert_frame_equal(panel, client.panel(listed, "1d", **HOURS))
    pd.testing.assert_frame_equal(panel, client.panel(listed.index, "1d", **HOURS))
    assert client.panel("비트코인", **HOURS).columns.tolist() == ["KRW-BTC"]
    offline = client.panel(quote="BTC", interval="1d", source="store", **HOURS)
    pd.testing.assert_frame_equal(panel, offline)


def test_periods_are_counted_and_every_market_ends_together(client: uf.Client) -> None:
    panel = client.panel(["KRW-ELF", "KRW-BTC"], "1m", count=300)
    assert panel.index[-1] == pd.Timestamp("2026-03-01 03:28", tz="UTC")  # that of 03:29 can still change
    assert panel.index[0] == pd.Timestamp("2026-02-28 22:29", tz="UTC")
    assert panel["KRW-BTC"].count() > panel["KRW-ELF"].count() > 0
    first = client.panel(["KRW-ELF", "KRW-BTC"], "1h", start="2026-02-01", count=24)
    assert (first.index[0], first.index[-1]) == (
        pd.Timestamp("2026-02-01", tz="UTC"),
        pd.Timestamp("2026-02-01 23:00Z"),
    )
    offline = client.panel(["KRW-ELF", "KRW-BTC"], "1m", count=300, source="store")
    pd.testing.assert_frame_equal(panel, offline)
    assert len(client.panel(["KRW-BTC"])) == 200


def test_offline_each_market_ends_where_it_is_known(client: uf.Client) -> None:
    client.candles("KRW-BTC", "1h", start="2026-02-01", end="2026-02-03")
    client.candles("KRW-ETH", "1h", start="2026-02-01", end="2026-02-02")
    panel = client.panel(["KRW-BTC", "KRW-ETH"], "1h", start="2026-02-01", source="store")
    assert len(panel) == 48
    assert panel["KRW-ETH"].count() == 24
    coverage = panel.attrs["upbit_frames"]["coverage"]
    assert (coverage["KRW-BTC"]["unknown"], coverage["KRW-ETH"]["unknown"]) == (0, 24)
    filled = client.panel(["KRW-BTC", "KRW-ETH"], "1h", start="2026-02-01", source="store", missing="ffill")
    assert filled["KRW-ETH"].count() == 24  # what is unknown is not filled
    with pytest.raises(NotCached, match="KRW-ETH"):
        client.panel(["KRW-BTC", "KRW-ETH"], "1h", start="2026-02-01", end="2026-02-03", source="store")
    with pytest.raises(NotCached, match="KRW-XRP"):
        client.panel(["KRW-BTC", "KRW-XRP"], "1h", start="2026-02-01", source="store")


def test_a_market_that_is_gone_is_served_by_the_store(make_client: Callable[..., uf.Client]) -> None:
    asked: dict[str, Any] = {"start": "2025-12-10", "end": "2025-12-31"}
    with Exchange(seed=7, now="2025-12-22T05:30:00Z", limits=False) as exchange:
        client = make_client(exchange)
        client.candles("KRW-GONE", "1h", start="2025-12-10")
        exchange.clock.set("2026-01-05T00:30:00Z")
        client.orderbook("KRW-BTC")  # its answer tells the time
        client.candles("KRW-BTC", "1h", **asked)
        with pytest.raises(MarketNotFound, match="KRW-GONE"):
            client.panel(["KRW-BTC", "KRW-GONE"], "1h", **asked)
        panel = client.panel(["KRW-BTC", "KRW-GONE"], "1h", start="2025-12-10", source="store")
        wanted = pivot(client, ["KRW-BTC", "KRW-GONE"], "1h", "close", start="2025-12-10", source="store")
    pd.testing.assert_frame_equal(panel, wanted, check_column_type=False, check_freq=False)
    assert panel["KRW-GONE"].last_valid_index() == pd.Timestamp("2025-12-22 03:00", tz="UTC")
    assert panel.index[-1] == pd.Timestamp("2025-12-30 23:00", tz="UTC")
    gone = panel.attrs["upbit_frames"]["coverage"]["KRW-GONE"]
    assert gone["unknown"] == 8 * 24 + 19  # it was fetched up to 05:00 of the 22nd
    assert gone["last"] == "2025-12-22T03:00:00Z"


@pytest.mark.parametrize("missing", ["nan", "ffill", "drop"])
def test_what_stands_where_nothing_was_traded(client: uf.Client, missing: str) -> None:
    markets = ["KRW-BTC", "KRW-ELF", "KRW-NEW"]
    wanted = pivot(client, markets, "1h", "close", **HOURS)
    model = {"nan": wanted, "ffill": wanted.ffill(), "drop": wanted.dropna()}[missing]
    panel = client.panel(markets, "1h", missing=missing, **HOURS)
    pd.testing.assert_frame_equal(panel, model, check_column_type=False, check_freq=False)
    assert panel.attrs["upbit_frames"]["missing"] == missing
    volume = client.panel(markets, "1h", "volume", missing="ffill", **HOURS)
    assert ((volume["KRW-ELF"] == 0) == (wanted["KRW-ELF"].isna() & wanted["KRW-ELF"].ffill().notna())).all()
    with pytest.raises(QueryError, match=r"2 of 3 markets.*KRW-ELF \(\d+\), KRW-NEW \(127\)"):
        client.panel(markets, "1h", missing="raise", **HOURS)


def test_returns_of_a_panel(client: uf.Client) -> None:
    panel = client.panel(["KRW-BTC", "KRW-ELF"], "1d", **HOURS)
    pd.testing.assert_frame_equal(panel.uf.returns(), panel / panel.shift(1) - 1.0)
    pd.testing.assert_frame_equal(panel.uf.returns(log=True, periods=5), np.log(panel / panel.shift(5)))


def test_one_moment_of_many_markets(client: uf.Client) -> None:
    markets = ["KRW-ETH", "KRW-NEW", "KRW-BTC"]
    panel = client.panel(markets, "1d", ["open", "high", "low", "close", "volume", "value"], **HOURS)
    for at in ("2026-01-12", "2026-01-20 15:30"):
        row = panel.loc[pd.Timestamp(at, tz="UTC").floor("D")].unstack("field")
        frame = client.cross_section(at, markets=markets)
        wanted = row.loc[markets, frame.columns]
        pd.testing.assert_frame_equal(frame, wanted, check_names=False, check_column_type=False, check_index_type=False)
    assert frame.index.name == "market"
    assert client.cross_section("2026-01-12", markets=markets).loc["KRW-NEW"].isna().all()
    with pytest.warns(UpbitFramesWarning, match="KRW-EMPTY"):  # which never had a candle that could confirm it
        every = client.cross_section("2026-02-20", columns=["value"])
    assert every.index.tolist() == client.markets("KRW").index.tolist()
    assert every.columns.tolist() == ["value"]
    korean = client.cross_section("2026-01-20 08:59", markets=markets, tz="Asia/Seoul")
    assert korean.attrs["upbit_frames"]["start"] == "2026-01-19T00:00:00Z"
    with pytest.raises(InvalidRange, match=r"1d candles of 2026-03-01T00:00:00Z can still change.*uf\.ticker"):
        client.cross_section("2026-03-01 01:00", markets=markets)
    assert client.cross_section("2026-01-20", quote="BTC", output="polars").columns[0] == "market"


def test_the_same_as_coroutines(client: uf.Client) -> None:
    asynchronous = uf.AsyncClient(client.config)

    async def both() -> tuple[pd.DataFrame, pd.DataFrame]:
        return await asyncio.gather(
            asynchronous.panel(["KRW-BTC", "KRW-ETH"], "1h", **HOURS),
            asynchronous.cross_section("2026-01-20", markets=["KRW-BTC"]),
        )

    panel, row = asyncio.run(both())
    pd.testing.assert_frame_equal(panel, client.panel(["KRW-BTC", "KRW-ETH"], "1h", **HOURS))
    pd.testing.assert_frame_equal(row, client.cross_section("2026-01-20", markets=["KRW-BTC"]))
    assert callable(uf.panel)
    assert callable(uf.aio.cross_section)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({}, InvalidMarket, "neither markets nor quote"),
        ({"markets": []}, InvalidMarket, "this list is empty"),
        ({"markets": "KRW-BTC", "quote": "KRW"}, QueryError, "both given"),
        ({"quote": "XYZ"}, QueryError, "there are BTC, KRW, USDT"),
        ({"markets": "KRW-BTC", "field": "price"}, QueryError, "no column 'price'.*there are time, open"),
        ({"markets": "KRW-BTC", "field": "time"}, QueryError, "field must be a column of candles"),
        ({"markets": "KRW-BTC", "field": None}, QueryError, "field must be a column of candles"),
        ({"markets": "KRW-BTC", "field": []}, QueryError, "at least one"),
        ({"markets": "KRW-BTC", "missing": "fill"}, QueryError, "missing must be one of"),
        ({"markets": "KRW-BTC", "source": "live"}, QueryError, "source must be one of"),
        ({"markets": "KRW-BTC", "interval": "7h"}, QueryError, "7h"),
        ({"markets": "KRW-BTC", "start": "2027-01-01"}, InvalidRange, "future"),
        ({"markets": "KRW-BTC", "count": 0}, InvalidRange, "count"),
        ({"markets": ["KRW-BTC", "KRW-NOPE"]}, MarketNotFound, "KRW-NOPE"),
    ],
)
def test_what_cannot_be_is_refused(
    client: uf.Client, asked: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        client.panel(**asked)


def test_a_range_before_every_listing_is_an_empty_panel(client: uf.Client) -> None:
    panel = client.panel(["KRW-NEW", "KRW-ELF"], "1d", start="2018-01-01", end="2018-02-01")
    assert panel.shape == (0, 2)
    assert {known["not_listed"] for known in panel.attrs["upbit_frames"]["coverage"].values()} == {31}


def test_a_market_without_any_candle_is_an_empty_column(client: uf.Client) -> None:
    with pytest.warns(UpbitFramesWarning, match="KRW-EMPTY 1d: the exchange has no candle before"):
        panel = client.panel(["KRW-BTC", "KRW-EMPTY"], "1d", **HOURS)
    assert panel["KRW-EMPTY"].isna().all()
    assert panel.attrs["upbit_frames"]["coverage"]["KRW-EMPTY"] == {
        "traded": 0, "not_traded": 29, "not_listed": 0, "unknown": 0, "first": None, "last": None,
    }  # fmt: skip


def test_a_panel_is_held_against_the_lock(exchange: Exchange, client: uf.Client, tmp_path: Path) -> None:
    lock = tmp_path / "study.lock"

    def study() -> tuple[pd.DataFrame, pd.DataFrame]:
        panel = client.panel(["KRW-BTC", "KRW-ELF"], "1h", ["close", "value"], **HOURS)
        return panel, client.cross_section("2026-01-20", markets=["KRW-BTC", "KRW-NEW"])

    with uf.pinned(lock):
        first = study()
    with uf.pinned(lock, mode="none"):
        again = study()
    for one, other in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one, other)
    text = lock.read_text()
    assert "panel" in text
    assert "cross_section" in text
    with uf.pinned(lock, mode="none"), pytest.raises(NotRecorded):
        client.panel(["KRW-BTC", "KRW-ELF"], "1h", "close", **HOURS)
    store = ParquetStore(engine_for(client.config).ports.store.path)
    series = Series("candles", "KRW-ELF", "1h")
    (span,) = store.covered(series)[-1:]
    rows = store.read(series, span)
    raised = rows.set_column(6, "value", pc.add(rows["value"], 1.0)).cast(rows.schema)
    store.write(series, raised, span, replace=True)
    with pytest.raises(DataChanged), uf.pinned(lock, mode="none"):
        study()


@pytest.mark.parametrize(("stored", "interval", "base"), [
    ("1h", "1h", None), ("1h", "4h", None), ("1h", "1d", None), ("1h", "1d", "Asia/Seoul"), ("10m", "2h", None),
    ("30m", "6h", "Asia/Seoul"),
])  # fmt: skip
def test_offline_a_panel_is_derived_of_what_is_stored(
    exchange: Exchange, client: uf.Client, stored: str, interval: str, base: str | None
) -> None:
    """Also where its end is that of what is stored: of shorter candles, and of one market further than of another."""
    both = ["KRW-BTC", "KRW-ETH"]
    client.candles("KRW-BTC", stored, start="2026-02-20", end="2026-02-25")
    client.candles("KRW-ETH", stored, start="2026-02-20", end="2026-02-24")
    before = len(exchange.requests)
    offline: dict[str, Any] = {"source": "store", "base": base}
    for which in ({"count": 3}, {"start": "2026-02-22"}, {"start": "2026-02-21", "count": 2}):
        panel = client.panel(both, interval, **which, **offline)
        end = panel.attrs["upbit_frames"]["end"]
        longest = client.candles("KRW-BTC", interval, **which, **offline)["close"]
        pd.testing.assert_series_equal(panel["KRW-BTC"], longest, check_names=False, check_freq=False)
        shorter = client.candles("KRW-ETH", interval, start=panel.index[0], **offline)["close"]
        known = panel["KRW-ETH"].dropna()
        pd.testing.assert_series_equal(known, shorter[: len(known)], check_names=False, check_freq=False)
        coverage = panel.attrs["upbit_frames"]["coverage"]
        assert coverage["KRW-BTC"]["traded"] == len(panel)
        assert coverage["KRW-ETH"]["unknown"] == len(panel) - len(known) == max(0, len(panel) - len(shorter))
        assert pd.Timestamp(end) <= pd.Timestamp("2026-02-25T00:00Z")
    assert len(exchange.requests) == before
    with pytest.raises(NotCached):
        client.panel(["KRW-XRP"], interval, count=3, **offline)
