"""Packing a frozen data set."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from upbit_frames.api.calls.call import Call
from upbit_frames.api.engine import engine_for
from upbit_frames.core.arguments import flag
from upbit_frames.core.config import Config
from upbit_frames.errors import QueryError, StoreError
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress

__all__ = ["bundle"]


def bundle(
    config: Config,
    path: str | os.PathLike[str],
    *,
    lock: str | os.PathLike[str],
    include_archive: bool = False,
) -> Call[pd.Series]:
    """Pack what a pinned study read into one file, for a reviewer who runs it offline.

    Each call of the lock is made again from the store alone and compared with the lock; what it reads is packed, of
    panels and bars the candles and trades that they are computed of.

    Parameters
    ----------
    path : str or path
        The file to write, such as ``"study.zip"``; one that exists is replaced.
    lock : str or path
        The lock that :func:`upbit_frames.pinned` wrote.
    include_archive : bool
        Also pack files with rows of Upbit's published archive. Its terms allow personal, non-commercial use and
        forbid passing it on, so they are left out by default; the lock has their digests all the same.

    Returns
    -------
    pandas.Series
        ``files`` and ``bytes`` of Parquet packed, ``calls`` and ``rows`` of the lock, and ``left_out``, the list of
        stored ranges that are not in it.

    Raises
    ------
    QueryError
        If a path is none.
    NotCached
        If the store lacks something that the lock names.
    DataChanged
        If the store holds other rows than the lock says.
    UsageError
        If the lock has a call that cannot be made from it, as one of a quote currency in a lock of an older version.
    StoreError, CorruptFile
        If the lock cannot be read or the bundle not be written.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.bundle("study.zip", lock="study.lock")  # doctest: +SKIP
    >>> with uf.open_bundle("study.zip"):  # doctest: +SKIP
    ...     df = uf.candles("KRW-BTC", "1d", start="2025-01-01")
    """
    from upbit_frames.datasets.bundle import pack
    from upbit_frames.datasets.lock_check import stored_reads
    from upbit_frames.datasets.pins import load_lock
    from upbit_frames.store.parquet import ParquetStore

    for name, value in (("path", path), ("lock", lock)):
        if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
            raise QueryError(f"{name} must be the path of a file, got {value!r}", suggestion='such as "study.zip"')
    flag("include_archive", include_archive)
    locked = load_lock(Path(lock))
    store = engine_for(config).ports.store
    if not isinstance(store, ParquetStore):
        raise StoreError("the store is in memory here and has no files", suggestion="call it outside of the cassette")

    async def work() -> pd.Series:
        reads = await stored_reads(locked, store)
        content = await in_thread(lambda: pack(Path(path), locked, reads, store, archive=include_archive))
        calls = locked.calls.values()
        return pd.Series(
            {
                "files": content.files, "bytes": content.bytes, "calls": len(calls),
                "rows": sum(call.rows for call in calls), "left_out": list(content.left_out),
            },
            name=os.fspath(path), dtype=object,
        )  # fmt: skip

    return Call(work, lambda answer: answer, Progress(), f"packing {Path(path).name}")
