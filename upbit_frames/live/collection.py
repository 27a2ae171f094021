"""Collects the rows of a stream for a time or up to a count, and reports what the frame lacks.

A collected frame ends complete: if the connection is down at the end, or a gap is still being
backfilled, the missing rows are fetched over REST within ``REPAIR_TIMEOUT`` seconds. Rows that could
not be fetched, and a stream that ended early, are reported by warnings.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any

from upbit_frames.core.intervals import iso
from upbit_frames.core.topics import interval_of
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.gaps import OPEN, Gap
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.live.stream_frames import collected

__all__ = ["Collection"]

TAPE_POLL = 0.02  # seconds between two looks at a tape that is replayed late
REPAIR_TIMEOUT = 10.0  # seconds for the rows that are missing at the end
MOST_WARNINGS = 3  # gaps with a warning of their own


@dataclass
class Collection:
    """Rows that are being collected.

    Parameters
    ----------
    subscriber : Subscriber
    type : str
    seconds, count : float
        Infinity for no limit.

    Attributes
    ----------
    rows : list
        In order of arrival.
    interrupted : bool
    """

    subscriber: Subscriber
    type: str
    seconds: float
    count: float
    rows: list[Row] = field(default_factory=list)
    interrupted: bool = False

    async def run(self, hub: Hub) -> None:
        """Take rows until ``seconds`` or ``count`` is reached, then complete gaps.

        Raises
        ------
        UpbitFramesError
            If the stream ended with an error before the first row.
        """
        subscriber = self.subscriber
        subscriber.reports_gaps = True
        try:
            await self._take_rows(hub)
        finally:
            subscriber.reports_gaps = False
        if subscriber.error is not None and not self.rows:
            raise subscriber.error

    async def _take_rows(self, hub: Hub) -> None:
        subscriber = self.subscriber
        end = math.inf if subscriber.position is None else subscriber.position + self.seconds * 1e6
        quota = _Quota(self.type, end, self.count)
        wait = self.seconds if subscriber.tempo is None else self.seconds / subscriber.tempo.speed
        due = asyncio.get_running_loop().time() + wait if 0 < wait < math.inf else None
        while not quota.reached:
            try:
                async with asyncio.timeout_at(due):
                    rows = await subscriber.take()
            except TimeoutError:
                if subscriber.tempo is not None and subscriber.tempo.reached() < end:
                    due = asyncio.get_running_loop().time() + TAPE_POLL
                    continue
                if subscriber.position is None:
                    quota.end_at(hub.now())
                await hub.complete(subscriber, REPAIR_TIMEOUT)
                await asyncio.sleep(0)  # frames that have just arrived count by their time of arrival
                self.rows += quota.accept(subscriber, subscriber.take_nowait())
                break
            if not rows:
                break
            self.rows += quota.accept(subscriber, rows)

    def interrupt(self) -> None:
        """Keep the rows received so far, because the caller stopped waiting."""
        self.interrupted = True
        self.rows += self.subscriber.take_nowait()

    def sorted(self) -> list[Row]:
        """Return the rows in the order of the frame."""
        return collected(self.type, self.rows, ordered=True)

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the frame: whether it was interrupted, and why the stream ended early."""
        error = self.subscriber.error
        return {"interrupted": self.interrupted, "ended": None if error is None else error.message}

    @property
    def warnings(self) -> list[str]:
        """What the frame lacks, and why."""
        subscriber, texts = self.subscriber, []
        if self.interrupted:
            texts.append(f"the stream was interrupted: the frame has the {len(self.rows)} rows received until then")
        if subscriber.error is not None:
            texts.append(f"the stream ended early: {subscriber.error.message}")
        for market, error in subscriber.ended_markets.items():
            texts.append(f"the stream of {market} ended early: {error.message}")
        lacking = [gap for gap in subscriber.gaps if gap.outcome == OPEN or gap.lost]
        texts += map(_describe, lacking[:MOST_WARNINGS])
        if len(lacking) > MOST_WARNINGS:
            texts.append(f"further gaps of the frame, listed in its attrs: {len(lacking) - MOST_WARNINGS}")
        if subscriber.dropped and not subscriber.ring:
            texts.append(
                f"{subscriber.dropped} rows were left out: more arrived than the buffer holds, or they arrived too late"
            )
        return texts


def _describe(gap: Gap) -> str:
    """Describe a gap that was not repaired, and how to fetch its rows."""
    start = "the beginning" if gap.start is None else iso(gap.start)
    end = "the end" if not gap.end else iso(gap.end)
    cause = "REST has not answered in time" if gap.outcome == OPEN else gap.outcome.partition(": ")[2]
    text = f"the frame may lack rows of {gap.market} ({gap.type}) from {start} to {end}: {cause} ({gap.reason})"
    call = "trades" if gap.type == "trade" else "candles" if interval_of(gap.type) else None
    return text if call is None else f"{text}; uf.{call} can fetch them"


class _Quota:
    """The rows that are still wanted; rows that are not go back to the queue, so that batches decide nothing."""

    def __init__(self, type_: str, end: float, count: float) -> None:
        self.reached = False
        self._candles = interval_of(type_) is not None
        self._end = end
        self._count = count
        self._seen: set[Any] = set()
        self._taken = 0

    def end_at(self, time: int) -> None:
        """Reject rows that arrive from ``time`` on."""
        self._end = time

    def accept(self, subscriber: Subscriber, rows: list[Row]) -> list[Row]:
        """Return the rows that are wanted, and put the rest back."""
        for index, row in enumerate(rows):
            if self.reached or (row.received_at >= self._end and row.stream_type != BACKFILLED):
                self.reached = True
                subscriber.put_back(rows[index:])
                return rows[:index]
            if self._candles:
                self._seen.add((row.code, row.candle_date_time_utc))
            self._taken += 1
            self.reached = (len(self._seen) if self._candles else self._taken) >= self._count
        return rows
