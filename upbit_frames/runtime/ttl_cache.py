"""Values cached in memory for a minute, fetched with single-flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TTLCache"]

TTL = 60.0  # seconds for which lists of markets and instruments count as current


@dataclass
class TTLCache:
    """Values cached for a minute; simultaneous callers share a fetch."""

    entries: dict[Hashable, tuple[float, Any]] = field(default_factory=dict)
    flights: dict[Hashable, asyncio.Task[Any]] = field(default_factory=dict)

    async def get(
        self, key: Hashable, now: Callable[[], float], fetch: Callable[[], Awaitable[Any]]
    ) -> tuple[Any, bool]:
        """Return the value, and whether it was cached or being fetched already."""
        if self.holds(key, now):
            return self.entries[key][1], True
        task = self.flights.get(key)
        joined = task is not None
        if task is None:
            task = asyncio.ensure_future(self._fetch(key, now, fetch))
            self.flights[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        # Shielded: a caller that gives up must not cancel the fetch for the others.
        return await asyncio.shield(task), joined

    def holds(self, key: Hashable, now: Callable[[], float]) -> bool:
        """Return whether the value is cached."""
        return key in self.entries and now() - self.entries[key][0] < TTL

    async def _fetch(self, key: Hashable, now: Callable[[], float], fetch: Callable[[], Awaitable[Any]]) -> Any:
        value = await fetch()
        self.entries[key] = (now(), value)
        return value

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self.flights.pop(key, None)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log a failure without waiting callers
