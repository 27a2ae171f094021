"""``uf.update``: stored series brought up to now, with exactly the requests it takes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.api import engine
from upbit_frames.api.engine import open_store
from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.store.base import Series
from upbit_frames.testing import Exchange

SCRIPT = Path(__file__).with_name("updating.py")


def micros(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").value // 1000)


def pages(exchange: Exchange) -> Counter[str]:
    """Candle requests by market and path."""
    found: Counter[str] = Counter()
    for one in exchange.requests:
        if "/candles/" in one.path:
            found[f"{one.params['market']} {one.path.rpartition('candles/')[2]}"] += 1
    return found


def stored(client: uf.Client, market: str, interval: str, start: str = "1970-01-01") -> pa.Table:
    store = open_store(client.config)
    series = Series("candles", market, interval)
    return store.read(series, Span(micros(start), store.covered(series)[-1].end)).combine_chunks()


def another_process(exchange: Exchange) -> None:
    """Forget the exchange's time, as a new process does not know it."""
    engine._engines.clear()
    engine._clocks.pop(exchange.rest_url, None)


def truth(exchange: Exchange, market: str, interval: str, start: str) -> pa.Table:
    sealed = INTERVALS[interval].floor(exchange.clock.now() - 5_000_000)
    return exchange.market.candles(market, INTERVALS[interval], micros(start), sealed).table()


MARKETS = ["KRW-BTC", "KRW-DOGE", "KRW-ELF", "KRW-QUIET", "USDT-DOGE"]


def seed(client: uf.Client, end: str = "2026-02-28T03:30:00Z") -> None:
    client.download(MARKETS, "1m", start="2026-02-27T12:00Z", end=end)
    client.download(["KRW-BTC", "KRW-ELF"], "1h", start="2026-02-01", end=end)
    client.candles("KRW-ETH", "1d", start="2025-10-01", end="2026-02-20")


def test_every_series_costs_its_new_rows_and_one_candle_more(exchange: Exchange, client: uf.Client) -> None:
    seed(client)
    before = {(row.market, row.interval): row.rows for row in _ls(client).itertuples()}
    exchange.requests.clear()
    report = client.update()
    assert set(report["status"]) == {"updated"}
    asked = pages(exchange)
    for row in report.itertuples():
        new = len(stored(client, row.market, row.interval)) - before[row.market, row.interval]
        compared = 1 if before[row.market, row.interval] else 0
        assert row.rows == new
        assert row.requests == -(-(new + compared) // 200), row
        assert row.compared == bool(compared)
    assert sum(asked.values()) == report["requests"].sum()
    assert Counter(one.path for one in exchange.requests)["/v1/market/all"] == 1
    for market in MARKETS:
        assert stored(client, market, "1m", "2026-02-27T12:00Z").equals(
            truth(exchange, market, "1m", "2026-02-27T12:00Z")
        ), market
    assert stored(client, "KRW-BTC", "1h", "2026-02-01").equals(truth(exchange, "KRW-BTC", "1h", "2026-02-01"))


def _ls(client: uf.Client) -> pd.DataFrame:
    with uf.using(cache_dir=client.config.cache_dir, rest_url=client.config.rest_url):
        return uf.cache.ls()


def test_nothing_new_costs_nothing(exchange: Exchange, client: uf.Client) -> None:
    seed(client)
    client.update()
    exchange.requests.clear()
    report = client.update()
    assert set(report["status"]) == {"current"}
    assert exchange.requests == []
    assert report["rows"].sum() == 0
    exchange.clock.advance(60)
    another_process(exchange)
    report = client.update(interval="1m")
    assert len(pages(exchange)) == len(MARKETS)
    assert set(report["requests"]) == {1}


def test_what_is_named_and_no_more(exchange: Exchange, client: uf.Client) -> None:
    seed(client)
    report = client.update("krw-btc")
    assert list(report["interval"]) == ["1m", "1h"]
    report = client.update(quote="USDT", interval="1m")
    assert list(report["market"]) == ["USDT-DOGE"]
    with pytest.raises(uf.errors.QueryError, match="nothing of KRW-XRP is stored"):
        client.update("KRW-XRP")
    with pytest.raises(uf.errors.QueryError, match="errors must be one of"):
        client.update(errors="ignore")


def test_an_empty_store_says_what_to_do(client: uf.Client, exchange: Exchange) -> None:
    report = client.update()
    assert len(report) == 0
    assert "uf.download" in repr(report)
    assert exchange.requests == []


def test_trades_and_seconds_go_on_and_say_when_they_expire(exchange: Exchange, client: uf.Client) -> None:
    client.trades("KRW-ELF", start="2026-02-28", end="2026-03-01")
    client.candles("KRW-ELF", "1s", start="2026-02-28T20:00Z", end="2026-03-01")
    report = client.update().set_index("kind")
    assert set(report["status"]) == {"updated"}
    trades, seconds = report.loc["trades"], report.loc["candles"]
    assert trades["interval"] is None
    assert trades["expires"] == pd.Timestamp("2026-03-09", tz="UTC")
    assert seconds["expires"] == pd.Timestamp("2026-03-01T03:29:55", tz="UTC") + pd.Timedelta(days=89)
    store = open_store(client.config)
    reached = store.covered(Series("trades", "KRW-ELF"))[-1]
    expected = exchange.market.trades("KRW-ELF", micros("2026-02-28"), reached.end)
    assert len(store.read(Series("trades", "KRW-ELF"), Span(0, reached.end))) == len(expected)
    again = client.update()
    assert "next to expire: trades KRW-ELF after" in repr(again)


def test_one_that_fails_does_not_stop_the_others(exchange: Exchange, client: uf.Client) -> None:
    seed(client)
    exchange.faults.add("503", match="KRW-DOGE", times=None)
    report = client.update(interval="1m").set_index("market")
    assert report.loc["KRW-DOGE", "status"] == "failed"
    assert report.loc["KRW-DOGE", "error"].startswith("ServerError")
    assert (report.drop("KRW-DOGE")["status"] == "updated").all()
    with pytest.raises(uf.errors.ServerError):
        client.update(interval="1m", errors="raise")


def test_a_market_that_is_gone_is_not_listed(exchange: Exchange, client: uf.Client) -> None:
    exchange.clock.set("2025-12-22T05:00:00Z")
    client.candles("KRW-GONE", "1m", start="2025-12-22T01:00Z", end="2025-12-22T04:00Z")
    client.candles("KRW-BTC", "1m", start="2025-12-22T01:00Z", end="2025-12-22T04:00Z")
    exchange.clock.set("2025-12-22T07:00:00Z")
    report = client.update().set_index("market")
    assert dict(report["status"]) == {"KRW-BTC": "updated", "KRW-GONE": "not listed"}


@pytest.mark.parametrize("kind", ["empty", "short", "skew"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_one_odd_answer_changes_nothing(exchange: Exchange, client: uf.Client, kind: str, after: int) -> None:
    client.download(["KRW-BTC"], "1m", start="2026-02-28T00:00Z", end="2026-02-28T20:00Z")
    exchange.faults.add(kind, match="/candles/", after=after, times=1)
    report = client.update()
    assert list(report["status"]) == ["updated"], report["error"].tolist()
    reached = stored(client, "KRW-BTC", "1m", "2026-02-28")
    assert reached.equals(truth(exchange, "KRW-BTC", "1m", "2026-02-28T00:00Z").slice(0, len(reached)))
    assert len(reached) > 1600


def rescale(client: uf.Client, market: str, interval: str, start: str, end: str, factor: float) -> None:
    """Store candles of a range as they were before a redenomination."""
    store = open_store(client.config)
    series, span = Series("candles", market, interval), Span(micros(start), micros(end))
    table = store.read(series, span)
    columns = {name: table[name].to_numpy() * factor for name in ("open", "high", "low", "close")}
    columns["volume"] = table["volume"].to_numpy() / factor
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), pa.array(values))
    store.write(series, table, span, replace=True)


@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_a_rewritten_history_is_refused_and_nothing_is_mixed(
    exchange: Exchange, client: uf.Client, interval: str
) -> None:
    client.download(["KRW-BTC", "KRW-ELF"], interval, start="2026-02-20", end="2026-02-28")
    rescale(client, "KRW-ELF", interval, "2026-01-01", "2026-02-28", 10.0)
    before = stored(client, "KRW-ELF", interval)
    report = client.update().set_index("market")
    assert dict(report["status"]) == {"KRW-BTC": "updated", "KRW-ELF": "changed"}
    assert stored(client, "KRW-ELF", interval).equals(before)
    assert "0.1 times the stored ones" in repr(report) or "0.1 times" in report.loc["KRW-ELF", "error"]
    with pytest.raises(uf.errors.SeriesChanged) as caught:
        client.update("KRW-ELF", errors="raise")
    error = caught.value
    assert error.factor == pytest.approx(0.1)
    assert error.first == before["time"][0].as_py().isoformat().replace("+00:00", "Z")
    assert pickle.loads(pickle.dumps(error)).context == error.context
    # What it suggests works.
    with uf.using(cache_dir=client.config.cache_dir, rest_url=client.config.rest_url):
        uf.cache.clear("KRW-ELF", interval)
    client.download("KRW-ELF", interval, error.first[:10])
    assert list(client.update("KRW-ELF")["status"]) == ["current"]
    assert stored(client, "KRW-ELF", interval, "2026-02-20").equals(truth(exchange, "KRW-ELF", interval, "2026-02-20"))


def test_the_first_candle_that_differs_is_found(exchange: Exchange, client: uf.Client) -> None:
    client.download(["KRW-BTC"], "1m", start="2026-02-20", end="2026-02-28")
    rescale(client, "KRW-BTC", "1m", "2026-02-23T07:11Z", "2026-02-28", 3.0)
    exchange.requests.clear()
    with pytest.raises(uf.errors.SeriesChanged) as caught:
        client.update(errors="raise")
    first = stored(client, "KRW-BTC", "1m").filter(
        pa.compute.greater_equal(stored(client, "KRW-BTC", "1m")["time"], pd.Timestamp("2026-02-23T07:11", tz="UTC"))
    )["time"][0]
    assert datetime.fromisoformat(caught.value.first) == first.as_py()
    assert caught.value.factor == pytest.approx(1 / 3)
    assert sum(pages(exchange).values()) < 60


def test_a_candle_with_other_numbers_has_no_factor(exchange: Exchange, client: uf.Client) -> None:
    client.download(["KRW-BTC"], "1m", start="2026-02-27T20:00Z", end="2026-02-28")
    store, series = open_store(client.config), Series("candles", "KRW-BTC", "1m")
    span = Span(micros("2026-02-27T23:59Z"), micros("2026-02-28"))
    table = store.read(series, span)
    volume = pa.array(table["volume"].to_numpy() + 1.0)
    store.write(series, table.set_column(5, table.schema.field(5), volume), span, replace=True)
    with pytest.raises(uf.errors.SeriesChanged, match="another volume") as caught:
        client.update(errors="raise")
    assert "factor" not in caught.value.context
    assert caught.value.first == caught.value.last == "2026-02-27T23:59:00Z"


def test_the_summary_reads_well(exchange: Exchange, client: uf.Client) -> None:
    seed(client)
    report = client.update()
    assert repr(report).startswith("8 series: 8 updated; ")
    assert "<table" in report._repr_html_()
    assert type(report.head(2)) is pd.DataFrame
    assert report.attrs["upbit_frames"]["kind"] == "update"
    assert pickle.loads(pickle.dumps(report)).summary_lines == report.summary_lines


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_killed_in_the_middle_the_next_run_completes(exchange: Exchange, client: uf.Client) -> None:
    markets = ["KRW-BTC", "KRW-ETH", "KRW-XRP", "KRW-DOGE", "KRW-ELF"]
    client.download(markets, "1m", start="2026-02-19", end="2026-02-20")
    folder = client.config.cache_dir
    for kills in (20, 60, 110):
        exchange.requests.clear()
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), exchange.rest_url, str(folder)], stdout=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        while len(exchange.requests) < kills and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        store = open_store(client.config)
        for market in markets:
            series = Series("candles", market, "1m")
            assert len(store.covered(series)) == 1  # never a hole before what is covered
    report = client.update()
    assert set(report["status"]) <= {"updated", "current"}
    for market in markets:
        assert stored(client, market, "1m", "2026-02-19").equals(truth(exchange, market, "1m", "2026-02-19")), market


@pytest.mark.parametrize("held", [0, 20_000])
def test_many_new_pages_are_compared_first(
    exchange: Exchange, client: uf.Client, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    from upbit_frames.datasets.collect import catch_up

    monkeypatch.setattr(catch_up, "HELD_PERIODS", held)
    client.download(["KRW-BTC", "KRW-ELF"], "1m", start="2026-02-24", end="2026-02-25")
    exchange.requests.clear()
    report = client.update().set_index("market")
    new = int(report.loc["KRW-BTC", "rows"])
    assert report.loc["KRW-BTC", "requests"] == (-(-(new + 1) // 200) if held else 1 + -(-new // 200))
    assert sum(pages(exchange).values()) == report["requests"].sum()
    assert stored(client, "KRW-BTC", "1m", "2026-02-24").equals(truth(exchange, "KRW-BTC", "1m", "2026-02-24"))
    assert stored(client, "KRW-ELF", "1m", "2026-02-24").equals(truth(exchange, "KRW-ELF", "1m", "2026-02-24"))


def test_async(exchange: Exchange, tmp_path: Path) -> None:
    import asyncio

    async def main() -> Any:
        async with uf.AsyncClient(exchange.config(cache_dir=tmp_path / "store", progress=False)) as client:
            await client.candles("KRW-BTC", "1h", start="2026-02-01", end="2026-02-02")
            return await client.update()

    assert list(asyncio.run(main())["status"]) == ["updated"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_three_hundred_series_a_day_old_killed_and_completed(tmp_path: Path) -> None:
    with Exchange(seed=7, now="2026-03-01T03:30:00Z", limits=False, maintenance=(), extra=300) as exchange:
        client = uf.Client(exchange.config(cache_dir=tmp_path / "store", progress=False))
        store, begin, end = open_store(client.config), micros("2026-02-20"), micros("2026-02-28T03:00")
        chosen = [Series("candles", f"KRW-C{number:03d}", "1h") for number in range(1, 301)]
        for series in chosen:
            table = exchange.market.candles(series.market, INTERVALS["1h"], begin, end).table()
            store.write(series, table, Span(begin, end))
        process = subprocess.Popen([sys.executable, str(SCRIPT), exchange.rest_url, str(client.config.cache_dir)])
        deadline = time.monotonic() + 150
        while len(exchange.requests) < 100 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
        process.wait()
        reached = micros("2026-03-01T03:00")
        left = [series for series in chosen if store.covered(series)[-1].end < reached]
        assert 0 < len(left) < 300
        exchange.requests.clear()
        report = client.update()
        assert dict(report["status"].value_counts()) == {"updated": len(left), "current": 300 - len(left)}
        assert report["requests"].sum() == sum(pages(exchange).values()) == len(left)
        for series in chosen:
            expected = exchange.market.candles(series.market, INTERVALS["1h"], begin, reached).table()
            assert store.read(series, Span(begin, reached)).combine_chunks().equals(expected)
        exchange.requests.clear()
        assert set(client.update()["status"]) == {"current"}
        assert exchange.requests == []
