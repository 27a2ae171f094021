"""Time as the package sees it: microseconds since the epoch, UTC, from an injectable clock.

A :class:`Clock` is the machine's; :class:`ServerTime` is the exchange's, from the ``Date`` headers
of its responses. Only the exchange's time decides what is sealed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "ServerTime", "SystemClock"]

SECOND = 1_000_000
STEPPED = 2.0  # seconds by which wall and monotonic time may drift apart between two responses
AGREEMENT = 2 * SECOND  # by which two readings of the same time may differ; well inside the grace of a candle
CONFIRMED = 2  # responses that agree settle the time
MOVED = 3  # consecutive responses that disagree, all in the same direction, move it


class Clock(Protocol):
    """A source of time."""

    def now(self) -> int:
        """Return wall time in microseconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps, shared by all processes of the machine."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        """Return the machine's wall time in microseconds."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return seconds on the system-wide monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running loop."""
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when it is advanced; sleeping advances it at once.

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
        """Return the time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds it was advanced, from an arbitrary start."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move wall and monotonic time forward."""
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
    """The exchange's time, from the ``Date`` headers of its responses.

    A ``Date`` has whole seconds and was written somewhere between our sending and receiving, so
    a header only bounds the offset: ``date - received <= offset < date + 1 s - sent``. The
    bounds of responses that agree are intersected. :meth:`now` uses the lower bound: it may be
    late, never early, so no candle is sealed too soon.

    The policy is that of :mod:`upbit_frames.core.availability`: the first response counts only if the
    machine's clock or a second response confirms it; a response that disagrees counts only as the third
    in a row in the same direction. If the machine's wall clock was stepped, or the machine slept, since the
    last response (wall and monotonic time disagree), all bounds are reset.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._low: int | None = None
        self._high: int | None = None
        self._votes = 0  # responses that agree on these bounds
        self._against: list[
            tuple[int, int]
        ] = []  # the latest consecutive responses that do not, all in the same direction
        self._difference = 0.0  # wall minus monotonic time at the last response
        self._lock = threading.RLock()

    @property
    def known(self) -> bool:
        """Whether any response was received since our clock was last stepped."""
        with self._lock:
            if self._low is not None and abs(self._wall_minus_monotonic() - self._difference) > STEPPED:
                self._low = self._high = None
                self._votes = 0
                self._against = []
            return self._low is not None

    @property
    def settled(self) -> bool:
        """Whether two readings agree on the time, and the last response did not disagree."""
        with self._lock:
            return self.known and not self._against and (self._votes >= CONFIRMED or self._confirmed_by_clock())

    def _confirmed_by_clock(self) -> bool:
        """Return whether the machine's own clock confirms the bounds."""
        return (
            self._low is not None
            and self._high is not None
            and _side_beyond_agreement((self._low, self._high), (0, 0)) == 0
        )

    def _wall_minus_monotonic(self) -> float:
        return self._clock.now() / SECOND - self._clock.monotonic()

    @property
    def offset(self) -> int:
        """Server minus machine time in microseconds, the earliest likely value; 0 while unknown."""
        with self._lock:
            if not self.known or self._low is None:
                return 0
            if self._votes >= CONFIRMED or self._confirmed_by_clock():
                return self._low
            return min(0, self._low, *(low for low, _ in self._against))

    @property
    def uncertainty(self) -> int | None:
        """Width of the bounds in microseconds; None while unknown."""
        if self._low is None or self._high is None:
            return None
        return self._high - self._low

    def observe(self, date: int, sent: int, received: int) -> None:
        """Update the bounds from a response.

        Parameters
        ----------
        date : int
            Its ``Date`` header, microseconds.
        sent, received : int
            Of the request and the response by our clock, microseconds.
        """
        bounds = date - received, date + SECOND - sent
        with self._lock:
            known = self.known  # resets bounds from before the clock was stepped
            self._difference = self._wall_minus_monotonic()
            if not known or self._low is None or self._high is None:
                self._accept([bounds], 1)
                return
            side = _side_beyond_agreement(bounds, (self._low, self._high))
            if side == 0:
                self._accept([(self._low, self._high), bounds], self._votes + 1)
                return
            if self._against and _side_of(self._against[-1], (self._low, self._high)) != side:
                self._against = []
            self._against.append(bounds)
            if len(self._against) >= (MOVED if self._votes >= CONFIRMED else CONFIRMED):
                alike = [other for other in self._against if _side_beyond_agreement(other, min(self._against)) == 0]
                self._accept(alike, len(self._against))

    def _accept(self, bounds: list[tuple[int, int]], votes: int) -> None:
        """Use the intersection of the bounds, else the range that encloses them."""
        low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
        if low > high:
            low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        self._low, self._high, self._votes, self._against = low, high, votes, []

    def now(self) -> int:
        """Return the server's time in microseconds, never later than the truth."""
        return self._clock.now() + self.offset

    def by(self, date: int | None) -> int:
        """Return a lower bound of the server's time when a response with that ``Date`` was written.

        Parameters
        ----------
        date : int or None
            Microseconds; None where the response had none.
        """
        return self.now() if date is None else min(self.now(), date)


def _side_of(reading: tuple[int, int], bounds: tuple[int, int]) -> int:
    """Return -1 or 1 where bounds lie entirely below or above others, else 0."""
    return (reading[0] > bounds[1]) - (reading[1] < bounds[0])


def _side_beyond_agreement(reading: tuple[int, int], bounds: tuple[int, int]) -> int:
    """Return -1 or 1 where bounds are below or above others by more than the agreement, else 0."""
    return _side_of((reading[0] - AGREEMENT, reading[1] + AGREEMENT), bounds)
