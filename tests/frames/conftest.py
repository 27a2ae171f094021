"""Fixtures of this folder."""

from __future__ import annotations

from support.candle_tables import candles, trades, walk

__all__ = ["candles", "trades", "walk"]
