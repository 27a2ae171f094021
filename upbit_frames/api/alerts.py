"""Limits for what is recorded, and a warning whenever one of them is crossed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter, time

from upbit_frames.runtime.telemetry import Event, Record, Recorder, Watcher, counted

__all__ = ["LOGGER", "Alarms", "Limits"]

LOGGER = "upbit_frames.metrics"
SHARE = 0.01  # of the time that looking may take
LONG = frozenset({"compare", "download", "stream"})  # they take as long as was asked for

log = logging.getLogger(LOGGER)


@dataclass(frozen=True)
class Limits:
    """What is warned of; None for not at all. See ``uf.metrics.watch``."""

    p95_ms: float | None = None
    error_share: float | None = None
    refusals: int | None = None
    reconnects: int | None = None
    drops: int | None = None
    age_ms: float | None = None
    seconds: float = 60.0


@dataclass
class Alarms(Watcher):
    """Compares the last stretch of time with the limits, as often as costs little.

    Attributes
    ----------
    limits : Limits
    crossed : set of str
        The limits that are crossed now, and were told.
    """

    limits: Limits
    crossed: set[str] = field(default_factory=set)
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, recorder: Recorder) -> None:
        """Look, unless that was just done; callers never wait for each other here."""
        began = perf_counter()
        if began < self._next or not self._lock.acquire(blocking=False):
            return
        try:
            now = time()
            since = now - self.limits.seconds
            told = self.compare(recorder.records(since), recorder.happened(since))
            self._next = began + (perf_counter() - began) / SHARE
        finally:
            self._lock.release()
        for level, text in told:  # a handler may call the package again
            log.log(level, text)

    def compare(self, calls: Sequence[Record], events: Sequence[Event]) -> list[tuple[int, str]]:
        """What is to be told, and how loudly: each crossing once, and once that it is over."""
        told = []
        length = f"in the last {self.limits.seconds:g} s ({len(calls):,} calls)"
        for name, value, limit, unit in measured(self.limits, calls, events):
            if value > limit and name not in self.crossed:
                self.crossed.add(name)
                told.append((logging.WARNING, f"{name} is {value:.4g}{unit} {length}, above {limit:g}"))
            elif value <= limit and name in self.crossed:
                self.crossed.discard(name)
                told.append((logging.INFO, f"{name} is {value:.4g}{unit} again {length}, not above {limit:g}"))
        return told


def measured(limits: Limits, calls: Sequence[Record], events: Sequence[Event]) -> list[tuple[str, float, float, str]]:
    """Name, value, limit and unit of everything that has a limit."""
    happened = counted(events)
    asked = [one for one in calls if one.channel not in ("rejected", "cancelled")]
    found: list[tuple[str, float, float | None, str]] = [
        ("p95_ms", p95([one.seconds * 1000 for one in asked if one.call not in LONG]), limits.p95_ms, " ms"),
        ("error_share", sum(1 for one in asked if one.error) / max(1, len(asked)), limits.error_share, ""),
        ("refusals", sum(one.refusals for one in calls), limits.refusals, ""),
        ("reconnects", happened["reconnects"], limits.reconnects, ""),
        ("drops", happened["drops"], limits.drops, " rows"),
        ("age_ms", p95([one.age_ms for one in calls if one.age_ms is not None]), limits.age_ms, " ms"),
    ]
    return [(name, float(value), float(limit), unit) for name, value, limit, unit in found if limit is not None]


def p95(values: list[float]) -> float:
    """The value that 95 in 100 do not exceed; 0 of none."""
    ascending = sorted(values)
    return ascending[-(-95 * len(ascending) // 100) - 1] if ascending else 0.0
