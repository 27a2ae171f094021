"""What the tests of live streams share; each module has an ``exchange`` of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import upbit_frames as uf
from upbit_frames.testing import Exchange


@pytest.fixture
def client(exchange: Exchange, tmp_path: Path) -> uf.Client:
    """A client of the module's exchange, with a store of its own."""
    return uf.Client(exchange.config(cache_dir=tmp_path, progress=False))
