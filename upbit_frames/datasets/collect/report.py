"""Frames that show themselves as a readable summary above their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from upbit_frames.core import html
from upbit_frames.datasets.collect.pages import document

__all__ = ["Report", "report"]

SHOWN = 40


class Report(pd.DataFrame):
    """A frame with a summary; a selection from it is a plain frame.

    Attributes
    ----------
    summary_lines : list of str
        What the rows say, in sentences.
    page : str
        HTML shown in notebooks in place of the rows; empty for the rows themselves.
    """

    _metadata = ["summary_lines", "page"]  # noqa: RUF012 - pandas adds lists to it
    summary_lines: list[str]
    page: str

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        lines = list(getattr(self, "summary_lines", []))
        rows = pd.DataFrame(self)
        return "\n".join([*lines, rows.to_string(max_rows=SHOWN)] if len(rows) else lines or [repr(rows)])

    def _repr_html_(self) -> str:
        if getattr(self, "page", ""):
            return self.page
        lines = "".join(map(html.paragraph, getattr(self, "summary_lines", [])))
        return lines + (pd.DataFrame(self).to_html(max_rows=SHOWN, escape=True) if len(self) else "")

    def save(self, path: str | Path) -> None:
        """Write what a notebook shows as an HTML file of its own, which loads nothing.

        Parameters
        ----------
        path : str or Path
        """
        kind = self.attrs.get("upbit_frames", {}).get("kind", "report")
        Path(path).write_text(document(f"upbit_frames {kind}", self._repr_html_()), encoding="utf-8")


def report(
    rows: Iterable[Any], columns: dict[str, str], lines: list[str], attrs: dict[str, Any] | None = None, *,
    page: str = "", index: str | None = None,
) -> Report:  # fmt: skip
    """Build a report.

    Parameters
    ----------
    rows : iterable of tuple
    columns : dict of str to str
        Names and types; ``"time"`` stands for aware UTC times, given as microseconds or None.
    lines : list of str
    attrs : dict, optional
        For ``attrs["upbit_frames"]``; JSON only.
    page : str
    index : str, optional
        Column that becomes the index.
    """
    frame = pd.DataFrame(list(rows), columns=list(columns), dtype=object)
    for name, kind in columns.items():
        if kind == "time":
            frame[name] = pd.to_datetime(frame[name].astype("Int64"), unit="us", utc=True).dt.as_unit("us")
        else:
            frame[name] = frame[name].astype(kind)  # type: ignore[call-overload]
    report = Report(frame if index is None else frame.set_index(index))
    report.summary_lines, report.page = lines, page
    report.attrs["upbit_frames"] = {"summary": lines, **(attrs or {})}
    return report
