"""Which ranges to give up when space is wanted back (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from upbit_frames.core.intervals import Span
from upbit_frames.errors import StoreError
from upbit_frames.store.base import Series

__all__ = ["Piece", "select"]

DAY = 86_400 * 1_000_000
SERVED_DAYS = {"1s": 90, None: 7}
"""How long REST serves what it does not serve for ever: second candles, and trades (no interval).
Whatever is older can never be fetched again (upbit-api 4.7 and 3.3)."""


@dataclass(frozen=True)
class Piece:
    """One range that can be given up as a whole."""

    series: Series
    span: Span
    rows: int
    bytes: int


def irreplaceable(piece: Piece, now: int) -> bool:
    """Whether some of its rows could not be obtained from REST again."""
    days = SERVED_DAYS.get(piece.series.interval)
    return days is not None and piece.rows > 0 and piece.span.start < now - days * DAY


def select(
    pieces: Sequence[Piece],
    used: Mapping[Series, int],
    now: int,
    *,
    max_bytes: int | None = None,
    before: int | None = None,
    unused_days: float | None = None,
    keep: Iterable[Series] = (),
    force: bool = False,
) -> list[Piece]:
    """The pieces to remove, in the order in which they should go.

    Parameters
    ----------
    pieces : sequence of Piece
        Everything there is.
    used : mapping of Series to int
        When a series was last read or written, microseconds UTC.
    now : int
        Microseconds UTC.

    Raises
    ------
    StoreError
        If no limit is given at all, or one makes no sense.
    """
    if max_bytes is None and before is None and unused_days is None:
        raise StoreError("prune() was not told what to remove", suggestion="give max_bytes, before or unused_days")
    for name, value in (("max_bytes", max_bytes), ("before", before), ("unused_days", unused_days)):
        if value is not None and value < 0:
            raise StoreError(f"{name}={value} makes no sense", suggestion="give a number of 0 or more")
    kept = set(keep)
    # Ranges without rows are knowledge that costs next to nothing, so they stay.
    loose = [
        piece
        for piece in pieces
        if piece.rows and piece.series not in kept and (force or not irreplaceable(piece, now))
    ]
    loose.sort(key=lambda piece: (used.get(piece.series, 0), str(piece.series), piece.span))
    chosen = [
        piece
        for piece in loose
        if (before is not None and piece.span.end <= before)
        or (unused_days is not None and used.get(piece.series, 0) < now - unused_days * DAY)
    ]
    if max_bytes is None:
        return chosen
    gone = set(chosen)
    left = sum(piece.bytes for piece in pieces if piece not in gone)
    for piece in loose:
        if left <= max_bytes:
            break
        if piece not in gone:
            chosen.append(piece)
            left -= piece.bytes
    return chosen
