"""``quote=`` and Korean names in whole calls, online and offline."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.errors import InvalidMarket, MarketNotFound, NotCached, QueryError
from upbit_frames.testing import Exchange

DAY: dict[str, Any] = {"start": "2026-02-26", "end": "2026-02-28"}


def markets_in(frame: pd.DataFrame) -> list[str]:
    return frame.index.get_level_values("market").unique().tolist()


def test_a_name_is_its_market(client: uf.Client, without_streams: None) -> None:
    pd.testing.assert_frame_equal(client.candles("비트코인", "1h", **DAY), client.candles("KRW-BTC", "1h", **DAY))
    both = client.candles(["이더리움", "KRW-BTC"], "1d", **DAY)
    assert markets_in(both) == ["KRW-ETH", "KRW-BTC"]
    assert both.attrs["upbit_frames"]["market"] == ["KRW-ETH", "KRW-BTC"]
    assert client.ticker("비트코인").index.tolist() == ["KRW-BTC"]
    assert markets_in(client.orderbook(["비트코인", "KRW-ETH"], depth=1)) == ["KRW-BTC", "KRW-ETH"]
    assert client.trades("비트코인", count=3).equals(client.trades("KRW-BTC", count=3))
    assert client.instruments("비트코인").index.tolist() == ["KRW-BTC"]
    assert client.download("비트코인", "1d", "2026-02-01").index.tolist() == ["KRW-BTC"]
    assert {step.market for step in client.plan("비트코인", "1h", start="2026-01-01").steps} == {"KRW-BTC"}
    for call in (client.candles, client.ticker, client.orderbook, client.trades, client.instruments):
        with pytest.raises(MarketNotFound, match=r"names that begin so: '비트코인' \(KRW-BTC\)"):
            call("비트코")


def test_a_quote_currency_is_its_markets(client: uf.Client, without_streams: None) -> None:
    listed = client.markets("BTC").index.tolist()
    frame = client.candles(quote="btc", interval="1d", **DAY)
    pd.testing.assert_frame_equal(frame, client.candles(listed, "1d", **DAY))
    assert client.instruments(quote="BTC").index.tolist() == listed
    assert {step.market for step in client.plan(quote="BTC", interval="1h", start="2026-01-01").steps} == set(listed)
    for call in (client.candles, client.orderbook, client.trades, client.instruments, client.plan):
        with pytest.raises(QueryError, match=r"'XYZ'.*there are BTC, KRW, USDT"):
            call(quote="XYZ")
        with pytest.raises(QueryError, match="both given"):
            call("KRW-BTC", quote="KRW")
    with pytest.raises(InvalidMarket, match="neither markets nor quote"):
        client.candles(interval="1d")


def test_offline_a_quote_currency_is_what_is_stored(exchange: Exchange, client: uf.Client) -> None:
    client.candles(["KRW-BTC", "BTC-ETH"], "1h", **DAY)
    client.candles("KRW-ETH", "1d", **DAY)
    asked = len(exchange.requests)
    frame = client.candles(quote="KRW", interval="1h", source="store", **DAY)
    assert markets_in(frame) == ["KRW-BTC"]
    assert {step.market for step in client.plan(quote="KRW", interval="1h", source="store", **DAY).steps} == {"KRW-BTC"}
    assert markets_in(client.candles(quote="KRW", interval="4h", source="store", **DAY)) == ["KRW-BTC"]  # from hours
    with pytest.raises(NotCached, match="no 1m candles of a KRW market are in the store"):
        client.candles(quote="KRW", interval="1m", source="store", **DAY)
    with pytest.raises(NotCached, match="no trades of a USDT market are in the store"):
        client.trades(quote="USDT", source="store", **DAY)
    with pytest.raises(NotCached, match="which says what '비트코인' is, is not stored"):
        client.candles("비트코인", "1h", source="store", **DAY)
    assert len(exchange.requests) == asked


@pytest.mark.parametrize("output", ["pandas", "arrow", "polars"])
def test_trades_of_several_markets(client: uf.Client, output: str) -> None:
    hour: dict[str, Any] = {"start": "2026-02-28 01:00", "end": "2026-02-28 02:00"}
    codes = ["KRW-XRP", "KRW-BTC"]
    many = client.trades(codes, output=output, **hour)
    if output == "pandas":
        assert many.index.names == ["market", "time"]
        for code in codes:
            pd.testing.assert_frame_equal(many.loc[code], client.trades(code, **hour))
        meta = many.attrs["upbit_frames"]
        assert meta["market"] == codes
        assert {step["market"] for step in meta["route"]} == set(codes)
        assert sum(step["rows"] for step in meta["route"]) == len(many)
    else:
        names = many.column_names if output == "arrow" else many.columns
        assert names == ["market", "time", "price", "volume", "value", "side", "sequential_id", "seq"]
        assert len(many) == sum(len(client.trades(code, **hour)) for code in codes)


def test_a_list_of_one_market_keeps_the_level(client: uf.Client, without_streams: None) -> None:
    assert client.trades(["KRW-BTC"], count=5).index.names == ["market", "time"]
    assert client.trades("KRW-BTC", count=5).index.names == ["time"]
    assert client.trades(["KRW-BTC", "KRW-ETH"], count=5, columns=["price"]).shape == (10, 1)
