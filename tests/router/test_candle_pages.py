"""The page walks against a model exchange: complete, nothing twice, few requests, honest ends."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from upbit_frames.core.availability import nothing_before
from upbit_frames.core.intervals import EPOCH, INTERVALS, Interval, Span, intersect, merge, subtract
from upbit_frames.errors import SchemaError
from upbit_frames.router.candle_pages import BackfillResult, Page, backfill

MINUTE = INTERVALS["1m"]
STEP = MINUTE.step
BASE = 1_700_000_040 * 1_000_000
BASE -= BASE % STEP


class Exchange:
    """Answers like Upbit: the newest ``count`` existing candles before ``to``."""

    def __init__(self, times: list[int], order: Any = None) -> None:
        self.times = sorted(times)
        self.asked: list[tuple[int, int]] = []
        self.lies: dict[int, int] = {}
        self.order = order
        self.interval = MINUTE

    async def fetch(self, to: int, count: int) -> Page:
        self.asked.append((to, count))
        turn = len(self.asked)
        for _ in range(self.order(turn) if self.order else turn % 3):
            await asyncio.sleep(0)
        high = bisect_left(self.times, to)
        rows = self.times[max(0, high - count) : high]
        if turn in self.lies:
            rows = rows[len(rows) - self.lies[turn] :] if self.lies[turn] else []
        return Page(len(rows), rows[0] if rows else None, rows)

    async def nothing_older(self, moment: int, row: bool) -> bool | None:
        """The independent sign, to the day; a market without any trade has none."""
        if not self.times:
            return None
        day = INTERVALS["1d"].floor(self.times[0])
        return nothing_before(self.interval, moment, row=row, first=Span(day, day + 86_400_000_000))


class Book:
    """What was kept."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self.covered: list[Span] = []

    async def keep(self, span: Span, page: Page) -> None:
        await asyncio.sleep(0)
        inside = [t for t in page.payload or [] if span.start <= t < span.end]
        assert self.rows.isdisjoint(t for t in self.rows if span.start <= t < span.end and t not in inside)
        self.rows.update(inside)
        self.covered.append(span)


def walk(
    exchange: Exchange, spans: list[Span], interval: Interval = MINUTE, **options: Any
) -> tuple[BackfillResult, Book]:
    book = Book()
    exchange.interval = interval
    outcome = asyncio.run(backfill(spans, interval, exchange.fetch, book.keep, exchange.nothing_older, **options))
    return outcome, book


def grid(slots: list[int]) -> list[int]:
    return [BASE + slot * STEP for slot in slots]


def span(low: int, high: int) -> Span:
    return Span(BASE + low * STEP, BASE + high * STEP)


@settings(max_examples=300)
@given(
    slots=st.sets(st.integers(0, 3000), max_size=400),
    wanted=st.lists(st.tuples(st.integers(-200, 3200), st.integers(1, 1500)), min_size=1, max_size=4),
    page_size=st.sampled_from([2, 3, 10, 50]),
    concurrency=st.integers(1, 7),
    order=st.randoms(use_true_random=False),
)
def test_everything_wanted_is_known_and_right(
    slots: set[int], wanted: list[tuple[int, int]], page_size: int, concurrency: int, order: Any
) -> None:
    exchange = Exchange(grid(sorted(slots)), lambda turn: order.randrange(5))
    spans = merge([span(low, low + length) for low, length in wanted])
    outcome, book = walk(exchange, spans, page_size=page_size, concurrency=concurrency)
    assert subtract(spans, [*book.covered, *outcome.unproven]) == []
    assert merge(book.covered) == outcome.covered
    # Whatever is claimed to be covered holds exactly what the exchange has there.
    truth = {t for t in exchange.times if any(s.start <= t < s.end for s in outcome.covered)}
    assert book.rows == truth
    assert all(span.end <= min(exchange.times, default=span.end) for span in outcome.unproven)
    # Nothing is asked for twice, but for the page that confirms the beginning of history.
    again = {ask for ask in exchange.asked if exchange.asked.count(ask) > 1}
    assert len(again) <= 1 or not exchange.times or outcome.unproven


@pytest.mark.parametrize("density", [1.0, 0.97, 0.4, 0.05, 0.003])
@pytest.mark.parametrize("page_size", [200])
def test_requests_stay_near_the_least_possible(density: float, page_size: int) -> None:
    total = int(60_000 / density)
    every = 1 / density
    times = grid(sorted({int(i * every) for i in range(-3000, 60_000)}))
    exchange = Exchange(times)
    spans = [span(0, total)]
    _, book = walk(exchange, spans, page_size=page_size)
    rows = sum(1 for t in book.rows if t >= BASE)
    assert rows == 60_000
    assert len(exchange.asked) <= -(-rows // page_size) + 12


def test_dense_market_needs_exactly_the_least() -> None:
    exchange = Exchange(grid(list(range(-500, 50_000))))
    walk(exchange, [span(0, 50_000)])
    assert len(exchange.asked) == 250


def test_listing_in_the_middle_costs_a_handful() -> None:
    exchange = Exchange(grid(list(range(100_000, 120_000))))
    outcome, _ = walk(exchange, [span(0, 120_000)])
    assert outcome.history_start == BASE + 100_000 * STEP
    assert len(exchange.asked) <= 100 + 12
    assert Span(EPOCH, BASE + 120_000 * STEP) in outcome.covered


def test_hole_of_weeks_costs_a_handful() -> None:
    exchange = Exchange(grid([*range(-300, 10_000), *range(60_000, 70_000)]))
    walk(exchange, [span(0, 70_000)])
    assert len(exchange.asked) <= 100 + 12


def test_listed_but_empty() -> None:
    exchange = Exchange([])
    outcome, book = walk(exchange, [span(0, 5_000)])
    assert outcome.history_start == BASE + 5_000 * STEP
    assert outcome.unproven == [Span(EPOCH, BASE + 5_000 * STEP)]
    assert book.rows == set()
    assert book.covered == []
    assert len(exchange.asked) <= 12


@settings(max_examples=200)
@given(
    slots=st.sets(st.integers(0, 8000), min_size=1, max_size=300),
    lies=st.dictionaries(st.integers(1, 12), st.integers(0, 9), max_size=8),
    concurrency=st.integers(1, 4),
)
@example(slots={2986, 2987}, lies={1: 1, 2: 1}, concurrency=1)
def test_incomplete_pages_are_not_believed(slots: set[int], lies: dict[int, int], concurrency: int) -> None:
    """Pages that come back too short, also many in a row, never become knowledge.

    The policy of ``core.availability`` has one limit: two pages that leave out the same candles and the first
    day with a candle are three signs that agree, so what is missing can only lie on that day, before the claim.
    """
    exchange = Exchange(grid(sorted(slots)))
    exchange.lies = lies
    try:
        outcome, book = walk(exchange, [span(0, 8001)], page_size=10, concurrency=concurrency)
    except SchemaError:
        return
    wanted = [span(0, 8001)]
    inside = [t for t in exchange.times if any(s.start <= t < s.end for s in intersect(outcome.covered, wanted))]
    assert book.rows <= set(exchange.times)
    missing = [t for t in inside if t not in book.rows]
    if missing:
        first_day = INTERVALS["1d"].floor(exchange.times[0])
        assert outcome.history_start is not None
        assert missing[-1] < outcome.history_start < first_day + 86_400_000_000


@pytest.mark.parametrize("lies", [{1: 0, 2: 0}, {1: 0, 2: 0, 3: 0}, {2: 4, 3: 0}, {2: 4, 3: 0, 4: 0}])
def test_a_bad_second_is_not_the_end_of_history(lies: dict[int, int]) -> None:
    exchange = Exchange(grid(list(range(-9000, 600))))
    exchange.lies = lies
    outcome, book = walk(exchange, [span(0, 600)], concurrency=1, page_size=100)
    assert outcome.history_start is None
    assert sum(t >= BASE for t in book.rows) == 600


def test_an_exchange_that_stays_empty_although_the_market_was_traded_is_an_error() -> None:
    exchange = Exchange(grid(list(range(-9000, 600))))
    exchange.lies = dict.fromkeys(range(2, 50), 0)
    book = Book()
    with pytest.raises(SchemaError, match="although the market was traded earlier"):
        asyncio.run(
            backfill(
                [span(0, 600)], MINUTE, exchange.fetch, book.keep, exchange.nothing_older, page_size=100, concurrency=1
            )
        )
    assert merge(book.covered) == [span(500, 600)]


def test_a_beginning_that_the_sign_denies_serves_the_call_and_is_not_kept() -> None:
    """As where minutes were published from a later day on than days were."""
    exchange = Exchange(grid(list(range(500, 600))))

    async def denies(moment: int, row: bool) -> bool | None:
        return False

    book = Book()
    outcome = asyncio.run(backfill([span(0, 600)], MINUTE, exchange.fetch, book.keep, denies))
    assert outcome.history_start == exchange.times[0]
    assert outcome.unproven == [Span(EPOCH, exchange.times[0])]
    assert merge(book.covered) == [span(500, 600)]


def test_an_end_against_better_knowledge_is_an_error() -> None:
    exchange = Exchange(grid(list(range(500, 600))))

    async def older_is_known(moment: int) -> bool:
        return moment > BASE

    with pytest.raises(SchemaError, match="older candles are known"):
        walk(exchange, [span(0, 600)], known_before=older_is_known)


def test_a_failing_fetch_surfaces_as_itself_and_keeps_what_came() -> None:
    exchange = Exchange(grid(list(range(5_000))))
    book = Book()

    async def fetch(to: int, count: int) -> Page:
        if len(exchange.asked) == 7:
            raise OSError("gone")
        return await exchange.fetch(to, count)

    with pytest.raises(OSError, match="gone"):
        asyncio.run(backfill([span(0, 5_000)], MINUTE, fetch, book.keep, exchange.nothing_older))
    assert len(book.rows) >= 200


@pytest.mark.parametrize("name", ["1M", "1y", "1w", "1s"])
def test_every_kind_of_calendar(name: str) -> None:
    interval = INTERVALS[name]
    low = interval.floor(BASE)
    times = [interval.shift(low, i) for i in range(60)]
    exchange = Exchange(times)
    wanted = [Span(interval.shift(low, -3), interval.shift(low, 60))]
    _, book = walk(exchange, wanted, interval, page_size=7)
    assert book.rows == set(times)
