"""Tickers and order books → Arrow (upbit-api 3.4 to 3.6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from upbit_frames.core.schema import KINDS, arrow_schema
from upbit_frames.exchange.wire.book_levels import level_arrays
from upbit_frames.exchange.wire.json_rows import Body, Code, Millis, codes, column, distinct, moments, read

__all__ = ["orderbook", "ticker"]

Price = Annotated[float, msgspec.Meta(gt=0)]
Amount = Annotated[float, msgspec.Meta(ge=0)]


class _Ticker(msgspec.Struct, gc=False):
    """The fields used, in the order of the wire; the absolute changes only repeat the signed ones."""

    market: Code
    trade_timestamp: Millis
    opening_price: Price
    high_price: Price
    low_price: Price
    trade_price: Price
    prev_closing_price: Price
    change: Literal["RISE", "EVEN", "FALL"]
    signed_change_price: float
    signed_change_rate: float
    trade_volume: Amount
    acc_trade_price: Amount
    acc_trade_price_24h: Amount
    acc_trade_volume: Amount
    acc_trade_volume_24h: Amount
    highest_52_week_price: Price
    highest_52_week_date: str
    lowest_52_week_price: Price
    lowest_52_week_date: str
    timestamp: Millis


class _Unit(msgspec.Struct, gc=False):
    """A level of both sides; a side without such a level is padded with zeros."""

    ask_price: Amount
    bid_price: Amount
    ask_size: Amount
    bid_size: Amount


class _Book(msgspec.Struct, gc=False):
    market: Code
    timestamp: Millis
    total_ask_size: Amount
    total_bid_size: Amount
    orderbook_units: list[_Unit]
    level: Amount | msgspec.UnsetType = msgspec.UNSET  # Korea only


_TICKERS = msgspec.json.Decoder(list[_Ticker])
_BOOKS = msgspec.json.Decoder(list[_Book])


def ticker(body: bytes) -> pa.Table:
    """Read the tickers of an answer.

    Parameters
    ----------
    body : bytes
        JSON as ``/v1/ticker`` and ``/v1/ticker/all`` send it.

    Returns
    -------
    pyarrow.Table
        Schema ``ticker``: one row per market, in the order of the answer, no nulls; changes signed.

    Raises
    ------
    SchemaError
        If the body is anything else; ``path`` names the field.

    Examples
    --------
    >>> ticker(b"[]").num_rows
    0
    """
    rows, source = distinct(read(_TICKERS, body), body)
    schema = arrow_schema("ticker")
    if not rows:
        return schema.empty_table()
    arrays: list[Any] = []
    for field in KINDS["ticker"]:
        values = [getattr(row, field.source) for row in rows]
        kind = schema.field(field.name).type
        if field.name == "market":
            arrays.append(codes(values))
        elif pa.types.is_timestamp(kind):
            arrays.append(pa.array(moments(values)).view(kind))
        elif pa.types.is_date(kind):
            arrays.append(_dates(values, field.source, source))
        elif pa.types.is_floating(kind):
            arrays.append(pa.array(column(values)))
        else:
            arrays.append(pa.array(values, kind))
    table = pa.Table.from_arrays(arrays, schema=schema)
    high, low = np.asarray(table["high"]), np.asarray(table["low"])
    source.check(high >= low, "high_price", "the highest price is below the lowest")
    return table


def _dates(texts: list[str], field: str, source: Body) -> pa.Array:
    try:
        return pa.array(texts, pa.string()).cast(pa.date32())
    except pa.ArrowInvalid:
        for i, text in enumerate(texts):
            try:
                pa.scalar(text).cast(pa.date32())
            except pa.ArrowInvalid as error:
                raise source.refuse(i, field, f"{text!r} is not a date as 2026-03-11") from error
        raise


def orderbook(body: bytes) -> pa.Table:
    """Read the order books of an answer.

    Parameters
    ----------
    body : bytes
        JSON as ``/v1/orderbook`` sends it.

    Returns
    -------
    pyarrow.Table
        Schema ``orderbook``: one row per (``market``, ``level``), level 0 being the best price.
        Where a side has fewer levels than the other, its price and size are null; levels padded
        on both sides are left out. ``grouping`` is null where the answer has none (outside
        Korea).

    Raises
    ------
    SchemaError
        If the body is anything else, or a side is not sorted best price first.

    Examples
    --------
    >>> body = (
    ...     b'[{"market":"BTC-ETH","timestamp":1773240059027,"total_ask_size":1.5,"total_bid_size":0,'
    ...     b'"orderbook_units":[{"bid_price":0,"bid_size":0,"ask_price":0.01234,"ask_size":1.5}],"level":0}]'
    ... )
    >>> orderbook(body).select(["level", "ask_price", "bid_price"]).to_pylist()
    [{'level': 0, 'ask_price': 0.01234, 'bid_price': None}]
    """
    books, source = distinct(read(_BOOKS, body), body)
    schema = arrow_schema("orderbook")
    if not any(book.orderbook_units for book in books):
        return schema.empty_table()
    units = [unit for book in books for unit in book.orderbook_units]
    depths = np.array([len(book.orderbook_units) for book in books])
    owner = np.repeat(np.arange(len(books)), depths)
    level = np.concatenate([np.arange(depth) for depth in depths])
    levels, sides = level_arrays(units), {}
    for side, better, price, size in (("ask", np.less, *levels[:2]), ("bid", np.greater, *levels[2:])):
        _check_side(side, price, size, owner, level, better, source)
        sides[side] = (price, size)
    quoted = (sides["ask"][0] > 0) | (sides["bid"][0] > 0)
    owner, level = owner[quoted], level[quoted]

    def per_level(values: list[float | None]) -> Any:
        return pa.array(values, pa.float64()).take(pa.array(owner))

    arrays = [
        codes([book.market for book in books]).take(pa.array(owner)),
        pa.array(level),
        *(
            pa.array(values[quoted], mask=price[quoted] == 0)
            for price, size in sides.values()
            for values in (price, size)
        ),
        per_level([book.total_ask_size for book in books]),
        per_level([book.total_bid_size for book in books]),
        per_level([None if book.level is msgspec.UNSET else book.level for book in books]),
        pa.array(moments([book.timestamp for book in books])[owner]).view(schema.field("time").type),
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _check_side(side: str, price: Any, size: Any, owner: Any, level: Any, better: np.ufunc, source: Body) -> None:
    """Best price first, padding only at the end, and nothing offered at no price."""

    def check(valid: Any, problem: str) -> None:
        if not valid.all():
            row = int(np.argmin(valid))
            raise source.refuse(int(owner[row]), f"orderbook_units[{int(level[row])}].{side}_price", problem)

    check((price > 0) | (size == 0), "an amount is offered at the price zero")
    ordered = np.ones(len(price), dtype=bool)
    ordered[1:] = (level[1:] == 0) | (price[1:] == 0) | better(price[:-1], price[1:]) & (price[:-1] > 0)
    check(ordered, "the prices are not sorted best first")
