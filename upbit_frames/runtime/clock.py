"""Time as the package sees it: microseconds since the epoch, UTC, from an injectable clock.

A :class:`Clock` is the machine's; :class:`ServerTime` is the exchange's, from the ``Date`` headers
of its answers. What is sealed is decided by the second one only.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "ServerTime", "SystemClock"]

SECOND = 1_000_000
STEPPED = 2.0  # seconds by which wall and monotonic time may drift apart between two answers
AGREEMENT = 2 * SECOND  # by which two signs of the same time may differ; well inside the grace of a candle
CONFIRMED = 2  # answers that agree settle the time
MOVED = 3  # answers in a row that disagree, all on one side, move it


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
    """The exchange's time, from the ``Date`` headers of its answers.

    A ``Date`` has whole seconds and was written somewhere between our sending and receiving, so
    one header only bounds the offset: ``date - received <= offset < date + 1 s - sent``. The
    bounds of answers that agree are intersected. :meth:`now` uses the lower bound: it may be
    late, never early, so nothing is taken for sealed too soon.

    Whose word counts is told in :mod:`upbit_frames.core.availability`: the first answer only together
    with the machine's clock or a second answer, an answer that disagrees only as the third in a
    row on the same side. Where the machine's wall clock has been stepped, or the machine has slept,
    since the last answer (wall and monotonic time disagree), what was learnt is forgotten.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._low: int | None = None
        self._high: int | None = None
        self._votes = 0  # answers that agree on these bounds
        self._against: list[tuple[int, int]] = []  # the latest answers, in a row, that do not, all on one side
        self._difference = 0.0  # wall minus monotonic time at the last answer
        self._lock = threading.RLock()

    @property
    def known(self) -> bool:
        """Whether any answer has come since our clock was last stepped."""
        with self._lock:
            if self._low is not None and abs(self._wall_minus_monotonic() - self._difference) > STEPPED:
                self._low = self._high = None
                self._votes = 0
                self._against = []
            return self._low is not None

    @property
    def settled(self) -> bool:
        """Whether two signs agree on the time, and the last answer did not disagree."""
        with self._lock:
            return self.known and not self._against and (self._votes >= CONFIRMED or self._like_ours())

    def _like_ours(self) -> bool:
        """Whether the machine's own clock confirms the bounds."""
        return self._low is not None and self._high is not None and _apart((self._low, self._high), (0, 0)) == 0

    def _wall_minus_monotonic(self) -> float:
        return self._clock.now() / SECOND - self._clock.monotonic()

    @property
    def offset(self) -> int:
        """Server minus machine, in microseconds, as the earliest that is likely; 0 while unknown."""
        with self._lock:
            if not self.known or self._low is None:
                return 0
            if self._votes >= CONFIRMED or self._like_ours():
                return self._low
            return min(0, self._low, *(low for low, _ in self._against))

    @property
    def uncertainty(self) -> int | None:
        """Width of the bounds in microseconds; None while unknown."""
        if self._low is None or self._high is None:
            return None
        return self._high - self._low

    def observe(self, date: int, sent: int, received: int) -> None:
        """Learn from one answer; all three in microseconds, the last two by our clock."""
        told = date - received, date + SECOND - sent
        with self._lock:
            known = self.known  # forgets what was learnt before the clock was stepped
            self._difference = self._wall_minus_monotonic()
            if not known or self._low is None or self._high is None:
                self._believe([told], 1)
                return
            side = _apart(told, (self._low, self._high))
            if side == 0:
                self._believe([(self._low, self._high), told], self._votes + 1)
                return
            if self._against and _side_of(self._against[-1], (self._low, self._high)) != side:
                self._against = []
            self._against.append(told)
            if len(self._against) >= (MOVED if self._votes >= CONFIRMED else CONFIRMED):
                alike = [one for one in self._against if _apart(one, min(self._against)) == 0]
                self._believe(alike, len(self._against))

    def _believe(self, bounds: list[tuple[int, int]], votes: int) -> None:
        """Take what all of the bounds have in common, else the range around them."""
        low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
        if low > high:
            low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        self._low, self._high, self._votes, self._against = low, high, votes, []

    def now(self) -> int:
        """Return the server's time in microseconds, never later than the truth."""
        return self._clock.now() + self.offset

    def by(self, date: int | None) -> int:
        """Return how late it was, surely, when an answer with that ``Date`` was written.

        Parameters
        ----------
        date : int or None
            Microseconds; None where the answer had none.
        """
        return self.now() if date is None else min(self.now(), date)


def _side_of(told: tuple[int, int], bounds: tuple[int, int]) -> int:
    """Return -1 or 1 where bounds lie entirely below or above others, else 0."""
    return (told[0] > bounds[1]) - (told[1] < bounds[0])


def _apart(told: tuple[int, int], bounds: tuple[int, int]) -> int:
    """Return the side on which bounds disagree with others by more than the agreement, else 0."""
    return _side_of((told[0] - AGREEMENT, told[1] + AGREEMENT), bounds)
