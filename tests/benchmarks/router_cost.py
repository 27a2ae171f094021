"""What an answer costs: the one yardstick by which the router's choice is judged (pure).

The cost of a call is a number of milliseconds, and every part of it is time that somebody is kept
waiting or kept in the dark, so nothing has to be weighed against anything:

latency
    The milliseconds for which the caller waited.
staleness
    The milliseconds for which what was returned had been out of date at the moment it was returned:
    now minus the moment of the first change on the exchange that the answer lacks; 0 if nothing has
    changed since. Of several markets the mean. An answer that comes late and one that is old delay a
    decision alike, so a millisecond of either counts the same.
quota
    A request takes its share of the budget of its limit group, and whoever asks next in that group
    can be kept waiting for as long: at ten requests a second 100 ms. An attempt to open a connection
    and a message on one are limited to five a second: 200 ms each.
stream
    What a subscription takes from the program and from the line whether anybody looks or not, also
    after the last call, until it ends: for each frame ``FRAME`` ms of processor time, for each second
    open ``OPEN`` ms (timers, pings). Both were measured on two cores of a small cloud machine as
    processor time of the client against the stand-in exchange (a ticker, a book, three and two
    hundred tickers: 0.35 to 0.46 ms a frame; a silent market: 2.0 ms a second).
traffic
    ``KILOBYTE`` ms for each kB from the exchange, compressed as it came, over either channel: what it
    occupies of a line of 50 Mbit/s.

The processor time of a REST answer is part of its latency. ``source="rest"`` does not look into the store,
so candles cost it a request more than ``"auto"``, which has the sealed ones there. A channel that cannot
answer a call of a scenario, or answers with an error, costs infinitely much there.

The numbers were fixed before the router had been tried on anything. ``Prices`` holds them, so that a
report can tell what would be right if a reader thought quota, streams or staleness cheaper or dearer.

What is right
-------------
Each scenario is played with ``source="rest"`` throughout and with ``source="live"`` throughout. The
cheaper one is right; where the two lie within a tenth of each other both are (a tie). The router is
right about a scenario if at least half of the calls of ``source="auto"`` were answered by a right channel, or if
all of them together cost at most a tenth more than the cheaper of the two forced runs. The second
half is needed where the best is to change over: where a connection breaks in the middle, neither
channel throughout is the best. The report also counts each half alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any

from upbit_frames.core.endpoints import LIMITS, WS_MESSAGES_PER_SECOND

__all__ = ["CALIBRATED", "Call", "Cost", "Prices", "Run", "Verdict", "cost", "judge"]

TIE = 0.10


@dataclass(frozen=True)
class Prices:
    """What a millisecond, a request, a frame cost, in milliseconds."""

    staleness: float = 1.0
    quota: float = 1.0  # of the time that a request, connection or message keeps the next one waiting
    frame: float = 0.35
    second_open: float = 2.0
    kilobyte: float = 0.16


CALIBRATED = Prices()


@dataclass
class Call:
    """One call as it went."""

    user: int
    began: float
    latency: float  # ms
    stale: float = 0.0  # ms
    channel: str = ""
    reason: str = ""
    error: str = ""

    def note_route(self, frame: Any) -> None:
        """Keep which channel answered, and why; without a frame nothing did."""
        if frame is not None:
            steps = frame.attrs["upbit_frames"]["route"]
            self.channel = "live" if any(one["channel"] == "live" for one in steps) else "rest"
            self.reason = next((one["reason"] for one in steps if one["channel"] == self.channel), "")


@dataclass
class Run:
    """A scenario, played once.

    Attributes
    ----------
    calls : list of Call
    used : dict
        What the exchange saw: requests by group, connections, messages, frames, bytes, seconds_open.
    tail : dict
        Frames, bytes and seconds_open that were not waited for: see the player.
    """

    scenario: str
    source: str
    calls: list[Call] = field(default_factory=list)
    used: dict[str, Any] = field(default_factory=dict)
    tail: dict[str, float] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """Whether every call was."""
        return bool(self.calls) and not any(one.error for one in self.calls)

    def share(self, channel: str) -> float:
        """Which part of the calls was answered by it."""
        return sum(1 for one in self.calls if one.channel == channel) / max(1, len(self.calls))

    @property
    def requests(self) -> float:
        """REST requests a call."""
        return sum(self.used.get("requests", {}).values()) / max(1, len(self.calls))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Run:
        """The same back."""
        return cls(**{**told, "calls": [Call(**one) for one in told["calls"]]})


@dataclass(frozen=True)
class Cost:
    """Milliseconds a call, on average over a run."""

    latency: float
    staleness: float
    quota: float
    stream: float
    traffic: float

    @property
    def total(self) -> float:
        """The number that decides."""
        return self.latency + self.staleness + self.quota + self.stream + self.traffic


UNANSWERED = Cost(inf, 0.0, 0.0, 0.0, 0.0)


def cost(run: Run, prices: Prices = CALIBRATED) -> Cost:
    """What a run cost; infinitely much if a call was not answered.

    Examples
    --------
    >>> cost(Run("one", "rest", [Call(0, 0.0, 40.0, 5.0)], {"requests": {"ticker": 1}})).total
    145.0
    """
    if not run.answered:
        return UNANSWERED
    used, tail, number = run.used, run.tail, len(run.calls)

    def amount(name: str) -> float:
        return float(used.get(name, 0)) + tail.get(name, 0.0)

    requests = sum(count * 1000 / LIMITS[group] for group, count in used.get("requests", {}).items())
    opened = used.get("connections", 0) * 1000 / LIMITS["websocket"]
    said = used.get("messages", 0) * 1000 / WS_MESSAGES_PER_SECOND
    return Cost(
        sum(one.latency for one in run.calls) / number,
        prices.staleness * sum(one.stale for one in run.calls) / number,
        prices.quota * (requests + opened + said) / number,
        (prices.frame * amount("frames") + prices.second_open * amount("seconds_open")) / number,
        prices.kilobyte * amount("bytes") / 1000 / number,
    )


@dataclass(frozen=True)
class Verdict:
    """What was right, and what the router did."""

    scenario: str
    rest: Cost
    live: Cost
    auto: Cost
    right: tuple[str, ...]
    used: str
    share: float  # of the calls, by that channel
    by_channel: bool
    by_cost: bool

    @property
    def correct(self) -> bool:
        """Whether the router was right."""
        return self.by_channel or self.by_cost

    @property
    def regret(self) -> float:
        """How many times the cheaper forced run its run cost."""
        return self.auto.total / min(self.rest.total, self.live.total)


def judge(rest: Run, live: Run, auto: Run, prices: Prices = CALIBRATED) -> Verdict:
    """Label a scenario, and say whether the router met it."""
    costs = {"rest": cost(rest, prices), "live": cost(live, prices)}
    best = min(one.total for one in costs.values())
    right = tuple(name for name, one in costs.items() if one.total <= best * (1 + TIE) and one.total < inf)
    shares = {name: auto.share(name) for name in costs}
    used = max(shares, key=lambda name: shares[name])
    by_channel = auto.answered and any(shares[name] >= 0.5 for name in right)
    mine = cost(auto, prices)
    by_cost = auto.answered and mine.total <= best * (1 + TIE)
    return Verdict(auto.scenario, costs["rest"], costs["live"], mine, right, used, shares[used], by_channel, by_cost)
