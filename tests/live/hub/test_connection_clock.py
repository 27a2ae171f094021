"""The exchange's time by the frames of a connection."""

from __future__ import annotations

from dataclasses import dataclass

from upbit_frames.live.hub.connection_clock import ConnectionClock

SECOND = 1_000_000
DAY = 86_400 * SECOND


@dataclass
class Frame:
    timestamp: int  # milliseconds
    received_at: int
    stream_type: str = "REALTIME"


def frames(*offsets: int, stream_type: str = "REALTIME") -> list[Frame]:
    return [Frame((SECOND + offset) // 1000, SECOND, stream_type) for offset in offsets]


def test_nothing_is_known_without_a_frame() -> None:
    assert ConnectionClock().offset() is None
    assert ConnectionClock().offset(3 * SECOND) == 3 * SECOND


def test_a_frame_with_a_wrong_time_has_no_effect() -> None:
    clock = ConnectionClock()
    clock.observe(frames(SECOND, DAY, SECOND))
    assert clock.offset() == SECOND


def test_a_changed_clock_takes_effect_after_a_few_frames() -> None:
    clock = ConnectionClock()
    clock.observe(frames(*[0] * 31))
    clock.observe(frames(*[5 * SECOND] * 16))
    assert clock.offset() == 5 * SECOND


def test_snapshots_count_while_there_is_no_realtime_frame() -> None:
    clock = ConnectionClock()
    clock.observe(frames(-DAY, -SECOND, stream_type="SNAPSHOT"))
    assert clock.offset() == -SECOND
    clock.observe(frames(2 * SECOND))
    assert clock.offset() == 2 * SECOND


def test_the_time_of_rest_outvotes_a_first_frame_with_a_wrong_time() -> None:
    clock = ConnectionClock()
    clock.observe(frames(DAY))
    assert clock.offset(server=SECOND) == SECOND


def test_without_rest_no_frame_alone_is_evidence_of_a_time_far_ahead() -> None:
    clock = ConnectionClock()
    clock.observe(frames(DAY, stream_type="SNAPSHOT"))
    assert clock.offset() == 0
    clock.observe(frames(DAY))
    assert clock.offset() == 0
    clock.observe(frames(DAY))  # two frames agree: this machine's clock is late
    assert clock.offset() == DAY


def test_without_rest_a_frame_behind_this_machine_counts_alone() -> None:
    clock = ConnectionClock()
    clock.observe(frames(-DAY))
    assert clock.offset() == -DAY
