"""Everything that is stored, one entry a series: how much, from when to when, with which holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from upbit_frames.core.availability import SEAL_GRACE, expires, sealed_until
from upbit_frames.core.html import Html
from upbit_frames.core.intervals import Span, from_micros, intersect, iso, subtract
from upbit_frames.core.text import counted
from upbit_frames.datasets.collect.pages import coverage_bar
from upbit_frames.store.base import Series, Store
from upbit_frames.store.results import SeriesInfo

__all__ = ["Entry", "entries", "summary"]


@dataclass(frozen=True)
class Entry:
    """One stored series.

    Attributes
    ----------
    info : SeriesInfo
    span : Span
        From the first row, or else the first covered moment after the epoch, to the present.
    holes : tuple of Span
        What is not covered of it, without what comes after the end of the coverage.
    covered_until : int
    share : float
        Covered share of the span, 0 to 1.
    expires : int or None
        When the exchange may stop to serve what comes after ``covered_until``; None where it does not.
    """

    info: SeriesInfo
    span: Span
    holes: tuple[Span, ...]
    covered_until: int
    share: float
    expires: int | None

    @property
    def bar(self) -> Html:
        """The coverage as HTML."""
        missing = [*self.holes, Span(self.covered_until, self.span.end)]
        parts = [("unknown", part) for part in missing if not part.empty]
        return coverage_bar(self.span, parts, f"{self.span}: {self.share:.1%} covered")


def entries(store: Store, chosen: Sequence[Series], now: int) -> list[Entry]:
    """Look up stored series; reads the ends of their files."""
    return [entry for series in chosen if (entry := _entry(store.info(series), now)) is not None]


def _entry(info: SeriesInfo, now: int) -> Entry | None:
    if not info.covered:
        return None  # cleared meanwhile
    grid = info.series.grid
    present = now - SEAL_GRACE if grid is None else sealed_until(grid, now)
    start = info.first if info.first is not None else info.covered[-1].start
    until = info.covered[-1].end
    span = Span(start, max(present, until))
    known = intersect(info.covered, [span])
    holes = tuple(subtract([Span(start, until)], known))
    share = sum(part.end - part.start for part in known) / max(1, span.end - span.start)
    return Entry(info, span, holes, until, share, None if info.series.kind == "orderbook" else expires(grid, until))


def summary(entries: Sequence[Entry], where: str) -> list[str]:
    """Describe what is stored in a line or two."""
    size = sum(entry.info.bytes for entry in entries) / 1e6
    rows = sum(entry.info.rows for entry in entries)
    lines = [f"{len(entries):,} series, {counted(rows, 'row')}, {size:,.1f} MB in {where}"]
    ending = sorted(
        (entry.expires, str(entry.info.series), entry.covered_until) for entry in entries if entry.expires is not None
    )
    if ending:
        until, name, after = ending[0]
        lines.append(f"next to expire: {name} after {iso(after)} is served until {iso(until)}; uf.update() fetches it")
    return lines


def day(micros: int | None) -> str:
    """Return a moment to the minute, for tables."""
    return "" if micros is None else f"{from_micros(micros).astimezone(UTC):%Y-%m-%d %H:%M}"
