"""The rows that a sequencer delivers, against a small exchange that drops, delays and repeats."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import CLASSES
from upbit_frames.live.hub import deduplicator, sequencer
from upbit_frames.live.hub.gaps import Gap
from upbit_frames.live.hub.sequencer_types import sequencer_for

SECOND = 1_000_000
START = 1_772_000_040 * SECOND  # a whole minute
SKEW = 7 * SECOND  # how far this machine's clock is ahead
DAY = 86_400 * SECOND
MINUTE = INTERVALS["1m"]
FINAL = 253_402_300_799_999

Trade = tuple[int, int]  # milliseconds, id


def trade(one: Trade, stream_type: str, received: int) -> Any:
    ms, id_ = one
    return CLASSES[False]["trade"]("KRW-BTC", ms, ms, 100.0, 1.0, "ASK", id_, stream_type, received)


def candle(start: int, ms: int, volume: float, stream_type: str, received: int = 0) -> Any:
    begins = datetime.fromtimestamp(start // SECOND, UTC).replace(tzinfo=None)
    return CLASSES[False]["candle.1m"]("KRW-BTC", begins, 1.0, 1.0, 1.0, 1.0, volume, volume, ms, stream_type, received)


def ticker(ms: int, volume: float = 1.0) -> Any:
    return CLASSES[False]["ticker"](
        "KRW-BTC", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, "EVEN", 0.0, 0.0, 1.0, volume, ms, None, None, None, None, ms,
        1.0, 1.0, "REALTIME",
    )  # fmt: skip


def book(ms: int, levels: int = 1) -> Any:
    kind = CLASSES[False]["orderbook"]
    unit = kind.__annotations__["orderbook_units"].__args__[0]
    return kind("KRW-BTC", ms, 1.0, 1.0, [unit(2.0, 1.0, 1.0, 1.0)] * levels, "REALTIME")


@dataclass
class World:
    """An exchange with one market, the wire from it, and a reader of the sequencer."""

    type: str
    late: bool = True
    now: int = START + 5 * SECOND
    trades: list[Trade] = field(default_factory=list)
    alive: bool = False
    known_broken: bool = True
    late_frames: list[tuple[int, Any]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    failed: list[Gap] = field(default_factory=list)
    out: list[Any] = field(default_factory=list)
    held: int = 0
    remembered: int = 0

    def __post_init__(self) -> None:
        self.sequencer = sequencer_for("trade" if self.type == "trade" else "candle.1m", "KRW-BTC", self.now)
        self.begun = self.now

    # --- what the exchange knows

    def states(self) -> dict[int, tuple[int, float]]:
        """Each candle's last state: when, and its volume."""
        found: dict[int, tuple[int, float]] = {}
        for ms, _ in self.trades:
            start = MINUTE.floor(ms * 1000)
            found[start] = (ms, found.get(start, (0, 0.0))[1] + 1.0)
        return found

    def rest(self, span: Span) -> list[Any]:
        if self.type == "trade":
            return [
                trade(one, BACKFILLED, self.now + SKEW) for one in self.trades if span.start <= one[0] * 1000 < span.end
            ]
        states = sorted(self.states().items())
        return [candle(at, FINAL, volume, BACKFILLED) for at, (_, volume) in states if span.start <= at < span.end]

    # --- the wire

    def frame(self, stream_type: str) -> Any:
        """The newest trade, or the newest candle's state."""
        if self.type == "trade":
            return trade(self.trades[-1], stream_type, self.now + SKEW)
        start, (ms, volume) = max(self.states().items())
        return candle(start, ms, volume, stream_type, self.now + SKEW)

    def send(self, row: Any, late: int, repeat: bool) -> None:
        if late and self.late:
            self.late_frames.append((late, row))
        else:
            self.arrive(row)
        if repeat:
            self.arrive(row)
        due = [one for left, one in self.late_frames if left <= 1]
        self.late_frames = [(left - 1, one) for left, one in self.late_frames if left > 1]
        for one in due:
            self.arrive(one)

    def arrive(self, row: Any) -> None:
        row.received_at = self.now + SKEW
        fresh, gap = self.sequencer.accept(row, row.received_at)
        self.take(fresh, gap)

    def take(self, fresh: list[Any], gap: Gap | None = None) -> None:
        self.out += fresh
        if gap is not None:
            assert gap.span is not None
            assert not gap.span.empty
            assert gap.outcome == "open"
            self.gaps.append(gap)
        self.held = max(self.held, self.sequencer.held)
        self.remembered = max(self.remembered, self.sequencer.rows.size)

    # --- what happens

    def traded(self, wait_ms: int, late: int, repeat: bool) -> None:
        self.now += wait_ms * 1000
        ms = self.now // 1000
        before = self.trades[-1] if self.trades else (0, 0)
        number = before[1] % 10_000 + 1 if before[0] == ms else 1
        self.trades.append((ms, ms * 10_000 + number))
        if self.alive:
            self.send(self.frame("REALTIME"), late, repeat)

    def died(self) -> None:
        """Nothing comes any more, which is not detected yet."""
        self.alive = False
        self.late_frames.clear()

    def broke(self) -> None:
        self.died()
        if not self.known_broken:
            self.sequencer.disconnect(self.now + SKEW, "broken off")
            self.known_broken = True

    def restored(self, late: int) -> None:
        if not self.known_broken:
            return
        self.alive, self.known_broken = True, False
        self.sequencer.started = self.now
        if self.trades:
            self.send(self.frame("SNAPSHOT"), late, repeat=False)

    def silent(self) -> None:
        """Seconds pass in which nothing comes, not even a snapshot that is late."""
        if self.alive and not self.late_frames:
            self.take([], self.sequencer.settle(self.now + SKEW, self.now))

    def passed(self, micros: int) -> None:
        """Time without a trade: what was late arrives within seconds, and a ping finds out who is dead."""
        if micros > 8 * SECOND:
            for _, row in self.late_frames:
                self.arrive(row)
            self.late_frames.clear()
        if not self.alive and micros > 40 * SECOND:
            self.now += 40 * SECOND
            self.broke()
            micros -= 40 * SECOND
        self.now += micros

    def quiet(self) -> None:
        self.passed(75 * SECOND)

    def turned(self) -> None:
        """It is shortly before the end of a minute."""
        self.passed(
            MINUTE.floor(self.now) + 59 * SECOND + 500_000 - self.now if self.now % (60 * SECOND) < 59 * SECOND else 0
        )

    def answered(self, number: int, *, failed: bool) -> None:
        if not self.gaps:
            return
        gap = self.gaps.pop(number % len(self.gaps))
        assert gap.span is not None
        if failed:
            self.failed.append(gap)
            self.take(self.sequencer.fail_backfill(gap, "no answer"))
            return
        self.take(self.sequencer.backfill(gap, self.rest(gap.span)))

    def finish(self) -> None:
        """Everything is repaired at last, and the connection lives on for a while."""
        self.restored(0)
        if not self.alive:
            self.broke()
            self.restored(0)
        self.traded(100, 0, False)
        self.quiet()
        self.traded(100, 0, False)
        while self.gaps:
            self.answered(0, failed=False)


waits = st.integers(0, 1500) | st.just(0)
lateness = st.just(0) | st.integers(0, 5)
trading = st.tuples(st.just("traded"), waits, lateness, st.booleans())
dropping = st.tuples(st.just("broke"))
restoring = st.tuples(st.just("restored"), lateness)
# What was late when the connection broke is lost; about the end of a minute too.
losing = st.tuples(
    st.tuples(st.just("turned")), st.tuples(st.just("traded"), waits, st.integers(2, 5), st.just(False)),
    st.tuples(st.just("traded"), waits, st.just(0), st.just(False)), dropping, restoring,
).map(list)  # fmt: skip
happenings = st.one_of(
    trading, trading, trading, st.tuples(st.just("died")), dropping, restoring, restoring, st.tuples(st.just("silent")),
    st.tuples(st.just("quiet")), st.tuples(st.just("turned")), st.tuples(st.just("right"), st.integers(0, 3)),
)  # fmt: skip


def stories(*more: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    parts = st.lists(st.one_of(happenings.map(lambda one: [one]), losing, *more), max_size=40)
    return parts.map(lambda lists: [one for part in lists for one in part])


repaired = stories()
failing = stories(st.tuples(st.just("wrong"), st.integers(0, 3)).map(lambda one: [one]))


def play(type_: str, story: list[tuple[Any, ...]], *, late: bool = True) -> World:
    world = World(type_, late)
    world.restored(0)
    for what, *how in story:
        if what in ("right", "wrong"):
            world.answered(how[0], failed=what == "wrong")
        else:
            getattr(world, what)(*how)
    world.finish()
    return world


def delivered(world: World) -> list[Trade]:
    return [(row.trade_timestamp, row.sequential_id) for row in world.out]


def ours(world: World) -> list[Trade]:
    """The trades since the subscription: the first snapshot and everything after it."""
    return [one for one in world.trades if one[0] * 1000 >= world.begun]


@settings(max_examples=500)
@given(repaired)
def test_each_trade_exactly_once(story: list[tuple[Any, ...]]) -> None:
    world = play("trade", story)
    rows = delivered(world)
    assert len(rows) == len(set(rows))
    assert set(rows) == set(ours(world))
    assert world.sequencer.held == 0
    assert not world.sequencer.backfilling
    assert world.sequencer.accepted == len(rows)


@settings(max_examples=300)
@given(repaired)
def test_trades_come_in_order_where_none_is_late(story: list[tuple[Any, ...]]) -> None:
    world = play("trade", story, late=False)
    # Within one millisecond backfilled rows may come after streamed ones.
    assert [ms for ms, _ in delivered(world)] == sorted(ms for ms, _ in ours(world))


@settings(max_examples=500)
@given(failing)
def test_what_is_not_repaired_is_all_that_may_be_missing(story: list[tuple[Any, ...]]) -> None:
    world = play("trade", story)
    rows = delivered(world)
    assert len(rows) == len(set(rows))
    missing = set(ours(world)) - set(rows)
    assert set(rows) <= set(ours(world))
    for ms, _ in missing:
        assert any(gap.span and gap.span.start <= ms * 1000 < gap.span.end for gap in world.failed)
    assert all(gap.outcome == "not repaired: no answer" for gap in world.failed)
    assert world.sequencer.held == 0


@settings(max_examples=500)
@given(failing)
def test_memory_is_bounded(story: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deduplicator, "MOST_IDS", 8)
        patch.setattr(deduplicator, "EVERY", 1)
        patch.setattr(sequencer, "MOST_HELD", 6)
        world = play("trade", story, late=False)
    rows = delivered(world)
    assert len(rows) == len(set(rows))
    missing = set(ours(world)) - set(rows)
    for ms, _ in missing:
        assert any(gap.span and gap.span.start <= ms * 1000 < gap.span.end for gap in world.failed)
    gaps = sum(1 for what in story if what[0] in ("broke", "restored"))
    assert world.held <= 6 + 1 + gaps


def ends_of(world: World) -> dict[int, float]:
    """The last delivered state of each candle."""
    return {world.sequencer.time_of(row): row.candle_acc_trade_volume for row in world.out}


def candles_of(world: World) -> dict[int, float]:
    """Each candle's last state, from the one in which the line began to listen."""
    first = MINUTE.floor(world.begun)
    return {at: volume for at, (_, volume) in world.states().items() if at >= first}


@settings(max_examples=500)
@given(repaired)
def test_each_candle_ends_in_its_last_state(story: list[tuple[Any, ...]]) -> None:
    world = play("candle", story)
    assert ends_of(world) == candles_of(world)
    assert world.sequencer.held == 0
    assert not world.sequencer.backfilling


@settings(max_examples=500)
@given(failing, st.booleans())
def test_the_states_of_a_candle_come_in_order(story: list[tuple[Any, ...]], late: bool) -> None:
    world = play("candle", story, late=late)
    states: dict[int, list[float]] = {}
    for row in world.out:
        states.setdefault(world.sequencer.time_of(row), []).append(row.candle_acc_trade_volume)
    for volumes in states.values():
        assert all(before < after for before, after in pairwise(volumes))
    truth = candles_of(world)
    for at, volumes in states.items():
        assert at in truth
        assert volumes[-1] == truth[at] or any(gap.span and gap.span.start <= at < gap.span.end for gap in world.failed)
    if not late and not world.failed:
        assert list(states) == sorted(states)


# --- one case at a time -----------------------------------------------------------------------------------


def line(type_: str = "trade", *, started: int = 0) -> Any:
    return sequencer_for(type_, "KRW-BTC", started)


def at(seconds: float, number: int = 1) -> Trade:
    ms = START // 1000 + round(seconds * 1000)
    return ms, ms * 10_000 + number


def ids(rows: list[Any]) -> list[int]:
    return [row.sequential_id for row in rows]


def test_what_came_after_a_break_waits_for_what_was_missed() -> None:
    it = line()
    first, lost, after, later = at(1), at(2), at(3), at(4)
    assert it.accept(trade(first, "SNAPSHOT", 0), 0) == ([trade(first, "SNAPSHOT", 0)], None)
    made = it.disconnect(START, "dropped")
    assert made is not None
    assert it.gap is not None
    assert it.disconnect(START, "dropped again") is None
    fresh, gap = it.accept(trade(after, "SNAPSHOT", 0), START + 5)
    assert fresh == []
    assert gap is made
    assert (gap.start, gap.end, gap.reconnected_at) == (first[0] * 1000, after[0] * 1000, START + 5)
    assert gap.span == Span(first[0] * 1000, after[0] * 1000 + 1000)
    assert it.accept(trade(later, "REALTIME", 0), 0) == ([], None)
    assert (it.held, it.backfilling) == (3, True)
    passed = it.backfill(gap, [trade(one, BACKFILLED, 0) for one in (first, lost, after)])
    assert ids(passed) == [lost[1], after[1], later[1]]
    assert [row.stream_type for row in passed] == [BACKFILLED, "SNAPSHOT", "REALTIME"]
    assert (gap.rows, gap.outcome) == (1, "repaired")
    assert (it.held, it.backfilling, it.rows.repeated) == (0, False, 2)


def test_an_answer_in_any_order_is_delivered_in_order() -> None:
    it = line()
    it.accept(trade(at(1), "SNAPSHOT", 0), 0)
    it.disconnect(START, "dropped")
    _, gap = it.accept(trade(at(5), "SNAPSHOT", 0), 0)
    assert gap is not None
    answer = [trade(at(number), BACKFILLED, 0) for number in (4, 2, 5, 3, 1)]
    assert ids(it.backfill(gap, answer)) == [at(number)[1] for number in (2, 3, 4, 5)]


def test_the_rest_of_a_millisecond_comes_after_its_first_half() -> None:
    it = line()
    it.accept(trade(at(1), "SNAPSHOT", 0), 0)
    it.disconnect(START, "dropped")
    _, gap = it.accept(trade(at(3, 1), "SNAPSHOT", 0), 0)
    assert gap is not None
    answer = [trade(one, BACKFILLED, 0) for one in (at(1), at(2), at(3, 1), at(3, 2))]
    assert ids(it.backfill(gap, answer)) == [at(2)[1], at(3, 1)[1], at(3, 2)[1]]
    assert it.accept(trade(at(3, 2), "REALTIME", 0), 0) == ([], None)


def test_answers_are_passed_on_in_the_order_of_the_gaps() -> None:
    it = line()
    it.accept(trade(at(1), "SNAPSHOT", 0), 0)
    gaps = []
    for seconds in (3, 6):
        it.disconnect(START, "dropped")
        gaps.append(it.accept(trade(at(seconds), "SNAPSHOT", 0), 0)[1])
    one, two = gaps
    assert one is not None
    assert two is not None
    # The second answer reaches back over what the first one lacks.
    assert it.backfill(two, [trade(at(n), BACKFILLED, 0) for n in (2, 3, 4, 5, 6)]) == []
    assert two.outcome == "open"
    rows = it.backfill(one, [trade(at(n), BACKFILLED, 0) for n in (1, 2, 3)])
    assert ids(rows) == [at(n)[1] for n in (2, 3, 4, 5, 6)]
    assert (one.rows, two.rows) == (1, 2)


def test_a_failed_repair_says_so_and_holds_up_nothing() -> None:
    it = line()
    it.accept(trade(at(1), "SNAPSHOT", 0), 0)
    it.disconnect(START, "dropped")
    _, gap = it.accept(trade(at(3), "SNAPSHOT", 0), 0)
    assert gap is not None
    assert ids(it.fail_backfill(gap, "the exchange is away")) == [at(3)[1]]
    assert gap.outcome == "not repaired: the exchange is away"
    assert it.held == 0


def test_an_old_snapshot_needs_no_repair_of_the_time_before_it_was_subscribed() -> None:
    days = 8 * 86_400
    it = line(started=START)
    it.accept(trade(at(-days), "SNAPSHOT", START), START)
    it.started = START + 90 * SECOND
    it.disconnect(START + 60 * SECOND, "dropped")
    _, gap = it.accept(trade(at(95), "SNAPSHOT", 0), 0)
    assert gap is not None
    assert gap.start == at(-days)[0] * 1000
    assert gap.span is not None
    assert gap.span.start >= START


def test_nothing_new_after_a_long_life_needs_no_repair() -> None:
    it = line()
    it.accept(trade(at(1), "SNAPSHOT", START), START)
    it.disconnect(START + 90 * SECOND, "dropped")
    assert it.accept(trade(at(1), "SNAPSHOT", 0), 0) == ([], None)
    assert not it.backfilling
    it = line()
    it.accept(trade(at(1), "REALTIME", START), START)
    it.accept(trade(at(2), "REALTIME", START), START)
    it.disconnect(START + 5 * SECOND, "dropped")
    _, gap = it.accept(trade(at(2), "SNAPSHOT", 0), 0)
    assert gap is not None  # something may have been on its way


def test_a_trade_that_comes_before_a_late_snapshot_is_not_the_beginning() -> None:
    it = line(started=START)
    assert ids(it.accept(trade(at(3), "REALTIME", 0), 0)[0]) == [at(3)[1]]
    assert ids(it.accept(trade(at(2), "REALTIME", 0), 0)[0]) == [at(2)[1]]
    assert it.accept(trade(at(-1), "SNAPSHOT", 0), 0) == ([], None)
    assert it.rows.stale == 1


def test_rows_missed_before_the_first_row_are_backfilled() -> None:
    it = line(started=START)
    gap = it.disconnect(START + SECOND, "dropped")
    _, same = it.accept(trade(at(5), "SNAPSHOT", 0), 0)
    assert gap is same
    assert gap is not None
    assert gap.span == Span(START, at(5)[0] * 1000 + 1000)
    assert ids(it.backfill(gap, [trade(at(n), BACKFILLED, 0) for n in (3, 5)])) == [at(3)[1], at(5)[1]]


def test_silence_after_a_break() -> None:
    it = line()
    it.disconnect(START, "dropped")
    assert it.settle(START + 5 * SECOND, START) is None  # nothing was ever traded
    it.accept(trade(at(1), "SNAPSHOT", 0), 0)
    made = it.disconnect(START, "dropped")
    gap = it.settle(START + 5 * SECOND, START + 4 * SECOND)
    assert gap is made
    assert gap is not None
    assert gap.span == Span(at(1)[0] * 1000, START + 4 * SECOND + 1000)
    assert it.settle(START, START) is None
    assert ids(it.backfill(gap, [trade(at(2), BACKFILLED, 0)])) == [at(2)[1]]


def test_a_late_state_of_a_candle_that_is_over_still_counts() -> None:
    it = line("candle.1m")
    minute = START // 1000
    states = [
        candle(START, minute + 1, 1.0, "SNAPSHOT"), candle(START + 60 * SECOND, minute + 60_001, 1.0, "REALTIME"),
        candle(START, minute + 59_000, 2.0, "REALTIME"),
    ]  # fmt: skip
    assert [row for state in states for row in it.accept(state, 0)[0]] == states
    assert it.accept(candle(START, minute + 30_000, 1.5, "REALTIME"), 0) == ([], None)
    assert it.last is states[1]


def test_the_last_state_of_a_candle_is_looked_up_although_the_next_has_begun() -> None:
    it = line("candle.1m")
    minute = START // 1000
    now = START + 61 * SECOND
    it.accept(candle(START, minute + 1, 1.0, "SNAPSHOT", now), now)
    it.accept(candle(START + 60 * SECOND, minute + 60_001, 1.0, "REALTIME", now), now)
    it.disconnect(now + SECOND, "dropped")
    again = candle(START + 60 * SECOND, minute + 60_500, 2.0, "SNAPSHOT", now)
    fresh, gap = it.accept(again, now)
    assert fresh == [again]  # it need not wait: what may come is of another candle
    assert gap is not None
    assert gap.span == Span(START, START + 60 * SECOND)
    assert it.backfilling
    final = candle(START, FINAL, 3.0, BACKFILLED)
    assert it.backfill(gap, [final]) == [final]
    assert it.accept(candle(START, minute + 59_900, 2.5, "REALTIME"), 0) == ([], None)


def test_candles_of_which_rest_knows_less_are_left_out() -> None:
    it = line("candle.1m")
    it.accept(candle(START, START // 1000, 5.0, "SNAPSHOT"), 0)
    it.disconnect(START, "dropped")
    _, gap = it.accept(candle(START + 120 * SECOND, START // 1000 + 120_000, 1.0, "SNAPSHOT"), 0)
    assert gap is not None
    assert gap.span == Span(START, START + 120 * SECOND)
    passed = it.backfill(
        gap, [candle(START, FINAL, 4.0, BACKFILLED), candle(START + 60 * SECOND, FINAL, 1.0, BACKFILLED)]
    )
    assert [(it.time_of(row) - START) // SECOND for row in passed] == [60, 120]


def test_states_that_came_meanwhile_are_older_than_what_is_fetched() -> None:
    it = line("candle.1m")
    minute = START // 1000
    it.accept(candle(START, minute, 1.0, "SNAPSHOT"), 0)
    it.disconnect(START, "dropped")
    _, gap = it.accept(candle(START + 120 * SECOND, minute + 120_001, 1.0, "REALTIME"), 0)
    assert gap is not None
    assert it.accept(candle(START + 60 * SECOND, minute + 60_001, 1.0, "SNAPSHOT"), 0) == ([], None)
    passed = it.backfill(
        gap, [candle(START, FINAL, 2.0, BACKFILLED), candle(START + 60 * SECOND, FINAL, 9.0, BACKFILLED)]
    )
    assert [row.candle_acc_trade_volume for row in passed] == [2.0, 9.0, 1.0]


@pytest.mark.parametrize("make", [ticker, book])
def test_the_state_comes_whole(make: Any) -> None:
    it = line("ticker" if make is ticker else "orderbook")
    one, two = make(START // 1000), make(START // 1000 + 5)
    assert it.accept(one, 0) == ([one], None)
    assert it.accept(make(START // 1000), 0) == ([], None)
    assert it.accept(make(START // 1000 - 1), 0) == ([], None)
    gap = it.disconnect(START, "dropped")
    assert it.accept(two, 0) == ([two], None)
    assert gap is not None
    assert gap.outcome == "snapshot"
    gap = it.disconnect(START, "dropped")
    assert it.settle(START, START) is None
    assert gap is not None
    assert gap.outcome == "not repaired: no snapshot arrived"


def test_more_levels_of_the_same_book_are_news_and_fewer_are_not() -> None:
    it = line("orderbook")
    deep = book(START // 1000, 15)
    assert it.accept(book(START // 1000, 5), 0)[0]
    assert it.accept(deep, 0)[0] == [deep]
    assert it.accept(book(START // 1000, 5), 0)[0] == []


def test_one_moment_may_have_several_tickers() -> None:
    it = line("ticker")
    assert [len(it.accept(ticker(START // 1000, volume), 0)[0]) for volume in (1.0, 2.0, 2.0)] == [1, 1, 0]


def test_old_ids_are_forgotten_and_older_rows_not_repeated() -> None:
    it = line()
    for seconds in range(1000):
        it.accept(trade(at(seconds), "REALTIME", 0), 0)
    assert it.rows.size < 2 * deduplicator.EVERY + deduplicator.MEMORY // SECOND
    assert it.accept(trade(at(3), "REALTIME", 0), 0) == ([], None)
    assert it.drop_late_rows(5) is None  # another one like it would say that the clock was set back
    assert it.accept(trade(at(3), "REALTIME", 0), 0) == ([], None)
    assert it.accept(trade(at(1000), "REALTIME", 0), 0)[0]
    gap = it.drop_late_rows(5)
    assert gap is not None
    assert (gap.left_out, gap.outcome) == (1, "not repaired: 1 left out")
    assert it.drop_late_rows(6) is None


def test_a_time_far_ahead_bounds_nothing() -> None:
    it = line(started=START)
    tomorrow = at(86_400)
    out = []
    for seconds in range(1000):
        clock = START + seconds * SECOND
        out += ids(it.accept(trade(at(seconds), "REALTIME", 0), 0, clock)[0])
        if seconds == 300:
            assert ids(it.accept(trade(tomorrow, "REALTIME", 0), 0, clock)[0]) == [tomorrow[1]]
    assert out == [at(seconds)[1] for seconds in range(1000)]
    assert it.rows.size < 2 * deduplicator.EVERY + deduplicator.MEMORY // SECOND
    assert it.rows.last.sequential_id == at(999)[1]
    it.disconnect(START, "dropped")
    assert it.accept(trade((tomorrow[0], tomorrow[1] + 1), "REALTIME", 0), 0, clock) == ([], None)
    _, gap = it.accept(trade(at(1002), "SNAPSHOT", 0), 0, clock)
    assert gap is not None
    assert gap.span == Span(at(989)[0] * 1000, at(1002)[0] * 1000 + 1000)
    assert gap.first_row.sequential_id == at(1002)[1]
    assert ids(it.backfill(gap, [trade(at(n), BACKFILLED, 0) for n in (999, 1001, 1002)])) == [
        at(1001)[1], at(1002)[1], tomorrow[1] + 1,
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [1, 2])
def test_a_gap_never_begins_at_a_wrong_time_that_was_believed(wrong: int) -> None:
    it = line(started=START)
    for seconds in range(20):
        it.accept(trade(at(seconds), "REALTIME", 0), 0)
    for seconds in range(wrong):
        it.accept(trade(at(86_400 + seconds), "REALTIME", 0), 0)
    it.disconnect(START, "dropped")
    _, gap = it.accept(trade(at(40), "SNAPSHOT", 0), 0, START + 40 * SECOND)
    assert gap is not None
    assert gap.span is not None
    assert (gap.start, gap.span.start) == (at(19)[0] * 1000, at(9)[0] * 1000)
    assert gap.span.end > at(40)[0] * 1000
    it.backfill(gap, [trade(at(n), BACKFILLED, 0) for n in range(9, 41)])
    assert gap.rows == 20
    # Two rows of such a time may mean that the clock was set back meanwhile.
    assert gap.lost is (wrong == 2)


def test_a_gap_without_any_credible_time_begins_with_the_arrival_of_a_row() -> None:
    it = line()
    now = START + 5 * SECOND
    assert it.accept(trade(at(86_405), "REALTIME", now), now, now)[0]
    it.disconnect(now + SECOND, "dropped")
    _, gap = it.accept(trade(at(30), "SNAPSHOT", START + 30 * SECOND), START + 30 * SECOND, START + 30 * SECOND)
    assert gap is not None
    assert gap.start == now
    assert gap.span == Span(now - 10 * SECOND, at(30)[0] * 1000 + 1000)


def test_a_row_that_continues_the_time_before_the_gap_ends_it_whatever_the_clock_says() -> None:
    it = line(started=START)
    it.accept(trade(at(0), "REALTIME", START - DAY), START - DAY)
    it.disconnect(START - DAY, "dropped")
    late = START - DAY + 20 * SECOND
    _, gap = it.accept(trade(at(20), "SNAPSHOT", late), late, late)
    assert gap is not None
    assert gap.end == at(20)[0] * 1000


@pytest.mark.parametrize("clock", [True, False])
@pytest.mark.parametrize("minutes", [1, 3, 60])
def test_a_clock_that_is_set_back_loses_nothing(minutes: int, clock: bool) -> None:
    it = line(started=START)
    out, sent = [], []
    for seconds in range(1200):
        time = at(seconds + (60 * minutes if seconds < 600 else 0), 2 if seconds < 600 else 1)
        now = time[0] * 1000 if clock else None
        sent.append(time[1])
        out += ids(it.accept(trade(time, "SNAPSHOT" if not seconds else "REALTIME", 0), 0, now)[0])
    assert out == sent
    assert it.drop_late_rows(0) is None
    assert it.rows.last.sequential_id == at(1199)[1]
    it.disconnect(START, "dropped")
    _, gap = it.accept(trade(at(1205), "SNAPSHOT", 0), 0, START + 1205 * SECOND)
    if minutes < 60:
        assert gap is not None
        assert gap.span == Span(at(1189)[0] * 1000, at(1205)[0] * 1000 + 1000)
        assert not gap.unavailable


def test_rows_missed_right_after_a_clock_was_set_back_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deduplicator, "EVERY", 1)
    it = line(started=START)
    for seconds in range(600):
        it.accept(trade(at(seconds + 180), "REALTIME", 0), 0)
    for seconds in range(600, 605):
        it.accept(trade(at(seconds), "REALTIME", 0), 0, START + seconds * SECOND)
    made = it.disconnect(START, "dropped")
    fresh, gap = it.accept(trade(at(610), "SNAPSHOT", 0), 0, START + 610 * SECOND)
    assert (ids(fresh), gap) == ([at(610)[1]], None)
    assert made is not None
    assert made.outcome.startswith("not repaired: the exchange's clock was set back")


@pytest.mark.parametrize("make", [ticker, book])
def test_a_state_from_tomorrow_does_not_stay(make: Any) -> None:
    it = line("ticker" if make is ticker else "orderbook")
    now = START // 1000
    stamps = [now, now + 86_400_000, now + 1, now + 1, now + 2, now + 1]
    assert [len(it.accept(make(one), 0, one_clock)[0]) for one, one_clock in zip(stamps, [START] * 6, strict=True)] == [
        1, 1, 1, 0, 1, 0,
    ]  # fmt: skip


def test_a_candle_stamped_tomorrow_goes_on() -> None:
    it = line("candle.1m")
    ms = START // 1000
    states = [
        candle(START, ms, 1.0, "REALTIME"), candle(START, ms + 86_400_000, 2.0, "REALTIME"),
        candle(START, ms + 10, 3.0, "REALTIME"), candle(START + 86_400 * SECOND, ms + 86_400_000, 1.0, "REALTIME"),
        candle(START + 60 * SECOND, ms + 60_000, 1.0, "REALTIME"),
    ]  # fmt: skip
    assert [row for state in states for row in it.accept(state, 0, START)[0]] == states
    assert it.last is states[-1]


def test_states_are_forgotten_in_time() -> None:
    it = line("candle.1m")
    for number in range(1000):
        it.accept(candle(START + number * 60 * SECOND, START // 1000 + number, 1.0, "REALTIME"), 0)
    assert it.rows.size <= deduplicator.MOST_STATES
    assert it.accept(candle(START, START // 1000 + 10**6, 9.0, "REALTIME"), 0) == ([], None)


def test_too_much_that_waits_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "MOST_HELD", 3)
    it = line()
    it.accept(trade(at(1), "SNAPSHOT", 0), 0)
    it.disconnect(START, "dropped")
    _, gap = it.accept(trade(at(3), "SNAPSHOT", 0), 0)
    assert gap is not None
    out: deque[Any] = deque()
    for n in range(4, 8):
        out += it.accept(trade(at(n), "REALTIME", 0), 0)[0]
    assert [row.sequential_id for row in out] == [at(n)[1] for n in range(3, 8)]
    assert ids(it.backfill(gap, [trade(at(n), BACKFILLED, 0) for n in (1, 2, 3)])) == [at(2)[1]]
