"""A stand-in for Upbit on this machine, and what helps to test against it.

:class:`Exchange` is a loopback server whose candles, trades, tickers and books all come from one
set of seeded trades (or from files of real candles). ``python -m upbit_frames.testing`` runs it as
a process of its own. :mod:`upbit_frames.testing.strategies` has Hypothesis strategies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upbit_frames.testing.columns import Candles, Trades
    from upbit_frames.testing.exchange import Exchange
    from upbit_frames.testing.faults import Fault, Faults
    from upbit_frames.testing.limits import Limits
    from upbit_frames.testing.listings import Listing
    from upbit_frames.testing.market import MarketModel
    from upbit_frames.testing.sources import CandleFile, FixedTrades
    from upbit_frames.testing.virtual_clock import VirtualClock

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

_HOMES = {
    "CandleFile": "sources",
    "Candles": "columns",
    "Exchange": "exchange",
    "Fault": "faults",
    "Faults": "faults",
    "FixedTrades": "sources",
    "Limits": "limits",
    "Listing": "listings",
    "MarketModel": "market",
    "Trades": "columns",
    "VirtualClock": "virtual_clock",
}


def __getattr__(name: str) -> Any:
    # Late, because pytest loads the plugin below this package for every test run.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
