"""Choose between REST and the stream for values of the present, by ordered, named rules (no I/O).

There are no scores. The first rule that applies decides, and the route names it:

============  ========  ====================================================================
rule          channel   when
============  ========  ====================================================================
forced        either    ``source=`` names the channel
history       rest      a range, or more rows than a subscription keeps
recorded      rest      inside a cassette, where every run must send the same requests
disconnected  rest      subscribed, but the connection is not open
stale         rest      subscribed, but nothing arrived for too long, not even a pong
warming_up    rest      subscribed, but the first frame, or the rows before it, are missing
backfilling   rest      subscribed, but rows missed during a disconnect are being backfilled
hot           live      subscribed, and every requested row is in memory
frequent      rest      requested frequently: REST serves this call and a subscription opens
infrequent    rest      requested too rarely for a subscription
============  ========  ====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

__all__ = [
    "BUSY_SHARE",
    "CAPACITY",
    "FREQUENT_REQUESTS",
    "STALE_AFTER",
    "Choice",
    "LiveRequest",
    "LiveState",
    "choose",
    "frequent",
    "idle_timeout",
]

# --- every threshold ------------------------------------------------------------------------------

STALE_AFTER = 1.0
"""Seconds without a frame or a pong after which a connection is stale. A quiet connection is pinged
several times a second, so only a dead one stays silent that long."""

FREQUENT_REQUESTS = 3
"""Identical requests needed before a subscription is opened."""

CHEAPER_PERIOD = {"ticker": 12.0, "trade": 12.0, "candle": 12.0, "orderbook": 5.0}
"""Seconds between two requests above which REST is the cheaper channel for one market. Order books send
the most frames, so they must be requested more frequently."""

LARGE_CALL = 25
"""Markets in one call above which the required frequency rises: each market sends its frames whether
they are read or not, while REST serves all markets with one request."""

BUSY_SHARE = 0.5
"""Share of a limit group's requests in use above which the second request already opens a subscription."""

IDLE_MIN, IDLE_MAX, IDLE_PERIODS = 3.0, 60.0, 4.0
"""Seconds after the last request at which a subscription ends: a multiple of the usual pause between
two requests, within bounds."""

CAPACITY = {"ticker": 250, "orderbook": 250, "trade": 500, "candle": 50}
"""Capacity of a subscription by kind: markets at once, or trades of one market."""


@dataclass(frozen=True)
class LiveRequest:
    """A request for values of the present.

    Attributes
    ----------
    kind : str
        Wire name of the stream that could serve it.
    markets : int
    count : int
        Trades; 1 for all other kinds.
    history : bool
        Whether a range was given.
    source : str
    may_subscribe : bool
        Whether a subscription may be opened without ``source="live"``.
    """

    kind: str
    markets: int = 1
    count: int = 1
    history: bool = False
    source: str = "auto"
    may_subscribe: bool = True


@dataclass(frozen=True)
class LiveState:
    """The state of the subscriptions at the time of a request.

    Attributes
    ----------
    requests : int
        Identical requests in the last minute, this one included.
    period : float
        Mean seconds between two of them.
    quota : float
        Share of the limit group's requests used in the last second.
    subscribed : bool
    state : str
        Of the connection.
    silent : float
        Seconds since the last frame or pong.
    primed : bool
        Whether every requested row is in memory.
    backfilling : bool
        Whether rows missed during a disconnect are being fetched.
    """

    requests: int = 1
    period: float = inf
    quota: float = 0.0
    subscribed: bool = False
    state: str = "idle"
    silent: float = inf
    primed: bool = False
    backfilling: bool = False


@dataclass(frozen=True)
class Choice:
    """The chosen channel, the rule that decided, and why the other channels were not chosen.

    Attributes
    ----------
    channel : {"rest", "live"}
    rule : str
        Name of the rule.
    reason : str
        The rule applied to this request, in words.
    subscribe : bool
        Whether to open a subscription for the following calls.
    alternatives : dict
        The other channels, each with the reason against it.
    """

    channel: str
    rule: str
    reason: str
    subscribe: bool = False
    alternatives: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return rule and reason in one string, as routes state it."""
        return f"{self.rule}: {self.reason}"


_PRESENT = "values of the present are never stored"


def _choice(channel: str, rule: str, reason: str, other: str, *, subscribe: bool = False) -> Choice:
    """Build a choice; ``other`` is the reason against the other one of REST and live."""
    rest = {"live" if channel == "rest" else "rest": other}
    return Choice(channel, rule, reason, subscribe, rest | {"store": _PRESENT, "archive": _PRESENT})


def choose(request: LiveRequest, state: LiveState) -> Choice:
    """Choose the channel that serves a request.

    Examples
    --------
    >>> choose(LiveRequest("ticker"), LiveState()).rule
    'infrequent'
    >>> choose(LiveRequest("ticker"), LiveState(requests=3, period=0.5)).subscribe
    True
    >>> choose(LiveRequest("ticker"), LiveState(subscribed=True, state="open", silent=0.1, primed=True)).channel
    'live'
    """
    limit = CAPACITY[request.kind.partition(".")[0]]
    size = request.count if request.kind == "trade" else request.markets
    if request.source == "rest":
        return _choice("rest", "forced", "requested with source='rest'", "source='rest' was given")
    if request.history:
        return _choice("rest", "history", "a range was requested", "a stream has no history")
    if size > limit:
        reason = (
            f"{size} {'trades' if request.kind == 'trade' else 'markets'} are more than a subscription keeps ({limit})"
        )
        return _choice("rest", "history", reason, reason)
    if request.source == "live":
        return _choice("live", "forced", "requested with source='live'", "source='live' was given")
    if not request.may_subscribe:
        return _choice("rest", "recorded", "inside a cassette REST serves", "source='live' was not given")
    if state.subscribed:
        return _subscribed(state)
    if frequent(request, state):
        period = f"requested {state.requests} times, every {state.period:.2g} s"
        opening = "a subscription is being opened"
        return _choice("rest", "frequent", f"{period}; {opening}", opening, subscribe=True)
    reason = "requested for the first time" if state.requests <= 1 else f"requested only {_frequency(state)}"
    return _choice("rest", "infrequent", reason, "a subscription would cost more than it saves")


def _frequency(state: LiveState) -> str:
    return f"{state.requests} times" if state.requests < FREQUENT_REQUESTS else f"every {state.period:.2g} s"


def _subscribed(state: LiveState) -> Choice:
    if state.state in ("idle", "connecting"):
        why = "the connection is being opened"
        return _choice("rest", "warming_up", why, why)
    if state.state != "open":
        why = f"the stream's connection is {state.state}"
        return _choice("rest", "disconnected", why, why)
    if state.silent > STALE_AFTER:
        why = f"nothing arrived on the connection for {state.silent:.1f} s"
        return _choice("rest", "stale", why, why)
    if state.backfilling:
        why = "rows missed during a disconnect are being backfilled"
        return _choice("rest", "backfilling", why, why)
    if not state.primed:
        why = "not every requested row has arrived yet"
        return _choice("rest", "warming_up", why, why)
    reason = f"subscribed, last frame or pong {max(0.0, state.silent) * 1000:.0f} ms ago"
    return _choice("live", "hot", reason, "a request would cost a round trip and a part of the limit")


def frequent(request: LiveRequest, state: LiveState) -> bool:
    """Return whether requests are so frequent that a subscription is the cheaper channel."""
    needed = FREQUENT_REQUESTS - 1 if state.quota >= BUSY_SHARE else FREQUENT_REQUESTS
    return state.requests >= needed and state.period <= CHEAPER_PERIOD[request.kind.partition(".")[0]] / max(
        1.0, request.markets / LARGE_CALL
    )


def idle_timeout(period: float) -> float:
    """Return the seconds after the last request at which a subscription ends.

    Examples
    --------
    >>> idle_timeout(0.1), idle_timeout(5.0), idle_timeout(float("inf"))
    (3.0, 20.0, 60.0)
    """
    return min(IDLE_MAX, max(IDLE_MIN, IDLE_PERIODS * period))
