"""Tables as HTML for notebooks: the one place that escapes, aligns and formats cells (pure).

Text is escaped and never wraps where it is a code (a market, a time); numbers are aligned right and have
thousands separators, as amounts in KRW need them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from upbit_frames.core.text import amount

__all__ = ["Html", "badge", "cell", "lines", "paragraph", "table"]


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def cell(value: object) -> Html:
    """Return one cell of a table.

    Parameters
    ----------
    value : object
        :class:`Html` as it is; int and float with thousands separators, aligned right; None empty; a list or tuple
        joined by commas; anything else escaped. Text without a space does not wrap.

    Examples
    --------
    >>> cell(131500000.0)
    "<td style='text-align:right;white-space:nowrap'>131,500,000</td>"
    >>> cell("KRW-BTC")
    "<td style='text-align:left;white-space:nowrap'>KRW-BTC</td>"
    >>> cell("<b>")
    "<td style='text-align:left;white-space:nowrap'>&lt;b&gt;</td>"
    """
    if isinstance(value, Html):
        return Html(f"<td style='text-align:left'>{value}</td>")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Html(f"<td style='text-align:right;white-space:nowrap'>{amount(value)}</td>")
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    text = "" if value is None else str(value)
    wrap = "" if " " in text else ";white-space:nowrap"
    return Html(f"<td style='text-align:left{wrap}'>{escape(text)}</td>")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int = 200, unit: str = "row") -> Html:
    """Return a table; see :func:`cell` for what stands in it.

    Parameters
    ----------
    head : sequence of str
    rows : iterable of sequence
        Cells, as many as ``head`` has.
    limit : int
        Rows in the table; a last line gives the number of further rows.
    unit : str
        What a row is called there, in the singular.

    Examples
    --------
    >>> table(["market"], [["KRW-BTC"], ["KRW-ETH"]], limit=1).endswith("<p>… and 1 more row</p>")
    True
    """
    rows = list(rows)
    titles = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows[:limit])
    left = len(rows) - limit
    more = paragraph(f"… and {left:,} more {unit}{'' if left == 1 or unit.endswith('s') else 's'}") if left > 0 else ""
    return Html(f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>{more}")


def paragraph(text: str, *, strong: str = "") -> Html:
    """Return a paragraph of escaped text, after ``strong`` in bold; nothing for no text.

    Examples
    --------
    >>> paragraph("3 requests", strong="KRW-BTC"), paragraph("")
    ('<p><b>KRW-BTC</b> 3 requests</p>', '')
    """
    bold = f"<b>{escape(strong)}</b> " if strong else ""
    return Html(f"<p>{bold}{escape(text)}</p>" if text or strong else "")


def lines(texts: Iterable[str]) -> Html:
    """Return escaped texts below one another."""
    return Html("<br>".join(map(escape, texts)))


def badge(text: str, colour: str) -> Html:
    """Return a word on a coloured ground, white on ``colour`` (``#rrggbb``)."""
    style = f"color:#ffffff;background:{colour};padding:1px 6px;border-radius:3px"
    return Html(f"<span style='{style}'>{escape(text)}</span>")
