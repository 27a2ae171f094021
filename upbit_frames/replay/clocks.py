"""What time it is while a recording is open: fixed for REST calls, that of the frames for streams."""

from __future__ import annotations

import asyncio
from math import inf

from upbit_frames.core.config import Config
from upbit_frames.exchange.transport.rate_limiter import limiter_for
from upbit_frames.runtime.clock import Clock, ServerTime, SystemClock

__all__ = ["FixedServerTime", "PinnedClock", "TapeClock", "fetch_exchange_time", "recording_clock", "use_clock"]

SAME_MOMENT = 0.1  # seconds for which the moment recorded last counts as the present
REPLAY_SLEEP = 0.001  # seconds; the longest wait while a tape is replayed

_recording_clock: Clock = SystemClock()


def recording_clock() -> Clock:
    """Return the clock by which streams are recorded: the machine's, unless :func:`use_clock` replaced it."""
    return _recording_clock


def use_clock(clock: Clock) -> Clock:
    """Record streams by another clock, such as a stand-in exchange's; return the one used before.

    An attribute ``speed`` of it states how many of its seconds pass in a real one.
    """
    global _recording_clock
    before, _recording_clock = _recording_clock, clock
    return before


async def fetch_exchange_time(config: Config) -> int:
    """Fetch the exchange's time (microseconds, UTC) with one request that is not recorded."""
    from upbit_frames.exchange.rest_api import RestApi
    from upbit_frames.exchange.transport.rest import RestTransport

    clock = SystemClock()
    transport = RestTransport(
        config.rest_url, clock=clock, server_time=ServerTime(clock),
        limiter=limiter_for(config.rest_url, rate=config.rate), timeout=config.timeout,
    )  # fmt: skip
    try:
        page = await RestApi(transport).markets()
    finally:
        await transport.aclose()
    return page.received if page.server_time is None else page.server_time


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


class TapeClock(SystemClock):
    """The time of a stream: the recording clock's while it is recorded, that of its frames in replay.

    Parameters
    ----------
    real : Clock

    Attributes
    ----------
    moment : int
        Of what was recorded or replayed last, microseconds.
    ahead : int
        Of what is replayed next, microseconds.
    playing : bool
    speed : float
        Its seconds in a real one.
    """

    def __init__(self, real: Clock) -> None:
        self.real = real
        self.moment = 0
        self.ahead = 0
        self.playing = False
        self.speed: float = getattr(real, "speed", 1.0)
        self._noted = -inf
        self._skipped = 0.0

    def note(self, at: int) -> int:
        """Set the moment of what is recorded now; return it."""
        self.moment, self._noted = at, self.real.monotonic()
        return at

    def now(self) -> int:
        """Return the moment recorded or replayed last: a replay then sees the very times the recording saw."""
        if self.playing or self.real.monotonic() - self._noted < SAME_MOMENT:
            return self.moment
        return self.real.now()

    def reached(self) -> int:
        """Return the moment before which every frame has been delivered."""
        return self.ahead if self.playing else self.real.now()

    def monotonic(self) -> float:
        """Return seconds, including those that a replay skipped."""
        return self.real.monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        """Sleep while recording; in replay at most ``REPLAY_SLEEP``, and count the rest as passed."""
        if not self.playing:
            return await self.real.sleep(seconds)
        short = min(seconds, REPLAY_SLEEP)
        self._skipped += max(0.0, seconds - short)
        await asyncio.sleep(short)
