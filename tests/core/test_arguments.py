"""Single arguments: bounds, messages, and what a call says about arguments that it does not have."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import upbit_frames as uf
from upbit_frames import aio
from upbit_frames.core import arguments
from upbit_frames.errors import ConfigError, InvalidArgument, InvalidMarket, QueryError


@pytest.mark.parametrize("value", [1, 30, np.int64(7), np.uint8(30)])
def test_integers_within_bounds(value: Any) -> None:
    assert arguments.whole("depth", value, 1, 30) == int(value)


@pytest.mark.parametrize("value", [0, 31, -1, 1.0, "5", None, True, np.True_, np.float64(5), [1], math.nan])
def test_other_integers_are_refused_in_one_form(value: Any) -> None:
    with pytest.raises(QueryError) as caught:
        arguments.whole("depth", value, 1, 30)
    assert caught.value.message == f"depth must be an integer from 1 to 30, got {value!r}"
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (-1, {"low": 0, "high": 3600}, "every must be a number from 0 to 3,600, got -1"),
        (0, {"low": 0, "above": True}, "every must be a number above 0, got 0"),
        (4000, {"low": 0, "high": 3600, "above": True}, "every must be a number above 0 and up to 3,600, got 4000"),
        ("5", {"low": 0}, "every must be a number of at least 0, got '5'"),
        (math.nan, {"low": 0}, "every must be a number of at least 0, got nan"),
        (math.inf, {"low": 0}, "every must be a number of at least 0, got inf"),
        (True, {"low": 0}, "every must be a number of at least 0, got True"),
        (10**400, {"low": 0}, f"every must be a number of at least 0, got {10**400}"),
    ],
)
def test_numbers_out_of_bounds(value: Any, options: Any, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        arguments.number("every", value, **options)
    assert caught.value.message == message


def test_numbers_within_bounds() -> None:
    assert arguments.number("every", np.float32(0.5), 0) == 0.5
    assert arguments.number("every", Decimal("0.5"), 0) == 0.5
    assert arguments.number("speed", math.inf, 0, above=True, infinite=True) == math.inf


@pytest.mark.parametrize("value", ["no", 0, 1, None, "True"])
def test_flags_are_true_or_false(value: Any) -> None:
    with pytest.raises(QueryError, match="forming must be True or False, got"):
        arguments.flag("forming", value)
    assert arguments.flag("forming", np.True_) is True


@pytest.mark.parametrize("value", [-1, 2e9, "x", True, [1], math.nan, ""])
def test_price_levels(value: Any) -> None:
    assert [arguments.price_level(level) for level in (None, 0, "10000", 0.01)] == [0, 0, 10000, 0.01]
    with pytest.raises(QueryError, match="level must be a price grouping from 0 to 1,000,000,000"):
        arguments.price_level(value)


def test_a_choice_names_the_nearest() -> None:
    with pytest.raises(
        QueryError, match=r"gaps must be one of 'raw', 'fill', 'nan', got 'ffill'\. .*did you mean 'fill'"
    ):
        arguments.choice("gaps", "ffill", ("raw", "fill", "nan"))
    with pytest.raises(QueryError, match=r"got \['raw'\]"):
        arguments.choice("gaps", ["raw"], ("raw", "fill", "nan"))


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: uf.candles("KRW-BTC", "1d", 200), "market and interval by position.*write count=200"),
        (lambda: uf.candles("KRW-BTC", "1d", "2026-01-01"), "write start='2026-01-01'"),
        (lambda: uf.candles("KRW-BTC", to="2026-01-01"), "no argument 'to'.*use end= .exclusive."),
        (lambda: uf.candles("KRW-BTC", limit=5), "no argument 'limit'.*use count="),
        (lambda: uf.candles("KRW-BTC", since="2026-01-01"), "no argument 'since'.*use start= .inclusive."),
        (lambda: uf.candles("KRW-BTC", timeframe="1d"), "no argument 'timeframe'.*use interval="),
        (lambda: uf.candles(symbol="KRW-BTC"), "no argument 'symbol'.*use market="),
        (lambda: uf.candles("KRW-BTC", timezone="KST"), "no argument 'timezone'.*use tz="),
        (lambda: uf.candles("KRW-BTC", Count=5), "no argument 'Count'.*use count="),
        (lambda: uf.candles("KRW-BTC", xyzzy=5), "no argument 'xyzzy'.*there are market, interval, quote, start"),
        (lambda: uf.candles("KRW-BTC", market="KRW-ETH"), "got market twice"),
        (lambda: uf.trades("KRW-BTC", limit=5), "use count="),
        (lambda: uf.trades("KRW-BTC", 5), "trades.. takes market by position.*write count=5"),
        (lambda: uf.ticker(market="KRW-BTC"), "use markets="),
        (lambda: uf.orderbook("KRW-BTC", limit=5), "there are markets, quote, depth"),
        (lambda: uf.stream("KRW-BTC", limit=5), "use count="),
        (lambda: uf.download("KRW-BTC", "1d", since="2026"), "use start="),
        (lambda: aio.stream("KRW-BTC", symbol=1), "stream.. has no argument 'symbol'.*use markets="),
        (lambda: uf.Client().candles("KRW-BTC", limit=5), "use count="),
        (lambda: uf.explain("candles", "KRW-BTC", limit=5), "candles.. has no argument 'limit'.*use count="),
    ],
)
def test_arguments_that_a_call_does_not_have(call: Any, hint: str) -> None:
    with pytest.raises(InvalidArgument, match=hint) as caught:
        call()
    assert isinstance(caught.value, TypeError)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), InvalidArgument)


@pytest.mark.parametrize(
    ("name", "near"),
    [("timezone", "'tz'"), ("zone", "'tz'"), ("cache", "'cache_dir'"), ("timeot", "'timeout'"), ("url", "'rest_url'")],
)
def test_a_setting_that_does_not_exist_names_the_one_meant(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no setting '{name}'.*did you mean {near}"):
        uf.configure(**{name: "x"})
    with pytest.raises(ConfigError, match=r"there is no setting 'xyzzy'.*there are: archive"):
        uf.configure(xyzzy=1)


def test_candles_without_markets_say_what_is_missing() -> None:
    with pytest.raises(InvalidMarket, match="neither markets nor quote was given"):
        uf.candles()
