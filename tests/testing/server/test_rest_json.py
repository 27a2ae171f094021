"""Spelling against real answers: the ETag of an answer is the MD5 of its body."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS
from upbit_frames.testing.market.columns import Candles, Trades
from upbit_frames.testing.market.price_ticks import SCALE
from upbit_frames.testing.market.quotes import Ticker
from upbit_frames.testing.server import rest_json as wire
from upbit_frames.testing.server.virtual_clock import moment

EPOCH = date(1970, 1, 1).toordinal()


def captured(real_data, name: str) -> tuple[list[dict[str, Any]], str]:
    """Rows of a recorded answer and the digest of its true body."""
    tape = yaml.safe_load((real_data / "rest" / "cassettes" / f"{name}.yaml").read_text())
    response = tape["interactions"][0]["response"]
    return json.loads(response["body"]["string"], parse_float=str), response["headers"]["ETag"][0][4:-1]


def digest(listed: list[str]) -> str:
    return hashlib.md5(wire.rows(listed).encode(), usedforsecurity=False).hexdigest()


def units(text: object, scale: int = 8) -> int:
    return int(Decimal(str(text)).scaleb(scale))


def lost_digits(text: str, scale: int):
    """What a number may have been before it went through a float64."""
    number = Decimal(text)
    step = Decimal(1).scaleb(-5)
    spread = int(Decimal(np.spacing(float(number))) / step) + 1
    return [units(number + n * step, scale) for n in range(-spread, spread + 1)]


def candle_of(row: dict[str, Any], value: int) -> Candles:
    """A captured row as the model would have it."""
    volume, (whole, cents) = divmod(units(row["candle_acc_trade_volume"]), SCALE), divmod(value, SCALE)
    prices = [units(row[name]) for name in ("opening_price", "high_price", "low_price", "trade_price")]
    block = [moment(row["candle_date_time_utc"]), *prices, *volume, whole, cents, 0, row["timestamp"]]
    return Candles(np.array(block, dtype=np.int64)[:, None])


@pytest.mark.parametrize(
    ("name", "interval"),
    [("seconds", "1s"), ("minutes", "1m"), ("days", "1d"), ("weeks", "1w"), ("months", "1M"), ("years", "1y")],
)
def test_candles_are_spelt_as_upbit_spells_them(real_data, name, interval):
    (row,), etag = captured(real_data, f"get_candles_{name}")
    previous = [units(row["prev_closing_price"])] if name == "days" else []
    digests = {
        digest(wire.candle_rows("KRW-BTC", INTERVALS[interval], candle_of(row, value), previous=previous))
        for value in lost_digits(row["candle_acc_trade_price"], 8)
    }
    assert etag in digests


def test_trades_are_spelt_as_upbit_spells_them(real_data):
    (row,), etag = captured(real_data, "get_trades")
    trade = Trades(
        np.array([row["timestamp"]]),
        np.array([units(row["trade_price"])]),
        np.array([units(row["trade_volume"])]),
        np.array([row["ask_bid"] == "BID"]),
    )
    assert digest(wire.trade_rows("KRW-BTC", trade, units(row["prev_closing_price"]))) == etag


def ticker_of(row: dict[str, Any]) -> Ticker:
    high_day, low_day = (
        date.fromisoformat(row[f"{kind}est_52_week_date"]).toordinal() - EPOCH for kind in ("high", "low")
    )
    return Ticker(
        market=row["market"],
        trade_ms=row["trade_timestamp"],
        open=units(row["opening_price"]),
        high=units(row["high_price"]),
        low=units(row["low_price"]),
        price=units(row["trade_price"]),
        previous_close=units(row["prev_closing_price"]),
        volume=units(row["trade_volume"]),
        bid=True,
        day_value=units(row["acc_trade_price"], 16),
        value_24h=units(row["acc_trade_price_24h"], 16),
        day_volume=units(row["acc_trade_volume"]),
        volume_24h=units(row["acc_trade_volume_24h"]),
        day_bid_volume=0,
        high_52w=units(row["highest_52_week_price"]),
        low_52w=units(row["lowest_52_week_price"]),
        ms=row["timestamp"],
        high_52w_day=high_day,
        low_52w_day=low_day,
    )


def test_a_ticker_is_spelt_as_upbit_spells_it(real_data):
    (row,), etag = captured(real_data, "get_tickers")
    ticker = ticker_of(row)
    digests = {
        digest([wire.ticker_row(replace(ticker, day_value=day, value_24h=rolling))])
        for day in lost_digits(row["acc_trade_price"], 16)
        for rolling in lost_digits(row["acc_trade_price_24h"], 16)
    }
    assert etag in digests


def test_all_tickers_have_the_keys_values_and_order_of_the_real_ones(real_data):
    listed, _ = captured(real_data, "get_tickers_by_quote")
    assert len(listed) == 244
    for row in listed:
        mine = json.loads(wire.ticker_row(ticker_of(row)), parse_float=str)
        assert list(mine) == list(row)
        for name, value in row.items():
            if name.startswith("acc_trade") or not name.endswith(("price", "rate", "volume")):
                continue
            assert Decimal(str(mine[name])) == Decimal(str(value)), (row["market"], name)
        assert (mine["trade_date"], mine["trade_time"]) == (row["trade_date"], row["trade_time"])
        assert (mine["trade_date_kst"], mine["trade_time_kst"]) == (row["trade_date_kst"], row["trade_time_kst"])
        assert mine["change"] == row["change"]
        if row["change"] == "EVEN":  # plain zeros, as integers
            assert mine["change_price"] == mine["signed_change_rate"] == row["change_price"] == 0
    amounts = [Decimal(row["acc_trade_price_24h"]) for row in listed]
    assert amounts == sorted(amounts, reverse=True)


def test_an_instrument_is_spelt_as_upbit_spells_it(real_data):
    _, etag = captured(real_data, "get_orderbook_instruments")
    assert digest([wire.instrument_row("KRW-BTC", 103_460_000 * SCALE)]) == etag


def test_old_pages_come_out_digit_for_digit(real_data):
    folder = real_data / "rest" / "candles"
    for name in ("minutes1_KRW-BTC_2021-01-30_page200.json", "minutes1_KRW-BTC_2021-01-30_page50.json"):
        text = (folder / name).read_text().strip()
        listed = json.loads(text, parse_float=str)
        candles = [candle_of(row, units(row["candle_acc_trade_price"])) for row in reversed(listed)]
        page = Candles(np.concatenate([one.block for one in candles], axis=1))
        assert wire.rows(wire.candle_rows("KRW-BTC", INTERVALS["1m"], page)) == text


@pytest.mark.parametrize("name", ["years_raw_digits.json"])
def test_large_amounts_keep_every_digit(real_data, name):
    text = (real_data / "rest" / "candles" / name).read_text()
    (row,) = json.loads(text, parse_float=str)
    mine = wire.candle_rows("KRW-BTC", INTERVALS["1y"], candle_of(row, units(row["candle_acc_trade_price"])))
    assert "".join(text.split()) == wire.rows(mine)


@given(st.integers(-(10**20), 10**20), st.integers(1, 16))
def test_a_decimal_reads_back_as_itself(number, scale):
    text = wire.decimal(number, scale)
    assert Decimal(text) == Decimal(number).scaleb(-scale)
    assert json.loads(text) is not None
    if scale == 8:
        assert wire.padded(number) == text


@pytest.mark.parametrize(
    ("number", "scale", "text"),
    [
        (0, 8, "0E-8"), (0, 10, "0E-10"), (99, 8, "9.9E-7"), (6, 8, "6E-8"), (100, 8, "0.00000100"),
        (-99, 8, "-9.9E-7"), (-200_000_000, 8, "-2.00000000"), (1, 1, "0.1"),
    ],
)  # fmt: skip
def test_small_numbers_have_an_exponent(number, scale, text):
    assert wire.decimal(number, scale) == text


@given(st.integers(0, 10**18))
def test_the_book_pads_nothing(number):
    text = wire.plain(number)
    assert Decimal(text) == Decimal(number).scaleb(-8)
    assert "E" not in text
    assert "." not in text or not text.endswith(("0", "."))


@given(st.integers(-(10**16), 10**16), st.integers(1, 10**16))
def test_rates_are_rounded_half_up(change, previous):
    exact = Decimal(change) / Decimal(previous)
    assert abs(Decimal(wire.rate(change, previous)).scaleb(-10) - exact) <= Decimal("0.00000000005000000001")
    assert wire.rate(-change, previous) == -wire.rate(change, previous)


def test_documented_rates():
    assert wire.rate(-2_237_000, 147_996_000) == -151_152_734
    assert wire.rate(1_043_000, 102_417_000) == 101_838_562
