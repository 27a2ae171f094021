"""One followed market against a model of dictionaries."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from upbit_frames.core.availability import SEAL_GRACE
from upbit_frames.core.intervals import INTERVALS, Span, from_micros
from upbit_frames.core.route import Step
from upbit_frames.core.schema import arrow_schema
from upbit_frames.exchange.wire.messages import CLASSES
from upbit_frames.live.follow.series import CHUNKS, FollowedSeries

MINUTE = 60_000_000
BEGIN = 1_772_323_200_000_000
ROW = CLASSES[False]["candle.1m"]


def row(slot: int, volume: float, stream_type: str = "REALTIME", late: int = 0) -> Any:
    start = BEGIN + slot * MINUTE
    moment = from_micros(start).astimezone(UTC).replace(tzinfo=None)
    return ROW("KRW-BTC", moment, 5.0, 6.0, 4.0, 5.5, volume, volume * 5, start // 1000 + late, stream_type, 1)


def table(slots: list[int]) -> pa.Table:
    schema = arrow_schema("candles")
    times = pa.array([BEGIN + slot * MINUTE for slot in slots], pa.int64()).view(schema.field("time").type)
    numbers = [pa.array([float(slot + 1) for slot in slots], pa.float64())] * 6
    return pa.Table.from_arrays([times, *numbers], schema=schema)


def slots(found: pa.Table) -> list[int]:
    return [(one - BEGIN) // MINUTE for one in found["time"].cast(pa.int64()).to_pylist()]


def series(keep: int = 100) -> FollowedSeries:
    built = FollowedSeries("KRW-BTC", INTERVALS["1m"], keep)
    built.start(table([0, 1]), BEGIN + 2 * MINUTE)
    return built


steps = st.one_of(
    st.tuples(st.just("update"), st.integers(0, 30), st.integers(1, 9)),
    st.tuples(st.just("seal"), st.integers(1, 5), st.integers(0, 31)),
)


@settings(max_examples=300)
@given(st.lists(steps, max_size=60), st.integers(2, 12))
def test_it_agrees_with_a_plain_model(story: list[tuple[str, int, int]], keep: int) -> None:
    tested = series(keep)
    sealed, forming, end = [0, 1], dict[int, float](), 2
    for what, a, b in story:
        if what == "update":
            tested.update(row(a, float(b)))
            if a >= end and b > forming.get(a, 0):
                forming[a] = b
        else:
            fresh = [slot for slot in range(end, end + a) if b >> (slot - end) & 1]
            end += a
            tested.seal(table(fresh), BEGIN + end * MINUTE)
            sealed += fresh
            forming = {slot: volume for slot, volume in forming.items() if slot >= end}
        kept = tested.kept
        assert slots(tested.window(kept)) == sealed[-keep:]
        assert kept.end == tested.sealed_until == BEGIN + end * MINUTE
        open_ = tested.forming_table()
        assert dict(zip(slots(open_), open_["volume"].to_pylist(), strict=True)) == dict(sorted(forming.items()))
        assert slots(open_) == sorted(forming)


def test_each_change_is_delivered_once() -> None:
    tested = series()
    tested.update(row(2, 1.0))
    tested.update(row(3, 1.0))
    seen = tested.version
    assert slots(tested.forming_table(0)) == [2, 3]
    assert slots(tested.forming_table(seen)) == []
    tested.update(row(3, 1.0))  # repeated
    tested.update(row(2, 0.5))  # late
    assert tested.version == seen
    tested.update(row(3, 2.0))
    assert slots(tested.forming_table(seen)) == [3]


def test_a_row_that_contradicts_itself_is_left_out() -> None:
    tested = series()
    wrong = msgspec.structs.replace(row(2, 1.0), low_price=7.0)
    tested.update(wrong)
    tested.update(row(3, 1.0))
    assert slots(tested.forming_table()) == [3]


def test_the_stream_time_stays_near_the_candle() -> None:
    tested = series()
    tested.update(row(2, 1.0, late=30_000))
    assert tested.stream_time == BEGIN + 2 * MINUTE + 30_000_000
    tested.update(row(2, 2.0, late=10**12))
    assert tested.stream_time == BEGIN + 3 * MINUTE + 2 * SEAL_GRACE
    before = tested.stream_time
    tested.update(row(9, 2.0, stream_type="REST"))
    assert tested.stream_time == before


def test_many_small_pieces_become_one() -> None:
    tested = series(keep=10_000)
    for slot in range(2, 5 * CHUNKS):
        tested.seal(table([slot]), BEGIN + (slot + 1) * MINUTE, [Step("rest", "why", slot, slot + 1, 1, 1)])
    assert len(tested._window) <= CHUNKS
    assert slots(tested.window(Span(BEGIN, tested.sealed_until))) == list(range(5 * CHUNKS))
    (total,) = tested.totals
    assert (total.start, total.end, total.rows, total.requests) == (2, 5 * CHUNKS, 5 * CHUNKS - 2, 5 * CHUNKS - 2)
