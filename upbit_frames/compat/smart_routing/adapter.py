"""The adapter in front of the router, and its module-level functions."""

from __future__ import annotations

from typing import Any

from upbit_frames.compat.smart_routing.kinds import RealtimePriority
from upbit_frames.compat.smart_routing.router import SmartRouter, Symbols

__all__ = [
    "SmartRouterMainAdapter",
    "get_candles",
    "get_market_data_adapter",
    "get_orderbook",
    "get_ticker",
    "initialize_market_data_adapter",
]

MOST_TRADES = 500


class SmartRouterMainAdapter:
    """Market data as dicts; see :class:`SmartRouter` for what they hold.

    Parameters
    ----------
    enable_smart_routing : bool
        Without it REST answers everything that is true only now.
    """

    def __init__(self, enable_smart_routing: bool = True) -> None:
        self.enable_smart_routing = enable_smart_routing
        self.smart_router = SmartRouter("auto" if enable_smart_routing else "rest")
        self.is_initialized = False

    async def initialize(self) -> bool:
        """Do nothing: connections open when they are needed."""
        self.is_initialized = await self.smart_router.initialize()
        return self.is_initialized

    async def get_ticker_data(
        self, symbols: Symbols, use_cache: bool = True, *, legacy: bool = False
    ) -> dict[str, Any]:
        """Return tickers; ``use_cache`` changes nothing, since prices are never kept."""
        return await self.smart_router.get_ticker(symbols, legacy=legacy)

    async def get_candle_data(
        self, symbols: Symbols, interval: str = "1m", count: int = 100, use_cache: bool = True, *, legacy: bool = False
    ) -> dict[str, Any]:
        """Return candles, newest first; ``use_cache`` changes nothing, since only sealed candles are kept."""
        return await self.smart_router.get_candles(symbols, interval, count, legacy=legacy)

    async def get_orderbook_data(
        self, symbols: Symbols, use_cache: bool = True, *, legacy: bool = False
    ) -> dict[str, Any]:
        """Return order books; ``use_cache`` changes nothing, since books are never kept."""
        return await self.smart_router.get_orderbook(symbols, legacy=legacy)

    async def get_trades(
        self, symbols: Symbols, count: int = 100, realtime_priority: RealtimePriority = RealtimePriority.MEDIUM
    ) -> dict[str, Any]:
        """Return the newest trades, at most 500 of each market."""
        most = min(count, MOST_TRADES) if isinstance(count, int) else count
        return await self.smart_router.get_trades(symbols, most, realtime_priority)

    def get_performance_summary(self) -> dict[str, Any]:
        """Return counts, streams and cache."""
        if not self.enable_smart_routing:
            return {
                "smart_routing_enabled": False,
                "adapter_initialized": self.is_initialized,
                "message": "smart routing is off: REST answers everything that is true only now",
            }
        return self.smart_router.get_performance_summary()

    async def cleanup(self) -> None:
        """Do nothing: unused connections close by themselves."""
        await self.smart_router.cleanup_resources()
        self.is_initialized = False


_adapter: SmartRouterMainAdapter | None = None


def get_market_data_adapter(enable_smart_routing: bool = True) -> SmartRouterMainAdapter:
    """Return the one adapter of the process; the argument counts at the first call only."""
    global _adapter
    if _adapter is None:
        _adapter = SmartRouterMainAdapter(enable_smart_routing)
    return _adapter


async def initialize_market_data_adapter(enable_smart_routing: bool = True) -> SmartRouterMainAdapter:
    """Return the one adapter of the process, initialized."""
    adapter = get_market_data_adapter(enable_smart_routing)
    await adapter.initialize()
    return adapter


async def get_ticker(symbols: Symbols, *, legacy: bool = False) -> dict[str, Any]:
    """Return tickers of one or several markets; see :class:`SmartRouter`."""
    return await get_market_data_adapter().get_ticker_data(symbols, legacy=legacy)


async def get_candles(
    symbols: Symbols, interval: str = "1m", count: int = 100, *, legacy: bool = False
) -> dict[str, Any]:
    """Return candles of one or several markets, newest first; see :class:`SmartRouter`."""
    return await get_market_data_adapter().get_candle_data(symbols, interval, count, legacy=legacy)


async def get_orderbook(symbols: Symbols, *, legacy: bool = False) -> dict[str, Any]:
    """Return order books of one or several markets; see :class:`SmartRouter`."""
    return await get_market_data_adapter().get_orderbook_data(symbols, legacy=legacy)
