"""Rows of a stream → Arrow, and rows that REST told as rows of a stream (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from upbit_frames.normalize.decode import codes, column, integers, moments, refusal
from upbit_frames.normalize_ws import CLASSES, Row, type_of
from upbit_frames.schema import KINDS, arrow_schema
from upbit_frames.subscriptions import CANDLES, interval_of, table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["REST", "rows_of_rest", "stream_schema", "to_table"]

REST = "REST"  # stream_type of a row that was fetched over REST to mend a gap


# --- rows → Arrow --------------------------------------------------------------------------------


@cache
def stream_schema(type_: str) -> pa.Schema:
    """The Arrow schema of a stream: ``market``, the columns of its kind of table, and two more.

    ``stream_type`` is SNAPSHOT, REALTIME, or REST for a row that mended a gap; ``received_at`` is
    when it arrived here, by this machine's clock, ``timestamp[us, UTC]``.
    """
    base = arrow_schema(table_of(type_))
    about = {
        "unit": "",
        "meaning": "how the row came: SNAPSHOT, REALTIME, or REST to mend a gap",
        "source": "stream_type",
    }
    when = {"unit": "UTC", "meaning": "when the row arrived here, by this machine's clock", "source": ""}
    fields = [one for one in base if one.name != "market"]
    fields = [arrow_schema("ticker").field("market"), *fields]
    fields.append(pa.field("stream_type", pa.string(), metadata=about))
    fields.append(pa.field("received_at", pa.timestamp("us", tz="UTC"), metadata=when))
    return pa.schema(fields, metadata={**(base.metadata or {}), "upbit_frames.stream": type_})


def to_table(type_: str, rows: Sequence[Row], *, depth: int | None = None) -> pa.Table:
    """Rows of one type as a table, in their order.

    Parameters
    ----------
    type_ : str
        Wire name, such as ``trade`` or ``candle.1m``.
    rows : sequence
        As :func:`decode` gives them.
    depth : int, optional
        Only so many price levels of each order book.

    Returns
    -------
    pyarrow.Table
        Of :func:`stream_schema`. A book has one row a price level.

    Raises
    ------
    SchemaError
        If rows contradict themselves, such as a low above a high.
    """
    schema = stream_schema(type_)
    if not rows:
        return schema.empty_table()
    if type_ == "orderbook":
        return _books(rows, schema, depth)
    arrays = {"ticker": _tickers, "trade": _trades}.get(type_, _candles)(rows, schema)
    arrays["market"] = codes([row.code for row in rows])
    arrays["stream_type"] = pa.array([row.stream_type for row in rows])
    arrays["received_at"] = _times(integers([row.received_at for row in rows]))
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _times(micros: NDArray[np.int64]) -> pa.Array:
    return pa.array(micros).view(pa.timestamp("us", tz="UTC"))


def _trades(rows: Sequence[Row], schema: pa.Schema) -> dict[str, Any]:
    price, volume = column([row.trade_price for row in rows]), column([row.trade_volume for row in rows])
    bids = np.array([row.ask_bid == "BID" for row in rows])
    return {
        "time": _times(moments([row.trade_timestamp for row in rows])),
        "price": pa.array(price),
        "volume": pa.array(volume),
        "value": pa.array(price * volume),
        "side": pa.array(["ask", "bid"]).take(pa.array(bids.astype(np.int8))),
        "sequential_id": pa.array(integers([row.sequential_id for row in rows])),
        "seq": pa.nulls(len(rows), pa.int64()),
    }


def _candles(rows: Sequence[Row], schema: pa.Schema) -> dict[str, Any]:
    starts = np.array([row.candle_date_time_utc for row in rows], dtype="datetime64[us]").view(np.int64)
    interval = interval_of(type_of(rows[0]))
    assert interval is not None
    _check(interval.floors(starts) == starts, rows, "candle_date_time_utc", f"the time starts no {interval} candle")
    open_, high, low, close = (
        column([getattr(row, name) for row in rows])
        for name in ("opening_price", "high_price", "low_price", "trade_price")
    )
    fine = (np.minimum(open_, close) >= low) & (np.maximum(open_, close) <= high)
    _check(fine, rows, "high_price", "open or close lies outside of low and high")
    return {
        "time": _times(starts),
        "open": pa.array(open_), "high": pa.array(high), "low": pa.array(low), "close": pa.array(close),
        "volume": pa.array(column([row.candle_acc_trade_volume for row in rows])),
        "value": pa.array(column([row.candle_acc_trade_price for row in rows])),
    }  # fmt: skip


def _check(fine: Any, rows: Sequence[Row], field: str, what: str) -> None:
    if not fine.all():
        row = rows[int(np.argmin(fine))]
        raise refusal(msgspec.json.encode(row), what, f"$.{field}", market=row.code)


def _tickers(rows: Sequence[Row], schema: pa.Schema) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for one in KINDS["ticker"]:
        if one.name == "market":
            continue
        values = [getattr(row, one.source) for row in rows]
        kind = schema.field(one.name).type
        if pa.types.is_timestamp(kind):
            arrays[one.name] = _times(moments(values))
        elif pa.types.is_date(kind):
            arrays[one.name] = _dates(values, one.source, rows)
        elif pa.types.is_floating(kind) and None not in values:
            arrays[one.name] = pa.array(column(values))
        else:
            arrays[one.name] = pa.array(values, kind)
    return arrays


def _dates(texts: list[str | None], field: str, rows: Sequence[Row]) -> pa.Array:
    try:
        return pa.array(texts, pa.string()).cast(pa.date32())
    except pa.ArrowInvalid:
        for text, row in zip(texts, rows, strict=True):
            try:
                pa.scalar(text, pa.string()).cast(pa.date32())
            except pa.ArrowInvalid as error:
                what = f"{text!r} is not a date as 2026-03-11"
                raise refusal(msgspec.json.encode(row), what, f"$.{field}", market=row.code) from error
        raise


def _books(rows: Sequence[Row], schema: pa.Schema, depth: int | None) -> pa.Table:
    """One row a level; what is padding on both sides is left out, on one side it is null."""
    shown = [row.orderbook_units if depth is None else row.orderbook_units[:depth] for row in rows]
    sizes = np.array([len(units) for units in shown])
    owner = np.repeat(np.arange(len(rows)), sizes)
    level = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    units = [unit for part in shown for unit in part]
    ask, bid = column([unit.ask_price for unit in units]), column([unit.bid_price for unit in units])
    ask_size, bid_size = column([unit.ask_size for unit in units]), column([unit.bid_size for unit in units])
    some = (ask > 0) | (bid > 0)
    owner, level = owner[some], level[some]
    ask, bid, ask_size, bid_size = ask[some], bid[some], ask_size[some], bid_size[some]
    at = pa.array(owner)

    def spread(values: pa.Array) -> pa.Array:
        return values.take(at)

    arrays: dict[str, Any] = {
        "market": spread(codes([row.code for row in rows])),
        "level": pa.array(level),
        "ask_price": pa.array(ask, mask=ask == 0), "ask_size": pa.array(ask_size, mask=ask == 0),
        "bid_price": pa.array(bid, mask=bid == 0), "bid_size": pa.array(bid_size, mask=bid == 0),
        "total_ask_size": spread(pa.array(column([row.total_ask_size for row in rows]))),
        "total_bid_size": spread(pa.array(column([row.total_bid_size for row in rows]))),
        "grouping": spread(
            pa.array([None if row.level is msgspec.UNSET else row.level for row in rows], pa.float64())
        ),
        "time": _times(moments([row.timestamp for row in rows])[owner]),
        "stream_type": spread(pa.array([row.stream_type for row in rows])),
        "received_at": _times(integers([row.received_at for row in rows])[owner]),
    }  # fmt: skip
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)


# --- REST → rows -----------------------------------------------------------------------------------


def rows_of_rest(type_: str, market: str, table: pa.Table, received: int) -> list[Row]:
    """Trades or candles that REST told, as rows of a stream; ``stream_type`` is ``REST``."""
    made = CLASSES[False][type_]
    times = table["time"].cast("int64").to_pylist()
    if type_ == "trade":
        facts: Iterable[tuple[Any, ...]] = zip(
            times, *(table[name].to_pylist() for name in ("price", "volume", "side", "sequential_id")), strict=True
        )
        return [
            made(market, time // 1000, time // 1000, price, volume, side.upper(), one, REST, received)
            for time, price, volume, side, one in facts
        ]
    assert type_ in CANDLES
    starts = np.array(times, dtype="datetime64[us]").tolist()
    names = ("open", "high", "low", "close", "volume", "value")
    facts = zip(starts, *(table[name].to_pylist() for name in names), strict=True)
    # REST's own timestamp is not kept in a table. Whatever it told is final, so it counts as newest.
    return [made(market, start, *numbers, _FINAL, REST, received) for start, *numbers in facts]


_FINAL = 253_402_300_799_999
