"""How rows differ from those of a lock: by month, and by row where the earlier ones are known (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from upbit_frames.datasets.digests import Part, parts_of
from upbit_frames.errors import DataChanged

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.datasets.lock_file import LockedCall

__all__ = ["StoredRows", "data_changed"]

NAMED = 5  # months and rows that a message names

StoredRows = Callable[[str, str], "pa.Table | None"]
"""Reads the stored rows of a market and month, None where they are not all stored."""


def data_changed(
    locked: LockedCall, parts: Iterable[Part], table: pa.Table, since: str,
    stored: StoredRows = lambda market, month: None,
) -> DataChanged:  # fmt: skip
    """Describe what differs: months by their digests, rows where the store still has the locked ones.

    Parameters
    ----------
    locked : LockedCall
        What the call returned before.
    parts, table
        What it returns now.
    since : str
        Since when, for the message.
    stored : callable
        Reads the rows that may be those of before.
    """
    before = {(part.market, part.month): part for part in locked.parts}
    after = {(part.market, part.month): part for part in parts}
    differing = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    months = [_month_text(key, before.get(key), after.get(key)) for key in differing]
    rows = [text for key in differing if key in before for text in _differing_rows(key, before[key], table, stored)]
    more = f" and {len(months) - NAMED} more" if len(months) > NAMED else ""
    return DataChanged(
        f"{locked} returns other rows {since}: {'; '.join(months[:NAMED])}{more}"
        + (f"; {'; '.join(rows[:NAMED])}" if rows else ""),
        suggestion="if the change is right (a redenominated market, a corrected candle), mode='all' writes a new lock",
        call=str(locked), months=months, rows=rows,
    )  # fmt: skip


def _month_text(key: tuple[str, str], before: Part | None, after: Part | None) -> str:
    market, month = key
    name = f"{market} {month}".strip()
    if before is None:
        return f"{name} has {after.rows if after else 0:,} rows, the lock none"
    if after is None:
        return f"{name} has no rows, the lock {before.rows:,}"
    if before.rows != after.rows:
        return f"{name} has {after.rows:,} rows, the lock {before.rows:,}"
    return f"{name} has other values in its {after.rows:,} rows"


def _differing_rows(key: tuple[str, str], before: Part, table: pa.Table, stored: StoredRows) -> list[str]:
    market, month = key
    old = stored(market, month)
    if old is None or before not in parts_of(old, market):
        return []
    import pyarrow.compute as pc

    new = table
    if "market" in new.column_names:
        new = new.filter(pc.equal(new["market"].cast("string"), market)).drop_columns(["market"])
    earlier, later = (_by_time(rows, month) for rows in (old, new))
    texts = []
    for time in sorted(earlier.keys() | later.keys()):
        if earlier.get(time) != later.get(time):
            texts.append(f"{time}: {_row_text(earlier.get(time))} → {_row_text(later.get(time))}")
    return texts[: 10 * NAMED]


def _by_time(table: pa.Table, month: str) -> dict[str, dict[str, Any]]:
    rows: Iterable[dict[str, Any]] = table.to_pylist()
    return {
        row["time"].isoformat().replace("+00:00", "Z"): {name: value for name, value in row.items() if name != "time"}
        for row in rows
        if f"{row['time']:%Y-%m}" == month
    }


def _row_text(row: Mapping[str, Any] | None) -> str:
    return "no row" if row is None else ", ".join(f"{name} {value}" for name, value in row.items())
