"""Names of files whose rows were replaced, so that these rows can never count again.

A replacement puts the new file in place before it removes the old ones. After a power failure in
between both are there, which is harmless: the new file covers the old ones. Should the new file
later be damaged, however, it is moved aside, and the old files would count again with rows that
were meant to go. After a merge that is right, because the old files hold the same rows; after a
replacement it is not, and a damaged file no longer says which of the two it was. So a replacement
writes down the names of the old files before anything else happens.

The list is a file that other tools ignore. It lives only while a replacement is under way, or until
the next writer has removed what a killed writer left.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from upbit_frames.store import atomic_files as files
from upbit_frames.store.directories import Directory
from upbit_frames.store.layout import File, parse_name

__all__ = ["REPLACED", "drop", "forget_all_but", "inside", "mark", "marked"]

REPLACED = "_replaced.json"


def marked(folder: Path, names: Collection[str]) -> set[str]:
    """Return those of the names in a folder that are marked as replaced.

    All of them are where the list cannot be read: rows that are fetched again are better than rows
    that were replaced.
    """
    if REPLACED not in names:
        return set()
    try:
        listed = json.loads(files.read_small(folder / REPLACED))
        return set(listed) & set(names)
    except FileNotFoundError:
        return set()
    except (ValueError, TypeError, RecursionError):
        return set(names)


def mark(folder: Directory, names: Iterable[str]) -> None:
    """Write down that files are about to be replaced; durable on return."""
    known = marked(folder.path, folder.names())
    files.commit(folder, [(REPLACED, json.dumps(sorted({*known, *names})).encode())])


def forget_all_but(folder: Directory, leftover: Collection[str]) -> None:
    """Keep only the marks of files that are still left over; the removal of the others becomes durable first.

    A marked file that counts was not replaced after all: the power failed before.
    """
    names = folder.names()
    if REPLACED not in names:
        return
    left = marked(folder.path, names) & set(leftover)
    folder.sync()
    if left:
        files.commit(folder, [(REPLACED, json.dumps(sorted(left)).encode())])
    else:
        folder.unlink(REPLACED)


def inside(names: Iterable[str], file: File) -> set[str]:
    """Return the names of other files that lie inside the range of a file."""
    spans = ((name, parse_name(name)) for name in names if name != file.name)
    return {name for name, span in spans if span and file.span.start <= span.start and span.end <= file.span.end}


def drop(folder: Directory, file: File) -> None:
    """Remove the files that a file has replaced, durably, before the file itself is moved away."""
    names = folder.names()
    stale = marked(folder.path, names) & inside(names, file)
    if stale:
        files.remove(folder, sorted(stale))
        folder.sync()
