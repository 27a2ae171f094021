"""Rows of a stream → Arrow, and rows that REST told as rows of a stream (pure)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache, cached_property, lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from upbit_frames.core.arrow import wrapped
from upbit_frames.core.intervals import to_micros
from upbit_frames.core.schema import KINDS, arrow_schema
from upbit_frames.core.topics import CANDLES, interval_of, table_of
from upbit_frames.errors import SchemaError
from upbit_frames.exchange.wire.json_rows import codes, column, integers, moments, refusal
from upbit_frames.exchange.wire.messages import CLASSES, Row, type_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "REST",
    "CachedRows",
    "contradiction",
    "day_of",
    "rows_of_rest",
    "stream_schema",
    "ticker_columns",
    "to_table",
]

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


_TIME, _FLOAT = pa.timestamp("us", tz="UTC"), pa.float64()


def _times(micros: NDArray[np.int64]) -> pa.Array:
    return wrapped(micros, _TIME)


def _floats(values: NDArray[np.float64]) -> pa.Array:
    return wrapped(values, _FLOAT)


_SIDES = {"ASK": "ask", "BID": "bid"}


def _trades(rows: Sequence[Row], schema: pa.Schema) -> dict[str, Any]:
    price, volume = column([row.trade_price for row in rows]), column([row.trade_volume for row in rows])
    return {
        "time": _times(moments([row.trade_timestamp for row in rows])),
        "price": _floats(price),
        "volume": _floats(volume),
        "value": _floats(price * volume),
        "side": pa.array([_SIDES[row.ask_bid] for row in rows]),
        "sequential_id": wrapped(integers([row.sequential_id for row in rows]), pa.int64()),
        "seq": pa.nulls(len(rows), pa.int64()),
    }


def _candles(rows: Sequence[Row], schema: pa.Schema) -> dict[str, Any]:
    starts = pa.array([row.candle_date_time_utc for row in rows], pa.timestamp("us")).view(pa.int64()).to_numpy()
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
        "open": _floats(open_), "high": _floats(high), "low": _floats(low), "close": _floats(close),
        "volume": _floats(column([row.candle_acc_trade_volume for row in rows])),
        "value": _floats(column([row.candle_acc_trade_price for row in rows])),
    }  # fmt: skip


def contradiction(row: Row) -> SchemaError | None:
    """What is wrong with a row although each of its fields is possible; None where nothing is.

    Of what this lets through :func:`to_table` makes a table.
    """
    type_ = type_of(row)
    if type_ in ("trade", "orderbook"):
        return None
    try:
        if type_ != "ticker":
            if not _sound(row):
                _candles([row], stream_schema(type_))
        else:
            day_of(row.highest_52_week_date, "highest_52_week_date", [row])
            day_of(row.lowest_52_week_date, "lowest_52_week_date", [row])
    except SchemaError as error:
        return error
    return None


def _sound(row: Row) -> bool:
    """Whether a candle is right, seen at a glance."""
    low, high = row.low_price, row.high_price
    return (
        low <= row.opening_price <= high
        and low <= row.trade_price <= high
        and _starts(type_of(row), row.candle_date_time_utc)
    )


@lru_cache(maxsize=4096)
def _starts(type_: str, start: datetime) -> bool:
    interval = interval_of(type_)
    micros = to_micros(start.replace(tzinfo=UTC))
    return interval is not None and interval.floor(micros) == micros


def _check(fine: Any, rows: Sequence[Row], field: str, what: str) -> None:
    if not fine.all():
        row = rows[int(np.argmin(fine))]
        raise refusal(msgspec.json.encode(row), what, f"$.{field}", market=row.code)


def _tickers(rows: Sequence[Row], schema: pa.Schema) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for name, source, kind, read in ticker_columns():
        values = list(map(read, rows))
        if kind == _DATE:
            days = {one: day_of(one, source, rows) for one in set(values)}  # few, and the same again and again
            arrays[name] = pa.array(list(map(days.__getitem__, values)), kind)
        elif kind == _TIME:
            arrays[name] = _times(moments(values))
        elif kind == _FLOAT:
            try:
                arrays[name] = _floats(column(values))
            except struct.error:  # some have none
                arrays[name] = pa.array(values, kind)
        else:
            arrays[name] = pa.array(values, kind)
    return arrays


_DATE = pa.date32()


@cache
def ticker_columns() -> list[tuple[str, str, pa.DataType, Callable[[Row], Any]]]:
    """Name, field on the wire, type and reader of every column but the market."""
    kinds = arrow_schema("ticker")
    found = [one for one in KINDS["ticker"] if one.name != "market"]
    return [(one.name, one.source, kinds.field(one.name).type, attrgetter(one.source)) for one in found]


def day_of(text: str | None, field: str, rows: Sequence[Row]) -> int | None:
    """Days since the epoch."""
    try:
        return None if text is None else _days(text)
    except ValueError as error:
        row = next(one for one in rows if getattr(one, field) == text)
        what = f"{text!r} is not a date as 2026-03-11"
        raise refusal(msgspec.json.encode(row), what, f"$.{field}", market=row.code) from error


@lru_cache(maxsize=4096)
def _days(text: str) -> int:
    if len(text) != 10 or text[7] != "-":
        raise ValueError(text)  # Python reads weeks too
    return date.fromisoformat(text).toordinal() - _EPOCH


_EPOCH = date(1970, 1, 1).toordinal()


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
        "level": wrapped(level, pa.int64()),
        "ask_price": pa.array(ask, mask=ask == 0), "ask_size": pa.array(ask_size, mask=ask == 0),
        "bid_price": pa.array(bid, mask=bid == 0), "bid_size": pa.array(bid_size, mask=bid == 0),
        "total_ask_size": spread(_floats(column([row.total_ask_size for row in rows]))),
        "total_bid_size": spread(_floats(column([row.total_bid_size for row in rows]))),
        "grouping": spread(
            pa.array([None if row.level is msgspec.UNSET else row.level for row in rows], pa.float64())
        ),
        "time": _times(moments([row.timestamp for row in rows])[owner]),
        "stream_type": spread(pa.array([row.stream_type for row in rows])),
        "received_at": _times(integers([row.received_at for row in rows])[owner]),
    }  # fmt: skip
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)


@dataclass
class CachedRows:
    """Tickers or books that are asked for again and again; each form of them is made once, when it is needed.

    Attributes
    ----------
    type : str
    rows : list
    depth : int or None
    shapes : dict
        What was made of them elsewhere.
    """

    type: str
    rows: list[Row]
    depth: int | None = None
    shapes: dict[tuple[str, str], Any] = field(default_factory=dict)

    @cached_property
    def table(self) -> pa.Table:
        """The rows in the schema that REST's have too."""
        return to_table(self.type, self.rows, depth=self.depth).select(arrow_schema(self.type).names)

    def __len__(self) -> int:
        return len(self.rows) if self.type == "ticker" else len(self.table)


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
