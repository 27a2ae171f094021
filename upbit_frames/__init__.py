"""Upbit market data as clean frames.

>>> import upbit_frames as uf
>>> df = uf.candles("KRW-BTC", "1m", start="2026-01-01", end="2026-03-01")  # doctest: +SKIP

Everything is loaded on first use: importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from upbit_frames import errors
from upbit_frames._version import __version__
from upbit_frames.config import Config, config, configure, using
from upbit_frames.schema import schema

if TYPE_CHECKING:
    from upbit_frames import aio, notebook
    from upbit_frames._face import (
        candles,
        compare,
        download,
        explain,
        follow,
        instruments,
        markets,
        orderbook,
        plan,
        stream,
        ticker,
        trades,
    )
    from upbit_frames.cache_view import cache
    from upbit_frames.cassette_folder import cassettes
    from upbit_frames.client import AsyncClient, Client
    from upbit_frames.metrics_figure import dashboard
    from upbit_frames.metrics_view import metrics
    from upbit_frames.recording import cassette
    from upbit_frames.taping import tape

_LAZY = {
    "candles": "upbit_frames._face",
    "compare": "upbit_frames._face",
    "download": "upbit_frames._face",
    "explain": "upbit_frames._face",
    "follow": "upbit_frames._face",
    "instruments": "upbit_frames._face",
    "markets": "upbit_frames._face",
    "orderbook": "upbit_frames._face",
    "plan": "upbit_frames._face",
    "stream": "upbit_frames._face",
    "ticker": "upbit_frames._face",
    "trades": "upbit_frames._face",
    "cache": "upbit_frames.cache_view",
    "dashboard": "upbit_frames.metrics_figure",
    "metrics": "upbit_frames.metrics_view",
    "cassette": "upbit_frames.recording",
    "cassettes": "upbit_frames.cassette_folder",
    "tape": "upbit_frames.taping",
    "Client": "upbit_frames.client",
    "AsyncClient": "upbit_frames.client",
    "aio": "",
    "notebook": "",
}

__all__ = [
    "AsyncClient",
    "Client",
    "Config",
    "__version__",
    "aio",
    "cache",
    "candles",
    "cassette",
    "cassettes",
    "compare",
    "config",
    "configure",
    "dashboard",
    "download",
    "errors",
    "explain",
    "follow",
    "instruments",
    "markets",
    "metrics",
    "notebook",
    "orderbook",
    "plan",
    "schema",
    "stream",
    "tape",
    "ticker",
    "trades",
    "using",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'upbit_frames' has no attribute {name!r}")
    home = _LAZY[name]
    found = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"{__name__}.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
