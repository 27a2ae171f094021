"""Fixtures for recordings: a stand-in exchange, a folder of cassettes and tapes, and a machine without network."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.trade_frames import SPEED

import upbit_frames as uf
from upbit_frames.live.hub.registry import close_all
from upbit_frames.runtime import event_loop
from upbit_frames.testing import Exchange

__all__ = ["exchange", "folder", "offline", "recording", "recording_streams", "running"]

NOW = "2026-03-01T03:30:30Z"


@pytest.fixture(scope="module")
def running() -> Iterator[Exchange]:
    with Exchange(seed=7, now=NOW, limits=False) as exchange:
        yield exchange


@pytest.fixture
def exchange(running: Exchange) -> Iterator[Exchange]:
    """The exchange as it was started; its clock stands still."""
    running.requests.clear()
    running.faults.clear()
    running.clock.set(NOW)
    yield running
    running.clock.freeze()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The setting ``cassette_dir``; nothing is there yet."""
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
def recording_streams(recording: Exchange) -> Exchange:
    """The same, with a clock that runs fast, because trades are rare in real time."""
    recording.clock.run(SPEED)
    return recording


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> Callable[[], list[Any]]:
    """Turn this into another machine: default settings, empty store, every connection refused and counted."""

    def leave() -> list[Any]:
        event_loop.run(close_all)  # connections that linger would try to reconnect
        attempts: list[Any] = []

        def refuse(self: socket.socket, address: Any) -> None:
            attempts.append(address)
            raise OSError("the network is off")

        for name in ("REST_URL", "WS_URL", "ARCHIVE_URL", "ARCHIVE_LISTING_URL", "REGION"):
            monkeypatch.delenv(f"UPBIT_FRAMES_{name}", raising=False)
        monkeypatch.setenv("UPBIT_FRAMES_CACHE_DIR", str(tmp_path / "elsewhere"))
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", refuse)
        assert uf.config.rest_url == "https://api.upbit.com"
        assert uf.config.ws_url == "wss://api.upbit.com/websocket/v1"
        return attempts

    return leave
