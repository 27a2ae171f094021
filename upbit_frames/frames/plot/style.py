"""Colours of a chart, by name."""

from __future__ import annotations

from dataclasses import dataclass

from upbit_frames.errors import QueryError

__all__ = ["STYLES", "Style"]


@dataclass(frozen=True)
class Style:
    """Every colour of a chart; anything matplotlib takes as a colour.

    Attributes
    ----------
    up, down : str
        Candles that closed above and below their open.
    flat : str
        Candles that closed where they opened.
    filled : str
        Candles that were filled in where no trade was.
    up_body : str or None
        Inside of a rising candle where it differs from its outline.
    ink, grid : str
        Text and axes; lines of the grid.
    paper : str
        Background of the axes, and of a figure that is created for the chart.
    lines : tuple of str
        Moving averages, overlays and markets, in turn.
    """

    up: str
    down: str
    flat: str = "#7a7f87"
    filled: str = "#c78500"
    up_body: str | None = None
    ink: str = "#3c4149"
    grid: str = "#e6e8eb"
    paper: str = "#ffffff"
    lines: tuple[str, ...] = ("#e08a00", "#7b3fb5", "#149a6c", "#8a5a3c", "#0f8ea8", "#b3306b")


STYLES: dict[str, Style] = {
    "korean": Style(up="#d6304a", down="#1f63c4"),  # up red, down blue
    "western": Style(up="#1a936f", down="#d1453b"),
    "mono": Style(up="#2b2f36", down="#2b2f36", flat="#2b2f36", up_body="#ffffff"),
    "night": Style(
        up="#f0506a", down="#4d8df0", flat="#9aa1ab", ink="#c4c9d1", grid="#262b33", paper="#14171c"
    ),
}  # fmt: skip


def style_of(style: str | Style) -> Style:
    """The style of that name.

    Raises
    ------
    QueryError
        If there is none.
    """
    if isinstance(style, Style):
        return style
    if style not in STYLES:
        raise QueryError(
            f"style={style!r} is not known", suggestion=f"use one of {', '.join(STYLES)}, or make a plot.Style"
        )
    return STYLES[style]
