"""Walking pages of candles: several walks at once, none of them asking for anything twice (pure).

Upbit pages only backwards: a request says ``to`` and ``count`` and is answered by the newest
``count`` existing candles that start before ``to`` (upbit-api 3.2). A page therefore contains more
than its rows: between its oldest row and ``to`` there is nothing else. One walk alone is bound
by the round trip, so the range is cut into segments that are walked side by side; a walk that is
done takes half of what the slowest one has left. A cut costs at most one request too many,
because only the last page of a segment can reach into what another one has fetched.

Knows no network, no Arrow and no store: it works against a ``fetch`` and a ``keep`` function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from upbit_frames.core.intervals import EPOCH, Interval, Span, from_micros, merge
from upbit_frames.errors import SchemaError
from upbit_frames.runtime.task_group import TaskGroup

__all__ = ["BackfillResult", "Page", "backfill"]

CONCURRENCY = 10  # so that the very first requests use a whole second's limit at once
MIN_SEGMENT_PAGES = 2  # a segment of fewer pages is not worth a walk of its own
MAX_SEGMENTS = 11  # each may cost one request too many
MIN_PAGES_TO_SPLIT = 4  # pages that must be left in a segment before half of it is given away
SHORT_PAGE_TRIES = 4  # of a page that is empty or short although there is more


class Page(NamedTuple):
    """The answer of one request.

    ``rows`` candles, the oldest starting at ``oldest``; None for an empty page. ``payload`` is
    what the fetch function passes to the keep function.
    """

    rows: int
    oldest: int | None
    payload: Any


Fetch = Callable[[int, int], Awaitable[Page]]
Keep = Callable[[Span, Page], Awaitable[None]]
ConfirmStart = Callable[[int, bool], Awaitable[bool | None]]


async def _no_pause(attempt: int) -> None:
    """Do not wait between two attempts."""


async def _nothing_known(moment: int) -> bool:
    return False


async def settled(begun: Sequence[asyncio.Future[None]]) -> None:
    """Wait until all tasks have ended, even if the waiting task is cancelled; raise the first failure."""
    if not begun:
        return
    waiting = asyncio.ensure_future(asyncio.wait(begun))
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await waiting
        raise
    for task in begun:
        task.result()


@dataclass
class BackfillResult:
    """The result of a backfill.

    Attributes
    ----------
    covered : list of Span
        Where everything is known now.
    history_start : int or None
        The first candle there is, if the walk met the beginning of history.
    unproven : list of Span
        Where the exchange has nothing, and no independent sign confirms it.
    requests, rows : int
        Requests sent and rows received (rows received twice count twice).
    """

    covered: list[Span] = field(default_factory=list)
    unproven: list[Span] = field(default_factory=list)
    history_start: int | None = None
    requests: int = 0
    rows: int = 0


@dataclass(eq=False)
class _Segment:
    low: int
    high: int  # everything from here up to where the segment began is known
    walked: bool = False


async def backfill(
    spans: Sequence[Span],
    interval: Interval,
    fetch: Fetch,
    keep: Keep,
    nothing_older: ConfirmStart,
    *,
    page_size: int = 200,
    concurrency: int = CONCURRENCY,
    known_before: Callable[[int], Awaitable[bool]] = _nothing_known,
    pause: Callable[[int], Awaitable[None]] = _no_pause,
) -> BackfillResult:
    """Fetch every candle of the spans.

    Parameters
    ----------
    spans : sequence of Span
        What is missing, on the interval's grid.
    interval : Interval
    fetch : coroutine function (to, count) -> Page
        Fetches the newest ``count`` candles before ``to``.
    keep : function (span, page) -> awaitable
        Called with each page: inside the span the candles are exactly the page's. Each walk requests
        its next page meanwhile, but is never more than one page ahead. All of these calls have
        ended when this returns or raises.
    nothing_older : coroutine function (moment, row) -> bool or None
        Whether an independent sign confirms that no candle is older than the moment; None where it is
        inconclusive. ``row`` says whether a candle begins at the moment.
    page_size : int
        Most rows a page can have.
    concurrency : int
        Most requests under way at once.
    known_before : coroutine function (moment) -> bool
        Whether a candle older than the moment is known already from elsewhere.
    pause : coroutine function (attempt)
        Wait before a page is fetched again that the exchange left empty or short.

    Raises
    ------
    SchemaError
        If the exchange claims that history begins later than a candle it gave before, or than
        the independent sign says.
    """
    walker = _Backfill(interval, fetch, keep, nothing_older, page_size, known_before, pause)
    walker.plan(merge(spans), concurrency)
    async with TaskGroup() as group:
        for _ in range(min(concurrency, len(walker.segments))):
            group.create_task(walker.work())
    walker.outcome.covered = merge(walker.outcome.covered)
    return walker.outcome


class _Backfill:
    def __init__(
        self,
        interval: Interval,
        fetch: Fetch,
        keep: Keep,
        nothing_older: ConfirmStart,
        page_size: int,
        known_before: Callable[[int], Awaitable[bool]],
        pause: Callable[[int], Awaitable[None]],
    ) -> None:
        self.interval = interval
        self.fetch = fetch
        self.keep = keep
        self.nothing_older = nothing_older
        self.page_size = page_size
        self.known_before = known_before
        self.pause = pause
        self.segments: list[_Segment] = []
        self.outcome = BackfillResult()
        self.oldest_seen: int | None = None
        self.slots_seen = 0
        self.empty_below = EPOCH  # a page before this moment was empty: perhaps nothing is older
        self.start_lock = asyncio.Lock()

    # --- which segment next -------------------------------------------------------------------

    def plan(self, spans: Sequence[Span], concurrency: int) -> None:
        """Cut the spans into about as many segments as there are walks, whole pages each."""
        total = sum(self.interval.slots(*span) for span in spans)
        pages = max(MIN_SEGMENT_PAGES, -(-total // (self.page_size * concurrency)))
        for span in spans:
            high = span.end
            while self.interval.slots(span.start, high) > pages * self.page_size:
                low = self.interval.shift(high, -pages * self.page_size)
                self.segments.append(_Segment(low, high))
                high = low
            self.segments.append(_Segment(span.start, high))

    def next_segment(self) -> _Segment | None:
        """Return a segment without a walk, else half of the longest remaining, else None."""
        idle = [segment for segment in self.segments if not segment.walked and segment.high > segment.low]
        if idle:
            return max(idle, key=lambda segment: segment.high)
        longest = max(self.segments, key=self.pages_left, default=None)
        if longest is None or len(self.segments) >= MAX_SEGMENTS or self.pages_left(longest) < MIN_PAGES_TO_SPLIT:
            return None
        # Cut a whole number of (full) pages below the walker, so that in a dense market neither
        # half ends with part of a page.
        low = self.lowest_useful(longest)
        ahead = max(1, self.interval.slots(low, longest.high) // (2 * self.page_size))
        middle = self.interval.shift(longest.high, -ahead * self.page_size)
        if not low < middle < longest.high:
            return None
        lower = _Segment(longest.low, middle)
        longest.low = middle
        self.segments.append(lower)
        return lower

    def pages_left(self, segment: _Segment) -> float:
        """About how many pages a segment still needs, from the density seen so far."""
        slots = self.interval.slots(self.lowest_useful(segment), segment.high)
        density = self.outcome.rows / self.slots_seen if self.slots_seen else 1.0
        return slots * min(1.0, density) / self.page_size

    def lowest_useful(self, segment: _Segment) -> int:
        """From where on a segment may hold candles."""
        return max(segment.low, min(self.empty_below, segment.high))

    def leave_to_upper(self, segment: _Segment) -> bool:
        """Let the walk that comes down from above find out whether a segment is empty, if there is one.

        It will meet the oldest candle on its way and test that once, instead of every walk
        testing for itself that it began before the listing.
        """
        for upper in self.segments:
            if upper.walked and upper.low == segment.high < upper.high:
                self.empty_below = max(self.empty_below, segment.high)
                upper.low, segment.low = segment.low, segment.high
                return True
        return False

    # --- walking ------------------------------------------------------------------------------

    async def work(self) -> None:
        keeping: list[asyncio.Future[None]] = []
        try:
            while (segment := self.next_segment()) is not None:
                segment.walked = True
                while segment.high > segment.low:
                    await self.walk_page(segment, keeping)
        finally:
            await settled(keeping)

    async def walk_page(self, segment: _Segment, keeping: list[asyncio.Future[None]]) -> None:
        """One page of a segment; it is kept while the next one is on its way."""
        to = segment.high
        count = min(self.page_size, self.interval.slots(segment.low, to))
        page = await self.request(to, count)
        if page.rows == 0 and self.leave_to_upper(segment):
            return
        if page.rows < count:
            page = await self.check_end(to, count, page)
        start = self.outcome.history_start if page.oldest is None else page.oldest
        assert start is not None  # an empty page that is not the end raises in check_end
        if page.oldest is not None:
            keeping.append(self.record(Span(page.oldest, to), page))
        self.mark_known(Span(min(start, to), to))
        await settled(keeping[:-1])
        del keeping[:-1]

    async def request(self, to: int, count: int) -> Page:
        self.outcome.requests += 1
        page = await self.fetch(to, count)
        self.outcome.rows += page.rows
        if page.oldest is not None:
            if self.outcome.history_start is not None and page.oldest < self.outcome.history_start:
                raise self.contradiction(self.outcome.history_start)
            self.oldest_seen = page.oldest if self.oldest_seen is None else min(self.oldest_seen, page.oldest)
        return page

    def record(self, span: Span, page: Page) -> asyncio.Future[None]:
        self.slots_seen += self.interval.slots(*span)
        self.outcome.covered.append(span)
        return asyncio.ensure_future(self.keep(span, page))

    def mark_known(self, span: Span) -> None:
        """Take what is known off every segment that it tops."""
        for segment in self.segments:
            if span.start < segment.high <= span.end:
                segment.high = max(span.start, segment.low)

    # --- the beginning of history -------------------------------------------------------------

    async def check_end(self, to: int, count: int, page: Page) -> Page:
        """Test the claim of a page that came back short: nothing older exists.

        A page that left something out is fetched again; the fuller of the two counts.
        """
        agreed = False
        async with self.start_lock:
            for attempt in range(1, SHORT_PAGE_TRIES + 1):
                claim = to if page.oldest is None else page.oldest
                known = self.outcome.history_start
                if page.rows >= count or (known is not None and claim <= known):
                    return page
                verdict: bool | None = False
                if page.oldest is None:
                    verdict = await self.check_empty_page(to)
                else:
                    beyond = await self.overlaps(page.oldest)
                    agreed = beyond.oldest == page.oldest and beyond.rows < self.page_size
                    verdict = await self.nothing_older(page.oldest, True) if agreed else False
                if verdict is not False:
                    await self.end_of_history(claim, proven=verdict is True)
                    return page
                await self.pause(attempt)
                again = await self.request(to, count)
                page = again if again.rows >= page.rows else page
            if not agreed or page.oldest is None:
                raise SchemaError(
                    f"the exchange gives no candle before {from_micros(claim).isoformat()}, although the market "
                    "was traded earlier",
                    suggestion="fetch it again later; nothing was stored on that claim",
                    interval=self.interval.name,
                )
            await self.end_of_history(page.oldest, proven=False)
            return page

    async def overlaps(self, start: int) -> Page:
        """Fetch a page that begins later and reaches back beyond a claimed beginning.

        An empty page at that beginning would prove nothing: that is also what a failing exchange answers.
        """
        return await self.request(self.interval.shift(start, max(1, self.page_size // 2)), self.page_size)

    async def check_empty_page(self, to: int) -> bool | None:
        """Compare the claim of an empty page with the independent sign, and else with an overlapping page."""
        verdict = await self.nothing_older(to, False)
        if verdict is not None:
            return verdict
        beyond = await self.overlaps(to)
        if beyond.oldest is None:
            return None
        if beyond.oldest < to or beyond.rows >= self.page_size:
            return False
        return await self.nothing_older(beyond.oldest, True)

    async def end_of_history(self, start: int, *, proven: bool) -> None:
        if (self.oldest_seen is not None and self.oldest_seen < start) or await self.known_before(start):
            raise self.contradiction(start)
        self.outcome.history_start = start
        for segment in self.segments:
            segment.low = max(segment.low, min(start, segment.high))
        if not proven:
            self.outcome.unproven.append(Span(EPOCH, start))
            return
        await self.keep(Span(EPOCH, start), Page(0, None, None))
        self.outcome.covered.append(Span(EPOCH, start))

    def contradiction(self, claim: int) -> SchemaError:
        return SchemaError(
            f"the exchange says that nothing is older than {from_micros(claim).isoformat()}, "
            "but older candles are known",
            suggestion="ask again later; nothing was stored on that claim",
            interval=self.interval.name,
        )
