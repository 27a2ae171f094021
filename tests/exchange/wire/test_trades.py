"""Trade pages: exact ids, order, and how each fault is named."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import SchemaError
from upbit_frames.exchange import wire as normalize

MARKET = "KRW-BTC"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def trade(millis: int, number: int, price: Any, volume: Any, side: str) -> dict[str, Any]:
    moment = EPOCH + timedelta(milliseconds=millis)
    return {
        "market": MARKET,
        "trade_date_utc": f"{moment:%Y-%m-%d}",
        "trade_time_utc": f"{moment:%H:%M:%S}",
        "timestamp": millis,
        "trade_price": price,
        "trade_volume": volume,
        "prev_closing_price": Decimal(100),
        "change_price": Decimal("-1.5"),
        "ask_bid": side,
        "sequential_id": millis * 10_000 + number,
    }


positive = st.integers(1, 10**15).map(lambda n: Decimal(n).scaleb(-8))
trades = st.builds(
    trade, st.integers(1_600_000_000_000, 1_600_000_000_050), st.integers(0, 20), positive, positive,
    st.sampled_from(["ASK", "BID"]),
)  # fmt: skip


@given(st.lists(trades, max_size=30, unique_by=lambda t: t["sequential_id"]), st.randoms(use_true_random=False))
def test_any_page_comes_back_sorted_and_exact(wire: Any, rows: list[dict[str, Any]], rng: random.Random):
    sent = rows + rng.choices(rows, k=rng.randrange(4)) if rows else []
    rng.shuffle(sent)
    table = normalize.trades(wire(sent, rng), MARKET)
    assert table.schema.equals(arrow_schema("trades"), check_metadata=True)
    wanted = sorted(rows, key=lambda t: (t["timestamp"], t["sequential_id"]))
    assert table["sequential_id"].to_pylist() == [t["sequential_id"] for t in wanted]
    assert table["time"].to_pylist() == [EPOCH + timedelta(milliseconds=t["timestamp"]) for t in wanted]
    assert table["price"].to_pylist() == [float(t["trade_price"]) for t in wanted]
    assert table["volume"].to_pylist() == [float(t["trade_volume"]) for t in wanted]
    assert table["value"].to_pylist() == [float(t["trade_price"]) * float(t["trade_volume"]) for t in wanted]
    assert table["side"].to_pylist() == [t["ask_bid"].lower() for t in wanted]
    assert table["seq"].null_count == len(rows)


def test_time_goes_before_id(wire: Any):
    """The docs do not promise that ids rise with time."""
    rows = [trade(1000, 0, 1, 1, "ASK") | {"sequential_id": 5}, trade(2000, 0, 1, 1, "BID") | {"sequential_id": 4}]
    assert normalize.trades(wire(rows), MARKET)["sequential_id"].to_pylist() == [5, 4]


def test_an_id_beyond_the_digits_of_a_float_stays_exact(wire: Any):
    odd = 2**53 + 1
    assert float(odd) != odd
    row = trade(1000, 0, 1, 1, "ASK") | {"sequential_id": odd}
    assert normalize.trades(wire([row]), MARKET)["sequential_id"].to_pylist() == [odd]


FAULTS = {
    "another market": ("market", "KRW-ETH", "KRW-ETH"),
    "id is missing": ("sequential_id", ..., "missing"),
    "id as a float": ("sequential_id", 1.5e16, "expected `int`"),
    "id as text": ("sequential_id", "17732400590950000", "expected `int`"),
    "id is null": ("sequential_id", None, "expected `int`"),
    "id above int64": ("sequential_id", 2**63, "expected `int`"),
    "id below zero": ("sequential_id", -1, "expected `int`"),
    "time zero": ("timestamp", 0, "expected `int`"),
    "time in the far future": ("timestamp", 253_402_300_800_000, "expected `int`"),
    "price zero": ("trade_price", 0, "above zero"),
    "price below zero": ("trade_price", -5, "above zero"),
    "volume below zero": ("trade_volume", -5, "negative"),
    "a third side": ("ask_bid", "BOTH", "is none of the values it can have here"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_place(wire: Any, fault: str):
    field, value, text = FAULTS[fault]
    rows = [trade(1000 + n, 0, 100, 1, "ASK") for n in range(3)]
    if value is ...:
        del rows[2][field]
    else:
        rows[2][field] = value
    with pytest.raises(SchemaError) as caught:
        normalize.trades(wire(rows), MARKET)
    assert caught.value.path == f"$[2].{field}"
    assert text in str(caught.value)
    assert caught.value.market == MARKET


@pytest.mark.parametrize("change", [{"trade_price": 101}, {"trade_volume": 2}, {"ask_bid": "BID"}, {"timestamp": 1001}])
def test_one_id_with_two_stories_is_refused(wire: Any, change: dict[str, Any]):
    row = trade(1000, 0, 100, 1, "ASK")
    with pytest.raises(SchemaError, match="twice") as caught:
        normalize.trades(wire([row, trade(1002, 1, 5, 5, "ASK"), row | change]), MARKET)
    assert caught.value.path == "$[2].sequential_id"


def test_an_empty_page_has_the_schema():
    assert normalize.trades(b"[]", MARKET).schema.equals(arrow_schema("trades"), check_metadata=True)
