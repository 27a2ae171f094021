"""One process fetches a series at a time; the others wait for what it stores.

Nothing depends on it but the number of requests: writing has a lock of its own. So a process that cannot
get this lock, or whose holder shows no sign of life, fetches on its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from pathlib import Path

from upbit_frames.runtime.fork import on_fork
from upbit_frames.store.atomic_files import explained
from upbit_frames.store.directories import open_below

__all__ = ["FetchLock"]

_held: weakref.WeakSet[FetchLock] = weakref.WeakSet()


class FetchLock:
    """The right to fetch a series; safe to use from threads.

    Parameters
    ----------
    path : Path
        The lock file. The lock ends with the process that holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._locked = False
        self._closed = False
        self._mutex = threading.Lock()

    def try_acquire(self) -> bool:
        """Take the lock if no one holds it, without waiting.

        Raises
        ------
        StoreError
            If the lock file cannot be created or locked, for instance in a folder that may not be written.
        """
        with self._mutex, explained("locking a series", self._path):
            if self._closed:
                return False
            if self._handle is None:
                with open_below(self._path.parent.parent, self._path.parent.name, create=True) as folder:
                    self._handle = folder.open_lock(self._path.name)
            self._locked = _lock(self._handle)
            if self._locked:
                _held.add(self)
            return self._locked

    def beat(self) -> None:
        """Show those who wait that the holder is alive."""
        with self._mutex, contextlib.suppress(OSError):  # then they give up waiting, and fetch on their own
            if self._locked and self._handle is not None:
                os.utime(self._handle if os.utime in os.supports_fd else self._path)

    def pulse(self) -> int:
        """Return what changes whenever the holder shows that it is alive."""
        with self._mutex, contextlib.suppress(OSError):
            if self._handle is not None:
                return os.fstat(self._handle).st_mtime_ns
        return 0

    def close(self) -> None:
        """Give the lock back, if it is held; nothing can be acquired any more."""
        with self._mutex:
            self._closed = True
            self._locked = False
            _held.discard(self)
            if self._handle is not None:
                with contextlib.suppress(OSError):
                    os.close(self._handle)
                self._handle = None

    def _leave_to_parent(self) -> None:
        # The child of a fork shares the parent's lock, and would keep it after the parent is done.
        self._mutex = threading.Lock()
        self.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@on_fork
def _leave_all_to_parent() -> None:
    for lock in list(_held):
        lock._leave_to_parent()
