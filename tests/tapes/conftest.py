"""A stand-in exchange that trades fast, a folder of tapes, tapes made by hand, and no network."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tapes.handmade import SPEED, START, trade_frame

import upbit_frames as uf
from upbit_frames.core.topics import Topic
from upbit_frames.live.hub.registry import close_all
from upbit_frames.replay.tape_file import TapeWriter
from upbit_frames.runtime import event_loop as _bridge
from upbit_frames.testing import Exchange

NOW = "2026-03-01T03:30:30Z"


@pytest.fixture(scope="module")
def running() -> Iterator[Exchange]:
    with Exchange(seed=7, now=NOW, limits=False) as one:
        yield one


@pytest.fixture
def exchange(running: Exchange) -> Iterator[Exchange]:
    running.requests.clear()
    running.faults.clear()
    running.clock.set(NOW)
    running.clock.run(SPEED)
    yield running
    running.clock.freeze()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The setting ``cassette_dir``; nothing is there yet."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("UPBIT_FRAMES_CASSETTE_DIR", str(tmp_path / "tapes"))
    monkeypatch.setenv("UPBIT_FRAMES_CACHE_DIR", str(tmp_path / "store"))
    return tmp_path / "tapes"


@pytest.fixture
def recording(exchange: Exchange, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Exchange:
    """Settings that lead to the exchange and into the folder."""
    for name, value in exchange.env().items():
        monkeypatch.setenv(name, value)
    return exchange


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Callable[[], list[Any]]:
    """Turn this into another machine: default settings, every connection refused and counted."""

    def leave() -> list[Any]:
        _bridge.run(close_all)  # whatever lingers would try to come back
        attempts: list[Any] = []

        def refuse(self: socket.socket, address: Any) -> None:
            attempts.append(address)
            raise OSError("the network is off")

        for name in ("REST_URL", "WS_URL", "ARCHIVE_URL", "ARCHIVE_LISTING_URL", "REGION"):
            monkeypatch.delenv(f"UPBIT_FRAMES_{name}", raising=False)
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", refuse)
        assert uf.config.ws_url == "wss://api.upbit.com/websocket/v1"
        return attempts

    return leave


@pytest.fixture
def make_tape(folder: Path) -> Callable[..., Path]:
    """Write a tape of trades: so many of each market, one after the other, a tenth of a second apart."""

    def make(name: str, count: int, markets: tuple[str, ...] = ("KRW-BTC",), *, end: bool = True) -> Path:
        path = folder / f"{name}.jsonl.gz"
        writer = TapeWriter(path, "ws://127.0.0.1:1", START)
        topics = [Topic("trade", market) for market in markets]
        writer.join(START, topics, (), "kr")
        writer.line(START + 100, "open", 1, offset=0)
        writer.line(START + 200, "sent", "[]")
        for number in range(count):
            for place, market in enumerate(markets):
                writer.frame(START + 100_000 * number + 5000 + place, trade_frame(number, market))
        if end:
            writer.finish(START + 100_000 * count)
        else:
            writer._file.close()
            writer._raw.close()
        writer.settle()
        return path

    return make
