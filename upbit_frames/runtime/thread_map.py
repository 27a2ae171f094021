"""Work for several threads, never nested: what already runs in such a thread is not split up further."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["thread_map"]

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 8
_worker = threading.local()


def _begin() -> None:
    _worker.active = True


def thread_map(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Apply a function to each item, in as many threads as there are processors; results in order.

    Inside the work of another call, and where the system allows no more threads, everything runs in this
    thread.

    Examples
    --------
    >>> thread_map(abs, [-1, 2])
    [1, 2]
    """
    listed = list(items)
    number = min(len(listed), os.cpu_count() or 1, MAX_THREADS)
    if number < 2 or getattr(_worker, "active", False):
        return [work(item) for item in listed]
    try:
        pool = ThreadPoolExecutor(number, thread_name_prefix="upbit-frames-read", initializer=_begin)
        with pool:
            futures = [pool.submit(work, item) for item in listed]
    except RuntimeError:  # the system allows no more threads
        return [work(item) for item in listed]
    return [future.result() for future in futures]
