"""Which answers are believed about the exchange's time."""

from __future__ import annotations

import random

import pytest

from upbit_frames.runtime.clock import ManualClock, ServerTime

SECOND = 1_000_000
HOUR = 3600 * SECOND
NOW = 1_772_323_200_000_000


class Exchange:
    """A server whose clock differs from the machine's by an offset."""

    def __init__(self, offset: int = 0) -> None:
        self.clock = ManualClock(NOW)
        self.offset = offset
        self.time = ServerTime(self.clock)

    @property
    def truth(self) -> int:
        return self.clock.now() + self.offset

    def answer(self, skew: int = 0) -> None:
        sent = self.clock.now()
        self.clock.advance(0.03)
        date = self.truth + skew
        self.clock.advance(0.02)
        self.time.observe(date - date % SECOND, sent, self.clock.now())
        self.clock.advance(0.4)

    @property
    def error(self) -> float:
        return (self.time.now() - self.truth) / SECOND


def test_one_answer_with_which_the_machine_agrees_is_enough() -> None:
    exchange = Exchange()
    assert not exchange.time.settled
    exchange.answer()
    assert exchange.time.settled
    assert -1.1 < exchange.error <= 0


@pytest.mark.parametrize("offset", [HOUR, -HOUR, 240 * HOUR, 56 * 8766 * HOUR, 5 * SECOND])
def test_where_the_machine_is_off_two_answers_settle_it(offset: int) -> None:
    exchange = Exchange(offset)
    exchange.answer()
    assert not exchange.time.settled
    assert exchange.error <= 0
    exchange.answer()
    assert exchange.time.settled
    assert -1.1 < exchange.error <= 0


@pytest.mark.parametrize("skew", [HOUR, -HOUR, 2**50, -(2**50), 10 * SECOND])
@pytest.mark.parametrize("offset", [0, HOUR, -240 * HOUR])
@pytest.mark.parametrize("place", [0, 1, 2, 7])
def test_one_answer_that_is_off_moves_nothing(skew: int, offset: int, place: int) -> None:
    exchange = Exchange(offset)
    for number in range(10):
        exchange.answer(skew if number == place else 0)
        assert exchange.error <= 0 or offset < 0
        if place > 1 and number > 0:
            assert -1.1 < exchange.error <= 0
    assert exchange.time.settled
    assert -1.1 < exchange.error <= 0


def test_a_clock_that_the_machine_and_one_answer_share_wrongly_by_chance_is_corrected() -> None:
    exchange = Exchange(-HOUR)
    exchange.answer(HOUR)
    assert exchange.time.settled  # two signs agree, both wrong
    exchange.answer()
    assert not exchange.time.settled
    exchange.answer()
    assert exchange.time.settled
    assert -1.1 < exchange.error <= 0


def test_an_exchange_whose_clock_is_moved_is_followed_after_three_answers() -> None:
    exchange = Exchange()
    for _ in range(5):
        exchange.answer()
    for step in (HOUR, -2 * HOUR):
        exchange.offset += step
        before = exchange.time.offset
        exchange.answer()
        exchange.answer()
        assert exchange.time.offset == before
        assert not exchange.time.settled
        exchange.answer()
        assert exchange.time.settled
        assert -1.1 < exchange.error <= 0


def test_an_exchange_whose_clock_runs_fast_is_never_taken_for_later_than_it_is() -> None:
    exchange = Exchange()
    for _ in range(60):
        exchange.offset += 300 * SECOND
        exchange.answer()
        assert exchange.error <= 0
    assert exchange.error > -2000


def test_a_step_of_the_machine_is_noticed() -> None:
    exchange = Exchange()
    exchange.answer()
    exchange.clock.set(exchange.clock.now() + HOUR)
    exchange.offset -= HOUR
    assert not exchange.time.known
    exchange.answer()
    exchange.answer()
    assert -1.1 < exchange.error <= 0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.01, 0.1])
def test_odd_answers_now_and_then_never_make_it_late(seed: int, share: float) -> None:
    rng = random.Random(seed)
    exchange = Exchange(rng.choice([0, HOUR, -HOUR]))
    exchange.answer()
    exchange.answer()
    exchange.answer()
    for _ in range(300):
        exchange.answer(rng.randint(-(10**9), 10**9) * 1000 if rng.random() < share else 0)
        assert exchange.error <= 0.01 or share > 0.01
    for _ in range(3):
        exchange.answer()
    assert -1.1 < exchange.error <= 0
