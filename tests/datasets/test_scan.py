"""Every engine gives what ``uf.candles`` gives, whatever writers do to the files meanwhile."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store import snapshot as snapshots
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
START = to_micros(datetime(2024, 1, 1, tzinfo=UTC))
ENGINES = ("polars", "duckdb", "dask", "arrow")
MARKETS = ("KRW-BTC", "KRW-ETH", "BTC-ETH")
BITCOIN = Series("candles", "KRW-BTC", "1m")


def page(first: int, count: int) -> tuple[pa.Table, Span]:
    times = np.arange(first, first + count, dtype=np.int64) * MINUTE + START
    price = 100.0 + np.arange(first, first + count) % 7
    columns = [pa.array(times).cast(pa.timestamp("us", tz="UTC"))]
    columns += [pa.array(values) for values in (price, price + 1, price - 1, price, price * 0.01, price * 2)]
    table = pa.Table.from_arrays(columns, schema=arrow_schema("candles"))
    return table, Span(START + first * MINUTE, START + (first + count) * MINUTE)


def at(minute: int) -> datetime:
    return datetime.fromtimestamp((START + minute * MINUTE) / 1e6, UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "it's a store"
    store = ParquetStore(root)
    for market in MARKETS:
        for number in range(4):
            store.write(Series("candles", market, "1m"), *page(number * 100, 100))
    with uf.using(cache_dir=root):
        yield root


def in_order(table: pa.Table) -> pa.Table:
    place = table.column_names.index("market")
    plain = table.set_column(place, "market", table["market"].cast(pa.string()).combine_chunks())
    return plain.sort_by([("market", "ascending"), ("time", "ascending")])


def table_of(result: Any, engine: str) -> pa.Table:
    """The rows as Arrow, sorted, whatever engine holds them."""
    if engine == "polars":
        return in_order(result.collect().to_arrow())
    if engine == "duckdb":
        return in_order(result.to_arrow_table())
    if engine == "dask":
        frame = result.compute(scheduler="synchronous").reset_index()
        return in_order(pa.Table.from_pandas(frame, preserve_index=False))
    return in_order(result.to_table())


def expected(first: int, last: int, markets: tuple[str, ...] = MARKETS) -> pa.Table:
    return in_order(uf.candles(list(markets), "1m", start=at(first), end=at(last), source="cache", output="arrow"))


def assert_same(result: pa.Table, wanted: pa.Table) -> None:
    assert result.num_rows == wanted.num_rows
    for name in result.column_names:
        assert result[name].to_pylist() == wanted[name].to_pylist(), name


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_gives_the_rows_of_candles(folder: Path, engine: str) -> None:
    result = table_of(uf.scan(start=at(50), end=at(250), engine=engine), engine)
    assert_same(result, expected(50, 250))
    assert set(result.column_names) == {"market", "time", "open", "high", "low", "close", "volume", "value"}
    assert result.schema.field("time").type == pa.timestamp("us", tz="UTC")
    closes = table_of(uf.scan("krw-eth", engine=engine, columns=["close"]), engine)
    assert set(closes.column_names) == {"market", "time", "close"}
    assert_same(closes, expected(0, 400, ("KRW-ETH",)))


@pytest.mark.parametrize("engine", ENGINES)
def test_files_stay_readable_while_they_are_merged(folder: Path, engine: str) -> None:
    wanted = expected(0, 400)
    result = uf.scan(engine=engine, end=at(400))
    for market in MARKETS:
        ParquetStore(folder).write(Series("candles", market, "1m"), *page(400, 50))
        ParquetStore(folder).compact(Series("candles", market, "1m"))
    assert_same(table_of(result, engine), wanted)
    assert len(table_of(uf.scan(engine=engine), engine)) == 450 * len(MARKETS)


@pytest.mark.parametrize("engine", ["polars", "duckdb", "arrow"])
def test_links_live_as_long_as_what_was_derived(folder: Path, engine: str) -> None:
    def links() -> list[Path]:
        gc.collect()
        return list((folder / snapshots.FOLDER).rglob("*.parquet"))

    derive = {
        "polars": lambda frame: frame.select("market", "time"),
        "duckdb": lambda relation: relation.project("market, time"),
        "arrow": lambda dataset: dataset.scanner(columns=["market", "time"]),
    }
    derived = derive[engine](uf.scan(engine=engine))
    assert links()
    uf.cache.clear(everything=True)
    assert len(table_of(derived, engine)) == 400 * len(MARKETS)
    del derived
    assert not links()


def test_answers_are_whole_while_another_thread_writes_and_merges(folder: Path) -> None:
    done = threading.Event()
    failures: list[BaseException] = []
    wanted = expected(0, 400, ("KRW-BTC",))

    def write() -> None:
        store = ParquetStore(folder)
        try:
            for number in range(400, 500):
                store.write(BITCOIN, *page(number, 1))
                if number % 5 == 0:
                    store.compact(BITCOIN)
        except BaseException as error:  # noqa: BLE001  raised by the test itself below
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    try:
        while not done.is_set() or reads < 8:
            engine = ENGINES[reads % len(ENGINES)]
            assert_same(table_of(uf.scan("KRW-BTC", start=at(0), end=at(400), engine=engine), engine), wanted)
            whole = table_of(uf.scan("KRW-BTC", engine=engine, columns=["close"]), engine)
            assert 400 <= len(whole) == len(set(whole["time"].to_pylist()))
            reads += 1
    finally:
        writer.join()
    assert not failures


def test_a_file_merged_away_between_listing_and_linking_is_listed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, merges = snapshots._link, [True]

    def link(path: str, target: Path) -> None:
        if merges.pop() if merges else False:
            ParquetStore(folder).compact(BITCOIN)
            ParquetStore(folder).write(BITCOIN, *page(400, 50))
            ParquetStore(folder).compact(BITCOIN)
            assert not Path(path).exists()  # the race was lost
        real(path, target)

    monkeypatch.setattr(snapshots, "_link", link)
    assert len(table_of(uf.scan("KRW-BTC"), "polars")) == 450


def test_where_links_are_impossible_files_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(snapshots.os, "link", refuse)
    result = uf.scan()
    uf.cache.clear(everything=True)
    assert len(table_of(result, "polars")) == 400 * len(MARKETS)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_missing_raises_warns_or_is_ignored(folder: Path, engine: str) -> None:
    def ask(missing: str) -> Any:
        return uf.scan("KRW-BTC", start=at(300), end=at(500), engine=engine, missing=missing)

    with pytest.raises(errors.NotCached, match="KRW-BTC 2024-01-01T06:40:00Z") as failed:
        ask("raise")
    assert len(failed.value.missing) == 1
    with pytest.warns(errors.UpbitFramesWarning, match="lacks"):
        assert len(table_of(ask("warn"), engine)) == 100
    assert len(table_of(ask("ignore"), engine)) == 100
    assert len(table_of(uf.scan("KRW-XRP", engine=engine, missing="ignore"), engine)) == 0
    assert len(table_of(uf.scan(quote="BTC", engine=engine), engine)) == 400


def test_predicates_and_columns_are_pushed_down(folder: Path) -> None:
    import polars as pl

    plan = uf.scan().filter(pl.col("market") == "KRW-BTC", pl.col("close") > 100).select("close").explain()
    assert "Parquet SCAN" in plan
    assert 'col("close") > 100' in plan.partition("SELECTION")[2]
    assert "PROJECT 2/8 COLUMNS" in plan
    relation = uf.scan(engine="duckdb").filter("market = 'KRW-BTC'").project("close")
    text = str(relation.explain())
    assert "File Filters: market = 'KRW-BTC'" in text
    assert "volume" not in text
    assert uf.scan("KRW-BTC", engine="dask").known_divisions


def test_bad_arguments_are_refused(folder: Path) -> None:
    for bad in (
        {"engine": "spark"}, {"missing": "no"}, {"kind": "books"}, {"columns": ["clos"]}, {"store": "ftp://x/y"},
        {"store": str(folder / "nowhere")}, {"missing": "fetch"}, {"start": at(2), "end": at(1)}, {"interval": "7x"},
    ):  # fmt: skip
        with pytest.raises(errors.QueryError):
            uf.scan(**bad)
    with uf.using(cache_dir=folder / "empty"):
        assert len(table_of(uf.scan(store=folder), "polars")) == 400 * len(MARKETS)
        assert len(table_of(uf.scan(), "polars")) == 0


def test_what_a_killed_process_left_is_removed(folder: Path) -> None:
    left = folder / snapshots.FOLDER / "1-dead"
    left.mkdir(parents=True)
    left.with_suffix(".lock").touch()
    uf.scan()
    assert not left.exists()


def test_sql_reads_the_views_it_names(folder: Path) -> None:
    frame = uf.sql("select market, count(*) as n, sum(value) as value from candles_1m group by market order by market")
    assert frame["market"].tolist() == sorted(MARKETS)
    assert frame["n"].tolist() == [400] * 3
    total = uf.candles("KRW-BTC", "1m", start=at(0), end=at(400), source="cache")["value"].sum()
    assert frame["value"].tolist() == pytest.approx([total] * 3)
    table = uf.sql("select min(time) as t from candles_1m", tz="Asia/Seoul", output="arrow")
    assert table.schema.field("t").type == pa.timestamp("us", tz="Asia/Seoul")
    assert uf.sql("select 1 as x", output="polars")["x"].to_list() == [1]
    assert uf.sql("select count(*) as n from trades")["n"].tolist() == [0]
    for bad in ("select * from nothing", "selec 1", "", "create table t(x int)"):
        with pytest.raises(errors.QueryError):
            uf.sql(bad)


def test_scan_and_sql_are_coroutines_too(folder: Path) -> None:
    async def rows() -> int:
        async with uf.AsyncClient(cache_dir=folder) as client:
            return len((await client.scan(end=at(100))).collect()) + len(await uf.aio.sql("select 1"))

    assert asyncio.run(rows()) == 301


def test_trades_are_scanned_too(folder: Path) -> None:
    times = pa.array([START, START, START + 5], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    numbers = [pa.array([1.0, 2.0, 3.0])] * 3
    columns = [times, *numbers, pa.array(["ask", "bid", "ask"]), pa.array([1, 2, 3]), pa.nulls(3, pa.int64())]
    table = pa.Table.from_arrays(columns, schema=arrow_schema("trades"))
    ParquetStore(folder).write(Series("trades", "KRW-BTC"), table, Span(START, START + MINUTE))
    for engine in ENGINES:
        result = table_of(uf.scan(kind="trades", columns=["side", "sequential_id"], engine=engine), engine)
        assert result["side"].to_pylist() == ["ask", "bid", "ask"]
        assert result["sequential_id"].to_pylist() == [1, 2, 3]
    assert uf.sql("select count(*) as n from trades")["n"].tolist() == [3]


def test_order_books_are_scanned_too(folder: Path) -> None:
    times = pa.array([START, START + 100_000], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    prices, sizes = pa.array([[3.0, 4.0], [3.0]]), pa.array([[1.0, 2.0], [1.0]])
    totals = [pa.array([3.0, 1.0])] * 2
    table = pa.Table.from_arrays([times, times, prices, sizes, prices, sizes, *totals], schema=arrow_schema("books"))
    ParquetStore(folder).write(Series("orderbook", "KRW-BTC"), table, Span(START, START + MINUTE))
    for engine in ENGINES:
        result = table_of(uf.scan(kind="orderbook", columns=["bid_price"], engine=engine), engine)
        assert [list(one) for one in result["bid_price"].to_pylist()] == [[3.0, 4.0], [3.0]]
    assert uf.sql("select ask_price[1] + ask_size[1] as x from orderbook order by time")["x"].tolist() == [4.0, 4.0]


def test_what_is_missing_is_fetched(upbit_exchange: Any) -> None:
    end = uf.candles("KRW-BTC", "1h", count=1).index[0]
    start = end - timedelta(hours=3)
    with pytest.raises(errors.NotCached):
        uf.scan("KRW-BTC", start=start, end=end)
    frame = uf.scan("KRW-BTC", start=start, end=end, missing="fetch").collect()
    assert_same(
        in_order(frame.to_arrow()),
        in_order(uf.candles(["KRW-BTC"], start=start, end=end, source="cache", output="arrow")),
    )
    assert len(frame)
