"""A small file that all processes of a user share and change under a lock.

Others may have touched it. The folder must belong to this user, be writable by no one else and be
no link; so must the file. Otherwise the next folder is taken. The content carries a checksum, so
damage of any cause is noticed.

The lock is never waited for, because callers run on an event loop: where another process holds it,
:class:`LockBusy` says so and the caller tries again later. A process that was stopped while it
held the lock would keep all others out for ever. They move on to a new generation of the file,
whose name carries a number, and so does the stopped process once it continues: before each use
every process looks for a newer generation.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GuardedFile", "LockBusy", "State", "Unsafe"]

MAGIC = b"UFS3"
_HEAD = struct.Struct("<4sI")  # magic, checksum of what follows
MAX_GENERATIONS = 64  # each one is a process that was stopped within some ten microseconds
TRIES = 10  # how often the file may be replaced while it is being opened
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | _FLAGS  # a FIFO must not make it wait


class LockBusy(Exception):
    """Another process holds the lock.

    Attributes
    ----------
    sign : object
        Changes whenever the file is changed: while it does, the holder is at work.
    """

    def __init__(self, sign: object) -> None:
        super().__init__("the lock is held by another process")
        self.sign = sign


class Unsafe(OSError):
    """The folder or file may be under the control of another user."""


@dataclass
class State:
    """What the file holds.

    Attributes
    ----------
    content : bytearray
        To be changed in place.
    new : bool
        Whether the file was created now; the content is zeros then.
    lost : bool
        Whether there was a state that cannot be known any more: it is damaged, or a process that
        was stopped holds it. The content is zeros then.
    """

    content: bytearray
    new: bool = False
    lost: bool = False


class GuardedFile:
    """A shared file.

    Parameters
    ----------
    folder : pathlib.Path
        Created if it is absent.
    name : str
    size : int
        Bytes of content.
    """

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.folder = folder
        self._name = name
        self._size = size
        self._generation = 0
        self._used = False

    def move_on(self) -> None:
        """Give up the present generation of the file, whose lock is not coming free."""
        if self._generation >= MAX_GENERATIONS:
            raise Unsafe(f"{MAX_GENERATIONS} generations of {self._name} in {self.folder} are locked")
        self._generation += 1

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[State]:
        """Read the content under the lock, and write it on leaving if it was changed.

        Raises
        ------
        LockBusy
            At once, if another process holds the lock.
        OSError
            If the folder or file is unsafe or cannot be used.
        """
        with self._opened_folder() as place, self._locked_file(place) as fd:
            state = self._read(fd)
            self._used = True
            before = bytes(state.content)
            yield state
            if state.new or state.lost or state.content != before:
                os.lseek(fd, 0, os.SEEK_SET)
                os.write(fd, _HEAD.pack(MAGIC, zlib.crc32(state.content)) + state.content)

    def _read(self, fd: int) -> State:
        raw = os.read(fd, _HEAD.size + self._size + 1)
        if not raw:
            # A later generation follows a state that only a stopped process knows; and a file that
            # was used before has been removed, as cleaners of temporary folders do.
            return State(bytearray(self._size), new=True, lost=self._used or self._generation > 0)
        content = bytearray(raw[_HEAD.size :])
        if len(content) == self._size and raw[: _HEAD.size] == _HEAD.pack(MAGIC, zlib.crc32(content)):
            return State(content)
        os.ftruncate(fd, 0)
        return State(bytearray(self._size), lost=True)

    # --- the folder -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened_folder(self) -> Iterator[int | None]:
        """Open and check the folder; what is opened below it cannot be led elsewhere by a link."""
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir(mode=0o700, parents=True)
        if os.open not in os.supports_dir_fd:
            _check(self.folder.lstat(), self.folder, stat.S_ISDIR)
            yield None
            return
        try:
            place = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        except NotADirectoryError as error:  # also what a link is called here
            raise Unsafe(f"{self.folder} is a link or no folder") from error
        try:
            _check(os.fstat(place), self.folder, stat.S_ISDIR)
            yield place
        finally:
            os.close(place)

    # --- the file ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked_file(self, place: int | None) -> Iterator[int]:
        fd = self._lock_newest(place)
        try:
            yield fd
        finally:
            _unlock(fd, self._size)
            os.close(fd)

    def _lock_newest(self, place: int | None) -> int:
        """Lock the newest generation of the file."""
        for _ in range(TRIES + MAX_GENERATIONS):
            while self._generation < MAX_GENERATIONS and self._stat(place, self._generation + 1):
                self._generation += 1
            fd = os.open(self._path(place, self._generation), _OPEN, 0o600, dir_fd=place)
            locked = False
            try:
                status = os.fstat(fd)
                if status.st_nlink == 0:
                    continue  # removed since
                _check(status, self.folder / self._file(self._generation), stat.S_ISREG)
                _lock(fd, self._size, (self._generation, status.st_mtime_ns))
                locked = True
                named = self._stat(place, self._generation)
                if named and named.st_ino == status.st_ino and not self._stat(place, self._generation + 1):
                    return fd
                _unlock(fd, self._size)
                locked = False
            finally:
                if not locked:
                    os.close(fd)
        raise Unsafe(f"{self.folder / self._name} is replaced all the time")

    def _file(self, generation: int) -> str:
        return f"{self._name}.{generation}.limits" if generation else f"{self._name}.limits"

    def _path(self, place: int | None, generation: int) -> str | Path:
        return self.folder / self._file(generation) if place is None else self._file(generation)

    def _stat(self, place: int | None, generation: int) -> os.stat_result | None:
        try:
            return os.stat(self._path(place, generation), dir_fd=place, follow_symlinks=False)
        except FileNotFoundError:
            return None


def _check(status: os.stat_result, path: Path, kind: Callable[[int], bool]) -> None:
    """Refuse what another user could have put there or could change."""
    if not kind(status.st_mode):
        raise Unsafe(f"{path} is a link or not of the expected kind")
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid != os.geteuid():
        raise Unsafe(f"{path} belongs to another user (uid {status.st_uid})")
    if status.st_mode & 0o022:
        raise Unsafe(f"{path} can be changed by other users (mode {stat.S_IMODE(status.st_mode):o})")
    if stat.S_ISREG(status.st_mode) and status.st_nlink != 1:
        raise Unsafe(f"{path} has a second name elsewhere")


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, size: int, sign: object) -> None:
        os.lseek(fd, 2 * size, os.SEEK_SET)  # behind the content: there a locked byte cannot be read either
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise LockBusy(sign) from error
        os.lseek(fd, 0, os.SEEK_SET)

    def _unlock(fd: int, size: int) -> None:
        os.lseek(fd, 2 * size, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(fd: int, size: int, sign: object) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockBusy(sign) from error

    def _unlock(fd: int, size: int) -> None:
        # Closing would do, unless a child that was forked meanwhile still has the same file open.
        fcntl.flock(fd, fcntl.LOCK_UN)
