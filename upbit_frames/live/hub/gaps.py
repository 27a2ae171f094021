"""Gaps: what one disconnect cost one topic, and the bounded log of them (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass

from upbit_frames.core.intervals import Span
from upbit_frames.exchange.wire.messages import Row

__all__ = ["NOTHING_MISSING", "OPEN", "REPAIRED", "SNAPSHOT", "Gap", "GapLog"]

OPEN = "open"
REPAIRED = "repaired"
NOTHING_MISSING = "nothing missing"
SNAPSHOT = "snapshot"
NOT_REPAIRED = "not repaired"
MOST_GAPS = 20_000  # entries of one subscriber, about 200 bytes each


@dataclass(eq=False)
class Gap:
    """One disconnect of one topic.

    Attributes
    ----------
    type, market : str
    start : int or None
        Time of the last row before it, microseconds; None if there was none.
    end : int or None
        Time of the first row after it; None while there is none.
    disconnected_at, reconnected_at : int
        By this machine's clock; 0 while disconnected.
    reason : str
        Why rows are missing.
    span : Span or None
        The range to fetch over REST; None if nothing has to be fetched.
    rows : int
        Fetched rows that had not been received before.
    outcome : str
        ``open``, ``repaired``, ``nothing missing``, ``snapshot`` (the first row after it is the
        full state), or ``not repaired: …``.
    left_out : int
        Received rows that were left out.
    unavailable : str
        Why part of the span cannot be fetched.
    first_row : Row
        The first row after it.
    """

    type: str
    market: str
    start: int | None
    disconnected_at: int
    reason: str
    end: int | None = None
    reconnected_at: int = 0
    span: Span | None = None
    rows: int = 0
    outcome: str = OPEN
    left_out: int = 0
    unavailable: str = ""
    first_row: Row = None

    @property
    def lost(self) -> bool:
        """Whether its rows stay missing."""
        return self.outcome.startswith(NOT_REPAIRED)

    def abandon(self, reason: str) -> None:
        """Record that its rows stay missing, and why."""
        self.outcome = f"{NOT_REPAIRED}: {reason}"


class GapLog(list[Gap]):
    """The gaps of one subscriber, one entry a market; only the newest are kept.

    Attributes
    ----------
    disconnects : int
        All disconnects, including those whose entries are no longer kept.
    """

    disconnects: int = 0

    def append(self, gap: Gap) -> None:
        """Add a gap; the gaps of one disconnect are added one after the other."""
        if not self or self[-1].disconnected_at != gap.disconnected_at:
            self.disconnects += 1
        super().append(gap)
        if len(self) > MOST_GAPS:
            del self[: MOST_GAPS // 2]
