"""Numbers and times on the axes; loads matplotlib."""

# mypy: allow-untyped-calls

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date
from matplotlib.ticker import Formatter, MaxNLocator

from upbit_frames.core.terms import korean_amount

__all__ = ["Amounts", "Prices", "korean_labels", "price_text", "time_axis"]

_KOREAN_DATES: dict[str, Any] = {
    "formats": ["%Y년", "%m월", "%d일", "%H:%M", "%H:%M", "%S.%f"],
    "zero_formats": ["", "%Y년", "%m월", "%m월 %d일", "%H:%M", "%H:%M"],
    "offset_formats": ["", "%Y년", "%Y년 %m월", "%Y년 %m월 %d일", "%Y년 %m월 %d일", "%Y년 %m월 %d일 %H:%M"],
}
_TOO_CLOSE = 0.035  # share of the axis that a label is high


def price_text(price: float, decimals: int) -> str:
    """With thousands separators: ``103,460,000``."""
    return f"{price:,.{decimals}f}"


class Prices(Formatter):
    """Thousands separators, and as many decimals as the distance of the ticks needs.

    Parameters
    ----------
    marked : float, optional
        A price that has a label of its own; ticks too close to it stay without.
    """

    def __init__(self, marked: float | None = None) -> None:
        self.marked = marked
        self.decimals = 0

    def set_locs(self, locs: Any) -> None:
        """Learn the distance of the ticks."""
        super().set_locs(locs)
        steps = [abs(b - a) for a, b in pairwise(locs) if b != a]
        self.decimals = decimals_of(min(steps)) if steps else 0

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of one tick."""
        if self.marked is not None and self.axis is not None:
            low, high = self.axis.get_view_interval()
            if abs(x - self.marked) < _TOO_CLOSE * abs(high - low):
                return ""
        return price_text(x, self.decimals)


def decimals_of(step: float) -> int:
    """Return the decimals that distinguish values a step apart: at most Upbit's eight, one for a half step."""
    for decimals in range(9):
        scaled = step * 10**decimals
        if scaled >= 1 and math.isclose(scaled, round(scaled), rel_tol=1e-6):
            return decimals
    return 8


class Amounts(Formatter):
    """Thousands separators up to a million, then ``1.2M``, ``3B``, ``4T``; in Korean 만, 억, 조."""

    def __init__(self, *, korean: bool = False) -> None:
        self._korean = korean

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of one tick."""
        if self._korean:
            return korean_amount(x)
        for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
            if abs(x) >= unit:
                return f"{x / unit:,.6g}{letter}"
        return f"{x:,.8g}" if abs(x) < 1 else f"{x:,.10g}"


def _without_zeros(text: str) -> str:
    """``1월 2일`` for ``01월 02일``; the format without zeros differs between systems."""
    return re.sub(r"(?<!\d)0(\d[월일])", r"\1", text)


class Times(ConciseDateFormatter):
    """Concise dates; what they leave out stands at the end of the axis, and the zone with it.

    Parameters
    ----------
    locator : matplotlib.dates.AutoDateLocator
    zone : tzinfo
    newest : float
        Start of the newest candle, in days: a tick at the midnight after it belongs to another day.
    korean : bool
        Months and days as Korean writes them.
    """

    def __init__(self, locator: AutoDateLocator, zone: Any, newest: float, *, korean: bool = False) -> None:
        super().__init__(locator, tz=zone, **(_KOREAN_DATES if korean else {}))
        self._korean = korean
        self._newest = newest
        self._beyond: float | None = None

    def format_ticks(self, values: Any) -> list[str]:
        """The labels; none for no ticks, on which the original stumbles."""
        if not len(values):
            return []
        self._beyond = float(values[-1]) if values[-1] > self._newest >= values[0] else None
        labels: list[str] = super().format_ticks(values)
        return [_without_zeros(label) for label in labels] if self._korean else labels

    def get_offset(self) -> str:
        """Day, month or year of the newest candle in view, as far as the ticks leave it out, and the zone."""
        axis: Any = self.axis
        text = super().get_offset()
        if self._beyond is not None and text:
            last, newest = num2date(self._beyond, self._tz), num2date(self._newest, self._tz)
            text = next((newest.strftime(f) for f in self.offset_formats if f and last.strftime(f) == text), text)
        text = _without_zeros(text) if self._korean else text
        return f"{text}  {num2date(axis.get_view_interval()[1], self._tz).strftime('%Z')}".strip()


def time_axis(axis: Any, zone: Any, newest: float, font: str | None = None) -> None:
    """Ticks at round times of the zone; in Korean with a ``font`` that has it."""
    locator = AutoDateLocator(tz=zone, minticks=4, maxticks=9)
    axis.set_major_locator(locator)
    axis.set_major_formatter(Times(locator, zone, newest, korean=font is not None))
    if font is not None:
        korean_labels(axis, font)


def korean_labels(axis: Any, font: str) -> None:
    """Let the labels of the ticks, and what stands at the axis' end, use a font that has Hangul."""
    families = [font, *mpl.rcParams["font.family"]]
    axis.set_tick_params(which="both", labelfontfamily=families)
    axis.get_offset_text().set_fontfamily(families)


def few(count: int) -> MaxNLocator:
    """At most so many ticks, at round numbers."""
    return MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10])
