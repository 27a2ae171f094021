"""Every way to call: the same frames from a script, a thread, a coroutine, uvloop and after a fork."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.testing import Exchange

ASKED: dict[str, Any] = {"start": "2026-02-27", "end": "2026-02-28"}
START, END = "2026-02-27T00:00:00+00:00", "2026-02-28T00:00:00+00:00"


@pytest.fixture
def want(exchange: Exchange, truth: Callable[..., pa.Table]) -> pa.Table:
    return truth(exchange, "KRW-BTC", "1m", START, END)


def same(frame: pd.DataFrame, want: pa.Table) -> bool:
    index = pd.DatetimeIndex(want["time"].to_pandas(), name="time")
    pd.testing.assert_frame_equal(frame, want.to_pandas().drop(columns="time").set_index(index), check_freq=False)
    return True


def test_the_module_function_with_settings_in_force(exchange: Exchange, want: pa.Table) -> None:
    with uf.using(**exchange.settings()):
        assert same(uf.candles("krw-btc", "1m", **ASKED), want)
        assert same(asyncio.run(uf.aio.candles("KRW-BTC", "1m", **ASKED)), want)
    assert len([one for one in exchange.requests if one.path.startswith("/v1/candles")]) <= 8 + 12


def test_client_and_async_client_share_one_store_and_fetch_once(
    exchange: Exchange, client: uf.Client, want: pa.Table
) -> None:
    asynchronous = uf.AsyncClient(client.config)

    async def three() -> list[pd.DataFrame]:
        return await asyncio.gather(*(asynchronous.candles("KRW-BTC", "1m", **ASKED) for _ in range(3)))

    for frame in asyncio.run(three()):
        assert same(frame, want)
    asked = len(exchange.requests)
    assert asked <= 8 + 12
    assert same(client.candles("KRW-BTC", "1m", **ASKED), want)
    assert len(exchange.requests) == asked


def test_the_blocking_client_inside_a_running_loop(client: uf.Client, want: pa.Table) -> None:
    async def cell() -> pd.DataFrame:
        return client.candles("KRW-BTC", "1m", **ASKED)  # as in a notebook, where a loop runs already

    assert same(asyncio.run(cell()), want)


def test_from_many_threads_everything_is_fetched_once(exchange: Exchange, client: uf.Client, want: pa.Table) -> None:
    together = threading.Barrier(8)

    def one(_: int) -> pd.DataFrame:
        together.wait()
        return client.candles("KRW-BTC", "1m", **ASKED)

    with ThreadPoolExecutor(8) as pool:
        assert all(same(frame, want) for frame in pool.map(one, range(8)))
    assert len(exchange.requests) <= 8 + 12


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_under_uvloop(client: uf.Client, want: pa.Table) -> None:
    import uvloop

    async def both() -> tuple[pd.DataFrame, pd.DataFrame]:
        asynchronous = await uf.AsyncClient(client.config).candles("KRW-BTC", "1m", **ASKED)
        return asynchronous, client.candles("KRW-BTC", "1m", **ASKED)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for frame in runner.run(both()):
            assert same(frame, want)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork(exchange: Exchange, tmp_path: Path) -> None:
    # In a process of its own, because the threads of the test run would be in the way of the fork.
    script = f"""
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's general warning of forks with threads
from pathlib import Path
import upbit_frames as uf
client = uf.Client(uf.Config(rest_url={exchange.rest_url!r}, cache_dir=Path({str(tmp_path / "forked")!r})))
asked = dict(start="2026-02-27T20:00", end="2026-02-28")
before = client.candles("KRW-BTC", "1m", **asked)
child = os.fork()
if child == 0:
    try:
        after = client.candles("KRW-BTC", "1m", start="2026-02-27T16:00", end="2026-02-28")
        os._exit(0 if after.iloc[-len(before):].equals(before) and len(after) > len(before) else 3)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(4)
_, status = os.waitpid(child, 0)
again = client.candles("KRW-ETH", "1m", count=5)
sys.exit(os.waitstatus_to_exitcode(status) if len(again) == 5 else 5)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("output", ["pandas", "arrow", "polars"])
def test_every_output_holds_the_same(client: uf.Client, want: pa.Table, output: str) -> None:
    frame = client.candles("KRW-BTC", "1m", **ASKED, output=output)
    if output == "pandas":
        assert same(frame, want)
    elif output == "arrow":
        assert frame.replace_schema_metadata(None).equals(want)
    else:
        assert frame.to_arrow().cast(want.schema).equals(want)


def test_several_markets_in_one_frame(exchange: Exchange, client: uf.Client, truth: Callable[..., pa.Table]) -> None:
    markets = ["KRW-ETH", "KRW-BTC", "KRW-DOGE", "USDT-BTC"]
    frame = client.candles(markets, "5m", **ASKED)
    assert frame.index.names == ["market", "time"]
    for market in markets:
        assert same(frame.loc[market], truth(exchange, market, "5m", START, END))
    exchange.requests.clear()
    client.candles(markets, "5m", **ASKED)
    assert exchange.requests == []


@pytest.mark.parametrize("interval", ["1s", "1m", "3m", "5m", "10m", "15m", "30m", "1h", "4h", "1d", "1w", "1M", "1y"])
def test_every_interval(exchange: Exchange, client: uf.Client, truth: Callable[..., pa.Table], interval: str) -> None:
    frame = client.candles("KRW-ETH", interval, count=250)
    assert len(frame) == 250 or interval in ("1w", "1M", "1y")
    start = frame.index[0].isoformat()
    end = str(frame.attrs["upbit_frames"]["end"]).replace("Z", "+00:00")
    assert same(frame, truth(exchange, "KRW-ETH", interval, start, end))


@pytest.mark.parametrize(
    "asked", [{"count": 50}, {"start": "2026-03-01T03:28"}, {"start": "2026-03-01T03:28", "count": 5000}]
)
def test_what_is_said_to_be_known_is_known(
    exchange: Exchange, client: uf.Client, truth: Callable[..., pa.Table], asked: dict[str, Any]
) -> None:
    client.markets()  # from here on the client takes it for half past
    exchange.clock.advance(-30)
    frame = client.candles("KRW-ETH", "1s", **asked)
    end = datetime.fromisoformat(frame.attrs["upbit_frames"]["end"])
    assert end <= datetime.fromisoformat(exchange.clock.iso()) - timedelta(seconds=5)
    assert same(frame, truth(exchange, "KRW-ETH", "1s", frame.index[0].isoformat(), end.isoformat()))


def test_the_forming_candle_is_shown_and_not_stored(exchange: Exchange, client: uf.Client) -> None:
    with_it = client.candles("KRW-BTC", "1h", count=3, forming=True)
    without = client.candles("KRW-BTC", "1h", count=3)
    assert str(with_it.index[-1]) == "2026-03-01 03:00:00+00:00"
    assert len(with_it) == 3  # the forming one is counted
    pd.testing.assert_frame_equal(with_it.iloc[:-1], without.iloc[1:])
    exchange.clock.advance(3600)
    client.markets()  # any answer tells the exchange's time
    final = client.candles("KRW-BTC", "1h", count=1)
    assert final.index[0] == with_it.index[-1]
    assert final["volume"].iloc[0] > with_it["volume"].iloc[-1]


def test_korean_time_and_dates(client: uf.Client) -> None:
    seoul = client.candles("KRW-BTC", "1h", start="2026-02-27", end="2026-02-28", tz="Asia/Seoul")
    assert str(seoul.index[0]) == "2026-02-27 00:00:00+09:00"
    assert len(seoul) == 24


def test_the_plan_says_how_many_requests_it_will_be(exchange: Exchange, client: uf.Client) -> None:
    client.candles("KRW-BTC", "1m", count=1)  # a first answer tells the exchange's time
    plan = client.plan("KRW-BTC", "1m", **ASKED)
    exchange.requests.clear()
    client.candles("KRW-BTC", "1m", **ASKED)
    assert len(exchange.requests) <= plan.requests
    assert client.plan("KRW-BTC", "1m", **ASKED).requests == 0
