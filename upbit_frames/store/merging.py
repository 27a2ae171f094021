"""When small files become larger ones (pure).

Pages are written as they arrive, and each is a file at first. Files of about the same size that
touch are merged once there are enough of them, so that every row is rewritten only a few times
on its way to the resting file of its segment, and never many files lie side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["FAN_IN", "MAX_FILES", "neighbours_to_merge", "tier"]

FAN_IN = 8
UNIT = 8_192  # bytes; a page of 200 candles is a little smaller
MAX_FILES = 32
TIERS = 12


def tier(size: int) -> int:
    """Return the class of a file's size; each holds files eight times as large as the class below.

    Examples
    --------
    >>> [tier(size) for size in (0, 8_192, 8_193, 70_000)]
    [0, 0, 1, 2]
    """
    level = 0
    while size > UNIT * FAN_IN**level:
        level += 1
    return level


def neighbours_to_merge(before: Sequence[int], after: Sequence[int], size: int) -> tuple[int, int]:
    """Return how many of the files adjacent to a new file should be merged with it.

    Parameters
    ----------
    before, after : sequence of int
        Sizes of the files that lie before and after it without a gap, in order of time.
    size : int
        Size of the new file.

    Returns
    -------
    tuple of int
        How many before it and how many after it, nearest first.
    """
    if len(before) + len(after) >= MAX_FILES:
        return len(before), len(after)
    left = right = 0
    for level in range(TIERS):
        low, high = left, right
        while low < len(before) and tier(before[-1 - low]) <= level:
            low += 1
        while high < len(after) and tier(after[high]) <= level:
            high += 1
        joining = [*before[len(before) - low : len(before) - left], *after[right:high]]
        alike = sum(tier(other) == level for other in joining) + (tier(size) == level)
        if alike >= FAN_IN:
            left, right, size = low, high, size + sum(joining)
    return left, right
