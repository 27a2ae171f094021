"""What may be stored, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from upbit_frames.store import validation as rows
from upbit_frames.store.base import Series

MINUTE = 60_000_000
BASE = 1_704_067_200_000_000  # 2024-01-01


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda: {"low": [9.0], "high": [8.0]}, "high: high below low"),
        (lambda: {"close": [1e9]}, "close: close outside of low and high"),
        (lambda: {"volume": [-1.0]}, "volume: volume or value below zero"),
        (lambda: {"open": [float("nan")]}, "open: not a finite number"),
        (lambda: {"value": [float("inf")]}, "value: not a finite number"),
        (lambda: {"low": [0.0]}, "low: price not above zero"),
    ],
)
def test_impossible_prices_are_seen(kit: Any, change: Callable[[], Any], complaint: str) -> None:
    table = kit.candles([BASE])
    for name, values in change().items():
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), pa.array(values, pa.float64()))
    assert complaint in str(rows.prices(kit.series, table))
    assert rows.prices(kit.series, kit.candles([BASE])) is None


def test_an_impossible_side_is_seen(kit: Any) -> None:
    series, table = Series("trades", "KRW-BTC"), kit.trades([BASE], [1])
    assert rows.prices(series, table) is None
    wrong = table.set_column(4, table.schema.field("side"), pa.array(["BID"]))
    assert "side is 'BID'" in str(rows.prices(series, wrong))
