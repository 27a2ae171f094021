"""Time as the package sees it: microseconds since the epoch, UTC, from an injectable clock.

A :class:`Clock` is the machine's; :class:`ServerTime` is what the exchange's ``Date`` headers
say about it. What is sealed is decided by the second one only.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "ServerTime", "SystemClock"]

SECOND = 1_000_000
STEPPED = 2.0  # seconds by which wall and monotonic time may drift apart between two answers


class Clock(Protocol):
    """Where the package gets time from."""

    def now(self) -> int:
        """Wall time in microseconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps, shared by all processes of the machine."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        """The machine's wall time in microseconds."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds on the system-wide monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running loop."""
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that stands still until told otherwise; sleeping moves it at once.

    Parameters
    ----------
    now : int
        Microseconds since the epoch, UTC.

    Examples
    --------
    >>> clock = ManualClock(1_000_000)
    >>> clock.advance(2.5)
    >>> clock.now()
    3500000
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self._monotonic = 1_000.0
        self._lock = threading.Lock()

    def now(self) -> int:
        """The time it was told."""
        return self._now

    def monotonic(self) -> float:
        """Seconds it was advanced, from an arbitrary start."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both faces of the clock forward."""
        with self._lock:
            self._now += round(seconds * SECOND)
            self._monotonic += seconds

    def set(self, now: int) -> None:
        """Step the wall clock, as a correction of a machine's time would; monotonic stays."""
        self._now = now

    async def sleep(self, seconds: float) -> None:
        """Advance instead of waiting."""
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)


class ServerTime:
    """What the exchange's ``Date`` headers tell about its clock.

    A ``Date`` has whole seconds and was written somewhere between our sending and receiving, so
    one header only bounds the offset: ``date - received <= offset < date + 1 s - sent``. The
    bounds of several answers are intersected; a contradiction (one of the clocks was stepped)
    starts afresh. :meth:`now` uses the lower bound: it may be late, never early, so nothing is
    taken for sealed too soon. Where the machine's wall clock has been stepped, or the machine has
    slept, since the last answer (wall and monotonic time disagree), what was learnt is forgotten.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._low: int | None = None
        self._high: int | None = None
        self._difference = 0.0  # wall minus monotonic time at the last answer
        self._lock = threading.Lock()

    @property
    def known(self) -> bool:
        """Whether the server has been heard, and our clock not been stepped since."""
        if self._low is not None and abs(self._wall_minus_monotonic() - self._difference) > STEPPED:
            self._low = self._high = None
        return self._low is not None

    def _wall_minus_monotonic(self) -> float:
        return self._clock.now() / SECOND - self._clock.monotonic()

    @property
    def offset(self) -> int:
        """Server minus machine, in microseconds, as its lower bound; 0 while unknown."""
        return (self._low or 0) if self.known else 0

    @property
    def uncertainty(self) -> int | None:
        """Width of the bounds in microseconds; None while unknown."""
        if self._low is None or self._high is None:
            return None
        return self._high - self._low

    def observe(self, date: int, sent: int, received: int) -> None:
        """Learn from one answer; all three in microseconds, the last two by our clock."""
        low, high = date - received, date + SECOND - sent
        with self._lock:
            if self.known and self._low is not None and self._high is not None:
                meet_low, meet_high = max(low, self._low), min(high, self._high)
                if meet_low <= meet_high:
                    low, high = meet_low, meet_high
            self._low, self._high = low, high
            self._difference = self._wall_minus_monotonic()

    def now(self) -> int:
        """The server's time in microseconds, never later than the truth."""
        return self._clock.now() + self.offset
