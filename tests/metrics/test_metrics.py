"""What ``uf.metrics`` and ``uf.dashboard`` tell about real calls against the stand-in exchange."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.errors import MarketNotFound, QueryError, UsageError
from upbit_frames.recorder import MOST, Recorder, recorder
from upbit_frames.testing import Exchange

NOW = "2026-03-01T03:30:20Z"


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now=NOW) as exchange:
        yield exchange


@pytest.fixture
def client(exchange: Exchange, tmp_path: Path) -> Iterator[uf.Client]:
    uf.metrics.reset()
    yield uf.Client(exchange.config(cache_dir=tmp_path, progress=False))
    uf.metrics.watch()
    uf.metrics.reset()


def test_the_true_source_of_every_call(client: uf.Client) -> None:
    client.ticker("KRW-BTC")  # tells the exchange's time
    uf.metrics.reset()
    client.candles("KRW-BTC", "1m", count=300)
    client.candles("KRW-BTC", "1m", count=300)
    client.candles("KRW-BTC", "1m", count=500)
    client.markets()
    client.markets()
    client.ticker(["KRW-BTC", "KRW-ETH"])
    frame = uf.metrics("calls")
    assert frame["call"].tolist() == ["candles"] * 3 + ["markets"] * 2 + ["ticker"]
    assert frame["channel"].tolist() == ["rest", "store", "rest+store", "rest", "memory", "rest"]
    assert frame["requests"].tolist()[1] == frame["requests"].tolist()[4] == 0
    assert frame["rows"].tolist()[:3] == [300, 300, 500]
    assert frame["markets"].tolist()[-1] == 2
    assert (frame["seconds"] > 0).all()
    assert str(frame.index.tz) == "UTC"
    by = uf.metrics()
    assert by.loc[("candles", "store"), "hits"] == 1
    assert by["calls"].sum() == 6
    assert (by["p50_ms"] <= by["p99_ms"]).all()
    assert uf.metrics("channel").loc["rest", "calls"] == 3


def test_requests_are_counted_as_the_exchange_counts_them(client: uf.Client, exchange: Exchange) -> None:
    before = len(exchange.requests)
    client.candles("KRW-BTC", "1m", count=1500)
    client.trades("KRW-BTC", count=100)
    assert uf.metrics()["requests"].sum() == len(exchange.requests) - before


def test_retries_and_refusals(client: uf.Client, exchange: Exchange) -> None:
    client.ticker("KRW-BTC")
    uf.metrics.reset()
    exchange.faults.add("503", times=2, match="/v1/ticker")
    client.ticker("KRW-BTC")
    exchange.faults.add("429", times=1, match="/v1/orderbook")
    client.orderbook("KRW-BTC")
    frame = uf.metrics("calls").set_index("call")
    assert frame.loc["ticker", ["requests", "retries", "refusals"]].tolist() == [3, 2, 0]
    assert frame.loc["orderbook", ["requests", "retries", "refusals"]].tolist() == [2, 1, 1]
    assert (frame["waited"] > 0).all()


def test_errors_are_named(client: uf.Client) -> None:
    with pytest.raises(MarketNotFound):
        client.ticker("KRW-NOPE")
    frame = uf.metrics("calls")
    assert frame["error"].tolist() == ["MarketNotFound"]
    assert frame["channel"].tolist() == ["failed"]
    assert uf.metrics().loc[("ticker", "failed"), "errors"] == 1


def test_coroutines_and_threads_are_kept_apart(client: uf.Client) -> None:
    own = uf.AsyncClient(client.config)

    async def main() -> None:
        await asyncio.gather(*(own.orderbook("KRW-BTC", depth=n) for n in (1, 2, 3)), own.markets("KRW"))

    asyncio.run(main())
    threads = [threading.Thread(target=client.candles, args=("KRW-BTC", "1h"), kwargs={"count": n}) for n in (5, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frame = uf.metrics("calls")
    assert sorted(frame["call"]) == ["candles"] * 2 + ["markets"] + ["orderbook"] * 3
    assert (frame[frame["call"] == "orderbook"]["requests"] == 1).all()


def test_what_asks_nobody_is_no_call(client: uf.Client) -> None:
    client.plan("KRW-BTC", "1m", count=5)
    client.explain("ticker", "KRW-BTC")
    assert len(client.metrics()) == 0
    assert uf.metrics("calls").empty
    assert "no calls yet" in repr(uf.metrics)


def test_streams_count_what_happened_to_them(client: uf.Client, exchange: Exchange) -> None:
    exchange.clock.run()
    with client.stream("KRW-BTC", "ticker", background=True) as feed:
        exchange.streams.drop()
        deadline = threading.Event()
        for _ in range(600):
            if uf.metrics.streams["reconnects"]:
                break
            deadline.wait(0.05)
    assert uf.metrics.streams == {"reconnects": 1, "breaks": 1, "drops": 0}
    assert feed.closed
    assert uf.metrics().attrs["upbit_frames"]["streams"]["breaks"] == 1


def test_json(client: uf.Client, tmp_path: Path) -> None:
    client.ticker("KRW-BTC")
    text = uf.metrics.to_json(tmp_path / "metrics.json")
    told = json.loads(text)
    assert told == json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert told["summary"][0]["calls"] == 1
    assert told["calls"][0]["call"] == "ticker"
    assert set(told["streams"]) == {"reconnects", "breaks", "drops"}


def test_limits_warn_once_each_time(client: uf.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="upbit_frames.metrics")
    own = Recorder()
    uf.metrics.watch(error_share=0.1, seconds=30)
    own.limits = recorder.limits
    for moment in range(6):
        own._looked = -1e9  # look at every call
        with own.call("good"):
            pass
        if moment < 3:
            with pytest.raises(ValueError, match="bad"), own.call("bad"):
                raise ValueError("bad")
    warned = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "error_share" in warned[0].getMessage()
    own.calls.clear()
    own._looked = -1e9
    with own.call("good"):
        pass
    assert "again, below" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("limit", [{"p95_ms": -1}, {"refusals": "many"}, {"seconds": True}, {"age_ms": float("nan")}])
def test_no_limits(client: uf.Client, limit: dict[str, object]) -> None:
    with pytest.raises(QueryError, match="is no limit"):
        uf.metrics.watch(**limit)  # type: ignore[arg-type]


def test_memory_is_bounded() -> None:
    own = Recorder()
    for _ in range(MOST + 500):
        with own.call("x"):
            own.request("candles", 200, 1, 10, 0.0)
    assert len(own.calls) == MOST
    assert len(own.requests) <= 2 * MOST


def test_a_call_inside_of_a_call_is_no_second_one() -> None:
    own = Recorder()
    with own.call("outer"), own.call("inner"):
        own.request("candles", 200, 1, 10, 0.5)
    assert [(one.call, one.requests, one.waited) for one in own.calls] == [("outer", 1, 0.5)]


def test_the_dashboard_draws(client: uf.Client, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    uf.dashboard().savefig(tmp_path / "empty.png")
    client.candles("KRW-BTC", "1m", count=300)
    client.candles("KRW-BTC", "1m", count=300)
    with pytest.raises(MarketNotFound):
        client.ticker("KRW-NOPE")
    for style in ("korean", "night"):
        figure = client.dashboard(seconds=60, style=style)
        figure.savefig(tmp_path / f"{style}.png")
        assert (tmp_path / f"{style}.png").stat().st_size > 10_000
        assert [axes.get_title(loc="left") for axes in figure.axes][1:] == [
            "What callers waited, ms", "Who answered", "Requests a second, by limit group", "p50 — p95 — p99, ms",
        ]  # fmt: skip
    with pytest.raises(UsageError, match="needs a notebook"):
        uf.dashboard(live=True)
    with pytest.raises(QueryError):
        uf.dashboard(seconds=0)


def test_html_and_text(client: uf.Client) -> None:
    client.ticker("KRW-BTC")
    assert "ticker" in repr(uf.metrics)
    assert "<table" in uf.metrics._repr_html_()
    assert isinstance(asyncio.run(uf.aio.metrics("channel")), pd.DataFrame)
