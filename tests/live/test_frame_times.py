"""Frames whose times are wrong: they bound nothing, over real sockets against the stand-in exchange."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

NOW = "2026-03-01T03:00:20Z"
DAY = 86_400_000


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    lively = [
        replace(one, trades_per_day=2_000_000.0) if one.market == "KRW-BTC" else one for one in default_listings()
    ]
    with Exchange(seed=7, now=NOW, markets=lively) as exchange:
        exchange.clock.run()
        yield exchange


def shifted(by: Callable[[int], int], kind: str, *names: str) -> Callable[[bytes], bytes]:
    """Move times of the frames of a type; ``by`` gets the number of earlier frames."""
    count = iter(range(10**9))

    def edit(frame: bytes) -> bytes:
        facts: dict[str, Any] = json.loads(frame)
        if facts["type"] == kind:
            ms = by(next(count))
            facts |= {name: facts[name] + ms for name in names}
        return json.dumps(facts, separators=(",", ":")).encode()

    return edit


def test_one_trade_from_tomorrow_holds_up_no_other(exchange: Exchange, client: uf.Client) -> None:
    exchange.streams.faults.edit = shifted(
        lambda number: DAY if number == 5 else 0, "trade", "timestamp", "trade_timestamp"
    )
    frame = client.stream("KRW-BTC", "trade", count=200)
    attrs = frame.attrs["upbit_frames"]
    assert (len(frame), attrs["dropped"], attrs["gaps"]) == (200, 0, [])
    late = frame["sequential_id"].tolist()[:-1]  # the one from tomorrow is the last in order of time
    truth = exchange.market.trades("KRW-BTC", min(late) // 10, exchange.clock.now() + 1).sequential_id.tolist()
    assert set(late) <= set(truth)
    assert len(set(late)) == 199


def test_a_clock_three_minutes_ahead_and_then_corrected_loses_no_trade(exchange: Exchange, client: uf.Client) -> None:
    exchange.streams.faults.edit = shifted(
        lambda number: 180_000 if number < 100 else 0, "trade", "timestamp", "trade_timestamp"
    )
    seen: list[int] = []
    with client.stream("KRW-BTC", "trade") as stream:
        for batch in stream:
            seen += batch["sequential_id"].tolist()
            if len(seen) >= 250:
                break
        assert stream.stats["dropped"] == 0
        assert not len(stream.gaps)
    assert seen == sorted(set(seen))
    truth = exchange.market.trades("KRW-BTC", seen[0] // 10, exchange.clock.now() + 1).sequential_id.tolist()
    assert seen == truth[truth.index(seen[0]) :][: len(seen)]


def test_a_ticker_from_tomorrow_does_not_stay(exchange: Exchange, client: uf.Client) -> None:
    ends = time.monotonic() + 180.0

    def route(frame: Any) -> str:
        assert time.monotonic() < ends
        return str(frame.attrs["upbit_frames"]["route"][-1]["channel"])

    while route(client.ticker("KRW-BTC")) != "live":
        time.sleep(0.02)
    exchange.streams.faults.edit = shifted(lambda number: DAY if not number else 0, "ticker", "timestamp")
    time.sleep(0.5)
    ahead = exchange.clock.now() + DAY * 500
    for _ in range(20):
        frame = client.ticker("KRW-BTC")
        assert frame["updated"].iloc[0].value // 1000 < ahead
        time.sleep(0.02)
    while route(client.ticker("KRW-BTC")) != "live":
        time.sleep(0.02)
    exchange.streams.faults.edit = shifted(lambda number: DAY, "ticker", "timestamp")
    time.sleep(0.3)
    exchange.streams.faults.silent = True  # nothing comes after it
    assert client.ticker("KRW-BTC")["updated"].iloc[0].value // 1000 < ahead
