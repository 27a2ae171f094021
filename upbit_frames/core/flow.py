"""Who traded in each period: volumes and values of buyers and sellers, exact sums of trades (pure)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from upbit_frames.core.arguments import choice
from upbit_frames.core.arrow import times_of
from upbit_frames.core.event_bars import bought_column, float_column
from upbit_frames.core.exact_sums import carried, digits_of, product_digits, to_floats
from upbit_frames.core.intervals import Span
from upbit_frames.core.resample import EDGES, complete_bars, filled_bars
from upbit_frames.core.schema import COMPLETE, arrow_schema

if TYPE_CHECKING:
    from upbit_frames.core.bar_grid import Grid

__all__ = ["flow_of_trades"]


def flow_of_trades(trades: pa.Table, grid: Grid, *, span: Span | None = None, edges: str = "drop") -> pa.Table:
    """Aggregate trades by period and by the taker's side.

    Parameters
    ----------
    trades : pyarrow.Table
        Columns time, price, volume, and side or ``bought``; ascending in time.
    grid : Interval or BarGrid
    span : Span, optional
        The range in which ``trades`` has every trade. Default: from the first to the last.
    edges : {"drop", "keep", "flag"}
        What becomes of a period that does not lie in ``span`` as a whole: left out; kept; or kept and
        marked in a boolean column ``complete``.

    Returns
    -------
    pyarrow.Table
        Schema ``flow``. A period without a trade has no row; where no volume was traded, vwap is null.

    Raises
    ------
    QueryError
        If a price or a volume is no number that can be added, or ``edges`` none of the three.

    Examples
    --------
    >>> from upbit_frames.core.intervals import INTERVALS
    >>> flow_of_trades(arrow_schema("trades").empty_table(), INTERVALS["1m"]).num_rows
    0
    """
    choice("edges", edges, EDGES)
    times = times_of(trades)
    if span is None and len(times):
        span = Span(int(times[0]), int(times[-1]) + 1)
    starts, first = filled_bars(times, grid)
    price, amount, bought = float_column(trades["price"]), float_column(trades["volume"]), bought_column(trades)
    volume = digits_of(amount)
    value = product_digits(digits_of(price, "price"), volume)
    # reduceat takes no empty list of places
    total = partial(np.add.reduceat, indices=first, axis=1) if len(first) else lambda digits: digits[:, :0]
    volumes, values, buys, buy_values = (
        carried(total(digits)) for digits in (volume, value, volume * bought, value * bought)
    )
    money, coins = to_floats(values), to_floats(volumes)
    columns = {
        "time": pa.array(starts).view(arrow_schema("flow").field("time").type),
        "trades": pa.array(np.diff(np.append(first, len(times)))),
        "buy_volume": pa.array(to_floats(buys)),
        "sell_volume": pa.array(to_floats(volumes - buys)),
        "delta": pa.array(to_floats(2 * buys - volumes)),
        "buy_value": pa.array(to_floats(buy_values)),
        "sell_value": pa.array(to_floats(values - buy_values)),
        "vwap": pa.array(np.divide(money, coins, out=np.zeros(len(coins)), where=coins > 0), mask=coins <= 0),
    }
    table = pa.Table.from_pydict(columns, schema=arrow_schema("flow"))
    complete = complete_bars(starts, grid, span)
    if edges == "flag":
        return table.append_column(COMPLETE.field(), pa.array(complete))
    return table.filter(pa.array(complete)) if edges == "drop" else table
