"""Trade pages → Arrow (upbit-api 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from upbit_frames.core.schema import arrow_schema
from upbit_frames.exchange.wire.json_rows import Body, Millis, column, integers, moments, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["trades"]


class _Trade(msgspec.Struct, gc=False):
    """The fields used, in the order of the wire."""

    market: str
    timestamp: Millis
    trade_price: float
    trade_volume: float
    ask_bid: Literal["ASK", "BID"]
    # An id above 2^53 never goes through float: msgspec refuses 1.7e16 for an int field.
    sequential_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


_DECODER = msgspec.json.Decoder(list[_Trade])


def trades(body: bytes, market: str) -> pa.Table:
    """Read the trades of a page.

    Parameters
    ----------
    body : bytes
        JSON as ``/v1/trades/ticks`` sends it; any order.
    market : str
        The market requested; every row must be of it.

    Returns
    -------
    pyarrow.Table
        Schema ``trades``: ascending by (``time``, ``sequential_id``), ``sequential_id`` unique.
        ``time`` is ``timestamp[us, UTC]``, ``side`` the taker's (``"ask"`` or ``"bid"``),
        ``value`` price times volume, ``seq`` null. Trades that differ only in the id are kept
        apart.

    Raises
    ------
    SchemaError
        If the body is anything else; ``path`` names the field.

    Examples
    --------
    >>> body = (
    ...     b'[{"market":"KRW-BTC","trade_date_utc":"2026-03-11","trade_time_utc":"14:40:59",'
    ...     b'"timestamp":1773240059095,"trade_price":103460000.00000000,"trade_volume":0.00400000,'
    ...     b'"prev_closing_price":102417000.00000000,"change_price":1043000.00000000,'
    ...     b'"ask_bid":"ASK","sequential_id":17732400590950000}]'
    ... )
    >>> trades(body, "KRW-BTC")["sequential_id"].to_pylist()
    [17732400590950000]
    """
    rows = read(_DECODER, body, padded=True, market=market)
    if not rows:
        return arrow_schema("trades").empty_table()
    source = Body(body, market=market)
    received = [row.market for row in rows]
    if received.count(market) != len(rows):
        row = next(i for i, name in enumerate(received) if name != market)
        raise source.refuse(row, "market", f"expected trades of {market}, got {received[row]}")
    times = moments([row.timestamp for row in rows])
    ids = integers([row.sequential_id for row in rows])
    price, volume = column([row.trade_price for row in rows]), column([row.trade_volume for row in rows])
    source.check(price > 0, "trade_price", "a price must be above zero")
    source.check(volume >= 0, "trade_volume", "an amount must not be negative")
    bids = np.array([row.ask_bid == "BID" for row in rows])
    keep = _unique(times, ids, [price, volume, bids], source)
    return _table(times[keep], ids[keep], price[keep], volume[keep], bids[keep])


def _unique(
    times: NDArray[np.int64], ids: NDArray[np.int64], others: list[NDArray[Any]], source: Body
) -> NDArray[np.intp]:
    """Return the indices of the rows to keep, ascending by (time, id)."""
    by_id = np.argsort(ids, kind="stable")
    repeated = np.zeros(len(ids), dtype=bool)
    repeated[1:] = ids[by_id][1:] == ids[by_id][:-1]
    if repeated.any():
        same = np.ones(len(ids), dtype=bool)
        for values in (times, *others):
            same[1:] &= values[by_id][1:] == values[by_id][:-1]
        source.check(same | ~repeated, "sequential_id", "the same trade twice, with different values", by_id)
    keep = by_id[~repeated]
    # Ids do not promise the order of time (3.3), so time comes first.
    return keep[np.argsort(times[keep], kind="stable")]


def _table(
    times: NDArray[np.int64],
    ids: NDArray[np.int64],
    price: NDArray[np.float64],
    volume: NDArray[np.float64],
    bids: NDArray[np.bool_],
) -> pa.Table:
    schema = arrow_schema("trades")
    sides = pa.array(["ask", "bid"]).take(pa.array(bids.astype(np.int8)))
    return pa.Table.from_arrays(
        [
            pa.array(times).view(schema.field("time").type),
            pa.array(price),
            pa.array(volume),
            pa.array(price * volume),
            sides,
            pa.array(ids),
            pa.nulls(len(ids), pa.int64()),
        ],
        schema=schema,
    )
