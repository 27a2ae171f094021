"""Candle pages: what is accepted, and how each fault is named."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS, Interval, from_micros, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import SchemaError
from upbit_frames.exchange import wire as normalize

MARKET = "KRW-BTC"
MINUTE = INTERVALS["1m"]
START = to_micros(datetime(2026, 3, 11, 14, 40, tzinfo=UTC))

prices = st.integers(1, 10**16).map(lambda n: Decimal(n).scaleb(-8))
amounts = st.integers(0, 10**16).map(lambda n: Decimal(n).scaleb(-8))


def row(time: int, ohlc: tuple[Any, Any, Any, Any], volume: Any, value: Any, interval: Interval) -> dict[str, Any]:
    start = from_micros(time)
    found = {
        "market": MARKET,
        "candle_date_time_utc": start.strftime("%Y-%m-%dT%H:%M:%S"),
        "candle_date_time_kst": (start + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M:%S"),
        "opening_price": ohlc[0],
        "high_price": ohlc[1],
        "low_price": ohlc[2],
        "trade_price": ohlc[3],
        "timestamp": time // 1000 + 59_132,
        "candle_acc_trade_price": value,
        "candle_acc_trade_volume": volume,
    }
    if interval.unit is not None:
        found["unit"] = interval.unit
    if interval.name == "1d":
        found |= {"prev_closing_price": ohlc[0], "change_price": None, "change_rate": Decimal(0)}
    return found


@st.composite
def pages(draw: st.DrawFn) -> tuple[Interval, list[dict[str, Any]]]:
    """Candles of one series with distinct times, ascending."""
    interval = INTERVALS[draw(st.sampled_from(sorted(INTERVALS)))]
    slots = draw(st.sets(st.integers(0, 300), max_size=40))
    first = interval.ceil(to_micros(datetime(1990, 1, 1, tzinfo=UTC)) + draw(st.integers(0, 10**15)))
    rows = []
    for slot in sorted(slots):
        low, a, b, high = sorted(draw(st.tuples(prices, prices, prices, prices)))
        ohlc = (a, high, low, b) if draw(st.booleans()) else (b, high, low, a)
        time = first + slot * interval.step if interval.seconds else interval.shift(first, slot)
        rows.append(row(time, ohlc, draw(amounts), draw(amounts), interval))
    return interval, rows


def expected(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    fields = ("opening_price", "high_price", "low_price", "trade_price")
    fields += ("candle_acc_trade_volume", "candle_acc_trade_price")
    return [
        (datetime.fromisoformat(one["candle_date_time_utc"] + "+00:00"), *(float(one[name]) for name in fields))
        for one in rows
    ]


def told(table: Any) -> list[tuple[Any, ...]]:
    return [tuple(one.values()) for one in table.to_pylist()]


@given(pages(), st.randoms(use_true_random=False))
def test_any_page_comes_back_as_it_was(wire: Any, made: tuple[Interval, list[dict[str, Any]]], rng: random.Random):
    """Whatever spelling, order, white space, repetition or extra field."""
    interval, rows = made
    sent = rows + rng.choices(rows, k=rng.randrange(5)) if rows else []
    rng.shuffle(sent)
    if rng.random() < 0.5:
        sent = [one | {"a_new_field": {"x": [1, None, "매수"]}} for one in sent]
    table = normalize.candles(wire(sent, rng), MARKET, interval)
    assert table.schema.equals(arrow_schema("candles"), check_metadata=True)
    assert told(table) == expected(rows)


def test_an_empty_page_has_the_schema():
    table = normalize.candles(b"[]", MARKET, MINUTE)
    assert len(table) == 0
    assert table.schema.equals(arrow_schema("candles"), check_metadata=True)


@pytest.fixture
def good() -> list[dict[str, Any]]:
    """Five minutes, newest first."""
    ohlc = (Decimal(100), Decimal(120), Decimal(90), Decimal(110))
    return [row(START - n * MINUTE.step, ohlc, Decimal("1.5"), Decimal(150), MINUTE) for n in range(5)]


FAULTS = {
    "another market": ("market", "KRW-ETH", "'KRW-ETH' is none of the values it can have here"),
    "market is a number": ("market", 5, "expected `str`"),
    "another unit": ("unit", 3, "3 is none of the values it can have here"),
    "unit is text": ("unit", "1", "expected `int`"),
    "unit is null": ("unit", None, "expected `int`"),
    "off the grid": ("candle_date_time_utc", "2026-03-11T14:37:30", "starts no 1m candle"),
    "not a time": ("candle_date_time_utc", "2026-02-30T14:37:00", "not a time"),
    "hour 24": ("candle_date_time_utc", "2026-03-11T24:00:00", "not a time"),
    "minute 60": ("candle_date_time_utc", "2026-03-11T14:60:00", "not a time"),
    "date only": ("candle_date_time_utc", "2026-03-11", "not a time"),
    "time with a zone": ("candle_date_time_utc", "2026-03-11T14:37:00Z", "not a time"),
    "offset of nineteen letters": ("candle_date_time_utc", "2026-03-11T14:37+09", "not a time"),
    "year before 1000": ("candle_date_time_utc", "0026-03-11T14:37:00", "not a time"),
    "nineteen bytes, fewer letters": ("candle_date_time_utc", "2026-03-11T14:37:\uff10", "not a time"),
    "today": ("candle_date_time_utc", "today", "not a time"),
    "time not in ASCII": ("candle_date_time_utc", "2026-03-11T14:37:０0", "not a time"),
    "time is a number": ("candle_date_time_utc", 1773240059132, "expected `str`"),
    "price as text": ("trade_price", "110", "expected `float`"),
    "price is null": ("opening_price", None, "expected `float`"),
    "price zero": ("low_price", 0, "above zero"),
    "price below zero": ("low_price", -1, "above zero"),
    "high below low": ("high_price", 80, "high below low"),
    "open above high": ("opening_price", 121, "outside"),
    "close below low": ("trade_price", 89, "outside"),
    "volume below zero": ("candle_acc_trade_volume", -1, "below zero"),
    "value below zero": ("candle_acc_trade_price", -1, "below zero"),
    "value is an object": ("candle_acc_trade_price", {}, "expected `float`"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_place(wire: Any, good: list[dict[str, Any]], fault: str):
    field, value, text = FAULTS[fault]
    good[3][field] = value
    body = wire(good)
    with pytest.raises(SchemaError) as caught:
        normalize.candles(body, MARKET, MINUTE)
    assert caught.value.path == f"$[3].{field}"
    assert text in str(caught.value)
    assert caught.value.sample == body.decode()[:200]
    assert caught.value.suggestion
    assert (caught.value.market, caught.value.interval) == (MARKET, "1m")


def test_each_needed_field_is_named_when_missing(wire: Any, good: list[dict[str, Any]]):
    for field in set(good[2]) - {"candle_date_time_kst", "timestamp", "unit"}:
        rows = [dict(one) for one in good]
        del rows[2][field]
        with pytest.raises(SchemaError, match="missing") as caught:
            normalize.candles(wire(rows), MARKET, MINUTE)
        assert caught.value.path == f"$[2].{field}"


def test_fields_that_are_not_used_may_be_absent(wire: Any, good: list[dict[str, Any]]):
    for one in good:
        del one["candle_date_time_kst"], one["timestamp"], one["unit"]
    assert len(normalize.candles(wire(good), MARKET, MINUTE)) == 5


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "0x10", "1_000", "01"])
def test_what_is_no_finite_number_is_refused(wire: Any, good: list[dict[str, Any]], number: str):
    body = wire(good).replace(b"110.00000000", number.encode())
    with pytest.raises(SchemaError):
        normalize.candles(body, MARKET, MINUTE)


@pytest.mark.parametrize("close", ["105118000.00000000", "105118000.000000001", "105118000", "105118000.00000001"])
@pytest.mark.parametrize("blank", [b"", b" "])
def test_long_padded_numbers_are_read_exactly(wire: Any, good: list[dict[str, Any]], close: str, blank: bytes):
    """What is left out to read them faster is padding and nothing else."""
    good[0] |= dict.fromkeys(("opening_price", "low_price"), Decimal("90071992.54740993"))
    good[0] |= dict.fromkeys(("high_price", "trade_price"), Decimal(105118000))
    body = wire(good).replace(b"105118000.00000000,", close.encode() + blank + b",")
    table = normalize.candles(body, MARKET, MINUTE)
    assert table["close"].to_pylist()[-1] == float(close)
    assert table["open"].to_pylist()[-1] == 90071992.54740993
    for broken in (body[:-3], body.replace(b"1.5", b"1.5.", 1)):
        with pytest.raises(SchemaError, match="not valid JSON") as caught:
            normalize.candles(broken, MARKET, MINUTE)
        assert caught.value.sample == broken.decode()[:200]


def test_the_same_candle_told_differently_is_refused(wire: Any, good: list[dict[str, Any]]):
    twice = [*good, good[1] | {"trade_price": Decimal(111)}]
    with pytest.raises(SchemaError, match="twice") as caught:
        normalize.candles(wire(twice), MARKET, MINUTE)
    assert caught.value.path == "$[5].candle_date_time_utc"


BODIES = {
    "empty": (b"", "empty"),
    "blank": (b" \n", "empty"),
    "page": (b"<!DOCTYPE html><html><body>503</body></html>", "web page"),
    "text": (b"Too many API requests.", "not valid JSON"),
    "cut": (b'[{"market":"KRW-BTC"', "not valid JSON"),
    "bytes": (b"\xff\xfe\x00", "not valid JSON"),
    "bad utf-8": (b'[{"market":"\xff\xff"}]', "not valid JSON"),
    "object": (b'{"error":{"name":404,"message":"Code not found"}}', "expected `array`"),
    "null": (b"null", "expected `array`"),
    "numbers": (b"[1]", "expected `object`"),
    "trailing": (b"[] []", "not valid JSON"),
    "deep": (b'[{"x":' + b"[" * 100_000, "not valid JSON"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_another_shape_is_refused(name: str):
    body, text = BODIES[name]
    for read in (
        lambda: normalize.candles(body, MARKET, MINUTE),
        lambda: normalize.trades(body, MARKET),
        lambda: normalize.ticker(body),
        lambda: normalize.orderbook(body),
        lambda: normalize.markets(body),
        lambda: normalize.instruments(body),
    ):
        with pytest.raises(SchemaError, match=text) as caught:
            read()
        assert caught.value.path.startswith("$")
        assert len(caught.value.sample) <= 200


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_page_is_refused_or_read_but_nothing_else(wire: Any, data: Any):
    """Any single damage ends in a table or in SchemaError, never in another exception."""
    ohlc = (Decimal(100), Decimal(120), Decimal(90), Decimal(110))
    rows = [row(START - n * MINUTE.step, ohlc, Decimal("1.5"), Decimal(150), MINUTE) for n in range(3)]
    body = bytearray(wire(rows))
    low = data.draw(st.integers(0, len(body) - 1))
    high = data.draw(st.integers(low, min(len(body), low + 30)))
    body[low:high] = data.draw(st.binary(max_size=8))
    try:
        table = normalize.candles(bytes(body), MARKET, MINUTE)
    except SchemaError:
        return
    assert table.schema.equals(arrow_schema("candles"))
    assert len(table) <= 3
