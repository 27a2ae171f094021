"""What every call of the process was like: who answered, how long it took, what went wrong.

One recorder for the whole process. It is told by the edges (the client, the REST transport, the
streams), keeps a bounded number of calls, and knows no pandas. A record travels with its call in a
context variable: what is begun on the background loop inherits the caller's context, so that the
transport's attempts are counted for the call that they serve.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

__all__ = ["Limits", "Record", "Recorder", "recorder"]

log = logging.getLogger("upbit_frames.metrics")

MOST = 10_000  # calls that are kept
MOST_REQUESTS = 20_000  # moments of requests that are kept
UNRECORDED = {"dashboard", "explain", "metrics", "plan"}  # they look, and ask nobody
AT_HAND = frozenset({"store", "memory", "live"})
LOOK = 1.0  # seconds between two looks at the limits


@dataclass(slots=True)
class Record:
    """One call.

    Attributes
    ----------
    call : str
        Name of the public call.
    at : float
        When it began, seconds since the epoch.
    seconds : float
        How long the caller waited.
    channel : str
        Who really answered, as the route of the answer says: ``store``, ``rest``, ``live``, ``archive``,
        ``memory``, ``none``, joined by ``+`` where there were several; ``failed`` where nobody did.
    reason : str
        Of the last step of the route.
    markets, rows : int
    requests, retries : int
        HTTP requests sent for it, and how many of them were further attempts.
    waited : float
        Seconds of it spent waiting for the limit and between attempts.
    refusals : int
        Answers with 429 or 418.
    bytes : int
        Of the bodies, unpacked.
    age_ms : float or None
        How old what was answered may have been, where that is known.
    error : str
        Name of the exception; empty where all was well.
    """

    call: str
    at: float
    seconds: float = 0.0
    channel: str = ""
    reason: str = ""
    markets: int = 0
    rows: int = 0
    requests: int = 0
    retries: int = 0
    waited: float = 0.0
    refusals: int = 0
    bytes: int = 0
    age_ms: float | None = None
    error: str = ""

    @property
    def hit(self) -> bool:
        """Whether it was answered from what was at hand, and nobody was asked."""
        return not self.requests and not self.error and AT_HAND.issuperset(self.channel.split("+"))

    def attempted(self, status: int | None, attempt: int, size: int, waited: float) -> None:
        """One request was sent for it; ``waited`` is what its whole chain of attempts has waited so far."""
        self.requests += 1
        self.bytes += size
        if attempt > 1:
            self.retries += 1
        if status in (418, 429):
            self.refusals += 1
        self.waited = max(self.waited, waited)

    def answered(self, meta: dict[str, Any], rows: int) -> None:
        """The answer's own words."""
        route = meta.get("route")
        if route:
            self.reason = route[-1]["reason"]
            self.channel = route[0]["channel"]
            if len(route) > 1:
                self.channel = "+".join(dict.fromkeys(step["channel"] for step in route))
        market = meta.get("market")
        self.markets = 1 if isinstance(market, str) else len(market or ())
        self.rows = rows
        self.age_ms = meta.get("age_ms")


@dataclass
class Limits:
    """What is warned of; None for not at all. See ``uf.metrics.watch``."""

    p95_ms: float | None = None
    error_share: float | None = None
    refusals: int | None = None
    reconnects: int | None = None
    drops: int | None = None
    age_ms: float | None = None
    seconds: float = 60.0


_current: ContextVar[Record | None] = ContextVar("upbit_frames_call", default=None)


class _Recording:
    """Around one call. A class, because a generator would cost as much as everything else here."""

    __slots__ = ("_begun", "_name", "_record", "_recorder", "_token")

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self._name = name

    def __enter__(self) -> Record:
        outer = _current.get()
        self._token: Token[Record | None] | None = None
        if outer is not None or self._name in UNRECORDED:
            return outer or Record(self._name, 0.0)
        self._record = Record(self._name or "other", time.time())
        self._token = _current.set(self._record)
        self._begun = time.perf_counter()
        return self._record

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is None:
            return
        record = self._record
        record.seconds = time.perf_counter() - self._begun
        _current.reset(self._token)
        if kind is not None:
            record.error = kind.__name__
            record.channel = record.channel or "failed"
        self._recorder.ended(record)


@dataclass
class Recorder:
    """Everything that is kept.

    Attributes
    ----------
    calls : deque of Record
    requests : deque of (float, str, int)
        Moment (seconds since the epoch), limit group and status of every request; 0 without an answer.
    events : deque of (float, str, int)
        Moment, name and number of what happened to the streams: reconnects, breaks, drops.
    totals : Counter
        The same, since the process began or :meth:`reset`.
    """

    calls: deque[Record] = field(default_factory=lambda: deque(maxlen=MOST))
    requests: deque[tuple[float, str, int]] = field(default_factory=lambda: deque(maxlen=MOST_REQUESTS))
    events: deque[tuple[float, str, int]] = field(default_factory=lambda: deque(maxlen=MOST))
    totals: Counter[str] = field(default_factory=Counter)
    limits: Limits | None = None
    _crossed: set[str] = field(default_factory=set)
    _looked: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, name: str) -> _Recording:
        """Record what happens inside as one call; inside of another call nothing more than that."""
        return _Recording(self, name)

    def ended(self, record: Record) -> None:
        """A call is over."""
        self.calls.append(record)
        if self.limits is not None and record.at - self._looked > LOOK:
            self._look(record.at)

    def answered(self, meta: dict[str, Any], rows: int) -> None:
        """The call that is under way has its answer."""
        record = _current.get()
        if record is not None:
            record.answered(meta, rows)

    def request(self, group: str, status: int | None, attempt: int, size: int, waited: float) -> None:
        """A request was answered, or not."""
        self.requests.append((time.time(), group, status or 0))
        record = _current.get()
        if record is not None and not record.seconds:  # what is done after the answer is nobody's wait
            record.attempted(status, attempt, size, waited)

    def event(self, name: str, number: int = 1) -> None:
        """Something happened to a stream."""
        self.events.append((time.time(), name, number))
        self.totals[name] += number

    def reset(self) -> None:
        """Forget everything; the limits stay."""
        self.calls.clear()
        self.requests.clear()
        self.events.clear()
        self.totals.clear()
        self._crossed.clear()

    # --- limits ---------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        with self._lock:
            self._looked = now
            limits = self.limits
            if limits is None:
                return
            for name, value, limit, unit in self._measured(limits, now):
                if value > limit and name not in self._crossed:
                    self._crossed.add(name)
                    log.warning("%s is %.4g%s in the last %.0f s, above %.4g", name, value, unit, limits.seconds, limit)
                elif value <= limit and name in self._crossed:
                    self._crossed.discard(name)
                    log.info("%s is %.4g%s again, below %.4g", name, value, unit, limit)

    def _measured(self, limits: Limits, now: float) -> list[tuple[str, float, float, str]]:
        since = now - limits.seconds
        recent = [one for one in list(self.calls) if one.at >= since]
        happened: Counter[str] = Counter()
        for at, name, number in list(self.events):
            if at >= since:
                happened[name] += number
        ages = sorted(one.age_ms for one in recent if one.age_ms is not None)
        times = sorted(one.seconds * 1000 for one in recent)
        found = [
            ("p95_ms", _quantile(times, 0.95), limits.p95_ms, " ms"),
            ("error_share", sum(1 for one in recent if one.error) / max(1, len(recent)), limits.error_share, ""),
            ("refusals", float(sum(one.refusals for one in recent)), limits.refusals, ""),
            ("reconnects", float(happened["reconnects"]), limits.reconnects, ""),
            ("drops", float(happened["drops"]), limits.drops, " rows"),
            ("age_ms", _quantile(ages, 0.95), limits.age_ms, " ms"),
        ]
        return [(name, value, float(limit), unit) for name, value, limit, unit in found if limit is not None]


def _quantile(ascending: list[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))] if ascending else 0.0


recorder = Recorder()
