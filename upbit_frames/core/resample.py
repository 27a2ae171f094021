"""Coarser candles from finer ones, and candles from trades, computed exactly (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upbit_frames.core.arguments import choice
from upbit_frames.core.intervals import Interval, Span
from upbit_frames.core.schema import COMPLETE, arrow_schema
from upbit_frames.errors import InvalidInterval

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["EDGES", "candles_of_trades", "check_divides", "resample"]

EDGES = ("drop", "keep", "flag")
UNIT = 10**8  # amounts of candles have eight decimals
_EXACT = 2**53 // UNIT  # whole numbers below which an amount in units is exact in a float64
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
        of volume and value. A period without a candle has none. Sums below 2**26 (67,108,864) equal
        those of the decimal numbers to all eight decimals; above, a float64 cannot tell neighbouring
        amounts apart, and the last digit may differ.

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
    return _aggregate(times, [price, price, price, price, volume, value], interval, span, edges, products=True)


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
    times: NDArray[np.int64], columns: list[NDArray[np.float64]], interval: Interval, span: Span | None, edges: str,
    *, products: bool = False,
) -> pa.Table:  # fmt: skip
    import numpy as np

    choice("edges", edges, EDGES)
    periods = interval.floors(times)
    first = np.flatnonzero(np.concatenate([[True], periods[1:] != periods[:-1]])) if len(times) else times[:0]
    last = np.concatenate([first[1:], [len(times)]])[: len(first)] - 1
    starts = periods[first]
    complete = _complete(starts, interval, span)
    open_, high, low, close, volume, value = columns
    combined = [
        open_[first],
        _reduced(np.maximum, high, first),
        _reduced(np.minimum, low, first),
        close[last],
        _summed(volume, first),
        _summed(value, first, products=products),
    ]
    if edges == "drop":
        starts, combined = starts[complete], [column[complete] for column in combined]
    return _table(starts, combined, complete if edges == "flag" else None)


def _complete(starts: NDArray[np.int64], interval: Interval, span: Span | None) -> NDArray[np.bool_]:
    """Which periods lie in the span as a whole."""
    low, high = (0, 0) if span is None else (span.start, interval.floor(span.end))
    # A period that starts before the one in which the span ends is over by then.
    complete: NDArray[np.bool_] = (starts >= low) & (starts < high)
    return complete


def _reduced(function: np.ufunc, values: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    return function.reduceat(values, first) if len(first) else values[:0]


def _summed(values: NDArray[np.float64], first: NDArray[np.int64], *, products: bool = False) -> NDArray[np.float64]:
    """Sum amounts exactly, as int64 units of 1e-8 (upbit-api 2.5).

    Whole parts and fractions are summed apart, so that neither is bounded by the other. With ``products``
    the amounts are prices times volumes, which have up to 16 decimals: what is below a unit is summed, too,
    and only the sum is rounded.
    """
    import numpy as np

    fractions, wholes = np.modf(values)
    if len(first) == 0 or not np.abs(wholes).sum() < 2.0**62:  # also where a value is NaN
        return _reduced(np.add, values, first)
    scaled = fractions * UNIT
    units = np.rint(scaled)
    sums = np.add.reduceat(units.astype(np.int64), first)
    if products:
        sums += np.rint(np.add.reduceat(scaled - units, first)).astype(np.int64)
    carry, sums = np.divmod(sums, UNIT)
    total = np.add.reduceat(wholes.astype(np.int64), first) + carry
    # Both sides of the division are exact there, so the quotient is the float64 nearest to the decimal number.
    exact = np.abs(total) < _EXACT
    return np.where(exact, (np.where(exact, total, 0) * UNIT + sums) / UNIT, total + sums / UNIT)


def _table(starts: NDArray[np.int64], columns: list[NDArray[np.float64]], complete: Any) -> pa.Table:
    import pyarrow as pa

    schema = arrow_schema("candles")
    arrays = [pa.array(starts).view(schema.field("time").type), *(pa.array(one) for one in columns)]
    if complete is not None:
        schema = schema.append(COMPLETE.field())
        arrays.append(pa.array(complete))
    return pa.Table.from_arrays(arrays, schema=schema)
