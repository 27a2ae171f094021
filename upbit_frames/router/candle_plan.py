"""Who serves which range of a question about candles: the one place that decides (pure).

The decision needs what the store covers, the exchange's time and the settings, and nothing else.
``uf.plan`` and ``uf.explain`` show it, the router executes it, and the route is its steps with the
counts of what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from upbit_frames.archive.catalog import Published, saving_hint, to_steps
from upbit_frames.archive.plan import plan_candle_files
from upbit_frames.core.availability import rest_horizon, sealed_until, split_expired
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT
from upbit_frames.core.intervals import EPOCH, Interval, Span, intersect, iso, subtract
from upbit_frames.core.query import CandleQuery
from upbit_frames.core.route import EXPIRED, FORCED, MISSING, SHARED, STORED, UNCACHED, UNSHARED, Step, rest_step
from upbit_frames.errors import InvalidRange, NotCached
from upbit_frames.router.plan import SHARED_SOURCES, PlanContext, StoredEdge

__all__ = [
    "CandlePlan", "Goal", "at_most", "extend_back", "extend_on", "forming_span", "goal_of",
    "not_cached", "plan_market", "plan_sealed",
]  # fmt: skip


MIN_SAVED_REQUESTS = 100  # requests the archive must save to be mentioned beside a progress bar


@dataclass(frozen=True)
class Goal:
    """What is wanted of the candles that are final.

    Attributes
    ----------
    kind : {"range", "last", "first"}
        All of ``span``, its last ``count``, or its first ``count``.
    span : Span
        On the interval's grid.
    count : int
    """

    kind: str
    span: Span
    count: int = 0


@dataclass(frozen=True)
class CandlePlan:
    """The decision for one market.

    Attributes
    ----------
    market : str
    goal : Goal
    span : Span
        What the steps are about; for a goal of kind ``last`` or ``first`` as far as is known before
        anything is fetched.
    steps : tuple of Step
        Ascending; without the candles that can still change.
    forming : Span or None
        The candles that can still change, if they are wanted.
    error : NotCached or None
        What executing the plan raises.
    hint : str
    """

    market: str
    goal: Goal
    span: Span
    steps: tuple[Step, ...]
    forming: Span | None = None
    error: NotCached | None = None
    hint: str = field(default="", compare=False)

    @classmethod
    def nothing(cls, market: str, error: NotCached) -> CandlePlan:
        """Build the plan of a call that raises before it knows which range it is about."""
        return cls(market, Goal("range", Span(EPOCH, EPOCH)), Span(EPOCH, EPOCH), (), error=error)


def goal_of(query: CandleQuery, market: str, covered: Sequence[Span], now: int) -> Goal:
    """Decide what is wanted of the candles that are final, by the exchange's time and the coverage.

    Raises
    ------
    InvalidRange
        If the range lies in the future, or history is requested of a stream.
    NotCached
        With ``source="store"`` and no end, where nothing is stored.
    """
    interval = query.grid
    if query.source == "live" and not (query.forming and query.interval.stream is not None):
        raise InvalidRange(
            "a live stream has no history of candles",
            suggestion="with forming=True the stream answers the candle that can still change, from 1s to 4h; "
            "or use uf.stream(market, 'candle.1m'), or uf.follow",
            market=market,
        )
    # Where later candles are stored, the clock is slow.
    known = interval.floor(covered[-1].end) if covered else 0
    end = max(sealed_until(interval, now), known)
    if query.end is not None:
        end = min(interval.ceil(query.end), end)
    elif query.source == "store":
        if not covered:
            raise not_cached(market, query.interval, [])
        end = known  # offline, "until now" can only mean: until where we know
    if query.start is None:
        count = query.count or 0
        if query.gaps == "raw":
            return Goal("last", Span(EPOCH, end), count)
        return Goal("range", Span(max(interval.ceil(EPOCH), interval.shift(end, -count)), end), count)
    low = interval.ceil(query.start)
    if query.start >= max(now, known):
        raise InvalidRange(
            f"start={iso(query.start)} lies in the future",
            suggestion="the exchange's clock says " + iso(max(now, known)),
        )
    if low >= end:
        return Goal("range", Span(low, low), query.count or 0)
    if query.count is None:
        return Goal("range", Span(low, end))
    if query.gaps == "raw":
        return Goal("first", Span(low, end), query.count)
    return Goal("range", Span(low, min(end, interval.shift(low, query.count))), query.count)


def not_cached(market: str, interval: Interval, missing: Sequence[Span], *, shared: bool = False) -> NotCached:
    """Build the error that names what the store, or the shared one, lacks."""
    place = "shared store" if shared else "store"
    ranges = ", ".join(map(str, missing[:3])) + (" …" if len(missing) > 3 else "")
    return NotCached(
        f"the {place} lacks {ranges} of {market} {interval}"
        if missing
        else f"nothing of {market} {interval} is in the {place}",
        suggestion="leave source= out to fetch it",
        market=market,
        interval=interval.name,
        missing=[(iso(span.start), iso(span.end)) for span in missing],
    )


def plan_sealed(
    market: str, interval: Interval, span: Span, covered: Sequence[Span], source: str, context: PlanContext,
    shared: Sequence[Span] = (),
) -> list[Step]:  # fmt: skip
    """Decide who serves a range of final candles; ascending steps that together are the range.

    Parameters
    ----------
    covered, shared : sequence of Span
        Ranges that the store covers, and those that the shared store covers.
    """
    if any(part.start <= span.start and span.end <= part.end for part in covered):
        return [] if span.empty else [Step("store", STORED, *span, rows=interval.slots(*span), market=market)]
    stored = intersect([span], covered)
    steps = [Step("store", STORED, *part, rows=interval.slots(*part), market=market) for part in stored]
    missing = subtract([span], stored)
    from_shared = intersect(missing, shared) if source in SHARED_SOURCES else []
    steps += [
        Step("shared", SHARED, *part, rows=interval.slots(*part), requests=1, market=market) for part in from_shared
    ]
    missing = subtract(missing, from_shared)
    if source == "shared":
        steps += [Step("none", UNSHARED, *part, market=market) for part in missing]
    elif source == "store":
        steps += [Step("none", UNCACHED, *part, market=market) for part in missing]
    elif context.archive:
        steps += _file_steps(market, interval, missing, context, only=source == "archive")
    else:
        unavailable, missing = split_expired(interval, missing, context.now)
        reason = FORCED if source == "rest" else MISSING
        steps += [Step("none", EXPIRED, *part, market=market) for part in unavailable]
        steps += [rest_step(market, interval, part, reason, context.rate) for part in missing]
    return sorted(steps, key=lambda step: step.start)


def _file_steps(
    market: str, interval: Interval, missing: list[Span], context: PlanContext, *, only: bool
) -> list[Step]:
    portions = plan_candle_files(
        market, interval, missing, Published(context.now), rate=context.rate,
        rest_from=None if only else rest_horizon(interval, context.now), prefer_files=only,
    )  # fmt: skip
    return to_steps(portions, market)


def archive_hint(market: str, interval: Interval, steps: Iterable[Step], source: str, context: PlanContext) -> str:
    """Say what the archive would save where it may not be used; empty where that is little."""
    if source != "auto" or context.archive or not context.published:
        return ""
    fetched = [step for step in steps if step.channel in ("rest", "none")]
    if not fetched:
        return ""
    missing = [Span(step.start, step.end) for step in fetched]
    return saving_hint(fetched, _file_steps(market, interval, missing, context, only=False))


def bar_hint(market: str, interval: Interval, missing: list[Span], source: str, context: PlanContext) -> str:
    """Say beside a progress bar what the archive would save; empty where that is little."""
    if source != "auto" or context.archive or not context.published:
        return ""
    needed = sum(step.requests for step in _file_steps(market, interval, missing, context, only=False))
    pages = sum(-(-interval.slots(*span) // CANDLES_MAX_COUNT) for span in missing)
    if pages - needed < MIN_SAVED_REQUESTS:
        return ""
    return f"the archive needs {needed:,} requests instead of {pages:,}, uf.plan shows details"


def plan_market(
    query: CandleQuery,
    market: str,
    goal: Goal,
    covered: Sequence[Span],
    edge: StoredEdge | None,
    context: PlanContext,
    shared: Callable[[], Sequence[Span]] = tuple,
) -> CandlePlan:
    """Decide who serves a question about one market.

    Parameters
    ----------
    goal : Goal
        As :func:`goal_of` says.
    covered : sequence of Span
    edge : StoredEdge or None
        Of a goal of kind ``last`` or ``first``: what is stored there.
    shared : callable
        Looks up what the shared store covers; called only where the store lacks something.
    """
    interval = query.interval
    span = goal.span
    if edge is not None and goal.kind == "last":
        low = edge.first if edge.rows >= goal.count else extend_back(interval, goal.count, edge)
        span = Span(low, goal.span.end)
    elif edge is not None and goal.kind == "first":
        high = interval.shift(edge.last, 1) if edge.rows >= goal.count else extend_on(interval, goal, edge)
        span = Span(goal.span.start, high)
    in_shared = shared() if query.source in SHARED_SOURCES and subtract([span], covered) else ()
    steps = plan_sealed(market, interval, span, covered, query.source, context, in_shared)
    lacking = [Span(step.start, step.end) for step in steps if step.reason in (UNCACHED, UNSHARED)]
    hint = archive_hint(market, interval, steps, query.source, context)
    if goal.kind == "first":
        steps = at_most(steps, goal.count)
    rows = sum(step.rows for step in steps) if query.bars is None else query.bars.slots(*span)
    full = query.start is not None and query.count is not None and query.count <= rows
    return CandlePlan(
        market, goal, span, tuple(steps),
        forming=None if full else forming_span(query, query.grid.floor(span.end), context.now),
        error=not_cached(market, interval, lacking, shared=query.source == "shared") if lacking else None,
        hint=hint,
    )  # fmt: skip


def at_most(steps: Sequence[Step], count: int) -> list[Step]:
    """Limit the estimated rows to so many in all."""
    limited: list[Step] = []
    for step in steps:
        limited.append(replace(step, rows=min(step.rows, count)))
        count -= limited[-1].rows
    return limited


def forming_span(query: CandleQuery, final_end: int, now: int) -> Span | None:
    """Return the range of candles that can still change and are wanted, if there is one."""
    if not query.forming:
        return None
    sealed = max(final_end, sealed_until(query.grid, now))
    if query.end is not None and query.end <= sealed:
        return None
    high = max(now, sealed) + query.grid.step if query.end is None else query.end
    return Span(final_end, max(high, final_end))


# --- a number of candles ----------------------------------------------------------------------------


def extend_back(interval: Interval, count: int, edge: StoredEdge) -> int:
    """Estimate from when on there are ``count`` candles, where fewer are covered before the end."""
    slots = _slots_for(interval, count - edge.rows, edge)
    return interval.floor(max(EPOCH, edge.span.start - slots * interval.step))


def extend_on(interval: Interval, goal: Goal, edge: StoredEdge, widen: int = 1) -> int:
    """Estimate until when there are ``count`` candles, where fewer are covered from the start on."""
    slots = _slots_for(interval, goal.count - edge.rows, edge)
    slots = max(slots, CANDLES_MAX_COUNT // 2) * widen  # a fuller page costs no more than a short one
    return interval.ceil(min(goal.span.end, edge.span.end + slots * interval.step))


def _slots_for(interval: Interval, rows: int, edge: StoredEdge) -> int:
    """Estimate how many periods hold so many candles, from the density seen so far."""
    slots = interval.slots(*edge.span)
    return rows if not edge.rows or not slots else -(-rows * slots // edge.rows)
