"""Coarser candles from finer ones, and candles from trades, computed exactly (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.query import choice
from upbit_frames.core.schema import COMPLETE, arrow_schema
from upbit_frames.errors import InvalidInterval

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["EDGES", "candles_of_trades", "check_divides", "resample"]

EDGES = ("drop", "keep", "flag")
_EXACT = 2.0**53 / 1e8  # up to here a float64 can tell apart amounts of eight decimals
_DAY = 86_400


def resample(
    table: pa.Table, base: Interval, interval: Interval, *, span: Span | None = None, edges: str = "drop"
) -> pa.Table:
    """Candles of a coarser interval, as Upbit itself would have made them.

    Parameters
    ----------
    table : pyarrow.Table
        Schema ``candles``, ascending; only real candles, none filled in.
    base : Interval
        The interval of ``table``.
    interval : Interval
        The interval wanted; ``base`` must fit into it a whole number of times.
    span : Span, optional
        The stretch in which ``table`` knows every candle. Default: from the first candle to the
        end of the last.
    edges : {"drop", "keep", "flag"}
        What becomes of a candle whose period does not lie in ``span`` as a whole: left out; kept
        as if it were complete; or kept and told by a boolean column ``complete``.

    Returns
    -------
    pyarrow.Table
        Schema ``candles``: open of the first, highest high, lowest low, close of the last, sums
        of volume and value. A period without a candle has none.

    Raises
    ------
    InvalidInterval
        If the one interval does not divide the other.
    QueryError
        If ``edges`` is none of the three.

    Examples
    --------
    >>> from upbit_frames.core.intervals import INTERVALS
    >>> resample(arrow_schema("candles").empty_table(), INTERVALS["1m"], INTERVALS["5m"]).num_rows
    0
    """
    check_divides(base, interval)
    times = _numpy(table["time"].cast("int64"))
    if span is None and len(times):
        span = Span(int(times[0]), base.shift(int(times[-1]), 1))
    columns = [_numpy(table[name]) for name in ("open", "high", "low", "close", "volume", "value")]
    return _aggregate(times, columns, interval, span, edges)


def candles_of_trades(
    table: pa.Table, interval: Interval, *, span: Span | None = None, edges: str = "drop"
) -> pa.Table:
    """Candles made from trades; like :func:`resample`, whose arguments these are.

    Parameters
    ----------
    table : pyarrow.Table
        Schema ``trades``, ascending by time and, within a moment, by id.
    interval : Interval
    span : Span, optional
        The stretch in which ``table`` knows every trade. Default: from the first trade to the last.
    edges : {"drop", "keep", "flag"}

    Returns
    -------
    pyarrow.Table
        Schema ``candles``.
    """
    times = _numpy(table["time"].cast("int64"))
    if span is None and len(times):
        span = Span(int(times[0]), int(times[-1]) + 1)
    price, volume, value = (_numpy(table[name]) for name in ("price", "volume", "value"))
    return _aggregate(times, [price, price, price, price, volume, value], interval, span, edges)


def check_divides(base: Interval, interval: Interval) -> None:
    """Refuse if periods of ``interval`` are not made of whole periods of ``base``.

    Raises
    ------
    InvalidInterval
    """
    if base == interval:
        return
    if base.seconds is None:
        fits = base.name == "1M" and interval.name == "1y"
    elif interval.seconds is None:
        fits = _DAY % base.seconds == 0
    else:
        fits = interval.seconds % base.seconds == 0
    if not fits:
        raise InvalidInterval(
            f"candles of {interval.name} cannot be made of candles of {base.name}",
            suggestion=f"ask for candles of {interval.name} itself, or of an interval that divides it",
            interval=interval.name,
        )


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    import numpy as np

    return np.asarray(column)


def _aggregate(
    times: NDArray[np.int64], columns: list[NDArray[np.float64]], interval: Interval, span: Span | None, edges: str
) -> pa.Table:
    import numpy as np

    choice("edges", edges, EDGES)
    periods = interval.floors(times)
    first = np.flatnonzero(np.concatenate([[True], periods[1:] != periods[:-1]])) if len(times) else times[:0]
    last = np.concatenate([first[1:], [len(times)]])[: len(first)] - 1
    starts = periods[first]
    complete = _complete(starts, interval, span)
    open_, high, low, close, volume, value = columns
    made = [
        open_[first],
        _reduced(np.maximum, high, first),
        _reduced(np.minimum, low, first),
        close[last],
        _decimals(_summed(volume, first)),
        _decimals(_summed(value, first)),
    ]
    if edges == "drop":
        starts, made = starts[complete], [one[complete] for one in made]
    return _table(starts, made, complete if edges == "flag" else None)


def _complete(starts: NDArray[np.int64], interval: Interval, span: Span | None) -> NDArray[np.bool_]:
    """Which periods lie in the span as a whole."""
    low, high = (0, 0) if span is None else (span.start, interval.floor(span.end))
    # A period that starts before the one in which the span ends is over by then.
    complete: NDArray[np.bool_] = (starts >= low) & (starts < high)
    return complete


def _reduced(function: np.ufunc, values: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    return function.reduceat(values, first) if len(first) else values[:0]


def _summed(values: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums that do not depend on how many candles they are made of.

    Whole parts are added as integers, so only the fractions can round; a plain sum of a day of
    one-minute amounts is off in its last digits.
    """
    import numpy as np

    fractions, wholes = np.modf(values)
    if len(first) == 0 or np.abs(wholes).sum() >= 2.0**62:
        return _reduced(np.add, values, first)
    added = np.add.reduceat(wholes.astype(np.int64), first)
    return np.asarray(added + np.add.reduceat(fractions, first), dtype=np.float64)


def _decimals(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amounts of candles have eight decimals (upbit-api 2.5), so their sums have, too."""
    import numpy as np

    return np.where(np.abs(amounts) < _EXACT, np.round(amounts, 8), amounts)


def _table(starts: NDArray[np.int64], columns: list[NDArray[np.float64]], complete: Any) -> pa.Table:
    import pyarrow as pa

    schema = arrow_schema("candles")
    arrays = [pa.array(starts).view(schema.field("time").type), *(pa.array(one) for one in columns)]
    if complete is not None:
        schema = schema.append(COMPLETE.field())
        arrays.append(pa.array(complete))
    return pa.Table.from_arrays(arrays, schema=schema)
