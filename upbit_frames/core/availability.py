"""What may be believed about which candles and trades exist, from whom, and when (pure).

An answer of the exchange can be wrong once: an empty page in a bad second, a page that ends too
early, a ``Date`` from a gateway with a wrong clock. The store keeps what it learns for ever. So
everything kept needs two independent signs, and a single odd answer leaves nothing that lasts.

**What time it is at the exchange** (:class:`upbit_frames.runtime.clock.ServerTime`). The signs are the
``Date`` of each answer and this machine's clock. Two answers that agree within ``AGREEMENT`` settle
it, or one answer with which the machine's clock agrees. Until then the earliest of them counts,
so nothing is taken for over too soon. Once it is settled, an answer that disagrees is ignored;
three in a row on the same side, with none that agrees between them, move it, to the earliest
of the three. The machine's clock alone decides nothing about recent moments: a call that needs
the present requests the exchange's time first, once a process. Where answers
carry no ``Date``, the time of the newest trade stands in for it, which is never later than the truth.

**When a candle is final** (:func:`sealed_until`). ``SEAL_GRACE`` after its period has ended, both by the
settled time and by the ``Date`` of the very answer that brought it. The second one refuses what a
proxy kept for a while.

**When a range is known to be empty.** Inside history: between two rows of one page, or above the newest
row of a page up to where the page was requested from, as far as that is final. Before history: nothing is older than
the first row if two pages with rows agree on that row, and the market's first month candle
(or first day candle) agrees too, which is kept once it has; nothing is older than a moment without any row
if the first month or day begins after it (:func:`nothing_before`). An empty page
proves nothing by itself, however often it comes; where no sign confirms it, it serves the call and is not stored.
Trades: a page that begins with the trade from which an overlapping page began, or else no candle in the minutes
of the range (:func:`quiet_from`).

**When a range has expired.** ``SECONDS_KEPT`` for second candles and ``TRADE_DAYS`` UTC days for trades before the
settled time; what has expired is never stored as empty.

Archive files carry a digest of their own; one without any row, and a listing without any file, are believed for
nothing but the question where to fetch from.
"""

from __future__ import annotations

from collections.abc import Sequence

from upbit_frames.core.bar_grid import Grid
from upbit_frames.core.intervals import Interval, Span, intersect, subtract
from upbit_frames.runtime.clock import AGREEMENT

__all__ = [
    "AGREEMENT",
    "DAY",
    "SEAL_GRACE",
    "SECONDS_KEPT",
    "TRADE_DAYS",
    "expires",
    "nothing_before",
    "quiet_from",
    "rest_horizon",
    "sealed_until",
    "split_expired",
]

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND

SEAL_GRACE = 5 * SECOND
"""How long after its end a candle is taken as final. Storage times of up to 3.8 s past the end
have been captured (upbit-api section 4)."""

SECONDS_KEPT = 93 * DAY
"""Upbit serves second candles of the last three months only (upbit-api 4.7); the longest three
months have 92 days, and one day more makes sure that nothing available is left unasked."""

SHORTEST_MONTHS = 89 * DAY
"""The shortest three months: what is younger is surely still served."""

TRADE_DAYS = 7
"""Upbit serves trades of today and of so many UTC days before (upbit-api 3.3)."""


def sealed_until(interval: Grid, now: int) -> int:
    """Return the end of the last period that can no longer change, by the server's ``now``."""
    return interval.floor(now - SEAL_GRACE)


def rest_horizon(interval: Interval, now: int) -> int:
    """Return the moment before which REST has no candles of the interval, whatever was traded."""
    return interval.floor(now - SECONDS_KEPT) if interval.name == "1s" else 0


def expires(interval: Interval | None, moment: int) -> int | None:
    """Return when Upbit may stop to serve the row of a moment; None where it serves it as long as the market lives.

    Parameters
    ----------
    interval : Interval or None
        Of candles; None for trades.
    moment : int
        Microseconds UTC.

    Examples
    --------
    >>> from upbit_frames.core.intervals import INTERVALS
    >>> expires(None, 3 * DAY + 5) == 11 * DAY  # at midnight after seven more whole days
    True
    >>> expires(INTERVALS["1m"], 0) is None
    True
    """
    if interval is None:
        return moment - moment % DAY + (TRADE_DAYS + 1) * DAY
    return moment + SHORTEST_MONTHS if interval.name == "1s" else None


def split_expired(interval: Interval, missing: Sequence[Span], now: int) -> tuple[list[Span], list[Span]]:
    """Split the missing ranges into what REST cannot have any more, and what it can."""
    old = Span(0, rest_horizon(interval, now))
    return intersect(missing, [old]), subtract(missing, [old])


def nothing_before(interval: Interval, claim: int, *, row: bool, first: Span) -> bool | None:
    """Judge the claim that a market has no candle of the interval before a moment.

    Parameters
    ----------
    interval : Interval
    claim : int
        The moment.
    row : bool
        Whether a candle begins there (the claim is that it is the first), or whether a page
        before the moment was empty.
    first : Span
        The market's first month or day with a candle, which was fetched independently: the first trade lies in it.

    Returns
    -------
    bool or None
        Whether the claim agrees; None where the first period is too long to decide.

    Examples
    --------
    >>> from upbit_frames.core.intervals import INTERVALS
    >>> january = Span(0, 31 * DAY)
    >>> nothing_before(INTERVALS["1m"], 5 * DAY, row=True, first=january)
    True
    >>> nothing_before(INTERVALS["1m"], 40 * DAY, row=False, first=january)
    False
    """
    low, high = interval.floor(first.start), interval.floor(first.end - 1)
    if row:
        return low <= claim <= high
    if claim <= low:
        return True
    return None if claim <= high else False


def quiet_from(newest_minute: int | None) -> int:
    """Return the moment from which on no trade can have happened before the end of a range.

    Parameters
    ----------
    newest_minute : int or None
        Start of the newest minute candle before that end; None where the market's first day comes after it.
    """
    return 0 if newest_minute is None else newest_minute + MINUTE
