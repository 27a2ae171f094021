"""Upbit's request limits as the stand-in exchange applies them (upbit-api 5)."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from upbit_frames.core import endpoints

__all__ = ["Limits", "Verdict"]

ORIGIN = "origin"
_ORIGIN_SECONDS = 10


class Verdict(NamedTuple):
    """The decision about a request.

    ``status`` 200, 429 or 418; ``header`` for ``Remaining-Req``; ``remaining`` calls left in the
    window; ``blocked`` seconds the block still lasts, 0 unless the status is 418.
    """

    status: int
    header: str
    remaining: int
    blocked: float = 0.0


@dataclass
class Limits:
    """Request limits: windows of a second for each group and caller, 429 beyond them, and a block for persistence.

    Attributes
    ----------
    enabled : bool
        Whether anything is refused; ``Remaining-Req`` then always states a full window less one request.
    per_second : dict of str to int
        Calls a second by wire group; change it to see a client adapt.
    clock : {"real", "virtual"}
        Whose seconds count: real ones, so that pacing can be tested, or the exchange's.
    window : {"fixed", "sliding"}
        ``fixed``: seconds of the clock, as Upbit seems to have them. ``sliding``: every range
        of a second, which is stricter than any fixed windows.
    phase : float
        Shifts the fixed windows against the clock's seconds.
    patience : int
        That many refusals within ``patience_seconds`` turn 429 into 418.
    block_seconds, block_growth : float
        How long the first block lasts, and the factor by which each further block is longer.
    """

    enabled: bool = True
    per_second: dict[str, int] = field(default_factory=lambda: dict(endpoints.LIMITS))
    clock: str = "real"
    window: str = "fixed"
    phase: float = 0.0
    patience: int = 20
    patience_seconds: float = 10.0
    block_seconds: float = 60.0
    block_growth: float = 2.0
    _calls: dict[tuple[str, str], deque[float]] = field(default_factory=dict, repr=False)
    _refusals: dict[str, deque[float]] = field(default_factory=dict, repr=False)
    _blocks: dict[str, tuple[float, int]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def admit(self, group: str, caller: str, now: float) -> Verdict:
        """Count a call and decide whether it is admitted.

        Parameters
        ----------
        group : str
            Wire name of the limit group; ``origin`` for any call that carries an Origin header.
        caller : str
            The address, whose calls are counted together.
        now : float
            Seconds on the clock that :attr:`clock` names.
        """
        seconds, most, per_minute = self._window(group)
        with self._lock:
            if not self.enabled:
                return Verdict(200, _header(group, per_minute, most - 1), most - 1)
            until, times = self._blocks.get(caller, (-math.inf, 0))
            if now < until:
                return Verdict(418, _header(group, per_minute, 0), 0, until - now)
            calls = self._calls.setdefault((group, caller), deque())
            begin = now - seconds
            if self.window == "fixed":
                begin = math.floor((now + self.phase) / seconds) * seconds - self.phase
            # A sliding window still holds a call made exactly its length ago.
            while calls and (calls[0] < begin or calls[0] > now):
                calls.popleft()
            if len(calls) < most:
                calls.append(now)
                return Verdict(200, _header(group, per_minute, most - len(calls)), most - len(calls))
            refusals = self._refusals.setdefault(caller, deque())
            refusals.append(now)
            while refusals[0] < now - self.patience_seconds:
                refusals.popleft()
            if len(refusals) <= self.patience:
                return Verdict(429, _header(group, per_minute, 0), 0)
            refusals.clear()
            length = self.block_seconds * self.block_growth**times
            self._blocks[caller] = (now + length, times + 1)
            return Verdict(418, _header(group, per_minute, 0), 0, length)

    def _window(self, group: str) -> tuple[int, int, int]:
        """Length in seconds, calls in it, and what the header claims for a minute."""
        if group == ORIGIN:
            return _ORIGIN_SECONDS, 1, 6
        return 1, self.per_second[group], 60 * self.per_second[group]

    def exhausted(self, group: str) -> str:
        """Return ``Remaining-Req`` when nothing is left."""
        return _header(group, self._window(group)[2], 0)

    def block(self, caller: str, until: float) -> None:
        """Block a caller up to a moment of the clock."""
        with self._lock:
            self._blocks[caller] = (until, self._blocks.get(caller, (0.0, 0))[1] + 1)

    def reset(self) -> None:
        """Forget all calls and blocks."""
        with self._lock:
            self._calls.clear()
            self._refusals.clear()
            self._blocks.clear()


def _header(group: str, per_minute: int, left: int) -> str:
    return f"group={group}; min={per_minute}; sec={left}"
