"""No store is touched on the loop thread, which also feeds the streams."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disturbed_store import DisturbedStore

import upbit_frames as uf
from upbit_frames.api.engine import engine_for
from upbit_frames.errors import UpbitFramesWarning
from upbit_frames.runtime import event_loop
from upbit_frames.store.base import Store
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing import Exchange

CALLS: dict[str, Callable[[uf.Client], Any]] = {
    "candles": lambda client: client.candles("KRW-BTC", "1m", start="2026-02-20", end="2026-02-20 05:00"),
    "candles, newest": lambda client: client.candles("KRW-BTC", "1m", count=300, forming=True),
    "candles, first": lambda client: client.candles("KRW-BTC", "1m", start="2026-02-20", count=300),
    "candles, filled": lambda client: client.candles("KRW-BTC", "1m", count=30, gaps="fill"),
    "candles, seconds": lambda client: client.candles("KRW-BTC", "1s", start="2025-11-20", end="2025-11-20 00:10"),
    "candles, all of history": lambda client: client.candles("KRW-BTC", "1d", start="2010-01-01"),
    "candles, cache": lambda client: client.candles("KRW-BTC", "1m", count=3, source="store"),
    "candles, rest": lambda client: client.candles("KRW-BTC", "1m", count=3, source="rest"),
    "candles, archive": lambda client: client.candles("KRW-BTC", "1h", end="2026-02-01", count=9, source="archive"),
    "candles, two markets": lambda client: client.candles(["KRW-BTC", "KRW-ETH"], "1m", count=30),
    "plan": lambda client: client.plan("KRW-BTC", "1m", start="2026-02-20"),
    "plan, newest": lambda client: client.plan("KRW-BTC", "1m", count=500),
    "explain": lambda client: client.explain("candles", "KRW-BTC", "1m", count=500),
    "explain, trades": lambda client: client.explain("trades", "KRW-BTC", start="2026-02-26", end="2026-02-27"),
    "trades": lambda client: client.trades("KRW-BTC", start="2026-02-26", end="2026-02-26 00:05"),
    "trades, newest": lambda client: client.trades("KRW-BTC", count=20),
    "trades, before": lambda client: client.trades("KRW-BTC", end="2026-02-26 12:00", count=20),
    "download": lambda client: client.download(["KRW-BTC", "KRW-ETH"], "1h", "2026-02-20"),
    "download, trades": lambda client: client.download(["KRW-BTC"], "trades", "2026-03-01 03:00"),
    "ticker": lambda client: client.ticker("KRW-BTC"),
    "follow": lambda client: _follow(client),
}


def _follow(client: uf.Client) -> int:
    with client.follow("KRW-BTC", "1m", history=50) as follow:
        return len(follow.to_frame(forming=True))


@pytest.mark.parametrize("name", CALLS)
def test_no_store_method_runs_on_the_loop(
    exchange: Exchange, make_client: Callable[..., uf.Client], tmp_path: Path, name: str
) -> None:
    client = make_client(exchange)
    store = DisturbedStore(tmp_path / "store")
    engine_for(client.config).ports.store = store
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UpbitFramesWarning)
        for _ in range(2):  # cold, then warm
            try:
                CALLS[name](client)
            except uf.errors.NotCached:
                assert "cache" in name
    if name != "ticker":
        assert store.accesses
    on_loop = [
        access for access, thread in zip(store.accesses, store.threads, strict=True) if thread == event_loop.THREAD_NAME
    ]
    assert on_loop == []


def test_every_store_method_is_watched() -> None:
    """A method that is added to the store is added to what the test above watches, too."""
    methods = {name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
    watched = {name for name in methods if getattr(DisturbedStore, name) is not getattr(ParquetStore, name, None)}
    assert methods - watched == {"fetch_lock"}  # it only names a file, and the lock is taken in threads
