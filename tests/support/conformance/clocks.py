"""What every clock does, and every source of the exchange's time."""

from __future__ import annotations

import asyncio

import pytest

from upbit_frames.runtime.clock import Clock, ManualClock, ServerTime

__all__ = ["ClockConformance", "ServerTimeConformance"]

NOW = 1_772_323_200_000_000
SECOND = 1_000_000


class ClockConformance:
    """Inherited by the tests of every implementation of :class:`upbit_frames.runtime.clock.Clock`.

    A subclass is named ``Test…`` and has a fixture ``clock``. ``passes`` is False for a clock that stands still.
    """

    passes = True

    @pytest.fixture
    def clock(self) -> Clock:
        raise NotImplementedError("the subclass returns a clock")

    def test_now_is_in_whole_microseconds_of_this_age(self, clock: Clock) -> None:
        now = clock.now()
        assert type(now) is int
        assert 1_500_000_000 * SECOND < now < 5_000_000_000 * SECOND

    def test_no_time_runs_backwards(self, clock: Clock) -> None:
        wall = [clock.now() for _ in range(100)]
        steady = [clock.monotonic() for _ in range(100)]
        assert wall == sorted(wall)
        assert steady == sorted(steady)

    def test_sleeping_takes_as_long_as_said(self, clock: Clock) -> None:
        before, wall = clock.monotonic(), clock.now()
        asyncio.run(clock.sleep(0.02))
        assert clock.monotonic() - before >= (0.0199 if self.passes else 0.0)  # a timer may be a little early
        assert clock.now() >= wall

    @pytest.mark.parametrize("seconds", [0, 0.0, -1, -1e9])
    def test_no_time_and_less_need_no_waiting(self, clock: Clock, seconds: float) -> None:
        before = clock.monotonic()
        asyncio.run(asyncio.wait_for(clock.sleep(seconds), 60))
        assert clock.monotonic() >= before

    def test_a_sleep_lets_others_run_and_can_be_cancelled(self, clock: Clock) -> None:
        async def work() -> bool:
            ran = asyncio.Event()

            async def sleep() -> None:
                await clock.sleep(0.01)
                await asyncio.Event().wait()

            async def other() -> None:
                ran.set()

            tasks = [asyncio.create_task(sleep()), asyncio.create_task(other())]
            await asyncio.wait_for(ran.wait(), 60)
            tasks[0].cancel()
            outcome = await asyncio.gather(*tasks, return_exceptions=True)
            return isinstance(outcome[0], asyncio.CancelledError)

        assert asyncio.run(work())


class ServerTimeConformance:
    """Inherited by the tests of every :class:`upbit_frames.runtime.clock.ServerTime`.

    A subclass has a fixture ``server_time``, on a clock that stands at ``NOW``, which no answer has reached yet
    and which does not know the exchange's time.
    """

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(NOW)

    @pytest.fixture
    def server_time(self, clock: ManualClock) -> ServerTime:
        raise NotImplementedError("the subclass returns a server time")

    def test_while_unknown_the_machine_is_taken_at_its_word(self, server_time: ServerTime) -> None:
        assert not server_time.known
        assert not server_time.settled
        assert server_time.offset == 0
        assert server_time.now() == NOW

    def test_now_is_the_clock_and_the_offset(self, server_time: ServerTime, clock: ManualClock) -> None:
        for seconds in (0.0, 1.0, 3600.0):
            clock.advance(seconds)
            server_time.observe(clock.now() - clock.now() % SECOND, clock.now() - 1000, clock.now())
            assert server_time.now() == clock.now() + server_time.offset
            assert server_time.now() <= clock.now()
            assert server_time.known or not server_time.settled

    def test_an_answer_without_a_date_was_written_by_now(self, server_time: ServerTime) -> None:
        assert server_time.by(None) == server_time.now()

    def test_an_answer_was_written_no_later_than_its_date(self, server_time: ServerTime) -> None:
        assert server_time.by(NOW - 5 * SECOND) == NOW - 5 * SECOND
