"""HTML of reports: coverage bars, and tables that can be searched and sorted; one piece of text, nothing loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from upbit_frames.core.intervals import Span

__all__ = ["COLOURS", "coverage_bar", "legend", "paragraph", "searchable", "table"]

COLOURS = {
    "traded": "#3b7dd8", "no trade": "#a9c7ef", "outage": "#e0a030", "before listing": "#e6e6e6", "unknown": "#d05050",
}  # fmt: skip
SEVERITIES = {"error": "#d05050", "warning": "#e0a030", "info": "#3b7dd8", "ok": "#808080"}
LEAST = 0.15  # percent of the width, so that short ranges are seen

_STYLE = """<style>
.uf-report table{border-collapse:collapse;font-size:90%}
.uf-report td,.uf-report th{padding:2px 8px;text-align:left;white-space:nowrap}
.uf-report td.n{text-align:right;font-variant-numeric:tabular-nums}
.uf-report td.t{white-space:normal}
.uf-report th[data-sort]{cursor:pointer}
.uf-bar{position:relative;display:inline-block;width:240px;height:12px;vertical-align:middle}
.uf-bar i{position:absolute;top:0;height:12px;display:block}
.uf-dot{display:inline-block;width:10px;height:10px;margin-right:4px}
</style>"""

_SCRIPT = """<script>(function(){
var root=document.currentScript.parentElement,body=root.querySelector('tbody'),rows=[].slice.call(body.rows);
var box=root.querySelector('input'),count=root.querySelector('.uf-count');
function show(){var words=box.value.toLowerCase().split(/\\s+/),n=0;
rows.forEach(function(row){var text=row.getAttribute('data-text');
var fits=words.every(function(word){return text.indexOf(word)>=0});row.style.display=fits?'':'none';n+=fits?1:0});
count.textContent=n+' of '+rows.length}
box.addEventListener('input',show);
[].forEach.call(root.querySelectorAll('th[data-sort]'),function(head,at){var up=1;
head.addEventListener('click',function(){rows.sort(function(a,b){
var x=a.cells[head.cellIndex].getAttribute('data-key'),y=b.cells[head.cellIndex].getAttribute('data-key');
var p=parseFloat(x),q=parseFloat(y),by=isNaN(p)||isNaN(q)||String(p)!==x||String(q)!==y?(x<y?-1:x>y?1:0):p-q;
return by*up});up=-up;rows.forEach(function(row){body.appendChild(row)})})});
show()})();</script>"""


def coverage_bar(span: Span, parts: Iterable[tuple[str, Span]], base: str = "traded", title: str = "") -> str:
    """Return a bar of a range in the colour of ``base``, with parts of it in those of their causes."""
    length = max(1, span.end - span.start)
    pieces = [f"<i style='left:0;width:100%;background:{COLOURS[base]}'></i>"]
    for cause, part in parts:
        left = 100 * (part.start - span.start) / length
        width = max(LEAST, 100 * (part.end - part.start) / length)
        pieces.append(f"<i style='left:{left:.2f}%;width:{width:.2f}%;background:{COLOURS[cause]}'></i>")
    return f"<span class='uf-bar' title='{escape(title, quote=True)}'>{''.join(pieces)}</span>"


def dot(severity: str) -> str:
    """Return a mark in the colour of a severity, with its name."""
    return f"<span class='uf-dot' style='background:{SEVERITIES[severity]}'></span>{severity}"


def legend(causes: Iterable[str]) -> str:
    """Return what the colours of coverage bars mean."""
    marks = (f"<span class='uf-dot' style='background:{COLOURS[cause]}'></span>{cause}" for cause in causes)
    return f"<p>{' &nbsp; '.join(marks)}</p>"


def paragraph(text: str) -> str:
    """Return a line of text."""
    return f"<p>{escape(text)}</p>"


def table(heads: Sequence[str], rows: Iterable[Sequence[tuple[str, str]]]) -> str:
    """Return a table; cells are (HTML, class)."""
    body = "".join("<tr>" + "".join(f"<td class='{kind}'>{cell}</td>" for cell, kind in row) + "</tr>" for row in rows)
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def searchable(heads: Sequence[str], rows: Iterable[Sequence[tuple[str, str, str]]]) -> str:
    """Return a table with a search box and heads that sort; cells are (HTML, class, key to search and sort by)."""
    lines = []
    for row in rows:
        text = escape(" ".join(key for _, _, key in row).lower(), quote=True)
        cells = "".join(
            f"<td class='{kind}' data-key='{escape(key, quote=True)}'>{cell}</td>" for cell, kind, key in row
        )
        lines.append(f"<tr data-text='{text}'>{cells}</tr>")
    head = "".join(f"<th data-sort='1'>{escape(name)}</th>" for name in heads)
    return (
        "<input type='search' placeholder='search' aria-label='search'> <span class='uf-count'></span>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>{_SCRIPT}"
    )


def page(*parts: str) -> str:
    """Return the pieces as one report."""
    return f"<div class='uf-report'>{_STYLE}{''.join(parts)}</div>"
