"""Whoever listens to a hub, and the rows that wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from upbit_frames.core.topics import Topic
from upbit_frames.errors import UpbitFramesError
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.sequencer import Gap
from upbit_frames.runtime.telemetry import telemetry

__all__ = ["Gaps", "Listener", "Tempo"]

from upbit_frames.core.stream_query import BUFFER

MOST_GAPS = 20_000


class Tempo(Protocol):
    """How the time of a tape goes.

    Attributes
    ----------
    speed : float
        How many of its seconds go by in a real one.
    """

    speed: float

    def reached(self) -> int:
        """The moment up to which everything has been handed in, microseconds."""


class Gaps(list[Gap]):
    """What the breaks have cost, one entry a market; only the newest are kept.

    Attributes
    ----------
    breaks : int
        How many times the connection broke, those no longer kept included.
    """

    breaks: int = 0

    def append(self, gap: Gap) -> None:
        """One more; those of one break come one after the other."""
        if not self or self[-1].broken_at != gap.broken_at:
            self.breaks += 1
        super().append(gap)
        if len(self) > MOST_GAPS:
            del self[: MOST_GAPS // 2]


@dataclass(eq=False)
class Listener:
    """Whoever listens: what it wants, and the rows that wait for it.

    Attributes
    ----------
    topics : frozenset of Topic
    limit : int
        Most rows that may wait.
    rows : deque
    received, dropped : int
        Rows handed to it; how many of them were dropped because too many waited, or left out
        because they came so late that they may be repetitions.
    odd : int
        Frames that were not what the API promises.
    ended : dict of str to UpbitFramesError
        Markets that are over while others go on, and why.
    gaps : Gaps
    error : UpbitFramesError or None
        Why it is over.
    over : bool
    ring : bool
        Whether the newest rows are all that is wanted.
    careful, busy : bool
        Whether a tape waits until every row was taken; and for as long as the reader is busy with it.
    tempo : Tempo or None
        Of a tape that is recorded or played; None where time is everybody's.
    since : int or None
        On a tape, the moment up to which its rows were taken: seconds are counted from there, so
        that a recording and its replay end with the same row. None: by the reader's own clock.
    """

    topics: frozenset[Topic]
    limit: int = BUFFER
    rows: deque[Row] = field(default_factory=deque)
    received: int = 0
    dropped: int = 0
    odd: int = 0
    ended: dict[str, UpbitFramesError] = field(default_factory=dict)
    gaps: Gaps = field(default_factory=Gaps)
    error: UpbitFramesError | None = None
    over: bool = False
    ring: bool = False
    careful: bool = False
    busy: bool = False
    tempo: Tempo | None = None
    since: int | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, rows: Iterable[Row]) -> None:
        """More rows."""
        before = len(self.rows)
        self.rows.extend(rows)
        self.received += len(self.rows) - before
        lost = len(self.rows) - self.limit
        if lost > 0:
            for _ in range(lost):
                self.rows.popleft()
            self.dropped += lost
            if not self.ring:  # there it is what was asked for
                telemetry.event("drops", lost)
        self.news.set()

    def end(self, error: UpbitFramesError | None) -> None:
        """Nothing will come any more."""
        if not self.over:
            self.over, self.error = True, error
            self.news.set()
            self.begun.set()

    async def take(self, most: int | None = None) -> list[Row]:
        """Everything that waits, or so much of it; waits until there is something. Empty: it is over."""
        while not self.rows and not self.over:
            self.news.clear()
            await self.news.wait()
        return self.waiting(most)

    def waiting(self, most: int | None = None) -> list[Row]:
        """As :meth:`take`, without waiting."""
        if most is None or most >= len(self.rows):
            taken = list(self.rows)
            self.rows.clear()
        else:
            taken = [self.rows.popleft() for _ in range(most)]
        if self.since is not None:
            newest = next((row.received_at for row in reversed(taken) if row.stream_type != BACKFILLED), 0)
            self.since = max(self.since, newest)
        return taken

    def put_back(self, rows: list[Row]) -> None:
        """Rows that were taken and not wanted yet."""
        self.rows.extendleft(reversed(rows))
        if self.since is not None:
            self.since = next((row.received_at for row in rows if row.stream_type != BACKFILLED), self.since)
