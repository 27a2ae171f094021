"""Which ranges to remove to free space (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from upbit_frames.core.intervals import Span
from upbit_frames.errors import StoreError
from upbit_frames.store.base import Series

__all__ = ["Piece", "select"]

DAY = 86_400 * 1_000_000
SERVED_DAYS = {"1s": 90, "trades": 7, "orderbook": 0}
"""How long REST serves what it does not serve for ever: second candles, trades, and order books, which it never
serves again. Older data can never be fetched again (upbit-api 4.7 and 3.3)."""


@dataclass(frozen=True)
class Piece:
    """A range that can only be removed as a whole."""

    series: Series
    span: Span
    rows: int
    bytes: int


def irreplaceable(piece: Piece, now: int) -> bool:
    """Return whether some of its rows can no longer be fetched over REST."""
    days = SERVED_DAYS.get(piece.series.interval or piece.series.kind)
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
    """Choose the pieces to remove, in the order of removal.

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
        If no limit is given at all, or a limit is negative.
    """
    if max_bytes is None and before is None and unused_days is None:
        raise StoreError(
            "prune() needs a limit: max_bytes, before or unused_days", suggestion="give at least one of them"
        )
    for name, value in (("max_bytes", max_bytes), ("before", before), ("unused_days", unused_days)):
        if value is not None and value < 0:
            raise StoreError(f"{name} must be a number of 0 or more, got {value}", suggestion="give such a number")
    kept = set(keep)
    # Ranges without rows take almost no space, so they stay.
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
    removed = set(chosen)
    left = sum(piece.bytes for piece in pieces if piece not in removed)
    for piece in loose:
        if left <= max_bytes:
            break
        if piece not in removed:
            chosen.append(piece)
            left -= piece.bytes
    return chosen
