"""Lines on a chart: moving averages, overlays, and the closes of several markets on one scale."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from upbit_frames.core.terms import terms
from upbit_frames.errors import QueryError
from upbit_frames.frames.from_pandas import names_markets, zone_of
from upbit_frames.frames.plot import labels as words
from upbit_frames.frames.plot.content import MICROS_A_DAY
from upbit_frames.frames.plot.style import Style, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["average_lines", "closes_of", "comparison", "legend", "normalised", "overlay_lines"]


def _days(index: pd.DatetimeIndex) -> Any:
    """Return aware times as days since 1970."""
    times = np.asarray(index.tz_convert("UTC").tz_localize(None), dtype="datetime64[us]")
    return times.view(np.int64) / MICROS_A_DAY


def _line(ax: Axes, x: Any, y: Any, colour: str, label: str) -> None:
    ax.plot(x, y, color=colour, linewidth=1.3, label=label, zorder=5, scalex=False, scaley=False)


def average_lines(ax: Axes, frame: pd.DataFrame, look: Style, periods: list[int], text: dict[str, str]) -> list[str]:
    """Draw moving averages of the closes, and return their names."""
    closes = closes_of(frame).iloc[:, 0].dropna()
    names = []
    for place, count in enumerate(periods):
        names.append(text["average"].format(periods=count))
        means = closes.rolling(count).mean().to_numpy()
        _line(ax, _days(pd.DatetimeIndex(closes.index)), means, look.lines[place % len(look.lines)], names[-1])
    return names


def overlay_lines(ax: Axes, overlays: Any, look: Style, before: int) -> list[str]:
    """Draw series of the user's own on the price axis, and return their names.

    Raises
    ------
    QueryError
        If they are no series with an index of aware times.
    """
    if overlays is None:
        return []
    series = overlays.to_frame() if isinstance(overlays, pd.Series) else overlays
    if (
        not isinstance(series, pd.DataFrame)
        or not isinstance(series.index, pd.DatetimeIndex)
        or series.index.tz is None
    ):
        raise QueryError(
            f"overlays must be a Series or DataFrame with an index of aware times, got {type(overlays).__name__}",
            suggestion="compute it of the frame, as df['close'].rolling(20).mean().rename('MA 20')",
        )
    for place, name in enumerate(series.columns, before):
        values = series[name].to_numpy(dtype=np.float64, na_value=np.nan)
        _line(ax, _days(series.index), values, look.lines[place % len(look.lines)], str(name))
    return [str(name) for name in series.columns]


def legend(ax: Axes, look: Style, names: list[str], filled: bool, font: str | None) -> None:
    """Name the lines, and the dashes of filled candles."""
    from matplotlib.lines import Line2D

    if not names:
        return
    handles = list(ax.get_lines())[-(len(names) - filled) :] if len(names) > filled else []
    if filled:
        handles.append(Line2D([], [], color=look.filled, linewidth=1.8))
    labels = [words.readable(name, font) for name in names]
    box = ax.legend(
        handles, labels, loc="upper left", fontsize=9, frameon=True, facecolor=look.paper, edgecolor=look.grid
    )
    box.set_zorder(6)
    low, high = ax.get_ylim()  # room above the candles, which the box would cover
    ax.set_ylim(low, high + 0.06 * len(labels) * (high - low))
    for label, name in zip(box.get_texts(), labels, strict=True):
        label.set_color(look.ink)
        label.set(**{key: value for key, value in words.fonts(name, font).items() if key == "fontfamily"})


def closes_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the closes with a column a market, the index of times; filled candles as they are."""
    if isinstance(frame.index, pd.DatetimeIndex) and not names_markets(frame):
        return frame[["close"]]
    rows = frame.reset_index()
    if not names_markets(frame):
        return rows.set_index("time")[["close"]]
    parts = rows.set_index("time").groupby("market", sort=False, observed=True)["close"]
    return pd.concat({str(market): closes for market, closes in parts}, axis=1).sort_index()


def normalised(closes: pd.DataFrame) -> pd.DataFrame:
    """Return columns as multiples of their value in the first row that all have, times 100.

    Raises
    ------
    QueryError
        If there is no time at which all have a value.
    """
    common = closes.notna().all(axis=1)
    if not common.any():
        raise QueryError(
            "the markets have no time in common at which all have a close, so they cannot be compared",
            suggestion="choose a range in which all were traded, or df.uf.fill() first",
        )
    first = closes[common].iloc[0]
    return closes / first * 100


def comparison(
    frame: pd.DataFrame, ax: Axes | None, *, style: str | Style, title: str | None, lang: str | None
) -> Axes:
    """Draw the closes of several markets as lines, 100 at the first time that all have; the axes are returned."""
    from upbit_frames.frames.plot import axes as ticks
    from upbit_frames.frames.plot.candles import dress, need_matplotlib, new_axes

    look = style_of(style)
    if lang is not None:
        terms(lang)
    need_matplotlib()
    closes = normalised(closes_of(frame) if "close" in frame.columns else frame)
    font = words.hangul_font()
    text = words.language(lang, font)
    ax = new_axes(look) if ax is None else ax
    dress(ax, look)
    days = _days(pd.DatetimeIndex(closes.index))
    for place, name in enumerate(closes.columns):
        ax.plot(
            days, closes[name].to_numpy(), color=look.lines[place % len(look.lines)], linewidth=1.4, label=str(name)
        )
    ax.yaxis.set_major_formatter(ticks.Prices())
    ticks.time_axis(ax.xaxis, zone_of(frame), float(days[-1]), font if text is terms("ko") else None)
    ax.set_ylabel(text["normalised"], color=look.ink, **words.fonts(text["normalised"], font))
    interval = frame.attrs.get("upbit_frames", {}).get("interval")
    heading = words.readable(title if title is not None else interval if isinstance(interval, str) else "", font)
    if heading:
        ax.set_title(heading, loc="left", **{"fontweight": "bold"} | {"color": look.ink, **words.fonts(heading, font)})
    legend(ax, look, [str(name) for name in closes.columns], False, font)
    return ax
