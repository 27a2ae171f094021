"""What lives on the background loop: one set of ports and a router for each way of asking.

Settings that only change how an answer looks do not make a new engine, so every client of the
same exchange and store shares its connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upbit_frames.archive.importer import Archive
from upbit_frames.core.config import Config
from upbit_frames.core.endpoints import ARCHIVE_LISTING_URL, ARCHIVE_URL
from upbit_frames.datasets.collect.market_lists import MarketKeeper, MarketLists
from upbit_frames.live.channel import LiveChannel
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.substitution import active
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import Ports
from upbit_frames.router.quotes import QuoteRouter
from upbit_frames.router.trades import TradeRouter
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.clock import Clock, ServerTime, SystemClock
from upbit_frames.runtime.fork import on_fork
from upbit_frames.store.base import Store

if TYPE_CHECKING:
    from upbit_frames.router.shared_store import SharedShelf

__all__ = ["Engine", "engine_for", "open_store"]


MAX_ENGINES = 16  # kept; beyond that the one that was idle longest is closed


@dataclass
class Engine:
    """Ports and router of one exchange and store."""

    ports: Ports
    live: LiveChannel
    candles: CandleRouter
    trades: TradeRouter
    quotes: QuoteRouter
    lists: MarketLists | None  # None where the store is in memory

    @property
    def idle(self) -> bool:
        """Whether nothing is under way or subscribed to."""
        return self.live.idle and all(port.idle for port in self._closable())

    async def aclose(self) -> None:
        """Close the connections; what still holds this engine opens new ones when it needs them."""
        from upbit_frames.live.hub.registry import release

        await release(self.ports.api.transport)
        for port in self._closable():
            if port.idle:
                await port.aclose()

    def _closable(self) -> list[Any]:
        archive = self.ports.archive.transport if self.ports.archive is not None else None
        return [port for port in (self.ports.api.transport, archive) if hasattr(port, "aclose")]


_lock = threading.Lock()
_engines: dict[tuple[object, ...], Engine] = {}
_clocks: dict[str, ServerTime] = {}
_generation: int | None = None


@on_fork
def _after_fork() -> None:
    # Another thread may have held the lock; what the engines stand on is the parent's.
    global _lock
    _lock = threading.Lock()
    _engines.clear()
    _clocks.clear()


def store_root(config: Config) -> Path:
    """The store's folder: data of different exchanges never share one."""
    return config.cache_dir / config.origin if config.origin else config.cache_dir


def open_store(config: Config) -> Store:
    """The Parquet store of these settings."""
    from upbit_frames.store.parquet import ParquetStore

    return ParquetStore(store_root(config))


def engine_for(config: Config) -> Engine:
    """Return the engine of these settings, built on first use and again after a fork."""
    global _generation
    substitution = active()
    ports = None if substitution is None else substitution.ports_for(config)
    if ports is not None:
        return _engine_of(ports, config)
    key = _key(config)
    generation = event_loop.generation()
    retired: list[Engine] = []
    with _lock:
        if generation != _generation:
            _engines.clear()
            _generation = generation
            event_loop.at_exit(_close_all)
        engine = _engines.pop(key, None)
        if engine is None:
            retired = _pop_idle()
            engine = _build_engine(config)
        _engines[key] = engine  # the last one is the one used last
    for old in retired:
        event_loop.start(old.aclose)
    return engine


def _key(config: Config) -> tuple[object, ...]:
    return (
        config.rest_url, str(config.cache_dir), config.timeout, config.rate, config.region,
        config.archive, config.archive_url, config.archive_listing_url, config.ws_url,
        config.shared_store,
    )  # fmt: skip


def _pop_idle() -> list[Engine]:
    """Take the engines that were idle longest out, so that there is room for one more."""
    idle = [key for key, engine in _engines.items() if engine.idle]
    return [_engines.pop(key) for key in idle[: max(0, len(_engines) + 1 - MAX_ENGINES)]]


def is_open(config: Config) -> bool:
    """Whether there is an engine of these settings."""
    with _lock:
        return _key(config) in _engines


async def release(config: Config) -> None:
    """Close the connections of an engine that nothing uses at present, on the background loop."""
    with _lock:
        engine = _engines.get(_key(config))
        if engine is not None and engine.idle:
            del _engines[_key(config)]
    if engine is not None:
        await engine.aclose()


async def _close_all() -> None:
    with _lock:
        engines = list(_engines.values())
        _engines.clear()
    for engine in engines:
        for port in engine._closable():
            await port.aclose()


def server_now(config: Config) -> Callable[[], int]:
    """What reads the time of the exchange of these settings, as far as it is known; of a replay the recorded one."""
    return lambda: engine_for(config).ports.server_time.now()


def live_ports(config: Config, store: Store | None = None) -> Ports:
    """Ports that reach the real exchange of these settings."""
    from upbit_frames.exchange.rest_api import RestApi
    from upbit_frames.exchange.transport.rate_limiter import limiter_for
    from upbit_frames.exchange.transport.rest import RestTransport

    clock = SystemClock()
    server_time = _clocks.setdefault(config.rest_url, ServerTime(clock))
    rest = RestTransport(
        config.rest_url,
        clock=clock,
        server_time=server_time,
        limiter=limiter_for(config.rest_url, rate=config.rate),
        timeout=config.timeout,
    )
    return Ports(
        RestApi(rest),
        open_store(config) if store is None else store,
        clock,
        server_time,
        archive=_archive(config, clock),
        archive_allowed=config.archive,
        shared=_shelf(config, clock),
        rate=config.rate,
    )


def _shelf(config: Config, clock: Clock) -> SharedShelf | None:
    if not config.shared_store:
        return None
    from upbit_frames.router.shared_store import SharedShelf
    from upbit_frames.store.object_store import ObjectStore

    return SharedShelf(ObjectStore(config.shared_store, config.origin), clock)


def _archive(config: Config, clock: Clock) -> Archive | None:
    """The published files of the exchange that answers REST; never those of another one."""
    official = (config.archive_url, config.archive_listing_url) == (ARCHIVE_URL, ARCHIVE_LISTING_URL)
    if official != (config.origin == ""):
        return None
    return Archive(_LazyArchive(config, clock), clock.monotonic)


class _LazyArchive:
    """Opens the archive's transport when it is first needed, on the loop that needs it."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._transport: Any = None

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._transport is None or bool(self._transport.idle)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.aclose()

    def __getattr__(self, name: str) -> Any:
        if self._transport is None:
            from upbit_frames.archive.client import ArchiveTransport

            self._transport = ArchiveTransport(
                self._config.archive_url, self._config.archive_listing_url, clock=self._clock,
                folder=store_root(self._config) / "_archive", timeout=self._config.timeout,
            )  # fmt: skip
        return getattr(self._transport, name)


def _build_engine(config: Config) -> Engine:
    return _engine_of(live_ports(config), config)


def _engine_of(ports: Ports, config: Config) -> Engine:
    def hub() -> Hub:
        from upbit_frames.live.hub.registry import hub_for

        return hub_for(config, ports)

    live = LiveChannel(hub, allowed=ports.streams)
    lists = None if ports.store.path is None else MarketLists(ports.store.path)
    quotes = QuoteRouter(ports, config.region, live, None if lists is None else MarketKeeper(lists))
    return Engine(ports, live, CandleRouter(ports, live), TradeRouter(ports, live), quotes, lists)
