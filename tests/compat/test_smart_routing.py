"""The older smart-routing system's functions: Upbit's rows, true sources, failures without numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import upbit_frames as uf
from upbit_frames.compat import smart_routing
from upbit_frames.compat.smart_routing import DataRequest, DataType, SmartRouter, SmartRouterMainAdapter
from upbit_frames.testing import Exchange


@pytest.fixture
def sr(exchange: Exchange, tmp_path: Any) -> Iterator[Any]:
    with uf.using(**exchange.settings(), cache_dir=tmp_path / "store"):
        yield smart_routing
    SmartRouter().clear_cache()


@pytest.fixture
def rows(exchange: Exchange) -> Callable[..., list[dict[str, Any]]]:
    def get(path: str, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{exchange.rest_url}/v1/{path}", params=params).json()
        return found

    return get


def got(work: Any) -> dict[str, Any]:
    """The dict, after the checks that hold for every one."""
    result: dict[str, Any] = asyncio.run(work)
    assert json.loads(json.dumps(result)) == result
    assert result["source"] == result["metadata"]["channel"]
    assert result["response_time_ms"] == result["metadata"]["response_time_ms"] > 0
    assert set(result["metadata"]) == {"channel", "reason", "confidence", "response_time_ms", "request_id"}
    if result["success"]:
        assert set(result) == {"success", "data", "metadata", "source", "timestamp", "response_time_ms"}
        assert result["source"] in ("websocket", "rest_api", "cache")
        assert '"market": ""' not in json.dumps(result)
    else:
        assert result["data"] is None
        assert len(result["error"]) > 10
    return result


def test_ticker(sr: Any, rows: Any) -> None:
    result = got(sr.get_ticker("KRW-BTC"))
    assert result["data"] == rows("ticker", markets="KRW-BTC")[0]
    assert result["source"] == "rest_api"
    assert result["metadata"]["reason"].isidentifier()
    assert got(sr.get_ticker(["KRW-ETH"]))["data"]["market"] == "KRW-ETH"
    assert got(sr.get_ticker(["KRW-ETH", "BTC-ETH"]))["data"] == rows("ticker", markets="KRW-ETH,BTC-ETH")


def test_orderbook(sr: Any, rows: Any) -> None:
    assert got(sr.get_orderbook("KRW-BTC"))["data"] == rows("orderbook", markets="KRW-BTC")[0]
    assert got(sr.get_orderbook(["KRW-BTC", "KRW-ETH"]))["data"] == rows("orderbook", markets="KRW-BTC,KRW-ETH")


@pytest.mark.parametrize(
    ("interval", "path"),
    [("1s", "seconds"), ("1m", "minutes/1"), ("1h", "minutes/60"), ("4h", "minutes/240"), ("1d", "days"),
     ("1w", "weeks"), ("1M", "months"), ("60m", "minutes/60"), ("15m", "minutes/15")],
)  # fmt: skip
def test_candles_are_upbits_rows(sr: Any, rows: Any, interval: str, path: str) -> None:
    result = got(sr.get_candles("KRW-BTC", interval, 5))
    assert result["data"] == rows(f"candles/{path}", market="KRW-BTC", count=5)
    assert result["source"] == "rest_api"
    to = "2026-02-20T12:00:00Z"
    assert got(SmartRouter().get_candles("KRW-BTC", interval, 4, to))["data"] == rows(
        f"candles/{path}", market="KRW-BTC", count=4, to=to
    )


def test_candles_of_any_count(sr: Any, rows: Any) -> None:
    assert got(SmartRouter().get_candles("KRW-BTC"))["data"] == rows("candles/minutes/1", market="KRW-BTC", count=1)
    many = got(sr.get_candles("KRW-BTC", "1m", 500))["data"]
    assert len(many) == 500
    assert many[:200] == rows("candles/minutes/1", market="KRW-BTC", count=200)
    times = [row["candle_date_time_utc"] for row in many]
    assert times == sorted(set(times), reverse=True)
    assert {row["timestamp"] for row in many}.isdisjoint({None})
    both = got(sr.get_candles(["KRW-BTC", "KRW-ETH"], "1m", 3))["data"]
    assert [row["market"] for row in both] == ["KRW-BTC"] * 3 + ["KRW-ETH"] * 3


def test_a_range_comes_from_the_cache_the_second_time(sr: Any, exchange: Exchange) -> None:
    router = SmartRouter()
    first = got(router.get_candles("KRW-BTC", "1m", 250, "2026-02-20T12:00:00Z"))
    assert first["source"] == "rest_api"
    before = len(exchange.requests)
    second = got(router.get_candles("KRW-BTC", "1m", 250, "2026-02-20T12:00:00Z"))
    assert second["source"] == "cache"
    assert second["data"] == first["data"]
    assert len(exchange.requests) == before
    router.clear_cache()  # as in another process: the numbers are stored, the last trade's time is not
    third = got(router.get_candles("KRW-BTC", "1m", 250, "2026-02-20T12:00:00Z"))
    assert third["source"] == "cache"
    assert third["data"] == [{**row, "timestamp": None} for row in first["data"]]


def test_what_can_still_change_is_not_kept(sr: Any, exchange: Exchange, rows: Any) -> None:
    router = SmartRouter()
    for to in ("2026-03-01T09:00:00Z", "-1h"):
        first = got(router.get_candles("KRW-BTC", "1h", 5, to))
        assert first["success"]
    late = got(router.get_candles("KRW-BTC", "1h", 5, "2026-03-01T09:00:00Z"))
    assert late["source"] == "rest_api"  # with the running hour
    assert late["data"] == rows("candles/minutes/60", market="KRW-BTC", count=5)
    assert SmartRouter().get_cache_info()["cache_size"] > 0


def test_numbers_are_those_of_the_public_calls(sr: Any) -> None:
    frame = uf.candles("KRW-BTC", "5m", end="2026-02-20T12:00:00Z", count=9)
    data = got(SmartRouter().get_candles("KRW-BTC", "5m", 9, "2026-02-20T12:00:00Z"))["data"]
    assert [row["trade_price"] for row in data[::-1]] == frame["close"].tolist()
    assert [row["candle_acc_trade_price"] for row in data[::-1]] == frame["value"].tolist()


def test_trades(sr: Any, rows: Any) -> None:
    data = got(SmartRouter().get_trades("KRW-BTC", 7))["data"]
    for row, raw in zip(data, rows("trades/ticks", market="KRW-BTC", count=7), strict=True):
        assert row == {key: raw[key] for key in row}
    assert len(got(SmartRouterMainAdapter().get_trades("KRW-BTC", 700))["data"]) == 500


@pytest.mark.parametrize(
    "work",
    [
        lambda sr: sr.get_ticker("KRW-NOPE"),
        lambda sr: sr.get_ticker([]),
        lambda sr: sr.get_ticker("nonsense"),
        lambda sr: sr.get_orderbook(["KRW-BTC", "KRW-NOPE"]),
        lambda sr: sr.get_orderbook("KRW-EMPTY"),
        lambda sr: sr.get_candles("KRW-NOPE"),
        lambda sr: sr.get_candles([]),
        lambda sr: sr.get_candles("KRW-BTC", "7m"),
        lambda sr: sr.get_candles("KRW-BTC", "1m", 0),
        lambda sr: sr.get_candles("KRW-BTC", "1m", "many"),
        lambda sr: SmartRouter().get_candles("KRW-BTC", "1m", 1, "no time"),
        lambda sr: SmartRouter().get_trades("KRW-NOPE"),
        lambda sr: SmartRouter().get_trades("KRW-BTC", 0),
        lambda sr: SmartRouter().get_data(DataRequest("KRW-BTC", DataType.ACCOUNTS)),
    ],
)
def test_a_failure_has_no_data(sr: Any, work: Any) -> None:
    assert got(work(sr))["success"] is False


def test_an_exchange_that_fails(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from upbit_frames.exchange.transport.retry import RetryPolicy

    monkeypatch.setattr(RetryPolicy, "pause", lambda self, attempt: 0.0)
    with Exchange(seed=7, limits=False) as failing:
        failing.faults.add("500", times=None)
        with uf.using(**failing.settings(), cache_dir=tmp_path):
            for work in (
                smart_routing.get_ticker("KRW-BTC"), smart_routing.get_orderbook("KRW-BTC"),
                smart_routing.get_candles("KRW-BTC"),
                SmartRouter().get_candles("KRW-BTC", "1m", 5, "2026-02-20T12:00Z"),
                SmartRouter().get_trades("KRW-BTC"),
            ):  # fmt: skip
                result = got(work)
                assert (result["success"], result["source"]) == (False, "rest_api")


def test_legacy_shapes_are_json(sr: Any, rows: Any) -> None:
    one = got(sr.get_ticker("KRW-BTC", legacy=True))["data"]
    assert set(one["_unified"]) == {"source", "unified_at", "format_version"}
    assert {key: one[key] for key in one if key != "_unified"} == rows("ticker", markets="KRW-BTC")[0]
    several = got(sr.get_orderbook(["KRW-BTC", "KRW-ETH"], legacy=True))["data"]
    assert (several["_unified"], several["_count"]) == (True, 2)
    assert several["data"] == several["_original_data"] == rows("orderbook", markets="KRW-BTC,KRW-ETH")
    candles = got(sr.get_candles("KRW-BTC", "1m", 3, legacy=True))["data"]
    assert candles["_candles_list"] == rows("candles/minutes/1", market="KRW-BTC", count=3)
    assert candles["trade_price"] == candles["_candles_list"][0]["trade_price"]


def test_a_warm_market_says_websocket(tmp_path: Any) -> None:
    from support.streams import lively

    with Exchange(seed=13, now="2026-03-01T03:07:00Z", markets=lively(60_000.0), limits=False) as busy:
        busy.clock.run(5)
        with uf.using(**busy.settings(), cache_dir=tmp_path):
            for _ in range(2000):
                result = got(smart_routing.get_ticker("KRW-BTC"))
                assert result["success"]
                if result["source"] == "websocket":
                    break
            assert result["source"] == "websocket"
            assert result["data"]["market"] == "KRW-BTC"
            assert "trade_date_kst" in result["data"]


def test_every_name_and_the_summary(sr: Any) -> None:
    async def work() -> None:
        adapter = await sr.initialize_market_data_adapter()
        assert adapter is sr.get_market_data_adapter(enable_smart_routing=False)
        assert (adapter.is_initialized, adapter.enable_smart_routing) == (True, True)
        router = await sr.initialize_smart_router()
        assert router is sr.get_smart_router()
        for kind in (DataType.TICKER, DataType.ORDERBOOK, DataType.TRADES, DataType.CANDLES, DataType.CANDLES_1S):
            assert (await router.get_data(DataRequest("KRW-BTC", kind, count=3)))["success"]
        summary = adapter.get_performance_summary()
        json.dumps(summary)
        assert set(summary) == {"routing_metrics", "channel_selector", "cache_status"}
        counts = summary["routing_metrics"]
        assert counts["total_requests"] >= counts["rest_requests"] > 0
        assert set(counts) == set(sr.RoutingMetrics.__dataclass_fields__)
        await adapter.cleanup()
        off = SmartRouterMainAdapter(enable_smart_routing=False)
        assert (await off.get_ticker_data("KRW-BTC"))["source"] == "rest_api"
        assert off.get_performance_summary()["smart_routing_enabled"] is False
        async with SmartRouter() as entered:
            assert entered.is_initialized
            entered.reset_metrics()
            assert entered.get_metrics()["total_requests"] == 0

    asyncio.run(work())
    for name in sr.__all__:
        assert getattr(sr, name) is not None
    assert sr.__version__ == "2.0.0"
    assert {one.value for one in sr.RealtimePriority} == {"high", "medium", "low"}
    decision = sr.ChannelSelector().select_channel(DataRequest("KRW-BTC", DataType.TICKER))
    assert decision.channel in sr.ChannelType
    assert sr.DataFormatUnifier().unify([{"market": "KRW-BTC"}], "rest_api")["market"] == "KRW-BTC"
