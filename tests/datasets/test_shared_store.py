"""A team's store: what one machine fetched, the others never ask the exchange for; readers see whole files only."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.core.urls import check_store_url
from upbit_frames.store.base import Series
from upbit_frames.store.object_store import ObjectStore
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing import Exchange

RANGE = {"start": "2025-12-20T00:00Z", "end": "2026-02-10T00:00Z"}
HOURS = Series("candles", "KRW-BTC", "1h")


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T12:34:56Z", limits=False) as running:
        yield running


def machine(exchange: Exchange, folder: Path, **settings: Any) -> uf.Config:
    return exchange.config(cache_dir=folder, **settings)


def publish(config: uf.Config, url: str, **arguments: Any) -> pd.DataFrame:
    with uf.using(**{name: getattr(config, name) for name in ("rest_url", "ws_url", "cache_dir")}):
        return uf.cache.publish(url, **arguments)


def test_what_one_machine_fetched_the_other_never_asks_for(exchange: Exchange, url: str, tmp_path: Path) -> None:
    first = machine(exchange, tmp_path / "first")
    frame = uf.Client(first).candles("KRW-BTC", "1h", **RANGE)
    summary = publish(first, url, interval="1h")
    stored = ParquetStore(first.cache_dir / first.origin).files(HOURS)
    assert list(summary["sent"]) == [len(stored)]
    assert publish(first, url, interval="1h")["sent"].sum() == 0

    second = uf.Client(machine(exchange, tmp_path / "second", shared_store=url))
    exchange.requests.clear()
    plan = second.plan("KRW-BTC", "1h", **RANGE)
    assert {step.channel for step in plan.steps} == {"shared"}
    assert plan.requests == 0 or all(step.channel == "shared" for step in plan.steps if step.requests)
    again = second.candles("KRW-BTC", "1h", **RANGE)
    pd.testing.assert_frame_equal(frame, again)
    assert {step["channel"] for step in again.attrs["upbit_frames"]["route"]} == {"shared"}
    assert [request.path for request in exchange.requests if "candles" in request.path] == []
    stored = second.candles("KRW-BTC", "1h", **RANGE)
    assert {step["channel"] for step in stored.attrs["upbit_frames"]["route"]} == {"store"}


def test_only_what_is_on_no_shelf_is_fetched(exchange: Exchange, url: str, tmp_path: Path) -> None:
    first = machine(exchange, tmp_path / "first")
    uf.Client(first).candles("KRW-BTC", "1h", start="2026-01-10T00:00Z", end="2026-01-20T00:00Z")
    publish(first, url)
    second = uf.Client(machine(exchange, tmp_path / "second", shared_store=url))
    frame = second.candles("KRW-BTC", "1h", start="2026-01-05T00:00Z", end="2026-01-25T00:00Z")
    route = frame.attrs["upbit_frames"]["route"]
    assert [step["channel"] for step in route] == ["rest", "shared", "rest"]
    truth = uf.Client(machine(exchange, tmp_path / "third")).candles(
        "KRW-BTC", "1h", start="2026-01-05T00:00Z", end="2026-01-25T00:00Z"
    )
    pd.testing.assert_frame_equal(frame, truth)


def test_the_shelf_alone(exchange: Exchange, url: str, tmp_path: Path) -> None:
    first = machine(exchange, tmp_path / "first")
    expected = uf.Client(first).candles("KRW-BTC", "1h", **RANGE)
    publish(first, url)
    second = uf.Client(machine(exchange, tmp_path / "second", shared_store=url))
    exchange.requests.clear()
    pd.testing.assert_frame_equal(second.candles("KRW-BTC", "1h", **RANGE, source="shared"), expected)
    with pytest.raises(errors.NotCached, match="shared store"):
        second.candles("KRW-ETH", "1h", **RANGE, source="shared")
    assert [request for request in exchange.requests if "candles" in request.path] == []


TRADES = {"start": "2026-02-27T21:00Z", "end": "2026-02-28T02:00Z"}  # over midnight: two files


def asked_for(exchange: Exchange, what: str) -> list[str]:
    return [request.path for request in exchange.requests if what in request.path]


def test_trades_of_the_team_are_not_asked_for_again(exchange: Exchange, url: str, tmp_path: Path) -> None:
    first = machine(exchange, tmp_path / "first")
    frame = uf.Client(first).trades("KRW-BTC", **TRADES)
    assert publish(first, url, kind="trades")["sent"].sum() == 2
    assert publish(first, url, kind="trades")["sent"].sum() == 0

    second = uf.Client(machine(exchange, tmp_path / "second", shared_store=url))
    exchange.requests.clear()
    explained = second.explain("trades", "KRW-BTC", **TRADES)
    assert (explained.channel, explained.rule) == ("shared", "shared")
    assert explained.alternatives["rest"] == "the shared store has it"
    again = second.trades("KRW-BTC", **TRADES)
    pd.testing.assert_frame_equal(frame, again)
    assert {step["channel"] for step in again.attrs["upbit_frames"]["route"]} == {"shared"}
    assert sum(step["rows"] for step in again.attrs["upbit_frames"]["route"]) == len(frame)
    bars = second.bars("KRW-BTC", ticks=50, **TRADES)
    assert len(bars) == len(frame) // 50
    newest = second.trades("KRW-BTC", end=TRADES["end"], count=100)
    pd.testing.assert_frame_equal(newest, frame.tail(100))
    assert asked_for(exchange, "trades") == []

    third = uf.Client(machine(exchange, tmp_path / "third", shared_store=url))
    summary = third.download("KRW-BTC", "trades", **TRADES).iloc[0]
    assert (summary["shared"], summary["rest"], summary["rows"]) == (len(frame), 0, len(frame))

    wider = second.trades("KRW-BTC", start="2026-02-27T20:30Z", end="2026-02-28T02:30Z")
    assert [step["channel"] for step in wider.attrs["upbit_frames"]["route"]] == ["rest", "store", "rest"]
    assert len(wider) > len(frame)


def test_only_trades_that_are_not_published_are_fetched(exchange: Exchange, url: str, tmp_path: Path) -> None:
    first = machine(exchange, tmp_path / "first")
    uf.Client(first).trades("KRW-BTC", start="2026-02-27T22:00Z", end="2026-02-27T23:00Z")
    publish(first, url)
    truth = uf.Client(machine(exchange, tmp_path / "third")).trades("KRW-BTC", **TRADES)
    second = uf.Client(machine(exchange, tmp_path / "second", shared_store=url))
    with pytest.raises(errors.NotCached, match=r"shared store lacks .* of the trades of KRW-BTC"):
        second.trades("KRW-BTC", **TRADES, source="shared")
    alone = uf.Client(machine(exchange, tmp_path / "fourth", shared_store=url))
    frame = alone.trades("KRW-BTC", **TRADES)
    assert [step["channel"] for step in frame.attrs["upbit_frames"]["route"]] == ["rest", "shared", "rest"]
    pd.testing.assert_frame_equal(frame, truth)


@pytest.mark.parametrize("call", ["candles", "trades"])
def test_without_a_shared_store_there_is_none_to_read(exchange: Exchange, tmp_path: Path, call: str) -> None:
    client = uf.Client(machine(exchange, tmp_path))
    with pytest.raises(errors.QueryError, match="shared_store"):
        getattr(client, call)("KRW-BTC", start="2026-02-28T00:00Z", end="2026-02-28T01:00Z", source="shared")


BOOKS = Series("orderbook", "KRW-BTC")
SECOND = 1_000_000


def test_order_books_that_another_machine_recorded(exchange: Exchange, url: str, tmp_path: Path) -> None:
    midnight = 1_772_150_400_000_000  # 2026-02-27
    first = machine(exchange, tmp_path / "first")
    store = ParquetStore(first.cache_dir / first.origin)
    for start in (midnight - 600 * SECOND, midnight + 600 * SECOND):  # with a break of 18 minutes in between
        times = [start, start + SECOND, start + 100 * SECOND]
        moments = pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        lists, totals = [pa.array([[2.0, 3.0]] * 3)] * 4, [pa.array([5.0] * 3)] * 2
        table = pa.Table.from_arrays([moments, moments, *lists, *totals], schema=arrow_schema("books"))
        store.write(BOOKS, table, Span(start, start + 120 * SECOND), origin="live")
    publish(first, url, kind="orderbook")

    here = uf.Client(first)
    there = uf.Client(machine(exchange, tmp_path / "second", shared_store=url))
    moment = pd.Timestamp(midnight + 650 * SECOND, unit="us", tz="UTC")
    pd.testing.assert_frame_equal(there.books("KRW-BTC", at=moment), here.books("KRW-BTC", at=moment))
    whole = here.books("KRW-BTC", missing="ignore")
    pd.testing.assert_frame_equal(there.books("KRW-BTC", missing="ignore"), whole)
    assert len(whole) == 6
    with pytest.warns(errors.UpbitFramesWarning, match="not recorded in 1 range:"):
        there.books("KRW-BTC")
    with pytest.raises(errors.NotCached, match="KRW-ETH was never recorded"):
        there.books("KRW-ETH")


def test_a_merge_replaces_smaller_objects(exchange: Exchange, url: str, tmp_path: Path) -> None:
    config = machine(exchange, tmp_path / "first")
    client = uf.Client(config)
    client.candles("KRW-BTC", "1h", start="2026-01-01T00:00Z", end="2026-01-11T00:00Z")
    publish(config, url, interval="1h")
    client.candles("KRW-BTC", "1h", start="2026-01-01T00:00Z", end="2026-02-01T00:00Z")
    ParquetStore(config.cache_dir / config.origin).compact(HOURS)
    summary = publish(config, url, interval="1h")
    assert summary["removed"].iloc[0] >= 1
    files, leftovers = ObjectStore(url, config.origin).files(HOURS)
    assert len(files) == 1
    assert leftovers == []


def test_foreign_and_damaged_objects_are_passed_over(exchange: Exchange, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/team"
    first = machine(exchange, tmp_path / "first")
    expected = uf.Client(first).candles("KRW-BTC", "1h", **RANGE)
    publish(first, url)
    folder = next((tmp_path / "team").rglob("interval=1h"))
    (folder / "README.txt").write_text("hello")
    victim = sorted(folder.glob("2026-01*.parquet"))[0]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 0xFF
    victim.write_bytes(bytes(data))
    second = uf.Client(machine(exchange, tmp_path / "second", shared_store=url))
    with pytest.warns(errors.UpbitFramesWarning, match="damaged"):
        frame = second.candles("KRW-BTC", "1h", **RANGE)
    pd.testing.assert_frame_equal(frame, expected)
    assert {step["channel"] for step in frame.attrs["upbit_frames"]["route"]} == {"shared", "rest"}


def test_a_shelf_that_cannot_be_reached_is_told_once(
    exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    dead = "s3://bucket/team?endpoint_override=127.0.0.1:9&scheme=http&region=ap-northeast-2"
    client = uf.Client(machine(exchange, tmp_path / "store", shared_store=dead))
    with pytest.warns(errors.UpbitFramesWarning, match=r"shared store failed.*passed over"):
        frame = client.candles("KRW-BTC", "1h", **RANGE)
    assert len(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.candles("KRW-ETH", "1h", **RANGE)
    with pytest.raises(errors.StoreError, match="shared store failed"):
        publish(machine(exchange, tmp_path / "store"), dead)


def test_missing_credentials_are_named_and_nothing_is_lost(
    exchange: Exchange, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    config = machine(exchange, tmp_path / "store")
    frame = uf.Client(config).candles("KRW-BTC", "1h", **RANGE)
    url = f"s3://private-bucket/team{s3}"
    with pytest.raises(errors.StoreError, match="shared store failed") as refused:
        publish(config, url)
    assert "credentials" in str(refused.value)
    assert "private-bucket" in str(refused.value)
    again = uf.Client(machine(exchange, tmp_path / "store", shared_store=url))
    pd.testing.assert_frame_equal(again.candles("KRW-BTC", "1h", **RANGE), frame)


def test_other_engines_scan_the_shared_store(exchange: Exchange, url: str, tmp_path: Path) -> None:
    pytest.importorskip("polars")
    first = machine(exchange, tmp_path / "first")
    frame = uf.Client(first).candles("KRW-BTC", "1h", **RANGE)
    publish(first, url)
    bare = uf.Client(machine(exchange, tmp_path / "bare"))
    lazy = bare.scan("KRW-BTC", "1h", **RANGE, store=url)
    assert lazy.collect()["close"].to_list() == frame["close"].to_list()
    assert bare.scan(interval="1h", **RANGE, store=url, engine="arrow").to_table().num_rows == len(frame)
    with pytest.raises(errors.NotCached):
        bare.scan("KRW-ETH", "1h", **RANGE, store=url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bucket/prefix",
        "ftp://host/x",
        "s3://",
        "s3://b/../c",
        "s3://b/x y",
        "s3://b/x?secret=1",
        "gs://b/x?region=a",
        5,
        None,
    ],
)
def test_what_is_no_url_of_a_store(text: Any) -> None:
    with pytest.raises(errors.QueryError, match=r"shared|S3 URL"):
        check_store_url(text)


def test_the_setting_and_its_hint(tmp_path: Path) -> None:
    assert uf.Config(shared_store="s3://team/upbit/").shared_store == "s3://team/upbit"
    assert "secret" not in repr(uf.Config(shared_store="s3://key:secret@team/upbit"))
    with pytest.raises(errors.ConfigError, match="shared_store"):
        uf.Config(shared_store="nowhere")
    with pytest.raises(errors.ConfigError, match="shared_store"):
        uf.Config(cache_dir="s3://team/upbit")  # type: ignore[arg-type]
    with uf.using(cache_dir=tmp_path), pytest.raises(errors.QueryError, match="no URL to publish to"):
        uf.cache.publish()


def test_the_name_of_a_missing_bucket_is_in_the_error(url: str, tmp_path: Path) -> None:
    if url.startswith("file"):
        pytest.skip("folders are made")
    nowhere = url.replace("s3://", "s3://nowhere-")
    with pytest.raises(errors.StoreError, match="nowhere-"):
        ObjectStore(nowhere).files(HOURS)
    ParquetStore(tmp_path).write(HOURS, arrow_schema("candles").empty_table(), Span(0, 3_600_000_000))
    with uf.using(cache_dir=tmp_path), pytest.raises(errors.StoreError, match="nowhere-"):
        uf.cache.publish(nowhere)
