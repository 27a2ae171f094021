"""Keeps to Upbit's request limits, exactly, at the highest rate they allow.

Upbit allows ten requests a second for each group of endpoints and address, counted as they
arrive (upbit-api section 5). Each group has ten slots. A slot is held while its request is under
way, and the next request may leave in it at ``received + 1 s - fastest round trip``: the way back
of the one and the way there of the other take at least that long together. Whatever the jitter,
two requests of one slot then arrive at least a second apart, so no second of any kind, fixed or
sliding, sees more than ten; and with a steady round trip a slot goes round once a second, which is
the full rate.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

from upbit_frames.core.endpoints import LIMITS
from upbit_frames.errors import Blocked
from upbit_frames.exchange.transport.rate_limit_state import SharedSlots, Taken
from upbit_frames.runtime.clock import Clock, SystemClock

__all__ = ["Limiter", "NullLimiter", "Pacer", "Slot", "limiter_for"]

MARGIN = 0.004  # of a second: the server's clock and ours do not run at exactly the same speed
REST = (10.0, 20.0)  # seconds for which a refusal costs a slot; random, so that not all come back at once
FIRST_BLOCK = 60.0  # seconds to keep away when the server does not say how long
LONGEST_BLOCK = 3600.0


class Slot(Protocol):
    """The permission for one request."""

    def sent(self) -> None:
        """The request begins to leave now: waiting for a slot and connecting are over."""

    def done(self, remaining: int | None = None) -> None:
        """The answer is here; ``remaining`` is what it said is left of this second."""

    def lost(self) -> None:
        """No answer came, but the request may have arrived."""


class Pacer(Protocol):
    """What the transport needs of a limiter."""

    async def acquire(self, group: str) -> Slot:
        """Wait for the permission to send one request."""

    def refused(self, group: str, times: int) -> None:
        """The server said 429, for the so-many-th time in a row."""

    def blocked(self, url: str, seconds: float | None) -> Blocked:
        """The server said 418; gives the error to raise."""


@dataclass
class _Slot:
    limiter: Limiter
    taken: Taken
    open: bool = True
    left: float | None = None

    def sent(self) -> None:
        """From here the round trip counts."""
        self.left = self.limiter._clock.monotonic()

    def done(self, remaining: int | None = None) -> None:
        """Give the slot back, judging by the round trip when its request arrived."""
        if self.open:
            self.open = False
            self.limiter._over(self.taken, self.left, remaining)

    def lost(self) -> None:
        """Give the slot back as if its request had arrived just now."""
        if self.open:
            self.open = False
            self.limiter._over(self.taken, None, None)


class Limiter:
    """The limits of one exchange, shared by everything on this machine.

    Parameters
    ----------
    slots : SharedSlots
    clock : Clock
    rate : float
        Share of the limit to use, above 0 and up to 1.
    """

    def __init__(self, slots: SharedSlots, *, clock: Clock | None = None, rate: float = 1.0) -> None:
        self._slots = slots
        self._clock = clock or SystemClock()
        self._window = 1.0 / rate + MARGIN
        self._blocks = 0
        self._queues: dict[tuple[int, str], asyncio.Lock] = {}
        self._lock = threading.Lock()

    async def acquire(self, group: str) -> Slot:
        """Wait for a slot of the group; first come, first served on each event loop.

        Raises
        ------
        Blocked
            At once, while the address is blocked.
        """
        self._check_block(group)
        async with self._queue(group):
            while True:
                self._check_block(group)
                got = self._slots.take(group, self._clock.monotonic(), LIMITS[group])
                if isinstance(got, Taken):
                    return _Slot(self, got)
                await self._clock.sleep(got)

    def _queue(self, group: str) -> asyncio.Lock:
        # An asyncio lock belongs to one loop; among loops and processes the slots themselves decide.
        key = (id(asyncio.get_running_loop()), group)
        with self._lock:
            return self._queues.setdefault(key, asyncio.Lock())

    def _over(self, taken: Taken, sent: float | None, remaining: int | None) -> None:
        now = self._clock.monotonic()
        # Where nothing was answered, nothing is known about when the request arrived, if at all.
        self._slots.give_back(taken, now, self._window, None if sent is None else now - sent)
        if remaining is not None:
            self._slots.leave_room(taken, now, self._window, remaining, LIMITS[taken.group])

    def refused(self, group: str, times: int) -> None:
        """Keep the whole group quiet until the next second, longer when it happens again.

        Somebody else on this address uses the limit too, so a slot is left to them for a while.
        """
        now = self._clock.monotonic()
        self._slots.rest(group, now, random.uniform(*REST) * self._window, LIMITS[group])
        self._slots.pause(group, now + min(60.0, self._window * 2 ** (times - 1)))

    def blocked(self, url: str, seconds: float | None) -> Blocked:
        """Open the circuit: nobody on this machine asks again until the block is over."""
        self._blocks += 1
        wait = seconds if seconds else min(LONGEST_BLOCK, FIRST_BLOCK * 2 ** (self._blocks - 1))
        until = self._clock.now() / 1e6 + wait
        self._slots.block(until)
        return _blocked(until, url)

    def _check_block(self, group: str) -> None:
        until = self._slots.blocked_until()
        if until > self._clock.now() / 1e6:
            raise _blocked(until, None, group)


def _blocked(until: float, url: str | None, group: str | None = None) -> Blocked:
    moment = datetime.fromtimestamp(until, UTC)
    return Blocked(
        f"the exchange blocks this address until {moment:%Y-%m-%d %H:%M:%S} UTC",
        suggestion="wait until then; other programs on this address share the limit, and asking on makes it longer",
        until=moment,
        status=418,
        url=url,
        group=group,
    )


class _FreeSlot:
    def sent(self) -> None:
        """Nothing to measure."""

    def done(self, remaining: int | None = None) -> None:
        """Nothing to give back."""

    def lost(self) -> None:
        """Nothing to give back."""


class NullLimiter:
    """Never waits: for replaying what was recorded."""

    async def acquire(self, group: str) -> Slot:
        """A slot at once."""
        return _FreeSlot()

    def refused(self, group: str, times: int) -> None:
        """A recorded refusal needs no waiting."""

    def blocked(self, url: str, seconds: float | None) -> Blocked:
        """The error, without keeping anybody away."""
        return _blocked(0.0, url)


_limiters: dict[tuple[str, float], Limiter] = {}
_limiters_lock = threading.Lock()


def _after_fork() -> None:
    # Locks may have been held by other threads, and a file lock does not survive a fork.
    global _limiters_lock
    _limiters_lock = threading.Lock()
    _limiters.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def limiter_for(url: str, *, rate: float = 1.0) -> Limiter:
    """The limiter of the exchange at that URL, one for the whole process."""
    parts = urlsplit(url)
    name = f"{parts.hostname}_{parts.port or 443}".replace(":", "_")
    with _limiters_lock:
        key = (name, rate)
        if key not in _limiters:
            _limiters[key] = Limiter(SharedSlots(name), rate=rate)
        return _limiters[key]
