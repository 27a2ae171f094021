"""What ``uf.metrics`` and ``uf.dashboard`` tell about real calls against the stand-in exchange."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames.api import alerts
from upbit_frames.api.alerts import ThresholdObserver, Thresholds
from upbit_frames.errors import MarketNotFound, QueryError, UsageError
from upbit_frames.runtime.telemetry import MAX_KEPT, CallRecord, Event, Telemetry
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
    assert frame["rows"].tolist()[-1] == 2
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
    assert uf.metrics.streams == {"reconnects": 1, "breaks": 1, "drops": 0, "recorded": 0, "write_errors": 0}
    assert feed.closed
    assert uf.metrics().attrs["upbit_frames"]["streams"]["breaks"] == 1


def test_json(client: uf.Client, tmp_path: Path) -> None:
    client.ticker("KRW-BTC")
    text = uf.metrics.to_json(tmp_path / "metrics.json")
    told = json.loads(text)
    assert told == json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert told["summary"][0]["calls"] == 1
    assert told["calls"][0]["call"] == "ticker"
    assert set(told["streams"]) == {"reconnects", "breaks", "drops", "recorded", "write_errors"}


def test_limits_warn_once_each_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="upbit_frames.metrics")
    own = Telemetry()
    own.observer = alarms = ThresholdObserver(Thresholds(error_share=0.1, seconds=30))

    def call(error: type[Exception] | None = None) -> None:
        alarms._next = 0.0  # look at every call
        with contextlib.suppress(ValueError), own.call("some"):
            if error is not None:
                raise error

    for moment in range(6):
        call()
        call(ValueError if moment < 3 else None)
    assert [one.levelno for one in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].startswith("error_share is 0.5 in the last 30 s (2 calls), above 0.1")
    own.reset()
    call()
    assert [one.levelno for one in caplog.records] == [logging.WARNING, logging.INFO]
    assert "error_share is 0 again" in caplog.messages[1]
    call(ValueError)
    assert [one.levelno for one in caplog.records] == [logging.WARNING, logging.INFO, logging.WARNING]


def test_refusals_of_the_exchange_are_warned_of(
    client: uf.Client, exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    client.ticker("KRW-BTC")
    uf.metrics.watch(refusals=0)
    exchange.faults.add("429", times=2, match="/v1/ticker")
    client.ticker("KRW-BTC")
    client.ticker("KRW-BTC")
    warned = [text for text in caplog.messages if text.startswith("refusals")]
    assert len(warned) == 1
    assert warned[0].startswith("refusals is 2 in the last 60 s (2 calls), above 0")


def test_what_happens_to_streams_is_warned_of_without_any_call(caplog: pytest.LogCaptureFixture) -> None:
    own = Telemetry()
    own.observer = alarms = ThresholdObserver(Thresholds(drops=1000))
    for _ in range(3):
        alarms._next = 0.0
        own.event("drops", 400)
    assert caplog.messages == ["drops is 1200 rows in the last 60 s (0 calls), above 1000"]
    assert own.totals["drops"] == 1200


def test_checking_thresholds_takes_its_share_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    own, check_seconds, call_seconds = Telemetry(), 0.001, 0.0001
    now, checks = 0.0, 0
    monkeypatch.setattr(alerts, "perf_counter", lambda: now)

    class Slow(ThresholdObserver):
        def compare(self, calls: Sequence[CallRecord], events: Sequence[Event]) -> list[tuple[int, str]]:
            nonlocal now, checks
            now, checks = now + check_seconds, checks + 1
            return super().compare(calls, events)

    own.observer = Slow(Thresholds(p95_ms=1e9))
    for _ in range(5_000):
        now += call_seconds
        with own.call("some"):
            pass
    assert checks >= 2
    assert (checks - 1) * check_seconds <= 1.001 * alerts.SHARE * now


@pytest.mark.parametrize("limit", [{"p95_ms": -1}, {"refusals": "many"}, {"seconds": True}, {"age_ms": float("nan")}])
def test_no_limits(client: uf.Client, limit: dict[str, object]) -> None:
    with pytest.raises(QueryError, match="must be a number of at least 0"):
        uf.metrics.watch(**limit)  # type: ignore[arg-type]


def test_memory_is_bounded() -> None:
    own = Telemetry()
    for _ in range(MAX_KEPT + 500):
        with own.call("x"):
            own.request("candles", 200, 0.02)
    assert len(own.calls) == MAX_KEPT
    assert len(own.requests) <= 2 * MAX_KEPT


def test_a_call_inside_of_a_call_is_no_second_one() -> None:
    own = Telemetry()
    with own.call("outer"), own.call("inner"):
        own.request("candles", 200, 0.02, 1, 10, 0.5)
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
            "What callers waited, ms", "Source", "Requests a second, by limit group", "p50 — p95 — p99, ms",
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
