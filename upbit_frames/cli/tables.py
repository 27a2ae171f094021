"""Frames as text for a terminal: amounts that can be read, and no more columns than fit."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from upbit_frames.core.text import amount

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["table_text"]

MAX_ROWS = 40


def table_text(frame: pd.DataFrame, width: int | None = None) -> str:
    """Return the frame as text no wider than the terminal.

    Columns that say nothing (all null, or a grouping of 0) are left out. Where the rest is too wide, the
    last columns are left out, and a last line names them.
    """
    room = shutil.get_terminal_size((160, 24)).columns if width is None else width
    silent = [name for name in frame.columns if len(frame) and _silent(frame[name], name)]
    visible = frame.drop(columns=silent)
    text = _text(visible)
    dropped: list[str] = []
    while visible.shape[1] > 1 and max(map(len, text.splitlines())) > room:
        dropped.insert(0, str(visible.columns[-1]))
        visible = visible.iloc[:, :-1]
        text = _text(visible)
    return f"{text}\nnot shown: {', '.join(dropped)} (-o file or --format csv has all)" if dropped else text


def _silent(column: Any, name: object) -> bool:
    return bool(column.isna().all() or (name == "grouping" and (column.fillna(0) == 0).all()))


def _text(frame: pd.DataFrame) -> str:
    return frame.to_string(max_rows=MAX_ROWS, float_format=amount)
