"""One fetch of a series at a time: among the calls of this process, and among all processes.

A second caller waits, and finds stored what the first has fetched. Waiting has a bound: a
holder shows every second that it is alive, and one that does not (a stopped process, a machine that
sleeps) is waited for no longer than :data:`HEARTBEAT_TIMEOUT`. A holder that dies loses its lock at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from upbit_frames.errors import StoreError
from upbit_frames.router.call_store import CallStore
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.store.base import Series
from upbit_frames.store.fetch_lock import FetchLock

__all__ = ["single_flight"]

HEARTBEAT_INTERVAL = 1.0  # seconds between two signs of life of the process that fetches
HEARTBEAT_TIMEOUT = 10.0  # seconds without one, after which the others fetch on their own
POLL_INTERVAL = 0.1  # seconds between two looks of a process that waits


@contextlib.asynccontextmanager
async def single_flight(
    ports: Ports, store: CallStore, series: Series, lacking: Callable[[], bool]
) -> AsyncIterator[None]:
    """Be the only one to fetch a series, or find that it has been fetched.

    Parameters
    ----------
    lacking : function () -> bool
        Whether anything is still missing; called in a thread while another process fetches.
    """
    async with ports.series_lock(series):
        lock = store.fetch_lock(series)
        if lock is None:
            yield
            return
        heartbeats: asyncio.Task[None] | None = None
        try:
            if await _acquire(lock, lacking):
                heartbeats = asyncio.create_task(_send_heartbeats(lock))
            yield
        finally:
            if heartbeats is not None:
                heartbeats.cancel()
            await asyncio.shield(asyncio.ensure_future(in_thread(lock.close)))


async def _acquire(lock: FetchLock, lacking: Callable[[], bool]) -> bool:
    """Wait for the lock; False where there is no need for it any more, or no use in waiting."""
    pulse, since = -1, time.monotonic()
    while True:
        try:
            if await in_thread(lock.try_acquire):
                return True
        except StoreError:
            return False  # a folder that may not be written: then no other process fetches into it either
        if not await in_thread(lacking):
            return False
        latest = await in_thread(lock.pulse)
        if latest != pulse:
            pulse, since = latest, time.monotonic()
        elif time.monotonic() - since > HEARTBEAT_TIMEOUT:
            return False
        await asyncio.sleep(POLL_INTERVAL)


async def _send_heartbeats(lock: FetchLock) -> None:
    while True:
        await in_thread(lock.beat)
        await asyncio.sleep(HEARTBEAT_INTERVAL)
