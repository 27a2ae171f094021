"""The public surface as a type checker sees it; never run, only checked (see .ci/run).

Every ``type: ignore`` here is an expectation: mypy complains where the error it names is gone.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import assert_type

import pandas as pd
import polars as pl

import upbit_frames as uf
from upbit_frames import aio, errors
from upbit_frames.live.feed import Feed
from upbit_frames.live.follow.follow import Follow
from upbit_frames.live.stream import Stream
from upbit_frames.replay.tape import Tape
from upbit_frames.router.plan import Plan


def calls() -> None:
    frame = uf.candles("KRW-BTC", "1m", start="2026-01-01", end=datetime.now(UTC), gaps="fill")
    assert_type(frame, pd.DataFrame)
    assert_type(uf.candles(["KRW-BTC"], "3m", count=5, forming=True, tz="Asia/Seoul", output="polars"), pl.DataFrame)
    assert_type(uf.candles(uf.markets("KRW"), timedelta(hours=2), start="-7d", source="store"), pd.DataFrame)
    assert_type(uf.ticker(), pd.DataFrame)
    assert_type(uf.sql("select 1"), pd.DataFrame)
    assert_type(uf.scan(interval="1d"), pl.LazyFrame)
    assert_type(uf.stream("KRW-BTC", "trade", seconds=10), pd.DataFrame)
    assert_type(uf.stream("KRW-BTC", "trade", count=10), pd.DataFrame)
    assert_type(uf.stream("KRW-BTC", "ticker", background=True), Feed)
    assert_type(uf.stream("KRW-BTC"), Stream)
    uf.candles("KRW-BTC", "2h", base="17:00 America/New_York")
    uf.candles("KRW-BTC", "1d", base=time(9, 30), tz="Asia/Seoul", source="derived")
    assert_type(uf.plan("KRW-BTC", "1d", count=5, base="Asia/Seoul"), Plan)
    assert_type(uf.plan("KRW-BTC").seconds, float)
    assert_type(uf.schema("candles"), pd.DataFrame)
    assert_type(uf.download(["KRW-BTC"], "1h", "2026-01-01"), pd.DataFrame)
    uf.ticker(quote="KRW", errors="skip")
    uf.orderbook("KRW-BTC", depth=5, level=10_000)
    uf.trades("KRW-BTC", count=10)
    uf.bars("KRW-BTC", volume=10.0, start="-1d", forming=True)
    uf.markets("KRW")
    uf.instruments(["KRW-BTC"])
    assert_type(uf.follow(["KRW-BTC"], "1m", 500, forming=True), Follow)
    assert_type(uf.compare("orderbook", ["KRW-BTC"], 20, every=0.5, depth=15), pd.DataFrame)
    uf.compare("ticker", count=5)  # type: ignore[call-arg]
    uf.follow("KRW-BTC", seconds=5)  # type: ignore[call-arg]
    uf.stream(["KRW-BTC"], "orderbook", depth=5, seconds=1.0, output="arrow")
    assert_type(uf.tape("t", mode="none", speed=1), Tape)
    with uf.tape("t") as tape, uf.cassette("c", speed=2.0):
        assert_type(tape.unplayed, list[str])
    uf.tape(5)  # type: ignore[arg-type]
    assert_type(uf.metrics(by="channel"), pd.DataFrame)
    uf.metrics.watch(p95_ms=500.0)
    uf.configure(tz="Asia/Seoul")
    with uf.using(output="polars") as settings:
        assert_type(settings, uf.Config)
    print(frame, uf.cache.coverage("KRW-BTC", "1m"), uf.config.tz)

    uf.candles(5)  # type: ignore[call-overload]
    uf.candles("KRW-BTC", "5x")  # type: ignore[call-overload]
    uf.candles("KRW-BTC", gaps="none")  # type: ignore[call-overload]
    uf.candles("KRW-BTC", output="numpy")  # type: ignore[call-overload]
    uf.candles("KRW-BTC", "1m", "2026-01-01")  # type: ignore[call-overload]
    uf.candles("KRW-BTC", begin="2026-01-01")  # type: ignore[call-overload]
    uf.ticker(quote=5)  # type: ignore[call-overload]
    uf.plan("KRW-BTC", "5x")  # type: ignore[arg-type]
    uf.stream("KRW-BTC", "trades")  # type: ignore[call-overload]
    uf.nothing  # noqa: B018 - lazily resolved, so a checker cannot know


async def coroutines() -> None:
    assert_type(await aio.candles("KRW-BTC"), pd.DataFrame)
    assert_type(await uf.AsyncClient().trades("KRW-BTC", output="polars"), pl.DataFrame)
    assert_type(await uf.AsyncClient(region="sg").plan("KRW-BTC"), Plan)
    await aio.candles(5)  # type: ignore[call-overload]
    async with aio.follow("KRW-BTC") as follow:
        assert_type(follow, Follow)
        assert_type(follow.gaps, pd.DataFrame)
    async with aio.stream("KRW-BTC") as stream:
        assert_type(stream, Stream)
        assert_type(stream.gaps, pd.DataFrame)
    aio.stream("KRW-BTC", seconds=1)  # type: ignore[call-arg]


def clients() -> None:
    client = uf.Client(timeout=5.0)
    assert_type(client.candles("KRW-BTC", "1m"), pd.DataFrame)
    client.candles(5)  # type: ignore[call-overload]
    assert_type(client.plan("KRW-BTC"), Plan)
    try:
        client.markets()
    except errors.Blocked as blocked:
        print(blocked.until, blocked.suggestion, blocked.context)
