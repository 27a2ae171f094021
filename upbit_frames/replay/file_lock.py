"""Serialise the processes that save into one folder of recordings, so that none overwrites another's work."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from upbit_frames.errors import StoreError

__all__ = ["FileVersion", "exclusive", "file_version"]

FileVersion = tuple[int, int, int] | None
LOCK_TIMEOUT = 30.0  # seconds; saving takes a fraction of one
_POLL = 0.02  # seconds between two attempts to lock a folder


def file_version(path: Path) -> FileVersion:
    """Return what changes whenever a file is replaced (inode, mtime, size); None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of a file's folder, creating the folder if needed; wait up to ``LOCK_TIMEOUT`` for it.

    Where the system can lock folders no lock file is left behind, so nothing foreign gets into a repository.

    Raises
    ------
    StoreError
        If the folder cannot be created or opened, or another process keeps the lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _failure(path, f"its folder cannot be created: {error.strerror or error}") from error
    with contextlib.ExitStack() as stack:
        if os.name == "nt":
            _lock_file(path, stack)
        else:
            _lock_folder(path, stack)
        yield


def _lock_folder(path: Path, stack: contextlib.ExitStack) -> None:
    import fcntl

    try:
        handle = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise _failure(path, f"its folder cannot be opened: {error.strerror or error}") from error
    stack.callback(os.close, handle)
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise _failure(path, f"another process has been saving for {LOCK_TIMEOUT:g} seconds") from None
            time.sleep(_POLL)
        except OSError as error:
            raise _failure(path, f"its folder cannot be locked: {error.strerror or error}") from error


def _lock_file(path: Path, stack: contextlib.ExitStack) -> None:
    from filelock import FileLock, Timeout

    try:
        stack.enter_context(FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_TIMEOUT))
    except Timeout as error:
        raise _failure(path, f"another process has been saving for {LOCK_TIMEOUT:g} seconds") from error
    except OSError as error:
        raise _failure(path, f"it cannot be locked: {error.strerror or error}") from error


def _failure(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"cannot write the recording {path.name}: {reason}",
        suggestion="check the setting 'cassette_dir' and which other processes record there",
        path=str(path),
    )
