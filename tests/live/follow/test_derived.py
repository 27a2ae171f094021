"""Derived candles that continue, over real sockets to the stand-in exchange."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.bar_grid import parse_grid
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.core.resample import resample
from upbit_frames.live.follow.follow import Follow
from upbit_frames.testing import Exchange

NOW = "2026-03-01T03:30:20Z"
PATIENCE = 60.0  # seconds for what comes soon on an idle machine
COLUMNS = ["open", "high", "low", "close", "volume", "value"]

pytestmark = pytest.mark.usefixtures("unpaced")


def micros(moment: Any) -> int:
    return int(pd.Timestamp(moment).value) // 1000


def truth(
    exchange: Exchange, market: str, interval: str, base: Any, start: Any, end: Any, now: int | None = None
) -> Any:
    """The bars that begin in a range, from the exchange's own minutes up to a moment."""
    grid = parse_grid(interval, base)
    low, high = grid.ceil(micros(start)), grid.ceil(micros(end))
    minutes = exchange.market.candles(market, "1m", low, high, now).table()
    bars = resample(minutes, INTERVALS["1m"], grid, edges="keep")
    times = pd.DatetimeIndex(bars["time"].to_numpy()).tz_localize("UTC")
    return pd.DataFrame({name: bars[name].to_numpy() for name in COLUMNS}, index=times)


def read(f: Follow, until: str, **counts: int) -> list[Any]:
    frames = [next(f)] if f.query.history else []
    while True:
        stats = f.stats
        enough = pd.Timestamp(stats["sealed_until"]) >= pd.Timestamp(until)
        enough = enough and all(stats[name] >= least for name, least in counts.items())
        frames.append(next(f))
        if enough:
            return frames


def same(frame: pd.DataFrame, known: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        frame[COLUMNS], known, check_exact=True, check_freq=False, check_names=False, check_index_type=False
    )


def test_each_sealed_bar_comes_once_and_is_what_candles_gives(
    exchange: Exchange, client: uf.Client, tmp_path: Path
) -> None:
    with client.follow("KRW-BTC", "2m", history=7) as f:
        assert f.query.interval.name == "1m"
        exchange.clock.run(400.0)
        frames = read(f, "2026-03-01T03:50:00Z")
    rows = pd.concat(frames)
    assert rows.index.is_unique
    end = rows.index[-1] + pd.Timedelta(minutes=2)
    same(rows, truth(exchange, "KRW-BTC", "2m", None, rows.index[0], end))
    pd.testing.assert_frame_equal(rows, client.candles("KRW-BTC", "2m", start=rows.index[0], end=end), check_exact=True)
    meta = frames[-1].attrs["upbit_frames"]
    assert meta["interval"] == "2m"
    assert {step["channel"] for step in meta["route"]} == {"derived"}
    assert {folder.name for folder in (tmp_path / "store").rglob("interval=*")} == {"interval=1m"}


def test_breaks_of_the_connection_and_faults_of_rest_cost_no_bar(exchange: Exchange, client: uf.Client) -> None:
    exchange.streams.faults.lifetime = (20.0, 60.0)
    with client.follow(["KRW-BTC", "KRW-ETH"], "6m", history=2, base="00:03", forming=True) as f:
        exchange.faults.add("503", match="/v1/candles", times=None, probability=0.1, seed=3)
        exchange.clock.run(400.0)
        frames = read(f, "2026-03-01T05:00:00Z", breaks=2)
        exchange.faults.clear()
    rows = pd.concat(frames)
    sealed = rows[rows["sealed"]]
    assert sealed.index.is_unique
    for market in ("KRW-BTC", "KRW-ETH"):
        mine = sealed.loc[market]
        assert (mine.index.minute % 6 == 3).all()
        same(mine, truth(exchange, market, "6m", "00:03", mine.index[0], mine.index[-1] + pd.Timedelta(minutes=6)))


def test_the_bar_that_forms_has_everything_since_its_beginning(exchange: Exchange, client: uf.Client) -> None:
    # The hour began two hours and a half before: all but the running minute has to be fetched.
    with client.follow("KRW-BTC", "3h", history=2, base="01:00") as f:
        assert f.query.interval.name == "1h"
        exchange.clock.set("2026-03-01T03:31:30Z")
        now = exchange.clock.now()
        known = truth(exchange, "KRW-BTC", "3h", "01:00", "2026-03-01T01:00Z", "2026-03-01T04:00Z", now)
        deadline = time.monotonic() + PATIENCE
        frame = f.to_frame(forming=True)
        while time.monotonic() < deadline and not frame[COLUMNS].tail(1).equals(known):
            time.sleep(0.02)  # earlier states come one after the other
            frame = f.to_frame(forming=True)
        same(frame.tail(1), known)
        assert frame["sealed"].to_list() == [True, True, False]
        last = frame.attrs["upbit_frames"]["route"][-1]
        assert (last["channel"], last["reason"].split(";")[0]) == ("derived", "aggregated from 1h candles")
        assert f.stats["forming"] == 1


def test_days_of_a_zone_are_followed(tmp_path: Path) -> None:
    with Exchange(seed=7, now="2026-03-01T14:57:20Z", limits=False) as exchange:
        client = uf.Client(exchange.config(cache_dir=tmp_path / "store", progress=False))
        with client.follow("KRW-BTC", "1d", history=3, base="Asia/Seoul", tz="Asia/Seoul") as f:
            first = next(f)
            assert "1d (base Asia/Seoul)" in repr(f)
            assert list(first.index.hour) == [0, 0, 0]
            exchange.clock.run(60.0)
            fresh = next(f)
        assert list(fresh.index) == [pd.Timestamp("2026-03-01", tz="Asia/Seoul")]
        assert fresh.attrs["upbit_frames"]["base"] == "Asia/Seoul"
        rows = pd.concat([first, fresh])
        same(rows.tz_convert("UTC"), truth(exchange, "KRW-BTC", "1d", "Asia/Seoul", rows.index[0], "2026-03-01T15:00Z"))


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ({"interval": "1d"}, errors.InvalidInterval, "base='Asia/Seoul'"),
        ({"interval": "7m"}, errors.InvalidInterval, "did you mean '6m' or '8m'"),
        ({"interval": "1d", "base": "Mars"}, errors.QueryError, "base must say when a day begins"),
    ],
)
def test_bad_arguments_ask_nothing(
    exchange: Exchange, client: uf.Client, arguments: dict[str, Any], error: type[Exception], hint: str
) -> None:
    with pytest.raises(error, match=hint):
        client.follow("KRW-BTC", **arguments)
    assert not exchange.requests
