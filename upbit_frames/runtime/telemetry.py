"""Process-wide call telemetry: source, latency and errors of every public call.

One :class:`Telemetry` for the process, fed by the edges (the client, the transports, the streams);
it keeps a bounded number of calls and knows no pandas. The current call is a context variable:
work started on the background loop inherits the caller's context, so that the transport's attempts
are counted for the call they serve. A call served from memory costs one tuple.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from time import perf_counter, time
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from upbit_frames.errors import ConfigError, QueryError, UsageError
from upbit_frames.runtime.fork import on_fork

__all__ = [
    "MAX_KEPT",
    "CallRecord",
    "CallSpan",
    "Event",
    "Observer",
    "Request",
    "Telemetry",
    "count_events",
    "summarise_route",
    "telemetry",
]

MAX_KEPT = 10_000  # of calls, of requests and of stream events
MAX_OFFSETS = 100
EVENT_MERGE_SECONDS = 1.0  # equal events closer than this are one entry
DRIFT = 0.1  # seconds between wall clock and monotonic clock that count as a clock step
UNRECORDED = frozenset({"dashboard", "explain", "metrics", "plan"})  # they only inspect
LOCAL_CHANNELS = frozenset({"store", "memory", "live", "derived"})
NO_CHANNEL = "none"
REFUSED = (418, 429)

E = TypeVar("E")


class CallRecord(NamedTuple):
    """One call.

    Attributes
    ----------
    call : str
        Name of the public call.
    at : float
        Start, seconds since the epoch.
    seconds : float
        Time the caller waited, from argument checks to the finished frame.
    channel : str
        Source that served the call, as in the route: ``store``, ``memory``, ``rest``,
        ``live``, ``archive``, ``none``; several are sorted and joined by ``+``. Without an
        answer: ``failed``, ``rejected`` (invalid arguments or settings) or ``cancelled``.
    reason : str
        Reason of the last step of the route; empty if served from memory.
    rows : int
        Rows according to the route.
    requests, retries : int
        HTTP requests sent for the call, and how many of them were retries.
    waited : float
        Seconds the requests spent on the rate limit and between attempts, summed: concurrent
        requests can wait longer in total than the caller did.
    refusals : int
        Answers with 429 or 418.
    bytes : int
        Size of the bodies.
    age_ms : float or None
        Age of the data served, where known.
    error : str
        Name of the exception; empty on success.
    """

    call: str
    at: float
    seconds: float
    channel: str
    reason: str = ""
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
        """Whether the call was served without a request."""
        return not self.requests and not self.error and LOCAL_CHANNELS.issuperset(self.channel.split("+"))


class Request(NamedTuple):
    """One HTTP request.

    Attributes
    ----------
    at : float
        End, seconds since the epoch.
    group : str
        Rate limit group on the wire, or ``archive``.
    status : int
        0 without an answer.
    seconds : float
        From sending to the last byte.
    attempt : int
    bytes : int
    waited : float
        Seconds spent before it: on the limit, and after a failed attempt.
    """

    at: float
    group: str
    status: int
    seconds: float
    attempt: int
    bytes: int
    waited: float


class Event(NamedTuple):
    """A stream event: time (seconds since the epoch), ``reconnects``, ``breaks`` or ``drops``, count."""

    at: float
    name: str
    number: int


def count_events(events: Iterable[Event]) -> Counter[str]:
    """Sum the events by name."""
    totals: Counter[str] = Counter()
    for _, name, number in events:
        totals[name] += number
    return totals


_current: ContextVar[CallSpan | None] = ContextVar("upbit_frames_call", default=None)


class CallSpan:
    """Context manager around one running call; requests sent on its behalf are added to it."""

    __slots__ = (
        "_token",
        "answer",
        "bytes",
        "name",
        "over",
        "refusals",
        "requests",
        "retries",
        "started",
        "telemetry",
        "waited",
    )  # fmt: skip

    def __init__(self, telemetry: Telemetry, name: str, started: float) -> None:
        self.telemetry, self.name, self.started = telemetry, name, started
        self.answer: tuple[Any, ...] = ("", "", 0, None)
        self.requests = self.retries = self.refusals = self.bytes = 0
        self.waited = 0.0
        self.over = False
        self._token: Token[CallSpan | None] | None = None

    def __enter__(self) -> CallSpan:
        if self.name not in UNRECORDED and not _inside():
            self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is None:
            return
        seconds = perf_counter() - self.started
        _current.reset(self._token)
        self.over = True
        channel, reason, rows, age = self.answer
        if error is not None:
            channel = _failure_channel(error)
        self.telemetry._append(
            CallRecord(
                self.name, self.telemetry._now() - seconds, seconds, channel, reason, rows, self.requests, self.retries,
                self.waited, self.refusals, self.bytes, age, "" if error is None else type(error).__name__,
            )
        )  # fmt: skip

    def answered(self, meta: Mapping[str, Any]) -> None:
        """Take channel, reason and rows from the metadata of the answer."""
        step = summarise_route(meta["route"])
        self.answer = (step["channel"], step["reason"], step["rows"], meta.get("age_ms"))

    def _add_request(self, request: Request) -> None:
        self.requests += 1
        self.bytes += request.bytes
        self.waited += request.waited
        self.retries += request.attempt > 1
        self.refusals += request.status in REFUSED


def _inside() -> bool:
    """Whether a recorded call is running in this context."""
    outer = _current.get()
    return outer is not None and not outer.over  # tasks may outlive the call that started them


def summarise_route(route: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Summarise a route as one channel, reason and row count."""
    if not route:
        return {"channel": NO_CHANNEL, "reason": "", "rows": 0}
    channels = {step["channel"] for step in route}
    return {
        "channel": "+".join(sorted(channels - {NO_CHANNEL} or channels)),
        "reason": route[-1]["reason"],
        "rows": sum(step["rows"] for step in route),
    }


def _failure_channel(error: BaseException) -> str:
    if not isinstance(error, Exception):
        return "cancelled"
    return "rejected" if isinstance(error, QueryError | ConfigError | UsageError) else "failed"


class Observer:
    """Notified after each record; see ``uf.metrics.watch``."""

    def look(self, telemetry: Telemetry) -> None:
        """Inspect the telemetry after a new record."""


@dataclass
class Telemetry:
    """The records of the process.

    Attributes
    ----------
    calls : deque
        Of :class:`CallRecord`, and a plain tuple for each call served from memory. See :meth:`records`.
    record_local : function
        Appends such a tuple: call, start and end by ``perf_counter``, channel, rows, age_ms.
    requests, events : deque
        Of :class:`Request`, :class:`Event`.
    totals : Counter
        Counts of the events since the process started or :meth:`reset`.
    since : float
        That time, seconds since the epoch.
    """

    calls: deque[tuple[Any, ...]] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))
    totals: Counter[str] = field(default_factory=Counter)
    since: float = field(default_factory=time)
    record_local: Callable[[tuple[Any, ...]], None] = field(init=False)
    _watcher: Observer | None = None
    _offsets: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MAX_OFFSETS))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.observer = None
        self._now()

    @property
    def observer(self) -> Observer | None:
        """The observer notified of new records, if any."""
        return self._watcher

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._watcher = observer
        self.record_local = self.calls.append if observer is None else self._append

    def _now(self) -> float:
        """Return seconds since the epoch; remember clock steps and suspends."""
        now, ticks = time(), perf_counter()
        if not self._offsets or abs(now - ticks - self._offsets[-1][1]) > DRIFT:
            self._offsets.append((ticks, now - ticks))
        return now

    # --- written by the edges --------------------------------------------------------------------

    def call(self, name: str, started: float | None = None) -> CallSpan:
        """Record what happens inside as one call; inside another call nothing is recorded."""
        return CallSpan(self, name, perf_counter() if started is None else started)

    def answered(self, meta: Mapping[str, Any]) -> None:
        """Set the metadata of the answer on the running call, if there is one."""
        call = _current.get()
        if call is not None and not call.over:
            call.answered(meta)

    def failed(self, name: str, started: float, error: BaseException) -> None:
        """Record a call that failed before any request."""
        if name in UNRECORDED or _inside():
            return
        seconds = perf_counter() - started
        self._append(
            CallRecord(name, self._now() - seconds, seconds, _failure_channel(error), error=type(error).__name__)
        )

    def request(
        self, group: str, status: int | None, seconds: float, attempt: int = 1, size: int = 0, waited: float = 0.0
    ) -> None:
        """Record a finished HTTP request, with or without an answer."""
        request = Request(self._now(), group, status or 0, seconds, attempt, size, waited)
        self.requests.append(request)
        call = _current.get()
        if call is not None and not call.over:  # work after the answer is not waited for
            call._add_request(request)

    def event(self, name: str, number: int = 1) -> None:
        """Count a stream event."""
        now = self._now()
        with self._lock:
            self.totals[name] += number
            last = self.events[-1] if self.events else None
            if last is not None and last.name == name and 0 <= now - last.at < EVENT_MERGE_SECONDS:
                self.events[-1] = last._replace(number=last.number + number)
            else:
                self.events.append(Event(now, name, number))
        if self._watcher is not None:
            self._watcher.look(self)

    def _append(self, record: tuple[Any, ...]) -> None:
        self.calls.append(record)
        if self._watcher is not None:
            self._watcher.look(self)

    # --- read by the views ----------------------------------------------------------------------

    def records(self, since: float = 0.0) -> list[CallRecord]:
        """Return the calls that ended at or after ``since``, in order of their end."""
        self._now()
        offsets = _copy(self._offsets)
        entries = _copy(self.calls)
        calls = (entry if type(entry) is CallRecord else _record(offsets, *entry) for entry in entries)
        return [call for call in calls if call.at + call.seconds >= since]

    def requests_since(self, since: float = 0.0) -> list[Request]:
        """Return the requests that ended at or after ``since``."""
        return [request for request in _copy(self.requests) if request.at >= since]

    def events_since(self, since: float = 0.0) -> list[Event]:
        """Return the stream events at or after ``since``."""
        return [event for event in _copy(self.events) if event.at >= since]

    def reset(self) -> None:
        """Delete all records."""
        with self._lock:
            self.calls.clear()
            self.requests.clear()
            self.events.clear()
            self.totals.clear()
            self.since = time()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self.reset()


def _record(
    offsets: list[tuple[float, float]],
    call: str,
    started: float,
    ended: float,
    channel: str,
    rows: int,
    age: float | None,
) -> CallRecord:
    offset = next((offset for since, offset in reversed(offsets) if since <= ended), offsets[0][1])
    return CallRecord(call, started + offset, ended - started, channel, rows=rows, age_ms=age)


def _copy(kept: deque[E]) -> list[E]:
    """Copy a deque that other threads may append to."""
    while True:
        try:
            return list(kept)
        except RuntimeError:  # appended to during the copy, possible without a global interpreter lock
            continue


telemetry = Telemetry()

on_fork(telemetry._after_fork)
