"""Streams of the stand-in exchange, recorded, and played with the exchange out of reach."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.pauses import instant_retries
from support.trade_frames import SPEED

import upbit_frames as uf
from upbit_frames import aio, errors
from upbit_frames.live.collection import MOST_WARNINGS
from upbit_frames.live.stream import Stream
from upbit_frames.replay import tape_file
from upbit_frames.replay.library import problems
from upbit_frames.replay.loaded_tape import LoadedTape
from upbit_frames.testing import Exchange

Offline = Callable[[], list[Any]]
BOTH = ["KRW-BTC", "KRW-ETH"]
KINDS = ["trade", "ticker", "orderbook", "candle.1s", "candle.1m"]


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, frame in ours.items():
        pd.testing.assert_frame_equal(frame, theirs[name], obj=name)


def until(done: Callable[[], bool]) -> None:
    for _ in range(6000):  # a minute: longer than any machine is busy
        if done():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


# --- what is recorded is played ------------------------------------------------------------------


@pytest.mark.parametrize("make", [uf.tape, uf.cassette])
def test_every_kind(recording_streams: Exchange, offline: Offline, make: Callable[..., Any]) -> None:
    def ask() -> dict[str, Any]:
        found = {kind: uf.stream(BOTH, kind, seconds=1.0) for kind in KINDS}
        found["deep"] = uf.stream("KRW-BTC", "orderbook", depth=3, count=4)
        found["counted"] = uf.stream(BOTH, "candle.1m", count=3)
        return found

    with make("all") as tape:
        recorded = ask()
    assert tape.recorded >= len(KINDS) + 2
    assert all(len(frame) for frame in recorded.values())
    attempts = offline()
    for speed in (float("inf"), 20.0):
        with make("all", mode="none", speed=speed) as tape:
            same(ask(), recorded)
        assert tape.unplayed == []
    assert attempts == []
    assert problems(uf.config.cassette_dir / "all.yaml") == []


def test_iterating_and_feeds(recording_streams: Exchange, offline: Offline) -> None:
    with uf.tape("t"):
        with uf.stream(BOTH, "orderbook") as stream:
            rows = [next(stream) for _ in range(3)]
            wanted = sum(map(len, rows))
        with uf.stream(BOTH, "ticker", background=True) as feed:
            until(lambda: len(feed) >= 4)
        kept = feed.to_frame()
    offline()
    with uf.tape("t", mode="none"):
        with uf.stream(BOTH, "orderbook") as stream:
            again = pd.concat(list(stream))
        pd.testing.assert_frame_equal(again.iloc[:wanted], pd.concat(rows), check_freq=False)
        with uf.stream(BOTH, "ticker", background=True) as feed:
            until(lambda: feed.closed)
        # What came between the last look and the end of the recording is on the tape too.
        pd.testing.assert_frame_equal(feed.to_frame().iloc[: len(kept)], kept)


def test_readers_side_by_side(recording_streams: Exchange, offline: Offline) -> None:
    """Who comes later to what others listen to is told its state first, in replay too."""

    def ask() -> dict[str, Any]:
        with uf.stream("KRW-BTC", "orderbook") as first:
            next(first)
            return {
                "later": uf.stream("KRW-BTC", "orderbook", seconds=0.2),
                "more": uf.stream(BOTH, "orderbook", seconds=0.2),
                "other": uf.stream("KRW-ETH", "trade", seconds=0.2),
            }

    with uf.tape("t"):
        recorded = ask()
    assert recorded["later"]["stream_type"].iloc[0] == "SNAPSHOT"
    assert len(recording_streams.streams.connections) >= 1
    offline()
    for _ in range(2):
        with uf.tape("t", mode="none"):
            same(ask(), recorded)


async def _collected() -> Any:
    async with aio.stream(BOTH, "trade") as stream:
        return await stream.collect(seconds=0.3)


@pytest.mark.parametrize("make", [uf.tape, uf.cassette])
def test_coroutines(recording_streams: Exchange, offline: Offline, make: Callable[..., Any]) -> None:
    async def ask() -> list[Any]:
        async with make("t"):
            return await asyncio.gather(_collected(), _collected())

    recorded = asyncio.run(ask())
    offline()
    for ours, theirs in zip(asyncio.run(ask()), recorded, strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


# --- breaks ----------------------------------------------------------------------------------------


def broken(exchange: Exchange | None, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A stream of some seconds in which, while it is recorded, the connection breaks twice."""
    with instant_retries(), uf.stream(BOTH, kind) as stream:
        breaking = threading.Thread(target=break_twice, args=(exchange, stream)) if exchange is not None else None
        if breaking is not None:
            breaking.start()
        frame = asyncio.run(stream.collect(seconds=3.0))
        gaps = stream.gaps
        if breaking is not None:
            breaking.join()
    return frame, gaps


def break_twice(exchange: Exchange, stream: Stream) -> None:
    """Each time nothing is told until some trades were missed, and then the connection breaks."""
    for _ in range(2):
        before, now = stream.stats["received"], exchange.clock.now
        until(lambda: stream.stats["received"] >= before + 3 and "open" not in set(stream.gaps["outcome"]))  # noqa: B023
        exchange.streams.faults.silent = True
        since = now()
        until(lambda: len(exchange.market.trades("KRW-BTC", since, now(), now())) >= 2)  # noqa: B023
        exchange.streams.drop()
        exchange.streams.faults.silent = False


@pytest.mark.parametrize("kind", ["trade", "candle.1s", "orderbook"])
def test_lost_connections_are_replayed_and_backfilled(recording_streams: Exchange, offline: Offline, kind: str) -> None:
    with uf.cassette("t"):
        recording_streams.clock.run(300.0)
        frame, gaps = broken(recording_streams, kind)
    assert gaps["broken_at"].nunique() == 2
    assert set(gaps["outcome"]) <= {"repaired", "nothing missing", "snapshot"}
    if kind != "orderbook":
        assert (frame["stream_type"] == "REST").any()
        assert frame.index.name == "time"
    attempts = offline()
    replays = []
    for _ in range(2):
        with uf.cassette("t", mode="none"):
            replays.append(broken(None, kind))
    for again, told in replays:
        pd.testing.assert_frame_equal(again, frame)
        pd.testing.assert_frame_equal(told, gaps)
    assert attempts == []
    if kind == "trade":
        # Nothing is missing: the exchange has told every trade of that time, each once.
        ids = frame["sequential_id"]
        assert ids.is_unique
        for market in BOTH:
            mine = frame[frame["market"] == market]
            span = [int(one.value // 1000) for one in (mine.index[0], mine.index[-1])]
            truth = recording_streams.market.trades(market, span[0], span[1] + 1, recording_streams.clock.now())
            told = mine["sequential_id"].tolist()
            # Of the same millisecond, some may have come before the first told and after the last.
            assert told == [one for one in truth.sequential_id.tolist() if told[0] <= one <= told[-1]]


def test_a_tape_alone_reports_what_it_cannot_backfill(recording_streams: Exchange, offline: Offline) -> None:
    recording_streams.clock.run(300.0)
    with uf.tape("t"):
        frame, _ = broken(recording_streams, "trade")
    attempts = offline()
    with uf.tape("t", mode="none"), pytest.warns(errors.UpbitFramesWarning) as warned:
        again, gaps = broken(None, "trade")
    lost = gaps["outcome"].str.startswith("not repaired").sum()
    texts = [str(warning.message) for warning in warned]
    named = [text for text in texts if "a tape alone holds no REST responses" in text]
    further = [text for text in texts if text not in named]
    assert len(named) == min(lost, MOST_WARNINGS) > 0
    assert further == (
        [f"further gaps of the frame, listed in its attrs: {lost - MOST_WARNINGS}"] if lost > MOST_WARNINGS else []
    )
    assert set(again["sequential_id"]) == set(frame[frame["stream_type"] != "REST"]["sequential_id"])
    assert attempts == []


# --- modes -----------------------------------------------------------------------------------------


def look(market: str = "KRW-BTC") -> pd.DataFrame:
    return uf.stream(market, "orderbook", count=2)


def test_the_mode_by_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert uf.tape("t").mode == "once"
    monkeypatch.setenv("CI", "true")
    assert uf.tape("t").mode == "none"
    monkeypatch.setenv("UPBIT_FRAMES_RECORD", "all")
    assert uf.tape("t").mode == "all"
    assert uf.tape("t", mode="once").mode == "once"
    with pytest.raises(errors.ConfigError, match="new_episodes"):
        uf.tape("t", mode="sometimes")


def test_ci_refuses_the_network(recording_streams: Exchange, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    before = len(recording_streams.streams.connections)
    for opened in (uf.tape("t"), uf.cassette("t")):
        with opened, pytest.raises(errors.NotRecorded):
            look()
    assert len(recording_streams.streams.connections) == before
    assert recording_streams.requests == []
    assert not folder.exists()


@pytest.mark.parametrize("make", [uf.tape, uf.cassette])
def test_once_does_not_add(recording_streams: Exchange, folder: Path, make: Callable[..., Any]) -> None:
    with make("t"):
        first = look()
    old = (folder / "t.jsonl.gz").read_bytes()
    with make("t"):
        pd.testing.assert_frame_equal(look(), first)
        with pytest.raises(errors.NotRecorded):
            look("KRW-ETH")
    assert (folder / "t.jsonl.gz").read_bytes() == old


@pytest.mark.parametrize("make", [uf.tape, uf.cassette])
def test_new_episodes_adds(recording_streams: Exchange, offline: Offline, make: Callable[..., Any]) -> None:
    with make("t"):
        first = look()
    with make("t", mode="new_episodes") as tape:
        pd.testing.assert_frame_equal(look(), first)
        second = look("KRW-ETH")
        third = look()  # played already, so it is recorded once more
    assert tape.played >= 1
    assert not third.equals(first)
    attempts = offline()
    with make("t", mode="none") as tape:
        pd.testing.assert_frame_equal(look("KRW-ETH"), second)
        pd.testing.assert_frame_equal(look(), first)
        pd.testing.assert_frame_equal(look(), third)
        pd.testing.assert_frame_equal(look(), third)  # the last again, for ever
    assert attempts == []
    assert len(LoadedTape(uf.config.cassette_dir / "t.jsonl.gz").joins) == 3


@pytest.mark.parametrize("make", [uf.tape, uf.cassette])
def test_all_records_afresh(recording_streams: Exchange, offline: Offline, make: Callable[..., Any]) -> None:
    with make("t"):
        first = look()
    with make("t", mode="all"):
        second = look()
    assert not second.equals(first)
    offline()
    with make("t"):
        pd.testing.assert_frame_equal(look(), second)
    assert len(LoadedTape(uf.config.cassette_dir / "t.jsonl.gz").joins) == 1


def test_a_recorded_cassette_without_streams_is_not_added_to(recording_streams: Exchange, folder: Path) -> None:
    with uf.cassette("t"):
        uf.ticker("KRW-BTC")
    assert [one.name for one in folder.iterdir()] == ["t.yaml"]
    with uf.cassette("t"), pytest.raises(errors.NotRecorded):
        look()
    with uf.cassette("t", mode="all"):
        uf.ticker("KRW-BTC")
    assert [one.name for one in folder.iterdir()] == ["t.yaml"]


# --- what goes wrong --------------------------------------------------------------------------------


def fail() -> None:
    look()
    raise ZeroDivisionError


@pytest.mark.parametrize("make", [uf.tape, uf.cassette])
def test_an_error_leaves_nothing_behind(recording_streams: Exchange, folder: Path, make: Callable[..., Any]) -> None:
    with pytest.raises(ZeroDivisionError), make("t"):
        fail()
    assert not folder.exists()
    with make("t"):
        first = look()
    old = {one.name: one.read_bytes() for one in folder.iterdir()}
    with pytest.raises(ZeroDivisionError), make("t", mode="all"):
        fail()
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == old
    with make("t"):
        pd.testing.assert_frame_equal(look(), first)


def test_a_tape_without_streams_is_not_written(recording_streams: Exchange, folder: Path) -> None:
    with uf.tape("t") as tape:
        uf.ticker("KRW-BTC")
    assert not folder.exists()
    assert tape.recorded == 0


@pytest.mark.parametrize("make", [uf.tape, uf.cassette])
def test_discarding(recording_streams: Exchange, folder: Path, make: Callable[..., Any]) -> None:
    with make("t") as tape:
        look()
        tape.discard()
    assert not folder.exists()


@pytest.mark.parametrize("make", [uf.tape, uf.cassette])
def test_a_disk_that_fails_leaves_the_old_file(
    recording_streams: Exchange, folder: Path, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with make("t"):
        look()
    old = {one.name: one.read_bytes() for one in folder.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(errors.StoreError, match="No space left"), make("t", mode="all"):
            look()
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == old
    with make("t", mode="none"):
        look()


def test_one_at_a_time(recording_streams: Exchange, folder: Path) -> None:
    with uf.tape("outer"):
        for inner in (uf.tape("inner"), uf.cassette("inner")):
            with pytest.raises(errors.UsageError), inner:
                raise AssertionError("entered")
        look()
    with uf.cassette("outer"), pytest.raises(errors.UsageError), uf.tape("inner"):
        raise AssertionError("entered")
    assert [one.name for one in folder.iterdir()] == ["outer.jsonl.gz"]
    assert len(look()) > 0  # and afterwards streams come from the exchange again


def test_streams_end_with_the_tape(recording_streams: Exchange) -> None:
    with uf.tape("t"):
        feed = uf.stream("KRW-BTC", "orderbook", background=True)
        until(lambda: len(feed) > 0)
    assert feed.closed
    assert len(feed.to_frame()) > 0
    until(lambda: bool(recording_streams.streams.connections[-1].ended))


def test_an_unknown_market_is_not_recorded(recording_streams: Exchange, folder: Path) -> None:
    with uf.tape("t"), pytest.raises(errors.MarketNotFound):
        look("KRW-NONE")
    assert not folder.exists()


# --- in a folder --------------------------------------------------------------------------------------


def test_the_list(recording_streams: Exchange, folder: Path) -> None:
    with uf.tape("alone"):
        look()
    with uf.cassette("both"):
        uf.ticker("KRW-BTC")
        look()
        look("KRW-ETH")
    listed = uf.cassettes()
    assert list(listed.index) == ["alone", "both"]
    assert (listed["origin"] == "stand-in exchange (invented data)").all()
    assert listed["requests"].tolist()[0] == 0 < listed["requests"].tolist()[1]
    assert (listed["frames"] >= 2).all()
    assert listed.loc["alone", "covers"] == "stream orderbook KRW-BTC"
    assert listed.loc["both", "covers"].endswith("stream orderbook KRW-BTC, stream orderbook KRW-ETH")
    assert listed.loc["both", "bytes"] == sum(one.stat().st_size for one in folder.glob("both.*"))
    for now in listed["now"]:
        assert pd.Timestamp("2026-03-01T03:30:25Z") <= now <= pd.Timestamp("2026-03-01T03:40:00Z")
    assert "127.0.0.1" not in LoadedTape(folder / "alone.jsonl.gz").header.origin


def test_the_command_line(recording_streams: Exchange, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from upbit_frames.cli.main import main

    with uf.tape("alone"):
        look()
    with uf.cassette("both"):
        look()
    assert main(["cassette", "check"]) == 0
    assert main(["cassette", "record", "alone", "--live"]) == 0
    assert main(["cassette", "rm", "alone", "both"]) == 0
    assert list(folder.iterdir()) == []
    assert "alone.jsonl.gz deleted" in capsys.readouterr().out


# --- candles that continue --------------------------------------------------------------------------


def test_followed_candles_are_sealed_as_they_were(recording_streams: Exchange, offline: Offline) -> None:
    """A tape waits until what a follower has to ask of REST was asked, at the same moments."""

    def ask() -> list[Any]:
        with uf.follow("KRW-BTC", "1m", history=20) as candles:
            return [next(candles) for _ in range(3)]

    recording_streams.clock.freeze()
    with uf.cassette("t"):
        uf.ticker("KRW-BTC")  # the cassette's time is known before the exchange's begins to run
        recording_streams.clock.run(SPEED)
        recorded = ask()
    attempts = offline()
    for _ in range(2):
        with uf.cassette("t", mode="none") as tape:
            uf.ticker("KRW-BTC")
            for ours, theirs in zip(ask(), recorded, strict=True):
                pd.testing.assert_frame_equal(ours, theirs)
        assert tape.unplayed == []
    assert attempts == []


def test_a_recording_that_grows_too_large_ends_early_and_warns(
    recording_streams: Exchange, offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape_file, "MAX_SIZE", 20_000)
    with pytest.warns(errors.UpbitFramesWarning, match=r"the tape 't' ends at .* UTC.*20,000 bytes"), uf.tape("t"):
        recorded = uf.stream(BOTH, "trade", count=60)
    assert len(recorded) == 60  # the stream itself went on
    offline()
    with uf.tape("t", mode="none"):
        replayed = uf.stream(BOTH, "trade", count=60)
    assert 0 < len(replayed) < 60
    pd.testing.assert_frame_equal(replayed, recorded.iloc[: len(replayed)])
