"""What editors offer for an argument is what the calls accept."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import upbit_frames as uf
from upbit_frames.api import literals
from upbit_frames.api.calls.panel import UNIVERSES
from upbit_frames.core.bar_grid import parse_grid
from upbit_frames.core.config import OUTPUTS
from upbit_frames.core.intervals import INTERVALS
from upbit_frames.core.query import GAPS, SOURCES, parse_source
from upbit_frames.core.stream_query import StreamQuery
from upbit_frames.datasets.engines import ENGINES
from upbit_frames.frames.panel import MISSING
from upbit_frames.store.base import STORED_KINDS

ROOT = Path(__file__).resolve().parents[2]


def values(name: str) -> tuple[str, ...]:
    return typing.get_args(getattr(literals, name))


def test_closed_sets_are_those_of_the_checks() -> None:
    assert set(values("Gaps")) == set(GAPS)
    assert set(values("Output")) == set(OUTPUTS)
    assert set(values("ScanEngine")) == set(ENGINES)
    assert set(values("PanelMissing")) == set(MISSING)
    assert set(values("PanelUniverse")) == set(UNIVERSES)
    assert set(values("Kind")) <= set(STORED_KINDS)
    assert set(values("Source")) <= {*SOURCES, "cache", "shared", "derived"}
    assert set(SOURCES) <= set(values("Source"))
    assert parse_source("cache") == "store"


@pytest.mark.parametrize("name", values("IntervalName"))
def test_every_interval_offered_is_understood(name: str) -> None:
    parse_grid(name)


def test_every_interval_of_upbit_is_offered() -> None:
    assert set(INTERVALS) <= set(values("IntervalName"))


@pytest.mark.parametrize("kind", values("StreamKind"))
def test_every_kind_of_stream_offered_is_understood(kind: str) -> None:
    assert StreamQuery.build("KRW-BTC", kind)


def test_the_stubs_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, ".ci/stubs.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_shows_types() -> None:
    text = str(inspect.signature(uf.candles))
    for part in ("market: 'Markets", "gaps: 'Gaps' = 'raw'", "output: 'Output | None' = None", "-> 'Frame'"):
        assert part in text


def test_dir_shows_the_public_names_only() -> None:
    assert dir(uf) == sorted(uf.__all__)
