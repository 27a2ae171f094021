"""The store on the disk: what lies where, what it tells, and how it gives space back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from support.conformance.stores import StoreConformance

from upbit_frames.core.intervals import Span
from upbit_frames.errors import StoreError
from upbit_frames.runtime.clock import ManualClock
from upbit_frames.store import encoding
from upbit_frames.store.base import Series, Store
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.parquet import ParquetStore

DAY = 86_400 * 1_000_000


class TestParquetStore(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ParquetStore:
        return ParquetStore(tmp_path / "store")


class Reopened:
    """A store opened again for every call, with nothing remembered of its files, as by another process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getattr__(self, name: str) -> Any:
        encoding._forget_all()
        return getattr(ParquetStore(self.path), name)


class TestReopenedParquetStore(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Any:
        return Reopened(tmp_path / "store")


def test_nothing_before_the_listing_is_one_small_file(store: ParquetStore, kit: Any) -> None:
    table, span = kit.page(0, 200)
    store.write(kit.series, table.slice(0, 0), Span(0, span.start))
    store.write(kit.series, table, span)
    assert kit.names(store, kit.series) == [
        "1970-01-01T000000Z_2024-01-01T000000Z.parquet",
        "2024-01-01T000000Z_2024-01-01T032000Z.parquet",
    ]
    assert store.covered(kit.series) == [Span(0, span.end)]
    assert store.tail(kit.series, span.end, 1_000).equals(table)
    assert len(store.head(kit.series, 5, 3)) == 3


def test_a_long_write_becomes_one_file_a_segment(store: ParquetStore, kit: Any) -> None:
    # December 2023 to March 2024, with nothing traded in January.
    march = kit.moment("2024-03-10")
    times = [kit.moment("2023-12-05"), *range(kit.moment("2024-02-03"), kit.moment("2024-02-04"), kit.minute), march]
    span = Span(kit.moment("2023-12-01"), march + kit.minute)
    store.write(kit.series, kit.candles(times), span)
    assert kit.names(store, kit.series) == [
        "2023-12-01T000000Z_2024-01-01T000000Z.parquet",
        "2024-01-01T000000Z_2024-02-01T000000Z.parquet",
        "2024-02-01T000000Z_2024-03-01T000000Z.parquet",
        "2024-03-01T000000Z_2024-03-10T000100Z.parquet",
    ]
    assert kit.times(store.read(kit.series, span)) == times


def test_rows_of_one_moment_are_never_torn_by_row_groups(store: ParquetStore, kit: Any) -> None:
    series = Series("trades", "KRW-BTC")
    start = kit.moment("2024-01-01")
    # 16,384 rows a group: the boundary falls among trades of one moment.
    times = [start + (number // 5_000) * 1_000 for number in range(20_000)]
    table = kit.trades(times, list(range(20_000)))
    store.write(series, table, Span(start, start + DAY))
    for step in range(4):
        moment = start + step * 1_000
        assert store.read(series, Span(moment, moment + 1)).equals(table.slice(step * 5_000, 5_000))
        assert store.count(series, Span(moment, moment + 1)) == 5_000
        assert store.count(series, Span(start, moment)) == step * 5_000
    for count in (1, 200, 3_616, 3_617, 16_384, 16_385, 19_999, 30_000):
        assert store.tail(series, start + DAY, count).equals(table.slice(max(0, 20_000 - count)))
        assert store.tail(series, start + 2_500, count).equals(table.slice(max(0, 15_000 - count), min(count, 15_000)))
        assert store.head(series, start, count).equals(table.slice(0, count))
        assert store.head(series, start + 500, count).equals(table.slice(5_000, count))


def test_other_tools_read_the_folder_as_hive_partitions(store: ParquetStore, kit: Any) -> None:
    for market in ("KRW-BTC", "KRW-ETH"):
        for interval, minutes in (("1m", 1), ("5m", 5)):
            times = [kit.start + at * minutes * kit.minute for at in range(50)]
            store.write(
                Series("candles", market, interval), kit.candles(times), Span(kit.start, kit.start + 250 * kit.minute)
            )
    store.note(kit.series, "digest", "abc")
    path = store._folder(kit.series).path
    (path / kit.names(store, kit.series)[0]).write_bytes(b"rot")
    with pytest.warns(match="damaged"):
        store.verify()
    (path / ".tmp-1-2").write_bytes(b"half a fi")
    rows = ds.dataset(store.path / "candles" / "v1", partitioning="hive").to_table()
    assert len(rows) == 150
    assert set(rows.column("market").to_pylist()) == {"KRW-BTC", "KRW-ETH"}
    assert rows.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert {one.suffix for one in store.path.rglob("*.parquet")} == {".parquet"}
    assert len(list(store.path.rglob("*.parquet"))) == 3
    assert len(pq.read_table(store.path / "candles" / "v1" / "market=KRW-ETH" / "interval=5m")) == 50


def test_a_file_says_where_it_is_from(store: ParquetStore, kit: Any) -> None:
    store.write(kit.series, *kit.page(0, 10), origin="archive")
    store.write(kit.series, *kit.page(10, 10), origin="rest")
    folder = store._folder(kit.series)
    told = [folder.footer(one).meta for one in folder.files()]
    assert [one["origin"] for one in told] == ["archive", "rest"]
    assert {one["schema"] for one in told} == {1}
    assert all(one["written_at"].endswith("+00:00") for one in told)
    store.compact(kit.series)
    assert [folder.footer(one).meta["origin"] for one in folder.files()] == ["archive+rest"]


def test_verify_sees_what_only_other_hands_could_have_done(store: ParquetStore, kit: Any) -> None:
    store.write(kit.series, *kit.page(0, 100))
    path = store._folder(kit.series).path
    (path / "copy of rows.parquet").write_bytes((path / kit.names(store, kit.series)[0]).read_bytes())
    assert [one.problem for one in store.verify()] == ["foreign"]
    assert store.covered(kit.series) == [Span(kit.start, kit.start + 100 * kit.minute)]
    (path / "copy of rows.parquet").unlink()
    wrong = kit.candles([kit.start + 200 * kit.minute])
    wrong = wrong.set_column(2, wrong.schema.field("high"), pa.array([0.5]))
    store.write(kit.series, wrong, Span(kit.start + 200 * kit.minute, kit.start + 201 * kit.minute))
    findings = store.verify(kit.series)
    assert [(one.problem, one.span) for one in findings] == [
        ("prices", Span(kit.start + 200 * kit.minute, kit.start + 201 * kit.minute))
    ]
    assert "high below low" in str(findings[0])


@pytest.fixture(params=["parquet", "memory"])
def aging(request: pytest.FixtureRequest, tmp_path: Path, kit: Any) -> tuple[Store, ManualClock]:
    """A store in March 2026 with minutes, seconds and trades of long ago and of today."""
    clock = ManualClock(kit.moment("2026-03-15"))
    store: Store = ParquetStore(tmp_path / "s", clock=clock) if request.param == "parquet" else MemoryStore(clock=clock)
    for day in ("2024-01-05", "2024-02-05", "2026-03-14"):
        start = kit.moment(day)
        for series in (kit.series, Series("candles", "KRW-BTC", "1s")):
            store.write(series, kit.candles([start]), Span(start, start + DAY))
        store.write(Series("trades", "KRW-BTC"), kit.trades([start], [1]), Span(start, start + DAY))
    return store, clock


def test_what_can_never_be_fetched_again_is_not_pruned(aging: tuple[Store, ManualClock], kit: Any) -> None:
    store, _ = aging
    seconds, trades = Series("candles", "KRW-BTC", "1s"), Series("trades", "KRW-BTC")
    assert store.prune(max_bytes=0) > 0
    assert store.covered(kit.series) == []
    for series in (seconds, trades):
        assert [span.start for span in store.covered(series)] == [kit.moment("2024-01-05"), kit.moment("2024-02-05")]
    assert store.prune(max_bytes=0) == 0
    store.prune(max_bytes=0, force=True)
    assert store.series() == []


def test_pruning_by_age_and_what_is_kept(aging: tuple[Store, ManualClock], kit: Any) -> None:
    store, _ = aging
    assert store.prune(before=kit.moment("2024-02-01"), keep=[kit.series]) == 0
    assert store.prune(before=kit.moment("2024-02-01")) > 0
    assert [span.start for span in store.covered(kit.series)] == [kit.moment("2024-02-05"), kit.moment("2026-03-14")]
    for wrong in ({}, {"max_bytes": -1}, {"unused_days": -2}):
        with pytest.raises(StoreError):
            store.prune(**wrong)


def test_the_oldest_goes_first_and_no_more_than_needed(store: ParquetStore, kit: Any) -> None:
    for month in ("2024-01-01", "2024-02-01", "2024-03-01"):
        store.write(kit.series, *kit.page(0, 1_000, base=kit.moment(month)))
    size = store.info(kit.series).bytes
    store.write(kit.series, kit.candles([]), Span(0, kit.moment("2023-01-01")))
    freed = store.prune(max_bytes=size - 1)
    assert 0 < freed < size / 2
    assert store.covered(kit.series)[0] == Span(0, kit.moment("2023-01-01"))  # costs nothing, and is worth a request
    assert [span.start for span in store.covered(kit.series)[1:]] == [
        kit.moment("2024-02-01"),
        kit.moment("2024-03-01"),
    ]


def test_what_was_not_used_for_long_goes_first(store: ParquetStore, kit: Any) -> None:
    other = Series("candles", "KRW-ETH", "1m")
    for series in (kit.series, other):
        store.write(series, *kit.page(0, 500))
    old = 1_000_000_000
    for name in (*kit.names(store, kit.series), "_used"):
        os.utime(store._folder(kit.series).path / name, (old, old))
    assert store.prune(unused_days=30) > 0
    assert store.series() == [other]


def test_importing_the_package_loads_no_arrow() -> None:
    # filelock is loaded on purpose: its handlers of forks must be registered before those of runtime.preload.
    heavy = ("pyarrow", "pandas", "vcr", "matplotlib", "websockets")
    code = f"import sys, upbit_frames; print(*(name for name in {heavy} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.split() == []


def test_reading_knows_nothing_from_before_a_file_was_replaced(
    store: ParquetStore, open_store: Callable[[], ParquetStore], kit: Any
) -> None:
    table, span = kit.page(0, 50)
    store.write(kit.series, table, span)
    for value in range(1, 30):
        # Same name, same size, and the file system is free to give the same inode again.
        other = kit.page(0, 50, value=100.0 + value)[0]
        ParquetStore(store.path).write(kit.series, other, span, replace=True)
        assert store.read(kit.series, span).equals(other)
    store.clear()
    store.write(kit.series, table, span)
    assert store.read(kit.series, span).equals(table)
    assert open_store().read(kit.series, span).equals(table)
