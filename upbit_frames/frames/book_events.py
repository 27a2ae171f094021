"""Snapshots of order books to increments, in the format of hftbacktest (pure)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["EVENT", "events"]

EVENT = np.dtype(
    [("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"), ("order_id", "u8"),
     ("ival", "i8"), ("fval", "f8")],
    align=True,
)  # fmt: skip
"""One event; times in nanoseconds."""

DEPTH, CLEAR, SNAPSHOT = 1, 3, 4
BOTH = 1 << 31 | 1 << 30  # processed by the exchange at its time, and locally at the local time
BUY, SELL = 1 << 29, 1 << 28

Side: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Prices and sizes, each of shape (levels, rows)."""


def events(
    exchange: NDArray[np.int64], local: NDArray[np.int64], ask: Side, bid: Side, known: NDArray[np.bool_],
    breaks: NDArray[np.int64],
) -> NDArray[np.void]:  # fmt: skip
    """Return the events that lead from each book to the next.

    Parameters
    ----------
    exchange, local : array of int
        When each book changed, and when it arrived, microseconds.
    ask, bid : Side
        NaN where a side is shorter.
    known : array of bool
        Rows that are not known are left out, and so is the change across them.
    breaks : array of int
        Starts of ranges that were not recorded. The first book, and the first after such a range, begin with the whole
        book; the book before it is cleared.

    Returns
    -------
    array of EVENT
        Neither clock runs backwards. Where a book arrived before it changed, by clocks that differ, all local times are
        moved by the largest such difference. A price that leaves the recorded levels has quantity 0: of it nothing
        more is known.
    """
    rows = np.flatnonzero(known)
    exch = np.maximum.accumulate(exchange[rows]) if len(rows) else rows
    arrived = local[rows]
    if len(rows):
        arrived = np.maximum.accumulate(arrived + max(0, int((exch - arrived).max())))
    lost = np.searchsorted(breaks, exchange[rows], side="right")
    gone = np.cumsum(~known)[rows]
    books: list[dict[float, float]] = [{}, {}]
    events: list[tuple[int, int, int, float, float]] = []
    for at, row in enumerate(rows):
        whole = at == 0 or lost[at] != lost[at - 1] or gone[at] != gone[at - 1]
        stamp = int(exch[at]) * 1000, int(arrived[at]) * 1000
        for which, ((price, size), flag, last) in enumerate(((bid, BUY, min), (ask, SELL, max))):
            levels = {p: q for p, q in zip(price[:, row].tolist(), size[:, row].tolist(), strict=True) if p == p}
            before = books[which]
            if whole and before:
                events.append((CLEAR | BOTH | flag, *stamp, last(before), 0.0))
                before = {}
            kind = (SNAPSHOT if whole else DEPTH) | BOTH | flag
            if levels != before:
                events += [(kind, *stamp, p, 0.0) for p in before if p not in levels]
                events += [(kind, *stamp, p, q) for p, q in levels.items() if before.get(p) != q]
            books[which] = levels
    data = np.zeros(len(events), dtype=EVENT)
    for name, values in zip(("ev", "exch_ts", "local_ts", "px", "qty"), zip(*events, strict=True), strict=False):
        data[name] = values
    return data
