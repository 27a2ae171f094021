"""The official client's WebSocket, pointed at the stand-in exchange, is told the same frames as ours."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames.live.feed import Hub
from upbit_frames.testing import Exchange
from upbit_frames.testing.listings import default_listings

upbit = pytest.importorskip("upbit", reason="upbit-sdk is not installed")

KINDS = ("trade", "ticker", "orderbook", "candle.1s", "candle.1m")
MARKETS = ["KRW-BTC", "KRW-ETH"]
SECONDS = 6.0


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    lively = [replace(one, trades_per_day=150_000.0) if one.market in MARKETS else one for one in default_listings()]
    with Exchange(seed=7, now="2026-03-01T03:30:20Z", markets=lively) as exchange:
        exchange.clock.run()
        yield exchange


def official(url: str, asked: list[dict[str, Any]], heard: list[bytes], parsed: list[Any]) -> None:
    """Listen with the official client for some seconds."""
    client = upbit.Upbit(base_url="http://127.0.0.1", websocket_base_url=url.removesuffix("/websocket/v1"))
    with client.ws_public.connect_public() as connection:
        connection.send_raw(json.dumps(asked))
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            try:
                heard.append(connection.recv_bytes(timeout=0.5))
            except TimeoutError:
                continue
        parsed += [connection.parse_event(frame) for frame in heard]


def key(frame: bytes) -> tuple[Any, ...]:
    """What a frame is about."""
    told = json.loads(frame)
    names = ("type", "code", "timestamp", "sequential_id", "candle_date_time_utc", "stream_type", "acc_trade_volume")
    return tuple(told.get(name) for name in names)


def number(frame: bytes) -> int | None:
    """Of a trade."""
    found: int | None = json.loads(frame).get("sequential_id")
    return found


def test_the_same_frames(exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours: list[bytes] = []
    original = Hub.frame

    def overheard(self: Hub, frame: bytes, received: int) -> None:
        ours.append(frame)
        original(self, frame, received)

    monkeypatch.setattr(Hub, "frame", overheard)
    client = uf.Client(exchange.config(cache_dir=tmp_path, progress=False))
    feeds = [client.stream(MARKETS, kind, background=True) for kind in KINDS]
    asked = [{"ticket": "t"}, *({"type": kind, "codes": MARKETS} for kind in KINDS), {"format": "DEFAULT"}]
    theirs: list[bytes] = []
    parsed: list[Any] = []
    thread = threading.Thread(target=official, args=(exchange.ws_url, asked, theirs, parsed))
    thread.start()
    thread.join()
    realtime = [frame for frame in theirs if json.loads(frame)["stream_type"] == "REALTIME"]
    trades = {number(frame) for frame in realtime} - {None}
    ends = time.monotonic() + 30
    while not trades <= {number(frame) for frame in list(ours)} and time.monotonic() < ends:
        time.sleep(0.2)
    for feed in feeds:
        feed.close()

    heard = {key(frame): frame for frame in ours}
    assert len(realtime) > 20
    assert {json.loads(frame)["type"] for frame in realtime} == set(KINDS)
    # Every trade is told to everybody. Of states only those of the moments at which a connection is
    # served, which on a busy machine are not the same for two of them.
    shared = [frame for frame in realtime if key(frame) in heard]
    assert trades <= {number(frame) for frame in ours}
    assert {json.loads(frame)["type"] for frame in shared} == set(KINDS)
    for frame in shared:
        assert heard[key(frame)] == frame
    assert [type(one).__name__ for one in parsed if one is None] == []
    assert len(parsed) == len(theirs)
    for event, frame in zip(parsed, theirs, strict=True):
        assert event.type == json.loads(frame)["type"]
