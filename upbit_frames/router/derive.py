"""Derive candles that Upbit does not have from those that it has.

A query for such candles is planned, fetched and read as one for their source: the longest interval of
Upbit's own that has every boundary, or a shorter one that the store holds whole already. What is here
translates between the two: the goal and the steps of a plan (pure), and rows to candles. Derived candles
are never stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from upbit_frames.core.arrow import rows_before
from upbit_frames.core.availability import sealed_until
from upbit_frames.core.bar_grid import as_bars, sources
from upbit_frames.core.intervals import EPOCH, Span, intersect
from upbit_frames.core.query import CandleQuery
from upbit_frames.core.resample import resample
from upbit_frames.core.route import Step, derived
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.candle_plan import Goal, at_most
from upbit_frames.runtime.event_loop import in_thread

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "aggregate", "aggregate_count", "candidates", "derived_plan_steps", "derived_steps", "final_part", "source_goal",
]  # fmt: skip


def candidates(query: CandleQuery) -> list[CandleQuery]:
    """Return the queries that could answer one: the first unless the store has all of a later one.

    Upbit's own intervals are derived only with ``source="store"``, where nothing can be fetched.
    """
    if query.bars is None:
        shorter = sources(query.interval) if query.source == "store" else ()
        return [query, *(replace(query, interval=interval, bars=as_bars(query.interval)) for interval in shorter)]
    if query.source not in ("auto", "store"):
        return [query]
    return [replace(query, interval=interval) for interval in sources(query.bars)]


def source_goal(query: CandleQuery, goal: Goal) -> Goal:
    """Translate what is wanted of the bars to what is wanted of the candles they are made of."""
    grid, span = query.grid, goal.span
    if query.bars is None or goal.kind == "range":
        return goal
    if goal.kind == "last":  # in a market that trades seldom more has to follow
        return Goal("range", Span(max(EPOCH, grid.shift(span.end, -goal.count)), span.end), goal.count)
    return Goal("first", span, (goal.count + 1) * most_rows(query, span.start))


def most_rows(query: CandleQuery, start: int) -> int:
    """Return how many candles a bar can have, near a moment on the grid."""
    ends = [query.grid.shift(start, number) for number in range(3)]
    return max(query.interval.slots(*pair) for pair in pairwise(ends))


def final_part(query: CandleQuery, span: Span, now: int) -> Span:
    """Return the part of bars that can still change of which the candles are final."""
    return Span(span.start, min(max(span.start, sealed_until(query.interval, now)), query.grid.ceil(span.end)))


# --- rows ----------------------------------------------------------------------------------------


def aggregate(
    query: CandleQuery, table: pa.Table, span: Span, unavailable: Sequence[Span] = ()
) -> tuple[pa.Table, Span]:
    """Aggregate candles to the bars that lie in a span as a whole.

    Parameters
    ----------
    query : CandleQuery
        With ``bars``.
    table : pyarrow.Table
        Every candle of ``span``.
    unavailable : sequence of Span
        Of which nothing can be known: a bar that reaches into one is left out.

    Returns
    -------
    table, span
        The span of whole bars.
    """
    grid = query.grid
    low = grid.ceil(span.start)
    whole = Span(low, max(low, grid.floor(span.end)))
    bars = resample(table, query.interval, grid, span=whole)
    if unavailable and len(bars):
        import numpy as np

        starts = np.asarray(bars["time"].cast("int64"))
        ends = grid.nexts(starts)
        known = np.ones(len(starts), dtype=bool)
        for lost in unavailable:
            known &= (ends <= lost.start) | (starts >= lost.end)
        bars = bars.filter(known)
    return bars, whole


async def aggregate_count(
    query: CandleQuery, history: CandleHistory, goal: Goal, table: pa.Table, span: Span
) -> tuple[pa.Table, pa.Table, Span]:
    """Aggregate candles, and read on until there are as many bars as the query counts.

    Parameters
    ----------
    goal : Goal
        For which the candles were read.

    Returns
    -------
    bars, candles, span
        The bars; the candles that were read for them; the span for which they are complete.
    """
    import pyarrow as pa

    wanted = query.count if query.gaps == "raw" else None
    rows, ends = goal.count, span.start <= EPOCH
    while True:
        bars, whole = await in_thread(aggregate, query, table, span, history.fetcher.unavailable)
        lacking = (wanted or 0) - len(bars)
        if lacking <= 0 or ends or (goal.kind == "first" and len(table) < rows):
            return bars, table, whole
        if goal.kind == "first":
            rows += (lacking + 1) * most_rows(query, whole.end)
            table, span = await history.read_first(span.start, goal.span.end, rows)
            continue
        if query.start is not None or intersect([span], history.fetcher.unavailable):  # all that a range has
            return bars, table, whole
        seen = -(-len(table) // max(1, len(bars)))  # candles a bar had so far
        more = lacking * max(1, seen) + most_rows(query, whole.start)
        older, part = await history.read_last(span.start, more)
        ends = len(older) < more
        table = pa.concat_tables([older, table])
        span = Span(EPOCH if ends else part.start, span.end)


# --- steps ---------------------------------------------------------------------------------------


def derived_steps(query: CandleQuery, steps: Iterable[Step], bars: pa.Table) -> list[Step]:
    """Say of the steps that served the candles that bars were derived from them, with the bars that begin in each."""
    return [
        replace(derived(step, query.interval), rows=rows_before(bars, step.end) - rows_before(bars, step.start))
        for step in steps
    ]


def derived_plan_steps(query: CandleQuery, steps: Iterable[Step]) -> list[Step]:
    """Say the same of the steps of a plan, with estimates."""
    planned = [replace(derived(step, query.interval), rows=query.grid.slots(*step.span)) for step in steps]
    return at_most(planned, query.count) if query.count is not None and query.start is not None else planned
