"""A chart as one HTML document that loads nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from upbit_frames.core.terms import terms
from upbit_frames.errors import UsageError
from upbit_frames.frames.chart.levels import Level
from upbit_frames.frames.chart.packing import pack
from upbit_frames.frames.from_pandas import micros_of, moments
from upbit_frames.frames.plot.style import Style

__all__ = ["page"]

_SPANS = {"en": ["1D", "1W", "1M", "3M"], "ko": ["1일", "1주", "1개월", "3개월"]}
_MINUTE, _DAY, _MONTH = 60_000, 86_400_000, "M1"
_TICKS = {
    "en": [],
    "ko": [
        {"dtickrange": [None, _MINUTE], "value": "%H:%M:%S\n%Y년 %-m월 %-d일"},
        {"dtickrange": [_MINUTE, _DAY], "value": "%H:%M\n%Y년 %-m월 %-d일"},
        {"dtickrange": [_DAY, _MONTH], "value": "%-m월 %-d일\n%Y년"},
        {"dtickrange": [_MONTH, "M12"], "value": "%-m월\n%Y년"},
        {"dtickrange": ["M12", None], "value": "%Y년"},
    ],
}


def page(levels: list[Level], zone: Any, *, title: str, quote: str, base: str, lang: str, style: Style) -> str:
    """Return the document.

    Parameters
    ----------
    levels : list of Level
        The finest first.
    zone : tzinfo
        Whose wall times the axis shows.
    title, quote, base : str
        Heading; the currencies of prices and of volumes, or "".
    lang : {"ko", "en"}
    style : Style

    Raises
    ------
    UsageError
        If plotly, which brings plotly.js, is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise UsageError(
            "interactive charts need the package plotly, which is not installed",
            suggestion="pip install 'upbit-frames[chart]'",
        ) from error
    words = terms(lang)
    content = {
        "levels": [pack(level) for level in levels],
        "offsets": _offsets(levels[0], zone),
        "words": words,
        "lang": lang,
        "spans": _SPANS[lang],
        "ticks": _TICKS[lang],
        "style": asdict(style),
        "title": escape(title),
        "price": f"{words['price']} ({quote})" if quote else words["price"],
        "volume": f"{words['volume']} ({base})" if base else words["volume"],
    }
    text = json.dumps(content, ensure_ascii=False).replace("</", "<\\/").replace("<!--", "<\\!--")
    script = files("upbit_frames.frames.chart").joinpath("chart.js").read_text(encoding="utf-8")
    return (
        f"<!doctype html><html lang='{lang}'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>html,body,#plot{{margin:0;width:100%;height:100%;background:{escape(style.paper)}}}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><div id='plot'></div>"
        f"<script>const CHART = {text};\n{script}</script></body></html>"
    )


def _offsets(level: Level, zone: Any) -> list[list[float]]:
    """Return from which moment on the zone is how many milliseconds ahead of UTC."""
    times = micros_of(level.table)
    if not len(times):
        return []
    local = np.asarray(moments(times.tolist(), zone).tz_localize(None), dtype="datetime64[us]").view(np.int64)
    ahead = (local - times) // 1000
    changes = np.flatnonzero(np.diff(ahead, prepend=ahead[0] - 1))
    return [[0 if place == 0 else int(times[place] // 1000), int(ahead[place])] for place in changes]
