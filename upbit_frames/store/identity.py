"""Which file has a path: replaced files are recognised without reading them."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Identity", "Vanished", "identity_of"]


class Vanished(Exception):
    """A file is no longer there, or was replaced while it was opened: list again."""


class Identity(NamedTuple):
    """Two files with the same identity are the same file with the same contents."""

    device: int
    inode: int
    size: int
    modified: int
    mode: int


def identity_of(path: str) -> Identity:
    """Return which file has the path now; raise Vanished if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116  a hot path
    except FileNotFoundError:
        raise Vanished(path) from None
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)
