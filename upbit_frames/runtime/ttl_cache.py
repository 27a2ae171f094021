"""Answers kept in memory for a minute, each fetched once however many ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TTLCache"]

KEPT = 60.0  # seconds for which lists of markets and instruments are taken as current


@dataclass
class TTLCache:
    """Answers kept for a minute, each fetched once however many ask for it at the same time."""

    entries: dict[Hashable, tuple[float, Any]] = field(default_factory=dict)
    flights: dict[Hashable, asyncio.Task[Any]] = field(default_factory=dict)

    async def get(
        self, key: Hashable, now: Callable[[], float], fetch: Callable[[], Awaitable[Any]]
    ) -> tuple[Any, bool]:
        """The answer, and whether it had been kept."""
        if self.holds(key, now):
            return self.entries[key][1], True
        task = self.flights.get(key)
        joined = task is not None
        if task is None:
            task = asyncio.ensure_future(self._fetch(key, now, fetch))
            self.flights[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        # Shielded: one caller giving up must not take the answer away from the others.
        return await asyncio.shield(task), joined

    def holds(self, key: Hashable, now: Callable[[], float]) -> bool:
        """Whether the answer is kept."""
        return key in self.entries and now() - self.entries[key][0] < KEPT

    async def _fetch(self, key: Hashable, now: Callable[[], float], fetch: Callable[[], Awaitable[Any]]) -> Any:
        found = await fetch()
        self.entries[key] = (now(), found)
        return found

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self.flights.pop(key, None)
        if not task.cancelled():
            task.exception()  # looked at, so that a failure nobody waits for any more makes no noise
