"""Which stored series and files a scan reads, and what of its range is missing."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbit_frames.core.availability import sealed_until
from upbit_frames.core.intervals import INTERVALS, Interval, Span, iso, subtract
from upbit_frames.datasets.publish import mirror
from upbit_frames.errors import NotCached
from upbit_frames.store.base import Series
from upbit_frames.store.layout import find_series
from upbit_frames.store.object_store import ObjectStore
from upbit_frames.store.snapshot import LinkedSeries, Snapshot, take_snapshot

__all__ = ["LATEST", "Missing", "Selection", "check_missing", "missing_of", "missing_text", "select", "select_shared"]

LATEST = 2**62
SHOWN = 5  # missing ranges that a message names


@dataclass(frozen=True)
class Selection:
    """The files of a scan.

    Attributes
    ----------
    root : Path
        The store's folder.
    kind : str
    snapshot : Snapshot
        Keeps the files; whatever reads them must refer to it.
    start, end : int or None
        Rows outside of them are cut off; None where that end is open.
    """

    root: Path
    kind: str
    snapshot: Snapshot
    start: int | None
    end: int | None

    @property
    def parts(self) -> list[LinkedSeries]:
        """The series that have files."""
        return [part for part in self.snapshot.parts if part.paths]


@dataclass(frozen=True)
class Missing:
    """A range of a series that the store does not cover."""

    series: Series
    span: Span

    def __str__(self) -> str:
        return f"{self.series.market} {iso(self.span.start)} → {iso(self.span.end)}"


def select(
    root: Path, kind: str, interval: Interval | None, markets: Sequence[str] | None, quotes: Sequence[str],
    start: int | None, end: int | None,
) -> Selection:  # fmt: skip
    """Link the files of the series named, or of all that are stored.

    Parameters
    ----------
    root : Path
        The store's folder.
    kind : {"candles", "trades"}
    interval : Interval or None
        None for trades.
    markets : sequence of str or None
        None and no quotes: all that are stored.
    quotes : sequence of str
        Also the stored markets of these quote currencies.
    start, end : int or None
        Microseconds UTC; None: from the first, to the last stored row.
    """
    name = None if interval is None else interval.name
    wanted = _wanted(lambda: find_series(root, kind, name), kind, interval, markets, quotes)
    return Selection(root, kind, take_snapshot(root, wanted, _span(start, end)), start, end)


def select_shared(
    objects: ObjectStore, kind: str, interval: Interval | None, markets: Sequence[str] | None, quotes: Sequence[str],
    start: int | None, end: int | None,
) -> Selection:  # fmt: skip
    """Copy the files of a shared store that :func:`select` would link, into a folder that goes with the selection."""
    wanted = _wanted(objects.series, kind, interval, markets, quotes)
    folder = Path(tempfile.mkdtemp(prefix="upbit-frames-scan-"))
    try:
        mirror(objects, folder, wanted, _span(start, end))
        snapshot = take_snapshot(folder, wanted, _span(start, end))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(snapshot, shutil.rmtree, folder, ignore_errors=True)
    return Selection(folder, kind, snapshot, start, end)


def _wanted(
    stored: Callable[[], list[Series]], kind: str, interval: Interval | None, markets: Sequence[str] | None,
    quotes: Sequence[str],
) -> list[Series]:  # fmt: skip
    name = None if interval is None else interval.name
    wanted = [Series(kind, market, name) for market in markets or ()]
    if quotes or markets is None:
        wanted += [
            series
            for series in stored()
            if (series.kind, series.interval) == (kind, name)
            and series not in wanted
            and (not quotes or series.market.partition("-")[0] in quotes)
        ]
    return wanted


def _span(start: int | None, end: int | None) -> Span | None:
    return None if start is None and end is None else Span(start or 0, LATEST if end is None else end)


def missing_of(selection: Selection, now: int) -> list[Missing]:
    """List the ranges that are not stored; an open end of the range begins or ends with what is.

    What is not final yet at ``now`` cannot be stored and is not missing.
    """
    missing = []
    for part in selection.snapshot.parts:
        covered = part.covered
        grid = None if part.series.interval is None else INTERVALS[part.series.interval]
        low = selection.start if selection.start is not None else (covered[0].start if covered else 0)
        final = now if grid is None else sealed_until(grid, now)
        high = min(selection.end, final) if selection.end is not None else (covered[-1].end if covered else final)
        if grid is not None:
            low, high = grid.ceil(low), grid.ceil(high)
        if low < high:
            missing += [Missing(part.series, span) for span in subtract([Span(low, high)], covered)]
    return missing


def check_missing(missing: Sequence[Missing], *, hint: str | None = None) -> None:
    """Raise NotCached if there are missing ranges."""
    if missing:
        raise NotCached(
            missing_text(missing),
            suggestion=hint
            or "missing='fetch' fetches it, uf.download() beforehand; missing='ignore' reads what there is",
            missing=[str(part) for part in missing],
        )


def missing_text(missing: Iterable[Missing]) -> str:
    """Describe what is missing, the first ranges by name."""
    ranges = list(missing)
    listed = ", ".join(map(str, ranges[:SHOWN]))
    more = f" and {len(ranges) - SHOWN} more" if len(ranges) > SHOWN else ""
    return f"the store lacks {len(ranges)} of the ranges that the scan needs: {listed}{more}"
