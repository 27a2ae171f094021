"""Progress counters of a long call."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass
class Progress:
    """Counters of a call: written on the event loop, read by the thread of the caller.

    Attributes
    ----------
    requests, rows : int
        Sent and received so far.
    expected : int
        Requests in all, as far as they can be estimated.
    hint : str
        What would make the call cheaper; shown beside the bar.
    """

    requests: int = 0
    expected: int = 0
    rows: int = 0
    hint: str = ""
