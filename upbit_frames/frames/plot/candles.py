"""Candles with volume, drawn by matplotlib collections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arguments import whole
from upbit_frames.core.bar_grid import Grid
from upbit_frames.core.query import MAX_COUNT
from upbit_frames.core.terms import terms
from upbit_frames.errors import QueryError, UsageError
from upbit_frames.frames.plot import labels as words
from upbit_frames.frames.plot.content import Chart, chart_of
from upbit_frames.frames.plot.style import Style, style_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["candles", "dress", "need_matplotlib", "new_axes"]

MOST = 10_000  # candles drawn one by one; more are a blur, and take seconds


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
    lang: str | None = None,
    averages: Sequence[int] = (),
    overlays: pd.Series[float] | pd.DataFrame | None = None,
) -> Axes:
    """Draw candles on a true time axis.

    Parameters
    ----------
    frame : pandas.DataFrame
        Candles of one market. The time axis shows the zone of its index. A period without a candle
        stays empty; what ``fill`` put in is drawn as dashes in a colour of their own, NaN is not drawn.
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
    lang : {"ko", "en"}, optional
        Of the words and dates; by default Korean where an installed font has it.
    averages : sequence of int
        Moving averages of the closes, each over so many rows, such as ``(5, 20, 60)``.
    overlays : pandas.Series or pandas.DataFrame, optional
        Lines on the price axis, each with its name; the index is of aware times.

    Returns
    -------
    matplotlib.axes.Axes
        Of the prices; ``ax.figure`` is the figure. Nothing of matplotlib's settings is changed.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    QueryError
        If an option is not possible.

    Examples
    --------
    >>> ax = df.uf.plot(style="western", volume=False)  # doctest: +SKIP
    """
    look = style_of(style)
    periods = [whole("averages", periods, 2, MAX_COUNT) for periods in averages]
    if lang is not None:
        terms(lang)
    if most < 1:
        raise QueryError(f"most={most!r} is not a number of candles", suggestion="give at least 1")
    need_matplotlib()
    from upbit_frames.frames.from_pandas import markets_of
    from upbit_frames.frames.plot.lines import average_lines, legend, overlay_lines
    from upbit_frames.frames.plot.shapes import draw_prices, draw_volume, mark_last

    chart, zone, named = chart_of(frame, interval, most)
    font = words.hangul_font()
    text = words.language(lang, font)
    ax = new_axes(look) if ax is None else ax
    below = _panel(ax) if volume else None
    for axes in (ax, below):
        if axes is not None:
            dress(axes, look)
    korean = font if text is terms("ko") else None
    _axes(ax, below, chart, zone, last, korean)
    markets = markets_of(frame)
    _titles(ax, below, chart, look, _title(title, markets, named), markets, font, text)
    if len(chart) == 0:
        _say_empty(ax, below, look, text["empty"], font)
        return ax
    draw_prices(ax, chart, look)
    names = average_lines(ax, frame, look, periods, text) + overlay_lines(ax, overlays, look, len(periods))
    if chart.filled.any():
        names.append(text["filled"])
    legend(ax, look, names, chart.filled.any(), font)
    if below is not None:
        draw_volume(below, chart, look)
        figure: Any = ax.figure
        figure.align_ylabels([ax, below])
    if last:
        mark_last(ax, chart, look)
    return ax


def need_matplotlib() -> None:
    """Refuse where matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "drawing needs the package matplotlib, which is not installed",
            suggestion="pip install 'upbit-frames[plot]'",
        ) from error


# --- axes ----------------------------------------------------------------------------------------


def new_axes(look: Style) -> Axes:
    """Return the axes of a new figure of pyplot."""
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


def dress(ax: Axes, look: Style) -> None:
    """Give axes the colours of the style, and the price axis on the right."""
    ax.set_facecolor(look.paper)
    ax.set_axisbelow(True)
    ax.grid(True, color=look.grid, linewidth=0.8)
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.tick_params(colors=look.ink, which="both", length=0, labelsize=9)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(look.grid)


def _axes(ax: Axes, below: Axes | None, chart: Chart, zone: Any, last: bool, korean: str | None) -> None:
    from upbit_frames.frames.plot import axes as ticks

    if len(chart) == 0:
        return
    ax.yaxis.set_major_formatter(ticks.Prices(float(chart.close[-1]) if last else None))
    ticks.time_axis(ax.xaxis, zone, float(chart.left[-1]), korean)
    if below is not None:
        below.yaxis.set_major_formatter(ticks.Amounts(korean=korean is not None))
        if korean is not None:
            ticks.korean_labels(below.yaxis, korean)
        below.yaxis.set_major_locator(ticks.few(3))
        ticks.time_axis(below.xaxis, zone, float(chart.left[-1]), korean)
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
    chart: Chart,
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

    for axes, word, unit in ((ax, "price", quote), (below, "volume", base)):
        if axes is not None:
            label = f"{text[word]} ({unit})" if unit else text[word]
            axes.set_ylabel(label, **options(label))
    title = words.readable(title, font)
    if title:
        ax.set_title(title, loc="left", **{"fontweight": "bold"} | options(title))
    if chart.note is not None:
        count, step, drawn = chart.note
        note = text["coarser"].format(count=count, base=step, drawn=drawn)
        ax.set_title(note, loc="right", fontsize=9, **options(note))


def _say_empty(ax: Axes, below: Axes | None, look: Style, text: str, font: str | None) -> None:
    for axes in (ax, below):
        if axes is not None:
            axes.set_xticks([])
            axes.set_yticks([])
    ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=look.flat, **words.fonts(text, font)
    )
