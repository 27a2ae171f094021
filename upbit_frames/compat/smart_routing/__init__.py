"""A drop-in for an older smart-routing system: the same names, coroutines and dicts.

>>> from upbit_frames.compat import smart_routing
>>> result = await smart_routing.get_ticker("KRW-BTC")  # doctest: +SKIP
>>> result["data"]["trade_price"], result["metadata"]["channel"], result["source"]  # doctest: +SKIP

One dict has both of its shapes. The source is the true one, a failure is ``success: False`` with
the error's text and no data, and every dict is JSON.
"""

from __future__ import annotations

from upbit_frames.compat.smart_routing.adapter import (
    SmartRouterMainAdapter,
    get_candles,
    get_market_data_adapter,
    get_orderbook,
    get_ticker,
    initialize_market_data_adapter,
)
from upbit_frames.compat.smart_routing.kinds import (
    ChannelDecision,
    ChannelType,
    DataRequest,
    DataType,
    FrequencyAnalysis,
    RealtimePriority,
    RoutingMetrics,
)
from upbit_frames.compat.smart_routing.router import (
    ChannelSelector,
    DataFormatUnifier,
    SmartRouter,
    get_smart_router,
    initialize_smart_router,
)

__version__ = "2.0.0"

__all__ = [
    "ChannelDecision",
    "ChannelSelector",
    "ChannelType",
    "DataFormatUnifier",
    "DataRequest",
    "DataType",
    "FrequencyAnalysis",
    "RealtimePriority",
    "RoutingMetrics",
    "SmartRouter",
    "SmartRouterMainAdapter",
    "get_candles",
    "get_market_data_adapter",
    "get_orderbook",
    "get_smart_router",
    "get_ticker",
    "initialize_market_data_adapter",
    "initialize_smart_router",
]
