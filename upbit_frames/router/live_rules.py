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

__all__ = ["ASKS", "FRESH", "MOST", "QUOTA", "Choice", "Sight", "Wish", "choose", "frequent", "patience"]

# --- every threshold ------------------------------------------------------------------------------

FRESH = 1.0
"""Seconds without a frame or a pong after which a connection is stale. A quiet connection is pinged
several times a second, so only a dead one stays silent that long."""

ASKS = 3
"""Identical requests needed before a subscription is opened."""

PACE = {"ticker": 12.0, "trade": 12.0, "candle": 12.0, "orderbook": 5.0}
"""Seconds between two requests above which REST is the cheaper channel for one market. Order books send
the most frames, so they must be requested more frequently."""

CROWD = 25
"""Markets in one call above which the required frequency rises: each market sends its frames whether
they are read or not, while REST serves all markets with one request."""

QUOTA = 0.5
"""Share of a limit group's requests in use above which the second request already opens a subscription."""

IDLE_LEAST, IDLE_MOST, IDLE_PACES = 3.0, 60.0, 4.0
"""Seconds after the last request at which a subscription ends: a multiple of the usual pause between
two requests, within bounds."""

MOST = {"ticker": 250, "orderbook": 250, "trade": 500, "candle": 50}
"""Capacity of a subscription by kind: markets at once, or trades of one market."""


@dataclass(frozen=True)
class Wish:
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
    allowed : bool
        Whether a subscription may be opened without ``source="live"``.
    """

    kind: str
    markets: int = 1
    count: int = 1
    history: bool = False
    source: str = "auto"
    allowed: bool = True


@dataclass(frozen=True)
class Sight:
    """The state of the subscriptions at the time of a request.

    Attributes
    ----------
    asks : int
        Identical requests in the last minute, this one included.
    pace : float
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

    asks: int = 1
    pace: float = inf
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
    def told(self) -> str:
        """Return rule and reason in one string, as routes state it."""
        return f"{self.rule}: {self.reason}"


_PRESENT = "values of the present are never stored"


def _choice(channel: str, rule: str, reason: str, other: str, *, subscribe: bool = False) -> Choice:
    """Build a choice; ``other`` is the reason against the other one of REST and live."""
    rest = {"live" if channel == "rest" else "rest": other}
    return Choice(channel, rule, reason, subscribe, rest | {"store": _PRESENT, "archive": _PRESENT})


def choose(wish: Wish, sight: Sight) -> Choice:
    """Choose the channel that serves a request.

    Examples
    --------
    >>> choose(Wish("ticker"), Sight()).rule
    'infrequent'
    >>> choose(Wish("ticker"), Sight(asks=3, pace=0.5)).subscribe
    True
    >>> choose(Wish("ticker"), Sight(subscribed=True, state="open", silent=0.1, primed=True)).channel
    'live'
    """
    limit = MOST[wish.kind.partition(".")[0]]
    size = wish.count if wish.kind == "trade" else wish.markets
    if wish.source == "rest":
        return _choice("rest", "forced", "requested with source='rest'", "source='rest' was given")
    if wish.history:
        return _choice("rest", "history", "a range was requested", "a stream has no history")
    if size > limit:
        what = f"{size} {'trades' if wish.kind == 'trade' else 'markets'} are more than a subscription keeps ({limit})"
        return _choice("rest", "history", what, what)
    if wish.source == "live":
        return _choice("live", "forced", "requested with source='live'", "source='live' was given")
    if not wish.allowed:
        return _choice("rest", "recorded", "inside a cassette REST serves", "source='live' was not given")
    if sight.subscribed:
        return _subscribed(sight)
    if frequent(wish, sight):
        pace = f"requested {sight.asks} times, every {sight.pace:.2g} s"
        opening = "a subscription is being opened"
        return _choice("rest", "frequent", f"{pace}; {opening}", opening, subscribe=True)
    reason = "requested for the first time" if sight.asks <= 1 else f"requested only {_frequency(sight)}"
    return _choice("rest", "infrequent", reason, "a subscription would cost more than it saves")


def _frequency(sight: Sight) -> str:
    return f"{sight.asks} times" if sight.asks < ASKS else f"every {sight.pace:.2g} s"


def _subscribed(sight: Sight) -> Choice:
    if sight.state in ("idle", "connecting"):
        why = "the connection is being opened"
        return _choice("rest", "warming_up", why, why)
    if sight.state != "open":
        why = f"the stream's connection is {sight.state}"
        return _choice("rest", "disconnected", why, why)
    if sight.silent > FRESH:
        why = f"nothing arrived on the connection for {sight.silent:.1f} s"
        return _choice("rest", "stale", why, why)
    if sight.backfilling:
        why = "rows missed during a disconnect are being backfilled"
        return _choice("rest", "backfilling", why, why)
    if not sight.primed:
        why = "not every requested row has arrived yet"
        return _choice("rest", "warming_up", why, why)
    reason = f"subscribed, last frame or pong {max(0.0, sight.silent) * 1000:.0f} ms ago"
    return _choice("live", "hot", reason, "a request would cost a round trip and a part of the limit")


def frequent(wish: Wish, sight: Sight) -> bool:
    """Return whether requests are so frequent that a subscription is the cheaper channel."""
    needed = ASKS - 1 if sight.quota >= QUOTA else ASKS
    return sight.asks >= needed and sight.pace <= PACE[wish.kind.partition(".")[0]] / max(1.0, wish.markets / CROWD)


def patience(pace: float) -> float:
    """Return the seconds after the last request at which a subscription ends.

    Examples
    --------
    >>> patience(0.1), patience(5.0), patience(float("inf"))
    (3.0, 20.0, 60.0)
    """
    return min(IDLE_MOST, max(IDLE_LEAST, IDLE_PACES * pace))
