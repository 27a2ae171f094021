"""What replaces the exchange for every call of the process, as an open cassette or tape does.

There is at most one at a time. It is claimed before its files are read, takes effect when they are
(:func:`active`), and is released when it is closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from upbit_frames.core.config import Config
from upbit_frames.core.topics import Topic
from upbit_frames.errors import UsageError
from upbit_frames.exchange.transport.reconnecting import Dialer
from upbit_frames.live.hub.backfill import GapBackfill
from upbit_frames.live.hub.hub import LINGER
from upbit_frames.live.hub.subscriber import Tempo
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.clock import Clock, ServerTime
from upbit_frames.runtime.fork import on_fork

__all__ = [
    "Source",
    "StreamSubstitute",
    "Substitution",
    "activate",
    "active",
    "claim",
    "claimed",
    "deactivate",
    "release",
]


@dataclass(frozen=True)
class Source:
    """Where the frames of a hub come from, and what time it is there.

    Attributes
    ----------
    dialer, backfill, clock, server_time
    tempo : Tempo or None
        How fast the time of the frames passes; None where it is the machine's.
    on_subscribe : callable, optional
        Called with the topics of every stream that begins, and those of them whose state is known already.
    linger : float
        Seconds for which a connection without subscribers stays open.
    """

    dialer: Dialer
    backfill: GapBackfill
    clock: Clock
    server_time: ServerTime
    tempo: Tempo | None = None
    on_subscribe: Callable[[frozenset[Topic], frozenset[Topic]], None] | None = None
    linger: float = LINGER


class StreamSubstitute(Protocol):
    """What replaces the exchange's streams.

    Attributes
    ----------
    clock : Clock
        For what comes over a real connection.
    shared : bool
        Whether streams share a hub; else each gets its own.
    """

    clock: Clock

    @property
    def shared(self) -> bool:
        """See above."""

    def source(self, config: Config, live: Source) -> Source:
        """Return the source of one more hub, given the source it would have otherwise."""


class Substitution(Protocol):
    """What replaces the exchange.

    Attributes
    ----------
    kind, name : str
        For messages.
    streams : StreamSubstitute
    """

    name: str

    @property
    def kind(self) -> str:
        """See above."""

    @property
    def streams(self) -> StreamSubstitute:
        """See above."""

    def ports_for(self, config: Config) -> Ports | None:
        """Return the ports that replace those of the settings; None to keep them."""


_claimed: Substitution | None = None
_in_effect = False
_lock = threading.Lock()


@on_fork
def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it


def claimed() -> Substitution | None:
    """Return the substitution that is open, in effect or not."""
    return _claimed


def active() -> Substitution | None:
    """Return the substitution that is in effect."""
    return _claimed if _in_effect else None


def claim(substitution: Substitution) -> None:
    """Open a substitution, which does not take effect yet.

    Raises
    ------
    UsageError
        If another one is open.
    """
    global _claimed
    with _lock:
        if _claimed is not None:
            raise UsageError(
                f"the {_claimed.kind} {_claimed.name!r} is still open",
                suggestion="close it first; where a cell ran twice, call upbit_frames.replay.recording.eject()",
            )
        _claimed = substitution


def activate(substitution: Substitution) -> None:
    """Let every later call of the process go through it; streams that are open already stay as they are."""
    global _in_effect
    with _lock:
        _in_effect = _claimed is substitution


def deactivate(substitution: Substitution) -> None:
    """Let later calls go to the exchange again; does nothing if another substitution is open."""
    global _in_effect
    with _lock:
        if _claimed is substitution:
            _in_effect = False


def release(substitution: Substitution) -> None:
    """Close a substitution; does nothing if it is not the open one."""
    global _claimed, _in_effect
    with _lock:
        if _claimed is substitution:
            _claimed, _in_effect = None, False
