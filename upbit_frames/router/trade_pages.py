"""Walking pages of trades, one UTC day at a time (pure).

Upbit answers with trades of one UTC date only, newest first, either before a time of day (whole
seconds) or older than a ``cursor``, the id of a trade (upbit-api 3.3). Several trades may share a
millisecond, and a page may end in the middle of one, so a page makes known only what is newer than
its oldest millisecond; the rows of that one wait for the next page.

Knows no network and no store: it works against a ``fetch`` and a ``keep`` function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from heapq import nsmallest
from itertools import pairwise
from typing import Generic, NamedTuple, Protocol, TypeVar

from upbit_frames.core.intervals import Span, from_micros, merge, subtract
from upbit_frames.errors import SchemaError
from upbit_frames.runtime.task_group import TaskGroup

__all__ = ["TradeRequest", "TradeRow", "backfill_trades", "by_day", "implausible"]

SECOND = 1_000_000
DAY = 86_400 * SECOND
CONCURRENCY = 6
MISSING_TRADES_TRIES = 4  # of a page that leaves out what must be there
MISDATED = "with a trade whose time contradicts its id"
IDS_IN_A_MS = 10_000
DISORDER = SECOND  # by which times may contradict the order of ids
MIN_PAGES_TO_SPLIT = 4  # pages that must be left of a day before it is walked from several places


class TradeRow(Protocol):
    """What is needed of a trade: when (microseconds, UTC) and which."""

    @property
    def time(self) -> int:
        """When it happened."""

    @property
    def sequential_id(self) -> int:
        """Its unique id."""


R = TypeVar("R", bound=TradeRow)


class TradeRequest(NamedTuple):
    """One request: trades of the UTC day beginning at ``day``.

    Older than the trade ``cursor``, or else before ``before`` (microseconds, a whole second), or
    else the newest of the day.
    """

    day: int
    before: int | None
    cursor: int | None


async def _trust_empty_pages(span: Span) -> Span:
    """Believe two empty pages: right where nothing is kept."""
    return span


async def _no_pause(attempt: int) -> None:
    """Do not wait between two attempts."""


def implausible(rows: Sequence[TradeRow], request: TradeRequest, now: int) -> str | None:
    """Say what is wrong with the times of a page of trades; None if nothing is.

    Parameters
    ----------
    now : int
        The latest that it can be at the exchange.
    """
    if any(not request.day <= row.time < request.day + DAY for row in rows):
        return "with trades of another date"
    if any(row.time > now for row in rows):
        return "with trades of the future"
    if (
        request.cursor is None
        and request.before is not None
        and any(row.time >= request.before + SECOND for row in rows)
    ):
        return "with trades after the requested moment"
    ordered = sorted(rows, key=lambda row: row.sequential_id)
    if any(late.time > early.time + DISORDER for late, early in pairwise(ordered)):
        return MISDATED
    # Ids of today begin with the trade's millisecond. It is no promise, so nothing is taken from
    # it; but a row that differs from its page in this is requested again.
    alike = sum(row.sequential_id // IDS_IN_A_MS * 1000 == row.time for row in rows)
    return MISDATED if len(rows) > alike > len(rows) // 2 else None


def by_day(spans: Sequence[Span]) -> list[Span]:
    """The spans cut at every UTC midnight."""
    pieces = []
    for span in merge(spans):
        low = span.start
        while low < span.end:
            high = min(span.end, low - low % DAY + DAY)
            pieces.append(Span(low, high))
            low = high
    return pieces


async def backfill_trades(
    spans: Sequence[Span],
    fetch: Callable[[TradeRequest], Awaitable[list[R]]],
    keep: Callable[[Span, list[R]], Awaitable[None]],
    *,
    page_size: int = 500,
    concurrency: int = CONCURRENCY,
    confirm_empty: Callable[[Span], Awaitable[Span | None]] = _trust_empty_pages,
    unproven: Callable[[Span], None] = lambda span: None,
    pause: Callable[[int], Awaitable[None]] = _no_pause,
) -> None:
    """Fetch every trade of the spans.

    Parameters
    ----------
    spans : sequence of Span
    fetch : coroutine function (TradeRequest) -> list
        At most ``page_size`` trades, the newest that fit, in any order.
    keep : coroutine function (span, trades)
        Called piece by piece: inside the span the trades are exactly these.
    page_size, concurrency : int
        Most trades a page can have; most requests under way at once.
    confirm_empty : coroutine function (span) -> Span or None
        Whether another sign confirms that a span without trades has none: the part that is
        confirmed, None where the sign denies it. By default two empty pages are enough.
    unproven : function (span)
        Called with each span in which the exchange has no trades, and no other sign confirms it.
    pause : coroutine function (attempt)
        Wait before asking again for what cannot be right.

    Raises
    ------
    SchemaError
        If trades are left out again and again that must exist, or if a full page brings nothing
        older than its cursor, so that the walk would never end.
    """
    walker = _Walker(fetch, keep, page_size, concurrency, confirm_empty, unproven, pause)
    walker.queue = by_day(spans)
    if not walker.queue:
        return
    async with TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(walker.work())


class _Walker(Generic[R]):
    def __init__(
        self,
        fetch: Callable[[TradeRequest], Awaitable[list[R]]],
        keep: Callable[[Span, list[R]], Awaitable[None]],
        page_size: int,
        concurrency: int,
        confirm_empty: Callable[[Span], Awaitable[Span | None]],
        unproven: Callable[[Span], None],
        pause: Callable[[int], Awaitable[None]],
    ) -> None:
        self.fetch = fetch
        self.keep = keep
        self.confirm_empty = confirm_empty
        self.unproven = unproven
        self.pause = pause
        self.page_size = page_size
        self.concurrency = concurrency
        self.queue: list[Span] = []
        self.busy = 0
        self.changed = asyncio.Event()

    async def work(self) -> None:
        while True:
            if self.queue:
                self.busy += 1
                try:
                    await self.walk(self.queue.pop())
                finally:
                    self.busy -= 1
                    self.changed.set()
            elif self.busy:
                # A piece that is being walked may still be cut into more.
                self.changed.clear()
                await self.changed.wait()
            else:
                return

    async def walk(self, piece: Span) -> None:
        day = piece.start - piece.start % DAY
        high, cursor, unfinished, newer = piece.end, None, list[R](), None
        before = _whole_second_after(piece.end, day)
        while True:
            request = TradeRequest(day, before, cursor)
            page = await self.page(request)
            rows = {row.sequential_id: row for row in [*unfinished, *page]}
            last = False
            if len(page) < self.page_size and all(row.time >= piece.start for row in rows.values()):
                if not rows and await self.empty_piece(request, rows, piece):
                    return
                last = await self.is_oldest(request, rows, newer)
            oldest = min(row.time for row in rows.values())
            known_from = piece.start if last else max(piece.start, oldest + 1)
            if known_from < high:
                ready = [row for row in rows.values() if known_from <= row.time < high]
                await self.keep(Span(known_from, high), sorted(ready, key=_order))
                high = known_from
            if last or oldest < piece.start:
                return
            cursor, newer = _two_oldest(rows, newer)
            unfinished = [row for row in rows.values() if row.time == oldest]
            piece = self.split(piece, high, len(page))

    async def page(self, request: TradeRequest) -> list[R]:
        """The trades of one request that are older than its cursor."""
        page = await self.fetch(request)
        if request.cursor is None:
            return page
        older = [row for row in page if row.sequential_id < request.cursor]
        if page and not older:
            raise SchemaError(
                "the exchange answers a cursor with the same trades again",
                suggestion="request again later; nothing was stored of this answer",
                cursor=request.cursor,
            )
        return older

    async def is_oldest(self, request: TradeRequest, rows: dict[int, R], newer: int | None) -> bool:
        """Whether an overlapping page confirms that the day has nothing older than these rows.

        It begins with the oldest row again, because an empty page is also what a failing exchange answers. What a
        short page left out is added to the rows.
        """
        for attempt in range(1, MISSING_TRADES_TRIES + 1):
            oldest, above = _two_oldest(rows, newer)
            again = {row.sequential_id: row for row in await self.page(request._replace(cursor=above))}
            if oldest in again:
                older = {key: row for key, row in again.items() if key < oldest}
                rows.update(older)
                return not older and len(again) < self.page_size
            await self.pause(attempt)
        raise SchemaError(
            f"the exchange leaves out trades of {from_micros(request.day):%Y-%m-%d} that it gave before",
            suggestion="request again later; nothing was stored on that claim",
        )

    async def empty_piece(self, request: TradeRequest, rows: dict[int, R], piece: Span) -> bool:
        """Whether an empty page is right by another sign; if not, add the rows of a fuller one."""
        for attempt in range(1, MISSING_TRADES_TRIES + 1):
            rows.update({row.sequential_id: row for row in await self.page(request)})
            if rows:
                return False
            confirm_empty = await self.confirm_empty(piece)
            if confirm_empty is not None:
                if not confirm_empty.empty:
                    await self.keep(confirm_empty, [])
                for rest in subtract([piece], [confirm_empty]):
                    self.unproven(rest)
                return True
            await self.pause(attempt)
        raise SchemaError(
            f"the exchange gives no trades of {piece}, although there are candles of that time",
            suggestion="request again later; nothing was stored on that claim",
        )

    def split(self, piece: Span, high: int, rows: int) -> Span:
        """Give the lower parts of a long piece away, judging by how much time its page took."""
        took = piece.end - high
        pages = (high - piece.start) / took if took > 0 and rows else 0
        parts = min(self.concurrency, int(pages // MIN_PAGES_TO_SPLIT) + 1)
        if parts < 2 or len(self.queue) + self.busy >= self.concurrency:
            return Span(piece.start, piece.end)
        width = (high - piece.start) // parts
        whole = {_floor_second(piece.start + width * i) for i in range(1, parts)}
        cuts = [piece.start, *sorted(cut for cut in whole if piece.start < cut < high), high]
        lower = [Span(a, b) for a, b in pairwise(cuts) if a < b]
        self.queue.extend(lower[:-1])
        self.changed.set()
        return Span(lower[-1].start, piece.end)


def _floor_second(moment: int) -> int:
    return moment - moment % SECOND


def _whole_second_after(end: int, day: int) -> int | None:
    """The ``to`` that surely includes everything before ``end``; None for the whole day.

    Whether the very second of ``to`` is included is not documented, so one more is requested.
    """
    second = _floor_second(end - 1) + 2 * SECOND
    return second if second < day + DAY else None


def _two_oldest(rows: Mapping[int, TradeRow], newer: int | None) -> tuple[int, int | None]:
    """The lowest id, and the next one above it; ``newer`` where there is only one row."""
    ids = nsmallest(2, rows)
    return ids[0], ids[1] if len(ids) > 1 else newer


def _order(row: TradeRow) -> tuple[int, int]:
    return row.time, row.sequential_id
