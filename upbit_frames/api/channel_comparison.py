"""REST and the stream side by side: the rows of each, their age, and whether they agree.

The loop requests both in turn and knows no network; everything else here is pure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from math import inf, isclose, isnan, nan
from statistics import fmean
from typing import TYPE_CHECKING, Any

from upbit_frames.errors import Blocked, QueryError, UpbitFramesError
from upbit_frames.runtime.clock import Clock

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "CHANNELS",
    "Sample",
    "State",
    "percentile",
    "relation",
    "sample_alternately",
    "states_of",
    "summary",
    "to_rows",
]

CHANNELS = ("rest", "live")
# What stays as it is while the day, or the candle, does; and what can only grow or fall meanwhile.
_CONSTANT = {"ticker": ("open", "prev_close"), "candle": ("open",)}
_NON_DECREASING = {"ticker": ("high", "volume_day", "value"), "candle": ("high", "volume", "value")}
_NON_INCREASING = {"ticker": ("low",), "candle": ("low",)}
_STATE = {
    "ticker": ("price", "volume", "open", "high", "low", "prev_close", "change_price", "value", "volume_day"),
    "candle": ("open", "high", "low", "close", "volume", "value"),
}
DAY = 86_400_000_000


@dataclass(frozen=True)
class State:
    """What one answer says of one market.

    Attributes
    ----------
    time : int
        Of the last trade (ticker, trades), of the last change (order book), or at which the candle
        starts; microseconds since the epoch, UTC.
    rank : tuple of float
        The later of two states has the larger one.
    values : dict
        Trades by ``sequential_id``, a book's levels, or the values of a row.
    """

    time: int
    rank: tuple[float, ...]
    values: dict[Any, Any]


@dataclass
class Sample:
    """One answer.

    Attributes
    ----------
    round : int
    channel : str
    latency : float
        Milliseconds until the table was there.
    received : int
        When, by this machine's clock, microseconds.
    states : dict of str to State
        By market; empty where there was no answer.
    requests : int
        Over REST.
    error : str
        Why there was no answer.
    """

    round: int
    channel: str
    latency: float
    received: int
    states: dict[str, State] = field(default_factory=dict)
    requests: int = 0
    error: str = ""


# --- sampling -------------------------------------------------------------------------------------------


async def sample_alternately(
    fetch: Callable[[str], Awaitable[tuple[dict[str, State], int]]], n: int, every: float, clock: Clock,
    done: Callable[[Sample], None] = lambda _: None,
) -> list[Sample]:  # fmt: skip
    """Request both channels ``n`` times, one right after the other, each first in every other round.

    Parameters
    ----------
    fetch : coroutine function (str) -> (dict of str to State, int)
        Requests one channel; returns its states, and how many requests that took.
    n : int
    every : float
        Seconds between the beginnings of two rounds, if answers come in time.
    clock : Clock
    done : function (Sample), optional
        Called with each answer.

    Raises
    ------
    Blocked, QueryError
        Any other failure is a sample too.
    """
    samples, began = [], clock.monotonic()
    for number in range(n):
        await clock.sleep(began + number * every - clock.monotonic())
        for channel in CHANNELS if number % 2 == 0 else CHANNELS[::-1]:
            sample = Sample(number, channel, nan, 0)
            started = clock.monotonic()
            try:
                sample.states, sample.requests = await fetch(channel)
            except (Blocked, QueryError):
                raise
            except UpbitFramesError as error:
                sample.error = f"{type(error).__name__}: {error.message}"
            else:
                sample.latency = (clock.monotonic() - started) * 1000
            sample.received = clock.now()
            samples.append(sample)
            done(sample)
    return samples


# --- states --------------------------------------------------------------------------------------


def states_of(kind: str, table: pa.Table, market: str = "") -> dict[str, State]:
    """Return the state of each market in a table of the package.

    Parameters
    ----------
    kind : {"ticker", "orderbook", "trade", "candle"}
    table : pyarrow.Table
    market : str
        Of a table of trades or candles, which has no column for it.
    """
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "time"}
    times = table["time"].cast("int64").to_pylist()
    if not times:
        return {}
    if kind == "trade":
        rows = zip(times, columns["price"], columns["volume"], columns["side"], strict=True)
        values = dict(zip(columns["sequential_id"], rows, strict=True))
        return {market: State(times[-1], (times[-1], columns["sequential_id"][-1]), values)}
    if kind == "candle":
        return {market: _row(kind, times[-1], {name: columns[name][-1] for name in _STATE[kind]})}
    if kind == "ticker":
        return {
            code: _row(kind, times[place], {name: columns[name][place] for name in _STATE[kind]})
            for place, code in enumerate(columns["market"])
        }
    states: dict[str, State] = {}
    names = ("ask_price", "ask_size", "bid_price", "bid_size")
    for place, code in enumerate(columns["market"]):
        state = states.setdefault(code, State(times[place], (times[place],), {}))
        state.values[columns["level"][place]] = tuple(columns[name][place] for name in names)
    return states


def _row(kind: str, time: int, values: dict[str, Any]) -> State:
    # Several trades can share a millisecond; the volume traded by then distinguishes them.
    return State(time, (time, values["volume_day" if kind == "ticker" else "volume"] or 0.0), values)


def relation(kind: str, state: State, other: State) -> str:
    """How two states of one market go together.

    Returns
    -------
    {"same", "newer", "older", "contradiction"}
        The first against the second. A newer one has to explain the older one: trades that both
        reach back to are the same ones; a day's, or a candle's, volume, value and high have not
        fallen, its low has not risen, its open has stayed. Of two books that changed at different
        moments neither explains anything.
    """
    if kind == "trade":
        return _trades(state, other)
    if state.time == other.time and all(map(_equal, state.rank[1:], other.rank[1:])):
        return "same" if state.values.keys() == other.values.keys() and _equal_values(state, other) else "contradiction"
    older, newer = sorted((state, other), key=lambda state: state.rank)
    if not _follows(kind, older, newer):
        return "contradiction"
    return "newer" if state is newer else "older"


def _equal_values(state: State, other: State) -> bool:
    return all(_equal(value, other.values[name]) for name, value in state.values.items())


def _equal(value: Any, other: Any) -> bool:
    if isinstance(value, tuple) and isinstance(other, tuple):
        return len(value) == len(other) and all(map(_equal, value, other))
    if isinstance(value, float) and isinstance(other, float):
        return isclose(value, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(value == other)


def _follows(kind: str, older: State, newer: State) -> bool:
    if kind == "orderbook":
        return True
    if (kind == "candle" and older.time != newer.time) or older.time // DAY != newer.time // DAY:
        return True  # another candle, or another day, starts from zero

    def grown(names: Iterable[str], sign: int) -> bool:
        pairs = [(older.values[name] * sign, newer.values[name] * sign) for name in names]
        return all(after >= before or _equal(after, before) for before, after in pairs)

    return (
        all(_equal(older.values[name], newer.values[name]) for name in _CONSTANT[kind])
        and grown(_NON_DECREASING[kind], 1) and grown(_NON_INCREASING[kind], -1)
    )  # fmt: skip


def _trades(state: State, other: State) -> str:
    """Where both reach back to, the older one has nothing that the newer lacks, and nothing else."""
    older, newer = sorted((state, other), key=lambda state: state.rank)
    since = max(min((value[0], number) for number, value in state.values.items()) for state in (older, newer))
    both = {number: value for number, value in older.values.items() if (value[0], number) >= since}
    again = {
        number: value for number, value in newer.values.items() if since <= (value[0], number) <= tuple(older.rank)
    }
    if both.keys() != again.keys() or any(not _equal(both[number], again[number]) for number in both):
        return "contradiction"
    if older.rank == newer.rank:
        return "same"
    return "newer" if state is newer else "older"


# --- what it comes to -------------------------------------------------------------------------------------


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which that share of the others lies, linear in between; NaN of nothing.

    Examples
    --------
    >>> percentile([1.0, 2.0, 3.0], 0.5), percentile([1.0, 2.0], 0.95)
    (2.0, 1.95)
    """
    ordered = sorted(values)
    if not ordered:
        return nan
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def age(kind: str, sample: Sample, offset: int) -> float:
    """Return the milliseconds from the time of the values to their arrival, on average over markets; NaN of a candle.

    ``offset`` is the exchange's clock minus this machine's, in microseconds.
    """
    if kind == "candle" or not sample.states:
        return nan
    return fmean(sample.received + offset - state.time for state in sample.states.values()) / 1000


def _relations(kind: str, samples: list[Sample]) -> list[list[str]]:
    """For each round in which both answered, REST's state of each market against the stream's."""
    rounds: dict[int, dict[str, Sample]] = {}
    for sample in samples:
        rounds.setdefault(sample.round, {})[sample.channel] = sample
    relations = []
    for both in rounds.values():
        rest, live = (both[channel].states for channel in CHANNELS)
        shared = [code for code in rest if code in live]
        if shared:
            relations.append([relation(kind, rest[code], live[code]) for code in shared])
    return relations


def summary(kind: str, samples: list[Sample], offset: int) -> dict[str, dict[str, float]]:
    """One row of numbers a channel; see ``uf.compare`` for what they mean."""
    pairs = _relations(kind, samples)
    single = [verdict for pair in pairs for verdict in pair]

    def part(*which: str) -> float:
        return sum(verdict in which for verdict in single) / len(single) if single else nan

    agreeing = sum("contradiction" not in pair for pair in pairs) / len(pairs) if pairs else nan
    rows = {}
    for channel in CHANNELS:
        mine = [sample for sample in samples if sample.channel == channel]
        answered = [sample for sample in mine if not sample.error]
        # The first answer has to open a connection, which the others do not.
        settled = [sample for sample in answered if sample is not mine[0]]
        latencies = [sample.latency for sample in settled]
        ages = [value for value in (age(kind, sample, offset) for sample in settled) if not isnan(value)]
        rows[channel] = {
            "attempts": len(mine),
            "answered": len(answered),
            "opening": mine[0].latency if mine else nan,
            "latency_p50": percentile(latencies, 0.5),
            "latency_p95": percentile(latencies, 0.95),
            "latency_max": max(latencies, default=nan),
            "age_p50": percentile(ages, 0.5),
            "age_p95": percentile(ages, 0.95),
            "newer": part("newer" if channel == "rest" else "older"),
            "same": part("same"),
            "agreement": agreeing,
            "requests": sum(sample.requests for sample in mine),
        }
    return rows


def to_rows(kind: str, samples: list[Sample], offset: int) -> list[dict[str, Any]]:
    """Every answer as plain values; null where there is none."""

    def number(value: float) -> float | None:
        return round(value, 3) if -inf < value < inf else None

    return [
        {
            "round": sample.round,
            "channel": sample.channel,
            "latency": number(sample.latency),
            "age": number(age(kind, sample, offset)),
            "newest": max((state.time for state in sample.states.values()), default=None),
            "requests": sample.requests,
            "error": sample.error or None,
        }
        for sample in samples
    ]
