"""What may be stored, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from upbit_frames.core.intervals import INTERVALS, Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import StoreError
from upbit_frames.store import validation as rows
from upbit_frames.store.base import Series, Store
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
BASE = 1_704_067_200_000_000  # 2024-01-01


def refused(kit: Any) -> dict[str, tuple[Series, pa.Table, Span, str]]:
    """Tables that must not be stored, with a word of the complaint."""
    minutes, trades = kit.series, Series("trades", "KRW-BTC")
    good = kit.candles([BASE, BASE + MINUTE])
    span = Span(BASE, BASE + 10 * MINUTE)
    narrow = good.set_column(1, "open", good.column("open").cast(pa.float32()))
    null = good.set_column(4, "close", pa.array([1.0, None], pa.float64()))
    lost = pa.array([None, None], pa.int64())
    nameless = kit.trades([BASE, BASE + 1], [1, 2]).set_column(5, "sequential_id", lost)
    return {
        "descending": (minutes, kit.candles([BASE + MINUTE, BASE]), span, "does not increase"),
        "twice": (minutes, kit.candles([BASE, BASE]), span, "does not increase"),
        "off the grid": (minutes, kit.candles([BASE, BASE + 61_000_000]), span, "no period of 1m"),
        "before the span": (minutes, kit.candles([BASE - MINUTE, BASE]), span, "outside"),
        "at its end": (minutes, kit.candles([BASE, span.end]), span, "outside"),
        "no span at all": (minutes, good, Span(BASE, BASE), "outside"),
        "backwards": (minutes, good, Span(span.end, span.start), "not a range"),
        "before the epoch": (minutes, good, Span(-1, span.end), "not a range"),
        "beyond the calendar": (minutes, good, Span(BASE, 10**18), "not a range"),
        "a column missing": (minutes, good.drop_columns(["value"]), span, "schema"),
        "another type": (minutes, narrow, span, "schema"),
        "columns exchanged": (minutes, good.select([*good.column_names[1:], "time"]), span, "schema"),
        "a null": (minutes, null, span, "'close' has nulls"),
        "no table": (minutes, good.to_pandas(), span, "schema"),
        "trades as candles": (minutes, kit.trades([BASE], [1]), span, "schema"),
        "trades descending": (trades, kit.trades([BASE + 1, BASE], [1, 2]), span, "does not increase"),
        "trades with one id": (trades, kit.trades([BASE, BASE], [1, 1]), span, "does not increase"),
        "trades without id": (trades, nameless, span, "neither"),
    }  # fmt: skip


@pytest.fixture
def counter_examples(kit: Any) -> dict[str, tuple[Series, pa.Table, Span, str]]:
    return refused(kit)


def test_nothing_is_written_of_rows_that_are_not_right(
    any_store: Store, counter_examples: dict[str, tuple[Series, pa.Table, Span, str]]
) -> None:
    for name, (series, table, span, complaint) in counter_examples.items():
        for replace in (False, True):
            with pytest.raises(StoreError, match=complaint) as caught:
                any_store.write(series, table, span, replace=replace)
            assert caught.value.suggestion, name
            assert any_store.covered(series) == [], name
    if isinstance(any_store, ParquetStore):
        assert not any_store.path.exists()


def test_an_unknown_origin_is_refused(any_store: Store, kit: Any) -> None:
    table, span = kit.page(0, 3)
    with pytest.raises(StoreError, match="origin"):
        any_store.write(kit.series, table, span, origin="hearsay")


@pytest.mark.parametrize("name", list(INTERVALS))
def test_every_interval_has_its_grid(any_store: Store, kit: Any, name: str) -> None:
    interval = INTERVALS[name]
    series = Series("candles", "KRW-BTC", name)
    starts = interval.starts(BASE, interval.shift(interval.ceil(BASE), 5))
    span = Span(starts[0], interval.shift(starts[-1], 1))
    any_store.write(series, kit.candles(starts), span)
    assert kit.times(any_store.read(series, span)) == starts
    with pytest.raises(StoreError, match=f"no period of {name}"):
        any_store.write(series, kit.candles([starts[0] + 500_000]), span, replace=True)
    assert kit.times(any_store.read(series, span)) == starts


def test_metadata_of_columns_does_not_matter_and_comes_back_in_full(any_store: Store, kit: Any) -> None:
    table, span = kit.page(0, 3)
    bare = table.replace_schema_metadata(None)
    bare = pa.Table.from_arrays(bare.columns, schema=pa.schema([one.remove_metadata() for one in bare.schema]))
    any_store.write(kit.series, bare, span)
    got = any_store.read(kit.series, span)
    assert got.schema.equals(arrow_schema("candles"), check_metadata=True)
    assert got.equals(table)


def test_an_empty_answer_has_the_full_schema(any_store: Store, kit: Any) -> None:
    for series in (kit.series, Series("trades", "KRW-BTC")):
        for table in (any_store.read(series, Span(0, BASE)), any_store.tail(series, BASE, 5)):
            assert len(table) == 0
            assert table.schema.equals(arrow_schema(series.kind), check_metadata=True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda: {"low": [9.0], "high": [8.0]}, "outside low and high"),
        (lambda: {"close": [1e9]}, "outside low and high"),
        (lambda: {"volume": [-1.0]}, "volume is negative"),
        (lambda: {"open": [float("nan")]}, "open is not a finite number"),
        (lambda: {"value": [float("inf")]}, "value is not a finite number"),
    ],
)
def test_impossible_prices_are_seen(kit: Any, change: Callable[[], Any], complaint: str) -> None:
    table = kit.candles([BASE])
    for name, values in change().items():
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), pa.array(values, pa.float64()))
    assert complaint in str(rows.prices(kit.series, table))
    assert rows.prices(kit.series, kit.candles([BASE])) is None


def test_an_impossible_side_is_seen(kit: Any) -> None:
    series, table = Series("trades", "KRW-BTC"), kit.trades([BASE], [1])
    assert rows.prices(series, table) is None
    wrong = table.set_column(4, table.schema.field("side"), pa.array(["BID"]))
    assert "side is 'BID'" in str(rows.prices(series, wrong))
