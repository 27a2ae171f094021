"""Writing one series: under its lock, in steps of which each leaves a store that is right.

However a writer ends, what is on the disk afterwards is either as before or as wanted, moment by
moment: files appear complete, and what they replace goes only after that.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from upbit_frames.core.intervals import Span, merge, subtract
from upbit_frames.errors import CorruptFile, UpbitFramesWarning
from upbit_frames.store import atomic_files as files
from upbit_frames.store import encoding, layout
from upbit_frames.store import validation as rows
from upbit_frames.store.base import note_text
from upbit_frames.store.encoding import Vanished
from upbit_frames.store.layout import File
from upbit_frames.store.merging import neighbours_to_merge
from upbit_frames.store.reader import SeriesFolder

__all__ = ["clear", "compact", "note", "read_notes", "remove_files", "write"]

ROW_BYTES = 40  # about what a row takes in a small file, for choosing what to merge
FILE_BYTES = 700


@dataclass
class _New:
    """A file about to be written, and the files that it replaces."""

    span: Span
    table: pa.Table
    origins: set[str]
    obsolete: list[File] = field(default_factory=list)


def write(folder: SeriesFolder, table: pa.Table, span: Span, origin: str, *, replace: bool) -> None:
    """Store checked rows; see :meth:`upbit_frames.store.base.Store.write`."""
    if not replace and not subtract([span], folder.covered()):
        return
    with _changing(folder) as present:
        while True:
            try:
                if replace:
                    new = _replacing(folder, present, table, span, origin)
                else:
                    new = _adding(folder, present, table, span, origin)
                break
            except (CorruptFile, Vanished):
                # A neighbour was damaged and is set aside; what it covered is open again.
                present = folder.files()
        _commit(folder, new)
    folder.touch()


@contextlib.contextmanager
def _changing(folder: SeriesFolder) -> Iterator[list[File]]:
    """Hold the lock over a tidy folder; gives the files that count."""
    with folder.locked(), files.explained("writing to the store", folder.path):
        files.make_folder(folder.path)
        yield _tidy(folder)


def _tidy(folder: SeriesFolder) -> list[File]:
    """Remove what killed writers left; gives the files that count."""
    whole = False
    while not whole:
        whole = True
        names = folder.names()
        files.sweep(folder.path, names)
        present, leftover = layout.effective(names)
        # The contents of leftovers are in larger files. Those must be right before the parts may go.
        for one in present:
            inside = [
                part.name for part in leftover if one.span.start <= part.span.start and part.span.end <= one.span.end
            ]
            if inside:
                try:
                    folder.rows_of([(one, one.span)], afresh=True)
                    files.remove(folder.path, inside)
                except CorruptFile:
                    whole = False
    return present


def _commit(folder: SeriesFolder, new: Sequence[_New]) -> None:
    names = {layout.file_name(one.span) for one in new}
    obsolete = {old.name for one in new for old in one.obsolete} - names
    contents = [(layout.file_name(one.span), _encoded(folder, one.table, one.origins)) for one in new]
    files.commit(folder.path, contents, sorted(obsolete))


def _encoded(folder: SeriesFolder, table: pa.Table, origins: set[str]) -> pa.Buffer:
    return encoding.encode(folder.series, table, "+".join(sorted(origins)), folder.clock.now())


def _origins(folder: SeriesFolder, present: Sequence[File]) -> set[str]:
    found: set[str] = set()
    for one in present:
        found |= encoding.origins_of(folder.facts(one))
    return found


# --- adding what is not covered yet ---------------------------------------------------------------


def _adding(folder: SeriesFolder, present: list[File], table: pa.Table, span: Span, origin: str) -> list[_New]:
    """The files to write so that what is not covered of a span becomes so."""
    missing = subtract([span], (one.span for one in present))
    pieces = [piece for part in missing for piece in layout.split(folder.series, part, rows.cut(table, part))]
    new: list[_New] = []
    taken: set[str] = set()
    for part, some in pieces:
        one = _New(part, some, {origin})
        neighbours = _neighbours(folder, present, [other for other, _ in pieces], part, len(some))
        if neighbours and taken.isdisjoint(file.name for file in neighbours):
            taken.update(file.name for file in neighbours)
            _absorb(folder, one, neighbours)
        new.append(one)
    return new


def _neighbours(folder: SeriesFolder, present: list[File], parts: list[Span], part: Span, count: int) -> list[File]:
    """The files that should become one with a new one; all touch, none leaves the segment."""
    segment = layout.segment_of(folder.series.segment, part.start)
    if part.end > segment.end:
        return []
    inside = [one for one in present if segment.start <= one.span.start and one.span.end <= segment.end]
    before: list[File] = []
    low = part.start
    for one in reversed([one for one in inside if one.span.start < part.start]):
        if one.span.end != low:
            break
        before.insert(0, one)
        low = one.span.start
    after: list[File] = []
    high = part.end
    for one in (one for one in inside if one.span.start >= part.end):
        if one.span.start != high:
            break
        after.append(one)
        high = one.span.end
    if not subtract([segment], [*(one.span for one in present), *parts]):
        return [*before, *after]
    left, right = neighbours_to_merge(_sizes(folder, before), _sizes(folder, after), FILE_BYTES + ROW_BYTES * count)
    return [*before[len(before) - left :], *after[:right]]


def _sizes(folder: SeriesFolder, some: list[File]) -> list[int]:
    return [encoding.identity_of(folder.path_of(one)).size for one in some]


def _absorb(folder: SeriesFolder, one: _New, neighbours: list[File]) -> None:
    # Read afresh: a merge must never put a right checksum over rows gone wrong.
    before = [(file, file.span) for file in neighbours if file.span.start < one.span.start]
    after = [(file, file.span) for file in neighbours if file.span.start > one.span.start]
    left, right = folder.rows_of(before, afresh=True), folder.rows_of(after, afresh=True)
    one.table = rows.join(folder.series.kind, [left, one.table, right])
    one.origins |= _origins(folder, neighbours)
    one.span = merge([one.span, *(file.span for file in neighbours)])[0]
    one.obsolete = neighbours


# --- replacing ------------------------------------------------------------------------------------


def _replacing(folder: SeriesFolder, present: list[File], table: pa.Table, span: Span, origin: str) -> list[_New]:
    """The files to write so that the rows of a span are the new ones, and all others stay."""
    touched = [one for one in present if one.span.start < span.end and span.start < one.span.end]
    hull = merge([span, *(one.span for one in touched)])[0]
    sides = [
        folder.rows_of(layout.territories(touched, side), afresh=True)
        for side in (Span(hull.start, span.start), Span(span.end, hull.end))
    ]
    whole = rows.join(folder.series.kind, [sides[0], table, sides[1]])
    origins = _origins(folder, touched) | {origin}
    new = [_New(part, some, origins) for part, some in layout.split(folder.series, hull, whole)]
    new[0].obsolete = touched
    return new


# --- the resting state ----------------------------------------------------------------------------


def compact(folder: SeriesFolder) -> None:
    """One file a segment and covered stretch; one for each stretch between that has no rows."""
    present, leftover = layout.effective(folder.names())
    if len(present) < 2 and not leftover:
        return
    with _changing(folder) as present:
        while True:
            try:
                for stretch in merge(one.span for one in present):
                    within = [one for one in present if stretch.start <= one.span.start < stretch.end]
                    _compact_stretch(folder, within, stretch)
                return
            except (CorruptFile, Vanished):
                present = folder.files()


def _compact_stretch(folder: SeriesFolder, present: list[File], stretch: Span) -> None:
    parts = layout.territories(present, stretch)
    resting = [span for span, _ in layout.partition(stretch, _segments_with_rows(folder, parts))]
    whole = {file.span for file, part in parts if file.span == part}
    for span in resting:
        if span not in whole:
            inside = [(file, part) for file, _ in parts for part in [_common(file, parts, span)] if part is not None]
            table = folder.rows_of(inside, afresh=True)
            _commit(folder, [_New(span, table, _origins(folder, [file for file, _ in inside]))])
    keep = {layout.file_name(span) for span in resting}
    files.remove(folder.path, [one.name for one in present if one.name not in keep])


def _common(file: File, parts: list[tuple[File, Span]], span: Span) -> Span | None:
    part = dict(parts)[file]
    common = Span(max(part.start, span.start), min(part.end, span.end))
    return None if common.empty else common


def _segments_with_rows(folder: SeriesFolder, parts: list[tuple[File, Span]]) -> list[Span]:
    found: set[Span] = set()
    for file, part in parts:
        if folder.facts(file).rows:
            segment = layout.segment_of(folder.series.segment, part.start)
            if part.end <= segment.end:
                found.add(segment)
            else:
                found.update(layout.segments_with_rows(folder.series, folder.rows_of([(file, part)])))
    return sorted(found)


# --- removing -------------------------------------------------------------------------------------


def remove_files(folder: SeriesFolder, wanted: set[str]) -> int:
    """Remove files by name, as far as they are still there; bytes freed."""
    freed = 0
    with _changing(folder) as present:
        chosen = [one for one in present if one.name in wanted]
        freed = sum((folder.path / one.name).stat().st_size for one in chosen)
        files.remove(folder.path, [one.name for one in chosen])
    return freed


def clear(folder: SeriesFolder, root: Path) -> int:
    """Remove a series with everything kept beside it; bytes freed."""
    trash = root / layout.TRASH
    with folder.locked(), files.explained("clearing the store", folder.path):
        if not folder.path.exists():
            return 0
        freed = sum(one.stat().st_size for one in folder.path.rglob("*") if one.is_file())
        trash.mkdir(exist_ok=True)
        # Moved away in one step, so that nobody meets a series half gone.
        files.settle(folder.path)
        folder.path.replace(trash / uuid.uuid4().hex)
        files.sync_folder(folder.path.parent)
        with contextlib.suppress(OSError):  # the market may have other series
            folder.path.parent.rmdir()
    for one in trash.iterdir():
        shutil.rmtree(one, ignore_errors=True)  # what cannot go now is taken by the next clear()
    return freed


# --- notes ----------------------------------------------------------------------------------------


def read_notes(folder: SeriesFolder) -> dict[str, Any]:
    """The small facts kept beside a series."""
    path = folder.path / layout.NOTES
    with files.explained("reading the notes of a series", path):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return {}
    try:
        notes = json.loads(text)
        if not isinstance(notes, dict):
            raise ValueError("not a JSON object")
    except ValueError as failed:
        warnings.warn(
            f"the notes of {folder.series} are damaged ({failed}) and count as empty: {path}",
            UpbitFramesWarning,
            stacklevel=2,
        )
        return {}
    return notes


def note(folder: SeriesFolder, key: str, value: Any) -> None:
    """Keep a small fact; None removes it."""
    note_text(folder.series, key, value)
    with folder.locked(), files.explained("noting a fact", folder.path):
        files.make_folder(folder.path)
        notes = read_notes(folder)
        notes.pop(key, None)
        if value is not None:
            notes[key] = value
        files.commit(folder.path, [(layout.NOTES, json.dumps(notes, allow_nan=False, indent=1).encode())])
