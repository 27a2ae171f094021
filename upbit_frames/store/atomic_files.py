"""Atomic changes to a series' folder, and the only way to list it.

The store relies on these guarantees:

* A file appears under its name complete and on the disk, or not at all (:func:`commit`).
* What a change makes superfluous is removed only after its replacement is on the disk.
* A listing never misses both a file and what replaced it (:func:`listing`).
"""

# The calls of the system are spelt out, because their order is what the promises rest on.
# ruff: noqa: PTH116, PTH208
from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from upbit_frames.errors import StoreError
from upbit_frames.store.directories import Directory, kind_of
from upbit_frames.store.layout import TEMPORARY

__all__ = ["Irregular", "commit", "explained", "listing", "read_small", "remove", "sweep"]

TICK = 11_000_000
"""Nanoseconds: longer than the step of any clock that file systems take their times from."""

STALE_SECONDS = 600
SWEPT = 256  # temporary files that a writer checks: it holds the lock meanwhile
SMALL_BYTES = 16_000_000
SCANS = 500
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_OPENED = {errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP}  # sockets and devices
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


class Irregular(ValueError):
    """Something else than a file lies under a file's name, or more than belongs there."""


@contextlib.contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Convert errors of the system to a StoreError with a suggestion."""
    try:
        yield
    except MemoryError as failed:
        hint = "free memory, or ask for a shorter range at once; the stored files are untouched"
        raise StoreError(f"not enough memory while {doing}", suggestion=hint, path=str(path)) from failed
    except NotImplementedError as failed:
        hint = "install a pyarrow built with that feature; the stored files are untouched"
        raise StoreError(f"pyarrow failed while {doing}: {failed}", suggestion=hint, path=str(path)) from failed
    except OSError as failed:
        if failed.errno in _FULL:
            hint = "make room or choose another cache_dir; uf.cache.prune() gives space back"
            text = f"the disk is full while {doing}"
        elif failed.errno in _DENIED:
            hint = "check the owner and permissions of the folder, or choose another cache_dir"
            text = f"not permitted while {doing}"
        else:
            hint = "check the disk and the folder, or choose another cache_dir"
            text = f"{failed.strerror or failed} while {doing}"
        raise StoreError(text, suggestion=hint, path=str(path)) from failed


def listing(folder: Path) -> list[str]:
    """List the names in a folder as of a single moment; empty if there is no folder.

    Reading a folder is not atomic: a name added behind the reader's back and a name removed in
    front of it are both missed. Taking names away moves the folder's own time, and
    :func:`settle` makes sure that it moves visibly, so a listing during which it did not move
    is whole.
    """
    for scan in range(SCANS):
        try:
            before = os.stat(folder)
            names = os.listdir(folder)
            after = os.stat(folder)
        except FileNotFoundError:
            return []
        if (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino):
            return names
        if scan > SCANS // 2:
            time.sleep(0.001)
    raise StoreError("the folder changes faster than it can be read", suggestion="try again", path=str(folder))


def read_small(path: Path | str) -> bytes:
    """Read a small file, such as the notes; never waits for a fifo.

    Raises
    ------
    Irregular
        If it is not a file, or far too large.
    OSError
        If it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as failed:
        if failed.errno in _NOT_OPENED:
            raise Irregular("it is a socket or a device, not a file") from failed
        raise
    try:
        kind = kind_of(os.fstat(handle))
        if kind != "file":
            raise Irregular(f"it is a {kind}, not a file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(SMALL_BYTES + 1)
    finally:
        os.close(handle)
    if len(data) > SMALL_BYTES:
        raise Irregular(f"it has more than {SMALL_BYTES:,} bytes")
    return data


def commit(folder: Directory, new: Sequence[tuple[str, Any]], obsolete: Sequence[str] = ()) -> None:
    """Put files in place, then remove those they replace.

    Parameters
    ----------
    folder : Directory
    new : sequence of (name, bytes-like)
        Complete contents. All are on the disk before the first one appears under its name.
    obsolete : sequence of str
        Names whose contents the new files hold.
    """
    staged: list[tuple[str, str]] = []
    try:
        for name, data in new:
            staged.append((stage(folder, data), name))
        while staged:
            temporary, target = staged[0]
            if folder.kind(target) is not None:
                settle(folder)
            folder.replace(temporary, target)
            del staged[0]
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                folder.unlink(temporary)  # sweep() takes what stays
    folder.sync()
    remove(folder, obsolete)


def stage(folder: Directory, data: Any) -> str:
    """Write a temporary file durably; return its name."""
    name = f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex[:12]}"
    folder.write_new(name, data)
    return name


def remove(folder: Directory, names: Sequence[str]) -> None:
    """Remove files whose contents are elsewhere or no longer wanted."""
    if not names:
        return
    settle(folder)
    for name in names:
        try:
            folder.unlink(name)
        except FileNotFoundError:
            continue
        except PermissionError:
            if os.name != "nt":
                raise
            # Another process is reading it, which Windows respects; the next writer removes it.


def settle(folder: Directory) -> None:
    """Wait until any further change must move the folder's time."""
    age = time.time_ns() - folder.stat().st_mtime_ns
    time.sleep(min(max(TICK - age, 0), TICK) / 1e9)


def sweep(folder: Directory, names: Sequence[str]) -> None:
    """Remove temporary files that killed writers left, a bounded number at a time."""
    for name in [name for name in names if name.startswith(TEMPORARY)][:SWEPT]:
        with contextlib.suppress(OSError):
            if time.time() - folder.stat(name).st_mtime > STALE_SECONDS:
                folder.unlink(name)
