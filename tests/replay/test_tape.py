"""Tapes made by hand, played: nothing lost, nothing twice, always the same, and an end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.trade_frames import START, trade_frame

import upbit_frames as uf
from upbit_frames import aio, errors
from upbit_frames.core.topics import Topic
from upbit_frames.exchange.transport.reconnecting import EndOfTape
from upbit_frames.replay.clocks import REPLAY_SLEEP, TapeClock
from upbit_frames.replay.library import problems
from upbit_frames.replay.loaded_tape import LoadedTape
from upbit_frames.replay.tape_wire import TapePlayer
from upbit_frames.replay.tape_writer import TapeWriter
from upbit_frames.runtime.clock import ManualClock
from upbit_frames.runtime.fixed_clock import FixedServerTime

Make = Callable[..., Path]
Offline = Callable[[], list[Any]]


def ids(frame: pd.DataFrame) -> list[int]:
    return list(frame["sequential_id"])


def expected(count: int, start: int = 0) -> list[int]:
    return [(START // 1000 + 100 * n) * 10_000 + n % 10 for n in range(start, count)]


def test_everything_once_and_as_it_was(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 5000)
    attempts = offline()
    with uf.tape("t", mode="none") as tape:
        first = uf.stream("KRW-BTC", "trade", count=10**9)
    with uf.tape("t", mode="none"):
        second = uf.stream("KRW-BTC", "trade", count=10**9)
    assert ids(first) == expected(5000)
    pd.testing.assert_frame_equal(first, second)
    arrived = pd.to_datetime([START + 100_000 * n + 5000 for n in range(5000)], unit="us", utc=True).as_unit("us")
    assert list(first["received_at"]) == list(arrived)
    assert (tape.played, tape.recorded, tape.unplayed) == (1, 0, [])
    assert attempts == []


@pytest.mark.parametrize(
    ("seconds", "rows"), [(0.004, 0), (0.01, 1), (1.0, 10), (12.3, 123), (499.9, 4999), (10_000.0, 5000)]
)
def test_seconds_are_seconds_of_the_recording(make_tape: Make, offline: Offline, seconds: float, rows: int) -> None:
    make_tape("t", 5000)
    offline()
    with uf.tape("t"):
        df = uf.stream("KRW-BTC", "trade", seconds=seconds)
    # It was open 100 µs after the start, and each row arrived 5 ms after its tenth of a second.
    assert ids(df) == expected(rows)


def test_count_or_seconds_whichever_comes_first(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 500)
    offline()
    with uf.tape("t"):
        assert len(uf.stream("KRW-BTC", "trade", seconds=5, count=20)) == 20
    with uf.tape("t"):
        assert len(uf.stream("KRW-BTC", "trade", seconds=5, count=200)) == 50


def test_a_slow_reader_with_little_room_loses_nothing(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 700)
    offline()
    seen: list[int] = []
    with uf.tape("t"), uf.stream("KRW-BTC", "trade", buffer=3) as stream:
        for batch in stream:
            assert len(batch) <= 3
            seen += ids(batch)
            if len(seen) % 50 == 0:
                time.sleep(0.002)
        assert stream.stats["dropped"] == 0
        assert stream.stats["state"] == "closed"
    assert seen == expected(700)


def test_a_background_feed_keeps_the_newest(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 3000)
    offline()
    with uf.tape("t"), uf.stream("KRW-BTC", "trade", background=True, buffer=100) as feed:
        while not feed.closed:
            time.sleep(0.005)
        assert ids(feed.to_frame()) == expected(3000, 2900)
        assert feed.error is None


def test_many_readers_at_once_play_the_whole_tape_each(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 2000, ("KRW-BTC", "KRW-ETH"))
    offline()
    found: dict[int, pd.DataFrame] = {}

    def read(number: int) -> None:
        found[number] = uf.stream(["KRW-BTC", "KRW-ETH"][: number % 2 + 1], "trade", count=10**9)

    with uf.tape("t") as tape:
        threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert tape.played == 6
    assert all(len(found[number]) == 2000 * (number % 2 + 1) for number in range(6))
    for number in (2, 4):
        pd.testing.assert_frame_equal(found[number], found[0])
    for number in (3, 5):
        pd.testing.assert_frame_equal(found[number], found[1])


def test_rows_of_several_markets_come_as_they_arrived(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 600, ("KRW-ETH", "KRW-BTC"))
    offline()
    with uf.tape("t"), uf.stream(["KRW-BTC", "KRW-ETH"], "trade") as stream:
        rows = pd.concat(list(stream))
    assert list(rows["market"]) == ["KRW-ETH", "KRW-BTC"] * 600
    assert rows["received_at"].is_monotonic_increasing


def test_coroutines(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 300)
    offline()

    async def read() -> tuple[Any, ...]:
        async with uf.tape("t"):
            async with aio.stream("KRW-BTC", "trade") as stream:
                batches = [batch async for batch in stream]
            async with aio.stream("KRW-BTC", "trade") as stream:
                first = await stream.collect(seconds=10)
                second = await stream.collect(seconds=10)
                return batches, first, second, await stream.collect(count=10**6)

    batches, first, second, rest = asyncio.run(read())
    assert sum(map(len, batches)) == 300
    # The seconds of each go on from where the one before it has ended.
    assert len(first) == 100
    assert 100 <= len(second) <= 101
    assert ids(first) + ids(second) + ids(rest) == expected(300)


def test_what_is_not_on_the_tape(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 5, ("KRW-BTC", "KRW-ETH"))
    attempts = offline()
    with uf.tape("t", mode="none"):
        with pytest.raises(errors.NotRecorded) as caught:
            uf.stream("KRW-XRP", "trade", seconds=1)
        assert caught.value.request == "stream trade KRW-XRP"
        assert caught.value.nearest in ("stream trade KRW-BTC", "stream trade KRW-ETH")
        assert "new_episodes" in str(caught.value.suggestion)
        with pytest.raises(errors.NotRecorded, match="ticker"):
            uf.stream("KRW-BTC", "ticker", background=True)
        assert len(uf.stream("KRW-ETH", "trade", seconds=1)) == 5
    with uf.tape("absent", mode="none"), pytest.raises(errors.NotRecorded, match="no tape 'absent'"):
        uf.stream("KRW-BTC", "trade", seconds=1)
    assert attempts == []


def test_what_was_never_together_is_said_to_be_so(folder: Path, offline: Offline) -> None:
    writer = TapeWriter(folder / "t.jsonl.gz", "", START)
    for number, market in enumerate(["KRW-BTC", "KRW-ETH"]):
        writer.join(START + number, [Topic("trade", market)], (), "kr")
    writer.finish(START + 5)
    writer.settle()
    offline()
    with uf.tape("t"), pytest.raises(errors.NotRecorded, match="in one stream"):
        uf.stream(["KRW-BTC", "KRW-ETH"], "trade", seconds=1)


def test_another_region_is_another_exchange(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 5)
    offline()
    with uf.tape("t"), uf.using(region="sg"), pytest.raises(errors.NotRecorded):
        uf.stream("KRW-BTC", "trade", seconds=1)


def test_a_tape_that_was_cut_short_plays_up_to_there(make_tape: Make, offline: Offline) -> None:
    path = make_tape("t", 400, end=False)
    path.write_bytes(path.read_bytes()[:-900])
    offline()
    assert not LoadedTape(path).complete
    with uf.tape("t"):
        df = uf.stream("KRW-BTC", "trade", count=10**6)
    assert 0 < len(df) < 400
    assert ids(df) == expected(len(df))
    assert uf.cassettes().loc["t", "frames"] == len(df)
    assert problems(path.with_name("t.yaml")) == [f"the tape t.jsonl.gz was cut short: {len(df)} frames are replayed"]


def test_a_damaged_tape_is_refused_before_anything_is_open(make_tape: Make, offline: Offline, folder: Path) -> None:
    path = make_tape("t", 400)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    offline()
    for opened in (uf.tape("t"), uf.cassette("t")):
        with pytest.raises(errors.CorruptFile, match=r"t\.jsonl\.gz"), opened:
            raise AssertionError("entered")
    with uf.tape("other", mode="none"):
        pass  # nothing is left in place by the failure
    assert path.read_bytes() == bytes(data)
    assert "t.jsonl.gz" in uf.cassettes().loc["t", "error"]


@pytest.mark.parametrize("speed", [0, -1, "fast", None, float("nan")])
def test_speeds_that_are_refused(folder: Path, speed: Any) -> None:
    for make in (uf.tape, uf.cassette):
        with pytest.raises(errors.QueryError, match="speed"):
            make("t", speed=speed)


@pytest.mark.parametrize("name", ["", "../t", "a/../b", "/etc/x", "con", None])
def test_names_that_are_refused(folder: Path, name: Any) -> None:
    with pytest.raises(errors.QueryError):
        uf.tape(name)


def test_names_with_and_without_their_ending(folder: Path) -> None:
    assert uf.tape("a/b").path == folder / "a" / "b.jsonl.gz" == uf.tape("a/b.jsonl.gz").path
    assert "a/b" in repr(uf.tape("a/b"))


# --- how fast ----------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [1.0, 4.0, inf])
def test_the_speed(make_tape: Make, speed: float) -> None:
    """By a clock that is moved on by waiting, so nothing here depends on the machine."""
    asyncio.run(play(LoadedTape(make_tape("t", 100)), speed))


async def play(tape: LoadedTape, speed: float) -> None:
    real = ManualClock(now=5)
    clock = TapeClock(real)
    player = TapePlayer(tape.connections[1], 0, clock, FixedServerTime(clock), speed)
    began = real.monotonic()
    wire = await player.dial()
    await wire.send("[]")
    for number in range(100):
        frame, at = await wire.receive()
        assert frame == trade_frame(number)
        assert at == clock.now() == START + 100_000 * number + 5000
        assert real.monotonic() - began == pytest.approx((at - START) / 1e6 / speed if speed < inf else 0.0, abs=1e-4)
    with pytest.raises(EndOfTape):
        await wire.receive()
    assert clock.now() == START + 100_000 * 100


def test_in_real_time_the_same_rows_come(make_tape: Make, offline: Offline) -> None:
    make_tape("t", 40)
    offline()
    with uf.tape("t"):
        fast = uf.stream("KRW-BTC", "trade", count=40)
    with uf.tape("t", speed=20):
        slow = uf.stream("KRW-BTC", "trade", count=40)
        part = uf.stream("KRW-BTC", "trade", seconds=2)
    pd.testing.assert_frame_equal(fast, slow)
    assert ids(part) == expected(20)


def test_a_clock_that_plays_never_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ManualClock(now=5)
    clock = TapeClock(real)
    clock.playing = True
    before, waits = (clock.monotonic(), real.monotonic()), []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("upbit_frames.replay.clocks.asyncio.sleep", note)
    asyncio.run(clock.sleep(3600.0))
    assert waits == [REPLAY_SLEEP]
    assert clock.monotonic() - before[0] == pytest.approx(3600.0 - REPLAY_SLEEP)
    assert real.monotonic() == before[1]
