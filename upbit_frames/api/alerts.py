"""Thresholds on the telemetry, and a log line each time one is crossed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter, time

from upbit_frames.runtime.telemetry import CallRecord, Event, Observer, Telemetry, count_events

__all__ = ["LOGGER", "ThresholdObserver", "Thresholds"]

LOGGER = "upbit_frames.metrics"
SHARE = 0.01  # of the time that checking may take
LONG = frozenset({"compare", "download", "stream"})  # their duration is an argument

log = logging.getLogger(LOGGER)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds; None is not checked. See ``uf.metrics.watch``."""

    p95_ms: float | None = None
    error_share: float | None = None
    refusals: int | None = None
    reconnects: int | None = None
    drops: int | None = None
    age_ms: float | None = None
    seconds: float = 60.0


@dataclass
class ThresholdObserver(Observer):
    """Compares the last ``seconds`` with the thresholds, as often as costs little.

    Attributes
    ----------
    limits : Thresholds
    crossed : set of str
        The thresholds exceeded now, already logged.
    """

    limits: Thresholds
    crossed: set[str] = field(default_factory=set)
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, telemetry: Telemetry) -> None:
        """Check, unless that was just done; callers never wait for each other here."""
        began = perf_counter()
        if began < self._next or not self._lock.acquire(blocking=False):
            return
        try:
            now = time()
            since = now - self.limits.seconds
            lines = self.compare(telemetry.records(since), telemetry.events_since(since))
            self._next = began + (perf_counter() - began) / SHARE
        finally:
            self._lock.release()
        for level, text in lines:  # a handler may call the package again
            log.log(level, text)

    def compare(self, calls: Sequence[CallRecord], events: Sequence[Event]) -> list[tuple[int, str]]:
        """Return level and text of each crossing, and of each return below the threshold, once."""
        lines = []
        length = f"in the last {self.limits.seconds:g} s ({len(calls):,} calls)"
        for name, value, limit, unit in measured(self.limits, calls, events):
            if value > limit and name not in self.crossed:
                self.crossed.add(name)
                lines.append((logging.WARNING, f"{name} is {value:.4g}{unit} {length}, above {limit:g}"))
            elif value <= limit and name in self.crossed:
                self.crossed.discard(name)
                lines.append((logging.INFO, f"{name} is {value:.4g}{unit} again {length}, not above {limit:g}"))
        return lines


def measured(
    limits: Thresholds, calls: Sequence[CallRecord], events: Sequence[Event]
) -> list[tuple[str, float, float, str]]:
    """Return name, value, limit and unit of everything with a threshold."""
    counts = count_events(events)
    executed = [record for record in calls if record.channel not in ("rejected", "cancelled")]
    milliseconds = [record.seconds * 1000 for record in executed if record.call not in LONG]
    values: list[tuple[str, float, float | None, str]] = [
        ("p95_ms", p95(milliseconds), limits.p95_ms, " ms"),
        ("error_share", sum(1 for record in executed if record.error) / max(1, len(executed)), limits.error_share, ""),
        ("refusals", sum(record.refusals for record in calls), limits.refusals, ""),
        ("reconnects", counts["reconnects"], limits.reconnects, ""),
        ("drops", counts["drops"], limits.drops, " rows"),
        ("age_ms", p95([record.age_ms for record in calls if record.age_ms is not None]), limits.age_ms, " ms"),
    ]
    return [(name, float(value), float(limit), unit) for name, value, limit, unit in values if limit is not None]


def p95(values: list[float]) -> float:
    """Return the 95th percentile (nearest rank); 0 if there are no values."""
    ascending = sorted(values)
    return ascending[-(-95 * len(ascending) // 100) - 1] if ascending else 0.0
