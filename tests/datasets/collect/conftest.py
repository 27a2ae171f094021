"""A stand-in exchange on loopback and a client with a store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from support.pauses import instant_retries

import upbit_frames as uf
from upbit_frames.exchange.transport import rate_limiter as limiter
from upbit_frames.testing import Exchange

NOW = "2026-03-01T03:30:00Z"


def micros(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").value // 1000)


@pytest.fixture(autouse=True)
def unpaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No waiting for limits or between attempts."""
    monkeypatch.setattr(limiter, "limiter_for", lambda url, rate=1.0: limiter.NullLimiter())
    with instant_retries():
        yield


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """Generated markets; the clock stands still; nobody is refused."""
    with Exchange(seed=7, now=NOW, limits=False, maintenance=()) as running:
        yield running


@pytest.fixture
def client(exchange: Exchange, tmp_path: Path) -> uf.Client:
    return uf.Client(exchange.config(cache_dir=tmp_path / "store", progress=False))
