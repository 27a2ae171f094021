"""REST or the stream: who answers what is true now, by ordered rules with names (pure).

There are no scores. The first rule that applies decides, and says so:

==========  ========  =======================================================================
rule        channel   when
==========  ========  =======================================================================
forced      either    ``source=`` says so
history     rest      a range, or more than a stream holds
recorded    rest      inside a cassette, where the same must be asked every time
down        rest      subscribed, but the connection is not open
silent      rest      subscribed, but nothing was heard for too long, not even a pong
opening     rest      subscribed, but the first frame, or what came before it, is not here yet
mending     rest      subscribed, but what a break has cost is still being fetched
warm        live      subscribed, and everything is here
often       rest      asked again and again: this answer by REST, and the next from a stream
seldom      rest      asked only now and then
==========  ========  =======================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

__all__ = ["ASKS", "FRESH", "MOST", "QUOTA", "Choice", "Sight", "Wish", "choose", "often", "patience"]

# --- every threshold ------------------------------------------------------------------------------

FRESH = 1.0
"""Seconds: silence after which a connection is not trusted. A quiet one is asked for a pong several
times a second, so that only a connection that is gone stays silent that long."""

ASKS = 3
"""So many times must the same thing be asked before a stream is worth opening."""

PACE = {"ticker": 12.0, "trade": 12.0, "candle": 12.0, "orderbook": 5.0}
"""Seconds between two asks above which REST is the cheaper channel for one market. Books send the
most, so they have to be asked for more often."""

CROWD = 25
"""Markets in one call above which a stream has to be asked for more often: each of them sends its
frames whether anybody looks or not, and REST tells all of them in one request."""

QUOTA = 0.5
"""Share of a limit group's requests in use above which the second ask opens a stream already."""

IDLE_LEAST, IDLE_MOST, IDLE_PACES = 3.0, 60.0, 4.0
"""Seconds after the last ask at which a subscription ends: so many times the usual pause between
two asks, within bounds."""

MOST = {"ticker": 250, "orderbook": 250, "trade": 500, "candle": 50}
"""How much of each kind a stream holds: markets at once, or trades of a market."""


@dataclass(frozen=True)
class Wish:
    """What is asked.

    Attributes
    ----------
    kind : str
        Wire name of the stream that could answer.
    markets : int
    count : int
        Trades; 1 for all other kinds.
    history : bool
        Whether a range was given.
    source : str
    allowed : bool
        Whether a stream may be opened unasked.
    """

    kind: str
    markets: int = 1
    count: int = 1
    history: bool = False
    source: str = "auto"
    allowed: bool = True


@dataclass(frozen=True)
class Sight:
    """What is known when it is asked.

    Attributes
    ----------
    asks : int
        How many times the same was asked lately, this time included.
    pace : float
        Seconds between two of them, on average.
    quota : float
        Share of the limit group's requests that was used in the last second.
    subscribed : bool
    state : str
        Of the connection.
    silent : float
        Seconds since anything was heard on it.
    primed : bool
        Whether everything that is asked for is here.
    mending : bool
    """

    asks: int = 1
    pace: float = inf
    quota: float = 0.0
    subscribed: bool = False
    state: str = "idle"
    silent: float = inf
    primed: bool = False
    mending: bool = False


@dataclass(frozen=True)
class Choice:
    """Who answers, why, and why nobody else.

    Attributes
    ----------
    channel : {"rest", "live"}
    rule : str
        Name of the rule that decided.
    reason : str
        In words.
    subscribe : bool
        Whether a stream is opened for the calls to come.
    alternatives : dict
        The other channels, and why not.
    """

    channel: str
    rule: str
    reason: str
    subscribe: bool = False
    alternatives: dict[str, str] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """Rule and reason in one, as the route shows it."""
        return f"{self.rule}: {self.reason}"


_PRESENT = "it is true only now, so it is never kept"


def _choice(channel: str, rule: str, reason: str, other: str, *, subscribe: bool = False) -> Choice:
    """``other`` is why not the other one of REST and live."""
    rest = {"live" if channel == "rest" else "rest": other}
    return Choice(channel, rule, reason, subscribe, rest | {"store": _PRESENT, "archive": _PRESENT})


def choose(wish: Wish, sight: Sight) -> Choice:
    """Who answers.

    Examples
    --------
    >>> choose(Wish("ticker"), Sight()).rule
    'seldom'
    >>> choose(Wish("ticker"), Sight(asks=3, pace=0.5)).subscribe
    True
    >>> choose(Wish("ticker"), Sight(subscribed=True, state="open", silent=0.1, primed=True)).channel
    'live'
    """
    limit = MOST[wish.kind.partition(".")[0]]
    size = wish.count if wish.kind == "trade" else wish.markets
    if wish.source == "rest":
        return _choice("rest", "forced", "asked for with source='rest'", "source='rest' was given")
    if wish.history:
        return _choice("rest", "history", "a range was asked for", "a stream has no history")
    if size > limit:
        what = f"{size} {'trades' if wish.kind == 'trade' else 'markets'} are more than a stream holds ({limit})"
        return _choice("rest", "history", what, what)
    if wish.source == "live":
        return _choice("live", "forced", "asked for with source='live'", "source='live' was given")
    if not wish.allowed:
        return _choice("rest", "recorded", "inside a cassette REST answers", "source='live' was not given")
    if sight.subscribed:
        return _subscribed(sight)
    if often(wish, sight):
        pace = f"asked {sight.asks} times, every {sight.pace:.2g} s"
        return _choice("rest", "often", f"{pace}; a stream is being opened", "it is being opened", subscribe=True)
    reason = "asked for the first time" if sight.asks <= 1 else f"asked only {_seldom(sight)}"
    return _choice("rest", "seldom", reason, "opening a stream would cost more than it saves")


def _seldom(sight: Sight) -> str:
    return f"{sight.asks} times" if sight.asks < ASKS else f"every {sight.pace:.2g} s"


def _subscribed(sight: Sight) -> Choice:
    if sight.state in ("idle", "connecting"):
        why = "the stream is being opened"
        return _choice("rest", "opening", why, why)
    if sight.state != "open":
        why = f"the stream's connection is {sight.state}"
        return _choice("rest", "down", why, why)
    if sight.silent > FRESH:
        why = f"the stream has been silent for {sight.silent:.1f} s"
        return _choice("rest", "silent", why, why)
    if sight.mending:
        why = "what a break of the stream has cost is still being fetched"
        return _choice("rest", "mending", why, why)
    if not sight.primed:
        why = "the stream has not told everything yet"
        return _choice("rest", "opening", why, why)
    reason = f"subscribed, last heard of {max(0.0, sight.silent) * 1000:.0f} ms ago"
    return _choice("live", "warm", reason, "a request would cost a round trip and a part of the limit")


def often(wish: Wish, sight: Sight) -> bool:
    """Whether it is asked so often that a stream is the cheaper one."""
    needed = ASKS - 1 if sight.quota >= QUOTA else ASKS
    return sight.asks >= needed and sight.pace <= PACE[wish.kind.partition(".")[0]] / max(1.0, wish.markets / CROWD)


def patience(pace: float) -> float:
    """Seconds after the last ask at which a subscription ends.

    Examples
    --------
    >>> patience(0.1), patience(5.0), patience(float("inf"))
    (3.0, 20.0, 60.0)
    """
    return min(IDLE_MOST, max(IDLE_LEAST, IDLE_PACES * pace))
