"""Candles with volume, drawn by matplotlib collections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upbit_frames.core.bar_grid import BarGrid, Grid, grid_of, parse_grid
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.errors import QueryError, UsageError
from upbit_frames.frames.plot import labels as words
from upbit_frames.frames.plot.style import Style, style_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.axes import Axes

__all__ = ["candles"]

Array = Any  # of numpy; the stubs of matplotlib and numpy do not agree about them
MOST = 10_000  # candles drawn one by one; more are a blur, and take seconds
_BODY = 0.72  # share of a period that a body is wide
_FEWEST = 12  # periods the time axis has room for at least
_DENSE = 0.9  # points; with less room for each, candles are drawn as lines so wide
_MICROS_A_DAY = 86_400_000_000


@dataclass
class _Chart:
    """What is drawn: times in days since 1970, the rest as in the frame."""

    left: Array
    width: Array
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    note: tuple[int, str, str] | None  # candles, their interval, the one drawn

    def __len__(self) -> int:
        return len(self.left)


def candles(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    volume: bool = True,
    style: str | Style = "korean",
    title: str | None = None,
    interval: str | None = None,
    last: bool = True,
    most: int = MOST,
) -> Axes:
    """Draw candles on a true time axis.

    Parameters
    ----------
    frame : pandas.DataFrame
        Candles of one market. The time axis shows the zone of its index. A period without a candle
        stays empty; what ``fill`` put in is drawn, NaN is not.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure of pyplot. With ``volume`` its room is shared with a
        panel below.
    volume : bool
        Whether to draw that panel.
    style : {"korean", "western", "mono", "night"} or Style
        Colours. Korean: up red, down blue.
    title : str, optional
        By default market and interval as far as the frame knows them; ``""`` for none.
    interval : str, optional
        Of the candles; by default what the frame says, else what its times say.
    last : bool
        Whether to mark the last close on the price axis.
    most : int
        Candles drawn one by one. More are drawn as coarser candles, and a note says so.

    Returns
    -------
    matplotlib.axes.Axes
        Of the prices; ``ax.figure`` is the figure. Nothing of matplotlib's settings is changed.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    QueryError
        If the style is not known.

    Examples
    --------
    >>> ax = df.uf.plot(style="western", volume=False)  # doctest: +SKIP
    """
    look = style_of(style)
    if most < 1:
        raise QueryError(f"most={most!r} is not a number of candles", suggestion="give at least 1")
    _need_matplotlib()
    from upbit_frames.frames.from_pandas import markets_of

    chart, zone, named = _chart(frame, interval, most)
    font = words.hangul_font()
    text = words.WORDS["en" if font is None else "ko"]
    ax = _new_axes(look) if ax is None else ax
    below = _panel(ax) if volume else None
    for one in (ax, below):
        if one is not None:
            _dress(one, look)
    _axes(ax, below, chart, zone, last)
    markets = markets_of(frame)
    _titles(ax, below, chart, look, _title(title, markets, named), markets, font, text)
    if len(chart) == 0:
        _say_empty(ax, below, look, text["empty"], font)
        return ax
    _draw_prices(ax, chart, look)
    if below is not None:
        _draw_volume(below, chart, look)
        figure: Any = ax.figure
        figure.align_ylabels([ax, below])
    if last:
        _mark_last(ax, chart, look)
    return ax


def _need_matplotlib() -> None:
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "drawing needs the package matplotlib, which is not installed",
            suggestion="pip install 'upbit-frames[plot]'",
        ) from error


# --- what to draw --------------------------------------------------------------------------------


def _chart(frame: pd.DataFrame, named: str | None, most: int) -> tuple[_Chart, Any, Grid | None]:
    import numpy as np

    from upbit_frames.frames.from_pandas import micros_of, tables, zone_of

    ((_, table),) = tables(frame, "candles", filled=True)
    known = grid_of(frame.attrs.get("upbit_frames", {}), named or None)
    step = known or _guess(micros_of(table))
    note = None
    if len(table) > most:
        table, drawn = _coarser(table, step, most)
        note = (len(frame), step.name, drawn.name)
        visible = drawn
    else:
        visible = step
    times = micros_of(table)
    ends = visible.nexts(times)
    left = times / _MICROS_A_DAY
    columns = {name: np.asarray(table[name]) for name in ("open", "high", "low", "close", "volume")}
    chart = _Chart(left=left, width=(ends - times) / _MICROS_A_DAY, note=note, **columns)
    return chart, zone_of(frame), step if known is not None or len(times) > 1 else None


def _guess(times: Array) -> Grid:
    """The interval by the times; a day for a single candle, whose width means nothing anyway."""
    from upbit_frames.frames.from_pandas import infer_interval

    return infer_interval(times) if len(times) > 1 else INTERVALS["1d"]


def _coarser(table: pa.Table, step: Grid, most: int) -> tuple[pa.Table, Grid]:
    """The candles as the finest coarser ones that are few enough."""
    from upbit_frames.core.resample import resample
    from upbit_frames.errors import InvalidInterval

    coarse, used = table, step
    base = step.base if isinstance(step, BarGrid) else None
    for one in (parse_grid(interval, base) for interval in sorted(INTERVALS.values(), key=lambda one: one.step)):
        if one.step <= used.step:
            continue
        try:
            coarse, used = resample(table, step, one, edges="keep"), one
        except InvalidInterval:
            continue
        if len(coarse) <= most:
            break
    return coarse, used


# --- axes ----------------------------------------------------------------------------------------


def _new_axes(look: Style) -> Axes:
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(11, 6), layout="constrained")
    figure.set_facecolor(look.paper)
    return ax


def _panel(ax: Axes) -> Axes:
    """A panel below that takes a fifth of the room of the axes."""
    figure: Any = ax.figure
    place = ax.get_subplotspec()
    if place is not None:
        parts = place.subgridspec(2, 1, height_ratios=(4, 1), hspace=0.04)
        ax.set_subplotspec(parts[0])
        below: Axes = figure.add_subplot(parts[1], sharex=ax)
        return below
    box = ax.get_position()
    ax.set_position((box.x0, box.y0 + 0.22 * box.height, box.width, 0.78 * box.height))
    below = figure.add_axes((box.x0, box.y0, box.width, 0.2 * box.height), sharex=ax)
    return below


def _dress(ax: Axes, look: Style) -> None:
    ax.set_facecolor(look.paper)
    ax.set_axisbelow(True)
    ax.grid(True, color=look.grid, linewidth=0.8)
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.tick_params(colors=look.ink, which="both", length=0, labelsize=9)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(look.grid)


def _axes(ax: Axes, below: Axes | None, chart: _Chart, zone: Any, last: bool) -> None:
    from upbit_frames.frames.plot import axes as ticks

    if len(chart) == 0:
        return
    ax.yaxis.set_major_formatter(ticks.Prices(float(chart.close[-1]) if last else None))
    ticks.time_axis(ax.xaxis, zone, float(chart.left[-1]))
    if below is not None:
        below.yaxis.set_major_formatter(ticks.Amounts())
        below.yaxis.set_major_locator(ticks.few(3))
        ticks.time_axis(below.xaxis, zone, float(chart.left[-1]))
        ax.tick_params(labelbottom=False)
        ax.xaxis.get_offset_text().set_visible(False)


def _title(title: str | None, markets: list[str], step: Grid | None) -> str:
    if title is not None:
        return title
    parts = [*(markets if len(markets) == 1 else []), step.name if step is not None else None]
    return " ".join(part for part in parts if isinstance(part, str))


def _titles(
    ax: Axes,
    below: Axes | None,
    chart: _Chart,
    look: Style,
    title: str,
    markets: list[str],
    font: str | None,
    text: dict[str, str],
) -> None:
    # Of df.loc[market] it is no longer known which market it is; the unit of prices may still be.
    quotes = {code.partition("-")[0] for code in markets}
    quote = quotes.pop() if len(quotes) == 1 else ""
    base = markets[0].partition("-")[2] if len(markets) == 1 else ""

    def options(label: str) -> dict[str, Any]:
        return {"color": look.ink, **words.fonts(label, font)}

    for one, word, unit in ((ax, "price", quote), (below, "volume", base)):
        if one is not None:
            label = f"{text[word]} ({unit})" if unit else text[word]
            one.set_ylabel(label, **options(label))
    title = words.readable(title, font)
    if title:
        ax.set_title(title, loc="left", **{"fontweight": "bold"} | options(title))
    if chart.note is not None:
        count, step, drawn = chart.note
        note = text["coarser"].format(count=count, base=step, drawn=drawn)
        ax.set_title(note, loc="right", fontsize=9, **options(note))


def _say_empty(ax: Axes, below: Axes | None, look: Style, text: str, font: str | None) -> None:
    for one in (ax, below):
        if one is not None:
            one.set_xticks([])
            one.set_yticks([])
    ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=look.flat, **words.fonts(text, font)
    )


# --- candles -------------------------------------------------------------------------------------


def _directions(chart: _Chart, look: Style) -> list[tuple[Array, str, str]]:
    """Which candles have which colour of outline and of body."""
    up, down = chart.close > chart.open, chart.close < chart.open
    parts = ((up, look.up, look.up_body or look.up), (down, look.down, look.down), (~up & ~down, look.flat, look.flat))
    return [part for part in parts if part[0].any()]


def _room(ax: Axes, chart: _Chart) -> float:
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


def _draw_prices(ax: Axes, chart: _Chart, look: Style) -> None:
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
            bodies = PolyCollection(
                _boxes(x - wide, x + wide, low, high),
                facecolors=body, edgecolors=edge, linewidths=outline, joinstyle="miter", zorder=3,
            )  # fmt: skip
            ax.add_collection(bodies, autolim=False)
    # A few candles are not blown up to the whole width.
    spread = chart.left[-1] + chart.width[-1] - chart.left[0]
    margin = max(0.015 * spread, 0.6 * chart.width[-1], (_FEWEST * chart.width[-1] - spread) / 2)
    ax.set_xlim(chart.left[0] - margin, chart.left[-1] + chart.width[-1] + margin)
    low, high = float(chart.low.min()), float(chart.high.max())
    pad = 0.05 * (high - low) or 0.01 * high
    ax.set_ylim(low - pad, high + pad)


def _draw_volume(below: Axes, chart: _Chart, look: Style) -> None:
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


def _draw_lines(ax: Axes, chart: _Chart, look: Style, low: Any, high: Any) -> None:
    """Where several candles share a pixel: crisp lines in the order of time, not a blur."""
    import numpy as np
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    lines = _lines(chart.left + chart.width / 2, low, high)
    colours = np.empty((len(chart), 4))
    for chosen, edge, _ in _directions(chart, look):
        colours[chosen] = to_rgba(edge)
    shapes = LineCollection(lines, colors=colours, linewidths=_DENSE, capstyle="butt", zorder=2)
    ax.add_collection(shapes, autolim=False)


def _mark_last(ax: Axes, chart: _Chart, look: Style) -> None:
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
