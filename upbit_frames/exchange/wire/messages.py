"""Frames of the WebSocket → rows (upbit-api 6.6 to 6.9; pure).

Decoding and building tables (:mod:`upbit_frames.exchange.wire.message_tables`) are two steps: rows are
decoded as they arrive, many frames at once where several are queued, and become a table on demand.
Both formats lead to the same rows, because the short keys of ``SIMPLE`` are only another spelling
of the long ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec

from upbit_frames.core.topics import TYPES
from upbit_frames.errors import SchemaError
from upbit_frames.exchange.wire.json_rows import located, no_json, refusal

__all__ = ["CLASSES", "SIMPLE_KEYS", "Control", "Row", "control", "decode", "type_of"]

TYPE = "type"

# Every key that SIMPLE shortens, with its short form; the same key may be shortened in two ways.
_COMMON = {"type": "ty", "code": "cd", "timestamp": "tms", "stream_type": "st"}
_PRICES = {"opening_price": "op", "high_price": "hp", "low_price": "lp", "trade_price": "tp"}
_CHANGES = {"prev_closing_price": "pcp", "change": "c", "change_price": "cp"}
SIMPLE_KEYS: dict[str, dict[str, str]] = {
    "ticker": _COMMON | _PRICES | _CHANGES | {
        "acc_trade_price": "atp", "signed_change_price": "scp", "change_rate": "cr", "signed_change_rate": "scr",
        "ask_bid": "ab", "trade_volume": "tv", "acc_trade_volume": "atv", "trade_date": "tdt", "trade_time": "ttm",
        "trade_timestamp": "ttms", "acc_ask_volume": "aav", "acc_bid_volume": "abv",
        "highest_52_week_price": "h52wp", "highest_52_week_date": "h52wdt",
        "lowest_52_week_price": "l52wp", "lowest_52_week_date": "l52wdt", "market_state": "ms",
        "is_trading_suspended": "its", "delisting_date": "dd", "market_warning": "mw",
        "acc_trade_price_24h": "atp24h", "acc_trade_volume_24h": "atv24h",
    },
    "trade": _COMMON | _CHANGES | {
        "trade_date": "td", "trade_time": "ttm", "trade_timestamp": "ttms", "trade_price": "tp", "trade_volume": "tv",
        "ask_bid": "ab", "sequential_id": "sid", "best_ask_price": "bap", "best_ask_size": "bas",
        "best_bid_price": "bbp", "best_bid_size": "bbs",
    },
    "orderbook": _COMMON | {
        "total_ask_size": "tas", "total_bid_size": "tbs", "orderbook_units": "obu", "level": "lv",
        "ask_price": "ap", "bid_price": "bp", "ask_size": "as", "bid_size": "bs",
    },
    "candle": _COMMON | _PRICES | {
        "candle_date_time_utc": "cdttmu", "candle_date_time_kst": "cdttmk",
        "candle_acc_trade_volume": "catv", "candle_acc_trade_price": "catp",
    },
    "LIST_SUBSCRIPTIONS": {
        "method": "mthd", "result": "rslt", "type": "ty", "codes": "cds", "level": "lv", "ticket": "tckt",
    },
}  # fmt: skip

Price = Annotated[float, msgspec.Meta(gt=0)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
# Milliseconds from 1970 up to the year 9999; some have come as microseconds (upbit-api 12.15).
_Stamp = Annotated[int, msgspec.Meta(gt=0, lt=253_402_300_800_000_000)]
_Traded = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000_000)]  # 0: never
_MICROS = 100_000_000_000_000  # from here on it is microseconds
_Code = Annotated[str, msgspec.Meta(min_length=3)]
_Moment = Annotated[datetime, msgspec.Meta(tz=False)]
_Sent = Literal["SNAPSHOT", "REALTIME"]
_Side = Literal["ASK", "BID"]
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_UNITS = {"ask_price": Amount, "bid_price": Amount, "ask_size": Amount, "bid_size": Amount}

# The fields used, in the order of the wire. A market that has never traded has a ticker without
# prices, so there they may be zero or missing.
_FIELDS: dict[str, dict[str, Any]] = {
    "ticker": {
        "code": _Code, "opening_price": Amount, "high_price": Amount, "low_price": Amount, "trade_price": Amount,
        "prev_closing_price": Amount, "acc_trade_price": Amount, "change": Literal["RISE", "EVEN", "FALL"],
        "signed_change_price": float, "signed_change_rate": float, "trade_volume": Amount, "acc_trade_volume": Amount,
        "trade_timestamp": _Traded, "highest_52_week_price": float | None,
        "highest_52_week_date": str | None, "lowest_52_week_price": float | None, "lowest_52_week_date": str | None,
        "timestamp": _Stamp, "acc_trade_price_24h": Amount, "acc_trade_volume_24h": Amount, "stream_type": _Sent,
    },
    "trade": {
        "code": _Code, "timestamp": _Stamp, "trade_timestamp": _Stamp, "trade_price": Price, "trade_volume": Amount,
        "ask_bid": _Side, "sequential_id": _Id, "stream_type": _Sent,
    },
    "orderbook": {
        "code": _Code, "timestamp": _Stamp, "total_ask_size": Amount, "total_bid_size": Amount,
        "orderbook_units": None, "stream_type": _Sent, "level": Amount | msgspec.UnsetType,
    },
    "candle": {
        "code": _Code, "candle_date_time_utc": _Moment, "opening_price": Price, "high_price": Price,
        "low_price": Price, "trade_price": Price, "candle_acc_trade_volume": Amount, "candle_acc_trade_price": Amount,
        "timestamp": _Stamp, "stream_type": _Sent,
    },
}  # fmt: skip

Row: TypeAlias = Any
"""One decoded frame: a struct with the fields above and ``received_at``; :func:`type_of` gives its type."""

_TYPE_OF: dict[type, str] = {}


def type_of(row: Row) -> str:
    """Return the wire name of the row's type, such as ``candle.1m``."""
    return _TYPE_OF[type(row)]


def _struct(type_: str, *, simple: bool) -> type:
    """Return the class for frames of a type, with short or long keys."""
    short = SIMPLE_KEYS[type_.partition(".")[0]]
    rename = short if simple else {}
    fields: list[Any] = []
    for name, kind in _FIELDS[type_.partition(".")[0]].items():
        if name == "orderbook_units":
            units = msgspec.defstruct(
                "Unit", list(_UNITS.items()), rename={k: rename.get(k, k) for k in _UNITS}, gc=False
            )
            kind = list[units]  # type: ignore[valid-type]
        fields.append((name, kind, msgspec.UNSET) if name == "level" else (name, kind))
    fields.append(("received_at", int, 0))
    frame_class: type = msgspec.defstruct(
        "Frame", fields, rename={name: rename.get(name, name) for name, *_ in fields}, gc=False,
        tag_field=short[TYPE] if simple else TYPE, tag=type_,
    )  # fmt: skip
    _TYPE_OF[frame_class] = type_
    return frame_class


# By spelling, short or long, and type.
CLASSES = {simple: {type_: _struct(type_, simple=simple) for type_ in TYPES} for simple in (False, True)}


@cache
def _decoder(simple: bool, listed: bool, *, alone: bool = False) -> msgspec.json.Decoder[Any]:
    """Return a decoder for an array of frames, or for a frame alone; in a list format each frame is an array."""
    kind: Any = None
    for frame_class in CLASSES[simple].values():
        kind = frame_class if kind is None else kind | frame_class
    if listed:
        kind = list[kind]
    return msgspec.json.Decoder(kind if alone else list[kind])


# --- frames → rows ------------------------------------------------------------------------------


def _spelling(frame: bytes) -> tuple[bool, bool]:
    """Return whether a frame has short keys, and whether it is a list."""
    listed = frame[:1] == b"["
    head = frame[1:7] if listed else frame[:6]
    if head[:5] == b'{"ty"':
        return True, listed
    if head == b'{"type':
        return False, listed
    return b'"ty"' in frame and b'"type"' not in frame, frame.lstrip()[:1] == b"["


def decode(
    frames: Sequence[bytes], received: Sequence[int], *, assume: str | None = None
) -> tuple[list[Row], list[SchemaError]]:
    """Decode data frames into rows, in order.

    Parameters
    ----------
    frames : sequence of bytes
        In any format, also mixed.
    received : sequence of int
        When each arrived, microseconds UTC.
    assume : str, optional
        The type of frames without a type field, as in some recordings.

    Returns
    -------
    rows : list
    refused : list of SchemaError
        An error for each frame that is not what the API promises, with ``path`` and ``sample``.
    """
    rows: list[Row] = []
    refused: list[SchemaError] = []
    at, total = 0, len(frames)
    while at < total:
        spelling, end = _spelling(frames[at]), at + 1
        while end < total and _spelling(frames[end]) == spelling:
            end += 1
        _decode_alike(frames[at:end], received[at:end], spelling, assume, rows, refused)
        at = end
    return rows, refused


def _decode_alike(
    frames: Sequence[bytes], received: Sequence[int], spelling: tuple[bool, bool], assume: str | None,
    rows: list[Row], refused: list[SchemaError],
) -> None:  # fmt: skip
    """Decode frames of the same spelling with a single call; separately if any of them is invalid."""
    decoder, listed = _decoder(*spelling), spelling[1]
    try:
        decoded = decoder.decode(b"[%b]" % b",".join(frames))
        if len(decoded) != len(frames):
            raise msgspec.ValidationError("a frame holds more than one value")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if len(frames) > 1:
            for frame, moment in zip(frames, received, strict=True):
                _decode_alike([frame], [moment], spelling, assume, rows, refused)
        elif assume is not None and b'"ty' not in frames[0]:
            named = frames[0].replace(b"{", b'{"type":"%b",' % assume.encode())
            _decode_alike([named], received, (False, listed), None, rows, refused)
        else:
            refused.append(_refused(frames[0], spelling))
        return
    if listed:
        for part, moment in zip(decoded, received, strict=True):
            for row in part:
                _stamp(row, moment)
            rows += part
        return
    for row, moment in zip(decoded, received, strict=True):
        _stamp(row, moment)
    rows += decoded


def _stamp(row: Row, moment: int) -> None:
    """Set when a row arrived, and convert its own times to milliseconds."""
    row.received_at = moment
    if row.timestamp >= _MICROS:
        row.timestamp //= 1000
    if getattr(row, "trade_timestamp", 0) >= _MICROS:
        row.trade_timestamp //= 1000


def _refused(frame: bytes, spelling: tuple[bool, bool]) -> SchemaError:
    """Return the error of a frame; decoded alone, so that paths count from its own beginning."""
    try:
        _decoder(*spelling, alone=True).decode(frame)
    except msgspec.ValidationError as error:
        return refusal(frame, *located(str(error)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return refusal(frame, no_json(frame, error), "$")
    return refusal(frame, "it holds more than one value", "$")


class Control(NamedTuple):
    """A frame that is not data.

    Attributes
    ----------
    kind : {"status", "error", "subscriptions", "unknown"}
    name, text : str
        Of an error: its name and message. Of anything else ``text`` has its content.
    """

    kind: str
    name: str
    text: str


def _word(value: object) -> str:
    """Return a text or number as text, bounded; empty for anything else, which may be nested without end."""
    return str(value)[:200] if isinstance(value, str | int | float) else ""


def control(frame: bytes) -> Control | None:
    """Parse a frame that is not data; None where it is data, or should be.

    Examples
    --------
    >>> control(b'{"error":{"name":"NO_TICKET","message":"..."}}').name
    'NO_TICKET'
    >>> control(b'{"type":"trade"}') is None
    True
    """
    # Data begins with its type in every format; only other frames are parsed here.
    if frame.startswith((b'{"ty', b'[{"ty')):
        return None
    try:
        value = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return Control("unknown", "", frame[:200].decode("utf-8", "replace"))
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return None if isinstance(value, list) else Control("unknown", "", _word(value))
    if isinstance(value.get("error"), dict):
        error = value["error"]
        return Control("error", _word(error.get("name")), _word(error.get("message")))
    if "status" in value:
        return Control("status", "", _word(value["status"]))
    if value.get("method", value.get("mthd")) is not None:
        return Control("subscriptions", _word(value.get("method", value.get("mthd"))), frame.decode("utf-8", "replace"))
    return None if "code" in value or "cd" in value else Control("unknown", "", frame[:200].decode("utf-8", "replace"))
