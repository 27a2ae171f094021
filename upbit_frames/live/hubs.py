"""One hub for each exchange and way of asking, on the background loop."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from upbit_frames import _bridge
from upbit_frames.config import Config
from upbit_frames.live.feed import Hub
from upbit_frames.live.over_rest import RestMender
from upbit_frames.ports import Ports
from upbit_frames.transport.ws_connection import Dialer

__all__ = ["hub_for", "substitute_dialer"]

_hubs: dict[tuple[object, ...], Hub] = {}
_substitute: Callable[[Config, Dialer], Dialer] | None = None


def _after_fork() -> None:
    _hubs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def hub_for(config: Config, ports: Ports) -> Hub:
    """The hub of these settings; must be called on the background loop, where it lives."""
    key = (config.ws_url, config.rest_url, config.timeout, config.rate, id(_substitute), id(ports.rest))
    if key not in _hubs:
        if not _hubs:
            _bridge.at_exit(close_all)
        _hubs[key] = _make(config, ports)
    return _hubs[key]


def _make(config: Config, ports: Ports) -> Hub:
    from upbit_frames.transport.limiter import limiter_for
    from upbit_frames.transport.ws import SocketDialer

    dialer: Dialer = SocketDialer(
        config.ws_url, clock=ports.clock, limiter=limiter_for(config.ws_url, rate=config.rate), timeout=config.timeout
    )
    if _substitute is not None:
        dialer = _substitute(config, dialer)
    mender = RestMender(ports.rest, ports.clock, ports.server_time)
    return Hub(dialer, mender, clock=ports.clock, server_time=ports.server_time)


async def close_all() -> None:
    """End every hub."""
    hubs = list(_hubs.values())
    _hubs.clear()
    for hub in hubs:
        await hub.aclose()


@contextlib.contextmanager
def substitute_dialer(factory: Callable[[Config, Dialer], Dialer]) -> Iterator[None]:
    """Let every stream of the process come from somewhere else, or be listened to, as a tape needs it.

    ``factory`` gets the settings and what would be dialled, and gives what is. Streams that are
    open already stay as they are.
    """
    global _substitute
    before, _substitute = _substitute, factory
    try:
        yield
    finally:
        _bridge.run(_close_substituted)
        _substitute = before


async def _close_substituted() -> None:
    for key in [one for one in _hubs if one[4] == id(_substitute)]:
        await _hubs.pop(key).aclose()
