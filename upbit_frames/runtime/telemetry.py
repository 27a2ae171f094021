"""What every call of the process was like: who answered, how long it took, what went wrong.

One recorder for the whole process. It is told by the edges (the client, the transports, the
streams), keeps a bounded number of calls, and knows no pandas. A call that asks somebody travels in
a context variable: what is begun on the background loop inherits the caller's context, so that the
transport's attempts are counted for the call that they serve. An answer at hand costs a call of a
tenth of a millisecond a tuple more, and nothing else.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from time import perf_counter, time
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from upbit_frames.errors import ConfigError, QueryError, UsageError

__all__ = ["MOST", "Event", "OpenCall", "Record", "Recorder", "Request", "Watcher", "counted", "recorder", "who"]

MOST = 10_000  # calls, requests and events of streams that are kept, of each
MOST_OFFSETS = 100
TOGETHER = 1.0  # seconds within which the same event is one entry
DRIFT = 0.1  # seconds that the clock may be off
UNRECORDED = frozenset({"dashboard", "explain", "metrics", "plan"})  # they look, and ask nobody
AT_HAND = frozenset({"store", "memory", "live"})
NOWHERE = "none"
REFUSED = (418, 429)

E = TypeVar("E")


class Record(NamedTuple):
    """One call.

    Attributes
    ----------
    call : str
        Name of the public call.
    at : float
        When it began, seconds since the epoch.
    seconds : float
        How long the caller waited, from the checking of the arguments to the finished frame.
    channel : str
        Who really answered, as the route of the answer says: ``store``, ``memory``, ``rest``,
        ``live``, ``archive``, ``none``; several are sorted and joined by ``+``. Where there was no
        answer: ``failed``, ``rejected`` (the arguments or settings were) or ``cancelled``.
    reason : str
        Of the last step of the route, where somebody was asked.
    rows : int
        That the route tells of.
    requests, retries : int
        HTTP requests that went out for it, and how many of them were further attempts.
    waited : float
        Seconds that these spent waiting for their limit and between attempts, added up: requests
        that wait side by side can wait longer together than the caller did.
    refusals : int
        Answers with 429 or 418.
    bytes : int
        Of the bodies.
    age_ms : float or None
        How old what was answered may have been, where that is known.
    error : str
        Name of the exception; empty where all was well.
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
        """Whether it was answered from what was at hand, and nobody was asked."""
        return not self.requests and not self.error and AT_HAND.issuperset(self.channel.split("+"))


class Request(NamedTuple):
    """One HTTP request.

    Attributes
    ----------
    at : float
        When it was over, seconds since the epoch.
    group : str
        Its limit group on the wire, or ``archive``.
    status : int
        0 where no answer came.
    seconds : float
        From sending to the last byte.
    attempt : int
    bytes : int
    waited : float
        Seconds before it: for the limit, and after the attempt that failed.
    """

    at: float
    group: str
    status: int
    seconds: float
    attempt: int
    bytes: int
    waited: float


class Event(NamedTuple):
    """Something that happened to a stream: its moment, ``reconnects``, ``breaks`` or ``drops``, how many."""

    at: float
    name: str
    number: int


def counted(events: Iterable[Event]) -> Counter[str]:
    """How often what happened."""
    happened: Counter[str] = Counter()
    for _, name, number in events:
        happened[name] += number
    return happened


_current: ContextVar[OpenCall | None] = ContextVar("upbit_frames_call", default=None)


class OpenCall:
    """A call that is under way, as a context manager; what is begun on its behalf adds to it."""

    __slots__ = (
        "_token", "begun", "bytes", "facts", "name", "over", "recorder", "refusals", "requests", "retries", "waited",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, name: str, begun: float) -> None:
        self.recorder, self.name, self.begun = recorder, name, begun
        self.facts: tuple[Any, ...] = ("", "", 0, None)
        self.requests = self.retries = self.refusals = self.bytes = 0
        self.waited = 0.0
        self.over = False
        self._token: Token[OpenCall | None] | None = None

    def __enter__(self) -> OpenCall:
        if self.name not in UNRECORDED and not _inside():
            self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is None:
            return
        seconds = perf_counter() - self.begun
        _current.reset(self._token)
        self.over = True
        channel, reason, rows, age = self.facts
        if error is not None:
            channel = _fate(error)
        self.recorder._keep(
            Record(
                self.name, self.recorder._now() - seconds, seconds, channel, reason, rows, self.requests, self.retries,
                self.waited, self.refusals, self.bytes, age, "" if error is None else type(error).__name__,
            )
        )  # fmt: skip

    def answered(self, meta: Mapping[str, Any]) -> None:
        """The answer's own words."""
        step = who(meta["route"])
        self.facts = (step["channel"], step["reason"], step["rows"], meta.get("age_ms"))

    def _attempted(self, one: Request) -> None:
        self.requests += 1
        self.bytes += one.bytes
        self.waited += one.waited
        self.retries += one.attempt > 1
        self.refusals += one.status in REFUSED


def _inside() -> bool:
    """Whether a call is under way here."""
    outer = _current.get()
    return outer is not None and not outer.over  # tasks may outlive the call that began them


def who(route: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Channel, reason and rows of a whole route."""
    if not route:
        return {"channel": NOWHERE, "reason": "", "rows": 0}
    channels = {step["channel"] for step in route}
    return {
        "channel": "+".join(sorted(channels - {NOWHERE} or channels)),
        "reason": route[-1]["reason"],
        "rows": sum(step["rows"] for step in route),
    }


def _fate(error: BaseException) -> str:
    if not isinstance(error, Exception):
        return "cancelled"
    return "rejected" if isinstance(error, QueryError | ConfigError | UsageError) else "failed"


class Watcher:
    """Told after something was recorded; see ``uf.metrics.watch``."""

    def look(self, recorder: Recorder) -> None:
        """Something is new."""


@dataclass
class Recorder:
    """Everything that is kept.

    Attributes
    ----------
    calls : deque
        Of :class:`Record`, and a tuple for each call that was answered from what was at hand. See :meth:`records`.
    at_hand : function
        Keeps such a tuple: call, when it began and ended by ``perf_counter``, channel, rows, age_ms.
    requests, events : deque
        Of :class:`Request`, :class:`Event`.
    totals : Counter
        Numbers of the events since the process began or :meth:`reset`.
    since : float
        That moment, seconds since the epoch.
    """

    calls: deque[tuple[Any, ...]] = field(default_factory=lambda: deque(maxlen=MOST))
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=MOST))
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MOST))
    totals: Counter[str] = field(default_factory=Counter)
    since: float = field(default_factory=time)
    at_hand: Callable[[tuple[Any, ...]], None] = field(init=False)
    _watcher: Watcher | None = None
    _offsets: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_OFFSETS))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.watcher = None
        self._now()

    @property
    def watcher(self) -> Watcher | None:
        """Who is told that something is new."""
        return self._watcher

    @watcher.setter
    def watcher(self, watcher: Watcher | None) -> None:
        self._watcher = watcher
        self.at_hand = self.calls.append if watcher is None else self._keep

    def _now(self) -> float:
        """Seconds since the epoch; notes where the clock was set, or the machine slept."""
        now, ticks = time(), perf_counter()
        if not self._offsets or abs(now - ticks - self._offsets[-1][1]) > DRIFT:
            self._offsets.append((ticks, now - ticks))
        return now

    # --- the edges tell -------------------------------------------------------------------------

    def call(self, name: str, begun: float | None = None) -> OpenCall:
        """Record what happens inside as one call; inside of another call nothing more than that."""
        return OpenCall(self, name, perf_counter() if begun is None else begun)

    def answered(self, meta: Mapping[str, Any]) -> None:
        """The call that is under way, if one is, was answered like that."""
        call = _current.get()
        if call is not None and not call.over:
            call.answered(meta)

    def failed(self, name: str, begun: float, error: BaseException) -> None:
        """A call ended before anybody was asked."""
        if name in UNRECORDED or _inside():
            return
        seconds = perf_counter() - begun
        self._keep(Record(name, self._now() - seconds, seconds, _fate(error), error=type(error).__name__))

    def request(
        self, group: str, status: int | None, seconds: float, attempt: int = 1, size: int = 0, waited: float = 0.0
    ) -> None:
        """An HTTP request is over, with an answer or without."""
        one = Request(self._now(), group, status or 0, seconds, attempt, size, waited)
        self.requests.append(one)
        call = _current.get()
        if call is not None and not call.over:  # what is done after the answer is nobody's wait
            call._attempted(one)

    def event(self, name: str, number: int = 1) -> None:
        """Something happened to a stream."""
        now = self._now()
        with self._lock:
            self.totals[name] += number
            last = self.events[-1] if self.events else None
            if last is not None and last.name == name and 0 <= now - last.at < TOGETHER:
                self.events[-1] = last._replace(number=last.number + number)
            else:
                self.events.append(Event(now, name, number))
        if self._watcher is not None:
            self._watcher.look(self)

    def _keep(self, record: tuple[Any, ...]) -> None:
        self.calls.append(record)
        if self._watcher is not None:
            self._watcher.look(self)

    # --- and others look ------------------------------------------------------------------------

    def records(self, since: float = 0.0) -> list[Record]:
        """The calls that were over after that moment, in the order in which they ended."""
        self._now()
        offsets = _copy(self._offsets)
        found = (one if type(one) is Record else _record(offsets, *one) for one in _copy(self.calls))
        return [one for one in found if one.at + one.seconds >= since]

    def sent(self, since: float = 0.0) -> list[Request]:
        """The requests that were over after that moment."""
        return [one for one in _copy(self.requests) if one.at >= since]

    def happened(self, since: float = 0.0) -> list[Event]:
        """What happened to the streams after that moment."""
        return [one for one in _copy(self.events) if one.at >= since]

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.calls.clear()
            self.requests.clear()
            self.events.clear()
            self.totals.clear()
            self.since = time()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()  # another thread may have held it
        self.reset()


def _record(
    offsets: list[tuple[float, float]],
    call: str,
    begun: float,
    ended: float,
    channel: str,
    rows: int,
    age: float | None,
) -> Record:
    offset = next((offset for since, offset in reversed(offsets) if since <= ended), offsets[0][1])
    return Record(call, begun + offset, ended - begun, channel, rows=rows, age_ms=age)


def _copy(kept: deque[E]) -> list[E]:
    """As it is now; others may go on appending."""
    while True:
        try:
            return list(kept)
        except RuntimeError:  # it grew meanwhile, which takes an interpreter without a global lock
            continue


recorder = Recorder()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=recorder._after_fork)
