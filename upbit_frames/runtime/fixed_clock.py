"""Clocks that stand still, for what is replayed: a recording, a frozen data set."""

from __future__ import annotations

from upbit_frames.runtime.clock import Clock, ServerTime, SystemClock

__all__ = ["FixedServerTime", "PinnedClock"]


class PinnedClock(SystemClock):
    """A clock that stands at the recorded moment.

    Parameters
    ----------
    now : int
        Microseconds since the epoch, UTC.
    waits : bool
        Whether sleeping takes time, as requests to the exchange need it.
    """

    def __init__(self, now: int, *, waits: bool) -> None:
        self._now = now
        self._waits = waits

    def now(self) -> int:
        """Return the recorded moment."""
        return self._now

    def monotonic(self) -> float:
        """Return a constant, so that what is cached for a minute is cached for the whole recording."""
        return self._now / 1e6

    async def sleep(self, seconds: float) -> None:
        """Sleep if this clock waits, else return at once."""
        if self._waits:
            await super().sleep(seconds)


class FixedServerTime(ServerTime):
    """The exchange's time as known when a recording began; responses do not change it.

    Parameters
    ----------
    clock : Clock
    offset : int or None
        The exchange's time minus the clock's, microseconds; None while unknown.
    """

    def __init__(self, clock: Clock, offset: int | None = None) -> None:
        super().__init__(clock)
        self.fixed_offset = offset

    @property
    def known(self) -> bool:
        """Whether the offset is known."""
        return self.fixed_offset is not None

    @property
    def settled(self) -> bool:
        """Whether the offset is known."""
        return self.known

    @property
    def offset(self) -> int:
        """The exchange's time minus the clock's; 0 while unknown."""
        return self.fixed_offset or 0

    def observe(self, date: int, sent: int, received: int) -> None:
        """Ignore the response's time."""

    def by(self, date: int | None) -> int:
        """Return the response's own date: while streams are recorded or replayed, time goes on."""
        return self.now() if date is None else date
