"""What the tests of follow share: a stand-in exchange at a moment, without waiting for limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pauses import instant_retries

import upbit_frames as uf
from upbit_frames.exchange.transport import rate_limiter as limiter
from upbit_frames.live.hub import registry as hubs
from upbit_frames.runtime import event_loop
from upbit_frames.testing import Exchange

NOW = "2026-03-01T03:30:20Z"


@pytest.fixture
def unpaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No waiting for limits, and little between attempts: minutes pass in a fraction of a second here."""
    monkeypatch.setattr(limiter, "limiter_for", lambda url, rate=1.0: limiter.NullLimiter())
    with instant_retries(0.02):
        yield
        event_loop.run(hubs.close_all)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now=NOW, limits=False) as running:
        yield running


@pytest.fixture
def client(exchange: Exchange, tmp_path: Path) -> uf.Client:
    return uf.Client(exchange.config(cache_dir=tmp_path / "store", progress=False))
