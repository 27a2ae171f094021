"""The background event loop, and how other threads and loops run work on it.

All network work of the process runs on a single loop in a daemon thread, so that scripts, notebook
cells, threads and coroutines on any other loop share one connection pool and one count of requests.
After a fork the thread is gone in the child, so the loop and everything that lived on it are created
again there (see :func:`generation`).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from time import monotonic
from typing import Any, TypeVar

from upbit_frames.errors import UsageError
from upbit_frames.runtime.fork import on_fork
from upbit_frames.runtime.preload import load

__all__ = ["at_exit", "generation", "in_thread", "run", "run_async", "start"]

T = TypeVar("T")
Work = Callable[..., Coroutine[Any, Any, T]]
THREAD_NAME = "upbit_frames"
UNWIND = 5.0  # seconds an interrupted call may take to clean up
END = 5.0  # seconds the end of the interpreter may take for closing connections, unless all hang
SLICE = 0.1  # seconds; waiting in slices lets Ctrl-C through on every platform


class _Loop:
    """A loop running in a daemon thread.

    Plain asyncio: anyio's portal would cancel every ``await`` of the clean-up too, and a page that
    is being stored when Ctrl-C comes must still be stored.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.asyncio = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._main, name=THREAD_NAME, daemon=True)
        self.thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.asyncio)
        self.asyncio.run_forever()

    def stop(self, deadline: float) -> None:
        """Cancel what still runs, then end the thread and close the loop."""

        async def cancel_all() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.asyncio.shutdown_asyncgens()

        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(cancel_all(), self.asyncio).result(_left(deadline))
        self.asyncio.call_soon_threadsafe(self.asyncio.stop)
        self.thread.join(_left(deadline))
        if not self.thread.is_alive():
            self.asyncio.close()


_lock = threading.RLock()  # a finalizer that runs while it is held may need the loop too
_loop: _Loop | None = None
_abandoned: list[_Loop] = []
_closers: list[Work[None]] = []


def _running() -> asyncio.AbstractEventLoop:
    """Return the loop for a caller that will wait for it, which the loop's own thread must not."""
    if threading.current_thread().name == THREAD_NAME:
        raise UsageError(
            "a blocking call on the package's own event loop would wait for itself",
            suggestion="inside a callback use the coroutine of the same name in upbit_frames.aio",
        )
    if not threading.main_thread().is_alive():
        raise UsageError(
            "the interpreter is shutting down, so no thread can serve this call",
            suggestion="make the call before the end of the program, not in an atexit callback",
        )
    return _started()


def _started() -> asyncio.AbstractEventLoop:
    global _loop
    load()
    with _lock:
        if _loop is None or _loop.pid != os.getpid():
            _loop = _Loop()
        return _loop.asyncio


@on_fork
def _after_fork() -> None:
    # The lock may have been held by another thread at the moment of the fork. The old loop must
    # stay referenced: its sockets and its wake-up pipe are still the parent's.
    global _lock, _loop
    _lock = threading.RLock()
    if _loop is not None:
        _abandoned.append(_loop)
    _loop = None
    _closers.clear()


def generation() -> int:
    """Return a number that changes when the loop is created again: objects of the old loop are unusable then."""
    return id(_running())


class _Submitted(Future[T]):
    """The result of a coroutine function on the loop, for any thread; ``ended`` is set once the work has unwound.

    Not ``asyncio.run_coroutine_threadsafe``: it takes a coroutine that was created in the caller's thread. Ctrl-C
    between the two leaves one that is never awaited, or work that cannot be cancelled. Here the loop creates it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()
        self._begun = False

    def begin(self, loop: asyncio.AbstractEventLoop, func: Work[T], args: tuple[Any, ...]) -> None:
        """Create the task, in the loop's thread; once."""
        if self._begun:
            return
        self._begun = True
        if self.cancelled():
            self.ended.set()
            return
        task = loop.create_task(func(*args))
        task.add_done_callback(self._finish)

        def pass_on(_: Future[T]) -> None:
            if self.cancelled() and not task.done():
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(task.cancel)

        self.add_done_callback(pass_on)

    def _finish(self, task: asyncio.Task[T]) -> None:
        self.ended.set()
        if task.cancelled():
            self.cancel()
        error = None if task.cancelled() else task.exception()  # taken, so that asyncio does not log it as lost
        if not self.set_running_or_notify_cancel():
            return
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(task.result())


def start(func: Work[T], *args: Any) -> Future[T]:
    """Run a coroutine function on the loop; its result arrives in the future.

    Never blocks, so it may be called from any thread, the loop's own included (where a finalizer
    can run). Cancelling the future cancels the work.
    """
    loop = _started()
    submitted: _Submitted[T] = _Submitted()
    loop.call_soon_threadsafe(submitted.begin, loop, func, args)
    return submitted


def run(func: Work[T], *args: Any, tick: Callable[[], None] | None = None) -> T:
    """Run a coroutine function on the loop and wait for it in this thread.

    Ctrl-C cancels the work and waits until it has cleaned up. ``tick`` is called about ten
    times a second from this thread.
    """
    loop = _running()
    submitted: _Submitted[T] = _Submitted()
    try:
        loop.call_soon_threadsafe(submitted.begin, loop, func, args)
        while True:
            try:
                return submitted.result(timeout=SLICE)
            except NotYet:
                if submitted.done():  # the work itself raised a TimeoutError
                    raise
                if tick is not None:
                    tick()
    except BaseException:
        if not submitted.done():
            submitted.cancel()  # the task still has to unwind: close files, store pages
            loop.call_soon_threadsafe(submitted.begin, loop, func, args)  # interrupted before the loop knew of it
            submitted.ended.wait(timeout=UNWIND)
        raise


async def run_async(func: Work[T], *args: Any) -> T:
    """Run a coroutine function on the loop and await it from another loop."""
    if threading.current_thread().name == THREAD_NAME:
        return await func(*args)
    return await asyncio.wrap_future(start(func, *args))


def at_exit(closer: Work[None]) -> None:
    """Run a coroutine function on the loop when the interpreter ends."""
    _closers.append(closer)


@atexit.register
def _shut_down() -> None:
    global _loop
    loop = _loop
    if loop is None or loop.pid != os.getpid():
        return
    deadline = monotonic() + END
    for closer in _closers:
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(closer(), loop.asyncio).result(_left(deadline))
    _loop = None
    loop.stop(deadline)


def _left(deadline: float) -> float:
    """Return the seconds left; at least half a second, so that one closer that hangs does not use up all."""
    return max(0.5, deadline - monotonic())


async def in_thread(func: Callable[..., T], *args: Any) -> T:
    """Run blocking file work in a worker thread: the event loop also serves the streams."""
    return await asyncio.to_thread(func, *args)
