"""The module-level calls with the settings in force; loaded on first use by the package."""

from __future__ import annotations

from upbit_frames import calls
from upbit_frames.client import as_function

__all__ = ["candles", "plan"]

candles = as_function(calls.candles)
plan = as_function(calls.plan)
