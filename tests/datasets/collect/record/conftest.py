"""A stand-in exchange whose clock is moved by hand, clients of it, and what its streams sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames.testing import Exchange

NOW = "2026-03-01T03:30:00Z"
PATIENCE = 60.0  # seconds


class Sent:
    """Notes every frame that the exchange sends, by type and market."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []

    def __call__(self, frame: bytes) -> bytes:
        self.frames.append(json.loads(frame))
        return frame

    def of(self, type_: str, market: str) -> list[dict[str, Any]]:
        """Return the frames of a topic, in the order of sending."""
        return [frame for frame in self.frames if (frame["type"], frame["code"]) == (type_, market)]


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """Generated markets; the clock stands still; nobody is refused."""
    with Exchange(seed=7, now=NOW, limits=False, maintenance=()) as running:
        yield running


@pytest.fixture
def sent(exchange: Exchange) -> Sent:
    notes = Sent()
    exchange.streams.faults.edit = notes
    return notes


@pytest.fixture
def client(exchange: Exchange, tmp_path: Path) -> uf.Client:
    return uf.Client(exchange.config(cache_dir=tmp_path / "store", progress=False))


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not come about")
        time.sleep(0.01)
