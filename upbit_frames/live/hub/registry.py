"""One hub for each exchange and way of asking, on the background loop."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from upbit_frames.core.config import Config
from upbit_frames.core.topics import Topic
from upbit_frames.errors import UsageError
from upbit_frames.exchange.transport.reconnecting import Dialer
from upbit_frames.live.hub.backfill import Mender, RestMender
from upbit_frames.live.hub.hub import LINGER, Hub
from upbit_frames.live.hub.subscriber import Tempo
from upbit_frames.router.ports import Ports
from upbit_frames.runtime import event_loop as _bridge
from upbit_frames.runtime.clock import Clock, ServerTime

__all__ = ["Source", "Substitute", "hub_for", "insert", "remove"]


@dataclass(frozen=True)
class Source:
    """Where the frames of a hub come from, and what time it is there.

    Attributes
    ----------
    dialer, mender, clock, server_time
    tempo : Tempo or None
        How the time of the frames goes; None where it is everybody's time.
    joined : callable, optional
        Told the topics of every stream that begins, and those of them whose state is known already.
    linger : float
        Seconds for which a connection stays open that nobody listens to any more.
    """

    dialer: Dialer
    mender: Mender
    clock: Clock
    server_time: ServerTime
    tempo: Tempo | None = None
    joined: Callable[[frozenset[Topic], frozenset[Topic]], None] | None = None
    linger: float = LINGER


class Substitute(Protocol):
    """What stands in for the exchange's streams, as a tape does.

    Attributes
    ----------
    clock : Clock
        For what really comes over the wire.
    shared : bool
        Whether streams share a hub; else each gets its own.
    """

    clock: Clock

    @property
    def shared(self) -> bool:
        """See above."""

    def source(self, config: Config, live: Source) -> Source:
        """Where one more hub shall have its frames from, given where it would have them from."""


_hubs: dict[tuple[object, ...], Hub] = {}
_substitute: Substitute | None = None
_count = itertools.count(1)


def _after_fork() -> None:
    _hubs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def hub_for(config: Config, ports: Ports) -> Hub:
    """The hub of these settings; must be called on the background loop, where it lives."""
    own = 0 if _substitute is None or _substitute.shared else next(_count)
    key = (config.ws_url, config.rest_url, config.timeout, config.rate, id(_substitute), id(ports.api.transport), own)
    if key not in _hubs:
        for idle in [one for one in _hubs if one[-1] and not _hubs[one].listeners]:
            del _hubs[idle]
        if not _hubs:
            _bridge.at_exit(close_all)
        _hubs[key] = _make(config, ports)
    return _hubs[key]


def _make(config: Config, ports: Ports) -> Hub:
    from upbit_frames.exchange.transport.rate_limiter import limiter_for
    from upbit_frames.exchange.transport.websocket import SocketDialer

    clock = ports.clock if _substitute is None else _substitute.clock
    dialer = SocketDialer(
        config.ws_url, clock=clock, limiter=limiter_for(config.ws_url, rate=config.rate), timeout=config.timeout
    )
    mender = RestMender(ports)
    source = Source(dialer, mender, clock, ports.server_time)
    if _substitute is not None:
        source = _substitute.source(config, source)
    return Hub(
        source.dialer, source.mender, clock=source.clock, server_time=source.server_time,
        tempo=source.tempo, joined=source.joined, linger=source.linger,
    )  # fmt: skip


async def release(rest: object) -> None:
    """End the hubs that stand on a REST transport and that nobody listens to, on the background loop."""
    for key in [key for key, hub in _hubs.items() if key[5] == id(rest) and not hub.listeners]:
        await _hubs.pop(key).aclose()


async def close_all() -> None:
    """End every hub."""
    hubs = list(_hubs.values())
    _hubs.clear()
    for hub in hubs:
        await hub.aclose()


def insert(substitute: Substitute) -> None:
    """Let every stream of the process come from somewhere else, or be listened to.

    Streams that are open already stay as they are.

    Raises
    ------
    UsageError
        If something is inserted already.
    """
    global _substitute
    if _substitute is not None:
        raise UsageError(
            "a tape is being recorded or played already", suggestion="close it, or the cassette it belongs to, first"
        )
    _substitute = substitute


async def remove(substitute: Substitute) -> None:
    """End the streams of what was inserted, on the background loop; does nothing if it is not."""
    global _substitute
    if _substitute is not substitute:
        return
    _substitute = None
    for key in [one for one in _hubs if one[4] == id(substitute)]:
        await _hubs.pop(key).aclose()
