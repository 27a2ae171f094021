"""Has the gaps of a hub fetched, and knows what is still under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any

from upbit_frames.core.topics import Key
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.live.hub.backfill import Mender, fetch_whole
from upbit_frames.live.hub.fanout import Audience, Torn
from upbit_frames.runtime.clock import Clock

__all__ = ["GapSupervisor"]

log = logging.getLogger("upbit_frames.live")


class GapSupervisor:
    """Fetches what the lines of a hub lack, each gap in a task of its own.

    Parameters
    ----------
    audience : Audience
        Gets the rows.
    mender : Mender
    clock : Clock
    retry : RetryPolicy
    spawn : function
        Starts a task that ends with the hub.
    """

    def __init__(
        self, audience: Audience, mender: Mender, clock: Clock, retry: RetryPolicy,
        spawn: Callable[[Any], asyncio.Task[None]],
    ) -> None:  # fmt: skip
        self._audience = audience
        self._mender = mender
        self._clock = clock
        self._retry = retry
        self._spawn = spawn
        self._tasks: dict[asyncio.Task[None], Key] = {}

    @property
    def busy(self) -> bool:
        """Whether anything is being fetched."""
        return bool(self._tasks)

    def begin(self, torn: Torn, delay: float = 0.0) -> None:
        """Have a gap fetched, after so many seconds."""
        task = self._spawn(self._fetch(torn, delay))
        self._tasks[task] = torn.key
        task.add_done_callback(lambda one: self._tasks.pop(one, None))

    async def finish(self, keys: Collection[Key] | None = None) -> None:
        """Wait until everything was fetched, or everything of these keys."""
        while tasks := [task for task, key in self._tasks.items() if keys is None or key in keys]:
            await asyncio.wait(tasks)

    async def _fetch(self, torn: Torn, delay: float) -> None:
        key, line, gap = torn
        try:
            if delay:
                await self._clock.sleep(delay)
            rows = await fetch_whole(self._mender, gap, self._clock, self._retry)
        except Exception as defect:  # what waits for the answer must not wait for ever
            log.exception("a gap of %s %s could not be repaired in an unforeseen way", line.market, line.type)
            rows = f"unforeseen: {defect!r}"
        if not isinstance(rows, str):
            self._audience.hand_out(key, line, line.mended(gap, rows))
            return
        if self._audience.lines.get(key) is line:
            log.warning("a gap of %s %s could not be repaired: %s", line.market, line.type, rows)
        self._audience.hand_out(key, line, line.failed(gap, rows))
