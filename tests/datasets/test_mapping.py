"""``uf.map``: the function over every market, wherever it runs, and what fails as a row."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.api.calls.mapping import fetch_ahead
from upbit_frames.datasets.mapping import Outcome, combine
from upbit_frames.testing import Exchange

RANGE = {"start": "2026-01-01T00:00Z", "end": "2026-02-01T00:00Z"}
MARKETS = ["KRW-BTC", "KRW-ETH", "KRW-XRP"]


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T12:34:56Z", limits=False) as running:
        yield running


@pytest.fixture
def client(exchange: Exchange, tmp_path: Path) -> Iterator[uf.Client]:
    with uf.Client(exchange.config(cache_dir=tmp_path / "store")) as opened:
        yield opened


def last_close(frame: pd.DataFrame) -> float:
    return float(frame["close"].iloc[-1])


def test_scalars_are_a_column_in_the_order_of_the_markets(client: uf.Client) -> None:
    result = client.map(last_close, MARKETS[::-1], **RANGE)
    assert list(result.index) == MARKETS[::-1]
    assert list(result.columns) == ["result", "error"]
    expected = [last_close(client.candles(market, "1d", **RANGE)) for market in MARKETS[::-1]]
    assert list(result["result"]) == expected
    assert (result["error"] == "").all()


def test_what_fails_is_a_row_and_a_warning(client: uf.Client) -> None:
    def only_bitcoin(frame: pd.DataFrame) -> int:
        if frame.attrs["upbit_frames"]["market"] != "KRW-BTC":
            raise ZeroDivisionError("not this one")
        return 1

    with pytest.warns(errors.UpbitFramesWarning, match=r"2 markets of 3 failed, the first KRW-"):
        result = client.map(only_bitcoin, MARKETS, count=3)
    assert result.loc["KRW-BTC", "result"] == 1
    assert result.loc["KRW-ETH", "error"] == "ZeroDivisionError: not this one"
    with pytest.warns(errors.UpbitFramesWarning, match="1 market of 2"):
        result = client.map(last_close, ["KRW-BTC", "KRW-NOTHERE"], count=3)
    assert "MarketNotFound" in result.loc["KRW-NOTHERE", "error"]


def test_an_open_end_is_the_same_for_every_market(exchange: Exchange, client: uf.Client) -> None:
    result = client.map(lambda frame: frame.attrs["upbit_frames"]["end"], MARKETS, "1m", count=5)
    assert result["result"].nunique() == 1


@pytest.mark.slow
def test_processes_give_what_threads_give(client: uf.Client) -> None:
    def statistics(frame: pd.DataFrame) -> dict[str, Any]:  # sent by value: a test module cannot be imported elsewhere
        return {"rows": len(frame), "high": frame["high"].max(), "process": os.getpid()}

    here = client.map(statistics, MARKETS, **RANGE)
    there = client.map(statistics, MARKETS, **RANGE, scheduler="processes", workers=2)
    pd.testing.assert_frame_equal(here.drop(columns="process"), there.drop(columns="process"))
    assert os.getpid() not in set(there["process"])
    assert set(here["process"]) == {os.getpid()}


def test_what_is_stored_is_not_read_before_workers_in_other_processes_read_it(client: uf.Client) -> None:
    read: list[str] = []

    def noted(market: str, **arguments: Any) -> Any:
        read.append(market)
        return client.candles(market, **arguments)

    client.candles("KRW-BTC", "1d", **RANGE)
    arguments = {"interval": "1d", **RANGE, "count": None, "gaps": "raw", "tz": "UTC", "source": "auto"}
    fetched = fetch_ahead(client.config, noted, MARKETS, arguments)
    assert [outcome.error for outcome in fetched.values()] == ["", "", ""]
    assert sorted(read) == ["KRW-ETH", "KRW-XRP"]
    fetch_ahead(client.config, noted, MARKETS, arguments)
    assert sorted(read) == ["KRW-ETH", "KRW-XRP"]


@pytest.mark.slow
def test_processes_take_functions_of_notebooks_and_survive_a_death(client: uf.Client) -> None:
    factor = 2
    doubled = client.map(lambda frame: len(frame) * factor, MARKETS, **RANGE, scheduler="processes", workers=1)
    assert list(doubled["result"]) == [62, 62, 62]
    with pytest.warns(errors.UpbitFramesWarning, match="3 markets of 3"):
        dead = client.map(lambda frame: os._exit(3), MARKETS, **RANGE, scheduler="processes", workers=1)
    assert dead["error"].str.contains("BrokenProcessPool").all()


@pytest.mark.slow
def test_a_dask_cluster_is_the_same_line(client: uf.Client) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as dask,
    ):
        there = client.map(last_close, MARKETS, **RANGE, scheduler=dask)
    pd.testing.assert_frame_equal(there, client.map(last_close, MARKETS, **RANGE))


def test_other_executors_and_coroutines(client: uf.Client) -> None:
    with ThreadPoolExecutor(1) as executor:
        one = client.map(last_close, MARKETS, **RANGE, scheduler=executor)

    async def awaited() -> pd.DataFrame:
        async with uf.AsyncClient(client.config) as other:
            return await other.map(last_close, MARKETS, **RANGE)

    pd.testing.assert_frame_equal(one, asyncio.run(awaited()))


def test_every_market_of_a_quote_currency(client: uf.Client) -> None:
    listed = client.markets("KRW").index
    with pytest.warns(errors.UpbitFramesWarning, match="KRW-EMPTY"):
        result = client.map(len, quote="KRW", count=2)
    assert sorted(result.index) == sorted(listed)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"func": 5}, errors.QueryError, "func must be callable"),
        ({"func": len, "scheduler": "cluster"}, errors.QueryError, "scheduler must be one of"),
        ({"func": len, "workers": 0}, errors.QueryError, "workers must be an integer"),
        ({"func": len, "interval": "5x"}, errors.InvalidInterval, "5x"),
        ({"func": len, "start": "2026-02-01", "end": "2026-01-01"}, errors.InvalidRange, "not before"),
        ({"func": len, "colums": ["close"]}, errors.InvalidArgument, "columns"),
    ],
)
def test_bad_arguments_fetch_nothing(
    exchange: Exchange, client: uf.Client, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    exchange.requests.clear()
    with pytest.raises(error, match=text):
        client.map(markets="KRW-BTC", **arguments)
    assert exchange.requests == []


# --- results as one frame -----------------------------------------------------------------------


@dataclass
class Fit:
    slope: float
    error_of_fit: float


VALUES = st.one_of(
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.dictionaries(st.sampled_from("abc"), st.integers(-5, 5), max_size=3),
    st.builds(Fit, st.floats(0, 1), st.floats(0, 1)),
    st.builds(pd.Series, st.dictionaries(st.sampled_from("xyz"), st.floats(0, 1), min_size=1, max_size=2)),
)


@given(st.lists(st.tuples(st.booleans(), VALUES), max_size=6))
def test_every_market_has_one_row_whatever_is_returned(drawn: list[tuple[bool, Any]]) -> None:
    markets = [f"KRW-{number}" for number in range(len(drawn))]
    outcomes = {
        market: Outcome(market, value) if fine else Outcome(market, error="E: no")
        for market, (fine, value) in zip(markets, drawn, strict=True)
    }
    frame = combine(markets, outcomes)
    assert list(frame.index) == markets
    assert frame.columns[-1] == "error"
    assert list(frame["error"]) == ["" if fine else "E: no" for fine, _ in drawn]


def test_frames_are_stacked_with_a_row_for_each_failure() -> None:
    times = pd.DatetimeIndex(["2026-01-01", "2026-01-02"], tz="UTC", name="time").as_unit("us")
    part = pd.DataFrame({"x": [1.0, 2.0]}, index=times)
    frame = combine(["A", "B", "C"], {"A": Outcome("A", part), "B": Outcome("B", error="E: no"), "C": Outcome("C", 5)})
    assert frame.index.names == ["market", "time"]
    assert list(frame.loc["A", "x"]) == [1.0, 2.0]
    assert frame.loc["B", "error"].tolist() == ["E: no"]
    assert "returned int" in frame.loc["C", "error"].iloc[0]
    assert list(frame.columns) == ["x", "error"]
