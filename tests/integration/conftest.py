"""A stand-in exchange on loopback, a client that reaches it, and the truth to compare with."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from support.pauses import instant_retries

import upbit_frames as uf
from upbit_frames.api import engine
from upbit_frames.core.intervals import INTERVALS, to_micros
from upbit_frames.exchange.transport import rate_limiter as limiter
from upbit_frames.live.channel import LiveChannel
from upbit_frames.testing import Exchange

NOW = "2026-03-01T03:30:00Z"


@pytest.fixture(autouse=True)
def unpaced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No waiting for limits or between attempts, unless a test is marked ``paced``."""
    if "paced" in request.fixturenames:
        yield
        return
    monkeypatch.setattr(limiter, "limiter_for", lambda url, rate=1.0: limiter.NullLimiter())
    with instant_retries():
        yield


@pytest.fixture
def paced() -> None:
    """Ask for this to have the real limiter and real pauses."""


@pytest.fixture
def without_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let REST answer everything; a stream needs a clock that runs."""
    monkeypatch.setattr(engine, "LiveChannel", lambda hub, allowed: LiveChannel(hub, allowed=False))


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """Generated markets; the clock stands still; nobody is refused."""
    with Exchange(seed=7, now=NOW, limits=False) as running:
        yield running


@pytest.fixture(scope="session")
def september(real_data: Path) -> Iterator[Exchange]:
    """Real candles of September 2025, served in early October."""
    files = {code: real_data / f"history/{code}_1m_2025-09.csv.gz" for code in ("KRW-BTC", "KRW-DOGE")}
    with Exchange(now="2025-10-04T01:30:00Z", markets=files, limits=False) as running:
        yield running


@pytest.fixture
def make_client(tmp_path: Path) -> Callable[..., uf.Client]:
    def make(exchange: Exchange, **settings: Any) -> uf.Client:
        return uf.Client(exchange.config(**{"cache_dir": tmp_path / "store", "progress": False, **settings}))

    return make


@pytest.fixture
def client(exchange: Exchange, make_client: Callable[..., uf.Client]) -> uf.Client:
    return make_client(exchange)


@pytest.fixture
def truth() -> Callable[..., pa.Table]:
    """What the exchange's own model says about ``[start, end)``."""

    def tell(exchange: Exchange, market: str, interval: str, start: str, end: str) -> pa.Table:
        low, high = (to_micros(datetime.fromisoformat(one)) for one in (start, end))
        return exchange.market.candles(market, INTERVALS[interval], low, high).table()

    return tell


@pytest.fixture(scope="session")
def history(real_data: Path) -> Callable[[str], pd.DataFrame]:
    """A file of real candles as pandas reads it, without rows in which nothing was traded."""

    def read(name: str) -> pd.DataFrame:
        with gzip.open(real_data / "history" / name) as file:
            frame = pd.read_csv(file, dtype=str)  # float() below rounds exactly, pandas' own parser may not
        frame.index = pd.DatetimeIndex(pd.to_datetime(frame.pop("timestamp"), utc=True), name="time").as_unit("us")
        numbers = {name: [float(one) for one in frame[name]] for name in ("open", "high", "low", "close", "volume")}
        exact = pd.DataFrame(numbers, index=frame.index)
        return exact[exact["volume"] > 0]

    return read
