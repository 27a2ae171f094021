"""Pictures of candles; matplotlib is loaded when the first one is drawn.

>>> ax = df.uf.plot()  # doctest: +SKIP
"""

from __future__ import annotations

from upbit_frames.frames.plot.candles import candles
from upbit_frames.frames.plot.lines import comparison
from upbit_frames.frames.plot.style import STYLES, Style

__all__ = ["STYLES", "Style", "candles", "comparison"]


def __dir__() -> list[str]:
    return sorted(__all__)
