"""When a candle is final, and what REST no longer serves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.availability import (
    DAY,
    SEAL_GRACE,
    SECONDS_KEPT,
    SHORTEST_MONTHS,
    TRADE_DAYS,
    expires,
    rest_horizon,
    sealed_until,
    split_expired,
)
from upbit_frames.core.intervals import INTERVALS, Span

NOW = 1_772_323_234_567_890
EVERY = sorted(INTERVALS)
moments = st.integers(SECONDS_KEPT, 4 * 10**15)


@pytest.mark.parametrize("name", EVERY)
def test_a_candle_is_final_a_grace_after_its_end(name: str) -> None:
    interval = INTERVALS[name]
    end = interval.ceil(NOW)
    assert sealed_until(interval, end + SEAL_GRACE) == end
    assert sealed_until(interval, end + SEAL_GRACE - 1) == interval.shift(end, -1)


@given(moments, st.sampled_from(EVERY))
def test_what_is_final_ended_before_now_and_no_later_period_did(now: int, name: str) -> None:
    interval = INTERVALS[name]
    end = sealed_until(interval, now)
    assert interval.floor(end) == end
    assert end + SEAL_GRACE <= now < interval.shift(end, 1) + SEAL_GRACE


@pytest.mark.parametrize("name", EVERY)
def test_only_second_candles_expire(name: str) -> None:
    interval = INTERVALS[name]
    if name == "1s":
        assert expires(interval, NOW) == NOW + SHORTEST_MONTHS
        assert rest_horizon(interval, NOW) == interval.floor(NOW - SECONDS_KEPT)
    else:
        assert expires(interval, NOW) is None
        assert rest_horizon(interval, NOW) == 0


@given(moments)
def test_second_candles_are_served_at_least_until_they_are_said_to_expire(moment: int) -> None:
    seconds = INTERVALS["1s"]
    last_served = expires(seconds, moment)
    assert last_served is not None
    assert rest_horizon(seconds, last_served) <= moment


@given(moments)
def test_trades_expire_at_midnight_after_seven_whole_days(moment: int) -> None:
    until = expires(None, moment)
    assert until is not None
    assert until % DAY == 0
    assert until // DAY - moment // DAY == TRADE_DAYS + 1


@given(moments, st.lists(st.tuples(st.integers(-400, 400), st.integers(1, 200)), max_size=5), st.sampled_from(EVERY))
def test_splitting_keeps_every_moment_once(now: int, pieces: list[tuple[int, int]], name: str) -> None:
    interval = INTERVALS[name]
    horizon = rest_horizon(interval, now)
    offset = max(horizon, 400 * 10**6)
    missing = [Span(offset + low * 10**6, offset + (low + length) * 10**6) for low, length in pieces]
    expired, served = split_expired(interval, missing, now)
    seconds = {second for span in missing for second in range(*span, 10**6)}
    assert {second for span in expired for second in range(*span, 10**6)} == {at for at in seconds if at < horizon}
    assert {second for span in served for second in range(*span, 10**6)} == {at for at in seconds if at >= horizon}
