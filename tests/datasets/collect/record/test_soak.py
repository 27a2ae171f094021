"""Some seconds of the long recording of ``tests/benchmarks/soak_record.py``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[3] / "benchmarks" / "soak_record.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_breaks_and_kills_leave_is_as_it_was_sent() -> None:
    spec = importlib.util.spec_from_file_location("soak_record", SOAK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    report = module.soak(40.0, speed=2.0, markets=3, kills=1, seed=2)
    assert report.wrong == []
    assert report.kills == 1
    assert report.breaks >= 1
    assert report.holes >= 1
    assert report.stored > 100
    assert report.candles > 0
