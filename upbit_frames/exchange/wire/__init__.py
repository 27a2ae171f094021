"""Bytes from the exchange → Arrow, one function per endpoint (pure).

Every function takes the body of a 2xx answer and returns a table with exactly the schema of
:mod:`upbit_frames.core.schema`. Anything the API does not promise is a
:class:`~upbit_frames.errors.SchemaError` with the field (``path``) and the beginning of
the body (``sample``); there is no such thing as a partly accepted answer. Unknown extra fields
are ignored, because Upbit adds fields without notice.
"""

from __future__ import annotations

from upbit_frames.exchange.wire.candles import candles
from upbit_frames.exchange.wire.error_bodies import error_message
from upbit_frames.exchange.wire.markets import instruments, markets
from upbit_frames.exchange.wire.quotes import orderbook, ticker
from upbit_frames.exchange.wire.trades import trades

__all__ = ["candles", "error_message", "instruments", "markets", "orderbook", "ticker", "trades"]
