"""A subscriber of a hub, and the rows that wait to be taken by it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from upbit_frames.core.stream_query import BUFFER
from upbit_frames.core.topics import Topic
from upbit_frames.errors import UpbitFramesError
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.gaps import GapLog
from upbit_frames.runtime.telemetry import telemetry

__all__ = ["Subscriber", "Tempo"]


class Tempo(Protocol):
    """How fast the time of a tape passes.

    Attributes
    ----------
    speed : float
        Seconds of the tape in a second of the machine's clock.
    """

    speed: float

    def reached(self) -> int:
        """Return the moment up to which all frames were handed in, microseconds."""


@dataclass(eq=False)
class Subscriber:
    """The topics of one subscriber, and a bounded queue of its rows.

    Attributes
    ----------
    topics : frozenset of Topic
    limit : int
        Capacity of the queue; when it is full, the oldest rows are dropped.
    rows : deque
        The queue.
    received, dropped : int
        Rows delivered; rows dropped because the queue was full, or left out because they arrived so
        late that they may be repetitions.
    invalid_frames : int
        Frames of its topics that were not what the API promises.
    ended_markets : dict of str to UpbitFramesError
        Markets that ended while others go on, and why.
    gaps : GapLog
    error : UpbitFramesError or None
        Why the subscription ended.
    closed : bool
        Whether no rows will be delivered any more.
    ring : bool
        Whether only the newest rows are wanted, so that dropping the oldest is no loss.
    reports_gaps : bool
        Whether its reader reports gaps that were not repaired itself, so that they are not logged.
    lossless, busy : bool
        Whether a tape waits until every row was taken; whether the reader is still processing rows.
    tempo : Tempo or None
        Of a tape that is recorded or replayed; None for the machine's clock.
    position : int or None
        Of a tape, the moment up to which its rows were taken, microseconds. Seconds are counted from
        there, so that a recording and its replay end with the same row. None for the machine's clock.
    changed, opened : asyncio.Event
        Set when rows are delivered or the subscription ends; when the connection is open.
    """

    topics: frozenset[Topic]
    limit: int = BUFFER
    rows: deque[Row] = field(default_factory=deque)
    received: int = 0
    dropped: int = 0
    invalid_frames: int = 0
    ended_markets: dict[str, UpbitFramesError] = field(default_factory=dict)
    gaps: GapLog = field(default_factory=GapLog)
    error: UpbitFramesError | None = None
    closed: bool = False
    ring: bool = False
    reports_gaps: bool = False
    lossless: bool = False
    busy: bool = False
    tempo: Tempo | None = None
    position: int | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, rows: Iterable[Row]) -> None:
        """Append rows to the queue; drop the oldest that do not fit."""
        before = len(self.rows)
        self.rows.extend(rows)
        self.received += len(self.rows) - before
        excess = len(self.rows) - self.limit
        if excess > 0:
            for _ in range(excess):
                self.rows.popleft()
            self.dropped += excess
            if not self.ring:
                telemetry.event("drops", excess)
        self.changed.set()

    def close(self, error: UpbitFramesError | None) -> None:
        """End the subscription; rows in the queue can still be taken."""
        if not self.closed:
            self.closed, self.error = True, error
            self.changed.set()
            self.opened.set()

    async def take(self, limit: int | None = None) -> list[Row]:
        """Return up to ``limit`` queued rows, waiting for the first; an empty list means the stream has ended."""
        while not self.rows and not self.closed:
            self.changed.clear()
            await self.changed.wait()
        return self.take_nowait(limit)

    def take_nowait(self, limit: int | None = None) -> list[Row]:
        """Return up to ``limit`` queued rows, without waiting."""
        if limit is None or limit >= len(self.rows):
            rows = list(self.rows)
            self.rows.clear()
        else:
            rows = [self.rows.popleft() for _ in range(limit)]
        if self.position is not None:
            newest = next((row.received_at for row in reversed(rows) if row.stream_type != BACKFILLED), 0)
            self.position = max(self.position, newest)
        return rows

    def put_back(self, rows: list[Row]) -> None:
        """Return rows that were taken too early to the front of the queue."""
        self.rows.extendleft(reversed(rows))
        if self.position is not None:
            self.position = next((row.received_at for row in rows if row.stream_type != BACKFILLED), self.position)
