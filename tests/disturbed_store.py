"""A Parquet store in which something happens right before a chosen access, as if another process did it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from upbit_frames.core.intervals import Span
from upbit_frames.store.parquet import ParquetStore

READS = ("covered", "read", "read_covered", "count", "count_covered", "tail", "tail_covered", "head", "head_covered")


def remove_files(folder: Path) -> None:
    """Remove every second file, as a careless user would."""
    for number, path in enumerate(sorted(folder.rglob("*.parquet"))):
        if number % 2 == 0:
            path.unlink(missing_ok=True)


def damage_files(folder: Path) -> None:
    """Cut every file short."""
    for path in folder.rglob("*.parquet"):
        with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:  # a writer may remove it meanwhile
            file.truncate(max(0, path.stat().st_size - 40))


CHANGES: dict[str, Callable[[Path], Any]] = {
    "clear": lambda folder: ParquetStore(folder).clear(),
    "prune": lambda folder: ParquetStore(folder).prune(max_bytes=0, force=True),
    "compact": lambda folder: [ParquetStore(folder).compact(one) for one in ParquetStore(folder).series()],
    "remove": remove_files,
    "damage": damage_files,
    "damage and verify": lambda folder: (damage_files(folder), ParquetStore(folder).verify()),
}


class DisturbedStore(ParquetStore):
    """Calls ``change(folder)`` right before those accesses whose numbers are in ``at``; None means all.

    ``threads`` has the name of the thread of every access.
    """

    def __init__(self, root: Path, change: Callable[[Path], Any] | None = None, at: Iterable[int] | None = ()) -> None:
        super().__init__(root)
        self.change = change
        self.at = None if at is None else set(at)
        self.accesses: list[str] = []
        self.threads: list[str] = []
        self._nested = threading.local()

    def _before(self, name: str) -> None:
        number = len(self.accesses)
        self.accesses.append(name)
        self.threads.append(threading.current_thread().name)
        if self.change is not None and (self.at is None or number in self.at):
            self.change(self.path)


def _disturbed(name: str) -> Callable[..., Any]:
    real = getattr(ParquetStore, name)

    def access(self: DisturbedStore, *args: Any, **kwargs: Any) -> Any:
        if getattr(self._nested, "inside", False):  # one access, however the store does it
            return real(self, *args, **kwargs)
        self._before(name)
        self._nested.inside = True
        try:
            return real(self, *args, **kwargs)
        finally:
            self._nested.inside = False

    return access


EVERYTHING = (
    *READS,
    "files",
    "cuts",
    "write",
    "note",
    "notes",
    "compact",
    "series",
    "info",
    "verify",
    "problems",
    "clear",
    "prune",
)
for _name in EVERYTHING:
    setattr(DisturbedStore, _name, _disturbed(_name))


def grid(span: Span, step: int) -> list[int]:
    """Return every moment of a range on a grid."""
    return list(range(*span, step))
