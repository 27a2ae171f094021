"""Frames of trades, made by hand."""

from __future__ import annotations

import json

START = 1_772_335_830_000_000  # 2026-03-01T03:30:30Z in microseconds
SPEED = 60.0  # virtual seconds in a real one: trades are rare on a stand-in in real time


def trade_frame(number: int, market: str = "KRW-BTC", *, stream_type: str = "REALTIME") -> bytes:
    """The frame of the so-manyth trade; one a tenth of a second."""
    ms = START // 1000 + 100 * number
    return json.dumps(
        {
            "type": "trade", "code": market, "timestamp": ms + 3, "trade_timestamp": ms,
            "trade_price": 100_000.0 + number % 7, "trade_volume": 0.5, "ask_bid": "BID" if number % 2 else "ASK",
            "sequential_id": ms * 10_000 + number % 10, "stream_type": stream_type,
        }
    ).encode()  # fmt: skip
