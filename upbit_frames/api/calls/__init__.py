"""Every call of the public surface, described once.

Each function here takes the settings first, checks its arguments and returns a ``Call``.
``Client``, ``AsyncClient``, the module-level functions and ``aio`` are built from these (see
``upbit_frames.api.client``), so a call has one signature and one docstring.
"""

from __future__ import annotations

from upbit_frames.api.calls.bars import bars
from upbit_frames.api.calls.books import books
from upbit_frames.api.calls.bundle import bundle
from upbit_frames.api.calls.call import Call
from upbit_frames.api.calls.candles import candles, plan
from upbit_frames.api.calls.catalog import catalog
from upbit_frames.api.calls.compare import compare
from upbit_frames.api.calls.datasets import scan, sql
from upbit_frames.api.calls.download import cross_check, download
from upbit_frames.api.calls.explain import explain
from upbit_frames.api.calls.follow import follow, open_follow
from upbit_frames.api.calls.mapping import map_markets
from upbit_frames.api.calls.metrics import dashboard, metrics
from upbit_frames.api.calls.panel import cross_section, panel
from upbit_frames.api.calls.quality import quality
from upbit_frames.api.calls.quotes import instruments, markets, orderbook, ticker
from upbit_frames.api.calls.record import open_record, record
from upbit_frames.api.calls.stream import open_stream, stream
from upbit_frames.api.calls.trades import trades
from upbit_frames.api.calls.universe import universe
from upbit_frames.api.calls.update import update

__all__ = [
    "Call",
    "bars",
    "books",
    "bundle",
    "candles",
    "catalog",
    "compare",
    "cross_check",
    "cross_section",
    "dashboard",
    "download",
    "explain",
    "follow",
    "instruments",
    "map_markets",
    "markets",
    "metrics",
    "open_follow",
    "open_record",
    "open_stream",
    "orderbook",
    "panel",
    "plan",
    "quality",
    "record",
    "scan",
    "sql",
    "stream",
    "ticker",
    "trades",
    "universe",
    "update",
]
