"""Arguments in their many spellings, through whole calls: what is asked and what comes back."""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.errors import InvalidMarket, QueryError, UpbitFramesWarning
from upbit_frames.testing import Exchange


@pytest.mark.parametrize(
    ("tz", "name"),
    [("KST", "Asia/Seoul"), (ZoneInfo("Asia/Seoul"), "Asia/Seoul"), ("+09:00", "UTC+09:00"),
     (dt.timezone(dt.timedelta(hours=9)), "UTC+09:00")],
)  # fmt: skip
def test_a_zone_in_any_form_reads_and_shows(client: uf.Client, tz: Any, name: str) -> None:
    df = client.candles("KRW-BTC", "1h", start="2026-02-01", end="2026-02-01 03:00", tz=tz)
    assert df.index[0] == pd.Timestamp("2026-01-31 15:00", tz="UTC")
    assert df.index[0].hour == 0
    assert str(df.index.tz) == name
    assert (
        client.candles("KRW-BTC", "1h", start="2026-02-01", end="2026-02-01 03:00", tz=tz, output="arrow").num_rows == 3
    )


def test_relative_moments_are_relative_to_the_exchange(exchange: Exchange, client: uf.Client) -> None:
    client.candles("KRW-BTC", "1h", count=1)  # from its answer the time of the exchange is known
    df = client.candles("KRW-BTC", "1h", start="-1d", end="today")
    assert df.index[0] == pd.Timestamp("2026-02-28 04:00", tz="UTC")
    assert df.index[-1] == pd.Timestamp("2026-02-28 23:00", tz="UTC")


def test_a_frame_of_markets_is_a_list_of_markets(client: uf.Client) -> None:
    listed = client.markets("KRW").iloc[:2]
    df = client.candles(listed, "1d", count=2)
    assert df.index.get_level_values("market").unique().tolist() == listed.index.tolist()
    assert client.ticker(listed).index.tolist() == listed.index.tolist()


def test_a_quote_currency_stands_for_its_markets(client: uf.Client) -> None:
    listed = client.markets("BTC").index.tolist()
    assert client.orderbook(quote="btc", depth=1).index.get_level_values("market").unique().tolist() == listed
    every = set(client.orderbook(depth=1).index.get_level_values("market"))  # one of them has an empty book
    assert {"KRW-BTC", *listed} < every <= set(client.markets().index)
    day = {"interval": "1d", "start": "2026-02-20", "end": "2026-02-22"}
    assert client.download(quote="BTC", **day).index.tolist() == listed
    assert client.download(["KRW-BTC"], **day).index.tolist() == ["KRW-BTC"]
    assert set(client.download("KRW", **day).index) == set(client.markets("KRW").index)
    with pytest.raises(QueryError, match="give one of them"):
        client.orderbook("KRW-BTC", quote="KRW")
    with pytest.raises(QueryError, match="no market with the quote currency"):
        client.orderbook(quote="EUR")


def test_a_market_the_wrong_way_round_costs_no_request(exchange: Exchange, client: uf.Client) -> None:
    for call in (client.candles, client.ticker, client.orderbook, client.trades, client.instruments):
        with pytest.raises(InvalidMarket, match="did you mean 'KRW-BTC'"):
            call("BTC-KRW")
    assert not exchange.requests


def test_a_range_before_the_listing_is_empty_and_says_so(client: uf.Client) -> None:
    for _ in range(2):  # from the exchange, and from the store
        with pytest.warns(UpbitFramesWarning, match=r"KRW-BTC has no candle before 2016-02-01.*listed later"):
            df = client.candles("KRW-BTC", "1d", start="2016-01-01", end="2016-02-01")
        assert df.empty
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(client.candles("KRW-BTC", "1d", start="2026-01-01", end="2026-01-03")) == 2


def test_a_grid_has_a_frequency(client: uf.Client) -> None:
    df = client.candles("KRW-BTC", "1h", start="2026-02-01", end="2026-02-02", gaps="fill")
    assert df.index.freq == pd.tseries.frequencies.to_offset("1h")
    assert client.candles("KRW-BTC", "1h", start="2026-02-01", end="2026-02-02").index.freq is None
