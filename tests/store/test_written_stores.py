"""Stores written by this and earlier versions are read and updated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.written_store import CANDLES, DAYS, NOTES, SPANS, TRADES, WRITTEN, expected_rows

from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import SCHEMA_VERSION
from upbit_frames.store import layout
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

VERSIONS = sorted(path.name for path in WRITTEN.iterdir())
ALL = [pytest.param(series, id=str(series)) for series in SPANS]


@pytest.fixture(params=VERSIONS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> ParquetStore:
    shutil.copytree(WRITTEN / request.param, tmp_path / "store")
    return ParquetStore(tmp_path / "store")


def test_there_is_a_store_of_the_present_schema() -> None:
    """A new schema needs a new fixture: ``python tests/support/written_store.py``."""
    footers = [pq.read_metadata(path).metadata[b"upbit_frames"] for path in WRITTEN.rglob("*.parquet")]
    assert SCHEMA_VERSION in {json.loads(footer)["schema"] for footer in footers}
    assert f"v{SCHEMA_VERSION}" == layout.VERSION


@pytest.mark.parametrize("series", ALL)
def test_rows_and_coverage_are_read(written: ParquetStore, series: Series) -> None:
    span = SPANS[series]
    covered = Span(0, span.end) if series == DAYS else span
    assert written.covered(series) == [covered]
    assert written.read_covered(series, Span(0, span.end + 1)) == (expected_rows(series), [covered])
    assert written.count(series, span) == len(expected_rows(series))
    assert written.tail(series, span.end, 3).equals(expected_rows(series).slice(len(expected_rows(series)) - 3))


def test_everything_beside_the_rows_is_read(written: ParquetStore) -> None:
    assert set(written.series()) == set(SPANS)
    assert written.notes(CANDLES) == NOTES
    assert written.verify() == []
    folder = written._folder(TRADES)
    assert [folder.footer(file).meta["origin"] for file in folder.files()] == ["rest", "live"]


@pytest.mark.parametrize("series", ALL)
def test_it_is_updated(written: ParquetStore, series: Series) -> None:
    """Rows are added, replaced and merged, and nothing that was there changes."""
    rows, span = expected_rows(series), SPANS[series]
    step = 1_440 * 60_000_000 if series == DAYS else 60_000_000
    later = Span(span.end, span.end + 5 * step)
    written.write(series, rows.slice(0, 0), later)
    middle = Span(span.start + 4 * step, span.start + 6 * step)
    inside = written.read(series, middle)
    assert 0 < len(inside) < len(rows)
    written.write(series, inside.slice(0, len(inside) - 1), middle, replace=True)
    written.write(series, inside, middle, replace=True)
    written.compact(series)
    written.note(series, "added", 1)
    reopened = ParquetStore(written.path)
    assert reopened.read(series, Span(0, later.end)).equals(rows)
    assert reopened.covered(series)[-1].end == later.end
    assert reopened.verify() == []
    assert reopened.notes(series)["added"] == 1
