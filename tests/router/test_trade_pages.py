"""The trade walks against a model exchange."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.core.intervals import Span, merge
from upbit_frames.errors import SchemaError
from upbit_frames.router.trade_pages import TradeRequest, backfill_trades, by_day

SECOND = 1_000_000
DAY = 86_400 * SECOND
BASE = 20_000 * DAY


class Trade(NamedTuple):
    time: int
    sequential_id: int


class Exchange:
    def __init__(self, times_ms: list[int], page_size: int, *, to_inclusive: bool = False) -> None:
        counts: dict[int, int] = {}
        self.trades = []
        for ms in sorted(times_ms):
            n = counts[ms] = counts.get(ms, -1) + 1
            self.trades.append(Trade(BASE + ms * 1000, (BASE // 1000 + ms) * 10_000 + n))
        self.page_size = page_size
        self.to_inclusive = to_inclusive
        self.asked: list[TradeRequest] = []

    async def fetch(self, ask: TradeRequest) -> list[Trade]:
        self.asked.append(ask)
        await asyncio.sleep(0)
        found = [t for t in self.trades if ask.day <= t.time < ask.day + DAY]
        if ask.cursor is not None:
            found = [t for t in found if t.sequential_id < ask.cursor]
        elif ask.before is not None:
            assert ask.before % SECOND == 0
            limit = ask.before + (SECOND if self.to_inclusive else 0)
            found = [t for t in found if t.time < limit]
        return list(reversed(found[-self.page_size :]))


def collect(exchange: Any, spans: list[Span], **options: Any) -> tuple[list[Trade], list[Span]]:
    kept: list[Trade] = []
    covered: list[Span] = []

    async def keep(span: Span, rows: list[Trade]) -> None:
        assert all(span.start <= row.time < span.end for row in rows)
        assert all(span.end <= c.start or c.end <= span.start for c in covered)
        kept.extend(rows)
        covered.append(span)

    asyncio.run(backfill_trades(spans, exchange.fetch, keep, **options))
    return kept, covered


@settings(max_examples=300)
@given(
    times=st.lists(
        st.integers(0, 3 * 86_400_000 - 1) | st.integers(86_399_000, 86_401_000) | st.just(50_000), max_size=150
    ),
    wanted=st.lists(st.tuples(st.integers(0, 3 * 86_400_000), st.integers(1, 2 * 86_400_000)), min_size=1, max_size=3),
    page_size=st.sampled_from([2, 3, 7, 40]),
    concurrency=st.integers(1, 6),
    inclusive=st.booleans(),
)
def test_every_trade_once(
    times: list[int], wanted: list[tuple[int, int]], page_size: int, concurrency: int, inclusive: bool
) -> None:
    exchange = Exchange(times, page_size, to_inclusive=inclusive)
    spans = merge(Span(BASE + a * 1000, BASE + (a + n) * 1000) for a, n in wanted)
    kept, covered = collect(exchange, spans, page_size=page_size, concurrency=concurrency)
    assert merge(covered) == spans
    expected = [t for t in exchange.trades if any(s.start <= t.time < s.end for s in spans)]
    assert sorted(kept) == expected


def test_a_busy_day_is_walked_from_several_places() -> None:
    exchange = Exchange(list(range(0, 86_400_000, 2_000)), 500)
    kept, _ = collect(exchange, [Span(BASE, BASE + DAY)])
    assert len(kept) == 43_200
    assert len(exchange.asked) <= 43_200 / 500 + 15


def test_days() -> None:
    assert by_day([Span(BASE + 5, BASE + 2 * DAY)]) == [Span(BASE + 5, BASE + DAY), Span(BASE + DAY, BASE + 2 * DAY)]
    assert by_day([]) == []


def test_an_exchange_that_goes_in_circles_is_an_error() -> None:
    class Circles(Exchange):
        async def fetch(self, ask: TradeRequest) -> list[Trade]:
            return self.trades[-self.page_size :]

    with pytest.raises(SchemaError):
        collect(Circles(list(range(50)), 10), [Span(BASE, BASE + DAY)], page_size=10)
