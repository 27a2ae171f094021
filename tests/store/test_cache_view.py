"""``uf.cache`` over stores that are odd, unreadable or in disorder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import upbit_frames as uf
from upbit_frames import errors
from upbit_frames.store.parquet import ParquetStore


@pytest.fixture
def cache_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "cache"
    with uf.using(cache_dir=folder):
        yield folder


def test_an_unreadable_cache_is_told_clearly(cache_dir: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ParquetStore(cache_dir).write(kit.series, *kit.page(0, 10))

    real = os.listdir
    denied = [""]

    def listdir(folder: Any) -> Any:
        if os.fspath(folder).endswith(denied[0]):
            raise PermissionError(13, os.strerror(13), str(folder))
        return real(folder)

    # As root no folder is unreadable, so the refusal of the system is acted out.
    monkeypatch.setattr(os, "listdir", listdir)
    for denied[0] in ("v1", "market=KRW-BTC", "interval=1m"):
        for call in (uf.cache.ls, uf.cache.verify, lambda: uf.cache.prune(before=0)):
            with pytest.raises(errors.StoreError, match="listing the store"):
                call()
        for text in (repr(uf.cache), uf.cache._repr_html_()):
            assert "unreadable" in text
            assert str(cache_dir) in text
