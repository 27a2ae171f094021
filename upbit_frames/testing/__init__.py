"""A stand-in for Upbit on this machine, and what helps to test against it.

:class:`Exchange` is a loopback server whose candles, trades, tickers and books all come from a single
set of seeded trades (or from files of real candles). ``python -m upbit_frames.testing`` runs it as
a process of its own. :mod:`upbit_frames.testing.strategies` has Hypothesis strategies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upbit_frames.testing.market.columns import Candles, Trades
    from upbit_frames.testing.market.listings import Listing
    from upbit_frames.testing.market.model import MarketModel
    from upbit_frames.testing.market.sources import CandleFile, FixedTrades
    from upbit_frames.testing.server.exchange import Exchange
    from upbit_frames.testing.server.faults import Fault, Faults
    from upbit_frames.testing.server.limits import Limits
    from upbit_frames.testing.server.virtual_clock import VirtualClock

__all__ = [
    "CandleFile",
    "Candles",
    "Exchange",
    "Fault",
    "Faults",
    "FixedTrades",
    "Limits",
    "Listing",
    "MarketModel",
    "Trades",
    "VirtualClock",
]


def __dir__() -> list[str]:
    return sorted(__all__)


_HOMES = {
    "CandleFile": "market.sources",
    "Candles": "market.columns",
    "Exchange": "server.exchange",
    "Fault": "server.faults",
    "Faults": "server.faults",
    "FixedTrades": "market.sources",
    "Limits": "server.limits",
    "Listing": "market.listings",
    "MarketModel": "market.model",
    "Trades": "market.columns",
    "VirtualClock": "server.virtual_clock",
}


def __getattr__(name: str) -> Any:
    # Late, because pytest loads the plugin below this package for every test run.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
