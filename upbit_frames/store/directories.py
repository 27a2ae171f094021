"""Folders of the store, reached without following a link, and the calls that change them.

Another user of the machine, or another program, may have put a link where the store expects a
folder of its own. So every folder below the store's own is opened relative to its parent and never
through a link, and all changes are made relative to the open folder: a link put there
at any moment leads nothing outside. Where the system cannot do that (Windows), each name is
looked at before it is used. The store's own folder may be a link: that is the user's choice.
"""

# The calls of the system are spelt out, because their order is what the promises rest on.
# ruff: noqa: PTH102, PTH103, PTH105, PTH116, PTH208
from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from upbit_frames.errors import StoreError

__all__ = ["Directory", "kind_of", "open_below"]

_BY_HANDLE = os.name != "nt" and {os.open, os.stat, os.unlink, os.mkdir, os.rmdir, os.rename} <= os.supports_dir_fd
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a fifo would wait for its other end
_LINKS = {errno.ELOOP, errno.ENOTDIR, errno.EMLINK}  # what systems say of a link that may not be followed
_TRIES = 5


class Directory:
    """An open folder; names given to its methods are names in it, never paths.

    Parameters
    ----------
    path : Path
        For messages, and for systems without handles of folders.
    handle : int or None
        The open folder, closed by :meth:`close`.
    """

    def __init__(self, path: Path, handle: int | None) -> None:
        self.path = path
        self._handle = handle

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the handle."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _at(self, name: str) -> tuple[Any, dict[str, Any]]:
        """How the system's calls name something in this folder."""
        return (name, {"dir_fd": self._handle}) if self._handle is not None else (self.path / name, {})

    # --- folders ---------------------------------------------------------------------------------

    def child(self, name: str, *, create: bool = False) -> Directory:
        """Open a subfolder.

        Raises
        ------
        StoreError
            If it is a link or no folder.
        FileNotFoundError
            If there is none and ``create`` is not given.
        """
        at, where = self._at(name)
        if create:
            try:
                os.mkdir(at, **where)
            except FileExistsError:
                pass
            else:
                self.sync()
        path = self.path / name
        if self._handle is None:
            _refuse_unless_folder(path, os.lstat(path))
            return Directory(path, None)
        try:
            return Directory(path, os.open(at, _FOLDER | _NO_LINK, **where))
        except OSError as failed:
            if failed.errno in _LINKS:
                _refuse_unless_folder(path, self.stat(name))
            raise

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        at, where = self._at(name)
        os.rmdir(at, **where)

    def remove_tree(self, name: str) -> None:
        """Remove a folder with all that is in it, as far as possible; of a link, only the link."""
        at, where = self._at(name)
        if self.kind(name) == "folder":
            shutil.rmtree(at, ignore_errors=True, **where)
        else:
            with contextlib.suppress(OSError):
                os.unlink(at, **where)

    def tree_size(self, name: str) -> int:
        """Return the bytes of all files in a subfolder."""
        if self.kind(name) != "folder":
            return 0
        if self._handle is None:
            stats = [os.lstat(os.path.join(top, leaf)) for top, _, names in os.walk(self.path / name) for leaf in names]  # noqa: PTH118
            return sum(status.st_size for status in stats if stat.S_ISREG(status.st_mode))
        total = 0
        for _, _, names, handle in os.fwalk(name, dir_fd=self._handle, follow_symlinks=False):
            for leaf in names:
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(leaf, dir_fd=handle, follow_symlinks=False)
                    total += status.st_size if stat.S_ISREG(status.st_mode) else 0
        return total

    def names(self) -> list[str]:
        """List the names in the folder."""
        return os.listdir(self.path if self._handle is None else self._handle)

    def sync(self) -> None:
        """Bring the folder's names to the disk."""
        if self._handle is None:  # Windows: names are journaled there, and folders cannot be opened
            return
        try:
            os.fsync(self._handle)
        except OSError as failed:
            if failed.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network file systems cannot
                raise

    # --- files -----------------------------------------------------------------------------------

    def stat(self, name: str | None = None) -> os.stat_result:
        """Return the status of a name, without following a link; without a name, of the folder itself."""
        if name is None:
            return os.stat(self.path) if self._handle is None else os.fstat(self._handle)
        at, where = self._at(name)
        return os.stat(at, follow_symlinks=False, **where)

    def kind(self, name: str) -> str | None:
        """Return the kind of what has a name; None if nothing has. See :func:`kind_of`."""
        try:
            return kind_of(self.stat(name))
        except FileNotFoundError:
            return None

    def write_new(self, name: str, data: Any) -> None:
        """Write a file that must not exist yet, down to the disk; on failure, remove it again."""
        at, where = self._at(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0)
        handle = os.open(at, flags, 0o644, **where)
        try:
            rest = memoryview(data).cast("B")
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(at, **where)
            raise
        finally:
            os.close(handle)

    def replace(self, name: str, target: str, into: Directory | None = None) -> None:
        """Rename, within this folder or into another one; a file of that name there is replaced."""
        other = into or self
        if self._handle is None or other._handle is None:
            os.replace(self.path / name, other.path / target)
        else:
            os.replace(name, target, src_dir_fd=self._handle, dst_dir_fd=other._handle)

    def unlink(self, name: str) -> None:
        """Remove a file; of a link, only the link."""
        at, where = self._at(name)
        os.unlink(at, **where)

    def open_lock(self, name: str) -> int:
        """Open a lock file, created if it is absent; return the handle.

        Raises
        ------
        StoreError
            If it is a link or no file.
        """
        self.refuse_unless_file(name)
        at, where = self._at(name)
        flags = os.O_RDWR | os.O_CREAT | _NO_LINK | _NO_WAIT | getattr(os, "O_CLOEXEC", 0)
        return os.open(at, flags, 0o644, **where)

    def refuse_unless_file(self, name: str) -> None:
        """Raise StoreError if something else than a file has the name of a lock file."""
        kind = self.kind(name)
        if kind not in (None, "file"):
            raise StoreError(
                f"a {kind} stands where the store expects a lock file",
                suggestion="remove it; the store makes its lock files itself",
                path=str(self.path / name),
            )

    def touch(self, name: str) -> None:
        """Make a file, or move its time to now."""
        at, where = self._at(name)
        if self._handle is None and self.kind(name) not in (None, "file"):
            return
        handle = os.open(at, os.O_WRONLY | os.O_CREAT | _NO_LINK | _NO_WAIT, 0o644, **where)
        try:
            if os.utime in os.supports_fd:
                os.utime(handle)
            else:
                os.utime(at)
        finally:
            os.close(handle)


def open_below(root: Path, *names: str, create: bool = False) -> Directory:
    """Open a folder of the store.

    Parameters
    ----------
    root : Path
        The store's folder; may be a link.
    *names : str
        The way down; none of these may be a link.
    create : bool
        Whether to make what is missing, so that it is still there after a power failure.

    Raises
    ------
    StoreError
        If a link or something else than a folder is in the way.
    FileNotFoundError
        If something is missing and ``create`` is not given.
    """
    for attempt in range(_TRIES):
        try:
            return _descend(root, names, create)
        except FileNotFoundError:  # clear() removes a parent that has become empty
            if not create or attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _descend(root: Path, names: tuple[str, ...], create: bool) -> Directory:
    if create:
        _make_root(root)
    directory = Directory(root, os.open(root, _FOLDER) if _BY_HANDLE else None)
    for name in names:
        with directory as parent:
            directory = parent.child(name, create=create)
    return directory


def _make_root(root: Path) -> None:
    if root.is_dir():
        return
    missing = [path for path in (root, *root.parents) if not path.exists()]
    os.makedirs(root, exist_ok=True)
    for path in missing:
        with Directory(path.parent, os.open(path.parent, _FOLDER) if _BY_HANDLE else None) as parent:
            parent.sync()


def kind_of(status: os.stat_result) -> str:
    """``file``, ``folder``, ``link``, ``fifo``, ``socket`` or ``device``."""
    mode = status.st_mode
    if stat.S_ISLNK(mode) or getattr(status, "st_file_attributes", 0) & getattr(
        stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0
    ):
        return "link"
    for holds, name in ((stat.S_ISREG, "file"), (stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "fifo")):
        if holds(mode):
            return name
    return "socket" if stat.S_ISSOCK(mode) else "device"


def _refuse_unless_folder(path: Path, status: os.stat_result) -> None:
    kind = kind_of(status)
    if kind == "link":
        raise StoreError(
            "a link stands where the store expects one of its folders, and it writes, moves and deletes nothing "
            "through links",
            suggestion="put the folder itself there, or let cache_dir lead to the whole store; cache_dir may be a link",
            path=str(path),
        )
    if kind != "folder":
        raise StoreError(
            f"a {kind} stands where the store expects one of its folders",
            suggestion="move it away, or choose another cache_dir",
            path=str(path),
        )
