"""Estimates the exchange's time from the frames of one connection (no I/O).

The send time of a realtime frame minus its arrival time is an offset. The estimate is the median of
the newest offsets, so that one frame with a wrong time has no effect, and a changed clock takes
effect after a few frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from upbit_frames.exchange.wire.messages import Row

__all__ = ["AHEAD", "ConnectionClock"]

AHEAD = 60_000_000  # microseconds after the connection's clock from which a time is not credible
WINDOW = 31  # frames
FEW = 4  # frames below which the offset that REST gives counts too


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
            The same by the dates of REST responses, which counts as a frame while there are few.
        """
        votes = self._votes
        if server is not None and len(votes) < FEW:
            votes = tuple(sorted([*votes, server]))
        return votes[(len(votes) - 1) // 2] if votes else self._snapshots
