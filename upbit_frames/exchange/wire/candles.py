"""Candle pages → Arrow (upbit-api 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from upbit_frames.core.arrow import candle_table
from upbit_frames.core.intervals import Interval
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import SchemaError
from upbit_frames.exchange.wire.json_rows import Body, column, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["candles", "candles_pages"]


# The numbers' wire names in the order of the schema; on the wire, value comes before volume.
_NUMBERS = (
    "opening_price", "high_price", "low_price", "trade_price", "candle_acc_trade_volume", "candle_acc_trade_price",
)  # fmt: skip


@lru_cache(maxsize=1024)
def _decoder(market: str, unit: int | None) -> msgspec.json.Decoder[list[Any]]:
    """A decoder that takes candles of that market and unit, and no others.

    Comparing while decoding costs nothing, and in Python a tenth of the whole. Fields in
    the order of the wire are found at the first look.
    """
    names = ("candle_date_time_utc", *_NUMBERS[:4], _NUMBERS[5], _NUMBERS[4])
    fields: list[Any] = [("market", Literal[market])]
    fields += [(name, str if name == names[0] else float) for name in names]
    if unit is not None:
        fields.append(("unit", Literal[unit] | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.json.Decoder(list[msgspec.defstruct("Candle", fields, gc=False)])  # type: ignore[misc]


# The times' pattern: each letter's lowest code, and how far above it may be.
_LETTERS = len("2026-03-11T14:40:00")
_LOWEST = np.frombuffer(b"1000-00-00T00:00:00", np.uint8)
_RANGES = np.frombuffer(b"9999-19-39T29:59:59", np.uint8) - _LOWEST


def candles(body: bytes, market: str, interval: Interval) -> pa.Table:
    """The candles of one page.

    Parameters
    ----------
    body : bytes
        JSON as ``/v1/candles/...`` sends it; any order.
    market : str
        The market asked for; every row must be of it.
    interval : Interval
        The interval asked for; every row must start one of its periods, and carry its unit
        where it carries one.

    Returns
    -------
    pyarrow.Table
        Schema ``candles``: ascending by time (``timestamp[us, UTC]``, start of the period), no
        time twice, no nulls, prices above zero.

    Raises
    ------
    SchemaError
        If the body is anything else; ``path`` names the field.

    Examples
    --------
    >>> from upbit_frames.core.intervals import INTERVALS
    >>> body = (
    ...     b'[{"market":"KRW-BTC","candle_date_time_utc":"2026-03-11T14:40:00",'
    ...     b'"opening_price":103600000.00000000,"high_price":103600000.00000000,'
    ...     b'"low_price":103425000.00000000,"trade_price":103460000.00000000,'
    ...     b'"candle_acc_trade_price":164899503.14206,"candle_acc_trade_volume":1.5933512,"unit":1}]'
    ... )
    >>> candles(body, "KRW-BTC", INTERVALS["1m"])["close"].to_pylist()
    [103460000.0]
    """
    return candles_pages([body], market, interval)


def candles_pages(bodies: Sequence[bytes], market: str, interval: Interval) -> pa.Table:
    """The candles of several pages of one series as one table; else like :func:`candles`.

    Pages may overlap and come in any order. A candle that two pages tell differently is refused:
    a sealed one never changes, and a forming one must not be mixed with its later self.
    """
    pages = [_page(body, market, interval) for body in bodies]
    sizes = [numbers.shape[1] for _, numbers in pages]
    if not any(sizes):
        return arrow_schema("candles").empty_table()
    source = Body(bodies, sizes, market=market, interval=interval.name)
    times = _times(b"".join([texts for texts, _ in pages]), source)
    source.check(interval.floors(times) == times, "candle_date_time_utc", f"the time starts no {interval.name} candle")
    numbers = pages[0][1] if len(pages) == 1 else np.concatenate([numbers for _, numbers in pages], axis=1)
    _check_numbers(numbers, source)
    return candle_table(*_ascending(times, numbers, source))


def _page(body: bytes, market: str, interval: Interval) -> tuple[bytes, NDArray[np.float64]]:
    """Times, as letters, and numbers of one page, in the order of the wire.

    Rows become arrays page by page, because the objects of many pages do not fit into the
    processor's cache; everything that works on arrays is done for all pages at once.
    """
    rows = read(_decoder(market, interval.unit), body, padded=True, market=market, interval=interval.name)
    texts = [row.candle_date_time_utc for row in rows]
    letters = "".join(texts).encode()
    if len(letters) != len(rows) * _LETTERS:
        row = next(i for i, text in enumerate(texts) if len(text.encode()) != _LETTERS)
        raise _no_time(texts[row], row, Body([body], [len(rows)], market=market, interval=interval.name))
    # One list per field is the fastest way through the rows: attribute access is inlined.
    numbers = column(
        [row.opening_price for row in rows]
        + [row.high_price for row in rows]
        + [row.low_price for row in rows]
        + [row.trade_price for row in rows]
        + [row.candle_acc_trade_volume for row in rows]
        + [row.candle_acc_trade_price for row in rows]
    )
    return letters, numbers.reshape(len(_NUMBERS), len(rows))


def _times(letters: bytes, source: Body) -> NDArray[np.int64]:
    """Microseconds of many ``yyyy-MM-ddTHH:mm:ss`` (UTC).

    numpy reads them faster than Arrow's cast or arithmetic on the digits, but takes more
    spellings; hence the pattern.
    """
    codes = np.frombuffer(letters, np.uint8).reshape(-1, _LETTERS)
    if (codes - _LOWEST <= _RANGES).all():  # unsigned: what is below the lowest wraps around
        try:
            return np.frombuffer(letters, f"S{_LETTERS}").astype("datetime64[us]").view(np.int64)
        except ValueError:
            pass  # not in the calendar
    texts = [bytes(one).decode("utf-8", "replace") for one in codes]
    row = next(i for i, text in enumerate(texts) if not _is_time(text))
    raise _no_time(texts[row], row, source)


def _no_time(text: str, row: int, source: Body) -> SchemaError:
    return source.refuse(row, "candle_date_time_utc", f"{text!r} is not a time as 2026-03-11T14:40:00")


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).isoformat() == text and text >= "1000"
    except ValueError:
        return False


def _check_numbers(numbers: NDArray[np.float64], source: Body) -> None:
    columns: list[NDArray[np.float64]] = list(numbers)
    open_, high, low, close, volume, value = columns
    fine = (np.minimum(open_, close) >= low) & (np.maximum(open_, close) <= high) & (low > 0)
    if (fine & (volume >= 0) & (value >= 0)).all():
        return  # the ordinary case; which row and field it was matters only in the other
    for name, prices in zip(_NUMBERS[:4], numbers[:4], strict=True):
        source.check(prices > 0, name, "a price must be above zero")
    source.check(high >= low, "high_price", "the highest price is below the lowest")
    for name, prices in (("opening_price", open_), ("trade_price", close)):
        source.check((low <= prices) & (prices <= high), name, "the price lies outside of the candle's low and high")
    for name, amounts in (("candle_acc_trade_volume", volume), ("candle_acc_trade_price", value)):
        source.check(amounts >= 0, name, "an amount must not be negative")


def _ascending(
    times: NDArray[np.int64], numbers: NDArray[np.float64], source: Body
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sorted by time, each time once."""
    if (times[1:] < times[:-1]).all():  # newest first, as on the wire
        return times[::-1], numbers[:, ::-1]
    order = np.argsort(times, kind="stable")
    times, numbers = times[order], numbers[:, order]
    repeated = np.zeros(len(times), dtype=bool)
    repeated[1:] = times[1:] == times[:-1]
    if repeated.any():
        same = (numbers[:, 1:] == numbers[:, :-1]).all(axis=0)
        fine = ~repeated
        fine[1:] |= same
        source.check(fine, "candle_date_time_utc", "the same candle twice, with different numbers", order)
        times, numbers = times[~repeated], numbers[:, ~repeated]
    return times, numbers
