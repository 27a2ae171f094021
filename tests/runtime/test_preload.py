"""A fork at any moment, also in the middle of the first call's imports, gives a child that works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from upbit_frames.testing import Exchange

SCRIPT = Path(__file__).with_name("forking.py")
CHILDREN = 6


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=7, now="2026-03-01T03:30:00Z", limits=False) as running:
        yield running


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("again", range(3))
def test_forks_during_the_first_call(exchange: Exchange, again: int) -> None:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), exchange.rest_url, str(CHILDREN)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.stdout.strip() == str([0] * CHILDREN), done.stderr


def test_a_call_imports_nothing_more(exchange: Exchange, tmp_path: Path) -> None:
    """What a call imported after the guarded part could be imported by another thread during a fork."""
    code = (
        "import sys\n"
        "import upbit_frames as uf\n"
        "from upbit_frames.runtime.preload import load\n"
        f"uf.configure(rest_url={exchange.rest_url!r}, progress=False)\n"
        "candles, ticker = uf.candles, uf.ticker\n"
        "load()\n"
        "before = set(sys.modules)\n"
        "candles('KRW-BTC', '1d', count=3), ticker('KRW-BTC')\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    environment = {**os.environ, "UPBIT_FRAMES_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=150, env=environment)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
