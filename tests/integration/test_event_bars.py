"""Bars by trades, volume and value from every source, against the exchange's own trades in decimal numbers."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.api import engine
from upbit_frames.core.exact_sums import UNIT
from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series
from upbit_frames.testing import Exchange


def micros(text: str) -> int:
    return to_micros(datetime.fromisoformat(text))


def loop(exchange: Exchange, market: str, low: int, high: int, kind: str, amount: Decimal) -> list[tuple[Any, ...]]:
    """The complete bars trade by trade: time, close, volume, value, end, trades, buy_volume."""
    trades = exchange.market.trades(market, low, high)
    bars: list[tuple[Any, ...]] = []
    bar: list[Any] = []
    sides = trades.table()["side"].to_pylist()
    for ms, price, volume, side in zip(
        trades.ms.tolist(), trades.price.tolist(), trades.volume.tolist(), sides, strict=True
    ):
        money, coins = Decimal(price) / UNIT, Decimal(volume) / UNIT
        bar = bar or [ms * 1000, None, Decimal(0), Decimal(0), None, 0, Decimal(0)]
        bar[1], bar[4] = float(money), ms * 1000
        bar[2] += coins
        bar[3] += money * coins
        bar[5] += 1
        bar[6] += coins if side == "bid" else 0
        if {"ticks": bar[5], "volume": bar[2], "value": bar[3]}[kind] >= amount:
            bars.append(tuple(float(round(x, 8)) if isinstance(x, Decimal) else x for x in bar))
            bar = []
    return bars


def shown(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = [
        table["time"].cast(pa.int64()), table["close"], table["volume"], table["value"],
        table["end"].cast(pa.int64()), table["trades"], table["buy_volume"],
    ]  # fmt: skip
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


@pytest.mark.parametrize(
    ("market", "kind", "amount"),
    [
        ("KRW-BTC", "ticks", 100), ("KRW-BTC", "volume", 0.5), ("KRW-BTC", "value", 5e7),
        ("KRW-QUIET", "value", 123_456.789), ("BTC-ETH", "volume", 0.75), ("KRW-DOGE", "volume", 12_345.678),
    ],
)  # fmt: skip
def test_bars_over_rest_are_those_of_a_loop(
    exchange: Exchange, client: uf.Client, market: str, kind: str, amount: float
) -> None:
    given: dict[str, Any] = {kind: amount, "start": "2026-02-26T10:00", "end": "2026-02-28T15:30"}
    table = client.bars(market, output="arrow", **given)
    low, high = micros("2026-02-26T10:00+00:00"), micros("2026-02-28T15:30+00:00")
    expected = loop(exchange, market, low, high, kind, Decimal(repr(amount)))
    assert shown(table) == expected
    assert len(expected) > 3
    assert table.schema.equals(arrow_schema("bars"), check_metadata=False)
    exchange.requests.clear()
    frame = client.bars(market, source="store", **given)
    assert exchange.requests == []
    assert frame["trades"].tolist() == table["trades"].to_pylist()


def test_a_route_names_every_source_once(exchange: Exchange, client: uf.Client) -> None:
    client.trades("KRW-BTC", start="2026-02-25", end="2026-02-26")
    frame = client.bars("KRW-BTC", ticks=50, start="2026-02-24", end="2026-02-28", tz="Asia/Seoul")
    meta = frame.attrs["upbit_frames"]
    assert (meta["kind"], meta["threshold"], meta["market"]) == ("bars", "ticks=50", "KRW-BTC")
    steps = [(step["channel"], step["start"][5:13], step["end"][5:13]) for step in meta["route"]]
    assert steps == [
        ("rest", "02-23T15", "02-25T00"), ("store", "02-25T00", "02-26T00"), ("rest", "02-26T00", "02-27T15"),
    ]  # fmt: skip
    counted = exchange.market.trades("KRW-BTC", micros("2026-02-24T00:00+09:00"), micros("2026-02-28T00:00+09:00"))
    assert sum(step["rows"] for step in meta["route"]) == len(counted.ms)
    assert str(frame.index.tz) == str(frame["end"].dt.tz) == "Asia/Seoul"
    assert (frame["end"] >= frame.index).all()


def test_years_back_from_the_archive(tmp_path: Path) -> None:
    with Exchange(seed=7, now="2026-03-01T03:30:00Z", limits=False) as exchange:
        client = uf.Client(exchange.config(cache_dir=tmp_path, progress=False, archive=True))
        frame = client.bars("KRW-ELF", value=1e6, start="2025-06-01", end="2025-06-20", output="arrow")
        low, high = micros("2025-06-01T00:00+00:00"), micros("2025-06-20T00:00+00:00")
        assert shown(frame) == loop(exchange, "KRW-ELF", low, high, "value", Decimal(10**6))
        assert len(frame) > 20


def test_no_bar_reaches_over_trades_that_no_source_has(exchange: Exchange, client: uf.Client) -> None:
    # The exchange serves seven UTC days; parts of two days before those were stored in time.
    store = engine.open_store(client.config)
    for day in ("2026-02-10", "2026-02-13"):
        span = Span(micros(day + "T02:00+00:00"), micros(day + "T09:00+00:00"))
        store.write(Series("trades", "KRW-BTC"), exchange.market.trades("KRW-BTC", *span).table(), span)
    with pytest.warns(errors.UpbitFramesWarning, match="2026-02-10T09:00:00Z.*2026-02-13T02:00:00Z.*does not have"):
        table = client.bars("KRW-BTC", ticks=100, start="2026-02-10T02:00", end="2026-02-13T09:00", output="arrow")
    parts = [
        loop(exchange, "KRW-BTC", micros(day + "T02:00+00:00"), micros(day + "T09:00+00:00"), "ticks", Decimal(100))
        for day in ("2026-02-10", "2026-02-13")
    ]
    assert shown(table) == parts[0] + parts[1]
    assert all(parts)


def test_the_store_alone_names_all_that_is_missing(exchange: Exchange, client: uf.Client) -> None:
    client.trades("KRW-BTC", start="2026-02-25", end="2026-02-26")
    exchange.requests.clear()
    with pytest.raises(errors.NotCached) as caught:
        client.bars("KRW-BTC", ticks=50, start="2026-02-10", end="2026-02-28", source="store")
    assert [start[:10] for start, _ in caught.value.missing] == ["2026-02-10", "2026-02-26"]
    assert exchange.requests == []


def test_the_last_bar_is_forming(exchange: Exchange, client: uf.Client) -> None:
    frame = client.bars("KRW-BTC", ticks=100, start="2026-02-28T21:30", forming=True)
    now = exchange.clock.now()
    trades = exchange.market.trades("KRW-BTC", now - 6 * 3_600_000_000, now)
    assert frame["trades"].sum() == len(trades.ms)
    assert frame["complete"].tolist() == [True] * (len(frame) - 1) + [False]
    complete = client.bars("KRW-BTC", ticks=100, start="2026-02-28T21:30")
    assert "complete" not in complete.columns
    pd.testing.assert_frame_equal(complete, frame[frame["complete"]].drop(columns="complete"), check_names=True)


def test_trades_of_the_last_seconds_are_left_out_unless_forming(exchange: Exchange, client: uf.Client) -> None:
    now = exchange.clock.now()
    day = exchange.market.trades("KRW-BTC", now - 86_400_000_000, now)
    exchange.clock.set(int(day.ms[-1]) * 1000 + 1_000_000)  # a second after a trade
    start = pd.Timestamp(exchange.clock.now() - 3_600_000_000, unit="us", tz="UTC")
    forming = client.bars("KRW-BTC", ticks=1, start=start, forming=True)
    sealed = client.bars("KRW-BTC", ticks=1, start=start)
    limit = pd.Timestamp(exchange.clock.now() - 5_000_000, unit="us", tz="UTC")
    assert forming.index[-1] >= limit
    assert forming["complete"].all()  # none is forming where every trade is a bar
    assert sealed.index.equals(forming.index[forming.index < limit])
    only_now = client.bars("KRW-BTC", ticks=1, start="-1s")
    assert len(only_now) == 0
    assert only_now.columns.tolist() == arrow_schema("bars").names[1:]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"ticks": 5}, errors.InvalidRange, "bars need a start"),
        ({"start": "-1d"}, errors.QueryError, "exactly one threshold"),
        ({"start": "-1d", "ticks": 5, "value": 1e9}, errors.QueryError, "got ticks=5 and value=1000000000.0"),
        ({"start": "-1d", "volume": -1}, errors.QueryError, "volume must be a number above 0"),
        ({"start": "-1d", "ticks": 5, "source": "live"}, errors.QueryError, "source must be one of"),
        ({"start": "-1d", "ticks": 5, "forming": "no"}, errors.QueryError, "forming must be True or False"),
        ({"start": "2030-01-01", "ticks": 5}, errors.InvalidRange, "lies in the future"),
        ({"start": "2026-02-02", "end": "2026-02-01", "ticks": 5}, errors.InvalidRange, "is not before end"),
        ({"start": "-1d", "size": 5}, errors.InvalidArgument, "bars\\(\\) has no argument 'size'"),
    ],
)
def test_bad_calls_name_what_works(client: uf.Client, given: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        client.bars("KRW-BTC", **given)


def test_outputs_and_coroutines_agree(exchange: Exchange, client: uf.Client) -> None:
    given: dict[str, Any] = {"volume": 0.2, "start": "2026-02-28", "end": "2026-02-28T06:00"}
    frame = client.bars("krw-btc", **given)
    polars = client.bars("KRW-BTC", output="polars", **given)
    assert polars.columns == [frame.index.name, *frame.columns]
    assert polars["end"].to_list() == frame["end"].tolist()

    async def coroutine() -> pd.DataFrame:
        async with uf.AsyncClient(client.config) as other:
            result: pd.DataFrame = await other.bars("KRW-BTC", **given)
            return result

    pd.testing.assert_frame_equal(asyncio.run(coroutine()), frame)
