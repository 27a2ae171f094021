"""The same calls through two sets of functions."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf


def raising(error: Exception) -> Any:
    def call(*args: Any) -> None:
        raise error

    return call


def test_the_drop_in_against_pyupbit(theirs: Any, ours: Any) -> None:
    calls = [
        ("get_ohlcv", ("KRW-BTC",), {"count": 3}),
        (theirs.get_current_price, ("KRW-BTC",)),
        ("get_tickers", (), {"fiat": "KRW"}),
        ("get_ohlcv", ("KRW-NOPE",)),
    ]
    table = uf.compat.ab(theirs, ours, calls)
    assert list(table.columns) == ["call", "equal", "differing", "old_ms", "new_ms", "old_error", "new_error"]
    assert table["call"].tolist() == [
        "get_ohlcv('KRW-BTC', count=3)", "get_current_price('KRW-BTC')", "get_tickers(fiat='KRW')",
        "get_ohlcv('KRW-NOPE')",
    ]  # fmt: skip
    assert table["equal"].all()
    assert (table[["old_ms", "new_ms"]] > 0).all().all()


def test_what_differs_is_named() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, float("nan")]})
    old = SimpleNamespace(
        flat=lambda: {"a": 1, "b": 2}, rows=lambda: [{"a": 1}], frame=lambda: frame, number=lambda: 1.0,
        none=lambda: None, same=lambda: {"x": float("nan")},
    )  # fmt: skip
    new = SimpleNamespace(
        flat=lambda: {"a": 1, "b": 3, "c": 4}, rows=lambda: [{"a": 2}], frame=lambda: frame.assign(a=[1.0, 3.0]),
        number=lambda: 2.0, none=lambda: frame, same=lambda: {"x": float("nan")},
    )  # fmt: skip
    table = uf.compat.ab(old, new, list(vars(old)))
    assert table["differing"].tolist() == [["b", "c"], ["a"], ["a"], ["value"], ["NoneType, DataFrame"], []]
    assert table["equal"].tolist() == [False] * 5 + [True]
    html = table._repr_html_()
    assert html.count("<tr style") == 5
    assert "<mark>b, c</mark>" in html
    assert "5 of 6 calls differ" in html
    assert table[table["equal"]]._repr_html_().count("<mark>") == 0


def test_errors_are_compared_by_type() -> None:
    old = SimpleNamespace(
        gone=raising(KeyError("gone")), other=raising(KeyError("gone")), once=raising(ValueError("x"))
    )
    new = SimpleNamespace(gone=raising(KeyError("away")), other=raising(ValueError("<no>")), once=lambda: 1)
    table = uf.compat.ab(old, new, ["gone", "other", "once"])
    assert table["equal"].tolist() == [True, False, False]
    assert table["old_error"].tolist() == ["KeyError: 'gone'", "KeyError: 'gone'", "ValueError: x"]
    assert table["new_error"].tolist() == ["KeyError: 'away'", "ValueError: <no>", ""]
    assert "&lt;no&gt;" in table._repr_html_()


def test_coroutines_are_awaited() -> None:
    async def get(number: int) -> int:
        await asyncio.sleep(0)
        return number

    old, new = SimpleNamespace(get=get), {"get": lambda number: number}
    table = uf.compat.ab(old, new, [("get", (3,))], n=2)
    assert table["equal"].tolist() == [True]

    async def inside() -> pd.DataFrame:
        return uf.compat.ab(old, new, [("get", (3,))])

    assert asyncio.run(inside())["equal"].tolist() == [True]


@pytest.mark.parametrize("calls", [[("nothing", ())], [("get", "KRW-BTC")], [(5, ())], [("get", (), 5)]])
def test_what_is_no_call_is_refused(calls: list[Any]) -> None:
    side = SimpleNamespace(get=lambda *args: args)
    with pytest.raises(uf.errors.QueryError):
        uf.compat.ab(side, side, calls)
    with pytest.raises(uf.errors.QueryError):
        uf.compat.ab(side, side, [], n=0)
