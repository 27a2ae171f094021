"""Replace a file at once: a reader sees the old or the new content, never half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(target: Path, *, prefix: str | None = None, mode: int | None = None) -> Iterator[Path]:
    """Give an empty file beside a path; put it in the path's place at the end, or remove it after an exception.

    What was written is on the disk before it has its name. The files of the store have rules of their own, see
    :mod:`upbit_frames.store.atomic_files`.

    Parameters
    ----------
    target : pathlib.Path
        Its folder exists or is made.
    prefix : str, optional
        Of the name meanwhile. Default: a dot and the name of the target.
    mode : int, optional
        Permissions. Default: for the owner alone.

    Yields
    ------
    pathlib.Path

    Raises
    ------
    OSError
        If it cannot be written or put in place.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=prefix or f".{target.name}-", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
