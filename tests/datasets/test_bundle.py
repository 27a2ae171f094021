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
    monkeypatch.delenv("CI", raising=False)
    with uf.Client(exchange.config(cache_dir=tmp_path / "store")) as opened:
        yield opened


def study(client: uf.Client) -> list[pd.DataFrame]:
    return [
        client.candles("KRW-BTC", "1h", **RANGE),
        client.candles(["KRW-BTC", "KRW-ETH"], "1d", count=20, columns=["close"]),
        client.candles("KRW-ETH", "1m", count=50, gaps="fill"),
        client.trades("KRW-BTC", start="2026-03-01T12:00Z", end="2026-03-01T12:05Z"),
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


def test_the_same_study_gives_the_same_bundle(client: uf.Client, packed: Path, tmp_path: Path) -> None:
    client.bundle(tmp_path / "again.zip", lock=tmp_path / "study.lock")
    assert packed.read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_a_store_that_lacks_or_changed_something(client: uf.Client, packed: Path, tmp_path: Path) -> None:
    empty = uf.Client(client.config.replace(cache_dir=tmp_path / "empty"))
    with pytest.raises(errors.NotCached, match="lacks candles"):
        empty.bundle(tmp_path / "b.zip", lock=tmp_path / "study.lock")
    store = ParquetStore(client.config.cache_dir / client.config.origin)
    series = Series("candles", "KRW-BTC", "1h")
    rows = store.read(series, Span(0, 2**60))
    store.write(series, rows.slice(0, 0), Span(rows["time"][5].value, rows["time"][6].value), replace=True)
    with pytest.raises(errors.DataChanged, match="other rows of KRW-BTC"):
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
