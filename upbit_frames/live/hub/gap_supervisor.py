"""Decides when the gaps of a hub are backfilled, and runs the backfills.

After a reconnect each topic's gap ends with its first row. A topic on which nothing arrives within
the settle time is backfilled up to that time, and so is one after an invalid frame that no valid
frame follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

from upbit_frames.core.topics import Key
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.live.hub.backfill import REST_LAG, GapBackfill, fetch_gap
from upbit_frames.live.hub.fanout import FanOut, PendingGap
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.runtime.clock import Clock

__all__ = ["SETTLE", "GapSupervisor"]

log = logging.getLogger("upbit_frames.live")

SETTLE = 5.0  # seconds after a reconnect within which every snapshot arrives, if there is one
SETTLE_MARGIN = 0.05  # seconds: frames that arrive at the end of the settle time are decoded first
NEVER = 2**63


class GapSupervisor:
    """Backfills the gaps of a hub, each in a task of its own.

    Parameters
    ----------
    fan_out : FanOut
        Receives the rows.
    backfill : GapBackfill
    clock : Clock
    retry : RetryPolicy
    settle : float
        Seconds after a reconnect from which a topic without a row has none.
    drain : function
        Decodes and delivers every frame that has arrived.
    spawn : function
        Starts a task that ends with the hub.
    call_later : function (seconds, function)
        Calls a function later, unless the hub ends before.
    """

    def __init__(
        self,
        fan_out: FanOut,
        backfill: GapBackfill,
        clock: Clock,
        retry: RetryPolicy,
        *,
        settle: float,
        drain: Callable[[], None],
        spawn: Callable[[Any], asyncio.Task[None]],
        call_later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._fan_out = fan_out
        self._backfill = backfill
        self._clock = clock
        self._retry = retry
        self._settle = settle
        self._drain = drain
        self._spawn = spawn
        self._call_later = call_later
        self._deadline = (NEVER, 0)  # of the settle time, by our clock and by the exchange's
        self._tasks: dict[asyncio.Task[None], Key] = {}

    # --- deciding -------------------------------------------------------------------------------

    def reconnected(self, now: int, exchange_time: int | None, is_current: Callable[[], bool]) -> None:
        """Start the settle time; ``is_current`` returns at its end whether the same connection is still open."""
        micros = int(self._settle * 1e6)
        self._deadline = (now + micros, (exchange_time or now) + micros)
        self._call_later(self._settle + SETTLE_MARGIN, lambda: self._end_settle() if is_current() else None)

    def disconnected(self, now: int) -> None:
        """End the settle time if it is over; forget it otherwise, since a new gap follows."""
        self.settle_if_due(now)
        self._deadline = (NEVER, 0)

    def settle_if_due(self, now: int) -> None:
        """End the settle time if it is over by the time at which a frame arrived."""
        if now >= self._deadline[0]:
            self._end_settle()

    def _end_settle(self) -> None:
        (at, now), self._deadline = self._deadline, (NEVER, 0)
        if at != NEVER:
            self._drain()
            self.start(self._fan_out.settle(at, now))

    def settle_invalid(
        self, keys: Collection[Key], exchange_time: Callable[[], int | None], is_current: Callable[[], bool]
    ) -> None:
        """Backfill topics after an invalid frame, unless a valid one follows within the settle time."""

        def settle() -> None:
            sequencers = self._fan_out.sequencers
            lossy = [
                key for key in keys
                if key in sequencers and sequencers[key].gap is not None and sequencers[key].can_be_backfilled
            ]  # fmt: skip
            if is_current() and lossy:
                self._drain()
                now = self._clock.now()
                self.start(self._fan_out.settle(now, exchange_time() or now, lossy))

        self._call_later(self._settle + SETTLE_MARGIN, settle)

    async def complete(self, subscriber: Subscriber, exchange_time: int, timeout: float) -> None:
        """Backfill up to now what a subscriber lacks that wants no newer rows, within ``timeout`` seconds."""
        keys = {topic.key for topic in subscriber.topics}
        if subscriber.tempo is None and subscriber in self._fan_out.subscribers:
            self.start(self._fan_out.end_gaps(subscriber, self._clock.now(), exchange_time), REST_LAG)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.finish(keys)

    # --- backfilling ----------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether any gap is being backfilled."""
        return bool(self._tasks)

    def start(self, gaps: Iterable[PendingGap], delay: float = 0.0) -> None:
        """Backfill gaps, after ``delay`` seconds."""
        for pending in gaps:
            task = self._spawn(self._fetch(pending, delay))
            self._tasks[task] = pending.key
            task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def finish(self, keys: Collection[Key] | None = None) -> None:
        """Wait until all backfills have ended, or those of these topics."""
        while tasks := [task for task, key in self._tasks.items() if keys is None or key in keys]:
            await asyncio.wait(tasks)

    async def _fetch(self, pending: PendingGap, delay: float) -> None:
        key, sequencer, gap = pending
        try:
            if delay:
                await self._clock.sleep(delay)
            rows = await fetch_gap(self._backfill, gap, self._clock, self._retry)
        except Exception as defect:  # rows held back for the answer must not wait for ever
            log.exception("the backfill of a gap of %s (%s) failed", sequencer.market, sequencer.type)
            rows = f"the backfill failed: {defect!r}"
        if not isinstance(rows, str):
            self._fan_out.deliver(key, sequencer, sequencer.backfill(gap, rows))
            return
        subscribers = self._fan_out.subscribers_of(key) if self._fan_out.sequencers.get(key) is sequencer else []
        if not all(subscriber.reports_gaps for subscriber in subscribers):
            log.warning("a gap of %s (%s) was not repaired: %s", sequencer.market, sequencer.type, rows)
        self._fan_out.deliver(key, sequencer, sequencer.fail_backfill(gap, rows))
