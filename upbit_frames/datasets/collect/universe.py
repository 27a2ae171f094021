"""Which markets were listed when, by the lists that are kept (pure).

The resolution is the UTC day: a list stands for the day on which it was fetched. Of a day without a list nothing is
claimed: its state is ``"not known"``, even where the lists before and after it agree.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arguments import choice
from upbit_frames.core.availability import DAY
from upbit_frames.core.intervals import EPOCH, iso
from upbit_frames.core.known_changes import REDENOMINATIONS, renamed
from upbit_frames.core.text import counted
from upbit_frames.datasets.collect.market_lists import Kept, Listed, MarketList
from upbit_frames.errors import QueryError
from upbit_frames.router.call_store import CallStore

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from upbit_frames.store.base import Store

__all__ = [
    "LISTED",
    "NOT_KNOWN",
    "NOT_LISTED",
    "FirstCandle",
    "Universe",
    "first_candles",
    "mask",
    "mask_block",
    "summary",
    "to_rows",
]

LISTED, NOT_LISTED, NOT_KNOWN = "listed", "not listed", "not known"
UNKNOWN = ("nan", "keep")
COLUMNS = {
    "market": "str", "state": "str", "korean_name": "object", "english_name": "object", "warning": "boolean",
    "cautions": "object", "before": "boolean", "after": "boolean", "first_seen": "time", "last_seen": "time",
    "first_candle": "time", "beginning_known": "bool", "renamed_to": "object", "renamed_from": "object",
    "redenominated": "object",
}  # fmt: skip


@dataclass(frozen=True)
class FirstCandle:
    """The first candle of a market that is stored.

    Attributes
    ----------
    time : int
        Start of its period, microseconds UTC.
    known : bool
        Whether the store knows that nothing is older.
    """

    time: int
    known: bool


class Universe:
    """The markets listed on each UTC day of which a list is kept.

    Parameters
    ----------
    lists : iterable of MarketList
        At most one of each UTC day.
    """

    def __init__(self, lists: Iterable[MarketList]) -> None:
        self.lists = sorted(lists, key=lambda listing: listing.at)
        self._days = [listing.at // DAY for listing in self.lists]

    @property
    def markets(self) -> list[str]:
        """Every market in any list, sorted."""
        return sorted({code for listing in self.lists for code in listing.markets})

    def on(self, moment: int) -> MarketList | None:
        """Return the list of the UTC day of a moment; None where none is kept."""
        place = bisect_left(self._days, moment // DAY)
        return self.lists[place] if place < len(self._days) and self._days[place] == moment // DAY else None

    def state(self, market: str, moment: int) -> str:
        """Say what is known of a market on the UTC day of a moment."""
        listing = self.on(moment)
        return NOT_KNOWN if listing is None else LISTED if market in listing.markets else NOT_LISTED

    def neighbours(self, moment: int) -> tuple[MarketList | None, MarketList | None]:
        """Return the last list up to the day of a moment, and the first one from that day on."""
        low, high = bisect_right(self._days, moment // DAY), bisect_left(self._days, moment // DAY)
        return (
            self.lists[low - 1] if low else None,
            self.lists[high] if high < len(self.lists) else None,
        )

    def seen(self, market: str) -> tuple[int, int] | None:
        """Return when the first and the last list that has a market were fetched; None if none has it."""
        times = [listing.at for listing in self.lists if market in listing.markets]
        return (times[0], times[-1]) if times else None

    def states(self, days: NDArray[np.int64], markets: Sequence[str]) -> NDArray[np.int8]:
        """Return 1 (listed), 0 (not listed) or -1 (not known) for each day (since 1970) and market."""
        import numpy as np

        unique_days, positions = np.unique(days, return_inverse=True)
        states = np.full((len(unique_days), len(markets)), -1, np.int8)
        for row, day in enumerate(unique_days.tolist()):
            listing = self.on(day * DAY)
            if listing is not None:
                states[row] = [market in listing.markets for market in markets]
        return states[positions]


def first_candles(store: Store, quote: str | None) -> dict[str, FirstCandle]:
    """Look up the first stored candle of each market; reads one file a series.

    Where the store knows the beginning of a market, the finest interval of which it does counts; else the earliest
    candle of any.
    """
    reading = CallStore(store, required=True)
    first_of: dict[str, FirstCandle] = {}
    for series in store.series():  # coarser intervals last
        if series.grid is None or (quote is not None and not series.market.startswith(f"{quote}-")):
            continue
        covered = reading.covered(series)
        first = reading.head_covered(series, covered[0].start, 1).table if covered else None
        if first is None or not len(first):
            continue
        candidate = FirstCandle(first["time"][0].value, covered[0].start <= series.grid.ceil(EPOCH))
        before = first_of.get(series.market)
        if (
            before is None
            or (candidate.known and not before.known)
            or (not before.known and candidate.time < before.time)
        ):
            first_of[series.market] = candidate
    return first_of


def to_rows(
    universe: Universe, kept: Kept, moment: int, quote: str | None, first: Mapping[str, FirstCandle]
) -> list[tuple[Any, ...]]:
    """Build a row a market, sorted, in the order of ``COLUMNS``."""
    now, (before, after) = universe.on(moment), universe.neighbours(moment)
    codes = sorted({*universe.markets, *first})
    former = {change.new: change.old for code in codes if (change := renamed(code)) is not None}
    rows = []
    for code in codes:
        if quote is not None and not code.startswith(f"{quote}-"):
            continue
        listed = Listed() if now is None else now.markets.get(code, Listed())
        is_listed = now is not None and code in now.markets
        seen, candle, rename = universe.seen(code) or (None, None), first.get(code), renamed(code)
        rows.append(
            (
                code, universe.state(code, moment), listed.korean_name, listed.english_name,
                listed.warning if is_listed else None, list(listed.cautions) if is_listed else None,
                None if before is None else code in before.markets, None if after is None else code in after.markets,
                *seen, None if candle is None else candle.time, candle is not None and candle.known,
                None if rename is None else rename.new, former.get(code), _redenominated(kept, code),
            )
        )  # fmt: skip
    return rows


def _redenominated(kept: Kept, market: str) -> str | None:
    """Describe the redenominations of a market that are known or were noticed."""
    texts = [
        f"ratio {change.ratio:g} by {change.noticed} ({change.source})"
        for change in REDENOMINATIONS
        if change.market == market
    ]
    texts += [
        f"prices times {change.factor:.6g} by {iso(change.noticed)[:10]} (noticed by update, {change.interval})"
        for change in kept.rescaled
        if change.market == market
    ]
    return "; ".join(texts) or None


def summary(universe: Universe, kept: Kept, moment: int, rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """Describe what is known of a moment in a few lines."""
    if not universe.lists:
        return ["no list of markets is kept yet; uf.markets() and uf.update() keep today's"]
    days = [listing.at // DAY for listing in universe.lists]
    gaps = days[-1] - days[0] + 1 - len(days)
    lines = [
        f"{counted(len(days), 'list')} from {iso(universe.lists[0].at)[:10]} to {iso(universe.lists[-1].at)[:10]}"
        + (f", {counted(gaps, 'day')} without one" if gaps else "")
        + (f", {len(kept.damaged)} damaged: {', '.join(kept.damaged[:3])}" if kept.damaged else "")
    ]
    number = {name: sum(row[1] == name for row in rows) for name in (LISTED, NOT_LISTED, NOT_KNOWN)}
    listing = universe.on(moment)
    if listing is not None:
        counts = f"{number[LISTED]:,} listed, {number[NOT_LISTED]:,} not"
        return [*lines, f"{iso(moment)[:10]} by the list of {iso(listing.at)}: {counts}"]
    before, after = universe.neighbours(moment)
    around = [f"before {iso(before.at)}"] if before is not None else []
    around += [f"after {iso(after.at)}"] if after is not None else []
    lines.append(
        f"{iso(moment)[:10]} is not known: no list of that day is kept; the nearest are {' and '.join(around)}"
    )
    return lines


def mask_block(
    block: NDArray[np.float64], times: NDArray[np.int64], markets: Sequence[str], universe: Universe
) -> dict[str, int]:
    """Put NaN where a market was not listed, or it is not known; return how many places are which.

    Parameters
    ----------
    block : numpy.ndarray
        Changed in place: a row for each field and market, markets innermost, a place for each of ``times``.
    times : numpy.ndarray
        int64 microseconds UTC.
    markets : sequence of str
    universe : Universe
    """
    states = universe.states(times // DAY, markets)
    for number, row in enumerate(block):
        row[states[:, number % len(markets)] != 1] = float("nan")
    return _count(states)


def _count(states: NDArray[np.int8]) -> dict[str, int]:
    return {name: int((states == value).sum()) for name, value in ((LISTED, 1), (NOT_LISTED, 0), (NOT_KNOWN, -1))}


def mask(frame: pd.DataFrame, universe: Universe, unknown: str = "nan") -> pd.DataFrame:
    """Return a wide frame with NaN where a market was not listed.

    Parameters
    ----------
    frame : pandas.DataFrame
        Index: aware times. Columns: market codes, or a MultiIndex with a level ``market``. Numbers.
    universe : Universe
    unknown : {"nan", "keep"}
        Whether values of days without a list become NaN, too, or stay.

    Returns
    -------
    pandas.DataFrame
        Of the same shape. A row belongs to the UTC day in which its period begins.
        ``attrs["upbit_frames"]["universe"]`` counts the cells: listed, not listed, not known.

    Raises
    ------
    QueryError
        If the index has no time zone, or no level of the columns is called ``market``.
    """
    import numpy as np
    import pandas as pd

    keep = choice("unknown", unknown, UNKNOWN) == "keep"
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
        raise QueryError("the index of the frame must be aware times", suggestion="frames of uf.panel have them")
    if isinstance(frame.columns, pd.MultiIndex) and "market" not in frame.columns.names:
        raise QueryError(
            f"the columns of the frame must have a level 'market', got levels {list(frame.columns.names)}",
            suggestion="frames of uf.panel have it",
        )
    columns = frame.columns
    markets = columns.get_level_values("market") if isinstance(columns, pd.MultiIndex) else columns
    codes, where = np.unique(np.asarray(markets, dtype=object).astype(str), return_inverse=True)
    states = universe.states(frame.index.tz_convert("UTC").as_unit("us").asi8 // DAY, codes.tolist())[:, where]
    masked = frame.where(states != 0 if keep else states == 1)
    counts = _count(states)
    masked.attrs = {**frame.attrs, "upbit_frames": {**frame.attrs.get("upbit_frames", {}), "universe": counts}}
    return masked
