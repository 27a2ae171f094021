"""An open bundle: its rows take the place of store and exchange, its lock is held against every call."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from upbit_frames.core.config import Config
from upbit_frames.datasets.bundle import unpack
from upbit_frames.datasets.lock_file import write_lock
from upbit_frames.datasets.offline import NoExchange, offline_ports
from upbit_frames.datasets.pins import Pinned
from upbit_frames.errors import QueryError
from upbit_frames.live.hub import substitution
from upbit_frames.router.ports import Ports

if TYPE_CHECKING:
    from upbit_frames.datasets.lock_file import LockedCall
    from upbit_frames.store.parquet import ParquetStore

__all__ = ["OpenBundle", "open_bundle"]


class OpenBundle:
    """A bundle in the place of store and exchange; made by :func:`open_bundle`.

    Attributes
    ----------
    path : pathlib.Path
    calls : list of LockedCall
        What the calls in the block have returned so far.
    """

    kind = "bundle"  # for messages

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._open = contextlib.ExitStack()
        self._pin: Pinned | None = None
        self._store: ParquetStore | None = None
        self._now = 0
        self.streams = NoExchange(f"the bundle {self.name}")

    @property
    def calls(self) -> list[LockedCall]:
        """What the calls in the block have returned so far."""
        return [] if self._pin is None else self._pin.calls

    def ports_for(self, config: Config) -> Ports:
        """Return the ports of every call: the bundle's rows, no exchange, the time of the study."""
        assert self._store is not None
        return offline_ports(self.streams, self._store, self._now)

    def __enter__(self) -> Self:
        from upbit_frames.store.parquet import ParquetStore

        with contextlib.ExitStack() as opened:
            substitution.claim(self)
            opened.callback(substitution.release, self)
            folder = Path(tempfile.mkdtemp(prefix="upbit-frames-bundle-"))
            opened.callback(shutil.rmtree, folder, ignore_errors=True)
            lock, manifest = unpack(self.path, folder / "store")
            lock_path = folder / "study.lock"
            lock_path.write_text(write_lock(lock), encoding="utf-8")
            self._store, self._now = ParquetStore(folder / "store"), lock.now
            self.streams = NoExchange(f"the bundle {self.name}", manifest.get("left_out", ()))
            self._pin = opened.enter_context(Pinned(lock_path, "none"))
            substitution.activate(self)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        substitution.deactivate(self)
        self._open.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<bundle {self.name!r}: {len(self.calls)} calls made>"


def open_bundle(path: str | os.PathLike[str]) -> OpenBundle:
    """Run a study on the rows of a bundle, offline, each call held against the bundle's lock.

    Parameters
    ----------
    path : str or path
        A file that :func:`upbit_frames.bundle` wrote.

    Returns
    -------
    OpenBundle
        A context manager, for ``with`` and ``async with``. Inside, every call of the process reads the bundle's rows
        at the time of the study; the local store is neither read nor changed, and nothing is sent.

    Raises
    ------
    QueryError
        If the path is none.
    CorruptFile
        If it is no bundle, or was changed after it was packed.
    StoreError
        If it cannot be read or unpacked, or a newer version of this package wrote it.
    NotRecorded, DataChanged
        Inside: for a call that is not in the lock, or whose rows differ.
    UsageError
        If a cassette, a tape or another bundle is open.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.open_bundle("study.zip"):  # doctest: +SKIP
    ...     df = uf.candles("KRW-BTC", "1d", start="2025-01-01")
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise QueryError(f"path must be that of a bundle, got {path!r}", suggestion='such as "study.zip"')
    return OpenBundle(Path(path))
