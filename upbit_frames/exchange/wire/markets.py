"""Market list and instruments → Arrow (upbit-api 3.1 and 3.7)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pyarrow as pa

from upbit_frames.core.schema import arrow_schema
from upbit_frames.exchange.wire.json_rows import Code, codes, distinct, read

__all__ = ["instruments", "markets"]

Decimal = Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)?([eE][-+]?\d{1,3})?$")]
Positive = Annotated[float, msgspec.Meta(ge=0)]


class _Event(msgspec.Struct):
    """The alerts of a Korean market; caution flags by name, because names may be added."""

    warning: bool
    caution: dict[str, bool]


class _Market(msgspec.Struct):
    """``korean_name`` and ``market_event`` exist in Korea, ``market_warning`` elsewhere."""

    market: Code
    english_name: str
    korean_name: str | None = None
    market_event: _Event | None = None
    market_warning: Literal["NONE", "CAUTION"] | None = None


class _Instrument(msgspec.Struct):
    """Numbers are text here; the deprecated ``supported_levels`` endpoint sent numbers."""

    market: Code
    quote_currency: str
    tick_size: Decimal | Positive
    supported_levels: list[Decimal | Positive]


_MARKETS = msgspec.json.Decoder(list[_Market])
_INSTRUMENTS = msgspec.json.Decoder(list[_Instrument])


def markets(body: bytes) -> pa.Table:
    """Read the market list.

    Parameters
    ----------
    body : bytes
        JSON as ``/v1/market/all`` sends it, with or without details, from any region.

    Returns
    -------
    pyarrow.Table
        Schema ``markets``, one row per market in the order of the answer. Null means "not in
        the answer": ``korean_name`` outside Korea, ``warning`` and ``cautions`` without details. Outside Korea
        ``market_warning`` "CAUTION" is a ``warning``.

    Raises
    ------
    SchemaError
        If the body is anything else; ``path`` names the field.

    Examples
    --------
    >>> table = markets(b'[{"market":"BTC-ETH","english_name":"Ethereum","market_warning":"CAUTION"}]')
    >>> table.select(["market", "warning", "cautions"]).to_pylist()
    [{'market': 'BTC-ETH', 'warning': True, 'cautions': None}]
    """
    rows, _ = distinct(read(_MARKETS, body), body)
    schema = arrow_schema("markets")
    return pa.Table.from_arrays(
        [
            codes([row.market for row in rows]),
            pa.array([row.korean_name for row in rows], pa.string()),
            pa.array([row.english_name for row in rows], pa.string()),
            pa.array([_warning(row) for row in rows], pa.bool_()),
            pa.array([_cautions(row) for row in rows], schema.field("cautions").type),
        ],
        schema=schema,
    )


def _warning(row: _Market) -> bool | None:
    if row.market_event is not None:
        return row.market_event.warning
    return None if row.market_warning is None else row.market_warning == "CAUTION"


def _cautions(row: _Market) -> list[str] | None:
    if row.market_event is None:
        return None
    return [name for name, raised in row.market_event.caution.items() if raised]


def instruments(body: bytes) -> pa.Table:
    """Read tick sizes and order book groupings.

    Parameters
    ----------
    body : bytes
        JSON as ``/v1/orderbook/instruments`` sends it.

    Returns
    -------
    pyarrow.Table
        Schema ``instruments``, one row per market in the order of the answer, numbers as float64.

    Raises
    ------
    SchemaError
        If the body is anything else; ``path`` names the field.

    Examples
    --------
    >>> body = b'[{"market":"KRW-TRX","quote_currency":"KRW","tick_size":"1","supported_levels":["0","1"]}]'
    >>> instruments(body)["supported_levels"].to_pylist()
    [[0.0, 1.0]]
    """
    rows, _ = distinct(read(_INSTRUMENTS, body), body)
    schema = arrow_schema("instruments")
    return pa.Table.from_arrays(
        [
            codes([row.market for row in rows]),
            pa.array([row.quote_currency for row in rows], pa.string()),
            pa.array([float(row.tick_size) for row in rows], pa.float64()),
            pa.array([[float(level) for level in row.supported_levels] for row in rows], schema.field(3).type),
        ],
        schema=schema,
    )
