"""A bundle gives a reviewer the rows of a study, offline, and nothing that was slipped in."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.core.intervals import Span
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing import Exchange

RANGE = {"start": "2026-01-20T00:00Z", "end": "2026-02-10T00:00Z"}


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T12:34:56Z", limits=False) as running:
        yield running


@pytest.fixture
def client(exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[uf.Client]:
    with uf.Client(exchange.config(cache_dir=tmp_path / "store")) as opened:
        yield opened


def study(client: uf.Client) -> list[pd.DataFrame]:
    return [
        client.candles("KRW-BTC", "1h", **RANGE),
        client.candles(["KRW-BTC", "KRW-ETH"], "1d", count=20, columns=["close"]),
        client.candles("KRW-ETH", "1m", count=50, gaps="fill"),
        client.trades("KRW-BTC", start="2026-03-01T12:00Z", end="2026-03-01T12:05Z"),
    ]


def computed(client: uf.Client) -> list[pd.DataFrame]:
    """Calls whose rows are computed of what is stored, or whose markets only the exchange's list names."""
    return [
        client.candles("KRW-BTC", "2h", **RANGE),
        client.candles("KRW-BTC", "1d", base="Asia/Seoul", count=10),
        client.candles("KRW-ETH", "4h", source="derived", count=10),
        client.candles(["비트코인", "KRW-ETH"], "1d", count=5),
        client.candles(quote="BTC", interval="1d", start="2026-02-20T00:00Z"),
        client.candles("KRW-BTC", "1h", start="2026-02-01T00:00Z", count=30, gaps="fill"),
        client.panel(["KRW-BTC", "KRW-ETH"], "3h", ["close", "value"], **RANGE),
        client.panel(quote="BTC", interval="1d", count=20, missing="ffill"),
        client.cross_section("2026-02-01T00:00Z", quote="BTC"),
        client.bars("KRW-BTC", ticks=20, start="2026-03-01T11:00Z"),
        client.bars("KRW-BTC", value=1e6, start="2026-03-01T11:00Z", end="2026-03-01T12:00Z"),
    ]


@pytest.fixture
def packed(client: uf.Client, tmp_path: Path) -> Path:
    with uf.pinned(tmp_path / "study.lock"):
        study(client)
    summary = client.bundle(tmp_path / "study.zip", lock=tmp_path / "study.lock")
    assert summary["calls"] == 4
    assert summary["left_out"] == []
    return tmp_path / "study.zip"


def test_a_reviewer_gets_the_same_frames_without_network(
    client: uf.Client, exchange: Exchange, packed: Path, tmp_path: Path
) -> None:
    frames = study(client)
    exchange.requests.clear()
    elsewhere = uf.Client(exchange.config(cache_dir=tmp_path / "empty"))
    with uf.open_bundle(packed) as bundle:
        for frame, again in zip(frames, study(elsewhere), strict=True):
            pd.testing.assert_frame_equal(frame, again)
        assert len(bundle.calls) == 4
        with pytest.raises(errors.NotRecorded, match="no answer to"):
            elsewhere.ticker("KRW-BTC")
        with pytest.raises(errors.NotRecorded, match="bundle"):
            elsewhere.stream("KRW-BTC", seconds=0.1)
    assert exchange.requests == []
    assert not (tmp_path / "empty").exists()
    elsewhere.candles("KRW-BTC", "1d", count=1)
    assert exchange.requests


def test_computed_calls_are_packed_with_what_they_are_computed_of(
    client: uf.Client, exchange: Exchange, tmp_path: Path
) -> None:
    with uf.pinned(tmp_path / "study.lock") as block:
        frames = computed(client)
    assert len(block.calls) == len(frames)
    assert all(len(frame) for frame in frames)
    summary = client.bundle(tmp_path / "study.zip", lock=tmp_path / "study.lock")
    assert summary["calls"] == len(frames)
    exchange.requests.clear()
    elsewhere = uf.Client(exchange.config(cache_dir=tmp_path / "empty"))
    with uf.open_bundle(tmp_path / "study.zip"):
        for frame, again in zip(frames, computed(elsewhere), strict=True):
            pd.testing.assert_frame_equal(frame, again)
            before, after = (one.attrs["upbit_frames"] for one in (frame, again))
            assert before["market"] == after["market"]
            assert before.get("coverage") == after.get("coverage")
    assert exchange.requests == []
    client.bundle(tmp_path / "again.zip", lock=tmp_path / "study.lock")
    assert (tmp_path / "study.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_a_quote_currency_means_the_markets_of_the_first_run(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    with uf.pinned(path) as first:
        client.candles(quote="BTC", interval="1d", **RANGE)
    (call,) = first.calls
    assert len(call.markets) > 1
    text = path.read_text(encoding="utf-8")
    assert "version = 2" in text
    fewer = text.replace(json.dumps(list(call.markets)), json.dumps(list(call.markets[:1])))
    path.write_text(fewer, encoding="utf-8")  # as if the others had been listed since
    with pytest.raises(errors.DataChanged, match=f"{call.markets[1]} 2026-01 has no rows"), uf.pinned(path):
        client.candles(quote="BTC", interval="1d", **RANGE)
    unnamed = "\n".join(line for line in text.splitlines() if not line.startswith("markets"))
    path.write_text(unnamed, encoding="utf-8")
    with pytest.raises(errors.UsageError, match="does not say which markets"):
        client.bundle(tmp_path / "study.zip", lock=path)


def test_a_market_without_any_candle_cannot_be_packed(client: uf.Client, tmp_path: Path) -> None:
    with uf.pinned(tmp_path / "study.lock"), pytest.warns(errors.UpbitFramesWarning, match="KRW-EMPTY"):
        client.candles(["KRW-BTC", "KRW-EMPTY"], "1d", count=5)
    with pytest.raises(errors.NotCached, match="KRW-EMPTY") as failed:
        client.bundle(tmp_path / "study.zip", lock=tmp_path / "study.lock")
    assert "without any candle" in str(failed.value)


def test_a_lock_whose_calls_cannot_be_made(client: uf.Client, tmp_path: Path) -> None:
    path = tmp_path / "study.lock"
    with uf.pinned(path):
        client.candles("KRW-BTC", "1d", **RANGE)
    text = path.read_text(encoding="utf-8")
    for before, after, error in (
        ('\\"1d\\"', '\\"7x\\"', errors.CorruptFile),
        ('\\"KRW-BTC\\"', '\\"?\\"', errors.CorruptFile),
    ):
        assert before in text
        path.write_text(text.replace(before, after), encoding="utf-8")
        with pytest.raises(error, match="cannot be made again"):
            client.bundle(tmp_path / "study.zip", lock=path)
    assert not (tmp_path / "study.zip").exists()


def test_the_same_study_gives_the_same_bundle(client: uf.Client, packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as content:
        assert {entry.date_time for entry in content.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    client.bundle(tmp_path / "again.zip", lock=tmp_path / "study.lock")
    assert packed.read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_a_store_that_lacks_or_changed_something(client: uf.Client, packed: Path, tmp_path: Path) -> None:
    empty = uf.Client(client.config.replace(cache_dir=tmp_path / "empty"))
    with pytest.raises(errors.NotCached, match=r"the store lacks what candles\(.* reads: .*KRW-BTC 1h"):
        empty.bundle(tmp_path / "b.zip", lock=tmp_path / "study.lock")
    store = ParquetStore(client.config.cache_dir / client.config.origin)
    series = Series("candles", "KRW-BTC", "1h")
    rows = store.read(series, Span(0, 2**60))
    store.write(series, rows.slice(0, 0), Span(rows["time"][5].value, rows["time"][6].value), replace=True)
    with pytest.raises(
        errors.DataChanged, match=r"other rows from the store.*KRW-BTC 2026-01 has 287 rows, the lock 288"
    ):
        client.bundle(tmp_path / "b.zip", lock=tmp_path / "study.lock")
    assert not (tmp_path / "b.zip").exists()
    assert not list(tmp_path.glob(".b.zip*"))


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as source:
        content = {name: source.read(name) for name in source.namelist()}
    change(content)
    with zipfile.ZipFile(path, "w") as sink:
        for name, data in content.items():
            sink.writestr(name, data)


def flip(content: dict[str, bytes]) -> None:
    name = next(name for name in content if name.endswith(".parquet"))
    content[name] = content[name][:-1] + bytes([content[name][-1] ^ 1])


def escape(content: dict[str, bytes]) -> None:
    manifest = json.loads(content["bundle.json"])
    manifest["files"]["store/../../evil.parquet"] = {"bytes": 1, "sha256": "0"}
    content["store/../../evil.parquet"] = b"x"
    content["bundle.json"] = json.dumps(manifest).encode()


def add(content: dict[str, bytes]) -> None:
    content["store/more.txt"] = b"x"


def lie(content: dict[str, bytes]) -> None:
    manifest = json.loads(content["bundle.json"])
    for entry in manifest["files"].values():
        entry["bytes"] -= 1
    content["bundle.json"] = json.dumps(manifest).encode()


def newer(content: dict[str, bytes]) -> None:
    content["bundle.json"] = content["bundle.json"].replace(b'"version": 1', b'"version": 9')


def other_lock(content: dict[str, bytes]) -> None:
    content["study.lock"] = b"".join(content["study.lock"].partition(b"[[call]]")[:1]) + b""


@pytest.mark.parametrize("change", [flip, escape, add, lie, newer, other_lock])
def test_a_tampered_bundle_is_refused(packed: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    rewrite(packed, change)
    with pytest.raises(errors.StoreError) as refused, uf.open_bundle(packed):
        pass
    assert ("newer version" in str(refused.value)) == (change is newer)
    assert not (tmp_path.parent / "evil.parquet").exists()
    with uf.using(cache_dir=tmp_path / "usable"):
        assert uf.cache.ls().empty


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_bundle(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(errors.CorruptFile), uf.open_bundle(path):
        pass
    with pytest.raises(errors.StoreError), uf.open_bundle(tmp_path / "missing.zip"):
        pass


def test_a_citation_names_what_was_read(packed: Path, tmp_path: Path) -> None:
    citation = uf.cite(tmp_path / "study.lock")
    assert "candles 1h" in citation.sentence
    assert "KRW-BTC" in citation.sentence
    assert "2026-03-01" in citation.sentence
    assert citation.bibtex.startswith("@misc{upbit-2026-")
    assert citation.bibtex.count("{") == citation.bibtex.count("}")
    with pytest.raises(errors.StoreError):
        uf.cite(tmp_path / "none.lock")
