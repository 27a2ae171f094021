"""HTML of reports: coverage bars, and a table that can be searched and sorted; one piece of text, nothing loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from upbit_frames.core.html import Html, cell
from upbit_frames.core.intervals import Span

__all__ = ["coverage_bar", "document", "legend", "searchable"]

COLOURS = {"covered": "#3b7dd8", "outage": "#e0a030", "before listing": "#d8d8d8", "unknown": "#d05050"}
LEAST = 0.3  # percent of the width, so that short ranges are seen
_BAR = "position:relative;display:inline-block;width:240px;height:12px;vertical-align:middle"
_PART = "position:absolute;top:0;height:12px;display:block"

# Sorts by numbers where both are, else as text; a row is shown if it has every word of the search box.
_SCRIPT = """<script>(function(){
var root=document.currentScript.parentElement,body=root.querySelector('tbody'),rows=[].slice.call(body.rows);
var box=root.querySelector('input'),count=root.querySelector('output');
function show(){var words=box.value.toLowerCase().split(/\\s+/),shown=0;
rows.forEach(function(row){var text=row.getAttribute('data-text');
var fits=words.every(function(word){return text.indexOf(word)>=0});
row.style.display=fits?'':'none';shown+=fits?1:0});count.textContent=shown+' of '+rows.length}
function order(x,y){var a=Number(x),b=Number(y);return x!==''&&y!==''&&!isNaN(a)&&!isNaN(b)?a-b:x<y?-1:x>y?1:0}
[].forEach.call(root.querySelectorAll('th'),function(head){var up=1;head.addEventListener('click',function(){
rows.sort(function(a,b){return up*order(a.cells[head.cellIndex].getAttribute('data-key'),
b.cells[head.cellIndex].getAttribute('data-key'))});
up=-up;rows.forEach(function(row){body.appendChild(row)})})});
box.addEventListener('input',show);show()})();</script>"""


def coverage_bar(span: Span, parts: Iterable[tuple[str, Span]], title: str = "") -> Html:
    """Return a bar of a range in the colour of what is covered, with parts of it in the colours of their causes.

    Examples
    --------
    >>> coverage_bar(Span(0, 100), [("unknown", Span(50, 75))]).count("background")
    2
    """
    length = max(1, span.end - span.start)
    pieces = [f"<i style='{_PART};left:0;width:100%;background:{COLOURS['covered']}'></i>"]
    for cause, part in parts:
        left = 100 * (part.start - span.start) / length
        width = max(LEAST, 100 * (part.end - part.start) / length)
        pieces.append(f"<i style='{_PART};left:{left:.2f}%;width:{width:.2f}%;background:{COLOURS[cause]}'></i>")
    return Html(f"<span style='{_BAR}' title='{escape(title, quote=True)}'>{''.join(pieces)}</span>")


def legend(causes: Iterable[str] = tuple(COLOURS)) -> Html:
    """Return what the colours of coverage bars mean."""
    mark = "display:inline-block;width:10px;height:10px;margin-right:4px"
    marks = (f"<span style='{mark};background:{COLOURS[cause]}'></span>{cause}" for cause in causes)
    return Html(f"<p>{' &nbsp; '.join(marks)}</p>")


def searchable(head: Sequence[str], rows: Iterable[Sequence[tuple[object, object]]]) -> Html:
    """Return a table with a search box, whose heads sort it.

    Parameters
    ----------
    head : sequence of str
    rows : iterable of sequence of (object, object)
        Cells, and what each is sorted by. Searched is the text of the cells.
    """
    lines = []
    for row in rows:
        keys = ["" if key is None else str(key) for _, key in row]
        cells = "".join(
            cell(value).replace("<td ", f"<td data-key='{escape(key, quote=True)}' ", 1)
            for (value, _), key in zip(row, keys, strict=True)
        )
        text = " ".join(str(value) for value, _ in row if not isinstance(value, Html)).lower()
        lines.append(f"<tr data-text='{escape(text, quote=True)}'>{cells}</tr>")
    titles = "".join(f"<th style='text-align:left;cursor:pointer'>{escape(name)}</th>" for name in head)
    return Html(
        "<div><input type='search' placeholder='search' aria-label='search'> <output></output>"
        f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>{_SCRIPT}</div>"
    )


def document(title: str, body: str) -> str:
    """Return a whole HTML file."""
    style = "body{font-family:sans-serif}table{border-collapse:collapse}td,th{padding:2px 8px}"
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{style}</style></head><body>{body}</body></html>"
    )
