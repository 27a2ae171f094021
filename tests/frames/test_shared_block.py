"""A long frame of many markets is made in the memory that reading filled, and equals the frames of single calls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import upbit_frames as uf
from upbit_frames.core.arrow import candle_table, grid_codes, lies_in
from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.router import candles as routing
from upbit_frames.store.base import Series
from upbit_frames.store.block import Block, SharedBlock
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
START = to_micros(datetime(2024, 1, 1, tzinfo=UTC))
COUNT = 130_000  # minutes: three months
RANGE: dict[str, Any] = {"start": "2024-01-01", "end": datetime.fromtimestamp((START + COUNT * MINUTE) / 1e6, UTC)}
SHARES = {"KRW-BTC": 1.0, "KRW-ETH": 0.9, "KRW-ELF": 0.4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    store = ParquetStore(root)
    for seed, (market, share) in enumerate(SHARES.items()):
        random = np.random.default_rng(seed)
        times = START + MINUTE * np.flatnonzero(random.random(COUNT) < share)
        low = random.random(len(times))
        numbers = np.array([low + 0.1, low + 0.5, low, low + 0.2, random.random(len(times)), random.random(len(times))])
        store.write(Series("candles", market, "1m"), candle_table(times, numbers), Span(START, START + COUNT * MINUTE))
    return root


@pytest.fixture
def stored(folder: Path) -> Iterator[None]:
    with uf.using(cache_dir=folder):
        yield


@pytest.mark.parametrize("columns", [None, ["close", "value", "open"], ["open", "close", "value"], ["close"]])
def test_a_frame_of_many_markets_is_the_single_frames(stored: None, columns: list[str] | None) -> None:
    many = uf.candles(list(SHARES), "1m", source="store", columns=columns, **RANGE)
    single = {market: uf.candles(market, "1m", source="store", columns=columns, **RANGE) for market in SHARES}
    pd.testing.assert_frame_equal(many, pd.concat(single, names=["market"]), check_index_type=False)
    assert many.index.is_monotonic_increasing is False  # the markets stand as they were named
    table = uf.candles(list(SHARES), "1m", source="store", columns=columns, output="arrow", **RANGE)
    assert table["close"].to_pylist() == many["close"].tolist()


def test_nothing_is_copied(stored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[SharedBlock] = []

    class Noted(SharedBlock):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            blocks.append(self)

    monkeypatch.setattr(routing, "SharedBlock", Noted)
    frame = uf.candles(list(SHARES), "1m", source="store", **RANGE)
    (block,) = blocks
    assert np.shares_memory(frame.to_numpy(), block.numbers)
    before = frame.copy()
    frame.loc[:, "close"] = 0.0  # the frame owns it
    pd.testing.assert_frame_equal(uf.candles(list(SHARES), "1m", source="store", **RANGE), before)


@pytest.mark.parametrize("error", [-1, 5])
def test_other_counts_than_expected_only_cost_a_copy(stored: None, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    wanted = uf.candles(list(SHARES), "1m", source="store", **RANGE)
    real = ParquetStore.count
    monkeypatch.setattr(ParquetStore, "count", lambda self, series, span: real(self, series, span) + error)
    pd.testing.assert_frame_equal(uf.candles(list(SHARES), "1m", source="store", **RANGE), wanted)


def test_a_part_is_given_only_to_what_fits() -> None:
    shared = SharedBlock([3, 2])
    with shared.part(1):
        fits, other, fewer = Block(2), Block(3), Block(2, ("time", "close"))
    outside = Block(2)
    assert np.shares_memory(fits._numbers, shared.numbers)
    for block in (other, fewer, outside):
        assert not np.shares_memory(block._numbers, shared.numbers)
    with shared.part(0):
        first = Block(3)
    for block, length in ((fits, 2), (first, 3)):
        block.put(0, candle_table(START + MINUTE * np.arange(length), np.arange(6.0 * length).reshape(6, length)))
    table = pa.concat_tables([first.table(), fits.table()])
    numbers = table.columns[1:]
    assert table.schema.equals(arrow_schema("candles"))
    assert lies_in(shared.numbers, numbers)
    assert not lies_in(shared.numbers, numbers[::-1])
    assert not lies_in(shared.numbers, pa.concat_tables([fits.table(), first.table()]).columns[1:])
    assert not lies_in(shared.numbers.copy(), numbers)
    assert not lies_in(shared.numbers, first.table().columns[1:])


@given(
    st.lists(st.lists(st.integers(0, 3000), min_size=1, max_size=30, unique=True).map(sorted), min_size=1, max_size=4),
    st.sampled_from([1, 60, MINUTE]),
    st.integers(1, 5),
)
def test_codes_of_times_are_those_of_sorting(parts: list[list[int]], step: int, repeat: int) -> None:
    arrays = [pa.array(np.tile(np.array(part) * step, repeat)).cast(pa.timestamp("us", tz="UTC")) for part in parts]
    column = pa.chunked_array(arrays)
    found = grid_codes(column)
    moments, codes = np.unique(
        np.concatenate([np.tile(np.array(part) * step, repeat) for part in parts]), return_inverse=True
    )
    if found is not None:
        assert found[0].tolist() == moments.tolist()
        assert found[1].tolist() == codes.tolist()


@pytest.mark.parametrize("odd", [None, 0, 1])
def test_codes_of_a_long_column(odd: int | None) -> None:
    """Numbered by several threads; the second part has no gap, and in one of them a time is off the grid."""
    random = np.random.default_rng(1)
    times = [MINUTE * np.flatnonzero(random.random(200_000) < share) for share in (0.5, 1.0, 0.1)]
    if odd is not None:
        times[odd][70_001] += 1
    codes = grid_codes(pa.chunked_array([pa.array(part).cast(pa.timestamp("us", tz="UTC")) for part in times]))
    if odd is not None:
        assert codes is None
        return
    assert codes is not None
    assert (codes[0] == MINUTE * np.arange(200_000)).all()
    assert (codes[0][codes[1]] == np.concatenate(times)).all()
