"""Quotes and trades against the exchange's own model, and against the official client."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.core.intervals import to_micros
from upbit_frames.testing import Exchange

SCALE = 1e8


@pytest.fixture
def official(exchange: Exchange) -> Iterator[Any]:
    """The official client, pointed at the stand-in exchange."""
    upbit = pytest.importorskip("upbit", reason="upbit-sdk is not installed (the extra 'peers')")
    with upbit.Upbit(base_url=exchange.rest_url, max_retries=0) as sdk:
        yield sdk


def paths(exchange: Exchange) -> list[str]:
    return [one.path for one in exchange.requests]


# --- against the model --------------------------------------------------------------------------


def test_markets(exchange: Exchange, client: uf.Client) -> None:
    frame = client.markets()
    listed = {one.market: one for one in exchange.market.markets()}
    assert set(frame.index) == set(listed)
    assert dict(frame["korean_name"]) == {code: one.korean_name for code, one in listed.items()}
    assert dict(frame["warning"]) == {code: one.warning for code, one in listed.items()}
    assert list(frame.loc["KRW-NEW", "cautions"]) == list(listed["KRW-NEW"].cautions)
    assert set(client.markets("BTC").index) == {code for code in listed if code.startswith("BTC-")}
    assert paths(exchange) == ["/v1/market/all"]  # kept for a minute


def test_ticker(exchange: Exchange, client: uf.Client) -> None:
    frame = client.ticker(["KRW-BTC", "USDT-BTC", "BTC-XRP"])
    assert list(frame.index) == ["KRW-BTC", "USDT-BTC", "BTC-XRP"]
    for code, row in frame.iterrows():
        want = exchange.market.ticker(str(code))
        assert want is not None
        assert row["price"] == want.price / SCALE
        assert row["high"] == want.high / SCALE
        assert row["low"] == want.low / SCALE
        assert row["volume_24h"] == pytest.approx(want.volume_24h / SCALE, rel=1e-12)
        assert row["value_24h"] == pytest.approx(want.value_24h / SCALE / SCALE, rel=1e-9, abs=1e-8)
        assert row["change_price"] == pytest.approx(want.change / SCALE, rel=1e-9, abs=1e-8)
    assert paths(exchange) == ["/v1/ticker"]


def test_every_ticker_in_one_request(client: uf.Client, exchange: Exchange) -> None:
    everything = client.ticker()
    won = client.ticker(quote="KRW")
    assert set(won.index) == {code for code in everything.index if code.startswith("KRW-")}
    assert len(paths(exchange)) == 2


@pytest.mark.parametrize("depth", [1, 5, 30])
def test_orderbook(exchange: Exchange, client: uf.Client, depth: int) -> None:
    frame = client.orderbook(["KRW-BTC", "KRW-ETH"], depth=depth)
    for code in ("KRW-BTC", "KRW-ETH"):
        want = exchange.market.book(code)
        got = frame.loc[code]
        assert len(got) == min(depth, max(len(want.ask_price), len(want.bid_price)))
        for side in ("ask", "bid"):
            prices, sizes = getattr(want, f"{side}_price")[:depth], getattr(want, f"{side}_size")[:depth]
            np.testing.assert_array_equal(got[f"{side}_price"].dropna()[: len(prices)], prices / SCALE)
            np.testing.assert_allclose(got[f"{side}_size"].dropna()[: len(sizes)], sizes / SCALE, rtol=1e-12)
    assert paths(exchange) == ["/v1/orderbook"]


def test_orderbook_in_groups(client: uf.Client) -> None:
    levels = client.instruments("KRW-BTC").loc["KRW-BTC", "supported_levels"]
    level = next(one for one in levels if one)
    frame = client.orderbook("KRW-BTC", level=level)
    assert (frame["ask_price"].dropna() % level == 0).all()
    assert (frame["bid_price"].dropna() % level == 0).all()


def test_trades(exchange: Exchange, client: uf.Client) -> None:
    start, end = "2026-02-27T10:00:00+00:00", "2026-02-28T15:30:00+00:00"
    low, high = (to_micros(pd.Timestamp(one).to_pydatetime()) for one in (start, end))
    want = exchange.market.trades("KRW-BTC", low, high).table()
    table = client.trades("KRW-BTC", start=start, end=end, output="arrow").replace_schema_metadata(None)
    assert len(want) > 3_000
    assert table.equals(want)
    assert len(exchange.requests) <= -(-len(want) // 500) + 12
    exchange.requests.clear()
    again = client.trades("KRW-BTC", start=start, end=end, output="arrow").replace_schema_metadata(None)
    assert again.equals(want)
    assert exchange.requests == []


def test_the_newest_trades(exchange: Exchange, client: uf.Client) -> None:
    frame = client.trades("KRW-ETH", count=250)
    now = exchange.clock.now()
    want = exchange.market.trades("KRW-ETH", now - 86_400_000_000, now)
    assert frame["sequential_id"].tolist() == want.sequential_id[-250:].tolist()


def test_all_seven_days_and_what_lies_before(exchange: Exchange, client: uf.Client) -> None:
    with pytest.warns(uf.errors.UpbitFramesWarning, match="seven"):
        frame = client.trades("KRW-DOGE", start="2026-02-10", end="2026-02-26")
    now = pd.Timestamp(exchange.clock.now(), unit="us", tz="UTC")
    first = (now.normalize() - pd.Timedelta(7, "D")).value // 1000
    have = exchange.market.trades("KRW-DOGE", first, to_micros(pd.Timestamp("2026-02-26", tz="UTC").to_pydatetime()))
    assert frame["sequential_id"].is_unique
    assert set(frame["sequential_id"]) <= set(have.sequential_id.tolist())
    whole = frame[frame.index >= now.normalize() - pd.Timedelta(days=6)]
    assert len(whole) == int((have.ms * 1000 >= first + 86_400_000_000).sum())


@pytest.mark.parametrize("market", ["KRW-BTC", "KRW-DOGE", "BTC-ETH"])
def test_the_trades_of_a_minute_make_its_candle(client: uf.Client, market: str) -> None:
    asked: dict[str, Any] = {"start": "2026-02-28T00:00", "end": "2026-02-28T12:00"}
    candles = client.candles(market, "1m", **asked)
    trades = client.trades(market, **asked)
    minutes = trades.groupby(trades.index.floor("1min"))
    by_hand = pd.DataFrame(
        {
            "open": minutes["price"].first(), "high": minutes["price"].max(), "low": minutes["price"].min(),
            "close": minutes["price"].last(), "volume": minutes["volume"].sum(), "value": minutes["value"].sum(),
        }
    )  # fmt: skip
    assert len(candles) >= 3
    pd.testing.assert_frame_equal(by_hand, candles, check_freq=False, check_names=False, rtol=1e-12)


def test_unknown_markets_are_named(exchange: Exchange, client: uf.Client) -> None:
    asked = ["KRW-BTC", "KRW-NOPE", "KRW-ETH", "KRW-GONE"]
    for call in (client.ticker, client.orderbook):
        with pytest.raises(uf.errors.MarketNotFound) as caught:
            call(asked)
        told = str(caught.value).split("url=")[0]
        assert "KRW-NOPE" in told
        assert "KRW-GONE" in told
        assert "KRW-ETH" not in told
        exchange.requests.clear()
        frame = call(asked, errors="skip")
        assert set(frame.index.get_level_values(0)) == {"KRW-BTC", "KRW-ETH"}
        assert sorted(frame.attrs["upbit_frames"]["skipped"]) == ["KRW-GONE", "KRW-NOPE"]
        assert len(exchange.requests) <= 3


def test_errors_are_not_kept(exchange: Exchange, client: uf.Client) -> None:
    exchange.faults.add("500", match="/v1/market/all", times=6)
    with pytest.raises(uf.errors.ServerError):
        client.markets()
    assert len(client.markets()) == len(exchange.market.markets())


# --- against the official client ----------------------------------------------------------------


def test_the_official_client_sees_the_same_candles(client: uf.Client, official: Any) -> None:
    to = "2026-02-28T12:00:00Z"
    pages: list[tuple[str, Any]] = [(f"{unit}m", official.candles.list_minutes(unit, market="KRW-BTC", to=to, count=50))
                                    for unit in (1, 3, 5, 10, 15, 30)]  # fmt: skip
    pages += [("1h", official.candles.list_minutes(60, market="KRW-BTC", to=to, count=50))]
    pages += [("4h", official.candles.list_minutes(240, market="KRW-BTC", to=to, count=50))]
    pages += [("1d", official.candles.list_days(market="KRW-BTC", to=to, count=50))]
    pages += [("1w", official.candles.list_weeks(market="KRW-BTC", to=to, count=50))]
    pages += [("1M", official.candles.list_months(market="KRW-BTC", to=to, count=50))]
    pages += [("1y", official.candles.list_years(market="KRW-BTC", to=to, count=3))]
    pages += [("1s", official.candles.list_seconds(market="KRW-BTC", to=to, count=50))]
    names = {
        "open": "opening_price", "high": "high_price", "low": "low_price", "close": "trade_price",
        "volume": "candle_acc_trade_volume", "value": "candle_acc_trade_price",
    }  # fmt: skip
    for interval, page in pages:
        rows = sorted(page, key=lambda row: row.candle_date_time_utc)
        sealed = [row for row in rows if interval not in ("1d", "1w", "1M", "1y") or row is not rows[-1]]
        assert sealed
        start = pd.Timestamp(sealed[0].candle_date_time_utc, tz="UTC")
        ours = client.candles("KRW-BTC", interval, start=start, count=len(sealed))
        assert [str(one.replace(tzinfo=None).isoformat()) for one in ours.index] == [
            row.candle_date_time_utc for row in sealed
        ]
        for name, wire in names.items():
            assert ours[name].tolist() == [float(getattr(row, wire)) for row in sealed], (interval, name)


def test_the_official_client_sees_the_same_quotes(client: uf.Client, official: Any) -> None:
    codes = ["KRW-BTC", "KRW-DOGE", "USDT-BTC"]
    ours = client.ticker(codes)
    for row in official.tickers.list_by_trading_pairs(markets=",".join(codes)):
        mine = ours.loc[row.market]
        assert mine["price"] == float(row.trade_price)
        assert mine["value_24h"] == float(row.acc_trade_price_24h)
        assert mine["volume_24h"] == float(row.acc_trade_volume_24h)
        assert mine["change_rate"] == float(row.signed_change_rate)
        assert mine["time"].value // 1_000_000 in (row.timestamp, row.trade_timestamp)
    everything = client.ticker(quote="KRW")
    theirs = official.tickers.list_by_quote_currencies(quote_currencies="KRW")
    assert {row.market: float(row.trade_price) for row in theirs} == dict(everything["price"])

    book = client.orderbook(codes, depth=15)
    for one in official.orderbooks.list(markets=",".join(codes), count=15):
        mine = book.loc[one.market]
        units = one.orderbook_units
        assert [float(unit.ask_price) for unit in units] == mine["ask_price"].tolist()
        assert [float(unit.bid_size) for unit in units] == mine["bid_size"].tolist()
    ticks = client.instruments(codes)
    for one in official.orderbooks.list_instruments(markets=",".join(codes)):
        assert ticks.loc[one.market, "tick_size"] == float(one.tick_size)
    names = {one.market: one.korean_name for one in official.trading_pairs.list(is_details=True)}
    assert names == dict(client.markets()["korean_name"])


def test_the_official_client_sees_the_same_trades(client: uf.Client, official: Any) -> None:
    theirs = official.trades.list(market="KRW-BTC", count=100)
    ours = client.trades("KRW-BTC", count=100)
    assert [row.sequential_id for row in reversed(theirs)] == ours["sequential_id"].tolist()
    assert [float(row.trade_price) for row in reversed(theirs)] == ours["price"].tolist()
    assert [float(row.trade_volume) for row in reversed(theirs)] == ours["volume"].tolist()
    assert [row.ask_bid.lower() for row in reversed(theirs)] == ours["side"].tolist()


# --- other exchanges ----------------------------------------------------------------------------


@pytest.mark.parametrize(("region", "quote"), [("sg", "SGD"), ("id", "IDR"), ("th", "THB")])
def test_other_regions(make_client: Callable[..., uf.Client], region: str, quote: str) -> None:
    market = f"{quote}-BTC"
    with Exchange(seed=7, now="2026-03-01T03:30:00Z", region=region, limits=False) as abroad:
        client = make_client(abroad)
        assert market in client.markets().index
        assert market in client.ticker(quote=quote).index
        assert len(client.ticker(market)) == 1
        assert len(client.orderbook(market, depth=5)) == 5
        assert len(client.instruments(market)) == 1
        assert len(client.trades(market, count=20)) == 20
        table: pa.Table = client.candles(market, "1m", start="2026-02-28", end="2026-03-01", output="arrow")
        low, high = (to_micros(pd.Timestamp(one, tz="UTC").to_pydatetime()) for one in ("2026-02-28", "2026-03-01"))
        want = abroad.market.candles(market, "1m", low, high).table()
        assert table.replace_schema_metadata(None).equals(want)


def test_a_warning_names_the_line_that_called(client: uf.Client) -> None:
    asked: dict[str, Any] = {"start": "2026-02-10", "end": "2026-02-26"}

    async def awaited() -> None:
        await uf.AsyncClient(client.config).trades("KRW-DOGE", **asked)

    def blocking() -> None:
        client.trades("KRW-DOGE", **asked)

    def in_force() -> None:
        with uf.using(**dataclasses.asdict(client.config)):
            uf.trades("KRW-DOGE", **asked)

    for call in (blocking, blocking, in_force, lambda: asyncio.run(awaited())):
        with pytest.warns(uf.errors.UpbitFramesWarning, match="seven") as told:
            call()
        assert {one.filename for one in told} == {__file__}
