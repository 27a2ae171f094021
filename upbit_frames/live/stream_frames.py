"""Builds frames, attributes and statistics of a stream from its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arguments import number, whole
from upbit_frames.core.intervals import from_micros, iso
from upbit_frames.core.query import View
from upbit_frames.core.route import metadata
from upbit_frames.core.stream_query import StreamQuery
from upbit_frames.core.text import counted
from upbit_frames.core.topics import interval_of, table_of
from upbit_frames.errors import QueryError
from upbit_frames.exchange.wire.message_tables import to_table
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.gaps import Gap
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Subscriber

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["attrs", "checked", "collected", "framed", "gaps_frame", "stats", "summary"]

INDEX = ["time"]
MOST_GAPS = 100  # listed in attrs; ``gaps`` has all of them


def checked(seconds: float | None, count: int | None) -> tuple[float, float]:
    """Return validated ``seconds`` and ``count``, infinity for None."""
    if seconds is None and count is None:
        raise QueryError(
            "neither seconds nor count was given",
            suggestion="give how long to listen (seconds=10), or for how many rows (count=100)",
        )
    length = math.inf if seconds is None else number("seconds", seconds, 0, above=True, infinite=True)
    return length, math.inf if count is None else whole("count", count, 1)


def collected(type_: str, rows: Sequence[Row], *, ordered: bool) -> list[Row]:
    """Return the rows of a frame: of each candle the last state; trades and candles by time, if ``ordered``.

    The order never depends on arrival, so that it is reproducible.
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
    """Return rows in the output format of a view; ``time`` is the index in pandas."""
    from upbit_frames.frames import output as frames

    table = to_table(query.type, rows, depth=query.depth)
    attrs["rows"] = len(table)
    return frames.to_output(table, table_of(query.type), view.output, tz=view.tz, index=INDEX, attrs=attrs)


def stats(subscriber: Subscriber, hub: Hub | None) -> dict[str, Any]:
    """Return the counts and the state of a stream, as JSON scalars."""
    return {
        "received": subscriber.received,
        "dropped": subscriber.dropped,
        "odd_frames": subscriber.invalid_frames,
        "waiting": len(subscriber.rows),
        "breaks": subscriber.gaps.disconnects,
        "state": "closed" if subscriber.closed else "new" if hub is None else hub.state,
    }


def attrs(query: StreamQuery, subscriber: Subscriber, hub: Hub | None) -> dict[str, Any]:
    """Return the attributes of every frame of a stream: JSON scalars, lists and dicts only."""
    return metadata(
        query.type, None, market=list(query.markets), channel="live", **stats(subscriber, hub),
        gaps=[
            {"market": gap.market, "since": gap.start and iso(gap.start), "until": gap.end and iso(gap.end),
             "reason": gap.reason, "rows": gap.rows, "outcome": gap.outcome}
            for gap in subscriber.gaps[-MOST_GAPS:]
        ],
    )  # fmt: skip


def summary(query: StreamQuery, subscriber: Subscriber, hub: Hub | None) -> str:
    """Describe a stream in a line."""
    counts = stats(subscriber, hub)
    markets = query.selection.title
    state = f"ended: {subscriber.error.message}" if subscriber.error else counts["state"]
    rows = f"{counted(counts['received'], 'row')} received, {counts['waiting']} waiting, {counts['dropped']} dropped"
    return f"{query.type} of {markets}: {state}, {rows}, {counted(counts['breaks'], 'break')}"


def gaps_frame(gaps: Sequence[Gap], tz: str) -> pd.DataFrame:
    """Return gaps as a frame, one row each; times in zone ``tz``."""
    import pandas as pd

    gaps = list(gaps)  # another thread may append meanwhile

    def moments(values: list[int | None]) -> pd.DatetimeIndex:
        times: Any = [from_micros(value) if value else None for value in values]
        return pd.DatetimeIndex(pd.to_datetime(times, utc=True)).as_unit("us").tz_convert(tz)

    return pd.DataFrame(
        {
            "market": pd.Series([gap.market for gap in gaps], dtype=object).astype(str),
            "kind": pd.Series([gap.type for gap in gaps], dtype=object).astype(str),
            "since": moments([gap.start for gap in gaps]),
            "until": moments([gap.end for gap in gaps]),
            "broken_at": moments([gap.disconnected_at for gap in gaps]),
            "restored_at": moments([gap.reconnected_at for gap in gaps]),
            "reason": pd.Series([gap.reason for gap in gaps], dtype=object).astype(str),
            "rows": pd.Series([gap.rows for gap in gaps], dtype="int64"),
            "outcome": pd.Series([gap.outcome for gap in gaps], dtype=object).astype(str),
        }
    )
