"""Candles that continue, over real sockets to the stand-in exchange."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.core.schema import arrow_schema
from upbit_frames.exchange.wire.messages import CLASSES
from upbit_frames.live.follow import backoff, sealing, session
from upbit_frames.live.follow.follow import Follow
from upbit_frames.runtime import event_loop
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import DEFAULT_LISTINGS

NOW = "2026-03-01T03:30:20Z"
SECOND = 1_000_000
CANDLES = "/v1/candles"
CLOCK = "/v1/trades/ticks"
PATIENCE = 60.0  # seconds for what comes soon on an idle machine

pytestmark = pytest.mark.usefixtures("unpaced")


def micros(text: str) -> int:
    return int(pd.Timestamp(text).value) // 1000


def read(f: Follow, until: str, **counts: int) -> list[Any]:
    """The history, and every frame up to one that came when everything before ``until`` was sealed.

    And when each of ``counts`` was reached: on a busy machine fewer breaks fit into the same minutes.
    """
    frames = [next(f)] if f.query.history else []
    while True:
        stats = f.stats
        enough = pd.Timestamp(stats["sealed_until"]) >= pd.Timestamp(until)
        enough = enough and all(stats[name] >= least for name, least in counts.items())
        frames.append(next(f))
        if enough:
            return frames


def sealed_rows(frames: list[pd.DataFrame]) -> pd.DataFrame:
    rows = pd.concat(frames)
    return rows[rows.pop("sealed")] if "sealed" in rows else rows


def truth(exchange: Exchange, market: str, interval: str, start: Any, end: Any) -> pa.Table:
    low, high = micros(str(start)), micros(str(end))
    return exchange.market.candles(market, INTERVALS[interval], low, high).table()


def assert_true(exchange: Exchange, client: uf.Client, frame: pd.DataFrame, market: str, interval: str) -> None:
    """The frame is row for row what the exchange's trades make, and what uf.candles gives."""
    start, end = frame.index[0], frame.index[-1] + pd.Timedelta(seconds=INTERVALS[interval].seconds or 0)
    expected = client.candles(market, interval, start=start, end=end)
    pd.testing.assert_frame_equal(frame, expected, check_exact=True)
    arrow = client.candles(market, interval, start=start, end=end, output="arrow", source="store")
    known = truth(exchange, market, interval, start, end)
    assert arrow.to_pydict() == known.select(arrow.column_names).to_pydict()


def test_names_and_quote_currencies(exchange: Exchange, client: uf.Client) -> None:
    listed = client.markets("BTC").index.tolist()
    with client.follow("비트코인", "1m", history=5) as one, client.follow("KRW-BTC", "1m", history=5) as same:
        assert one.query.markets == ("KRW-BTC",)
        pd.testing.assert_frame_equal(one.to_frame(forming=False), same.to_frame(forming=False))
    with client.follow(quote="btc", interval="1m", history=3) as f:
        assert f.query.markets == tuple(listed)
        assert next(f).index.unique("market").tolist() == listed
        exchange.clock.run(60.0)
        deadline = time.monotonic() + PATIENCE
        while pd.Timestamp(f.stats["sealed_until"]) < pd.Timestamp("2026-03-01T03:31:00Z"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    end = pd.Timestamp(f.stats["sealed_until"])
    for code in listed:
        first = client.candles(code, "1m", count=3, end="2026-03-01T03:30:00Z").index[0]
        expected = client.candles(code, "1m", start=first, end=end)
        pd.testing.assert_frame_equal(f.to_frame().loc[code].loc[: end - pd.Timedelta(1)], expected)


def test_a_follow_that_did_not_open_has_no_frame(client: uf.Client) -> None:
    async def main() -> None:
        f = uf.AsyncClient(client.config).follow("비트코")
        with pytest.raises(errors.MarketNotFound, match="names that begin so: '비트코인'"):
            await f.open()
        assert "비트코" in repr(f)
        with pytest.raises(errors.UsageError, match="not open"):
            f.to_frame()

    asyncio.run(main())
    with pytest.raises(errors.QueryError, match="both given"):
        client.follow("KRW-BTC", quote="KRW")


def requests(exchange: Exchange) -> int:
    return sum(one.path.startswith(CANDLES) for one in exchange.requests)


# --- history and seam ---------------------------------------------------------------------------------


def test_history_is_what_candles_gives(client: uf.Client) -> None:
    with client.follow("krw-btc", history=7) as f:
        first = next(f)
        pd.testing.assert_frame_equal(first, client.candles("KRW-BTC", count=7), check_exact=True)
        assert first.attrs["upbit_frames"]["route"][0]["channel"] == "rest"
        pd.testing.assert_frame_equal(f.to_frame(), first)


@pytest.mark.parametrize("second", ["59.5", "00", "02", "04.9", "05", "06"])
def test_the_first_sealed_candle_follows_the_history_without_a_hole(tmp_path: Path, second: str) -> None:
    minute = "29" if second == "59.5" else "30"
    with Exchange(seed=7, now=f"2026-03-01T03:{minute}:{second}Z", limits=False) as exchange:
        client = uf.Client(exchange.config(cache_dir=tmp_path / "store"))
        with client.follow("KRW-BTC", "1m", history=5, forming=True) as f:
            exchange.clock.run(300.0)
            frames = read(f, "2026-03-01T03:35:00Z")
        assert len(frames[0]) == 5
        assert frames[0]["sealed"].all()
        assert_true(exchange, client, sealed_rows(frames), "KRW-BTC", "1m")


def test_the_candle_that_is_over_but_not_sealed_is_there_from_the_beginning(tmp_path: Path) -> None:
    with Exchange(seed=7, now=NOW, limits=False) as exchange:
        # A minute in whose first seconds something is traded: the snapshot has that one only.
        minute = micros("2026-03-01T03:40:00Z")
        while not len(exchange.market.trades("KRW-BTC", minute, minute + 3 * SECOND, minute + 3 * SECOND)):
            minute += 60 * SECOND
        exchange.clock.set(minute + 3 * SECOND)
        client = uf.Client(exchange.config(cache_dir=tmp_path / "store"))
        with client.follow("KRW-BTC", "1m", history=3) as f:
            frame = f.to_frame(forming=True)
            low = frame.index[0].value // 1000
            over = exchange.market.candles("KRW-BTC", "1m", low, minute, minute).table()
            have = [one.value // 1000 for one in frame.index if one.value // 1000 < minute]
            assert have == over["time"].cast(pa.int64()).to_pylist()
            assert have[-1] == minute - 60 * SECOND
            assert frame["sealed"].to_list()[:4] == [True, True, True, False]


def test_no_history_begins_with_the_first_candle_sealed(exchange: Exchange, client: uf.Client) -> None:
    with client.follow("KRW-BTC", history=0) as f:
        assert len(f.to_frame()) == 0
        assert requests(exchange) == 0
        exchange.clock.run(600.0)
        frames = read(f, "2026-03-01T03:36:00Z")
    rows = sealed_rows(frames)
    assert rows.index[0] == pd.Timestamp("2026-03-01T03:30:00Z")
    assert_true(exchange, client, rows, "KRW-BTC", "1m")


@pytest.mark.filterwarnings("ignore:.*nothing else confirms it")
def test_a_market_without_any_candle(exchange: Exchange, client: uf.Client) -> None:
    with client.follow("KRW-EMPTY", history=5) as f:
        first = next(f)
        assert len(first) == 0
        pd.testing.assert_frame_equal(first, client.candles("KRW-EMPTY", count=5))


# --- what happens meanwhile -----------------------------------------------------------------------------


def test_every_sealed_candle_once_though_the_connection_breaks(exchange: Exchange, client: uf.Client) -> None:
    exchange.streams.faults.lifetime = (100.0, 500.0)  # virtual
    exchange.streams.faults.late = exchange.streams.faults.repeat = 0.2
    with client.follow("KRW-BTC", "1m", history=10, forming=True) as f:
        exchange.clock.run(800.0)
        frames = read(f, "2026-03-01T04:00:00Z", breaks=4)
        assert set(f.gaps["market"]) == {"KRW-BTC"}
        whole = f.to_frame(forming=False)
    rows = sealed_rows(frames)
    assert rows.index.is_unique
    assert rows.index.is_monotonic_increasing
    assert_true(exchange, client, rows, "KRW-BTC", "1m")
    seen = whole[whole.pop("sealed")]
    pd.testing.assert_frame_equal(seen.loc[: rows.index[-1]], rows, check_exact=True)


def test_a_forming_candle_never_comes_after_it_was_sealed(exchange: Exchange, client: uf.Client) -> None:
    exchange.streams.faults.late = exchange.streams.faults.repeat = 0.3
    with client.follow("KRW-BTC", "1m", history=3, forming=True) as f:
        exchange.clock.run(400.0)
        frames = read(f, "2026-03-01T03:42:00Z")
    sealed: set[pd.Timestamp] = set()
    volumes: dict[pd.Timestamp, float] = {}
    changes = 0
    for frame in frames:
        assert frame["sealed"].dtype == bool
        assert frame.index.is_monotonic_increasing
        for moment, row in frame.iterrows():
            assert moment not in sealed
            if row["sealed"]:
                sealed.add(moment)
                assert row["volume"] >= volumes.get(moment, 0.0)
            else:
                assert row["volume"] > volumes.get(moment, 0.0)
                volumes[moment] = row["volume"]
                changes += 1
    assert changes >= 10


def test_forming_candles_are_what_the_exchange_knows_at_that_moment(exchange: Exchange, client: uf.Client) -> None:
    with client.follow("KRW-BTC", "1m", history=2) as f:
        exchange.clock.set("2026-03-01T03:31:30Z")
        start = micros("2026-03-01T03:31:00Z")
        known = exchange.market.candles("KRW-BTC", "1m", start, start + 1, exchange.clock.now()).table()
        assert len(known) == 1
        want = {name: known[name][0].as_py() for name in known.column_names if name != "time"}
        deadline = time.monotonic() + PATIENCE
        row: dict[str, Any] = {}
        while row != want and time.monotonic() < deadline:  # its earlier states come one after the other
            time.sleep(0.02)
            frame = f.to_frame(forming=True)
            if len(frame) and frame.index[-1] == pd.Timestamp("2026-03-01T03:31:00Z"):
                assert not frame["sealed"].iloc[-1]
                row = frame.drop(columns="sealed").iloc[-1].to_dict()
        assert row == want
        route = frame.attrs["upbit_frames"]["route"]
        assert route[-1]["channel"] == "live"
        assert "sealed" not in f.to_frame()


def test_seconds_are_sealed_several_at_once(exchange: Exchange, client: uf.Client) -> None:
    exchange.streams.faults.lifetime = (5.0, 15.0)
    with client.follow("KRW-BTC", "1s", history=20) as f:
        before = requests(exchange)
        exchange.clock.run(40.0)
        frames = read(f, "2026-03-01T03:31:30Z", breaks=2)
    assert before > 0
    sent = requests(exchange) - before  # requests for the exchange's time do not count: it runs fast here
    periods = (pd.Timestamp(f.stats["sealed_until"]) - pd.Timestamp(NOW)).total_seconds()
    assert sent <= periods / 5 + 2 + f.stats["retries"]
    assert_true(exchange, client, sealed_rows(frames), "KRW-BTC", "1s")


def test_faults_of_rest_lose_nothing(exchange: Exchange, client: uf.Client) -> None:
    with client.follow("KRW-BTC", "1m", history=3) as f:
        for kind in ("429", "503", "drop", "html", "garbage", "empty", "cut", "502"):
            exchange.faults.add(kind, match=CANDLES, times=None, probability=0.15, seed=len(kind))
        # Longer than one call's own patience:
        exchange.faults.add("500", match=CANDLES, after=6, times=20)
        exchange.clock.run(400.0)
        frames = read(f, "2026-03-01T03:50:00Z", retries=1)
        assert f.error is None
        exchange.faults.clear()
    assert_true(exchange, client, sealed_rows(frames), "KRW-BTC", "1m")


def test_an_exchange_that_lies_on_and_on_is_given_up(exchange: Exchange, client: uf.Client) -> None:
    with client.follow("KRW-BTC", "1m", history=3) as f:
        # What passes does not count towards it, however often it happens.
        exchange.faults.add("503", match=CANDLES, times=100)
        exchange.clock.run(400.0)
        frames = read(f, "2026-03-01T03:32:00Z", retries=backoff.MOST_SCHEMA_ERRORS + 1)
        exchange.faults.add("missing", match=CANDLES, times=None)
        with pytest.raises(errors.SchemaError, match="is missing"):
            read(f, "2026-03-01T04:30:00Z")
        assert f.error is not None
        exchange.faults.clear()
    assert_true(exchange, client, sealed_rows(frames), "KRW-BTC", "1m")


def test_sealed_candles_come_without_a_stream(
    exchange: Exchange, client: uf.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SLICE", 0.1)
    monkeypatch.setattr(session, "SLICE", 0.1)
    with client.follow("KRW-BTC", "1m", history=3) as f:
        exchange.streams.faults.refuse = [503] * 1_000_000
        exchange.streams.drop()
        deadline = time.monotonic() + PATIENCE
        while f.stats["live"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert f.stats["state"] != "open"
        # Only the exchange's date shows that time has passed.
        frames = [next(f)]
        for minute in range(3):
            exchange.clock.set(f"2026-03-01T03:3{minute + 1}:06Z")
            for market in ("KRW-BTC", "KRW-ETH", "KRW-XRP"):  # the third date in a row is believed
                client.ticker(market)
            frames.append(next(f))
        assert not f.stats["live"]
        exchange.streams.faults.refuse = []
        while not f.stats["live"] and time.monotonic() < deadline + PATIENCE:
            time.sleep(0.01)
        assert f.stats["live"]
    assert [len(frame) for frame in frames] == [3, 1, 1, 1]
    assert_true(exchange, client, sealed_rows(frames), "KRW-BTC", "1m")


def test_odd_frames_cost_no_candle(exchange: Exchange, client: uf.Client) -> None:
    odd = [0]

    def spoilt(frame: bytes) -> bytes:
        if b'"KRW-ETH"' in frame and b"candle" in frame and odd[0] < 40:
            odd[0] += 1
            return frame.replace(b'"high_price":', b'"high_price":"high","x":')
        return frame

    exchange.streams.faults.edit = spoilt
    with client.follow(["KRW-BTC", "KRW-ETH"], "1m", history=2) as f:
        exchange.clock.run(60.0)
        frames = read(f, "2026-03-01T03:36Z")
        exchange.clock.freeze()
    assert odd[0]
    whole = pd.concat([one[one["sealed"]] if "sealed" in one else one for one in frames])
    for market in ("KRW-BTC", "KRW-ETH"):
        times = whole[whole.index.get_level_values("market") == market].index.get_level_values("time")
        truth = client.candles(market, "1m", start=times[0], end="2026-03-01T03:36Z")
        assert list(times[times < pd.Timestamp("2026-03-01T03:36Z")]) == list(truth.index)


def test_a_thin_market_and_a_busy_one(exchange: Exchange, client: uf.Client) -> None:
    markets = ["KRW-QUIET", "KRW-BTC"]
    with client.follow(markets, "1m", history=4) as f:
        exchange.clock.run(600.0)
        frames = read(f, "2026-03-01T03:50:00Z")
        whole = f.to_frame()
    until = pd.Timestamp("2026-03-01T03:50:00Z")
    assert list(frames[0].index.names) == ["market", "time"]
    assert all(frame.dtypes.equals(frames[0].dtypes) for frame in frames)
    rows = pd.concat(frames)
    for market in markets:
        mine = rows.xs(market, level="market")
        mine = mine[mine.index < until]
        expected = client.candles(market, "1m", start=mine.index[0], end=until)
        pd.testing.assert_frame_equal(mine, expected, check_exact=True)
        known = truth(exchange, market, "1m", mine.index[0], until)
        assert len(known) == len(mine)
        pd.testing.assert_frame_equal(whole.xs(market, level="market").loc[:until].head(len(mine)), mine)
    quiet = rows.xs("KRW-QUIET", level="market")
    assert len(quiet[quiet.index >= pd.Timestamp(NOW)]) < 10  # periods without a trade have no candle
    # That nothing was traded is known now, and not asked again.
    count = requests(exchange)
    client.candles("KRW-QUIET", "1m", start="2026-03-01T03:30:00Z", end=until)
    assert requests(exchange) == count


def test_one_request_a_market_and_period(exchange: Exchange, client: uf.Client) -> None:
    with client.follow(["KRW-BTC", "KRW-QUIET"], "1m", history=3) as f:
        next(f)
        exchange.requests.clear()
        exchange.clock.run(120.0)
        read(f, "2026-03-01T03:33:00Z")
    periods = round((pd.Timestamp(f.stats["sealed_until"]) - pd.Timestamp("2026-03-01T03:30:00Z")).total_seconds() / 60)
    # A request of each market may be under way at the end; what was not final yet is requested again.
    assert requests(exchange) <= 2 * (periods + 1) + f.stats["retries"]


def test_a_machine_whose_clock_is_ahead_seals_nothing_too_soon(tmp_path: Path) -> None:
    """The exchange's clock stands still here, so after a second this machine believes too much."""
    with Exchange(seed=7, now="2026-03-01T03:30:04.5Z", limits=False) as exchange:
        client = uf.Client(exchange.config(cache_dir=tmp_path / "store"))
        with client.follow("KRW-BTC", "1m", history=2) as f:
            assert next(f).index[-1] == pd.Timestamp("2026-03-01T03:28:00Z")
            deadline = time.monotonic() + PATIENCE
            while not f.stats["retries"]:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert f.stats["sealed_until"] == "2026-03-01T03:29:00Z"
            assert len(f.to_frame()) == 2
            exchange.clock.set("2026-03-01T03:30:06Z")
            rows = next(f)
        assert list(rows.index) == [pd.Timestamp("2026-03-01T03:29:00Z")]
        assert_true(exchange, client, rows, "KRW-BTC", "1m")


def test_a_frame_that_is_stamped_ahead_seals_nothing_and_is_forgotten(exchange: Exchange, client: uf.Client) -> None:
    with client.follow("KRW-BTC", "1m", history=2) as f:
        next(f)
        core = f._session
        exchange.requests.clear()

        async def claim() -> None:
            core.sealer._stream_time = micros("2026-03-02T00:00:00Z")
            core.sealer._wake.set()

        event_loop.run(claim)
        deadline = time.monotonic() + PATIENCE
        while core.sealer._stream_time:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert requests(exchange) <= 4
        assert f.stats["sealed_until"] <= "2026-03-01T03:30:00Z"
        exchange.clock.run(300.0)
        frames = read(f, "2026-03-01T03:35:00Z")
    assert_true(exchange, client, sealed_rows(frames), "KRW-BTC", "1m")


def test_changes_between_taking_and_marking_as_read_are_delivered_too(client: uf.Client) -> None:
    with client.follow("KRW-BTC", "1m", history=2, forming=True) as f:
        next(f)
        core = f._session

        def row(volume: float) -> Any:
            moment = datetime(2026, 3, 1, 3, 31)  # as the wire has it
            made = CLASSES[False]["candle.1m"]
            return made("KRW-BTC", moment, 5.0, 6.0, 4.0, 5.0, volume, 9.0, 1, "REALTIME", 1)

        async def story() -> list[Any]:
            core._update([row(1e6)])
            first = await core.take()
            core._update([row(2e6)])
            core.reader.mark_read(first)
            async with asyncio.timeout(PATIENCE):
                second = await core.take()
            core.reader.mark_read(second)
            return [batch.parts[0].forming["volume"].to_pylist()[-1] for batch in (first, second)]

        assert event_loop.run(story) == [1e6, 2e6]


# --- the store ------------------------------------------------------------------------------------------


def test_another_program_finds_the_candles_in_the_store(exchange: Exchange, client: uf.Client, tmp_path: Path) -> None:
    with client.follow("KRW-BTC", "1m", history=5) as f:
        exchange.clock.run(400.0)
        rows = sealed_rows(read(f, "2026-03-01T03:40:00Z"))
    exchange.clock.freeze()
    exchange.clock.set(f.stats["sealed_until"])
    exchange.clock.advance(5)
    again = uf.Client(exchange.config(cache_dir=tmp_path / "store", timeout=7.0))  # shares no engine
    exchange.requests.clear()
    with again.follow("KRW-BTC", "1m", history=len(rows)) as f:
        pd.testing.assert_frame_equal(next(f), rows, check_exact=True)
    assert requests(exchange) == 0


def test_two_follows_share_a_request(exchange: Exchange, client: uf.Client) -> None:
    with client.follow("KRW-BTC", "1m", history=3) as one, client.follow("KRW-BTC", "1m", history=3) as other:
        exchange.requests.clear()
        exchange.clock.run(300.0)
        first, second = read(one, "2026-03-01T03:35:00Z"), read(other, "2026-03-01T03:35:00Z")
        connections = exchange.streams.open
        exchange.clock.freeze()

        def counted() -> bool:
            """Whether every request was answered and counted, by one of the two."""
            # The exchange's time runs too fast to be believed at once, so it is requested, too.
            sent = requests(exchange) + sum(request.path == CLOCK for request in exchange.requests)
            return one.stats["requests"] + other.stats["requests"] == sent

        deadline = time.monotonic() + PATIENCE
        while not counted():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        sealed = max(pd.Timestamp(f.stats["sealed_until"]) for f in (one, other)) - pd.Timestamp(NOW).floor("min")
        retries = one.stats["retries"] + other.stats["retries"]
    assert requests(exchange) <= sealed / pd.Timedelta("1min") + 2 + retries
    assert connections == 1
    a, b = sealed_rows(first), sealed_rows(second)
    pd.testing.assert_frame_equal(
        a.loc["2026-03-01T03:27Z":"2026-03-01T03:34Z"], b.loc["2026-03-01T03:27Z":"2026-03-01T03:34Z"]
    )


# --- memory -----------------------------------------------------------------------------------------------


def test_memory_is_bounded_and_a_late_reader_misses_nothing(exchange: Exchange, client: uf.Client) -> None:
    with client.follow("KRW-BTC", "1m", history=4, keep=6) as f:
        exchange.clock.run(600.0)
        deadline = time.monotonic() + PATIENCE
        while pd.Timestamp(f.stats["sealed_until"]) < pd.Timestamp("2026-03-01T03:50:00Z"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(f.to_frame()) == 6
        frames = read(f, "2026-03-01T03:51:00Z")
        assert len(frames[0]) == 4
        assert len(f.to_frame()) == 6
    assert_true(exchange, client, sealed_rows(frames), "KRW-BTC", "1m")


# --- ends -------------------------------------------------------------------------------------------------


def test_what_cannot_pass_is_raised_after_what_came_before(tmp_path: Path) -> None:
    gone = micros("2026-03-01T03:33:30Z")
    listed = [replace(one, delisted=gone) if one.market == "KRW-BTC" else one for one in DEFAULT_LISTINGS]
    with Exchange(seed=7, now=NOW, markets=listed, limits=False) as exchange:
        client = uf.Client(exchange.config(cache_dir=tmp_path / "store"))
        with client.follow(["KRW-BTC", "KRW-ETH"], "1m", history=3) as f:
            exchange.clock.run(200.0)
            frames = []

            def read_on() -> None:
                frames.extend(iter(f))

            with pytest.raises(errors.MarketNotFound, match="KRW-BTC"):
                read_on()
            with pytest.raises(errors.MarketNotFound):  # and again for every further call
                next(f)
            assert isinstance(f.error, errors.MarketNotFound)
            assert "ended" in repr(f)
            pd.testing.assert_frame_equal(pd.concat(frames).sort_index(), f.to_frame().sort_index())
            rows = f.to_frame().xs("KRW-BTC", level="market")
            assert rows.index[-1] >= pd.Timestamp("2026-03-01T03:30:00Z")


def test_closing_from_another_thread_ends_a_waiting_reader(client: uf.Client) -> None:
    f = client.follow("KRW-BTC", history=2)
    assert len(next(f)) == 2
    timer = threading.Timer(0.3, f.close)
    timer.start()
    assert list(f) == []
    timer.join()
    assert f.closed
    assert f.stats["state"] == "closed"
    assert len(f.to_frame()) == 2
    f.close()


def test_an_abandoned_follow_ends(exchange: Exchange, client: uf.Client) -> None:
    f = client.follow("KRW-BTC", history=2)
    core = f._session
    assert exchange.streams.open == 1
    del f
    gc.collect()
    deadline = time.monotonic() + PATIENCE
    while not core.closed or core._tasks:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    while exchange.streams.open:  # the connection lingers for a moment
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_async(exchange: Exchange, client: uf.Client, tmp_path: Path) -> None:
    other = uf.AsyncClient(client.config)

    async def work() -> list[pd.DataFrame]:
        frames = []
        async with other.follow("KRW-BTC", "1m", history=4) as f:
            exchange.clock.run(600.0)
            async for frame in f:
                frames.append(frame)
                if pd.Timestamp(f.stats["sealed_until"]) >= pd.Timestamp("2026-03-01T03:38:00Z"):
                    break
            # Given up again and again while it waits, nothing is lost.
            while pd.Timestamp(f.stats["sealed_until"]) < pd.Timestamp("2026-03-01T03:50:00Z"):
                try:
                    async with asyncio.timeout(0.01):
                        frames.append(await anext(f))
                except TimeoutError:
                    continue
            frames.append(await anext(f))
        return frames

    frames = asyncio.run(work())
    assert_true(exchange, client, sealed_rows(frames), "KRW-BTC", "1m")


PROGRAM = """
import sys, threading
import upbit_frames as uf
client = uf.Client(cache_dir=sys.argv[1], progress=False)
f = client.follow("KRW-BTC", "1m", history=3)
print("open", flush=True)
if sys.argv[2] == "read":
    try:
        for batch in f:
            print(len(batch), flush=True)
    except KeyboardInterrupt:
        print("interrupted", f.stats["state"], len(f.to_frame()), flush=True)
    f.close()
"""


@pytest.mark.parametrize("way", ["read", "leave"])
def test_interrupted_or_left_open_a_program_ends(exchange: Exchange, tmp_path: Path, way: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path / "store"), way],
        env={**os.environ, **exchange.env()}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "open\n"
        if way == "read":
            assert program.stdout.readline() == "3\n"
            program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=PATIENCE)
    finally:
        program.kill()
        program.wait()
    assert program.returncode == 0, err
    assert out == ("interrupted open 3\n" if way == "read" else "")
    assert "Traceback" not in err
    assert "never awaited" not in err


# --- arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ({"interval": "1d"}, errors.InvalidInterval, "4h"),
        ({"interval": "7m"}, errors.InvalidInterval, "6m"),
        ({"history": -1}, errors.InvalidRange, "integer from 0"),
        ({"history": 1.5}, errors.InvalidRange, "integer from 0"),
        ({"history": True}, errors.InvalidRange, "integer from 0"),
        ({"history": 500, "keep": 10}, errors.QueryError, "at least 500"),
        ({"keep": 0, "history": 0}, errors.QueryError, "at least 1"),
        ({"forming": "yes"}, errors.QueryError, "True"),
        ({"market": "BTC/KRW"}, errors.InvalidMarket, "KRW-BTC"),
        ({"market": []}, errors.InvalidMarket, "at least one"),
        ({"output": "csv"}, errors.QueryError, "pandas"),
    ],
)
def test_bad_arguments_ask_nothing(
    exchange: Exchange, client: uf.Client, arguments: dict[str, Any], error: type[Exception], hint: str
) -> None:
    with pytest.raises(error, match=hint):
        client.follow(**{"market": "KRW-BTC", **arguments})
    assert not exchange.requests
    assert not exchange.streams.connections


@pytest.mark.parametrize("market", ["KRW-NOPE", ["KRW-BTC", "KRW-GONE"]])
def test_an_unknown_market_is_an_error(exchange: Exchange, client: uf.Client, market: Any) -> None:
    with pytest.raises(errors.MarketNotFound, match=r"KRW-(NOPE|GONE)"):
        client.follow(market, history=0)
    assert exchange.streams.open == 0


def test_stats_repr_and_misuse(exchange: Exchange, client: uf.Client) -> None:
    with client.follow("KRW-BTC", "60m", history=2, tz="Asia/Seoul", output="arrow") as f:
        table = next(f)
        assert isinstance(table, pa.Table)
        assert table.schema.names == arrow_schema("candles").names
        assert str(table.schema.field("time").type) == "timestamp[us, tz=Asia/Seoul]"
        json.dumps(f.stats)
        assert len(f.gaps) == 0
        assert repr(f).startswith("<Follow 1h of KRW-BTC: open, sealed until 2026-03-01T12:00:00+09:00, ")
    assert "closed" in repr(f)
    with pytest.raises(errors.UsageError, match="opened before"):
        asyncio.run(f.open())
    unopened = uf.AsyncClient(client.config).follow("KRW-BTC")
    assert "not open" in repr(unopened)
    with pytest.raises(errors.UsageError, match="async with"):
        next(iter(unopened))
