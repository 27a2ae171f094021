"""Estimates the exchange's time from the frames of one connection (no I/O).

The send time of a realtime frame minus its arrival time is an offset. The estimate is the median of
the newest offsets, so that one frame with a wrong time has no effect, and a changed clock takes
effect after a few frames.

The first frames of a connection have nothing to be compared with, so no frame alone is evidence of a
time far ahead: another sign must agree, as in :class:`upbit_frames.runtime.clock.ServerTime`. The signs
are the other frames of the connection, the offset that REST gives, and while REST has given none, this
machine's clock. Where they disagree, the earlier one counts: a row far ahead of it waits for a second
row, which costs a moment, while a wrong time would end a gap, or begin the next one, far after the missing
rows. Frames of an earlier connection do not count here, as a clock may have been corrected since; a
sequencer accepts a row that continues the time of its own newest row, which is a second sign too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from upbit_frames.exchange.wire.messages import Row

__all__ = ["AHEAD", "ConnectionClock"]

AHEAD = 60_000_000  # microseconds after the connection's clock from which a time is not credible
WINDOW = 31  # frames
FEW = 4  # frames below which another sign counts too


class ConnectionClock:
    """The offset of the exchange's clock against ours, by the frames of a connection."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=WINDOW)
        self._snapshots: int | None = None
        self._votes: tuple[int, ...] = ()  # replaced as a whole, as it is read from any thread

    def observe(self, rows: Iterable[Row]) -> None:
        """Add the offsets of new rows."""
        for row in rows:
            offset = row.timestamp * 1000 - row.received_at
            if row.stream_type == "REALTIME":
                self._offsets.append(offset)
            elif self._snapshots is None or offset > self._snapshots:
                self._snapshots = offset  # of the last change, which may be long ago
        self._votes = tuple(sorted(self._offsets))

    def offset(self, server: int | None = None) -> int | None:
        """Return the exchange's clock minus ours in microseconds, or less; None while unknown.

        Parameters
        ----------
        server : int, optional
            The same by the dates of REST responses, which counts as a frame while there are few. Without it
            this machine's clock does, if a frame is far ahead of it.
        """
        votes = self._votes
        if not votes and self._snapshots is not None and server is None:
            return self._snapshots if self._snapshots <= AHEAD else 0
        if len(votes) < FEW:
            if server is not None:
                votes = tuple(sorted([*votes, server]))
            elif votes and votes[-1] > AHEAD:
                votes = tuple(sorted([*votes, 0]))
        return votes[(len(votes) - 1) // 2] if votes else None
