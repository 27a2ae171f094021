"""What ``uf.cache`` makes of its arguments and writes into its tables."""

from __future__ import annotations

from typing import Any

from upbit_frames.core.config import current
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.markets import parse_market
from upbit_frames.core.moments import parse_zone
from upbit_frames.core.query import parse_span
from upbit_frames.core.text import counted, moment_text
from upbit_frames.store.base import Series
from upbit_frames.store.results import SeriesInfo

__all__ = ["info_row", "known_ranges", "range_of", "range_text", "series_of"]

LATEST = 2**62


def range_of(start: Any, end: Any) -> Span | None:
    """Return a half-open range of the arguments of a call, None where both ends are open."""
    if start is None and end is None:
        return None
    low, high = parse_span(start, end, parse_zone(current().tz))
    return Span(0 if low is None else low, LATEST if high is None else high)


def series_of(market: str, interval: str | None, kind: str) -> Series:
    """Return the series that arguments of a call name."""
    name = Interval.parse(interval).name if kind == "candles" and interval is not None else None
    return Series("trades" if name is None and kind == "candles" else kind, parse_market(market), name)


def known_ranges(info: SeriesInfo) -> list[Span]:
    """Return the covered ranges, without the emptiness before the first row."""
    first = info.first if info.first is not None else 0
    return [Span(max(span.start, first), span.end) for span in info.covered if span.end > first]


def info_row(info: SeriesInfo) -> tuple[Any, ...]:
    """Return the row of a series in ``uf.cache.ls()``."""
    series = info.series
    return (
        series.kind, series.market, series.interval, info.rows, info.files, info.bytes,
        info.first, info.last, len(known_ranges(info)),
    )  # fmt: skip


def range_text(info: SeriesInfo) -> str:
    """Write what is covered of a series, in the zone of the settings."""
    known = known_ranges(info)
    if not known:
        return "nothing"
    tz = current().tz
    more = f" ({counted(len(known) - 1, 'gap')})" if len(known) > 1 else ""
    return f"{moment_text(known[0].start, tz)} → {moment_text(known[-1].end, tz)}{more}"
