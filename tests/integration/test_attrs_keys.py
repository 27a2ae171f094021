"""The keys of ``attrs["upbit_frames"]`` are part of the public API: frozen here, one line a call."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import upbit_frames as uf

RANGE = "end fetched_at interval kind market route schema start"
KEYS: dict[str, tuple[Callable[[uf.Client], Any], str]] = {
    "candles": (lambda client: client.candles("KRW-BTC", "1m", count=3), f"{RANGE} gaps"),
    "candles of several markets": (lambda client: client.candles(["KRW-BTC", "KRW-ETH"], count=3), f"{RANGE} gaps"),
    "trades": (lambda client: client.trades("KRW-BTC", count=3), RANGE.replace(" interval", "")),
    "ticker": (lambda client: client.ticker("KRW-BTC"), "fetched_at kind market route schema"),
    "ticker of all": (lambda client: client.ticker(), "fetched_at kind route schema"),
    "ticker, skipped": (
        lambda client: client.ticker(["KRW-BTC", "KRW-NOPE"], errors="skip"),
        "fetched_at kind market route schema skipped",
    ),
    "orderbook": (lambda client: client.orderbook("KRW-BTC"), "fetched_at kind market route schema"),
    "markets": (lambda client: client.markets("KRW"), "fetched_at kind route schema"),
    "instruments": (lambda client: client.instruments("KRW-BTC"), "fetched_at kind market route schema"),
    "metrics": (lambda client: client.metrics(), "kind streams"),
}
STEP = "channel end market reason requests rows start"


@pytest.mark.parametrize("call", KEYS)
def test_keys(client: uf.Client, without_streams: None, call: str) -> None:
    work, keys = KEYS[call]
    meta = work(client).attrs["upbit_frames"]
    assert " ".join(sorted(meta)) == " ".join(sorted(keys.split()))
    assert all(" ".join(sorted(step)) == STEP for step in meta.get("route", []))
    assert json.loads(json.dumps(meta)) == meta  # JSON scalars, lists and dicts only
