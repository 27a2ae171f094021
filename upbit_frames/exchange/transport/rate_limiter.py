"""Rate limiter for Upbit's request limits: never exceeded, at the highest rate they allow.

Upbit allows ten requests a second for each group of endpoints and address, counted as they
arrive (upbit-api section 5). Each group has ten slots. A slot is held while its request is under
way, and the next request may leave in it at ``received + 1 s - fastest round trip``: the way back
of the one and the way there of the other take at least that long together. Whatever the jitter,
two requests of one slot then arrive at least a second apart, so no second of any kind, fixed or
sliding, sees more than ten; and with a steady round trip a slot goes round once a second, which is
the full rate.

The state is shared by all processes of a user (:mod:`upbit_frames.exchange.transport.rate_limit_state`). Where
another process holds its lock, an operation is tried again a moment later, on the loop and without
blocking it; what only gives something back is done in the background.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from upbit_frames.core.endpoints import LIMITS
from upbit_frames.errors import Blocked, ConnectionFailed
from upbit_frames.exchange.transport.guarded_file import LockBusy
from upbit_frames.exchange.transport.headers import LONGEST_WAIT
from upbit_frames.exchange.transport.rate_limit_state import NoHandles, SharedSlots, Taken
from upbit_frames.runtime.clock import Clock, SystemClock
from upbit_frames.runtime.fork import on_fork

__all__ = ["Limiter", "NullLimiter", "Pacer", "Slot", "limiter_for"]

MARGIN = 0.004  # of a second: the server's clock and ours do not run at exactly the same speed
REFUSED_SLOT_PAUSE = (10.0, 20.0)  # seconds for which a refusal costs a slot; random, so that not all come back at once
FIRST_BLOCK = 60.0  # seconds to keep away when the server does not say how long
LONGEST_BLOCK = 3600.0
LOCK_POLL = 0.002  # seconds; the lock is held for some hundredths of that
PATIENCE = 3.0  # seconds for which a lock may be held while nothing is written: then its holder was stopped
LONGEST_NAME = 100  # letters of a host in a file name

T = TypeVar("T")


class Slot(Protocol):
    """The permission for a request."""

    def sent(self) -> None:
        """The request begins to leave now: waiting for a slot and connecting are over."""

    def done(self, remaining: int | None = None) -> None:
        """The answer is here; ``remaining`` is what it said is left of this second."""

    def lost(self) -> None:
        """No answer came, but the request may have arrived."""


class Pacer(Protocol):
    """What the transport needs of a limiter."""

    async def acquire(self, group: str) -> Slot:
        """Wait for the permission to send a request."""

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
    """The limits of one exchange, shared by all processes of this user on this machine.

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
        self._blocked_until = 0.0  # wall seconds, as far as this process knows
        self._queues: dict[tuple[int, str], asyncio.Lock] = {}
        self._lock = threading.Lock()
        self._postponed: deque[Callable[[], object]] = deque()
        self._catching_up: set[asyncio.Task[None]] = set()

    async def acquire(self, group: str) -> Slot:
        """Wait for a slot of the group; first come, first served on each event loop.

        Raises
        ------
        Blocked
            At once, while the address is blocked.
        ConnectionFailed
            If no file handle is free, so that no request could be sent either.
        """
        await self._check_block(group)
        async with self._queue(group):
            while True:
                slot_or_wait = await self._when_free(
                    lambda: self._slots.take(group, self._clock.monotonic(), LIMITS[group])
                )
                if isinstance(slot_or_wait, Taken):
                    return _Slot(self, slot_or_wait)
                await self._clock.sleep(slot_or_wait)
                await self._check_block(group)

    def _queue(self, group: str) -> asyncio.Lock:
        # An asyncio lock belongs to one loop; among loops and processes the slots themselves decide.
        key = (id(asyncio.get_running_loop()), group)
        with self._lock:
            return self._queues.setdefault(key, asyncio.Lock())

    def _over(self, taken: Taken, sent: float | None, remaining: int | None) -> None:
        now = self._clock.monotonic()
        # Where nothing was answered, nothing is known about when the request arrived, if at all.
        trip = None if sent is None else now - sent
        self._soon(lambda: self._slots.give_back(taken, now, self._window, trip))
        if remaining is not None:
            allowed = LIMITS[taken.group]
            self._soon(lambda: self._slots.leave_room(taken, now, self._window, remaining, allowed))

    def refused(self, group: str, times: int) -> None:
        """Keep the whole group quiet until the next second, longer when it happens again.

        Another program on this address uses the limit too, so a slot is left to them for a while.
        """
        now = self._clock.monotonic()
        rest = random.uniform(*REFUSED_SLOT_PAUSE) * self._window
        until = now + min(60.0, self._window * 2 ** min(times - 1, 10))
        self._soon(lambda: self._slots.rest(group, now, rest, LIMITS[group]))
        self._soon(lambda: self._slots.pause(group, now, until))

    def blocked(self, url: str, seconds: float | None) -> Blocked:
        """Open the circuit: no process of this user sends a request until the block is over."""
        self._blocks += 1
        stated = seconds is not None and 0 < seconds <= LONGEST_WAIT
        if seconds is None or not stated:
            seconds = min(LONGEST_BLOCK, FIRST_BLOCK * 2 ** min(self._blocks - 1, 10))
        now, until = self._clock.monotonic(), self._clock.now() / 1e6 + seconds
        self._blocked_until = max(self._blocked_until, until)
        self._soon(lambda: self._slots.block(now, until))
        return _blocked(until, url, stated=stated)

    async def _check_block(self, group: str) -> None:
        wall = self._clock.now() / 1e6
        # Like the shared one, our own is not believed where it is further ahead than any can be:
        # the machine's time was set back since.
        until = self._blocked_until if wall < self._blocked_until <= wall + LONGEST_WAIT else 0.0
        if not until:
            until = await self._when_free(lambda: self._slots.blocked_until(self._clock.monotonic(), wall))
        if until:
            raise _blocked(until, None, group)

    # --- the lock of the shared state ---------------------------------------------------------------

    async def _when_free(self, operation: Callable[[], T]) -> T:
        """Do something as soon as no other process holds the lock, after what was postponed."""
        sign: object = None
        while True:
            try:
                self._catch_up()
                return operation()
            except (LockBusy, NoHandles) as error:
                now = self._clock.monotonic()
                seen = error.sign if isinstance(error, LockBusy) else NoHandles
                if seen != sign:  # the state has been changed since, so the holder is at work
                    sign, begun = seen, now
                stuck = now - begun > PATIENCE
                failure = error
            if stuck and isinstance(failure, NoHandles):
                raise ConnectionFailed(
                    f"no file or connection can be opened: {failure}",
                    suggestion="close files or connections that are not needed, or raise the limit (ulimit -n)",
                ) from failure
            if stuck:
                self._slots.move_on()
            await self._clock.sleep(LOCK_POLL)

    def _soon(self, operation: Callable[[], object]) -> None:
        """Do something now, or in the background where another process holds the lock."""
        self._postponed.append(operation)
        try:
            self._catch_up()
        except (LockBusy, NoHandles):
            if not self._catching_up:
                task = asyncio.get_running_loop().create_task(self._when_free(lambda: None))
                self._catching_up.add(task)
                task.add_done_callback(self._caught_up)

    def _caught_up(self, task: asyncio.Task[None]) -> None:
        self._catching_up.discard(task)
        if not task.cancelled():
            task.exception()  # no handles are free: the next request says so, and catches up first

    def _catch_up(self) -> None:
        with self._lock:
            while self._postponed:
                operation = self._postponed.popleft()
                try:
                    operation()
                except (LockBusy, NoHandles):
                    self._postponed.appendleft(operation)
                    raise


def _blocked(until: float, url: str | None, group: str | None = None, *, stated: bool = True) -> Blocked:
    moment = datetime.fromtimestamp(until, UTC)  # never far ahead: every wait is bounded
    text = f"until {moment:%Y-%m-%d %H:%M:%S} UTC"
    if stated:
        message = f"the exchange blocks this address {text}"
    else:
        message = f"the exchange blocks this address, for no stated time up to a day; no request is sent {text}"
    return Blocked(
        message,
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
        """Return the error, without blocking later requests."""
        return _blocked(0.0, url)


_limiters: dict[tuple[str, float], Limiter] = {}
_limiters_lock = threading.Lock()


@on_fork
def _after_fork() -> None:
    # Locks may have been held by other threads, and a file lock does not survive a fork.
    global _limiters_lock
    _limiters_lock = threading.Lock()
    _limiters.clear()


def limiter_for(url: str, *, rate: float = 1.0) -> Limiter:
    """Return the limiter of the exchange at that URL, shared by the whole process."""
    parts = urlsplit(url)
    host = re.sub(r"[^a-z0-9.-]", "_", parts.hostname or "")
    if len(host) > LONGEST_NAME:  # a file name is made of it
        host = host[:LONGEST_NAME] + hashlib.sha256(host.encode()).hexdigest()[:16]
    name = f"{host}_{parts.port or 443}"
    with _limiters_lock:
        key = (name, rate)
        if key not in _limiters:
            _limiters[key] = Limiter(SharedSlots(name), rate=rate)
        return _limiters[key]
