"""Prices, order books, market lists and price steps of the drop-in are those of pyupbit."""

from __future__ import annotations

import inspect
import time
from typing import Any

import pytest

import upbit_frames as uf

SAME: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "price": ("get_current_price", (), {}),
    "price of one in a list": ("get_current_price", (["KRW-ETH"],), {}),
    "price of a cheap market": ("get_current_price", ("BTC-ETH",), {}),
    "comma": ("get_current_price", ("KRW-ETH,KRW-BTC",), {}),
    "prices": ("get_current_price", (["KRW-ETH", "KRW-BTC", "BTC-ETH"],), {}),
    "tuple": ("get_current_price", (("KRW-ETH", "KRW-BTC"),), {}),
    "no prices": ("get_current_price", ([],), {}),
    "verbose": ("get_current_price", ("KRW-BTC",), {"verbose": True}),
    "verbose list": ("get_current_price", (["KRW-BTC", "USDT-BTC"],), {"verbose": True}),
    "book": ("get_orderbook", (), {}),
    "book of one in a list": ("get_orderbook", (["KRW-ETH"],), {}),
    "book of a thin market": ("get_orderbook", ("KRW-NEW",), {}),
    "book of a cheap market": ("get_orderbook", ("BTC-ETH",), {}),
    "books": ("get_orderbook", (["KRW-ETH", "KRW-BTC"],), {}),
    "book of a comma string": ("get_orderbook", ("KRW-BTC,KRW-ETH",), {}),
    "tickers": ("get_tickers", (), {}),
    "tickers of won": ("get_tickers", ("KRW",), {}),
    "tickers by prefix": ("get_tickers", ("KRW-B",), {}),
    "tickers of nothing": ("get_tickers", ("krw",), {}),
    "verbose tickers": ("get_tickers", ("BTC",), {"verbose": True}),
    "detailed tickers": ("get_tickers", ("KRW",), {"is_details": True}),
    "url": ("get_url_ohlcv", ("minutes240",), {}),
    "url of days": ("get_url_ohlcv", ("1m",), {}),
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", SAME)
def test_answers_are_equal(theirs: Any, ours: Any, name: str) -> None:
    function, args, kwargs = SAME[name]
    expected = getattr(theirs, function)(*args, **kwargs)
    answer = getattr(ours, function)(*args, **kwargs)
    assert answer == expected
    assert str(answer) == str(expected)  # integers stay integers, and nothing is numpy's


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", ["price", "prices", "no prices", "book", "tickers of won"])
def test_limits_come_along(theirs: Any, ours: Any, name: str) -> None:
    function, args, kwargs = SAME[name]
    answer, limit = getattr(ours, function)(*args, **kwargs, limit_info=True)
    assert answer == getattr(theirs, function)(*args, **kwargs)
    assert {key: type(value) for key, value in limit.items()} == {"group": str, "min": int, "sec": int}


@pytest.mark.usefixtures("quiet")
def test_price_steps(theirs: Any, ours: Any) -> None:
    prices = [
        2_500_400, 1_000_777, 777_777.7, 123_456, 54_321.9, 1_234.5, 345.67, 34.567, 3.4567, 0.34567, 0.034567,
        0.0034567, 0.00034567, 0.000034567, 0,
    ]  # fmt: skip
    for price in prices:
        for method in ("floor", "round", "ceil"):
            assert repr(ours.get_tick_size(price, method)) == repr(theirs.get_tick_size(price, method))


@pytest.mark.parametrize("call", ["get_current_price", "get_orderbook"])
@pytest.mark.parametrize("market", ["KRW-NOPE", "BTC", ["KRW-BTC", "KRW-NOPE"]])
def test_unknown_markets_raise(ours: Any, call: str, market: Any) -> None:
    with pytest.raises(ours.errors.UpbitError) as caught:
        getattr(ours, call)(market)
    error = caught.value
    assert (error.code, error.name) == (404, 404)
    assert str(error) == error.msg
    assert isinstance(error, uf.errors.UpbitFramesError)


@pytest.mark.parametrize(
    ("kind", "code", "name"),
    [("429", 429, "TooManyRequests"), ("500", 500, "UpbitError"), ("503", 503, "UpbitError"),
     ("418", 418, "UpbitError"), ("html", None, "UpbitError"), ("blank", None, "UpbitError"),
     ("drop", None, "UpbitError")],
)  # fmt: skip
@pytest.mark.parametrize("call", ["get_current_price", "get_orderbook", "get_tickers"])
def test_failures_have_pyupbits_names(
    call: str, kind: str, code: int | None, name: str, ours: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upbit_frames.exchange.transport import rate_limiter
    from upbit_frames.exchange.transport.rate_limit_state import SharedSlots
    from upbit_frames.exchange.transport.retry import RetryPolicy
    from upbit_frames.runtime.clock import ManualClock
    from upbit_frames.testing import Exchange

    monkeypatch.setattr(RetryPolicy, "pause", lambda self, attempt: 0.0)
    # The limiter keeps its pauses after each refusal, on a clock that waiting moves on.
    clock = ManualClock(now=time.time_ns() // 1000)
    limiter = rate_limiter.Limiter(SharedSlots("refusing", tmp_path), clock=clock)
    monkeypatch.setattr(rate_limiter, "limiter_for", lambda url, *, rate: limiter)
    before = clock.monotonic()
    with Exchange(seed=7, limits=False) as failing:
        failing.faults.add(kind, times=None)
        with (
            uf.using(**failing.settings(), cache_dir=tmp_path),
            pytest.raises(ours.errors.UpbitError) as caught,
        ):
            getattr(ours, call)()
    assert type(caught.value).__name__ == name
    if code is not None:
        assert caught.value.code == code
    assert str(caught.value) == caught.value.msg != ""
    if kind == "429":
        assert clock.monotonic() - before >= 1 + 2 + 4 + 8 + 16


@pytest.mark.parametrize("call", ["get_current_price", "get_orderbook"])
def test_an_empty_answer_is_an_error_with_a_name(exchange: Any, ours: Any, call: str) -> None:
    exchange.faults.add("empty", times=None)
    try:
        with pytest.raises(ours.errors.UpbitError, match="KRW-BTC"):
            getattr(ours, call)()
    finally:
        exchange.faults.clear()


def test_signatures(theirs: Any, ours: Any) -> None:
    for name in (
        "get_tickers", "get_ohlcv", "get_ohlcv_from", "get_daily_ohlcv_from_base", "get_current_price",
        "get_orderbook", "get_tick_size", "get_url_ohlcv",
    ):  # fmt: skip
        expected = inspect.signature(getattr(theirs, name)).parameters.values()
        actual = list(inspect.signature(getattr(ours, name)).parameters.values())
        for one, other in zip(expected, actual[: len(expected)], strict=True):
            assert (one.name, one.default, one.kind) == (other.name, other.default, other.kind)
        assert all(one.kind is one.KEYWORD_ONLY for one in actual[len(expected) :])


def test_names(theirs: Any, ours: Any) -> None:
    import importlib

    assert ours.__version__ == theirs.__version__ == "0.2.33"
    for name in dir(importlib.import_module("pyupbit.errors")):
        if (
            isinstance(getattr(theirs.errors, name), type)
            and getattr(theirs.errors, name).__module__ == "pyupbit.errors"
        ):
            kind = getattr(ours.errors, name)
            if name in theirs.errors.__all__:
                expected = getattr(theirs, name)
                assert getattr(ours, name) is kind
                assert (kind.name, kind.code) == (expected.name, expected.code)
                raised = kind()
                assert str(raised) == raised.msg != ""
    for module in ("quotation_api", "websocket_api", "errors"):
        importlib.import_module(f"upbit_frames.compat.pyupbit.{module}")
    for leaked in ("pd", "datetime", "time", "json", "requests"):
        assert getattr(ours, leaked) is getattr(theirs, leaked, getattr(theirs.request_api, leaked, None))
    space: dict[str, Any] = {}
    exec("from upbit_frames.compat.pyupbit import *", space)
    assert {"get_ohlcv", "get_current_price", "Upbit", "WebSocketManager", "pd"} <= set(space)


def test_orders_are_refused_in_a_sentence(ours: Any) -> None:
    with pytest.raises(uf.errors.UsageError, match="orders are not part of upbit_frames; keep `import pyupbit`"):
        ours.Upbit("access", "secret")
