"""Coarser candles from finer ones, and candles from trades, computed exactly (pure)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arguments import choice
from upbit_frames.core.bar_grid import BarGrid, Grid, contains
from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import COMPLETE, arrow_schema
from upbit_frames.errors import InvalidInterval, QueryError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["EDGES", "candles_of_trades", "check_divides", "complete_bars", "filled_bars", "resample"]

_COLUMNS = ("open", "high", "low", "close", "volume", "value")
EDGES = ("drop", "keep", "flag")
_MOST = 2.0**61  # sums below it fit into an int64
_FEW = 8  # rows a bar from which on looking up where bars begin is faster than asking each row for its bar


def resample(table: pa.Table, fine: Grid, coarse: Grid, *, span: Span | None = None, edges: str = "drop") -> pa.Table:
    """Aggregate candles to those of a coarser grid, exactly.

    Parameters
    ----------
    table : pyarrow.Table
        Schema ``candles`` or some of its columns, ``time`` among them, ascending; only real candles, none
        filled in.
    fine : Interval or BarGrid
        Of ``table``.
    coarse : Interval or BarGrid
        What is wanted; each of its boundaries must be one of ``fine``.
    span : Span, optional
        The range in which ``table`` has every candle. Default: from the first candle to the
        end of the last.
    edges : {"drop", "keep", "flag"}
        What becomes of a candle whose period does not lie in ``span`` as a whole: left out; kept
        as if it were complete; or kept and marked in a boolean column ``complete``.

    Returns
    -------
    pyarrow.Table
        The same columns: open of the first, highest high, lowest low, close of the last, sums
        of volume and value. A period without a candle has none. Sums below 2**26 (67,108,864) equal
        those of the decimal numbers to all eight decimals; above, a float64 cannot distinguish neighbouring
        amounts apart, and the last digit may differ.

    Raises
    ------
    InvalidInterval
        If a boundary of the coarser grid is none of the finer one.
    QueryError
        If ``edges`` is none of the three.

    Examples
    --------
    >>> from upbit_frames.core.intervals import INTERVALS
    >>> resample(arrow_schema("candles").empty_table(), INTERVALS["1m"], INTERVALS["5m"]).num_rows
    0
    """
    check_divides(fine, coarse)
    times = _numpy(table["time"].cast("int64"))
    if span is None and len(times):
        span = Span(int(times[0]), fine.shift(int(times[-1]), 1))
    columns = {name: _numpy(table[name]) for name in _COLUMNS if name in table.column_names}
    return _aggregate(times, columns, coarse, span, edges)


def candles_of_trades(table: pa.Table, interval: Grid, *, span: Span | None = None, edges: str = "drop") -> pa.Table:
    """Aggregate trades into candles; like :func:`resample`, whose arguments these are.

    Parameters
    ----------
    table : pyarrow.Table
        Schema ``trades``, ascending by time and, within a moment, by id.
    interval : Interval or BarGrid
    span : Span, optional
        The range in which ``table`` has every trade. Default: from the first trade to the last.
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
    columns = dict(zip(_COLUMNS, (price, price, price, price, volume, value), strict=True))
    return _aggregate(times, columns, interval, span, edges, traded=(price, volume))


def check_divides(fine: Grid, coarse: Grid) -> None:
    """Refuse if bars of ``coarse`` do not consist of whole bars of ``fine``.

    Raises
    ------
    InvalidInterval
    """
    if fine != coarse and not contains(fine, coarse):
        raise InvalidInterval(
            f"candles of {coarse} cannot be aggregated from candles of {fine}",
            suggestion=f"fetch candles of {coarse} itself, or of an interval that has each of its boundaries"
            + (f", or resample with base={fine.base.name!r}" if isinstance(fine, BarGrid) and fine.base.name else ""),
            interval=coarse.name,
        )


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    import numpy as np

    return np.asarray(column)


def _aggregate(
    times: NDArray[np.int64], columns: dict[str, NDArray[np.float64]], grid: Grid, span: Span | None, edges: str,
    *, traded: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> pa.Table:  # fmt: skip
    """Aggregate rows to bars; with ``traded``, prices and volumes, the value is the sum of their products."""
    import numpy as np

    choice("edges", edges, EDGES)
    starts, first = filled_bars(times, grid)
    last = np.concatenate([first[1:], [len(times)]])[: len(first)] - 1
    complete = complete_bars(starts, grid, span)
    how: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
        "open": lambda values: values[first],
        "high": lambda values: _reduced(np.maximum, values, first),
        "low": lambda values: _reduced(np.minimum, values, first),
        "close": lambda values: values[last],
        "volume": lambda values: _summed(values, first),
        "value": lambda values: _summed(values, first) if traded is None else _summed_products(*traded, values, first),
    }
    bars = {name: how[name](values) for name, values in columns.items()}
    if edges == "drop" and not complete.all():
        starts, bars = starts[complete], {name: column[complete] for name, column in bars.items()}
    return _table(starts, bars, complete if edges == "flag" else None)


def filled_bars(times: NDArray[np.int64], grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the start of each bar that holds a row, and its first row."""
    import numpy as np

    if not len(times):
        return times, times
    low, end = grid.floor(int(times[0])), int(times[-1]) + 1
    if grid.slots(low, end) * _FEW < len(times):
        starts = grid.array(low, end)
        first = np.searchsorted(times, starts)
        filled = first < np.append(first[1:], len(times))
        return starts[filled], first[filled]
    bars = grid.floors(times)
    first = np.flatnonzero(np.concatenate([[True], bars[1:] != bars[:-1]]))
    return bars[first], first


def complete_bars(starts: NDArray[np.int64], grid: Grid, span: Span | None) -> NDArray[np.bool_]:
    """Return which bars lie in the span as a whole."""
    low, high = (0, 0) if span is None else (span.start, grid.floor(span.end))
    # A period that starts before the one in which the span ends is over by then.
    complete: NDArray[np.bool_] = (starts >= low) & (starts < high)
    return complete


def _reduced(function: np.ufunc, values: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    return function.reduceat(values, first) if len(first) else values[:0]


def _summed(values: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum amounts exactly, as int64 units of 1e-8 (upbit-api 2.5); what cannot be (NaN) is summed as it is."""
    import numpy as np

    from upbit_frames.core.exact_sums import digits_of, to_floats

    if len(first) == 0 or not (values.min() >= 0 and values.sum() < _MOST):  # also where a value is NaN
        return _reduced(np.add, values, first)
    return to_floats(np.add.reduceat(digits_of(values), first, axis=1))


def _summed_products(
    price: NDArray[np.float64], volume: NDArray[np.float64], value: NDArray[np.float64], first: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sum prices times volumes exactly, as flow and bars by value do; where they cannot be (NaN), the floats."""
    import numpy as np

    from upbit_frames.core.exact_sums import digits_of, product_digits, to_floats

    if len(first) == 0:
        return value[:0]
    try:
        digits = product_digits(digits_of(price, "price"), digits_of(volume))
    except QueryError:
        return _reduced(np.add, value, first)
    return to_floats(np.add.reduceat(digits, first, axis=1))


def _table(starts: NDArray[np.int64], columns: dict[str, NDArray[np.float64]], complete: Any) -> pa.Table:
    import pyarrow as pa

    whole = arrow_schema("candles")
    schema = pa.schema([whole.field(name) for name in ("time", *columns)], metadata=whole.metadata)
    arrays = [pa.array(starts).view(schema.field("time").type), *(pa.array(column) for column in columns.values())]
    if complete is not None:
        schema = schema.append(COMPLETE.field())
        arrays.append(pa.array(complete))
    return pa.Table.from_arrays(arrays, schema=schema)
