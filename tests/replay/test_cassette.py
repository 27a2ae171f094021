"""What was recorded comes back bit for bit, anywhere and at any time."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames import aio, errors
from upbit_frames.testing import Exchange

Offline = Callable[[], list[Any]]


def study() -> dict[str, pd.DataFrame]:
    """Calls of every kind, with and without an end."""
    return {
        "last": uf.candles("KRW-BTC", "1m", count=450),
        "range": uf.candles("KRW-ETH", "15m", start="2026-02-25", end="2026-02-28", gaps="fill", tz="Asia/Seoul"),
        "forming": uf.candles("KRW-BTC", "1h", start="2026-02-28", forming=True),
        "many": uf.candles(["KRW-BTC", "KRW-ETH", "KRW-XRP"], "1d", count=5),
        "trades": uf.trades("KRW-BTC", count=700),
        "ticker": uf.ticker(["KRW-BTC", "KRW-ETH"]),
        "book": uf.orderbook("KRW-BTC", depth=5),
        "markets": uf.markets("KRW"),
    }


def same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, other[name], check_exact=True)
        assert frame.attrs == other[name].attrs, name


def test_warm_store_recorded_cold_store_replayed(recording: Exchange, folder: Path, offline: Offline) -> None:
    warm = study()
    with uf.cassette("study") as tape:
        first = study()
    assert tape.recorded > 10
    assert tape.played == 0
    assert len(first["last"]) == len(warm["last"]) == 450
    recording.clock.advance(40 * 86_400)
    attempts = offline()
    with uf.cassette("study") as again:
        same(first, study())
    assert attempts == []
    assert again.recorded == 0
    assert again.unplayed == []


def test_the_users_store_is_neither_read_nor_written(recording: Exchange, tmp_path: Path) -> None:
    uf.candles("KRW-BTC", "1m", count=10)
    before = sorted(path.name for path in (tmp_path / "cache").rglob("*.parquet"))
    with uf.cassette("a"):
        frame = uf.candles("KRW-BTC", "1m", count=300)
    assert frame.attrs["upbit_frames"]["route"][0]["channel"] == "rest"
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*.parquet")) == before


SCRIPT = """
import json, socket, sys
def refuse(*_):
    raise AssertionError("connected")
socket.socket.connect = socket.socket.connect_ex = refuse
import upbit_frames as uf
with uf.cassette("far", mode="none"):
    frame = uf.candles("KRW-BTC", "5m", count=60, forming=True)
print(json.dumps([frame.to_csv(), frame.attrs]))
"""


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "America/New_York"])
def test_another_process_zone_and_folder(
    recording: Exchange, folder: Path, tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with uf.cassette("far"):
        frame = uf.candles("KRW-BTC", "5m", count=60, forming=True)
    moved = tmp_path / "moved" / "deeper"
    shutil.copytree(folder, moved)
    env = {"TZ": zone, "PATH": "", "HOME": str(tmp_path), "UPBIT_FRAMES_CASSETTE_DIR": str(moved)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    text, attrs = json.loads(done.stdout)
    assert text == frame.to_csv()
    assert attrs == frame.attrs


def test_a_recording_of_one_port_replays_on_another(recording: Exchange, folder: Path) -> None:
    with uf.cassette("ported"):
        first = uf.candles("KRW-BTC", "1d", count=9)
    with Exchange(seed=8, limits=False) as other, uf.using(**other.settings()):
        with uf.cassette("ported"):
            pd.testing.assert_frame_equal(first, uf.candles("KRW-BTC", "1d", count=9))
        assert other.requests == []


def test_clients_with_settings_of_their_own(recording: Exchange, offline: Offline) -> None:
    client = uf.Client(recording.config(tz="Asia/Seoul"))
    with uf.cassette("clients"):
        first = client.candles("KRW-BTC", "1d", count=3)
    attempts = offline()
    with uf.cassette("clients"):
        pd.testing.assert_frame_equal(first, uf.Client(tz="Asia/Seoul").candles("KRW-BTC", "1d", count=3))
    assert attempts == []


def test_async(recording: Exchange, offline: Offline) -> None:
    async def work() -> pd.DataFrame:
        async with uf.cassette("async"):
            one, two = await asyncio.gather(
                aio.candles("KRW-BTC", "1m", count=250), aio.candles("KRW-ETH", "1m", count=250)
            )
        return pd.concat([one, two])

    first = asyncio.run(work())
    attempts = offline()
    pd.testing.assert_frame_equal(first, asyncio.run(work()))
    assert attempts == []


def test_threads_within_one_cassette(recording: Exchange, offline: Offline) -> None:
    names = ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-BTC"]

    def one(market: str) -> pd.DataFrame:
        return uf.candles(market, "1m", count=300)

    def together() -> list[pd.DataFrame]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(one, names))

    with uf.cassette("threads"):
        first = together()
    attempts = offline()
    with uf.cassette("threads") as tape:
        second = together()
    for a, b in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(a, b)
    assert attempts == []
    assert tape.unplayed == []


def test_failures_are_played_too_and_nothing_waits(
    recording: Exchange, offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upbit_frames.runtime.fixed_clock import PinnedClock

    recording.faults.add("503", times=2, match="/v1/candles")
    recording.faults.add("429", times=1, match="/v1/ticker")
    with uf.cassette("faults") as tape:
        first = uf.candles("KRW-BTC", "1d", count=3), uf.ticker(["KRW-BTC"])
    assert tape.recorded == 5
    attempts = offline()
    pauses: list[float] = []

    async def sleep(self: PinnedClock, seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(PinnedClock, "sleep", sleep)
    with uf.cassette("faults") as tape:
        second = uf.candles("KRW-BTC", "1d", count=3), uf.ticker(["KRW-BTC"])
    assert tape.played == 5
    assert pauses == []
    pd.testing.assert_frame_equal(first[0], second[0])
    pd.testing.assert_frame_equal(first[1], second[1])
    assert attempts == []


def test_error_responses_are_replayed(recording: Exchange, offline: Offline) -> None:
    with uf.cassette("refused"), pytest.raises(errors.MarketNotFound):
        uf.candles("KRW-NOSUCH", "1d", count=3)
    offline()
    with uf.cassette("refused"), pytest.raises(errors.MarketNotFound):
        uf.candles("KRW-NOSUCH", "1d", count=3)


def test_150_pages_are_replayed_without_requests_and_waits(
    recording: Exchange, offline: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> pd.DataFrame:
        return uf.candles("KRW-BTC", "1m", start="2026-02-01", end="2026-02-22 07:00")

    from upbit_frames.exchange.transport.rate_limiter import Limiter, NullLimiter

    # Only replaying is looked at here; recording at Upbit's pace would take a quarter of a minute.
    monkeypatch.setattr("upbit_frames.replay.cassette_ports.limiter_for", lambda *_, **__: NullLimiter())
    with uf.cassette("long") as tape:
        first = asked()
    assert tape.recorded >= 150
    attempts = offline()

    async def never(*_: Any) -> None:
        raise AssertionError("a replay waited")

    monkeypatch.setattr(Limiter, "acquire", never)
    with uf.cassette("long") as tape:
        pd.testing.assert_frame_equal(first, asked())
    assert tape.played >= 150
    assert attempts == []


def test_other_threads_are_part_of_it_until_it_closes(recording: Exchange) -> None:
    seen: list[int] = []

    def count() -> None:
        seen.append(len(uf.candles("KRW-BTC", "1d", count=4)))

    with uf.cassette("bystander") as tape:
        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
    assert seen == [4]
    assert tape.recorded == 1
    count()
    assert tape.recorded == 1


def test_a_replayed_block_keeps_no_later_call_away(folder: Path, tmp_path: Path) -> None:
    """Neither those that are recorded beside it nor those outside."""
    with Exchange(seed=7, limits=False) as blocking:
        blocking.faults.add("418", times=1, match="/v1/ticker")
        with uf.using(**blocking.settings(), cache_dir=tmp_path), uf.cassette("blocked"), pytest.raises(errors.Blocked):
            uf.ticker("KRW-BTC")
    with Exchange(seed=7, limits=False) as other, uf.using(**other.settings(), cache_dir=tmp_path):
        with uf.cassette("blocked", mode="new_episodes") as cassette:
            with pytest.raises(errors.Blocked):
                uf.ticker("KRW-BTC")
            assert len(uf.orderbook("KRW-BTC")) == 30
        assert (cassette.played, cassette.recorded) == (1, 1)
        assert len(uf.ticker("KRW-BTC")) == 1
