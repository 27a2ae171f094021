"""Periods without a trade: finding them, and what may stand for them (pure; design section 2).

Upbit has no candle for a period without a trade. The reader of candles decides what that means:
nothing (``"raw"``), a flat candle at the previous close (``"fill"``), or not-a-number (``"nan"``).
The store never sees any of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upbit_frames.core.arguments import choice
from upbit_frames.core.bar_grid import Grid
from upbit_frames.core.intervals import Span, from_micros
from upbit_frames.core.query import GAPS
from upbit_frames.core.schema import FILLED, arrow_schema
from upbit_frames.errors import InvalidRange

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["fill", "missing_ranges"]

_PRICES = ("open", "high", "low", "close")
_AMOUNTS = ("volume", "value")


def missing_ranges(times: NDArray[np.int64], interval: Grid, span: Span | None = None) -> list[Span]:
    """Where the grid has no candle.

    Parameters
    ----------
    times : numpy.ndarray
        Starts of the candles there are: int64 microseconds, ascending, on the grid.
    interval : Interval or BarGrid
    span : Span, optional
        What to look at; by default from the first candle to the end of the last.

    Returns
    -------
    list of Span
        Half-open, ascending, beginning and ending on the grid; never empty ones.
    """
    import numpy as np

    if span is None:
        if not len(times):
            return []
        span = Span(int(times[0]), interval.shift(int(times[-1]), 1))
    low, high = interval.ceil(span.start), interval.ceil(span.end)
    times = times[(times >= low) & (times < high)].astype(np.int64)
    begins = np.concatenate([[low], interval.nexts(times)])  # where the next candle should begin
    ends = np.concatenate([times, [high]])
    holes = np.flatnonzero(begins < ends)
    return [Span(*hole) for hole in zip(begins[holes].tolist(), ends[holes].tolist(), strict=True)]


def fill(table: pa.Table, interval: Grid, span: Span, policy: str, previous_close: float | None = None) -> pa.Table:
    """Candles with what the policy puts where there was no trade.

    Parameters
    ----------
    table : pyarrow.Table
        Schema ``candles`` or some of its columns, with ``"fill"`` the close among them; ascending, every
        time on the interval's grid and inside ``span``.
    interval : Interval or BarGrid
    span : Span
        The range to cover, half-open; every period that starts inside counts.
    policy : {"raw", "fill", "nan"}
        ``"raw"``: the table as it is. ``"fill"``: a flat candle at the previous close with volume
        and value 0, and a boolean column ``filled``. ``"nan"``: NaN in every column.
    previous_close : float, optional
        The close before ``span``. Without it, ``"fill"`` leaves out the periods before the first
        candle, because nothing is known to put there.

    Returns
    -------
    pyarrow.Table
        The columns of ``table``, with ``"fill"`` one more column ``filled``; never a null.

    Raises
    ------
    QueryError
        If there is no such policy.
    InvalidRange
        If a candle lies outside ``span`` or not on the grid.

    Examples
    --------
    >>> from upbit_frames.core.intervals import INTERVALS
    >>> empty = arrow_schema("candles").empty_table()
    >>> fill(empty, INTERVALS["1m"], Span(0, 120_000_000), "fill", previous_close=5.0)["open"].to_pylist()
    [5.0, 5.0]
    """
    import numpy as np

    if choice("gaps", policy, GAPS) == "raw":
        return table
    slots = interval.array(*span)
    times = np.asarray(table["time"].cast("int64"))
    places = np.searchsorted(slots, times)
    _check_places(times, slots, places, interval, span)
    known = np.zeros(len(slots), dtype=bool)
    known[places] = True
    columns = {name: np.asarray(table[name]) for name in table.column_names if name in (*_PRICES, *_AMOUNTS)}
    if policy == "nan":
        return _table(slots, {name: _spread(values, places, len(slots), np.nan) for name, values in columns.items()})
    before = np.cumsum(known) - 1  # which candle is the last one up to each slot; -1: none yet
    first = 0 if previous_close is not None else int(np.searchsorted(before, 0))
    closes = np.concatenate([columns["close"], [np.nan if previous_close is None else previous_close]])
    flat = closes[before]  # -1 takes the last element: the close before the span
    filled = {}
    for name, values in columns.items():
        column = _spread(values, places, len(slots), 0.0)
        filled[name] = (np.where(known, column, flat) if name in _PRICES else column)[first:]
    return _table(slots[first:], filled, ~known[first:])


def _check_places(times: Any, slots: Any, places: Any, interval: Grid, span: Span) -> None:
    import numpy as np

    fine = places < len(slots)
    fine[fine] = slots[places[fine]] == times[fine]
    fine[1:] &= times[1:] > times[:-1]
    if not fine.all():
        bad = from_micros(int(times[np.argmin(fine)]))
        raise InvalidRange(
            f"the candle at {bad:%Y-%m-%dT%H:%M:%SZ} starts no further period of {interval.name} inside {span}",
            suggestion="gaps can be filled in candles of one interval, sorted by time, inside the range",
            interval=interval.name,
        )


def _spread(values: Any, places: Any, count: int, other: float) -> Any:
    import numpy as np

    column = np.full(count, other)
    column[places] = values
    return column


def _table(slots: Any, columns: dict[str, Any], filled: Any = None) -> pa.Table:
    import pyarrow as pa

    schema = arrow_schema("candles", ("time", *columns))
    arrays = [pa.array(slots).view(schema.field("time").type), *(pa.array(values) for values in columns.values())]
    if filled is not None:
        schema = schema.append(FILLED.field())
        arrays.append(pa.array(filled))
    return pa.Table.from_arrays(arrays, schema=schema)
