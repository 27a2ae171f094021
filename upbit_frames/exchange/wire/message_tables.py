"""Rows of a stream → Arrow, and rows fetched over REST as rows of a stream (pure)."""

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
from upbit_frames.core.candle_checks import is_valid, violations
from upbit_frames.core.intervals import to_micros
from upbit_frames.core.schema import KINDS, arrow_schema
from upbit_frames.core.topics import CANDLES, interval_of, table_of
from upbit_frames.errors import SchemaError
from upbit_frames.exchange.wire.book_levels import level_arrays
from upbit_frames.exchange.wire.json_rows import codes, column, integers, moments, refusal
from upbit_frames.exchange.wire.messages import CLASSES, Row, type_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BACKFILLED",
    "CachedRows",
    "contradiction",
    "day_of",
    "rows_from_rest",
    "stream_schema",
    "ticker_columns",
    "to_table",
]

BACKFILLED = "REST"  # stream_type of a row that was fetched over REST to backfill a gap
# --- rows → Arrow --------------------------------------------------------------------------------


@cache
def stream_schema(type_: str) -> pa.Schema:
    """Return the Arrow schema of a stream: ``market``, the columns of its kind of table, and two more.

    ``stream_type`` is SNAPSHOT, REALTIME, or REST for a row that backfilled a gap; ``received_at``
    is when the row arrived, by this machine's clock, ``timestamp[us, UTC]``.
    """
    base = arrow_schema(table_of(type_))
    stream_type = {
        "unit": "",
        "meaning": "how the row came: SNAPSHOT, REALTIME, or REST to backfill a gap",
        "source": "stream_type",
    }
    received_at = {"unit": "UTC", "meaning": "when the row arrived here, by this machine's clock", "source": ""}
    fields = [field for field in base if field.name != "market"]
    fields = [arrow_schema("ticker").field("market"), *fields]
    fields.append(pa.field("stream_type", pa.string(), metadata=stream_type))
    fields.append(pa.field("received_at", pa.timestamp("us", tz="UTC"), metadata=received_at))
    return pa.schema(fields, metadata={**(base.metadata or {}), "upbit_frames.stream": type_})


def to_table(type_: str, rows: Sequence[Row], *, depth: int | None = None) -> pa.Table:
    """Build a table of rows of the same type, in their order.

    Parameters
    ----------
    type_ : str
        Wire name, such as ``trade`` or ``candle.1m``.
    rows : sequence
        As :func:`upbit_frames.exchange.wire.messages.decode` returns them.
    depth : int, optional
        Number of price levels of each order book to include; all by default.

    Returns
    -------
    pyarrow.Table
        Of :func:`stream_schema`. A book has one row per price level.

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


_CANDLE_FIELDS = {
    "open": "opening_price",
    "high": "high_price",
    "low": "low_price",
    "close": "trade_price",
    "volume": "candle_acc_trade_volume",
    "value": "candle_acc_trade_price",
}


def _candles(rows: Sequence[Row], schema: pa.Schema) -> dict[str, Any]:
    starts = pa.array([row.candle_date_time_utc for row in rows], pa.timestamp("us")).view(pa.int64()).to_numpy()
    interval = interval_of(type_of(rows[0]))
    assert interval is not None
    _check(interval.floors(starts) == starts, rows, "candle_date_time_utc", f"the time starts no {interval} candle")
    numbers = {name: column([getattr(row, field) for row in rows]) for name, field in _CANDLE_FIELDS.items()}
    if not is_valid(*numbers.values()).all():
        for violation in violations(numbers):
            _check(~violation.wrong, rows, _CANDLE_FIELDS[violation.column], violation.rule)
    return {
        "time": _times(starts),
        **{name: _floats(values) for name, values in numbers.items()},
    }


def contradiction(row: Row) -> SchemaError | None:
    """Return the error of a row whose fields contradict each other, or None if it is consistent.

    :func:`to_table` accepts every row for which this is None.
    """
    type_ = type_of(row)
    if type_ in ("trade", "orderbook"):
        return None
    try:
        if type_ != "ticker":
            if not _is_consistent(row):
                _candles([row], stream_schema(type_))
        else:
            day_of(row.highest_52_week_date, "highest_52_week_date", [row])
            day_of(row.lowest_52_week_date, "lowest_52_week_date", [row])
    except SchemaError as error:
        return error
    return None


def _is_consistent(row: Row) -> bool:
    """Return whether a candle passes the checks of :func:`_candles`, without building arrays."""
    numbers = (
        row.opening_price, row.high_price, row.low_price, row.trade_price,
        row.candle_acc_trade_volume, row.candle_acc_trade_price,
    )  # fmt: skip
    return bool(is_valid(*numbers)) and _is_period_start(type_of(row), row.candle_date_time_utc)


@lru_cache(maxsize=4096)
def _is_period_start(type_: str, start: datetime) -> bool:
    interval = interval_of(type_)
    micros = to_micros(start.replace(tzinfo=UTC))
    return interval is not None and interval.floor(micros) == micros


def _check(valid: Any, rows: Sequence[Row], field: str, problem: str) -> None:
    if not valid.all():
        row = rows[int(np.argmin(valid))]
        raise refusal(msgspec.json.encode(row), problem, f"$.{field}", market=row.code)


def _tickers(rows: Sequence[Row], schema: pa.Schema) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for name, source, kind, read in ticker_columns():
        values = list(map(read, rows))
        if kind == _DATE:
            days = {text: day_of(text, source, rows) for text in set(values)}  # few distinct values
            arrays[name] = pa.array(list(map(days.__getitem__, values)), kind)
        elif kind == _TIME:
            arrays[name] = _times(moments(values))
        elif kind == _FLOAT:
            try:
                arrays[name] = _floats(column(values))
            except struct.error:  # a value is missing
                arrays[name] = pa.array(values, kind)
        else:
            arrays[name] = pa.array(values, kind)
    return arrays


_DATE = pa.date32()


@cache
def ticker_columns() -> list[tuple[str, str, pa.DataType, Callable[[Row], Any]]]:
    """Return name, field on the wire, type and getter of every column except the market."""
    schema = arrow_schema("ticker")
    return [
        (column.name, column.source, schema.field(column.name).type, attrgetter(column.source))
        for column in KINDS["ticker"]
        if column.name != "market"
    ]


def day_of(text: str | None, field: str, rows: Sequence[Row]) -> int | None:
    """Return a date of a ticker as days since the epoch; None stays None.

    Raises
    ------
    SchemaError
        If the text is not a date; ``rows`` are searched for the row to blame.
    """
    try:
        return None if text is None else _days(text)
    except ValueError as error:
        row = next(row for row in rows if getattr(row, field) == text)
        problem = f"{text!r} is not a date as 2026-03-11"
        raise refusal(msgspec.json.encode(row), problem, f"$.{field}", market=row.code) from error


@lru_cache(maxsize=4096)
def _days(text: str) -> int:
    if len(text) != 10 or text[7] != "-":
        raise ValueError(text)  # Python reads weeks too
    return date.fromisoformat(text).toordinal() - _EPOCH


_EPOCH = date(1970, 1, 1).toordinal()


def _books(rows: Sequence[Row], schema: pa.Schema, depth: int | None) -> pa.Table:
    """One row per level; levels padded on both sides are left out, on one side they are null."""
    books = [row.orderbook_units if depth is None else row.orderbook_units[:depth] for row in rows]
    sizes = np.array([len(units) for units in books])
    owner = np.repeat(np.arange(len(rows)), sizes)
    level = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    units = [unit for book in books for unit in book]
    ask, ask_size, bid, bid_size = level_arrays(units)
    quoted = (ask > 0) | (bid > 0)
    owner, level = owner[quoted], level[quoted]
    ask, bid, ask_size, bid_size = ask[quoted], bid[quoted], ask_size[quoted], bid_size[quoted]
    row_of_level = pa.array(owner)

    def per_level(values: pa.Array) -> pa.Array:
        return values.take(row_of_level)

    arrays: dict[str, Any] = {
        "market": per_level(codes([row.code for row in rows])),
        "level": wrapped(level, pa.int64()),
        "ask_price": pa.array(ask, mask=ask == 0), "ask_size": pa.array(ask_size, mask=ask == 0),
        "bid_price": pa.array(bid, mask=bid == 0), "bid_size": pa.array(bid_size, mask=bid == 0),
        "total_ask_size": per_level(_floats(column([row.total_ask_size for row in rows]))),
        "total_bid_size": per_level(_floats(column([row.total_bid_size for row in rows]))),
        "grouping": per_level(
            pa.array([None if row.level is msgspec.UNSET else row.level for row in rows], pa.float64())
        ),
        "time": _times(moments([row.timestamp for row in rows])[owner]),
        "stream_type": per_level(pa.array([row.stream_type for row in rows])),
        "received_at": _times(integers([row.received_at for row in rows])[owner]),
    }  # fmt: skip
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)


@dataclass
class CachedRows:
    """Tickers or books served repeatedly from a subscription; each representation is built once, on demand.

    Attributes
    ----------
    type : str
    rows : list
    depth : int or None
    shapes : dict
        Representations built by other modules, such as blocks of a pandas frame.
    """

    type: str
    rows: list[Row]
    depth: int | None = None
    shapes: dict[tuple[str, str], Any] = field(default_factory=dict)

    @cached_property
    def table(self) -> pa.Table:
        """The rows in the schema of the REST endpoint."""
        return to_table(self.type, self.rows, depth=self.depth).select(arrow_schema(self.type).names)

    def __len__(self) -> int:
        return len(self.rows) if self.type == "ticker" else len(self.table)


# --- REST → rows -----------------------------------------------------------------------------------


def rows_from_rest(type_: str, market: str, table: pa.Table, received: int) -> list[Row]:
    """Return trades or candles of a REST table as rows of a stream; ``stream_type`` is ``REST``."""
    row_class = CLASSES[False][type_]
    times = table["time"].cast("int64").to_pylist()
    if type_ == "trade":
        values: Iterable[tuple[Any, ...]] = zip(
            times, *(table[name].to_pylist() for name in ("price", "volume", "side", "sequential_id")), strict=True
        )
        return [
            row_class(market, time // 1000, time // 1000, price, volume, side.upper(), id_, BACKFILLED, received)
            for time, price, volume, side, id_ in values
        ]
    assert type_ in CANDLES
    starts = np.array(times, dtype="datetime64[us]").tolist()
    names = ("open", "high", "low", "close", "volume", "value")
    values = zip(starts, *(table[name].to_pylist() for name in names), strict=True)
    # A table does not keep the timestamp of the REST row. REST candles are final, so they count as newest.
    return [row_class(market, start, *numbers, _FINAL, BACKFILLED, received) for start, *numbers in values]


_FINAL = 253_402_300_799_999
