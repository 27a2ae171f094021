"""Several processes that record into the same cassette: one saves at a time, and none loses another's work."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from upbit_frames.errors import StoreError

__all__ = ["Signature", "alone", "signature"]

Signature = tuple[int, int, int] | None
_PATIENCE = 30.0  # seconds; saving takes a fraction of one


def signature(path: Path) -> Signature:
    """What changes whenever a file is replaced; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process saves into the folder of a file, and keep the others waiting meanwhile.

    Where the system can lock folders no file is left behind, so nothing strange gets into a repository.

    Raises
    ------
    StoreError
        If the folder cannot be made or opened, or another process keeps the lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise _failure(path, f"its folder cannot be made: {failed.strerror or failed}") from failed
    with contextlib.ExitStack() as held:
        if os.name == "nt":
            _lock_file(path, held)
        else:
            _lock_folder(path, held)
        yield


def _lock_folder(path: Path, held: contextlib.ExitStack) -> None:
    import fcntl

    try:
        handle = os.open(path.parent, os.O_RDONLY)
    except OSError as failed:
        raise _failure(path, f"its folder cannot be opened: {failed.strerror or failed}") from failed
    held.callback(os.close, handle)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise _failure(path, f"another process has been saving for {_PATIENCE:g} seconds") from None
            time.sleep(0.02)
        except OSError as failed:
            raise _failure(path, f"its folder cannot be locked: {failed.strerror or failed}") from failed


def _lock_file(path: Path, held: contextlib.ExitStack) -> None:
    from filelock import FileLock, Timeout

    try:
        held.enter_context(FileLock(path.with_name(f".{path.name}.lock"), timeout=_PATIENCE))
    except Timeout as failed:
        raise _failure(path, f"another process has been saving for {_PATIENCE:g} seconds") from failed
    except OSError as failed:
        raise _failure(path, f"it cannot be locked: {failed.strerror or failed}") from failed


def _failure(path: Path, why: str) -> StoreError:
    return StoreError(
        f"the cassette {path.name} cannot be written: {why}",
        suggestion="check the setting 'cassette_dir' and who else records there",
        path=str(path),
    )
