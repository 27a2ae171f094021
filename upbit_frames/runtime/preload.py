"""Import what a call needs, with forks held back meanwhile.

Importing the package costs next to nothing, so the first call of a process imports pandas, pyarrow
and the rest. A child process forked in the middle of that has only the thread that forked: the lock
of the module that another thread was importing stays held, and the child's first import of it waits
for ever. So all of these imports happen in :func:`load`, under one lock, and a fork waits for that
lock, at most ``PATIENCE``.

Handlers that other modules register for forks run in reverse order. Those below that take locks in
their ``before`` part are imported first, so that nothing is held while this module waits.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import contextlib
import importlib
import logging
import threading
from typing import Any

import filelock

from upbit_frames.runtime.fork import on_fork

__all__ = ["load", "load_attribute"]

_REGISTER_FORK_HANDLERS = (logging, concurrent.futures.thread, filelock)
PATIENCE = 30.0  # seconds; the imports take about a second
MODULES = (
    "pandas", "pyarrow.compute", "pyarrow.parquet", "pyarrow.dataset",
    "upbit_frames.api.calls", "upbit_frames.store.parquet",
    "upbit_frames.exchange.transport.rest", "upbit_frames.exchange.transport.rate_limiter",
    "upbit_frames.frames.output", "upbit_frames.frames.accessor", "upbit_frames.live.hub.registry",
)  # fmt: skip
IMPORTED_LATE = (
    "anyio._backends._asyncio",
    "httpcore",
    "certifi",
    "encodings.idna",
)  # by libraries, at their first use

_lock = threading.RLock()
_loaded = False
_held: list[bool] = []


def load() -> None:
    """Import everything that a call may need; returns at once when that was done."""
    global _loaded
    if _loaded:
        return
    with _lock:
        for name in MODULES:
            importlib.import_module(name)
        asyncio.get_event_loop_policy()  # created at first use, under a lock of asyncio's
        # OpenSSL initialises itself with its first context, under locks of its own.
        importlib.import_module("upbit_frames.exchange.transport.http").certificates()
        for name in IMPORTED_LATE:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        _loaded = True


def load_attribute(module: str, name: str) -> Any:
    """Import a module and return an attribute of it; of an empty name the module itself."""
    with _lock:
        loaded = importlib.import_module(module)
    return getattr(loaded, name) if name else loaded


def _before_fork() -> None:
    _held.append(_lock.acquire(timeout=PATIENCE))


def _after_fork() -> None:
    if _held.pop():
        _lock.release()


on_fork(_after_fork, before=_before_fork, in_parent=_after_fork)
