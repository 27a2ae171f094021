"""Walking pages of trades, one UTC day at a time (pure).

Upbit answers with trades of one UTC date only, newest first, either before a time of day (whole
seconds) or older than a ``cursor``, the id of a trade (upbit-api 3.3). Several trades may share a
millisecond, and a page may end in the middle of one, so a page makes known only what is newer than
its oldest millisecond; the rows of that one wait for the next page.

Knows no network and no store: it works against a ``fetch`` and a ``keep`` function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Generic, NamedTuple, Protocol, TypeVar

from upbit_frames.core.intervals import Span, merge
from upbit_frames.errors import SchemaError
from upbit_frames.runtime.task_group import TaskGroup

__all__ = ["Ask", "TradeRow", "backfill_trades", "by_day"]

SECOND = 1_000_000
DAY = 86_400 * SECOND
WALKS = 6
WORTH_SPLITTING = 4  # pages that must be left of a day before it is walked from several places


class TradeRow(Protocol):
    """What is needed of a trade: when (microseconds, UTC) and which."""

    @property
    def time(self) -> int:
        """When it happened."""

    @property
    def sequential_id(self) -> int:
        """Its unique id."""


R = TypeVar("R", bound=TradeRow)


class Ask(NamedTuple):
    """One request: trades of the UTC day beginning at ``day``.

    Older than the trade ``cursor``, or else before ``before`` (microseconds, a whole second), or
    else the newest of the day.
    """

    day: int
    before: int | None
    cursor: int | None


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
    fetch: Callable[[Ask], Awaitable[list[R]]],
    keep: Callable[[Span, list[R]], Awaitable[None]],
    *,
    page_size: int = 500,
    walks: int = WALKS,
) -> None:
    """Fetch every trade of the spans.

    Parameters
    ----------
    spans : sequence of Span
    fetch : coroutine function (Ask) -> list
        At most ``page_size`` trades, the newest that fit, in any order.
    keep : coroutine function (span, trades)
        Told piece by piece: inside the span the trades are exactly these.
    page_size, walks : int
        Most trades a page can have; most requests under way at once.

    Raises
    ------
    SchemaError
        If a full page brings nothing older than its cursor, so that the walk would never end.
    """
    walker = _Walker(fetch, keep, page_size, walks)
    walker.queue = by_day(spans)
    if not walker.queue:
        return
    async with TaskGroup() as group:
        for _ in range(walks):
            group.create_task(walker.work())


class _Walker(Generic[R]):
    def __init__(
        self,
        fetch: Callable[[Ask], Awaitable[list[R]]],
        keep: Callable[[Span, list[R]], Awaitable[None]],
        page_size: int,
        walks: int,
    ) -> None:
        self.fetch = fetch
        self.keep = keep
        self.page_size = page_size
        self.walks = walks
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
        high, cursor, waiting = piece.end, None, list[R]()
        before = _whole_second_after(piece.end, day)
        while True:
            page = await self.page(Ask(day, before, cursor))
            last = len(page) < self.page_size and await self.nothing_before(page, day, before, cursor)
            rows = {row.sequential_id: row for row in [*waiting, *page]}
            oldest = min((row.time for row in rows.values()), default=piece.start)
            known_from = piece.start if last else max(piece.start, oldest + 1)
            if known_from < high:
                ready = [row for row in rows.values() if known_from <= row.time < high]
                await self.keep(Span(known_from, high), sorted(ready, key=_order))
                high = known_from
            if last or oldest < piece.start:
                return
            cursor = min(row.sequential_id for row in rows.values())
            waiting = [row for row in rows.values() if row.time == oldest]
            piece = self.split(piece, high, len(page))

    async def page(self, ask: Ask) -> list[R]:
        """The trades of one request that are older than its cursor."""
        page = await self.fetch(ask)
        if ask.cursor is None:
            return page
        older = [row for row in page if row.sequential_id < ask.cursor]
        if page and not older:
            raise SchemaError(
                "the exchange answers a cursor with the same trades again",
                suggestion="ask again later; nothing was stored of this answer",
                cursor=ask.cursor,
            )
        return older

    async def nothing_before(self, page: list[R], day: int, before: int | None, cursor: int | None) -> bool:
        """Whether a second request says too that the day has nothing older."""
        if page:
            cursor = min(row.sequential_id for row in page)
        older = await self.page(Ask(day, before, cursor))
        page.extend(older)  # the short page had left them out
        return not older

    def split(self, piece: Span, high: int, rows: int) -> Span:
        """Give the lower parts of a long piece away, judging by how much time its page took."""
        took = piece.end - high
        pages = (high - piece.start) / took if took > 0 and rows else 0
        parts = min(self.walks, int(pages // WORTH_SPLITTING) + 1)
        if parts < 2 or len(self.queue) + self.busy >= self.walks:
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

    Whether the very second of ``to`` is included is not documented, so one more is asked for.
    """
    second = _floor_second(end - 1) + 2 * SECOND
    return second if second < day + DAY else None


def _order(row: TradeRow) -> tuple[int, int]:
    return row.time, row.sequential_id
