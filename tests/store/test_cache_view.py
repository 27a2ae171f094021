"""``uf.cache`` over stores that are odd, unreadable or in disorder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.intervals import Span
from upbit_frames.store.base import Series
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.parquet import ParquetStore


@pytest.fixture
def cache_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "cache"
    with uf.using(cache_dir=folder):
        yield folder


def test_an_unreadable_cache_is_told_clearly(cache_dir: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ParquetStore(cache_dir).write(kit.series, *kit.page(0, 10))

    denied = [""]

    def refusing(real: Any) -> Any:
        def listing(folder: Any) -> Any:
            if os.fspath(folder).endswith(denied[0]):
                raise PermissionError(13, os.strerror(13), str(folder))
            return real(folder)

        return listing

    # As root no folder is unreadable, so the refusal of the system is acted out; pathlib uses one or the other.
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    for denied[0] in ("v1", "market=KRW-BTC", "interval=1m"):
        for call in (uf.cache.ls, uf.cache.verify, lambda: uf.cache.prune(before=0)):
            with pytest.raises(errors.StoreError, match="listing the store"):
                call()
        for text in (repr(uf.cache), uf.cache._repr_html_()):
            assert "unreadable" in text
            assert str(cache_dir) in text


# --- files for other engines ----------------------------------------------------------------------


def in_the_middle_of_a_merge(store: ParquetStore, kit: Any, series: Series) -> Path:
    """The merged file is there, and so are its parts; a writer was killed over a temporary one."""
    base = None if series.interval == "1m" else kit.moment("2024-01-01")
    for number in range(3):
        store.write(series, *kit.page(number * 20, 20, base=base))
    folder = store._folder(series).path
    parts = {name: (folder / name).read_bytes() for name in kit.names(store, series)}
    store.compact(series)
    for name, body in parts.items():
        (folder / name).write_bytes(body)
    (folder / ".tmp-1-dead").write_bytes(b"half")
    os.utime(folder / ".tmp-1-dead", (1, 1))
    return folder


def dataset_count(paths: Any) -> int:
    import pyarrow.dataset as ds

    return int(ds.dataset(list(paths), format="parquet").count_rows())


def test_files_are_exactly_those_to_read(cache_dir: Path, kit: Any) -> None:
    store = ParquetStore(cache_dir)
    for market in ("KRW-BTC", "KRW-ETH"):
        in_the_middle_of_a_merge(store, kit, Series("candles", market, "1m"))
    store.write(kit.series, *kit.page(0, 100, base=kit.moment("2024-03-01")))
    store.write(Series("candles", "KRW-BTC", "1M"), kit.candles([kit.start]), Span(kit.start, kit.moment("2024-02-01")))
    store.write(Series("trades", "KRW-BTC"), kit.trades([kit.start], [1]), Span(kit.start, kit.start + 1))
    frame = uf.cache.files()
    assert list(frame.columns) == ["path", "kind", "market", "interval", "start", "end", "rows", "bytes"]
    assert list(zip(frame["market"], frame["interval"], frame["rows"], strict=True)) == [
        ("KRW-BTC", "1m", 60), ("KRW-BTC", "1m", 100), ("KRW-BTC", "1M", 1), ("KRW-ETH", "1m", 60)
    ]  # fmt: skip
    assert str(frame["start"].dtype).endswith("UTC]")
    assert frame["start"][0] == pd.Timestamp("2024-01-01", tz="UTC")
    assert frame["end"][0] == pd.Timestamp("2024-01-01 01:00", tz="UTC")
    assert all(Path(path).stat().st_size == size for path, size in zip(frame["path"], frame["bytes"], strict=True))
    assert dataset_count(frame["path"]) == frame["rows"].sum() == 221
    assert "interval=1mo" in frame["path"][2]

    assert list(uf.cache.files(markets=["krw-eth"])["market"]) == ["KRW-ETH"]
    assert list(uf.cache.files(markets="KRW-BTC", interval="1m", start="2024-02-01")["rows"]) == [100]
    assert list(uf.cache.files(interval="1m", end="2024-01-01 00:00")["rows"]) == []
    assert list(uf.cache.files(interval="1m", end="2024-01-01 00:01")["rows"]) == [60, 60]
    assert list(uf.cache.files("trades")["rows"]) == [1]
    empty = uf.cache.files(markets="KRW-XRP")
    assert list(empty.columns) == list(frame.columns)
    assert (empty.dtypes == frame.dtypes).all()
    with pytest.raises(errors.QueryError, match="kind"):
        uf.cache.files("tickers")
    with pytest.raises(errors.InvalidRange):
        uf.cache.files(start="2024-01-02", end="2024-01-01")


def test_other_engines_count_each_row_once(cache_dir: Path, kit: Any) -> None:
    polars = pytest.importorskip("polars")
    folder = in_the_middle_of_a_merge(ParquetStore(cache_dir), kit, kit.series)
    assert polars.read_parquet(folder / "*.parquet").height == 120
    assert polars.scan_parquet(list(uf.cache.files()["path"])).collect().height == 60


def overlap(cache_dir: Path, kit: Any) -> None:
    """Two files that overlap in part, as copying between two stores makes them."""
    store = ParquetStore(cache_dir)
    store.write(kit.series, *kit.page(0, 60))
    folder = store._folder(kit.series).path
    name = kit.names(store, kit.series)[0]
    body = (folder / name).read_bytes()
    store.clear()
    store.write(kit.series, *kit.page(30, 60))
    (folder / name).write_bytes(body)


def test_files_that_overlap_count_once(cache_dir: Path, kit: Any) -> None:
    overlap(cache_dir, kit)
    listed = uf.cache.ls().iloc[0]
    assert (listed["rows"], listed["files"], listed["ranges"]) == (90, 2, 1)
    assert listed["first"] == pd.Timestamp("2024-01-01", tz="UTC")
    assert listed["last"] == pd.Timestamp("2024-01-01 01:29", tz="UTC")
    assert uf.cache.coverage("KRW-BTC")["rows"].sum() == 90
    frame = uf.cache.files()
    assert list(frame["rows"]) == [90]
    assert dataset_count(frame["path"]) == 90


def test_verify_repairs_leftovers_and_overlaps(cache_dir: Path, kit: Any) -> None:
    overlap(cache_dir, kit)
    assert [one.problem for one in uf.cache.verify()] == ["overlap"]
    assert [one.problem for one in uf.cache.verify(repair=True)] == ["overlap"]
    assert uf.cache.verify() == []
    uf.cache.clear(everything=True)

    folder = in_the_middle_of_a_merge(ParquetStore(cache_dir), kit, kit.series)
    assert [one.problem for one in uf.cache.verify()] == ["leftover"] * 4
    assert len(list(folder.glob("*.parquet"))) == 4
    assert all(one.detail.endswith("removed") for one in uf.cache.verify("KRW-BTC", repair=True))
    assert uf.cache.verify() == []
    assert len(list(folder.glob("*.parquet"))) == 1
    assert not list(folder.glob(".tmp*"))
    assert uf.cache.ls()["rows"].sum() == 60


def test_compact_brings_series_to_their_resting_state(cache_dir: Path, kit: Any) -> None:
    store = ParquetStore(cache_dir)
    for market in ("KRW-BTC", "KRW-ETH"):
        for number in range(3):
            store.write(Series("candles", market, "1m"), *kit.page(number * 20, 20))
    uf.cache.compact("KRW-ETH", "1m")
    assert list(uf.cache.ls()["files"]) == [3, 1]
    uf.cache.compact()
    assert list(uf.cache.ls()["files"]) == [1, 1]
    assert list(uf.cache.ls()["rows"]) == [60, 60]


def test_a_store_in_memory_has_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(uf.cache), "_store", MemoryStore())
    with pytest.raises(errors.StoreError, match="memory"):
        uf.cache.files()
