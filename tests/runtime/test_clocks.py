"""Every clock, and every source of the exchange's time."""

from __future__ import annotations

import pytest
from support.conformance.clocks import NOW, ClockConformance, ServerTimeConformance

from upbit_frames.replay.clocks import TapeClock
from upbit_frames.runtime.clock import ManualClock, ServerTime, SystemClock
from upbit_frames.runtime.fixed_clock import FixedServerTime, PinnedClock


class TestSystemClock(ClockConformance):
    @pytest.fixture
    def clock(self) -> SystemClock:
        return SystemClock()


class TestManualClock(ClockConformance):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(NOW)


class TestPinnedClock(ClockConformance):
    passes = False

    @pytest.fixture(params=[False, True], ids=["at once", "waits"])
    def clock(self, request: pytest.FixtureRequest) -> PinnedClock:
        return PinnedClock(NOW, waits=request.param)


class TestTapeClockWhileRecording(ClockConformance):
    @pytest.fixture(params=[SystemClock, lambda: ManualClock(NOW)], ids=["system", "manual"])
    def clock(self, request: pytest.FixtureRequest) -> TapeClock:
        return TapeClock(request.param())


class TestTapeClockInReplay(ClockConformance):
    @pytest.fixture
    def clock(self) -> TapeClock:
        clock = TapeClock(SystemClock())
        clock.playing, clock.moment = True, NOW
        return clock


class TestServerTime(ServerTimeConformance):
    @pytest.fixture
    def server_time(self, clock: ManualClock) -> ServerTime:
        return ServerTime(clock)


class TestFixedServerTime(ServerTimeConformance):
    @pytest.fixture
    def server_time(self, clock: ManualClock) -> FixedServerTime:
        return FixedServerTime(clock)
