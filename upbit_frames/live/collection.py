"""Rows of a stream taken for so long, or so many of them, and what the frame made of them lacks.

A collected frame ends repaired: where the connection is down at the end, or a gap is still being
fetched, REST is asked for what is missing, within ``REPAIR`` seconds. What cannot be had in that time,
or at all, is told by a warning, and so is a stream that ended early.
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
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Listener
from upbit_frames.live.stream_frames import collected

__all__ = ["Collection"]

BEHIND = 0.02  # seconds between two looks at a tape that is played late
REPAIR = 10.0  # seconds for what is missing at the end
MOST_TOLD = 3  # gaps a warning names one by one


@dataclass
class Collection:
    """Rows that are being collected.

    Parameters
    ----------
    listener : Listener
    type : str
    seconds, count : float
        Infinity for no limit.

    Attributes
    ----------
    rows : list
        In order of arrival.
    interrupted : bool
    """

    listener: Listener
    type: str
    seconds: float
    count: float
    rows: list[Row] = field(default_factory=list)
    interrupted: bool = False

    async def run(self, hub: Hub) -> None:
        """Take rows until it is enough, then have gaps repaired.

        Raises
        ------
        UpbitFramesError
            If the stream ended because of it before a single row had come.
        """
        listener = self.listener
        end = math.inf if listener.since is None else listener.since + self.seconds * 1e6
        enough = _Enough(self.type, end, self.count)
        wait = self.seconds if listener.tempo is None else self.seconds / listener.tempo.speed
        due = asyncio.get_running_loop().time() + wait if 0 < wait < math.inf else None
        while not enough.reached:
            try:
                async with asyncio.timeout_at(due):
                    taken = await listener.take()
            except TimeoutError:
                if listener.tempo is not None and listener.tempo.reached() < end:
                    due = asyncio.get_running_loop().time() + BEHIND
                    continue
                if listener.since is None:
                    enough.stop(hub.now())
                await hub.complete(listener, REPAIR)
                await asyncio.sleep(0)  # what arrived in the last moment counts by when it arrived
                self.rows += enough.of(listener, listener.waiting())
                break
            if not taken:
                break
            self.rows += enough.of(listener, taken)
        if listener.error is not None and not self.rows:
            raise listener.error

    def interrupt(self) -> None:
        """Keep what has come so far, as nobody waits any more."""
        self.interrupted = True
        self.rows += self.listener.waiting()

    def sorted(self) -> list[Row]:
        """The rows as they go into a frame."""
        return collected(self.type, self.rows, ordered=True)

    @property
    def facts(self) -> dict[str, Any]:
        """What goes into the attributes of the frame."""
        error = self.listener.error
        return {"interrupted": self.interrupted, "ended": None if error is None else error.message}

    @property
    def warnings(self) -> list[str]:
        """What the frame lacks, and why."""
        listener, told = self.listener, []
        if self.interrupted:
            told.append(f"the stream was interrupted: this is what had come until then, {len(self.rows)} rows")
        if listener.error is not None:
            told.append(f"the stream ended early: {listener.error.message}")
        told += [f"the stream of {market} ended early: {error.message}" for market, error in listener.ended.items()]
        lacking = [gap for gap in listener.gaps if gap.outcome == "open" or gap.outcome.startswith("not repaired")]
        for gap in lacking[:MOST_TOLD]:
            since = "the beginning" if gap.since is None else iso(gap.since)
            until = "the end" if not gap.until else iso(gap.until)
            why = "REST has not answered in time" if gap.outcome == "open" else gap.outcome.partition(": ")[2]
            text = f"the frame may lack rows of {gap.market} ({gap.type}) from {since} to {until}: {why} ({gap.reason})"
            call = "trades" if gap.type == "trade" else "candles" if interval_of(gap.type) else None
            told.append(text if call is None else f"{text}; uf.{call} can fetch them")
        if len(lacking) > MOST_TOLD:
            told.append(f"further gaps of the frame, listed in its attrs: {len(lacking) - MOST_TOLD}")
        if listener.dropped and not listener.ring:
            told.append(
                f"{listener.dropped} rows were left out: more came than the buffer holds, or they came too late"
            )
        return told


class _Enough:
    """How many rows are still wanted, row by row: what is not goes back, so no batch decides."""

    def __init__(self, type_: str, end: float, count: float) -> None:
        self.reached = False
        self._candles = interval_of(type_) is not None
        self._end = end
        self._count = count
        self._seen: set[Any] = set()
        self._taken = 0

    def stop(self, at: int) -> None:
        """Nothing that arrives later is wanted."""
        self._end = at

    def of(self, listener: Listener, rows: list[Row]) -> list[Row]:
        """As many of the rows as are wanted."""
        for place, row in enumerate(rows):
            if self.reached or (row.received_at >= self._end and row.stream_type != BACKFILLED):
                self.reached = True
                listener.put_back(rows[place:])
                return rows[:place]
            if self._candles:
                self._seen.add((row.code, row.candle_date_time_utc))
            self._taken += 1
            self.reached = (len(self._seen) if self._candles else self._taken) >= self._count
        return rows
