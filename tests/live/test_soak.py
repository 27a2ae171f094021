"""Half a minute of the long listen of ``tests/benchmarks/soak_live.py``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "benchmarks" / "soak_live.py"


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_comes_twice() -> None:
    spec = importlib.util.spec_from_file_location("soak_live", SOAK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    report = module.soak(30.0, seed=3)
    assert report.wrong == []
    assert report.breaks >= 2
    assert report.connections > 2
    assert report.trades > 20
    assert report.candles >= 3 * 5
