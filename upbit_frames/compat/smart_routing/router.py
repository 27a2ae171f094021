"""``SmartRouter`` and its helpers: the older system's interface on top of the public calls."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import upbit_frames as uf
from upbit_frames.compat.smart_routing import reading
from upbit_frames.compat.smart_routing.answers import Rows, answered, newest_with_list, unified
from upbit_frames.compat.smart_routing.kinds import (
    ChannelDecision,
    ChannelType,
    DataRequest,
    DataType,
    RealtimePriority,
)
from upbit_frames.errors import QueryError

__all__ = ["ChannelSelector", "DataFormatUnifier", "SmartRouter", "get_smart_router", "initialize_smart_router"]

Symbols = str | list[str]


class ChannelSelector:
    """Predicts which channel a call would take, without a request."""

    def select_channel(self, request: DataRequest) -> ChannelDecision:
        """Return the channel of a ticker or order book now, and the name of the rule."""
        call = request.data_type.value
        if call not in ("ticker", "orderbook"):
            raise QueryError(f"only ticker and orderbook are chosen by rules, got {call!r}")
        answer = uf.explain(call, reading.markets_of(request.symbols))
        channel = ChannelType.WEBSOCKET if answer.channel == "live" else ChannelType.REST_API
        return ChannelDecision(channel, answer.rule, metadata={"reason": answer.reason})


class DataFormatUnifier:
    """The nested form of rows that the older system gave."""

    def unify(self, rows: list[dict[str, Any]], source: str) -> dict[str, Any]:
        """Return one row with a note, or several under ``data``."""
        return unified(Rows(rows, source, ""), many=len(rows) != 1)


class SmartRouter:
    """Tickers, order books, trades and candles as dicts of Upbit's field names; every call is a coroutine.

    Each gives ``{success, data, metadata, source, timestamp, response_time_ms[, error]}``. ``source``
    is the true one: ``websocket``, ``rest_api`` or ``cache``. A failure has ``success: False``, the
    error's text and ``data: None``; nothing is raised and nothing invented. ``realtime_priority``
    is accepted and changes nothing, because rules decide.
    """

    def __init__(self, source: str = "auto") -> None:
        self.is_initialized = False
        self._source: Any = source

    async def initialize(self, websocket_manager: Any = None, rest_manager: Any = None) -> bool:
        """Do nothing: connections open when they are needed. The arguments are not used."""
        self.is_initialized = True
        return True

    async def get_data(self, request: DataRequest) -> dict[str, Any]:
        """Answer a request of any kind."""
        kind, symbols = request.data_type, request.symbols
        count = 100 if request.count is None else request.count
        if kind is DataType.TICKER:
            return await self.get_ticker(symbols)
        if kind is DataType.ORDERBOOK:
            return await self.get_orderbook(symbols)
        if kind is DataType.TRADES:
            return await self.get_trades(symbols, count)
        if kind in (DataType.CANDLES, DataType.CANDLES_1S):
            interval = "1s" if kind is DataType.CANDLES_1S else request.interval or "1m"
            return await self.get_candles(symbols, interval, count, request.to)

        async def refuse() -> Rows:
            raise QueryError(f"{kind.value} is not part of upbit_frames, which only reads market data")

        return await answered(refuse, _listed)

    async def get_ticker(
        self,
        symbols: Symbols,
        realtime_priority: RealtimePriority = RealtimePriority.MEDIUM,
        *,
        legacy: bool = False,
    ) -> dict[str, Any]:
        """Read tickers: ``data`` is one dict for one market, a list for several.

        ``legacy=True`` gives the nested form of the older system.
        """
        return await answered(lambda: self._tickers(symbols), _shape(legacy))

    async def _tickers(self, symbols: Symbols) -> Rows:
        return await reading.tickers(reading.markets_of(symbols), self._source)

    async def get_orderbook(
        self, symbols: Symbols, realtime_priority: RealtimePriority = RealtimePriority.HIGH, *, legacy: bool = False
    ) -> dict[str, Any]:
        """Return order books; the shapes are those of :meth:`get_ticker`."""
        return await answered(lambda: self._books(symbols), _shape(legacy))

    async def _books(self, symbols: Symbols) -> Rows:
        return await reading.orderbooks(reading.markets_of(symbols), self._source)

    async def get_trades(
        self, symbols: Symbols, count: int = 100, realtime_priority: RealtimePriority = RealtimePriority.MEDIUM
    ) -> dict[str, Any]:
        """Return the newest trades, newest first: a list."""

        async def work() -> Rows:
            return await reading.trades(reading.markets_of(symbols), reading.positive(count), self._source)

        return await answered(work, _listed)

    async def get_candles(
        self, symbols: Symbols, interval: str = "1m", count: int = 1, to: Any = None, *, legacy: bool = False
    ) -> dict[str, Any]:
        """Return candles as Upbit's rows, newest first: a list.

        Parameters
        ----------
        symbols : str or list of str
            Several follow one after the other.
        interval : str
            Any that ``uf.candles`` knows.
        count : int
        to : str or datetime, optional
            Exclusive. Without it the running candle is the first row.
        legacy : bool
            The newest candle's dict with all of them under ``_candles_list``.
        """

        async def work() -> Rows:
            return await reading.candles(reading.markets_of(symbols), interval, reading.positive(count), to)

        return await answered(work, newest_with_list if legacy else _listed)

    # --- what happened -------------------------------------------------------------------------------

    def get_metrics(self) -> dict[str, Any]:
        """Return counts of this process, from ``uf.metrics``."""
        calls = uf.metrics("calls")
        channels = calls["channel"].fillna("").astype(str)
        total = len(calls)
        hits = int(uf.metrics("channel")["hits"].sum())
        return {
            "total_requests": total,
            "websocket_requests": int(channels.str.contains("live").sum()),
            "rest_requests": int((calls["requests"] > 0).sum()),
            "avg_response_time_ms": float(calls["seconds"].mean() * 1000) if total else None,
            "accuracy_rate": None,  # nothing is predicted, so nothing can be right or wrong
            "cache_hit_ratio": hits / total if total else None,
        }

    def get_performance_summary(self) -> dict[str, Any]:
        """Return counts, streams and cache."""
        return {
            "routing_metrics": self.get_metrics(),
            "channel_selector": {
                "websocket_status": uf.metrics.streams,
                "rate_limits": {
                    "rate": uf.config.rate,
                    "refusals": self._sum("refusals"),
                    "retries": self._sum("retries"),
                },
                "pattern_analyzer": None,
            },
            "cache_status": self.get_cache_info(),
        }

    def _sum(self, column: str) -> int:
        return int(uf.metrics("calls")[column].sum())

    def reset_metrics(self) -> None:
        """Reset the counters."""
        uf.metrics.reset()

    def clear_cache(self) -> None:
        """Drop what is kept in memory; the store on disk stays (``uf.cache.clear`` is for that)."""
        reading.forget()

    def get_cache_info(self) -> dict[str, Any]:
        """Return rows kept in memory; sealed candles never expire, and nothing else is kept."""
        return {"cache_size": reading.kept_rows(), "cache_ttl": None}

    async def cleanup_resources(self) -> None:
        """Do nothing: unused connections close by themselves."""
        self.is_initialized = False

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cleanup_resources()


def _shape(legacy: bool) -> Callable[[Rows], Any]:
    def shape(answer: Rows) -> Any:
        if legacy:
            return unified(answer, many=len(answer.rows) != 1)
        return answer.rows[0] if len(answer.rows) == 1 else answer.rows

    return shape


def _listed(answer: Rows) -> list[dict[str, Any]]:
    return answer.rows


_router: SmartRouter | None = None


def get_smart_router() -> SmartRouter:
    """Return the one router of the process."""
    global _router
    if _router is None:
        _router = SmartRouter()
    return _router


async def initialize_smart_router(websocket_manager: Any = None, rest_manager: Any = None) -> SmartRouter:
    """Return the one router of the process, initialized."""
    router = get_smart_router()
    await router.initialize(websocket_manager, rest_manager)
    return router
