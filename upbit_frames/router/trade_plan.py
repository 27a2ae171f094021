"""Who serves which range of a question about trades: the one place that decides (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from upbit_frames.archive.catalog import Published, to_steps
from upbit_frames.archive.plan import plan_trade_files
from upbit_frames.core.availability import TRADE_DAYS
from upbit_frames.core.endpoints import ENDPOINTS, LIMITS
from upbit_frames.core.intervals import Span, intersect, iso, subtract
from upbit_frames.core.query import TradeQuery
from upbit_frames.core.route import FORCED, MISSING, SHARED, STORED, UNCACHED, UNSHARED, Step
from upbit_frames.errors import InvalidRange, NotCached
from upbit_frames.router.plan import SHARED_SOURCES, PlanContext, StoredEdge
from upbit_frames.router.trade_pages import DAY, SECOND, by_day

__all__ = ["EXPIRED", "FIRST_REACH", "TradeGoal", "goal_of", "not_cached", "plan_trades", "split_expired"]

EXPIRED = "older than the seven UTC days for which Upbit serves trades"
FIRST_REACH = 600 * SECOND  # how far to look first when only a number of trades is wanted
PAGE_BYTES = 12_000  # a gzipped page of 500 trades on the wire, give or take the market


@dataclass(frozen=True)
class TradeGoal:
    """What is wanted.

    Attributes
    ----------
    kind : {"range", "last", "first"}
        All of ``span``, its last ``count``, or its first ``count``.
    span : Span
    count : int
    """

    kind: str
    span: Span
    count: int = 0

    def looked_at(self, edge: StoredEdge) -> Span:
        """Return the range that is looked through first, by what is stored at its edge."""
        if self.kind == "last":
            enough = edge.rows >= self.count
            return Span(edge.first if enough else max(0, edge.span.start - FIRST_REACH), self.span.end)
        if self.kind == "first":
            enough = edge.rows >= self.count and edge.last < self.span.end
            return Span(self.span.start, edge.last + 1 if enough else min(self.span.end, edge.span.end + FIRST_REACH))
        return self.span


def goal_of(query: TradeQuery, covered: Sequence[Span], now: int) -> TradeGoal:
    """Decide what is wanted, by the exchange's time and the coverage.

    Raises
    ------
    InvalidRange
        If the range lies in the future.
    NotCached
        With ``source="store"``, where nothing is stored.
    """
    now = max(now, covered[-1].end if covered else 0)
    if query.source == "store":
        if not covered:
            raise not_cached(query.market, [])
        now = covered[-1].end
    end = now if query.end is None else query.end
    if query.source != "store":
        end = min(end, now)
    if query.start is not None and query.start >= end:
        raise InvalidRange(
            f"start={iso(query.start)} lies in the future", suggestion="the exchange's clock says " + iso(now)
        )
    if query.start is None:
        return TradeGoal("last", Span(0, end), query.count or 0)
    if query.count is not None:
        return TradeGoal("first", Span(query.start, end), query.count)
    return TradeGoal("range", Span(query.start, end))


def not_cached(market: str, missing: Sequence[Span], *, shared: bool = False) -> NotCached:
    """Build the error that names what the store, or the shared one, lacks."""
    place = "shared store" if shared else "store"
    ranges = ", ".join(map(str, missing[:3])) + (" …" if len(missing) > 3 else "")
    return NotCached(
        f"the {place} lacks {ranges} of the trades of {market}"
        if missing
        else f"no trades of {market} are in the {place}",
        suggestion="leave source= out to fetch them",
        market=market,
        missing=[(iso(span.start), iso(span.end)) for span in missing],
    )


def split_expired(missing: Sequence[Span], now: int) -> tuple[list[Span], list[Span]]:
    """Split missing ranges into what REST does not serve any more, and what it does."""
    horizon = Span(0, now - now % DAY - TRADE_DAYS * DAY)
    return intersect(missing, [horizon]), subtract(missing, [horizon])


def plan_trades(
    market: str, span: Span, covered: Iterable[Span], source: str, context: PlanContext, shared: Sequence[Span] = ()
) -> list[Step]:
    """Decide who serves a range of trades; ascending steps that together are the range.

    Parameters
    ----------
    covered, shared : sequence of Span
        Ranges that the store covers, and those that the shared store covers.
    """
    covered = list(covered)
    steps = [Step("store", STORED, *part, market=market) for part in intersect([span], covered)]
    missing = subtract([span], covered)
    from_shared = intersect(missing, shared) if source in SHARED_SOURCES else []
    steps += [Step("shared", SHARED, *part, requests=1, market=market) for part in from_shared]
    missing = subtract(missing, from_shared)
    if source == "shared":
        steps += [Step("none", UNSHARED, *part, market=market) for part in missing]
    elif source == "store":
        steps += [Step("none", UNCACHED, *part, market=market) for part in missing]
    elif context.archive:
        only = source == "archive"
        portions = plan_trade_files(
            market,
            missing,
            covered,
            Published(context.now),
            rate=context.rate,
            rest=not only,
            prefer_files=only,
        )
        steps += to_steps(portions, market)
    else:
        unavailable, missing = split_expired(missing, context.now)
        reason = FORCED if source == "rest" else MISSING
        steps += [Step("none", EXPIRED, *part, market=market) for part in unavailable]
        steps += [_rest_step(market, part, reason, context.rate) for part in missing]
    return sorted(steps, key=lambda step: step.start)


def _rest_step(market: str, span: Span, reason: str, rate: float) -> Step:
    """Estimate a range of trades: a page for each UTC day at least; how many trades there are is not known."""
    requests = len(by_day([span]))
    seconds = requests / (LIMITS[ENDPOINTS["trades"].group] * rate)
    return Step("rest", reason, *span, 0, requests, requests * PAGE_BYTES, seconds, market)
