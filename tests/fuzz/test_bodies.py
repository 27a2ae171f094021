"""Damaged bodies and file names are read or refused with one of the package's errors, never with another exception."""

import random

import pytest

from upbit_frames.core.intervals import Span
from upbit_frames.errors import UpbitFramesError
from upbit_frames.exchange.wire.trades import trades
from upbit_frames.store.layout import file_name, parse_name

TRADE = (
    b'[{"market":"KRW-BTC","trade_date_utc":"2024-01-01","trade_time_utc":"00:00:00","timestamp":1704067200000,'
    b'"trade_price":5.0,"trade_volume":1.0,"prev_closing_price":4.0,"change_price":1.0,"ask_bid":"BID",'
    b'"sequential_id":17040672000000000}]'
)
TOKENS = [
    b"1",
    b'"x"',
    b"[]",
    b"{}",
    b"null",
    b"true",
    b"NaN",
    b"-1",
    b"\xff",
    b"\x00",
    b'"',
    b",",
    b"9" * 400,
    b"1e999",
]
READERS = {"trades": lambda body: trades(body, "KRW-BTC")}


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Replace one to four pieces."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(data) + 1)
        data = data[:start] + draw.choice(TOKENS) + data[start + draw.randint(0, 9) :]
    return data


def test_an_undamaged_body_is_read():
    assert trades(TRADE, "KRW-BTC").num_rows == 1


@pytest.mark.parametrize("name", READERS)
def test_damaged_bodies_are_read_or_refused(name):
    draw = random.Random(name)
    refused = 0
    for _ in range(1000):
        try:
            READERS[name](mutated(TRADE, draw))
        except UpbitFramesError:
            refused += 1
    assert refused > 500


def test_damaged_file_names_are_spans_or_none():
    draw = random.Random(1)
    whole = Span(1_704_067_200_000_000, 1_704_153_600_000_000)
    assert parse_name(file_name(whole)) == whole
    for _ in range(5000):
        name = mutated(file_name(whole).encode(), draw).decode("latin-1")
        span = parse_name(name)
        assert span is None or span.start < span.end
