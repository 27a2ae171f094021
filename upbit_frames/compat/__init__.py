"""Coming from elsewhere: a drop-in for pyupbit, and a comparison.

- :mod:`upbit_frames.compat.pyupbit`: pyupbit's quotation functions and its WebSocketManager.
- :mod:`upbit_frames.compat.smart_routing`: the functions of an older smart-routing system.
- :func:`ab`: the same calls through two of them, side by side.

Each is a thin shell over the public calls: nothing below knows of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upbit_frames.compat import pyupbit, smart_routing
    from upbit_frames.compat.differences import ab
    from upbit_frames.compat.rows import ccxt_rows
    from upbit_frames.compat.sites import CompatWarning

__all__ = ["CompatWarning", "ab", "ccxt_rows", "pyupbit", "smart_routing"]

_LAZY = {
    "CompatWarning": "upbit_frames.compat.sites",
    "ab": "upbit_frames.compat.differences",
    "ccxt_rows": "upbit_frames.compat.rows",
    "pyupbit": "",
    "smart_routing": "",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _LAZY[name]
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
