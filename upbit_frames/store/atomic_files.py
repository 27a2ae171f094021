"""Every change to a series' folder, and the one way to look into it.

The promises made here hold the store together:

* A file appears under its name complete and on the disk, or not at all (:func:`commit`).
* What a change makes superfluous is removed only after its replacement is on the disk.
* A listing never misses both a file and what replaced it (:func:`listing`).
"""

# The calls of the system are spelt out, because their order is what the promises rest on.
# ruff: noqa: PTH105, PTH108, PTH116, PTH208
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
from upbit_frames.store.layout import TEMPORARY

__all__ = ["commit", "explained", "listing", "make_folder", "remove", "sweep"]

TICK = 11_000_000
"""Nanoseconds: longer than the step of any clock that file systems take their times from."""

STALE_SECONDS = 600
SCANS = 500
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turn what the system says into a StoreError that says what to do."""
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
    """The names in a folder, as they were at one moment; none if there is no folder.

    Reading a folder is not atomic: a name put in behind the reader's back and one taken away in
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


def make_folder(folder: Path) -> None:
    """Make a folder that is still there after a power failure."""
    if folder.is_dir():
        return
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for attempt in range(5):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            break
        except FileNotFoundError:  # clear() took an empty parent away just then
            if attempt == 4:
                raise
    for one in missing:
        sync_folder(one.parent)


def commit(folder: Path, new: Sequence[tuple[str, Any]], obsolete: Sequence[str] = ()) -> None:
    """Put files in place, then remove those they replace.

    Parameters
    ----------
    folder : Path
    new : sequence of (name, bytes-like)
        Complete contents. All are on the disk before the first one appears under its name.
    obsolete : sequence of str
        Names whose contents the new files hold.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        for name, data in new:
            staged.append((stage(folder, data), folder / name))
        while staged:
            temporary, target = staged[0]
            if target.exists():
                settle(folder)
            os.replace(temporary, target)
            del staged[0]
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # sweep() takes what stays
    sync_folder(folder)
    remove(folder, obsolete)


def stage(folder: Path, data: Any) -> Path:
    """Write a temporary file down to the disk."""
    path = folder / f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex[:12]}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
    try:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(handle)
    return path


def remove(folder: Path, names: Sequence[str]) -> None:
    """Remove files whose contents are elsewhere or no longer wanted."""
    if not names:
        return
    settle(folder)
    for name in names:
        try:
            os.unlink(folder / name)
        except FileNotFoundError:
            continue
        except PermissionError:
            if os.name != "nt":
                raise
            # Somebody is reading it, which Windows respects; the next writer removes it.


def settle(folder: Path) -> None:
    """Wait until any further change must move the folder's time."""
    age = time.time_ns() - os.stat(folder).st_mtime_ns
    time.sleep(min(max(TICK - age, 0), TICK) / 1e9)


def sync_folder(folder: Path) -> None:
    """Bring the folder's names to the disk."""
    if os.name == "nt":  # names are journaled there, and folders cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as failed:
        if failed.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network file systems cannot
            raise
    finally:
        os.close(handle)


def sweep(folder: Path, names: Sequence[str]) -> None:
    """Remove temporary files that a killed writer left."""
    for name in names:
        if name.startswith(TEMPORARY):
            with contextlib.suppress(OSError):
                if time.time() - os.stat(folder / name).st_mtime > STALE_SECONDS:
                    os.unlink(folder / name)
