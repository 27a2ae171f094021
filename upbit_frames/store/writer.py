"""Write a series: under its lock, in steps each of which leaves a consistent store.

However a writer ends, each moment on the disk is afterwards either as before or as intended: files
appear complete, and the files that they supersede are removed only after that.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from typing import Any

import pyarrow as pa

from upbit_frames.core.intervals import Span, merge, overlapping, subtract
from upbit_frames.errors import CorruptFile
from upbit_frames.runtime.caller import warn
from upbit_frames.store import atomic_files as files
from upbit_frames.store import encoding, layout, replaced
from upbit_frames.store import validation as rows
from upbit_frames.store.base import note_text
from upbit_frames.store.directories import Directory, open_below
from upbit_frames.store.encoding import Vanished
from upbit_frames.store.layout import File
from upbit_frames.store.merging import MAX_FILES, neighbours_to_merge
from upbit_frames.store.reader import SeriesFolder
from upbit_frames.store.results import Finding

__all__ = ["clear", "compact", "note", "read_notes", "remove_files", "repair", "write"]

ROW_BYTES = 40  # about what a row takes in a small file, for choosing what to merge
FILE_BYTES = 700
# The work of a writer for others is bounded, because it holds the lock meanwhile:
TIDY_FILES = 1_000  # leftovers removed
TIDY_READS = 128  # files read again because leftovers are inside them
MAX_MERGED = 128  # files merged on each side of a new file


@dataclass
class _NewFile:
    """A file about to be written, and the files that it replaces."""

    span: Span
    table: pa.Table
    origins: set[str]
    obsolete: list[File] = field(default_factory=list)


def write(folder: SeriesFolder, table: pa.Table, span: Span, origin: str, *, replace: bool) -> None:
    """Store checked rows; see :meth:`upbit_frames.store.base.Store.write`."""
    if not replace and not subtract([span], overlapping(folder.covered(), span)):
        return
    plan, commit = (_plan_replacement, _commit_replacement) if replace else (_plan_addition, _commit)
    with _locked_tidy_folder(folder) as (directory, present):
        while True:
            try:
                new = plan(folder, present, table, span, origin)
                break
            except (CorruptFile, Vanished):
                # A neighbour was damaged and has been quarantined; its range is missing again.
                present = folder.files()
        commit(folder, directory, new)
    folder.touch()


@contextlib.contextmanager
def _locked_tidy_folder(folder: SeriesFolder) -> Iterator[tuple[Directory, list[File]]]:
    """Hold the lock over a tidy folder; yield the open folder and the effective files."""
    doing = files.explained("writing to the store", folder.path)
    with folder.locked(), doing, folder.directory(create=True) as directory:
        yield directory, _tidy(folder, directory)


def _tidy(folder: SeriesFolder, directory: Directory) -> list[File]:
    """Remove what killed writers left, a bounded number at a time; return the effective files."""
    names = folder.names()
    files.sweep(directory, names)
    while True:
        present, leftover = folder.listed()
        try:
            superseded = _superseded(folder, present, leftover)
        except CorruptFile:
            continue  # the larger file was damaged: the leftovers count again
        files.remove(directory, superseded)
        if replaced.REPLACED in names:
            replaced.forget_all_but(directory, {file.name for file in leftover} - set(superseded))
        return present


def _superseded(folder: SeriesFolder, present: list[File], leftover: list[File]) -> list[str]:
    """Return the names of leftovers that are superseded by larger files, whose checksums were verified."""
    holders: dict[File, list[str]] = {}
    for part in leftover[:TIDY_FILES]:
        # Effective files are sorted by start and by end, so the nearest before it holds it.
        holder = present[bisect_right(present, part.span.start, key=_start) - 1]
        if holder not in holders and len(holders) == TIDY_READS:
            break
        holders.setdefault(holder, []).append(part.name)
    for holder in holders:
        folder.rows_of([(holder, holder.span)], reverify=True)
    return [name for names in holders.values() for name in names]


def repair(folder: SeriesFolder, faults: Sequence[Finding]) -> list[Finding]:
    """Remove leftovers and merge overlaps; return the faults with what was done about them."""
    left = {fault.path for fault in faults if fault.problem == "leftover"}
    while left:
        before = len(left)
        with _locked_tidy_folder(folder):  # taken again each time, so that other writers have their turn
            left &= {folder.path / name for name in folder.names()}
        if len(left) >= before:
            break
    if any(fault.problem == "overlap" for fault in faults):
        compact(folder)
    done = {"leftover": "removed", "overlap": "merged"}
    return [
        replace_fields(fault, detail=f"{fault.detail}; {done[fault.problem]}")
        if fault.problem in done and fault.path not in left
        else fault
        for fault in faults
    ]


def _start(file: File) -> int:
    return file.span.start


def _end(file: File) -> int:
    return file.span.end


def _commit(folder: SeriesFolder, directory: Directory, new: Sequence[_NewFile]) -> None:
    contents = [(layout.file_name(file.span), _encoded(folder, file)) for file in new]
    files.commit(directory, contents, _obsolete(new))


def _commit_replacement(folder: SeriesFolder, directory: Directory, new: Sequence[_NewFile]) -> None:
    obsolete = _obsolete(new)
    if obsolete:
        replaced.mark(directory, obsolete)
    _commit(folder, directory, new)
    if obsolete:
        replaced.forget_all_but(directory, obsolete)


def _obsolete(new: Sequence[_NewFile]) -> list[str]:
    """Return the names of the files that the new ones supersede and that do not get their names."""
    return sorted({old.name for file in new for old in file.obsolete} - {layout.file_name(file.span) for file in new})


def _encoded(folder: SeriesFolder, new: _NewFile) -> pa.Buffer:
    return encoding.encode(folder.series, new.table, new.span, "+".join(sorted(new.origins)), folder.clock.now())


def _origins(folder: SeriesFolder, present: Sequence[File]) -> set[str]:
    origins: set[str] = set()
    for file in present:
        origins |= encoding.origins_of(folder.footer(file))
    return origins


# --- adding what is not covered yet ---------------------------------------------------------------


def _plan_addition(
    folder: SeriesFolder, present: list[File], table: pa.Table, span: Span, origin: str
) -> list[_NewFile]:
    """Return the files to write so that the missing parts of a span become covered."""
    near = present[bisect_right(present, span.start, key=_end) : bisect_left(present, span.end, key=_start)]
    missing = subtract([span], (file.span for file in near))
    pieces = [piece for part in missing for piece in layout.split(folder.series, part, rows.cut(table, part))]
    parts = [part for part, _ in pieces]
    new: list[_NewFile] = []
    used: set[str] = set()
    for part, part_rows in pieces:
        file = _NewFile(part, part_rows, {origin})
        neighbours = _mergeable_neighbours(folder, present, parts, part, len(part_rows))
        if neighbours and used.isdisjoint(other.name for other in neighbours):
            used.update(other.name for other in neighbours)
            _merge_with_neighbours(folder, file, neighbours)
        new.append(file)
    return new


def _mergeable_neighbours(
    folder: SeriesFolder, present: list[File], parts: list[Span], part: Span, count: int
) -> list[File]:
    """Return the adjacent files to merge with a new file, all within its segment."""
    segment = layout.segment_of(folder.series.segment, part.start)
    if part.end > segment.end:
        return []
    near = present[bisect_right(present, segment.start, key=_end) : bisect_left(present, segment.end, key=_start)]
    middle = bisect_left(near, part.start, key=_start)
    before: list[File] = []
    low = part.start
    for file in reversed(near[max(0, middle - MAX_MERGED) : middle]):
        if file.span.end != low or file.span.start < segment.start:
            break
        before.insert(0, file)
        low = file.span.start
    after: list[File] = []
    high = part.end
    for file in near[middle : middle + MAX_MERGED]:
        if file.span.start != high or file.span.end > segment.end:
            break
        after.append(file)
        high = file.span.end
    if len(before) + len(after) >= MAX_FILES:
        return [*before, *after]
    coming = overlapping(parts, segment)
    few = len(near) <= 2 * MAX_MERGED  # else they could not all be merged into one file
    if few and not subtract([segment], [*(file.span for file in near), *coming]):
        return [*before, *after]
    left, right = neighbours_to_merge(_sizes(folder, before), _sizes(folder, after), FILE_BYTES + ROW_BYTES * count)
    return [*before[len(before) - left :], *after[:right]]


def _sizes(folder: SeriesFolder, neighbours: list[File]) -> list[int]:
    return [encoding.identity_of(folder.path_of(file)).size for file in neighbours]


def _merge_with_neighbours(folder: SeriesFolder, new: _NewFile, neighbours: list[File]) -> None:
    # Read afresh: a merge must never put a right checksum over rows gone wrong.
    before = [(file, file.span) for file in neighbours if file.span.start < new.span.start]
    after = [(file, file.span) for file in neighbours if file.span.start > new.span.start]
    left, right = folder.rows_of(before, reverify=True), folder.rows_of(after, reverify=True)
    new.table = rows.join(folder.series.table, [left, new.table, right])
    new.origins |= _origins(folder, neighbours)
    new.span = merge([new.span, *(file.span for file in neighbours)])[0]
    new.obsolete = neighbours


# --- replacing ------------------------------------------------------------------------------------


def _plan_replacement(
    folder: SeriesFolder, present: list[File], table: pa.Table, span: Span, origin: str
) -> list[_NewFile]:
    """Return the files to write so that the rows of a span are replaced and all others stay."""
    touched = [file for file in present if file.span.start < span.end and span.start < file.span.end]
    hull = merge([span, *(file.span for file in touched)])[0]
    sides = [
        folder.rows_of(layout.territories(touched, side), reverify=True)
        for side in (Span(hull.start, span.start), Span(span.end, hull.end))
    ]
    whole = rows.join(folder.series.table, [sides[0], table, sides[1]])
    origins = _origins(folder, touched) | {origin}
    new = [_NewFile(part, part_rows, origins) for part, part_rows in layout.split(folder.series, hull, whole)]
    new[0].obsolete = touched
    return new


# --- the resting state ----------------------------------------------------------------------------


def compact(folder: SeriesFolder) -> None:
    """Merge files: one per segment and covered range, and one per range between segments without rows."""
    present, leftover = folder.listed()
    if len(present) < 2 and not leftover:
        return
    with _locked_tidy_folder(folder) as (directory, present):
        while True:
            try:
                for span in merge(file.span for file in present):
                    low, high = (bisect_left(present, edge, key=_start) for edge in span)
                    _compact_range(folder, directory, present[low:high], span)
                return
            except (CorruptFile, Vanished):
                present = folder.files()


def _compact_range(folder: SeriesFolder, directory: Directory, present: list[File], covered: Span) -> None:
    parts = layout.territories(present, covered)
    resting = [span for span, _ in layout.partition(covered, _segments_with_rows(folder, parts))]
    whole = {file.span for file, part in parts if file.span == part}
    for span in resting:
        if span not in whole:
            low = bisect_right(parts, span.start, key=lambda part: part[1].end)
            high = bisect_left(parts, span.end, key=lambda part: part[1].start)
            inside = [(file, _intersection(part, span)) for file, part in parts[low:high]]
            table = folder.rows_of(inside, reverify=True)
            _commit(folder, directory, [_NewFile(span, table, _origins(folder, [file for file, _ in inside]))])
    keep = {layout.file_name(span) for span in resting}
    files.remove(directory, [file.name for file in present if file.name not in keep])


def _intersection(first: Span, second: Span) -> Span:
    return Span(max(first.start, second.start), min(first.end, second.end))


def _segments_with_rows(folder: SeriesFolder, parts: list[tuple[File, Span]]) -> list[Span]:
    segments: set[Span] = set()
    for file, part in parts:
        if folder.footer(file).rows:
            segment = layout.segment_of(folder.series.segment, part.start)
            if part.end <= segment.end:
                segments.add(segment)
            else:
                segments.update(layout.segments_with_rows(folder.series, folder.rows_of([(file, part)])))
    return sorted(segments)


# --- removing -------------------------------------------------------------------------------------


def remove_files(folder: SeriesFolder, wanted: set[str]) -> int:
    """Remove files by name, as far as they still exist; return the bytes freed."""
    with _locked_tidy_folder(folder) as (directory, present):
        chosen = [file.name for file in present if file.name in wanted]
        freed = sum(directory.stat(name).st_size for name in chosen)
        files.remove(directory, chosen)
    return freed


def clear(folder: SeriesFolder) -> int:
    """Remove a series with its notes and quarantine; return the bytes freed."""
    *above, name = layout.parts_of(folder.series)
    freed = 0
    with folder.locked(), files.explained("clearing the store", folder.path):
        try:
            parent = open_below(folder.root, *above)
        except FileNotFoundError:
            return 0
        with parent, open_below(folder.root, layout.TRASH, create=True) as trash:
            if parent.kind(name) is not None:
                freed = parent.tree_size(name)
                # Moved away at once, so that no reader sees a series half removed.
                files.settle(parent)
                parent.replace(name, uuid.uuid4().hex, trash)
                parent.sync()
            with contextlib.suppress(OSError), open_below(folder.root, *above[:-1]) as markets:
                if folder.series.interval is not None:  # the market may have other series
                    markets.remove_folder(above[-1])
    with files.explained("clearing the store", folder.path), open_below(folder.root, layout.TRASH) as trash:
        for abandoned in trash.names():
            trash.remove_tree(abandoned)  # what cannot go now is taken by the next clear()
    return freed


# --- notes ----------------------------------------------------------------------------------------


def read_notes(folder: SeriesFolder) -> dict[str, Any]:
    """Return the notes of a series: small JSON values kept beside its rows."""
    path = folder.path / layout.NOTES
    with files.explained("reading the notes of a series", path):
        try:
            notes = json.loads(files.read_small(path))
            if not isinstance(notes, dict):
                raise ValueError("not a JSON object")
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as failed:
            warn(f"the notes of {folder.series} are damaged ({failed}) and count as empty: {path}")
            return {}
    return notes


def note(folder: SeriesFolder, key: str, value: Any) -> None:
    """Store a note; None removes it."""
    note_text(folder.series, key, value)
    doing = files.explained("storing a note", folder.path)
    with folder.locked(), doing, folder.directory(create=True) as directory:
        notes = read_notes(folder)
        notes.pop(key, None)
        if value is not None:
            notes[key] = value
        files.commit(directory, [(layout.NOTES, json.dumps(notes, allow_nan=False, indent=1).encode())])
