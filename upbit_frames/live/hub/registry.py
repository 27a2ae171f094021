"""One hub for each exchange and set of settings, on the background loop."""

from __future__ import annotations

import itertools

from upbit_frames.core.config import Config
from upbit_frames.live.hub.backfill import RestBackfill
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.substitution import Source, StreamSubstitute, active
from upbit_frames.router.ports import Ports
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.fork import on_fork

__all__ = ["close_all", "close_hubs", "hub_for", "release"]

_hubs: dict[tuple[object, ...], Hub] = {}
_count = itertools.count(1)


@on_fork
def _after_fork() -> None:
    _hubs.clear()


def hub_for(config: Config, ports: Ports) -> Hub:
    """Return the hub of these settings; must be called on the background loop, where it lives."""
    substitution = active()
    streams = None if substitution is None else substitution.streams
    own = 0 if streams is None or streams.shared else next(_count)
    key = (config.ws_url, config.rest_url, config.timeout, config.rate, id(streams), id(ports.api.transport), own)
    if key not in _hubs:
        for idle in [key for key in _hubs if key[-1] and not _hubs[key].subscribers]:
            del _hubs[idle]
        if not _hubs:
            event_loop.at_exit(close_all)
        _hubs[key] = _make(config, ports, streams)
    return _hubs[key]


def _make(config: Config, ports: Ports, streams: StreamSubstitute | None) -> Hub:
    from upbit_frames.exchange.transport.rate_limiter import limiter_for
    from upbit_frames.exchange.transport.websocket import SocketDialer

    clock = ports.clock if streams is None else streams.clock
    dialer = SocketDialer(
        config.ws_url, clock=clock, limiter=limiter_for(config.ws_url, rate=config.rate), timeout=config.timeout
    )
    source = Source(dialer, RestBackfill(ports), clock, ports.server_time)
    if streams is not None:
        source = streams.source(config, source)
    return Hub(
        source.dialer, source.backfill, clock=source.clock, server_time=source.server_time,
        tempo=source.tempo, on_subscribe=source.on_subscribe, linger=source.linger,
    )  # fmt: skip


async def release(rest: object) -> None:
    """End the hubs of a REST transport that have no subscriber, on the background loop."""
    for key in [key for key, hub in _hubs.items() if key[5] == id(rest) and not hub.subscribers]:
        await _hubs.pop(key).aclose()


async def close_all() -> None:
    """End every hub."""
    hubs = list(_hubs.values())
    _hubs.clear()
    for hub in hubs:
        await hub.aclose()


async def close_hubs(streams: StreamSubstitute) -> None:
    """End every stream whose frames come from a substitute, on the background loop."""
    for key in [key for key in _hubs if key[4] == id(streams)]:
        await _hubs.pop(key).aclose()
