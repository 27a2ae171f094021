"""Pictures of candles; matplotlib is loaded when the first one is drawn.

>>> ax = df.uf.plot()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upbit_frames.frames.plot.candles import candles
from upbit_frames.frames.plot.style import STYLES, Style

if TYPE_CHECKING:
    from upbit_frames.frames.plot.lines import comparison

__all__ = ["STYLES", "Style", "candles", "comparison"]


def __getattr__(name: str) -> Any:
    if name == "comparison":  # needs pandas, which importing this package does not load
        from upbit_frames.frames.plot.lines import comparison

        return comparison
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
