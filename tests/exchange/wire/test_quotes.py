"""Tickers, order books, market lists and instruments."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import SchemaError
from upbit_frames.exchange import wire as normalize


def ticker(market: str = "KRW-BTC", **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "market": market, "trade_date": "20260311", "trade_time": "144058", "trade_date_kst": "20260311",
        "trade_time_kst": "234058", "trade_timestamp": 1773240058930, "opening_price": Decimal(102417000),
        "high_price": Decimal(103988000), "low_price": Decimal(101150000), "trade_price": Decimal(103493000),
        "prev_closing_price": Decimal(102417000), "change": "RISE", "change_price": Decimal(1076000),
        "change_rate": Decimal("0.0105060683"), "signed_change_price": Decimal(1076000),
        "signed_change_rate": Decimal("0.0105060683"), "trade_volume": Decimal("0.00094678"),
        "acc_trade_price": Decimal("104890185475.2282100000000000"), "acc_trade_price_24h": Decimal("162997300132.123"),
        "acc_trade_volume": Decimal("1024.30599241"), "acc_trade_volume_24h": Decimal("1587.73606087"),
        "highest_52_week_price": Decimal(179869000), "highest_52_week_date": "2025-10-09",
        "lowest_52_week_price": Decimal(89000000), "lowest_52_week_date": "2026-02-06", "timestamp": 1773240058973,
    }  # fmt: skip
    return row | changes


def test_a_ticker(wire: Any):
    table = normalize.ticker(wire([ticker()]))
    assert table.schema.equals(arrow_schema("ticker"), check_metadata=True)
    assert table.to_pylist() == [
        {
            "market": "KRW-BTC",
            "time": datetime(2026, 3, 11, 14, 40, 58, 930000, tzinfo=UTC),
            "price": 103493000.0,
            "volume": 0.00094678,
            "open": 102417000.0,
            "high": 103988000.0,
            "low": 101150000.0,
            "prev_close": 102417000.0,
            "change": "RISE",
            "change_price": 1076000.0,
            "change_rate": 0.0105060683,
            "value": 104890185475.22821,
            "value_24h": 162997300132.123,
            "volume_day": 1024.30599241,
            "volume_24h": 1587.73606087,
            "high_52w": 179869000.0,
            "high_52w_date": date(2025, 10, 9),
            "low_52w": 89000000.0,
            "low_52w_date": date(2026, 2, 6),
            "updated": datetime(2026, 3, 11, 14, 40, 58, 973000, tzinfo=UTC),
        }
    ]


def test_changes_are_signed_and_may_be_spelled_as_an_exponent(wire: Any):
    fall = ticker(change="FALL", signed_change_price=Decimal("-9.9E-7"), signed_change_rate=Decimal("-5E-8"))
    still = wire([ticker("KRW-ETH", change="EVEN", signed_change_price=0, signed_change_rate=0)])
    assert still.count(b'"signed_change_price":0,') == 1
    still = still.replace(b'"signed_change_price":0,', b'"signed_change_price":0E-8,')
    table = normalize.ticker(b"[" + wire([fall])[1:-1] + b"," + still[1:-1] + b"]")
    assert table["change_price"].to_pylist() == [-9.9e-7, 0.0]
    assert table["change_rate"].to_pylist() == [-5e-8, 0.0]


def test_rows_keep_the_order_of_the_answer_and_repeat_nothing(wire: Any):
    rows = [ticker("KRW-ETH"), ticker("BTC-ETH"), ticker("KRW-ETH"), ticker("KRW-BTC")]
    assert normalize.ticker(wire(rows))["market"].to_pylist() == ["KRW-ETH", "BTC-ETH", "KRW-BTC"]


def test_fields_only_korea_has_may_be_absent(wire: Any):
    row = ticker("IDR-BTC")
    del row["trade_date_kst"], row["trade_time_kst"]
    assert len(normalize.ticker(wire([row]))) == 1


TICKER_FAULTS = {
    "no code": ("market", "../etc", "matching regex"),
    "price zero": ("trade_price", 0, "> 0"),
    "price below zero": ("opening_price", -1, "> 0"),
    "price null": ("prev_closing_price", None, "expected `float`"),
    "value below zero": ("acc_trade_price_24h", -1, ">= 0"),
    "unknown change": ("change", "UP", "is none of the values it can have here"),
    "no date": ("highest_52_week_date", "yesterday", "not a date"),
    "high below low": ("high_price", 5, "below the lowest"),
    "time as text": ("timestamp", "1773240058973", "expected `int`"),
}


@pytest.mark.parametrize("fault", TICKER_FAULTS)
def test_a_fault_in_a_ticker_is_named_with_its_place(wire: Any, fault: str):
    field, value, text = TICKER_FAULTS[fault]
    # The repeated row must not shift the place that is told.
    rows = [ticker("KRW-ETH"), ticker("KRW-ETH"), ticker(**{field: value})]
    with pytest.raises(SchemaError) as caught:
        normalize.ticker(wire(rows))
    assert caught.value.path == f"$[2].{field}"
    assert text in str(caught.value)


def test_a_market_told_twice_differently_is_refused(wire: Any):
    with pytest.raises(SchemaError, match="KRW-BTC occurs twice") as caught:
        normalize.ticker(wire([ticker(), ticker(trade_price=Decimal(103494000))]))
    assert caught.value.path == "$[1].market"


# --- order books ---------------------------------------------------------------------------------


def book(market: str, units: list[tuple[Any, Any, Any, Any]], **more: Any) -> dict[str, Any]:
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    return {
        "market": market,
        "timestamp": 1773240059027,
        "total_ask_size": Decimal("4.17884094"),
        "total_bid_size": Decimal("2.29686376"),
        "orderbook_units": [dict(zip(names, unit, strict=True)) for unit in units],
    } | more


def test_an_order_book_has_a_row_a_level(wire: Any):
    units = [(99, 1, 101, Decimal("0.5")), (98, 2, 102, 3)]
    table = normalize.orderbook(wire([book("KRW-BTC", units, level=0), book("BTC-ETH", units[:1])]))
    assert table.schema.equals(arrow_schema("orderbook"), check_metadata=True)
    totals = {"total_ask_size": 4.17884094, "total_bid_size": 2.29686376}
    when = {"time": datetime(2026, 3, 11, 14, 40, 59, 27000, tzinfo=UTC)}
    best = {"ask_price": 101.0, "ask_size": 0.5, "bid_price": 99.0, "bid_size": 1.0}
    next_ = {"ask_price": 102.0, "ask_size": 3.0, "bid_price": 98.0, "bid_size": 2.0}
    assert table.to_pylist() == [
        {"market": "KRW-BTC", "level": 0} | best | totals | {"grouping": 0.0} | when,
        {"market": "KRW-BTC", "level": 1} | next_ | totals | {"grouping": 0.0} | when,
        {"market": "BTC-ETH", "level": 0} | best | totals | {"grouping": None} | when,
    ]


def test_padding_becomes_null_and_padding_of_both_sides_goes(wire: Any):
    units = [(99, 1, 101, 1), (98, 1, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)]
    table = normalize.orderbook(wire([book("KRW-BTC", units, level=10000)]))
    assert table["level"].to_pylist() == [0, 1]
    assert table["ask_price"].to_pylist() == [101.0, None]
    assert table["ask_size"].to_pylist() == [1.0, None]
    assert table["bid_size"].to_pylist() == [1.0, 1.0]
    assert table["grouping"].to_pylist() == [10000.0, 10000.0]


@settings(max_examples=60)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3), st.randoms(use_true_random=False))
def test_each_side_keeps_its_own_depth(wire: Any, asks: int, bids: int, padding: int, rng: random.Random):
    depth = max(asks, bids) + padding
    ask = [(Decimal(101 + n).scaleb(-8), Decimal(n + 1).scaleb(-8)) if n < asks else (0, 0) for n in range(depth)]
    bid = [(Decimal(100 - n).scaleb(-8), Decimal(n + 1).scaleb(-8)) if n < bids else (0, 0) for n in range(depth)]
    units = [(*low, *high) for low, high in zip(bid, ask, strict=True)]
    table = normalize.orderbook(wire([book("BTC-ETH", units)], rng))
    assert len(table) == max(asks, bids)
    for side, made in (("ask", ask[:asks]), ("bid", bid[:bids])):
        missing = [None] * (len(table) - len(made))
        assert table[f"{side}_price"].to_pylist() == [float(price) for price, _ in made] + missing
        assert table[f"{side}_size"].to_pylist() == [float(size) for _, size in made] + missing


def test_no_levels_no_rows(wire: Any):
    table = normalize.orderbook(wire([book("KRW-BTC", []), book("KRW-ETH", [])]))
    assert len(table) == 0
    assert table.schema.equals(arrow_schema("orderbook"), check_metadata=True)


@pytest.mark.parametrize(
    ("units", "path", "text"),
    [
        ([(99, 1, 101, 1), (98, 1, 100, 1)], "orderbook_units[1].ask_price", "best first"),
        ([(99, 1, 101, 1), (100, 1, 102, 1)], "orderbook_units[1].bid_price", "best first"),
        ([(99, 1, 101, 1), (99, 1, 102, 1)], "orderbook_units[1].bid_price", "best first"),
        ([(99, 1, 0, 0), (98, 1, 102, 1)], "orderbook_units[1].ask_price", "best first"),
        ([(99, 1, 0, 5)], "orderbook_units[0].ask_price", "price zero"),
        ([(-99, 1, 101, 1)], "orderbook_units[0].bid_price", ">= 0"),
        ([(99, "1", 101, 1)], "orderbook_units[0].bid_size", "expected `float`"),
    ],
)
def test_a_fault_in_a_book_is_named_with_its_place(wire: Any, units: Any, path: str, text: str):
    fine = book("KRW-ETH", [(99, 1, 101, 1), (98, 1, 102, 1)])
    with pytest.raises(SchemaError) as caught:
        normalize.orderbook(wire([fine, book("KRW-BTC", units)]))
    assert caught.value.path == f"$[1].{path}"
    assert text in str(caught.value)


# --- lists ---------------------------------------------------------------------------------------

FLAGS = ["PRICE_FLUCTUATIONS", "TRADING_VOLUME_SOARING", "DEPOSIT_AMOUNT_SOARING", "GLOBAL_PRICE_DIFFERENCES"]


def test_the_market_list_of_korea(wire: Any):
    event = {"warning": True, "caution": dict.fromkeys(FLAGS, False) | {FLAGS[1]: True, "A_NEW_ONE": True}}
    calm = {"warning": False, "caution": dict.fromkeys(FLAGS, False)}
    rows = [
        {"market": "KRW-BTC", "korean_name": "비트코인", "english_name": "Bitcoin", "market_event": event},
        {"market": "KRW-ETH", "korean_name": "이더리움", "english_name": "Ethereum", "market_event": calm},
    ]
    table = normalize.markets(wire(rows))
    assert table.schema.equals(arrow_schema("markets"), check_metadata=True)
    assert [tuple(one.values()) for one in table.to_pylist()] == [
        ("KRW-BTC", "비트코인", "Bitcoin", True, [FLAGS[1], "A_NEW_ONE"]),
        ("KRW-ETH", "이더리움", "Ethereum", False, []),
    ]


def test_the_market_list_elsewhere(wire: Any):
    rows = [
        {"market": "IDR-BTC", "english_name": "Bitcoin", "market_warning": "NONE"},
        {"market": "BTC-ETH", "english_name": "Ethereum", "market_warning": "CAUTION"},
        {"market": "USDT-BTC", "english_name": "Bitcoin"},
    ]
    table = normalize.markets(wire(rows))
    assert table["warning"].to_pylist() == [False, True, None]
    assert table["cautions"].to_pylist() == [None, None, None]
    assert table["korean_name"].to_pylist() == [None, None, None]


def test_instruments(wire: Any):
    rows = [
        {"market": "KRW-BTC", "quote_currency": "KRW", "tick_size": "1000", "supported_levels": ["0", "100000000"]},
        {"market": "BTC-ETH", "quote_currency": "BTC", "tick_size": "0.00000001", "supported_levels": ["0"]},
        {"market": "BTC-XRP", "quote_currency": "BTC", "tick_size": 1e-8, "supported_levels": [0, "1E-8"]},
    ]
    table = normalize.instruments(wire(rows))
    assert table.schema.equals(arrow_schema("instruments"), check_metadata=True)
    assert table["tick_size"].to_pylist() == [1000.0, 1e-8, 1e-8]
    assert table["supported_levels"].to_pylist() == [[0.0, 1e8], [0.0], [0.0, 1e-8]]


@pytest.mark.parametrize("text", ["", "nan", "1_000", " 1", "-1", "1,000", "inf", "1000원"])
def test_a_tick_size_that_is_no_number_is_refused(wire: Any, text: str):
    row = {"market": "KRW-BTC", "quote_currency": "KRW", "tick_size": text, "supported_levels": ["0"]}
    with pytest.raises(SchemaError) as caught:
        normalize.instruments(wire([row]))
    assert caught.value.path == "$[0].tick_size"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"english_name": None}, "$[0].english_name"),
        ({"market_event": {"warning": "NONE", "caution": {}}}, "$[0].market_event.warning"),
        ({"market_event": {"warning": True}}, "$[0].market_event.caution"),
        ({"market_warning": "MAYBE"}, "$[0].market_warning"),
    ],
)
def test_a_fault_in_the_market_list_is_named_with_its_place(wire: Any, change: dict[str, Any], path: str):
    with pytest.raises(SchemaError) as caught:
        normalize.markets(wire([{"market": "KRW-BTC", "english_name": "Bitcoin"} | change]))
    assert caught.value.path == path


@pytest.mark.parametrize("kind", ["ticker", "orderbook", "markets", "instruments"])
def test_an_empty_answer_has_the_schema(kind: str):
    table = getattr(normalize, kind)(b"[]")
    assert len(table) == 0
    assert table.schema.equals(arrow_schema(kind), check_metadata=True)
