"""The eleven real recordings, played through the transport into frames."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from upbit_frames.core.endpoints import ENDPOINTS, Endpoint, candles_endpoint
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.exchange import wire as normalize
from upbit_frames.exchange.transport.rate_limiter import NullLimiter
from upbit_frames.exchange.transport.rest import Reply, RestTransport
from upbit_frames.runtime.clock import ServerTime, SystemClock

KINDS = {
    "get_candles_days": "1d",
    "get_candles_minutes": None,  # whichever unit was recorded
    "get_candles_months": "1M",
    "get_candles_seconds": "1s",
    "get_candles_weeks": "1w",
    "get_candles_years": "1y",
    "get_orderbook_instruments": "instruments",
    "get_orderbooks": "orderbook",
    "get_tickers": "ticker",
    "get_tickers_by_quote": "ticker_all",
    "get_trades": "trades",
}
DAY = 1_773_187_200_000_000  # 2026-03-11, when they were made


def endpoint_of(name: str, path: str) -> tuple[Endpoint, Any]:
    kind = KINDS[name]
    if kind is None:
        unit = int(path.rsplit("/", 1)[1])
        kind = f"{unit}m" if unit < 60 else f"{unit // 60}h"
    if kind in INTERVALS:
        return candles_endpoint(INTERVALS[kind]), INTERVALS[kind]
    return ENDPOINTS[kind], None


def play(file: Path, endpoint: Endpoint, params: dict[str, str]) -> tuple[Reply, ServerTime]:
    import vcr

    clock = SystemClock()
    server_time = ServerTime(clock)

    async def work() -> Reply:
        transport = RestTransport(
            "https://api.upbit.com", clock=clock, server_time=server_time, limiter=NullLimiter(), timeout=1.0
        )
        try:
            return await transport.get(endpoint, params)
        finally:
            await transport.aclose()

    with vcr.use_cassette(str(file), record_mode="none", match_on=["method", "host", "path", "query"]) as cassette:
        reply = asyncio.run(work())
        assert cassette.play_count == 1
    return reply, server_time


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_recording_becomes_a_frame(real_data: Path, name: str) -> None:
    file = real_data / "rest/cassettes" / f"{name}.yaml"
    uri = yaml.safe_load(file.read_text(encoding="utf-8"))["interactions"][0]["request"]["uri"]
    parts = urlsplit(uri)
    params = dict(parse_qsl(parts.query))
    endpoint, interval = endpoint_of(name, parts.path)
    reply, server_time = play(file, endpoint, params)
    assert reply.server_time is not None
    assert DAY <= reply.server_time < DAY + 86_400_000_000
    assert server_time.known
    rows = json.loads(reply.body)
    if interval is not None:
        table = normalize.candles(reply.body, params["market"], interval)
        assert table["close"].to_pylist() == [float(row["trade_price"]) for row in reversed(rows)]
        assert table["value"].to_pylist() == [float(row["candle_acc_trade_price"]) for row in reversed(rows)]
        written = [one.strftime("%Y-%m-%dT%H:%M:%S") for one in table["time"].to_pylist()]
        assert written == [row["candle_date_time_utc"] for row in reversed(rows)]
    elif endpoint.schema == "trades":
        table = normalize.trades(reply.body, params["market"])
        assert sorted(table["sequential_id"].to_pylist()) == sorted(row["sequential_id"] for row in rows)
    elif endpoint.schema == "orderbook":
        table = normalize.orderbook(reply.body)
        assert table.num_rows == sum(len(row["orderbook_units"]) for row in rows)
    else:
        table = getattr(normalize, endpoint.schema)(reply.body)
        assert table["market"].to_pylist() == [row["market"] for row in rows]
    if name == "get_tickers_by_quote":
        assert table.num_rows == 244
