"""The module-level calls as coroutines.

Examples
--------
>>> from upbit_frames import aio
>>> df = await aio.candles("KRW-BTC", "1m", count=500)  # doctest: +SKIP
"""

from __future__ import annotations

from upbit_frames import calls
from upbit_frames.client import as_coroutine

__all__ = ["candles", "plan"]

candles = as_coroutine(calls.candles)
plan = as_coroutine(calls.plan)
