"""What may be stored, against a plain account of what was sent, what arrived and when the connection was down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import Span, merge
from upbit_frames.datasets.collect.record.buffer import LATE, TopicBuffer, thinned
from upbit_frames.datasets.collect.record.repair import holes
from upbit_frames.datasets.collect.record.unit import unit_text
from upbit_frames.exchange.wire.messages import CLASSES
from upbit_frames.live.hub.gaps import REPAIRED, SNAPSHOT, Gap
from upbit_frames.store.base import Series

BOOK = CLASSES[False]["orderbook"]
TRADE = CLASSES[False]["trade"]
UNIT = 1_000  # microseconds: a millisecond


def book(time: int, sort: str = "REALTIME") -> Any:
    return BOOK("KRW-BTC", time, 1.0, 1.0, [], sort, 0.0, time * UNIT)


def trade(time: int, number: int, sort: str = "REALTIME") -> Any:
    return TRADE("KRW-BTC", time, time, 1.0, 1.0, "ASK", number, sort, time * UNIT)


@dataclass
class Line:
    """A connection that carries a topic; the account of what happened."""

    kind: str
    buffer: TopicBuffer
    sent: list[int] = field(default_factory=list)  # times of rows while connected
    changes: list[int] = field(default_factory=list)  # all of them
    stored: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    gap: Gap | None = None
    now: int = 1

    def row(self, time: int, sort: str = "REALTIME") -> Any:
        return book(time, sort) if self.kind == "orderbook" else trade(time, time, sort)

    def receive(self, time: int, sort: str = "REALTIME") -> None:
        if self.gap is not None:
            self.gap.end, self.gap.reconnected_at = time * UNIT, self.now * UNIT
        row = self.row(time, sort)
        row.received_at = self.now * UNIT
        self.buffer.add(row)
        self.sent.append(time)

    def take(self, *, last: bool = False) -> None:
        for span, rows in self.buffer.take(self.now * UNIT, last=last):
            self.spans.append(span)
            times = [row.timestamp for row in rows]
            assert all(span.start <= time * UNIT < span.end for time in times)
            self.stored += times
        self.buffer.take_late()


steps = st.lists(st.sampled_from(["change", "change", "quiet", "flush", "down", "up", "lost"]), max_size=60)


@given(steps, st.sampled_from(["orderbook", "trades"]))
def test_whatever_is_covered_is_complete(story: list[str], kind: str) -> None:
    line = Line(kind, TopicBuffer(Series(kind, "KRW-BTC")))
    missed: list[int] = []
    line.changes.append(line.now)
    line.receive(line.now, "SNAPSHOT")
    for step in story:
        line.now += 700
        if step == "change":
            line.changes.append(line.now)
            if line.gap is None:
                line.receive(line.now)
            else:
                missed.append(line.now)
        elif step == "flush":
            line.take()
        elif step == "down" and line.gap is None:
            line.gap = Gap(kind, "KRW-BTC", line.sent[-1] * UNIT, line.now * UNIT, "broken off")
            line.buffer.disconnect(line.gap)
        elif step in ("up", "lost") and line.gap is not None:
            gap = line.gap
            line.receive(line.changes[-1], "SNAPSHOT")
            line.gap = None
            if kind == "orderbook":
                gap.outcome = SNAPSHOT
            elif step == "up":
                for time in missed[:-1]:
                    line.buffer.add(line.row(time, "REST"))
                    line.sent.append(time)
                gap.outcome = REPAIRED
            else:
                gap.abandon("REST is down")
            missed.clear()
    line.take(last=True)
    covered = merge(line.spans)
    assert sum(span.end - span.start for span in covered) == sum(span.end - span.start for span in line.spans)
    inside = sorted({time for time in line.changes if any(a <= time * UNIT < b for a, b in covered)})
    assert sorted(set(line.stored)) == inside
    if kind == "orderbook" and line.gap is None:  # of what came over the connection nothing is lost
        assert sorted(set(line.stored)) == sorted(set(line.sent))
    assert all(span.end <= line.now * UNIT + 1 for span in covered)


def test_a_silent_book_is_covered_as_far_as_other_topics_show() -> None:
    buffer = TopicBuffer(Series("orderbook", "KRW-BTC"))
    buffer.add(book(1_000, "SNAPSHOT"))
    assert [piece.span for piece in buffer.take(60_000_000)] == [Span(1_000_000, 60_000_000 - LATE)]
    assert buffer.take(60_000_000) == []


def test_rows_that_come_late_are_returned_apart() -> None:
    buffer = TopicBuffer(Series("trades", "KRW-BTC"))
    buffer.add(trade(1_000, 1, "SNAPSHOT"))
    buffer.add(trade(2_000, 2))
    (piece,) = buffer.take(10_000_000)
    assert [row.sequential_id for row in piece.rows] == [2]
    buffer.add(trade(1_500, 3))
    assert {row.sequential_id for row in buffer.take_late()} == {1, 3}
    assert len(buffer) == 0


def test_a_break_that_is_known_before_the_first_rows_is_a_hole() -> None:
    buffer = TopicBuffer(Series("orderbook", "KRW-BTC"))
    gap = Gap("orderbook", "KRW-BTC", 2_000_000, 2_500_000, "broken off")
    buffer.disconnect(gap)  # the rows from before the break are still in the subscriber's queue
    buffer.add(book(1_000, "SNAPSHOT"))
    buffer.add(book(2_000))
    gap.end, gap.outcome = 5_000_000, SNAPSHOT
    later = book(5_000, "SNAPSHOT")
    later.received_at = 5_100_000
    buffer.add(later)
    assert [piece.span for piece in buffer.take(5_200_000)] == [Span(1_000_000, 2_000_001), Span(5_000_000, 5_000_001)]


def test_an_interruption_is_a_hole() -> None:
    buffer = TopicBuffer(Series("orderbook", "KRW-BTC"))
    buffer.add(book(1_000, "SNAPSHOT"))
    buffer.interrupt(2_000_000, "rows were dropped")
    buffer.add(book(5_000))
    assert [piece.span for piece in buffer.take(6_000_000)] == [Span(1_000_000, 1_000_001), Span(5_000_000, 5_000_001)]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.integers(1, 50))
def test_thinned_books_have_the_same_state_at_every_period(times: list[int], period: int) -> None:
    times.sort()
    kept = [row.timestamp for row in thinned([book(time) for time in times], period * UNIT)]
    for moment in range(0, times[-1] + 1, period):
        known = [time for time in times if time <= moment]
        assert not known or max(time for time in kept if time <= moment) == known[-1]
    assert len(kept) <= (times[-1] - times[0]) // period + 3


def test_holes_between_what_is_covered() -> None:
    day = 86_400_000_000
    assert holes([]) == []
    assert holes([Span(0, 10), Span(15, 20)]) == [Span(10, 15)]
    assert holes([Span(0, 10), Span(3 * day, 4 * day)]) == []
    assert holes([Span(0, 10), Span(2 * day, 2 * day + 10)]) == [Span(day + 10, 2 * day)]


@pytest.mark.parametrize("word", ["a b", 'say "x"', "100%", "$HOME", "back\\slash"])
def test_the_unit_quotes_words(word: str) -> None:
    line = next(line for line in unit_text([word], "/d").splitlines() if line.startswith("ExecStart="))
    quoted = line.removeprefix("ExecStart=")
    plain = quoted[1:-1].replace("%%", "%").replace("$$", "$").replace('\\"', '"').replace("\\\\", "\\")
    assert plain == word
