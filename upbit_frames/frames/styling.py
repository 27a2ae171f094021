"""Frames as tables that people read, by pandas' Styler."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from upbit_frames.core.terms import terms
from upbit_frames.core.text import amount
from upbit_frames.errors import UsageError
from upbit_frames.frames.exports import AMOUNTS, MONEY
from upbit_frames.frames.from_pandas import markets_of

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

__all__ = ["cell_text", "styled"]


def styled(frame: pd.DataFrame, lang: str, rows: int) -> Styler:
    """Return the newest rows, formatted; see ``df.uf.style``."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "formatted tables need the package jinja2, which is not installed", suggestion="pip install jinja2"
        ) from error
    words = terms(lang)
    part = frame.tail(rows)
    if not part.index.is_unique:
        part = part.reset_index()
    won = all(market.startswith("KRW-") for market in markets_of(frame))
    styler = part.style.format({name: cell_text(str(name), part[name].dtype, won) for name in part.columns})
    styler = styler.set_table_styles(
        [
            {"selector": "th, td", "props": "white-space: nowrap"},
            {"selector": "td", "props": "text-align: right; font-variant-numeric: tabular-nums"},
        ]
    )
    if not isinstance(part.columns, pd.MultiIndex):
        styler = styler.format_index(lambda name: words.get(str(name), str(name)), axis="columns")
    if len(frame) > len(part):
        styler = styler.set_caption(words["newest"].format(shown=len(part), count=len(frame)))
    return styler


def cell_text(name: str, dtype: Any, won: bool) -> Callable[[Any], str]:
    """Return how the cells of a column are written."""
    if name.endswith("_rate"):
        return lambda value: "" if pd.isna(value) else f"{value:+.2%}"
    if won and name in MONEY and name.endswith("value"):
        return lambda value: "" if pd.isna(value) else f"{value:,.0f}"
    if name in AMOUNTS:
        return lambda value: "" if pd.isna(value) else f"{value:,.8f}"
    if pd.api.types.is_float_dtype(dtype):
        return lambda value: "" if pd.isna(value) else amount(value)
    return lambda value: "" if value is None or value is pd.NaT or value is pd.NA else str(value)
