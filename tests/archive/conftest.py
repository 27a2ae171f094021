"""Makes archive files for the tests the way the exchange publishes them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence

import pytest

from upbit_frames.intervals import from_micros

CANDLE_HEADER = "date_time_utc,open,high,low,close,acc_trade_price,acc_trade_volume"
TRADE_HEADER = "seq,timestamp,volume,price,ask_bid"


class Maker:
    """Text and zips of the archive's form."""

    candle_header = CANDLE_HEADER
    trade_header = TRADE_HEADER

    @staticmethod
    def zip(member: str, text: str | bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr(member, text)
        return buffer.getvalue()

    @staticmethod
    def candle_text(rows: Sequence[Sequence[float]], header: str = CANDLE_HEADER, end: str = "\n") -> str:
        """Rows of (time in us, open, high, low, close, volume, value)."""
        lines = [header]
        for moment, open_, high, low, close, volume, value in rows:
            stamp = from_micros(int(moment)).strftime("%Y-%m-%dT%H:%M:%S")
            lines.append(f"{stamp},{open_},{high},{low},{close},{value},{volume}")
        return end.join(lines) + end

    @staticmethod
    def trade_text(rows: Sequence[Sequence[object]], header: str = TRADE_HEADER) -> str:
        """Rows of (seq, time in ms, volume, price, ask_bid)."""
        return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


@pytest.fixture(scope="session")
def make() -> type[Maker]:
    return Maker


Make = Callable[..., bytes]
