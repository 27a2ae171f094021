"""A stand-in exchange, a folder of cassettes, and a machine without network."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames.testing import Exchange


@pytest.fixture(scope="module")
def running() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T03:30:30Z", limits=False) as one:
        yield one


@pytest.fixture
def exchange(running: Exchange) -> Exchange:
    running.requests.clear()
    running.faults.clear()
    running.clock.set("2026-03-01T03:30:30Z")
    return running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tapes"


@pytest.fixture
def recording(exchange: Exchange, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exchange:
    """Settings that lead to the exchange and into the folder."""
    monkeypatch.delenv("CI", raising=False)
    for name, value in {**exchange.env(), "UPBIT_FRAMES_CASSETTE_DIR": str(folder)}.items():
        monkeypatch.setenv(name, value)
    return exchange


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> Callable[[], list[Any]]:
    """Turn this into another machine: default settings, empty store, every connection refused and counted."""

    def leave() -> list[Any]:
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
        return attempts

    return leave
