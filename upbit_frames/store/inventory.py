"""Inventory of a series on the disk: its files, their rows, and problems."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from upbit_frames.core.intervals import Span, merge
from upbit_frames.errors import CorruptFile
from upbit_frames.store import encoding, layout
from upbit_frames.store import validation as rows
from upbit_frames.store.atomic_files import STALE_SECONDS
from upbit_frames.store.layout import File
from upbit_frames.store.reader import SeriesFolder
from upbit_frames.store.results import Finding, SeriesInfo, StoredFile

__all__ = ["faults", "info", "stored_files"]

T = TypeVar("T")


def _without_damaged(folder: SeriesFolder, work: Callable[[], T]) -> T:
    """Do the work; what is damaged is set aside with a warning, and the work done again without it."""
    while True:
        try:
            return folder.retry(work)
        except CorruptFile:
            continue


def stored_files(folder: SeriesFolder, span: Span | None = None) -> list[StoredFile]:
    """List the files that count and overlap a range, their footers checked."""

    def listed() -> list[StoredFile]:
        wanted = [
            file
            for file in folder.files()
            if span is None or (file.span.start < span.end and span.start < file.span.end)
        ]
        footer = [folder.footer(file) for file in wanted]
        return [
            StoredFile(
                folder.series,
                Path(folder.path_of(file)),
                file.span,
                known.rows,
                known.identity.size,
                frozenset(encoding.origins_of(known)),
            )
            for file, known in zip(wanted, footer, strict=True)
        ]

    return _without_damaged(folder, listed)


def info(folder: SeriesFolder) -> SeriesInfo:
    """Summarise a series; rows that two files hold count once."""
    return _without_damaged(folder, lambda: _info(folder))


def _info(folder: SeriesFolder) -> SeriesInfo:
    present = folder.files()
    covered = merge(file.span for file in present)
    total = size = 0
    times: list[int] = []  # of the first and last rows
    for file, part in layout.territories(present, Span(0, covered[-1].end)) if covered else []:
        footer = folder.footer(file)
        size += footer.identity.size
        if part == file.span:
            total += footer.rows
            times += [footer.first[0], footer.last[-1]] if footer.rows else []
        else:  # another file holds the rest of its range
            inside = rows.times_of(folder.rows_of([(file, part)]))
            total += len(inside)
            times += [int(inside[0]), int(inside[-1])] if len(inside) else []
    first, last = (min(times), max(times)) if times else (None, None)
    return SeriesInfo(folder.series, total, len(present), size, tuple(covered), first, last)


def faults(folder: SeriesFolder) -> list[Finding]:
    """Read every file again and list what is wrong, but for what was set aside as damaged."""
    series = folder.series
    names = folder.names()
    present, leftover = layout.effective(names)
    problems = [
        Finding(series, "foreign", "the name does not say what it covers", folder.path / name)
        for name in sorted(names)
        if not name.startswith((".", "_")) and layout.parse_name(name) is None
    ]
    problems += [
        Finding(series, "leftover", "a larger file holds the same range", folder.path / file.name, file.span)
        for file in leftover
    ]
    problems += [
        Finding(series, "leftover", "a killed writer left it unfinished", folder.path / name)
        for name in sorted(names)
        if name.startswith(layout.TEMPORARY) and _stale(folder.path / name)
    ]
    problems += [
        Finding(series, "overlap", f"overlaps {after.name}", folder.path / file.name, file.span)
        for file, after in itertools.pairwise(present)
        if after.span.start < file.span.end
    ]
    for file in present:
        fault = _impossible_prices(folder, file)
        if fault:
            problems.append(Finding(series, "prices", fault, folder.path / file.name, file.span))
    return problems


def _impossible_prices(folder: SeriesFolder, file: File) -> str | None:
    try:
        return rows.prices(folder.series, folder.read_file(file))
    except CorruptFile:
        return None  # quarantined: problems() lists it


def _stale(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return False
