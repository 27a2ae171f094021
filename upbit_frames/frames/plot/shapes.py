"""Candles, volume and lines as collections of matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upbit_frames.frames.plot.content import Array, Chart
from upbit_frames.frames.plot.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_prices", "draw_volume", "mark_last"]

_BODY = 0.72  # share of a period that a body is wide
_FEWEST = 12  # periods the time axis has room for at least
_DENSE = 0.9  # points; with less room for each, candles are drawn as lines so wide
_FLAT = 1.0  # points that a candle of one price is high at least
_FILLED = 1.8  # points that a filled candle is high


def _directions(chart: Chart, look: Style) -> list[tuple[Array, str, str]]:
    """Which candles have which colour of outline and of body."""
    real = ~chart.filled
    up, down = real & (chart.close > chart.open), real & (chart.close < chart.open)
    flat = real & ~up & ~down
    parts = ((up, look.up, look.up_body or look.up), (down, look.down, look.down), (flat, look.flat, look.flat))
    return [part for part in parts if part[0].any()]


def _room(ax: Axes, chart: Chart) -> float:
    """Points that a period has on the axis."""
    periods = max(float(_FEWEST), (chart.left[-1] + chart.width[-1] - chart.left[0]) / chart.width.min())
    inches = ax.get_window_extent().width / ax.figure.dpi
    return float(inches * 72 / periods)


def _lines(x: Any, low: Any, high: Any) -> Array:
    import numpy as np

    return np.stack([np.column_stack([x, low]), np.column_stack([x, high])], axis=1)


def _boxes(left: Any, right: Any, bottom: Any, top: Any) -> Array:
    import numpy as np

    corners = [(left, bottom), (left, top), (right, top), (right, bottom)]
    return np.stack([np.column_stack(corner) for corner in corners], axis=1)


def draw_prices(ax: Axes, chart: Chart, look: Style) -> None:
    """Draw wicks and bodies, and set the limits of the axes."""
    import numpy as np
    from matplotlib.collections import LineCollection, PolyCollection

    room = _room(ax, chart)
    middle = chart.left + chart.width / 2
    half = chart.width * _BODY / 2
    if room < _DENSE:
        _draw_lines(ax, chart, look, chart.low, chart.high)
    else:
        wick, outline = np.clip(0.18 * room, 0.6, 1.2), np.clip(0.1 * room, 0.2, 1.0)
        for chosen, edge, body in _directions(chart, look):
            x, wide = middle[chosen], half[chosen]
            lines = _lines(x, chart.low[chosen], chart.high[chosen])
            ax.add_collection(LineCollection(lines, colors=edge, linewidths=wick, zorder=2), autolim=False)
            low = np.minimum(chart.open, chart.close)[chosen]
            high = np.maximum(chart.open, chart.close)[chosen]
            # The outline keeps a body visible whose open and close are one price.
            thick = max(outline, _FLAT) if (low == high).all() else outline
            bodies = PolyCollection(
                _boxes(x - wide, x + wide, low, high),
                facecolors=body, edgecolors=edge, linewidths=thick, joinstyle="miter", zorder=3,
            )  # fmt: skip
            ax.add_collection(bodies, autolim=False)
    _draw_filled(ax, chart, look)
    # A few candles are not blown up to the whole width.
    spread = chart.left[-1] + chart.width[-1] - chart.left[0]
    margin = max(0.015 * spread, 0.6 * chart.width[-1], (_FEWEST * chart.width[-1] - spread) / 2)
    ax.set_xlim(chart.left[0] - margin, chart.left[-1] + chart.width[-1] + margin)
    low, high = float(chart.low.min()), float(chart.high.max())
    pad = 0.05 * (high - low) or 0.01 * high
    ax.set_ylim(low - pad, high + pad)


def _draw_filled(ax: Axes, chart: Chart, look: Style) -> None:
    """Candles that no trade made: dashes as wide as their periods, above everything, in a colour of their own."""
    import numpy as np
    from matplotlib.collections import LineCollection

    if not chart.filled.any():
        return
    left, price = chart.left[chart.filled], chart.close[chart.filled]
    ends = left + chart.width[chart.filled]
    dashes: Array = np.stack([np.column_stack([left, price]), np.column_stack([ends, price])], axis=1)
    shapes = LineCollection(dashes, colors=look.filled, linewidths=_FILLED, capstyle="butt", zorder=4, gid="filled")
    ax.add_collection(shapes, autolim=False)


def draw_volume(below: Axes, chart: Chart, look: Style) -> None:
    """Draw a bar of volume for each candle."""
    from matplotlib.collections import PolyCollection

    nothing = 0 * chart.volume
    if _room(below, chart) < _DENSE:
        _draw_lines(below, chart, look, nothing, chart.volume)
    else:
        middle = chart.left + chart.width / 2
        half = chart.width * _BODY / 2
        for chosen, colour, _ in _directions(chart, look):
            x, wide = middle[chosen], half[chosen]
            bars = _boxes(x - wide, x + wide, nothing[chosen], chart.volume[chosen])
            below.add_collection(PolyCollection(bars, facecolors=colour, edgecolors="none", alpha=0.8), autolim=False)
    below.set_ylim(0, 1.08 * float(chart.volume.max()) or 1.0)


def _draw_lines(ax: Axes, chart: Chart, look: Style, low: Any, high: Any) -> None:
    """Where several candles share a pixel: crisp lines in the order of time, not a blur."""
    import numpy as np
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    lines = _lines(chart.left + chart.width / 2, low, high)
    colours = np.zeros((len(chart), 4))  # of filled candles: transparent
    for chosen, edge, _ in _directions(chart, look):
        colours[chosen] = to_rgba(edge)
    shapes = LineCollection(
        lines, colors=colours, linewidths=_DENSE, capstyle="projecting", zorder=2
    )  # a point where all prices are one
    ax.add_collection(shapes, autolim=False)


def mark_last(ax: Axes, chart: Chart, look: Style) -> None:
    """Mark the last close on the price axis."""
    from upbit_frames.frames.plot import axes as ticks

    price = float(chart.close[-1])
    rises = price - float(chart.open[-1])
    colour = look.up if rises > 0 else look.down if rises < 0 else look.flat
    ax.axhline(price, color=colour, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
    distance = float(ax.get_ylim()[1] - ax.get_ylim()[0]) / 200
    exact = [d for d in range(9) if abs(round(price, d) - price) < 1e-12 * abs(price)]
    rough = next((d for d in range(9) if 10**-d <= distance), 8)
    ax.annotate(
        ticks.price_text(price, min([*exact, 8, *([rough] if rough > 2 else [])])),
        xy=(1, price), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
        va="center", ha="left", fontsize=9, color=look.paper, annotation_clip=False,
        bbox={"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "none"},
    )  # fmt: skip
