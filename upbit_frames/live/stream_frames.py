"""Rows of a stream as the frames that users hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arguments import number, whole
from upbit_frames.core.intervals import from_micros, iso
from upbit_frames.core.query import View
from upbit_frames.core.route import metadata
from upbit_frames.core.stream_query import StreamQuery
from upbit_frames.core.topics import interval_of, table_of
from upbit_frames.errors import QueryError
from upbit_frames.exchange.wire.message_tables import to_table
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.sequencer import Gap
from upbit_frames.live.hub.subscriber import Listener

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["attrs", "checked", "collected", "framed", "gaps_frame", "stats", "told"]

INDEX = ["time"]
MOST_GAPS = 100  # told in attrs; all of them stand in ``gaps``


def checked(seconds: float | None, count: int | None) -> tuple[float, float]:
    """How long and how many, infinity where it was not said."""
    if seconds is None and count is None:
        raise QueryError(
            "neither seconds nor count was given",
            suggestion="say how long to listen (seconds=10), or for how many rows (count=100)",
        )
    length = math.inf if seconds is None else number("seconds", seconds, 0, above=True, infinite=True)
    return length, math.inf if count is None else whole("count", count, 1)


def collected(type_: str, rows: Sequence[Row], *, ordered: bool) -> list[Row]:
    """Of a candle the last state only; trades and candles in order of time, if ``ordered``.

    Never by when they came, which another run would not repeat.
    """
    kept = list(rows)
    if interval_of(type_):
        kept = list({(row.code, row.candle_date_time_utc): row for row in kept}.values())
        if ordered:
            kept.sort(key=lambda row: (row.candle_date_time_utc, row.code))
    elif type_ == "trade" and ordered:
        kept.sort(key=lambda row: (row.trade_timestamp, row.sequential_id, row.code))
    return kept


def framed(query: StreamQuery, view: View, rows: Sequence[Row], attrs: dict[str, Any]) -> Any:
    """Rows as the kind of frame the user wants; ``time`` is the index in pandas."""
    from upbit_frames.frames import output as frames

    table = to_table(query.type, rows, depth=query.depth)
    attrs["rows"] = len(table)
    return frames.to_output(table, table_of(query.type), view.output, tz=view.tz, index=INDEX, attrs=attrs)


def stats(listener: Listener, hub: Hub | None) -> dict[str, Any]:
    """What a stream can tell about itself, as JSON scalars."""
    return {
        "received": listener.received,
        "dropped": listener.dropped,
        "odd_frames": listener.odd,
        "waiting": len(listener.rows),
        "breaks": listener.gaps.breaks,
        "state": "closed" if listener.over else "new" if hub is None else hub.state,
    }


def attrs(query: StreamQuery, listener: Listener, hub: Hub | None) -> dict[str, Any]:
    """What goes with every frame of a stream: JSON scalars, lists and dicts only."""
    return metadata(
        query.type, None, market=list(query.markets), channel="live", **stats(listener, hub),
        gaps=[
            {"market": gap.market, "since": gap.since and iso(gap.since), "until": gap.until and iso(gap.until),
             "reason": gap.reason, "rows": gap.rows, "outcome": gap.outcome}
            for gap in listener.gaps[-MOST_GAPS:]
        ],
    )  # fmt: skip


def told(query: StreamQuery, listener: Listener, hub: Hub | None) -> str:
    """A stream in a line."""
    facts = stats(listener, hub)
    shown = ", ".join(query.markets[:3])
    if len(query.markets) > 3:
        shown += f" and {len(query.markets) - 3} more"
    state = f"ended: {listener.error.message}" if listener.error else facts["state"]
    rows = f"{facts['received']} rows received, {facts['waiting']} waiting, {facts['dropped']} dropped"
    return f"{query.type} of {shown}: {state}, {rows}, {facts['breaks']} breaks"


def gaps_frame(gaps: Sequence[Gap], tz: str) -> pd.DataFrame:
    """Breaks as a frame."""
    import pandas as pd

    gaps = list(gaps)  # more may come while the frame is made

    def moments(values: list[int | None]) -> pd.DatetimeIndex:
        found: Any = [None if not one else from_micros(one) for one in values]
        return pd.DatetimeIndex(pd.to_datetime(found, utc=True)).as_unit("us").tz_convert(tz)

    return pd.DataFrame(
        {
            "market": pd.Series([one.market for one in gaps], dtype=object).astype(str),
            "kind": pd.Series([one.type for one in gaps], dtype=object).astype(str),
            "since": moments([one.since for one in gaps]),
            "until": moments([one.until for one in gaps]),
            "broken_at": moments([one.broken_at for one in gaps]),
            "restored_at": moments([one.restored_at for one in gaps]),
            "reason": pd.Series([one.reason for one in gaps], dtype=object).astype(str),
            "rows": pd.Series([one.rows for one in gaps], dtype="int64"),
            "outcome": pd.Series([one.outcome for one in gaps], dtype=object).astype(str),
        }
    )
