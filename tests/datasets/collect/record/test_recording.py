"""Recordings over real sockets: what is stored is what the exchange sent, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from datasets.collect.record.conftest import PATIENCE, Sent, until

import upbit_frames as uf
from upbit_frames.core.intervals import INTERVALS, Span, subtract
from upbit_frames.datasets.collect.record import session as sessions
from upbit_frames.datasets.collect.record.recorder import Recorder
from upbit_frames.errors import StoreError
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing import Exchange

BTC = "KRW-BTC"
EVER = Span(0, 2**61)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write and repair often, so that tests do not wait."""
    monkeypatch.setattr(sessions, "FLUSH", 0.05)
    monkeypatch.setattr(sessions, "REPAIR", 0.05)


def store_of(client: uf.Client, exchange: Exchange) -> ParquetStore:
    config = client.config
    return ParquetStore(config.cache_dir / config.origin if config.origin else config.cache_dir)


def pass_time(exchange: Exchange, recorder: Recorder, seconds: int) -> None:
    """Let the exchange's time pass, and wait each second until a frame of about that time has come."""
    for _ in range(seconds):
        exchange.clock.advance(1.0)
        moment = exchange.clock.now() - 1_500_000
        until(lambda moment=moment: recorder.stats["reached"] is not None and recorder._session.reached >= moment)


def break_for(exchange: Exchange, seconds: float) -> None:
    """Break the connections, and let so much time pass before a new one is accepted."""
    refuse, before = exchange.streams.faults.refuse, len(exchange.streams.connections)
    refuse += [503] * 100
    exchange.streams.drop()
    until(lambda: len(exchange.streams.connections) > before)
    exchange.clock.advance(seconds)
    refuse.clear()
    until(lambda: exchange.streams.open == 1)


def stored_levels(table: Any) -> list[tuple[int, list[float], list[float]]]:
    times = table["time"].cast("int64").to_pylist()
    return list(zip(times, table["ask_price"].to_pylist(), table["bid_size"].to_pylist(), strict=True))


def sent_levels(frames: list[dict[str, Any]]) -> list[tuple[int, list[float], list[float]]]:
    levels = []
    for frame in frames:
        units = frame["orderbook_units"]
        asks = [float(unit["ask_price"]) for unit in units if unit["ask_price"] > 0]
        bids = [float(unit["bid_size"]) for unit in units if unit["bid_price"] > 0]
        levels.append((frame["timestamp"] * 1000, asks, bids))
    return [one for at, one in enumerate(levels) if not at or levels[at - 1] != one]


def check_books(store: ParquetStore, market: str, sent: Sent) -> None:
    """Compare the stored books with every frame that the exchange sent of the covered ranges, in their order."""
    series = Series("orderbook", market)
    covered = store.covered(series)
    frames = [one for one in sent_levels(sent.of("orderbook", market)) if any(a <= one[0] < b for a, b in covered)]
    assert stored_levels(store.read(series, EVER)) == frames


def check_against_exchange(exchange: Exchange, store: ParquetStore, market: str) -> None:
    """Compare every covered range of trades and second candles with the exchange's own."""
    for series in (Series("trades", market), Series("candles", market, "1s")):
        covered = store.covered(series)
        assert covered, series
        for span in covered:
            table = store.read(series, span)
            if series.kind == "candles":
                assert table.equals(exchange.market.candles(market, INTERVALS["1s"], span.start, span.end).table())
            else:
                truth = exchange.market.trades(market, span.start, span.end)
                assert table["sequential_id"].to_pylist() == truth.sequential_id.tolist()


def holes_of(store: ParquetStore, series: Series) -> list[Span]:
    covered = store.covered(series)
    return subtract([Span(covered[0].start, covered[-1].end)], covered)


def test_what_was_sent_is_stored(exchange: Exchange, client: uf.Client, sent: Sent) -> None:
    begun = exchange.clock.now()
    with client.record([BTC, "KRW-ETH"], background=True) as recorder:
        pass_time(exchange, recorder, 30)
    store = store_of(client, exchange)
    for market in (BTC, "KRW-ETH"):
        check_books(store, market, sent)
        check_against_exchange(exchange, store, market)
        for series in (Series("orderbook", market), Series("trades", market), Series("candles", market, "1s")):
            (covered,) = store.covered(series)
            assert covered.start <= begun + 1_000_000
            assert begun + 20_000_000 <= covered.end <= exchange.clock.now()
    assert len(store.read(Series("orderbook", BTC), EVER)) > 100
    assert recorder.stats["state"] == "closed"
    assert recorder.stats["lost"] == recorder.stats["pending"] == recorder.stats["write_errors"] == 0
    assert len(recorder.report()) == 6
    assert uf.metrics.streams["recorded"] >= recorder.stats["recorded"] > 0


def test_breaks_are_repaired_and_books_have_holes(exchange: Exchange, client: uf.Client, sent: Sent) -> None:
    with client.record(BTC, background=True) as recorder:
        pass_time(exchange, recorder, 5)
        for _ in range(3):
            break_for(exchange, 3.0)
            pass_time(exchange, recorder, 15)
        until(lambda: not holes_of(store_of(client, exchange), Series("trades", BTC)))
    store = store_of(client, exchange)
    assert recorder.stats["breaks"] == 3
    check_books(store, BTC, sent)
    check_against_exchange(exchange, store, BTC)
    assert not holes_of(store, Series("trades", BTC))
    assert not holes_of(store, Series("candles", BTC, "1s"))
    holes = holes_of(store, Series("orderbook", BTC))
    assert len(holes) == 3
    assert all(2_000_000 < hole.end - hole.start < 6_000_000 for hole in holes)
    with pytest.warns(uf.errors.UpbitFramesWarning, match="not recorded in 3 ranges"):
        frame = client.books(BTC, every="1s")
    inside = [any(hole.start <= time < hole.end for hole in holes) for time in frame.index.as_unit("us").asi8.tolist()]
    assert frame["ask_price_0"].isna().tolist() == inside


def test_two_recorders_do_no_harm(exchange: Exchange, client: uf.Client, sent: Sent) -> None:
    other = uf.Client(client.config)
    with client.record(BTC, background=True) as one, other.record(BTC, background=True) as two:
        pass_time(exchange, one, 10)
        one.close()
        pass_time(exchange, two, 10)
    store = store_of(client, exchange)
    check_books(store, BTC, sent)
    check_against_exchange(exchange, store, BTC)
    assert len(store.covered(Series("trades", BTC))) == 1


def test_a_full_disk_is_waited_for(
    exchange: Exchange, client: uf.Client, sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, full = ParquetStore.write, threading.Event()

    def failing(self: ParquetStore, *given: Any, **options: Any) -> None:
        if full.is_set():
            raise StoreError("No space left on device while writing to the store")
        write(self, *given, **options)

    monkeypatch.setattr(ParquetStore, "write", failing)
    with (
        caplog.at_level(logging.WARNING, "upbit_frames.datasets.collect"),
        client.record(BTC, background=True) as recorder,
    ):
        pass_time(exchange, recorder, 3)
        full.set()
        pass_time(exchange, recorder, 5)
        until(lambda: recorder.stats["write_errors"] >= 9)
        assert recorder.stats["pending"] > 0
        assert "No space left" in str(recorder)
        assert sum("cannot be written" in record.message for record in caplog.records) <= 3  # once a series
        full.clear()
        pass_time(exchange, recorder, 15)
        until(lambda: recorder.stats["error"] is None)
    store = store_of(client, exchange)
    assert recorder.stats["lost"] == 0
    check_books(store, BTC, sent)
    check_against_exchange(exchange, store, BTC)


def test_a_disk_that_stays_full_costs_rows_and_not_memory(
    exchange: Exchange, client: uf.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_ROWS", 60)

    def failing(self: ParquetStore, *given: Any, **options: Any) -> None:
        raise StoreError("No space left on device")

    monkeypatch.setattr(ParquetStore, "write", failing)
    with client.record(BTC, "orderbook", background=True) as recorder:
        pass_time(exchange, recorder, 20)
        until(lambda: recorder.stats["lost"] > 0)
        until(lambda: recorder.stats["pending"] <= 120)


def test_frames_that_come_late_and_twice(exchange: Exchange, client: uf.Client, sent: Sent) -> None:
    exchange.streams.faults.late = exchange.streams.faults.repeat = 0.2
    with client.record(BTC, background=True) as recorder:
        pass_time(exchange, recorder, 40)
    store = store_of(client, exchange)
    for series in (Series("trades", BTC), Series("candles", BTC, "1s")):
        assert store.covered(series)
    trades = store.read(Series("trades", BTC), EVER)["sequential_id"].to_pylist()
    span = store.covered(Series("trades", BTC))[0]
    assert trades == exchange.market.trades(BTC, span.start, span.end).sequential_id.tolist()


def test_sampled_books(exchange: Exchange, client: uf.Client, sent: Sent) -> None:
    with client.record(BTC, "orderbook", every="2s", background=True) as recorder:
        pass_time(exchange, recorder, 20)
    books = store_of(client, exchange).read(Series("orderbook", BTC), EVER)
    times = [time for time, _, _ in sent_levels(sent.of("orderbook", BTC))]
    stored = [time for time, _, _ in stored_levels(books)]
    assert len(stored) < len(times) / 4
    for moment in range(-(-times[0] // 2_000_000) * 2_000_000, stored[-1], 2_000_000):
        assert max(time for time in stored if time <= moment) == max(time for time in times if time <= moment)


def start_process(client: uf.Client, exchange: Exchange) -> subprocess.Popen[bytes]:
    config = client.config
    command = [sys.executable, str(Path(__file__).with_name("recording.py")), config.rest_url, str(config.ws_url)]
    return subprocess.Popen([*command, str(config.cache_dir), BTC], stderr=subprocess.PIPE)


def wait_for_rows(exchange: Exchange, store: ParquetStore, moment: int) -> None:
    """Let time pass until the order book is covered past a moment."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        covered = store.covered(Series("orderbook", BTC))
        if covered and covered[-1].end > moment:
            return
        exchange.clock.advance(0.5)
        time.sleep(0.1)
    raise AssertionError("nothing was recorded")


@pytest.mark.slow
def test_a_killed_recorder_loses_little_and_the_next_repairs(exchange: Exchange, client: uf.Client, sent: Sent) -> None:
    store = store_of(client, exchange)
    for _ in range(3):
        process = start_process(client, exchange)
        try:
            wait_for_rows(exchange, store, exchange.clock.now() + 15_000_000)
        finally:
            process.kill()
            process.communicate()
        exchange.clock.advance(5.0)
    check_books(store, BTC, sent)
    check_against_exchange(exchange, store, BTC)
    with client.record(BTC, background=True) as recorder:
        pass_time(exchange, recorder, 12)
        until(lambda: not holes_of(store, Series("trades", BTC)))
        until(lambda: not holes_of(store, Series("candles", BTC, "1s")))
    check_against_exchange(exchange, store, BTC)
    assert len(holes_of(store, Series("orderbook", BTC))) >= 2


@pytest.mark.slow
def test_sigterm_ends_in_order(exchange: Exchange, client: uf.Client) -> None:
    process = start_process(client, exchange)
    try:
        wait_for_rows(exchange, store_of(client, exchange), exchange.clock.now() + 5_000_000)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    check_against_exchange(exchange, store_of(client, exchange), BTC)


@pytest.mark.slow
def test_two_processes_record_the_same(exchange: Exchange, client: uf.Client, sent: Sent) -> None:
    store = store_of(client, exchange)
    processes = [start_process(client, exchange), start_process(client, exchange)]
    try:
        until(lambda: exchange.streams.open == 2)
        wait_for_rows(exchange, store, exchange.clock.now() + 10_000_000)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors
    sent.frames = list({json.dumps(frame): frame for frame in sent.frames}.values())  # each was sent twice
    sent.frames.sort(key=lambda frame: frame["timestamp"])
    check_books(store, BTC, sent)
    check_against_exchange(exchange, store, BTC)
    for series in (Series("trades", BTC), Series("candles", BTC, "1s"), Series("orderbook", BTC)):
        assert len(store.covered(series)) == 1, series


def test_arguments(client: uf.Client) -> None:
    for bad in (
        {"kinds": "ticker"},
        {"kinds": ()},
        {"every": "1M"},
        {"background": True, "seconds": 1},
        {"seconds": 0},
    ):
        with pytest.raises(uf.errors.QueryError):
            client.record(BTC, **bad)
    with pytest.raises(uf.errors.MarketNotFound):
        client.record("KRW-NONE", background=True)


def test_seconds_end_it_and_coroutines_work(exchange: Exchange, client: uf.Client) -> None:
    report = client.record(BTC, "orderbook", seconds=0.2)
    assert report["rows"].tolist() == [1]

    async def work() -> int:
        async with uf.AsyncClient(client.config).record(BTC, "trade") as recorder:
            await recorder.wait(0.1)
        return int(recorder.stats["trades"])

    assert asyncio.run(work()) == 0
