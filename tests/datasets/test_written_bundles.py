"""Locks and bundles written by this and earlier versions are read, and give the rows that they were written for."""

from __future__ import annotations

import json
import tomllib
import zipfile
from pathlib import Path

import pytest
from support.written_bundle import WRITTEN, calls

import upbit_frames as uf
from upbit_frames.core.config import Config
from upbit_frames.datasets import bundle as bundles
from upbit_frames.datasets import lock_file
from upbit_frames.datasets.bundle import unpack
from upbit_frames.datasets.lock_file import read_lock, write_lock
from upbit_frames.errors import StoreError

VERSIONS = sorted(path.name for path in WRITTEN.iterdir())


@pytest.fixture(params=VERSIONS)
def written(request: pytest.FixtureRequest) -> Path:
    return WRITTEN / request.param


@pytest.mark.parametrize(("name", "count"), [("study.lock", 4), ("names.lock", 1)])
def test_a_lock_is_read_and_written_again_with_the_same_digest(written: Path, name: str, count: int) -> None:
    lock = read_lock((written / name).read_bytes(), name)
    assert len(lock.calls) == count
    again = read_lock(write_lock(lock).encode(), name)
    assert again == lock
    assert again.digest == lock.digest


def test_the_bundle_is_unpacked(written: Path, tmp_path: Path) -> None:
    lock, manifest = unpack(written / "study.zip", tmp_path / "out")
    assert lock == read_lock((written / "study.lock").read_bytes(), "study.lock")
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == len(manifest["files"]) > 0


def test_the_bundle_answers_the_calls_with_the_rows_of_its_lock(written: Path, tmp_path: Path) -> None:
    """An open bundle compares every answer with the digests of its lock, and raises where they differ."""
    with (
        uf.open_bundle(written / "study.zip") as bundle,
        uf.Client(Config(cache_dir=tmp_path / "empty")) as client,
    ):
        assert [len(frame) for frame in calls(client)] == [22, 12, 30, 4]
        assert len(bundle.calls) == 4


def test_a_newer_version_is_refused_as_such() -> None:
    text = (WRITTEN / VERSIONS[-1] / "study.lock").read_text()
    newer = text.replace("version = 1", f"version = {lock_file.VERSION + 1}", 1)
    assert newer != text
    with pytest.raises(StoreError, match="newer version"):
        read_lock(newer.encode(), "study.lock")


def test_there_are_fixtures_of_the_present_versions() -> None:
    """A new version needs a new fixture: ``python tests/support/written_bundle.py``."""
    locks = {tomllib.loads(path.read_text(encoding="utf-8"))["version"] for path in WRITTEN.rglob("*.lock")}
    packed = set()
    for path in WRITTEN.rglob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            packed.add(json.loads(archive.read(bundles.MANIFEST))["version"])
    assert locks == set(range(1, lock_file.VERSION + 1))
    assert packed == set(range(1, bundles.VERSION + 1))
