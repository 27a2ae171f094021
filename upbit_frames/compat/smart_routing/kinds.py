"""Names and records of the older system's interface."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = [
    "ChannelDecision",
    "ChannelType",
    "DataRequest",
    "DataType",
    "FrequencyAnalysis",
    "RealtimePriority",
    "RoutingMetrics",
]


class ChannelType(Enum):
    """Where an answer comes from."""

    WEBSOCKET = "websocket"
    REST_API = "rest_api"


class DataType(Enum):
    """What is read; orders and accounts are named but not part of this package."""

    TICKER = "ticker"
    ORDERBOOK = "orderbook"
    TRADES = "trades"
    CANDLES = "candles"
    CANDLES_1S = "candles_1s"
    ACCOUNTS = "accounts"
    ORDERS = "orders"
    DEPOSITS = "deposits"
    WITHDRAWS = "withdraws"


class RealtimePriority(Enum):
    """How fresh an answer should be; a hint that changes nothing here, since the rules decide."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass
class DataRequest:
    """One request, for :meth:`SmartRouter.get_data`."""

    symbols: str | list[str]
    data_type: DataType
    realtime_priority: RealtimePriority = RealtimePriority.MEDIUM
    count: int | None = None
    interval: str | None = None
    to: str | None = None


@dataclass(frozen=True)
class ChannelDecision:
    """Which channel a call would take now, and why; see :meth:`ChannelSelector.select_channel`."""

    channel: ChannelType
    reason: str
    confidence: float = 1.0
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FrequencyAnalysis:
    """How often something was read."""

    category: str
    calls: int


@dataclass(frozen=True)
class RoutingMetrics:
    """What the calls of this process did."""

    total_requests: int
    websocket_requests: int
    rest_requests: int
    avg_response_time_ms: float | None
    accuracy_rate: float | None
    cache_hit_ratio: float | None
