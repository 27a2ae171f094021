"""What time it is while a recording is open: fixed for REST calls, that of the frames for streams."""

from __future__ import annotations

import asyncio
from math import inf

from upbit_frames.core.config import Config
from upbit_frames.exchange.transport.rate_limiter import limiter_for
from upbit_frames.runtime.clock import Clock, ServerTime, SystemClock

__all__ = ["TapeClock", "fetch_exchange_time", "recording_clock", "use_clock"]

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
