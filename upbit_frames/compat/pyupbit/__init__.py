"""A drop-in for pyupbit's quotation functions and streams.

>>> import upbit_frames.compat.pyupbit as pyupbit
>>> df = pyupbit.get_ohlcv("KRW-BTC", "minute60", count=1000)  # doctest: +SKIP

Results are those of pyupbit 0.2.34: frames with Korean time as a naive index, None where candles
cannot be fetched, plain numbers and dicts. Behind them stand the store, the limiter and the retries of
this package: what was read once is not fetched again. Where being faithful is a trap, a
``CompatWarning`` says so, once a call site; :func:`configure` makes the drop-in stricter.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from upbit_frames.compat.pyupbit import settings as _state
from upbit_frames.compat.pyupbit.errors import (
    CreateAskError,
    CreateBidError,
    ExpiredAccessKey,
    InsufficientFundsAsk,
    InsufficientFundsBid,
    InValidAccessKey,
    InvalidQueryPayload,
    JwtVerification,
    NoAutorizationIP,
    NonceUsed,
    OutOfScope,
    RemainingReqParsingError,
    TooManyRequests,
    UnderMinTotalAsk,
    UnderMinTotalBid,
    ValidationError,
    WidthdrawAddressNotRegisterd,
    error_handler,
)
from upbit_frames.compat.pyupbit.quotation_api import (
    get_current_price,
    get_daily_ohlcv_from_base,
    get_ohlcv,
    get_ohlcv_from,
    get_orderbook,
    get_tick_size,
    get_tickers,
    get_url_ohlcv,
)
from upbit_frames.compat.pyupbit.settings import configure
from upbit_frames.compat.pyupbit.websocket_api import WebSocketClient, WebSocketManager
from upbit_frames.compat.sites import CompatWarning
from upbit_frames.errors import UsageError

if TYPE_CHECKING:
    import datetime  # noqa: ICN001 - the name that scripts use
    import json
    import time

    import pandas as pd

__version__ = "0.2.33"  # what the wheel of 0.2.34 says of itself

# Modules that pyupbit leaks and scripts have come to use.
_LEAKED = {"pd": "pandas", "datetime": "datetime", "time": "time", "json": "json", "requests": "requests"}

__all__ = [
    "CompatWarning",
    "CreateAskError",
    "CreateBidError",
    "ExpiredAccessKey",
    "InValidAccessKey",
    "InsufficientFundsAsk",
    "InsufficientFundsBid",
    "InvalidQueryPayload",
    "JwtVerification",
    "NoAutorizationIP",
    "NonceUsed",
    "OutOfScope",
    "RemainingReqParsingError",
    "TooManyRequests",
    "UnderMinTotalAsk",
    "UnderMinTotalBid",
    "Upbit",
    "ValidationError",
    "WebSocketClient",
    "WebSocketManager",
    "WidthdrawAddressNotRegisterd",
    "configure",
    "datetime",
    "error_handler",
    "get_current_price",
    "get_daily_ohlcv_from_base",
    "get_ohlcv",
    "get_ohlcv_from",
    "get_orderbook",
    "get_tick_size",
    "get_tickers",
    "get_url_ohlcv",
    "json",
    "pd",
    "time",
]


class Upbit:
    """pyupbit's class for orders and accounts, which this read-only package does not have."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        raise UsageError("orders are not part of upbit_frames; keep `import pyupbit` for them")


def __getattr__(name: str) -> Any:
    if name == "last_error":
        return _state.last_error()
    if name in _LEAKED:
        return importlib.import_module(_LEAKED[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
