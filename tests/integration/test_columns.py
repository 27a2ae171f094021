"""``columns=`` of whole calls: the columns of the full frame, whichever source serves it and whatever it becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.errors import QueryError
from upbit_frames.testing import Exchange

RANGE: dict[str, Any] = {"start": "2026-02-27 21:00", "end": "2026-02-28 03:00"}


@pytest.mark.parametrize("gaps", ["raw", "fill", "nan"])
@pytest.mark.parametrize("source", ["auto", "store", "rest"])
@pytest.mark.parametrize("columns", [["close"], ["value", "open"], ["volume"], []], ids=str)
def test_candles_of_some_columns(
    client: uf.Client, exchange: Exchange, gaps: str, source: str, columns: list[str]
) -> None:
    market = sorted(client.markets("BTC").index)[0]  # trades seldom
    asked: dict[str, Any] = {**RANGE, "gaps": gaps, "source": source, "columns": columns or ["time"]}
    if source == "store":
        client.candles(market, "1m", start="2026-02-26", end="2026-03-01")
    first, again = client.candles(market, "1m", **asked), client.candles(market, "1m", **asked)
    whole = client.candles(market, "1m", **{**asked, "columns": None})
    for frame in (first, again):
        assert frame.columns.tolist() == columns
        pd.testing.assert_frame_equal(frame, whole[columns])
        assert frame.attrs["upbit_frames"]["columns"] == columns
    assert "columns" not in whole.attrs["upbit_frames"]
    assert gaps != "fill" or whole["filled"].any()


def test_every_output_and_many_markets(client: uf.Client) -> None:
    asked: dict[str, Any] = {**RANGE, "columns": ["value", "close"]}
    whole = client.candles(["KRW-BTC", "KRW-ETH"], "15m", **RANGE)
    pd.testing.assert_frame_equal(client.candles(["KRW-BTC", "KRW-ETH"], "15m", **asked), whole[["value", "close"]])
    table = client.candles("KRW-BTC", "15m", output="arrow", **asked)
    assert table.column_names == ["time", "value", "close"]
    assert table["close"].to_pylist() == whole.loc["KRW-BTC", "close"].tolist()
    assert client.candles("KRW-BTC", "15m", output="polars", **asked).columns == ["time", "value", "close"]


def test_the_mark_of_filled_candles_comes_where_it_is_wanted(client: uf.Client) -> None:
    frame = client.candles("KRW-BTC", "1m", gaps="fill", columns=["filled", "close"], **RANGE)
    assert frame.dtypes.astype(str).to_dict() == {"filled": "bool", "close": "float64"}
    with pytest.raises(QueryError, match="candles have no column 'filled'"):
        client.candles("KRW-BTC", "1m", columns=["filled"], **RANGE)


def test_the_forming_candle_has_the_same_columns(client: uf.Client, without_streams: None) -> None:
    for gaps in ("raw", "fill", "nan"):
        asked: dict[str, Any] = {"count": 30, "forming": True, "gaps": gaps}
        frame = client.candles("KRW-BTC", "5m", columns=["low", "close"], **asked)
        pd.testing.assert_frame_equal(frame, client.candles("KRW-BTC", "5m", **asked)[["low", "close"]])


def test_a_number_of_candles(client: uf.Client) -> None:
    for asked in ({"count": 500}, {"count": 300, "end": "2026-02-20"}, {"count": 300, "start": "2026-02-20"}):
        frame = client.candles("KRW-ETH", "1m", columns=["value"], **asked)
        for _ in range(2):  # the second time from the store
            pd.testing.assert_frame_equal(frame, client.candles("KRW-ETH", "1m", **asked)[["value"]])


def test_what_some_columns_fetched_is_stored_whole(client: uf.Client, exchange: Exchange, tmp_path: Path) -> None:
    client.candles("KRW-BTC", "1m", columns=["close"], **RANGE)
    asked = len(exchange.requests)
    frame = client.candles("KRW-BTC", "1m", source="store", **RANGE)
    assert len(exchange.requests) == asked
    assert frame.columns.tolist() == ["open", "high", "low", "close", "volume", "value"]


@pytest.mark.parametrize("source", ["auto", "store", "rest"])
def test_trades_of_some_columns(client: uf.Client, make_client: Callable[..., uf.Client], source: str) -> None:
    asked: dict[str, Any] = {"start": "2026-02-28 01:00", "end": "2026-02-28 02:00", "source": source}
    if source == "store":
        client.trades("KRW-BTC", start="2026-02-28", end="2026-03-01")
    for columns in (["price", "side"], ["volume"], ["sequential_id", "price"]):
        frame = client.trades("KRW-BTC", columns=columns, **asked)
        pd.testing.assert_frame_equal(frame, client.trades("KRW-BTC", **asked)[columns])
    with pytest.raises(QueryError, match=r"trades have no column 'close'.*there are time, price"):
        client.trades("KRW-BTC", columns=["close"], **asked)


def test_the_newest_trades(client: uf.Client, without_streams: None) -> None:
    frame = client.trades("KRW-BTC", count=20, columns=["price"])
    pd.testing.assert_frame_equal(frame, client.trades("KRW-BTC", count=20)[["price"]])
    up_to_now = client.trades(
        "KRW-BTC", start="2026-03-01 03:00", columns=["value", "price"]
    )  # the last seconds are not stored
    pd.testing.assert_frame_equal(up_to_now, client.trades("KRW-BTC", start="2026-03-01 03:00")[["value", "price"]])


@pytest.mark.parametrize("columns", [["close"], ["value", "open"]], ids=str)
def test_of_the_archive(make_client: Callable[..., uf.Client], exchange: Exchange, tmp_path: Path, columns: list[str]):
    """What is imported is stored whole, whatever was wanted of it."""
    days: dict[str, Any] = {"start": "2026-02-20", "end": "2026-02-22"}
    whole = make_client(exchange, cache_dir=tmp_path / "other").candles("KRW-BTC", "1h", source="archive", **days)
    client = make_client(exchange)
    for channel in ("archive", "store"):
        frame = client.candles("KRW-BTC", "1h", source="archive", columns=columns, **days)
        pd.testing.assert_frame_equal(frame, whole[columns])
        assert {step["channel"] for step in frame.attrs["upbit_frames"]["route"]} == {channel}
    pd.testing.assert_frame_equal(client.candles("KRW-BTC", "1h", source="store", **days), whole)
    hour: dict[str, Any] = {"start": "2026-02-20 01:00", "end": "2026-02-20 02:00", "source": "archive"}
    trades = client.trades("KRW-BTC", columns=["side", "price"], **hour)
    pd.testing.assert_frame_equal(trades, client.trades("KRW-BTC", **hour)[["side", "price"]])


def test_of_the_stream(client: uf.Client, exchange: Exchange) -> None:
    exchange.clock.run()  # a stream needs a clock that runs
    frame = client.candles("KRW-BTC", "1h", source="live", count=2, forming=True, columns=["value", "close"])
    assert frame.columns.tolist() == ["value", "close"]
    assert "live" in {step["channel"] for step in frame.attrs["upbit_frames"]["route"]}
    sealed = client.candles("KRW-BTC", "1h", start=frame.index[0], count=1)
    pd.testing.assert_frame_equal(frame.iloc[:1], sealed[["value", "close"]], check_freq=False)
    trades = client.trades("KRW-BTC", count=5, source="live", columns=["price"])
    assert (trades.columns.tolist(), len(trades)) == (["price"], 5)
    assert {step["channel"] for step in trades.attrs["upbit_frames"]["route"]} == {"live"}
