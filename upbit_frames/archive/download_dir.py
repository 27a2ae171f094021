"""The work folder of downloads until their rows are stored: files are whole and verified, or absent.

All file work happens in threads. A cancelled caller still waits for the piece of work that is
going on, so that no thread touches a file which is being cleaned up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from upbit_frames.errors import StoreError
from upbit_frames.store.directories import open_below

__all__ = ["Part", "WorkFolder"]

T = TypeVar("T")
ABANDONED = 7 * 86_400  # seconds after which leftover files are removed


class WorkFolder:
    """A folder of verified downloads; several processes may share it.

    Parameters
    ----------
    path : pathlib.Path
        Created when first needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._swept = False

    def place(self, key: str, digest: str) -> Path:
        """Return the path of the file of a key, once it is known to have that digest."""
        stem = key.rpartition("/")[2].removesuffix(".zip")
        return self.path / f"{stem}.{digest}.zip"

    async def intact(self, place: Path, digest: str) -> int | None:
        """Return the bytes of a file that an earlier run left here, if it still has its digest."""
        await _in_thread(self._refuse_link)
        return await _in_thread(_intact, place, digest)

    async def remove(self, place: Path) -> None:
        """Delete a file."""
        await _in_thread(self._refuse_link)
        await _in_thread(lambda: place.unlink(missing_ok=True))

    @asynccontextmanager
    async def part(self) -> AsyncIterator[Part]:
        """Open a new file to be filled; deleted afterwards unless it was moved to its place."""
        await _in_thread(self._sweep)
        part = Part(self.path)
        try:
            yield part
        finally:
            await _in_thread(part.close)

    def _refuse_link(self) -> None:
        """Raise StoreError if the folder is a link: nothing in the cache folder is changed through links."""
        with contextlib.suppress(FileNotFoundError):
            open_below(self.path.parent, self.path.name).close()

    def _sweep(self) -> None:
        """Make the folder, and remove what killed runs left in it long ago."""
        open_below(self.path.parent, self.path.name, create=True).close()
        if self._swept:
            return
        old = time.time() - ABANDONED  # the machine's own clock, because file times are from it
        for path in self.path.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process sweeps as well
                if path.suffix in (".part", ".zip") and path.stat().st_mtime < old:
                    path.unlink()
        self._swept = True


class Part:
    """A file being downloaded, hashed as it grows.

    Attributes
    ----------
    size : int
        Bytes so far.
    """

    def __init__(self, folder: Path) -> None:
        try:
            handle, name = tempfile.mkstemp(suffix=".part", dir=folder)
        except OSError as error:
            raise _unusable(error) from error
        self._file = os.fdopen(handle, "wb")
        self._path = Path(name)
        self._sha = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """SHA-256 of what was written."""
        return self._sha.hexdigest()

    async def write(self, piece: bytes) -> None:
        """Append."""
        await _in_thread(self._write, piece)

    async def move(self, place: Path) -> None:
        """Move the complete file to its place."""
        await _in_thread(self._move, place)

    def close(self) -> None:
        """Remove the file unless it was moved."""
        try:
            self._file.close()  # may still have to write, and fail
        finally:
            self._path.unlink(missing_ok=True)

    def _write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._sha.update(piece)
        self.size += len(piece)

    def _move(self, place: Path) -> None:
        # Without fsync: what a crash leaves here is hashed again before it is used.
        self._file.close()
        self._path.replace(place)


def _intact(path: Path, digest: str) -> int | None:
    try:
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == digest
        return path.stat().st_size if whole else None
    except FileNotFoundError:
        return None


async def _in_thread(func: Callable[..., T], *args: Any) -> T:
    work = asyncio.ensure_future(asyncio.to_thread(func, *args))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
    except OSError as error:
        raise _unusable(error) from error


def _unusable(error: OSError) -> StoreError:
    return StoreError(
        f"the folder for downloads cannot be used: {error.strerror or error}",
        suggestion="free some space, or give another folder with the setting cache_dir",
        path=error.filename,
    )
