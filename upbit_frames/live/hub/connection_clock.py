"""What time it is at the exchange, by the frames of one connection (pure).

Each frame that tells of something new says when it was sent; against the time of its arrival this
gives an offset. The median of the newest offsets is believed, so that a frame with a wrong time
changes nothing, and a clock that is set takes effect after a few frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from upbit_frames.exchange.wire.messages import Row

__all__ = ["AHEAD", "ConnectionClock"]

AHEAD = 60_000_000  # microseconds after the connection's clock from which a time is not believed
WINDOW = 31  # frames
FEW = 4


class ConnectionClock:
    """The offset of the exchange's clock against ours, as a connection tells it."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=WINDOW)
        self._snapshots: int | None = None
        self._votes: tuple[int, ...] = ()  # replaced as a whole, as it is read from any thread

    def observe(self, rows: Iterable[Row]) -> None:
        """Learn from the newest rows."""
        for row in rows:
            offset = row.timestamp * 1000 - row.received_at
            if row.stream_type == "REALTIME":
                self._offsets.append(offset)
            elif self._snapshots is None or offset > self._snapshots:
                self._snapshots = offset  # of the last change, which may be long ago
        self._votes = tuple(sorted(self._offsets))

    def offset(self, server: int | None = None) -> int | None:
        """The exchange's clock minus ours in microseconds, or less; None while nothing is known.

        Parameters
        ----------
        server : int, optional
            The same as REST tells it, which counts as one more frame while there are few.
        """
        votes = self._votes
        if server is not None and len(votes) < FEW:
            votes = tuple(sorted([*votes, server]))
        return votes[(len(votes) - 1) // 2] if votes else self._snapshots
