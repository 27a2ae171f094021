"""Digests depend on the values and on nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.datasets.digests import Part, digest_of, parts_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["KRW-BTC", "KRW-ETH", "BTC-XRP"]),
        st.integers(0, 200 * 86_400 * 10**6),
        st.one_of(st.none(), st.floats(allow_nan=False, width=64)),
        st.sampled_from(["ask", "bid", None, "값"]),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
    ),
    max_size=40,
)


EXPECTED = ["KRW-BTC 1970-01 1 06e13e10377303cc08ea40821400e41b", "KRW-BTC 2023-11 1 c5bc67bddd7bcbd0dd7de3a3754fabd0"]
WHOLE = "sha256:1e7bd2ceee6fed1d21785a24dc1bbba9d5abe04631f6240caededaccfdfad914"


def table_of(rows: list[tuple[Any, ...]], *, chunks: int = 1, encoded: bool = False) -> pa.Table:
    rows = sorted(rows, key=lambda row: (row[0], row[1], repr(row)))
    names = ("market", "time", "price", "side", "sequential_id", "filled")
    kinds = (pa.string(), pa.timestamp("us", "UTC"), pa.float64(), pa.string(), pa.int64(), pa.bool_())
    columns = dict(zip(names, (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 6, strict=True))
    table = pa.table({name: pa.array(columns[name], kind) for name, kind in zip(names, kinds, strict=True)})
    if encoded:
        for name in ("market", "side"):
            place = table.column_names.index(name)
            table = table.set_column(place, name, table[name].dictionary_encode())
    step = max(1, len(table) // chunks)
    return pa.concat_tables([table.slice(start, step) for start in range(0, max(1, len(table)), step)])


def model(rows: list[tuple[Any, ...]]) -> set[tuple[str, str, int]]:
    counts: dict[tuple[str, str], int] = {}
    for market, time, *_ in rows:
        key = market, f"{EPOCH + timedelta(microseconds=time):%Y-%m}"
        counts[key] = counts.get(key, 0) + 1
    return {(*key, count) for key, count in counts.items()}


@given(ROWS, st.integers(1, 7))
def test_chunks_and_encodings_change_nothing(rows: list[tuple[Any, ...]], chunks: int) -> None:
    plain = parts_of(table_of(rows))
    assert parts_of(table_of(rows, chunks=chunks, encoded=True)) == plain
    assert {(part.market, part.month, part.rows) for part in plain} == model(rows)


@given(ROWS, st.data())
def test_another_value_changes_its_month_alone(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    if not rows:
        return
    changed = list(rows)
    place = data.draw(st.integers(0, len(rows) - 1))
    market, time, price, *rest = changed[place]
    changed[place] = (market, time, 1.5 if price is None else None, *rest)
    before, after = ({(p.market, p.month): p.digest for p in parts_of(table_of(each))} for each in (rows, changed))
    assert before.keys() == after.keys()
    assert [key for key in before if before[key] != after[key]] == [
        (market, f"{EPOCH + timedelta(microseconds=time):%Y-%m}")
    ]


def test_floats_have_one_zero_and_one_nan() -> None:
    time = pa.array([0, 1, 2], pa.timestamp("us", "UTC"))
    odd = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    one = pa.table({"time": time, "x": pa.array([0.0, np.nan, 1.0])})
    other = pa.table({"time": time, "x": pa.array([-0.0, odd, 1.0])})
    null = pa.table({"time": time, "x": pa.array([0.0, None, 1.0])})
    assert parts_of(one) == parts_of(other) == parts_of(null)


def test_names_order_and_unit() -> None:
    time = pa.array([0, 1], pa.timestamp("us", "UTC"))
    table = pa.table({"time": time, "a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert parts_of(table) != parts_of(table.rename_columns(["time", "b", "a"]))
    assert parts_of(table) != parts_of(table.select(["time", "b", "a"]))
    assert parts_of(table) == parts_of(table.set_column(0, "time", time.cast(pa.timestamp("ns", "Asia/Seoul"))))


def test_the_values_of_today_are_those_of_every_later_version() -> None:
    """Literals on purpose: locks that exist must stay true."""
    table = table_of([("KRW-BTC", 1_700_000_000_000_000, 1.5, "ask", 7, True), ("KRW-BTC", 5, None, None, -1, False)])
    assert [str(part) for part in parts_of(table)] == EXPECTED
    assert digest_of(parts_of(table)) == WHOLE


def test_empty_tables_have_no_parts() -> None:
    assert parts_of(table_of([])) == []
    assert digest_of([]).startswith("sha256:e3b0c44298fc")


@pytest.mark.parametrize("order", [1, -1])
def test_the_whole_does_not_depend_on_the_order_of_parts(order: int) -> None:
    parts = [Part("A", "2026-01", 1, "0" * 32), Part("B", "2026-01", 2, "1" * 32)]
    assert digest_of(parts[::order]) == digest_of(parts)
