"""One writer per series, among the threads of this process and among all processes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from upbit_frames.errors import LockTimeout
from upbit_frames.runtime.fork import on_fork
from upbit_frames.store.atomic_files import explained
from upbit_frames.store.directories import open_below

__all__ = ["exclusive"]

POLL_SECONDS = 0.005
_mutexes: dict[str, threading.Lock] = {}
_guard = threading.Lock()


@on_fork
def _forget_all() -> None:
    # A thread that is not in the child may have held any of them at the moment of the fork.
    global _guard
    _guard = threading.Lock()
    _mutexes.clear()


@contextlib.contextmanager
def exclusive(path: Path, timeout: float) -> Iterator[None]:
    """Hold the lock file of a series.

    Threads of a process queue at a mutex and do not poll for the file.

    Raises
    ------
    LockTimeout
        If it was not free within ``timeout`` seconds.
    StoreError
        If the lock file cannot be created, for instance in a folder that may not be written.
    """
    deadline = time.monotonic() + timeout
    with _guard:
        mutex = _mutexes.setdefault(os.fspath(path), threading.Lock())
    if not mutex.acquire(timeout=timeout):
        raise _too_long(path, timeout)
    try:
        lock = FileLock(path, timeout=max(0.0, deadline - time.monotonic()), poll_interval=POLL_SECONDS)
        with explained("locking a series", path):
            _prepare(path)
            try:
                lock.acquire()
            except Timeout:
                raise _too_long(path, timeout) from None
        try:
            yield
        finally:
            lock.release()
    finally:
        mutex.release()


def _prepare(path: Path) -> None:
    """Make the folder of the locks; refuse what is no lock file before it is opened or truncated."""
    with open_below(path.parent.parent, path.parent.name, create=True) as folder:
        folder.refuse_unless_file(path.name)


def _too_long(path: Path, timeout: float) -> LockTimeout:
    return LockTimeout(
        f"another writer held a series for more than {timeout:g} s",
        suggestion="wait for the other process, or end it if it hangs; its lock ends with it",
        path=str(path),
    )
