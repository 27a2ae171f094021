"""A pinned block: what its calls return is written to a lock, or held against it.

What is pinned: candles, trades and what is computed of them, whose rows are final. A call
without an end ends, in every later run, where it ended in the first. Calls for the present (ticker, order books,
streams) cannot be the same twice; inside they warn once each.
"""

from __future__ import annotations

import difflib
import os
import platform
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upbit_frames._version import __version__
from upbit_frames.core.intervals import to_micros
from upbit_frames.core.record_mode import record_mode
from upbit_frames.datasets.differences import StoredRows, data_changed
from upbit_frames.datasets.digests import parts_of
from upbit_frames.datasets.lock_file import MAX_BYTES, Lock, LockedCall, canonical, needs_list, read_lock, write_lock
from upbit_frames.errors import NotRecorded, QueryError, StoreError, UsageError
from upbit_frames.runtime.file_replacement import replacing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Pinned", "active_pin", "load_lock", "pinned"]

LOCKED_PACKAGES = ("pandas", "pyarrow", "polars")

_lock = threading.Lock()
_active: Pinned | None = None


def active_pin() -> Pinned | None:
    """Return the pinned block that is open in this process."""
    return _active


class Pinned:
    """A block whose calls are held against a lock; made by :func:`pinned`.

    Attributes
    ----------
    path : pathlib.Path
    mode : {"none", "once", "new_episodes", "all"}
    calls : list of LockedCall
        What the calls in the block have returned so far.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self.path = path
        self.mode = mode
        self._guard = threading.Lock()
        self._expected: Lock | None = None
        self._now = 0
        self._returned: dict[tuple[str, str], LockedCall] = {}
        self._warned: set[str] = set()

    @property
    def calls(self) -> list[LockedCall]:
        """What the calls in the block have returned so far."""
        return list(self._returned.values())

    @property
    def replays(self) -> bool:
        """Whether there is a lock to hold the calls against."""
        return self._expected is not None

    def end_of(self, name: str, request: Mapping[str, Any]) -> str | None:
        """Return where a call without an end ended in the run that wrote the lock; None in that run."""
        if self._expected is None:
            return None
        locked = self._expected.calls.get((name, canonical(request)))
        return None if locked is None else locked.end

    def markets_of(self, name: str, request: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the markets that a quote currency or a name meant in the run that wrote the lock; none in that run."""
        if self._expected is None:
            return ()
        locked = self._expected.calls.get((name, canonical(request)))
        return () if locked is None else locked.markets

    # --- open and close ---

    def __enter__(self) -> Self:
        global _active
        with _lock:
            if _active is not None:
                raise UsageError(
                    f"the lock {_active.path.name!r} is still open",
                    suggestion="pinned blocks cannot be nested: end it first",
                )
            self._load()
            _active = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _active
        with _lock:
            _active = None
        if kind is None:
            self._finish()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _load(self) -> None:
        self._returned, self._warned, self._now, self._expected = {}, set(), 0, None
        if self.mode == "all":
            return
        if os.path.lexists(self.path):
            self._expected = load_lock(self.path)
            self._now = self._expected.now
        elif self.mode == "none":
            raise NotRecorded(
                f"there is no lock {self.path.name}, and mode='none' writes none",
                suggestion="run it once with mode='once' and put the lock under version control",
                path=os.fspath(self.path),
            )  # fmt: skip

    def _finish(self) -> None:
        expected = {} if self._expected is None else self._expected.calls
        new = [call for key, call in self._returned.items() if key not in expected]
        if not new:
            return
        lock = Lock(self._now, {**expected, **{call.key: call for call in new}}, _versions())
        _write(self.path, write_lock(lock))

    # --- calls ---

    def check(
        self, name: str, request: Mapping[str, Any], table: pa.Table, meta: Mapping[str, Any],
        market: str = "", stored: StoredRows = lambda market, month: None,
    ) -> None:  # fmt: skip
        """Hold what a call returns against the lock, or note it for the lock.

        Raises
        ------
        DataChanged
            If a call that is in the lock returns other rows.
        NotRecorded
            If the call is not in the lock, and the mode adds none.
        """
        end = None if "end" in request else meta.get("end")
        markets = _codes(meta["market"]) if needs_list(request) else ()
        call = LockedCall(name, dict(request), tuple(parts_of(table, market)), _sources(meta), end, markets)
        with self._guard:
            self._now = self._now or to_micros(datetime.fromisoformat(meta["fetched_at"]))
            earlier = self._returned.setdefault(call.key, call)
        if earlier.parts != call.parts:
            raise data_changed(earlier, call.parts, table, "since the call before it in this run", stored)
        if self._expected is None:
            return
        locked = self._expected.calls.get(call.key)
        if locked is not None:
            if locked.parts != call.parts:
                raise data_changed(locked, call.parts, table, f"since {self.path.name} was written", stored)
        elif self.mode != "new_episodes":
            raise NotRecorded(
                f"{call} is not in the lock {self.path.name}",
                suggestion="mode='new_episodes' adds it; mode='all' writes the lock again",
                request=str(call), nearest=_nearest(call, self._expected),
            )  # fmt: skip

    def unpinned(self, name: str) -> list[str]:
        """Return the warning that a call is not held against the lock, the first time."""
        if name in self._warned:
            return []
        self._warned.add(name)
        return [f"uf.{name} is about the present and is not pinned: another run returns other rows"]

    def __repr__(self) -> str:
        doing = "held against it" if self.replays else "to be written"
        return f"<pinned {self.path.name!r} mode={self.mode}: {len(self._returned)} calls {doing}>"


def load_lock(path: Path) -> Lock:
    """Read a lock file.

    Raises
    ------
    StoreError
        If it cannot be read (CorruptFile: its content is no lock).
    """
    try:
        if not path.is_file():
            raise StoreError(f"the lock {path.name} is no regular file", path=os.fspath(path))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StoreError(
            f"the lock cannot be read: {error.strerror or error}", suggestion="check the path", path=os.fspath(path)
        ) from error
    return read_lock(data, os.fspath(path))


def _nearest(call: LockedCall, lock: Lock) -> list[str]:
    return difflib.get_close_matches(str(call), [str(other) for other in lock.calls.values()], n=2, cutoff=0.0)


def _write(path: Path, text: str) -> None:
    try:
        with replacing(path, mode=0o644) as temporary:  # it is meant for version control
            temporary.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise StoreError(
            f"the lock cannot be written: {error.strerror or error}", suggestion="choose a folder that can be written",
            path=os.fspath(path),
        ) from error  # fmt: skip


def _codes(market: str | Iterable[str]) -> tuple[str, ...]:
    return (market,) if isinstance(market, str) else tuple(market)


def _versions() -> dict[str, str]:
    known = {"upbit-frames": __version__, "python": platform.python_version()}
    for name in LOCKED_PACKAGES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    return known


def _sources(meta: Mapping[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for step in meta.get("route") or ():
        if step.get("rows"):
            counts[step["channel"]] = counts.get(step["channel"], 0) + int(step["rows"])
    return counts


def pinned(path: str | os.PathLike[str], mode: str | None = None) -> Pinned:
    """Freeze what a study reads: the first run writes a lock, later runs are held against it.

    Parameters
    ----------
    path : str or path
        The lock, such as ``"study.lock"``: a text of a few kilobytes that belongs under version control. It holds
        digests and no rows.
    mode : {"once", "none", "new_episodes", "all"}, optional
        ``once`` writes the lock if there is none, else compares; ``none`` only compares; ``new_episodes`` compares and
        adds calls that are not in it; ``all`` writes it again. Default: the setting ``record``, else ``none`` where the
        environment has CI set, else ``once``.

    Returns
    -------
    Pinned
        A context manager, for ``with`` and ``async with``; it counts for the whole process, for calls from any thread.
        If an exception passes through, no lock is written.

    Raises
    ------
    QueryError, ConfigError
        If the path or the mode is none.
    NotRecorded
        In mode ``none`` without a lock; inside, for a call that is not in the lock and may not be added.
    DataChanged
        Inside: if a call returns other rows than the lock says. It names the call, the months, and the rows where
        the local store still has the old ones.
    StoreError, CorruptFile
        If the lock cannot be read or written, or was edited.

    Notes
    -----
    Pinned are candles and trades with everything that is computed of them (panels, bars), and which markets a quote
    currency meant. The digests depend on the
    values alone: not on the files they come from, nor on the version of pyarrow, the kind of frame or the zone it is
    shown in. A range without an end ends, in every run, where it ended in the first.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.pinned("study.lock"):  # doctest: +SKIP
    ...     df = uf.candles("KRW-BTC", "1d", start="2025-01-01")
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise QueryError(f"path must be that of a lock, got {path!r}", suggestion='such as "study.lock"')
    return Pinned(Path(path), record_mode(mode))
