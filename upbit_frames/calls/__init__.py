"""Every call of the public surface, described once.

Each function here takes the settings first, checks its arguments and returns a ``Call``.
``Client``, ``AsyncClient``, the module-level functions and ``aio`` are made from these (see
``upbit_frames.client``), so a call has one signature and one docstring.
"""

from __future__ import annotations

from upbit_frames.calls.base import Call
from upbit_frames.calls.bulk import cross_check, download
from upbit_frames.calls.candles import candles, plan
from upbit_frames.calls.compare import compare
from upbit_frames.calls.follow import follow, open_follow
from upbit_frames.calls.live import open_stream, stream
from upbit_frames.calls.measured import dashboard, metrics
from upbit_frames.calls.quotes import instruments, markets, orderbook, ticker
from upbit_frames.calls.trades import trades
from upbit_frames.calls.why import explain

__all__ = [
    "Call",
    "candles",
    "compare",
    "cross_check",
    "dashboard",
    "download",
    "explain",
    "follow",
    "instruments",
    "markets",
    "metrics",
    "open_follow",
    "open_stream",
    "orderbook",
    "plan",
    "stream",
    "ticker",
    "trades",
]
