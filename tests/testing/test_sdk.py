"""Upbit's own client, pointed at the stand-in, reads every endpoint and the same values."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from upbit_frames.core.intervals import INTERVALS
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.price_ticks import SCALE
from upbit_frames.testing.server.virtual_clock import moment

upbit = pytest.importorskip("upbit", reason="upbit-sdk is not installed (the extra 'peers')")
TO = "2026-02-28T10:00:00Z"


@pytest.fixture(scope="module")
def sdk(unlimited: Exchange) -> Iterator[object]:
    with upbit.Upbit(base_url=unlimited.rest_url, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("name", ["1s", "1m", "3m", "5m", "10m", "15m", "30m", "1h", "4h", "1d", "1w", "1M", "1y"])
@pytest.mark.parametrize("market", ["KRW-NEW", "BTC-ETH"])
def test_candles(unlimited, sdk, name, market):
    interval = INTERVALS[name]
    count = 5 if name in ("1M", "1y") else 40
    if interval.unit is not None:
        found = sdk.candles.list_minutes(interval.unit, market=market, count=count, to=TO)
    else:
        found = getattr(sdk.candles, f"list_{interval.path.rpartition('/')[2]}")(market=market, count=count, to=TO)
    truth = unlimited.market.last_candles(market, interval, moment(TO), count)
    assert len(found) == len(truth) > 0
    for row, place in zip(reversed(found), range(len(truth)), strict=True):
        assert row.market == market
        assert moment(row.candle_date_time_utc) == truth.time[place]
        prices = [row.opening_price, row.high_price, row.low_price, row.trade_price]
        expected = [one[place] for one in (truth.open, truth.high, truth.low, truth.close)]
        assert [int(Decimal(one) * SCALE) for one in prices] == expected
        assert int(Decimal(row.candle_acc_trade_volume) * SCALE) == truth.volume[place]
        assert int(Decimal(row.candle_acc_trade_price) * SCALE) == truth.value[place]
        assert row.timestamp == truth.timestamp[place]


def test_trades(unlimited, sdk):
    found = sdk.trades.list(market="KRW-BTC", count=500, days_ago=1, to="100000")
    truth = unlimited.market.trades("KRW-BTC", moment("2026-02-28"), moment(TO))[-500:]
    assert [row.sequential_id for row in reversed(found)] == truth.sequential_id.tolist()
    assert [int(Decimal(row.trade_price) * SCALE) for row in reversed(found)] == truth.price.tolist()
    assert [int(Decimal(row.trade_volume) * SCALE) for row in reversed(found)] == truth.volume.tolist()
    assert [row.ask_bid == "BID" for row in reversed(found)] == truth.bid.tolist()


def test_tickers(unlimited, sdk):
    several = sdk.tickers.list_by_trading_pairs(markets="KRW-BTC,BTC-ETH")
    won = sdk.tickers.list_by_quote_currencies(quote_currencies="KRW")
    assert {row.market for row in won} == {
        one.market for one in unlimited.market.markets() if one.market.startswith("KRW-") and one.market != "KRW-EMPTY"
    }
    for row in [*several, *won]:
        truth = unlimited.market.ticker(row.market)
        assert int(Decimal(row.trade_price) * SCALE) == truth.price
        assert int(Decimal(row.acc_trade_price) * SCALE**2) == truth.day_value
        assert int(Decimal(row.acc_trade_volume_24h) * SCALE) == truth.volume_24h
        assert row.trade_timestamp == truth.trade_ms


def test_books_and_instruments(unlimited, sdk):
    (row,) = sdk.orderbooks.list(markets="KRW-BTC", count=15)
    truth = unlimited.market.book("KRW-BTC").units(15)
    shown = [(one.ask_price, one.ask_size, one.bid_price, one.bid_size) for one in row.orderbook_units]
    assert [tuple(int(Decimal(str(number)) * SCALE) for number in one) for one in shown] == truth
    instruments = sdk.orderbooks.list_instruments(markets="KRW-BTC,USDT-BTC")
    assert [(one.market, one.tick_size) for one in instruments] == [("KRW-BTC", "1000"), ("USDT-BTC", "0.01")]


def test_markets_and_refusals(unlimited, sdk):
    found = sdk.trading_pairs.list(is_details=True)
    assert [one.market for one in found] == [one.market for one in unlimited.market.markets()]
    assert found[0].korean_name == "비트코인"
    with pytest.raises(upbit.NotFoundError, match="Code not found"):
        sdk.candles.list_days(market="KRW-NOPE")
    with pytest.raises(upbit.BadRequestError, match="Invalid parameter"):
        sdk.trades.list(market="KRW-BTC", days_ago=8)


@pytest.mark.parametrize(("status", "error"), [("429", "RateLimitError"), ("500", "InternalServerError")])
def test_faults(unlimited, sdk, status, error):
    unlimited.faults.add(status)
    with pytest.raises(getattr(upbit, error)):
        sdk.trading_pairs.list()
