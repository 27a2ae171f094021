"""The numbers of order book levels, against plain lists of the same fields."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.exchange.wire.book_levels import Levels, level_arrays
from upbit_frames.exchange.wire.messages import decode

amounts = st.one_of(st.floats(min_value=0, allow_infinity=False), st.integers(0, 2**53))


def decoded(units: list[tuple[Any, ...]], *, simple: bool) -> list[Any]:
    """Return levels as the decoder of frames gives them."""
    long, short = ("ask_price", "bid_price", "ask_size", "bid_size"), ("ap", "bp", "as", "bs")
    levels = [dict(zip(short if simple else long, unit, strict=True)) for unit in units]
    frame: dict[str, Any] = (
        {"ty": "orderbook", "cd": "KRW-BTC", "tms": 1, "tas": 1, "tbs": 1, "obu": levels, "st": "REALTIME", "lv": 0}
        if simple
        else {
            "type": "orderbook", "code": "KRW-BTC", "timestamp": 1, "total_ask_size": 1, "total_bid_size": 1,
            "orderbook_units": levels, "stream_type": "REALTIME", "level": 0,
        }
    )  # fmt: skip
    (row,), refused = decode([msgspec.json.encode(frame)], [0])
    assert not refused
    return list(row.orderbook_units)


@given(st.lists(st.tuples(st.booleans(), st.lists(st.tuples(amounts, amounts, amounts, amounts), max_size=40))))
def test_the_arrays_are_the_fields(books: list[tuple[bool, list[tuple[Any, ...]]]]) -> None:
    units = [unit for simple, levels in books for unit in decoded(levels, simple=simple)]
    for name, values in zip(Levels._fields, level_arrays(units), strict=True):
        assert values.dtype == np.float64
        assert values.tolist() == [getattr(unit, name) for unit in units]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_any_number_of_levels(count: int) -> None:
    (unit,) = decoded([(2, 1, 0.25, 4e-8)], simple=False)
    levels = level_arrays([unit] * count)
    assert [values.tolist() for values in levels] == [[value] * count for value in (2.0, 0.25, 1.0, 4e-8)]
