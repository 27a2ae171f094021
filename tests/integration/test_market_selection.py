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


def test_bars_are_of_one_market_by_code_or_name(client: uf.Client) -> None:
    hour: dict[str, Any] = {"start": "2026-02-28 01:00", "end": "2026-02-28 02:00"}
    pd.testing.assert_frame_equal(client.bars("비트코인", ticks=100, **hour), client.bars("KRW-BTC", ticks=100, **hour))
    with pytest.raises(MarketNotFound, match="names that begin so: '비트코인'"):
        client.bars("비트코", ticks=100, **hour)
    for markets in (["비트코인", "KRW-ETH"], ["KRW-BTC", "KRW-ETH"]):
        with pytest.raises(InvalidMarket, match="one market, got a list of 2"):
            client.bars(markets, ticks=100, **hour)
    with pytest.raises(InvalidMarket, match="give it alone: 'KRW-BTC'"):
        client.bars(["KRW-BTC"], ticks=100, **hour)


def test_compare_takes_names_and_a_quote_currency(client: uf.Client) -> None:
    one = client.compare("orderbook", "비트코인", n=2, every=0)
    assert one.attrs["upbit_frames"]["market"] == ["KRW-BTC"]
    assert one["answered"].tolist() == [2, 2]
    several = client.compare("orderbook", quote="BTC", n=2, every=0)
    assert several.attrs["upbit_frames"]["market"] == client.markets("BTC").index.tolist()
    with pytest.raises(QueryError, match="both given"):
        client.compare("ticker", "KRW-BTC", quote="KRW")
    with pytest.raises(MarketNotFound, match="names that begin so: '비트코인'"):
        client.compare("ticker", "비트코", n=2)


def test_explain_takes_what_the_calls_take(client: uf.Client) -> None:
    listed = client.markets("BTC").index.tolist()
    hour: dict[str, Any] = {"start": "2026-02-28 01:00", "end": "2026-02-28 02:00"}

    def explained(call: str, *args: Any, **kwargs: Any) -> list[tuple[Any, ...]]:
        rows = client.explain(call, *args, **kwargs).to_frame()
        return list(rows[["market", "channel", "rule", "requests"]].itertuples(index=False, name=None))

    for call, arguments in (
        ("candles", {"interval": "1h", **hour}), ("trades", hour), ("orderbook", {}), ("ticker", {}),
        ("instruments", {}),
    ):  # fmt: skip
        assert explained(call, "비트코인", **arguments) == explained(call, "KRW-BTC", **arguments) != []
        assert explained(call, iter(["이더리움", "KRW-BTC"]), **arguments) == explained(
            call, ["KRW-ETH", "KRW-BTC"], **arguments
        )
    for call in ("candles", "trades"):
        arguments = {"interval": "1h", **hour} if call == "candles" else hour
        assert [row[0] for row in explained(call, quote="BTC", **arguments)] == listed
    assert explained("orderbook", quote="BTC") == explained("orderbook", listed)
    assert explained("ticker", quote="BTC") == [("", "rest", "whole", 1)]
    with pytest.raises(QueryError, match=r"'XYZ'.*there are BTC, KRW, USDT"):
        client.explain("candles", quote="XYZ")


def test_explain_names_who_serves_the_trades_of_bars(exchange: Exchange, client: uf.Client) -> None:
    """What it says is the route of the call: before anything is stored, in part, and offline."""
    client.trades("KRW-BTC", start="2026-02-28 01:00", end="2026-02-28 02:00")
    before = len(exchange.requests)
    arguments: dict[str, Any] = {"ticks": 100, "start": "2026-02-28 00:00", "end": "2026-02-28 03:00"}

    def parts(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
        rows = frame[["channel", "start", "end"]].copy()
        rows["start"], rows["end"] = (pd.to_datetime(rows[name], utc=True) for name in ("start", "end"))
        return list(rows.itertuples(index=False, name=None))

    explanation = client.explain("bars", "KRW-BTC", **arguments)
    assert len(exchange.requests) == before
    assert [part.channel for part in explanation.parts] == ["rest", "store", "rest"]
    offline = client.explain("bars", "KRW-BTC", source="store", **arguments)
    assert [part.channel for part in offline.parts] == ["none", "store", "none"]
    route = client.bars("KRW-BTC", **arguments).attrs["upbit_frames"]["route"]
    assert parts(explanation.to_frame()) == parts(pd.DataFrame(route))
    assert client.explain("bars", "비트코인", **arguments).channel == "store"
    assert (
        client.explain("bars", "KRW-BTC", ticks=100, start="-10s").parts[-1].end
        < pd.Timestamp("2026-03-01T03:30:00Z").value // 1000
    )
    assert client.explain("bars", "KRW-ETH", source="store", **arguments).channel == "none"
    with pytest.raises(QueryError, match="ticks"):
        client.explain("bars", "KRW-BTC", start="-1h")
