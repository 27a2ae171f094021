"""A lock held against the local store, without making its calls again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from upbit_frames.core.intervals import INTERVALS, Span, iso, subtract, to_micros
from upbit_frames.datasets.digests import parts_of
from upbit_frames.datasets.lock_file import Lock, LockedCall
from upbit_frames.errors import DataChanged, NotCached, UsageError
from upbit_frames.store.base import Series

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.store.base import Store

__all__ = ["stored_ranges"]

CHECKED = ("candles", "trades")  # calls whose rows are those of the store


def stored_ranges(lock: Lock, store: Store) -> Iterator[tuple[Series, Span]]:
    """Yield what each call of a lock reads of the store, after its rows were held against the lock.

    Raises
    ------
    NotCached
        If something of it is not stored.
    DataChanged
        If the store holds other rows.
    UsageError
        For a call whose rows are computed of what it reads in a way that only the call knows.
    """
    for call in lock.calls.values():
        native = call.request.get("interval", "1m") in INTERVALS and "base" not in call.request
        if call.name not in CHECKED or not native:
            raise UsageError(
                f"{call} cannot be packed: its rows are computed of others",
                suggestion="pin the candles of Upbit's own intervals or the trades that it is computed of instead",
            )
        for market in _markets(call):
            yield _stored(call, market, store)


def _markets(call: LockedCall) -> list[str]:
    named = call.request.get("market") or []
    named = [named] if isinstance(named, str) else [market for market in named if market.isascii()]
    return list(dict.fromkeys([*named, *(part.market for part in call.parts)]))


def _stored(call: LockedCall, market: str, store: Store) -> tuple[Series, Span]:
    """Read what one market's part of a call reads, and compare its digests with those of the lock."""
    interval = call.request.get("interval")
    series = Series(call.name, market, interval)
    start = _moment(call.request.get("start"), interval)
    end = _moment(call.request.get("end", call.end), interval)
    count = int(call.request.get("count", 0))
    if start is not None and end is not None:
        span = Span(start, end)
        rows, covered = store.read_covered(series, span)
        missing = subtract([span], covered)
    elif end is not None:
        rows, covered = store.tail_covered(series, end, count)
        span = Span(rows["time"][0].value if len(rows) else end, end)
        missing = [] if covered else [span]
    else:
        assert start is not None, f"{call} has neither a start nor an end"
        rows, covered = store.head_covered(series, start, count)
        span = Span(start, rows["time"][-1].value + 1 if len(rows) else start + 1)
        missing = [] if covered else [span]
    if missing:
        raise NotCached(
            f"the store lacks {series} from {iso(missing[0].start)} to {iso(missing[0].end)}, which the lock needs",
            suggestion="run the study again in uf.pinned, which stores what it reads",
            missing=[f"{series} {iso(part.start)} → {iso(part.end)}" for part in missing],
        )
    _compare(call, market, rows)
    return series, span


def _moment(text: str | None, interval: str | None) -> int | None:
    if text is None:
        return None
    moment = to_micros(datetime.fromisoformat(text))
    return moment if interval is None else INTERVALS[interval].ceil(moment)


def _compare(call: LockedCall, market: str, rows: pa.Table) -> None:
    columns = call.request.get("columns")
    if columns is not None:
        rows = rows.select(["time", *columns])
    if call.request.get("gaps", "raw") != "raw":
        return  # filled rows are not stored; the reviewer's run compares them
    locked = tuple(part for part in call.parts if part.market == market)
    if tuple(parts_of(rows, market)) != locked:
        raise DataChanged(
            f"the store holds other rows of {market} than {call} returned when the lock was written",
            suggestion="run the study with mode='all' if the change is right",
            call=str(call), months=[part.month for part in locked],
        )  # fmt: skip
