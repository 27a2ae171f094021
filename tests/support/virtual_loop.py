"""An event loop on virtual time, whose callbacks run in an order that is drawn from a seed."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

__all__ = ["VirtualClock", "VirtualLoop", "run_virtually"]

T = TypeVar("T")
MOST_STEPS = 2_000_000  # turns of the loop in which any story has ended


class _NoSockets(selectors.SelectSelector):
    """Waits for nothing: virtual time passes instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        """Let the time pass for which the loop would wait."""
        if timeout is None:
            raise RuntimeError("every task waits for another one: the story would never end")
        self.loop.elapsed += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs ready callbacks in a random order, and skips the time in which nothing is ready.

    Parameters
    ----------
    seed : int
        The same seed gives the same order.
    """

    def __init__(self, seed: int) -> None:
        selector = _NoSockets()
        super().__init__(selector)
        selector.loop = self
        self.elapsed = 1_000.0
        self._random = Random(seed)
        self._steps = 0
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.elapsed

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Run a function at once: a thread would end at a moment that no seed decides."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - the awaiting task raises it
            future.set_exception(error)
        return future

    def _run_once(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise RuntimeError("the story did not end")
        ready = list(self._ready)  # type: ignore[has-type]
        self._random.shuffle(ready)
        self._ready = deque(ready)
        super()._run_once()  # type: ignore[misc]


class VirtualClock:
    """The package's clock on the virtual time of the running loop.

    Parameters
    ----------
    start : int
        Wall time at virtual time 1000 s, microseconds UTC.
    """

    def __init__(self, start: int) -> None:
        self._start = start

    def now(self) -> int:
        """Return the wall time in microseconds."""
        return self._start + round((self.monotonic() - 1_000.0) * 1e6)

    def monotonic(self) -> float:
        """Return the virtual time in seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait on the virtual time."""
        await asyncio.sleep(max(0.0, seconds))


def run_virtually(seed: int, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, in virtual time and the order of a seed."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(seed)) as runner:
        return runner.run(main)
