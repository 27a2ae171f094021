"""A range of trades is read day by day, in the memory of a day, with one route."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import Span
from upbit_frames.core.route import Step
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import NotCached
from upbit_frames.router.ports import Ports
from upbit_frames.router.trade_chunks import TradeChunks, merge_steps
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore

DAY = 86_400_000_000
START = 1_735_689_600_000_000  # 2025-01-01
ROWS = 20_000


def day_of_trades(day: int) -> pa.Table:
    schema = arrow_schema("trades")
    numbers = np.arange(ROWS, dtype=np.int64)
    columns = {
        "time": pa.array(START + day * DAY + numbers * 1_000_000).view(schema.field("time").type),
        "price": pa.array(numbers % 7 + 100.0), "volume": pa.array(numbers % 5 / 8),
        "value": pa.array((numbers % 7 + 100.0) * (numbers % 5 / 8)), "side": pa.array(["bid", "ask"] * (ROWS // 2)),
        "sequential_id": pa.nulls(ROWS, pa.int64()), "seq": pa.array(numbers),
    }  # fmt: skip
    return pa.Table.from_pydict(columns, schema=schema)


@pytest.fixture
def chunks(tmp_path: Path, make_ports: Callable[..., Ports]) -> Callable[..., TradeChunks]:
    store = ParquetStore(tmp_path)
    for day in range(20):
        span = Span(START + day * DAY, START + (day + 1) * DAY)
        store.write(Series("trades", "KRW-BTC"), day_of_trades(day), span, origin="archive")
    return lambda: TradeChunks(make_ports(store), "KRW-BTC", "store", Progress(), None)


async def lengths(reader: TradeChunks, span: Span) -> list[tuple[int, int, int]]:
    return [((chunk.span.start - START) // DAY, len(chunk.table), len(chunk.lost)) async for chunk in reader.read(span)]


def test_a_chunk_is_a_day_and_the_route_is_one_step(chunks: Callable[..., TradeChunks]):
    reader = chunks()
    span = Span(START + DAY // 2, START + 19 * DAY + 10_000_000)
    found = asyncio.run(lengths(reader, span))
    assert found == [(0, 0, 0), *((day, ROWS, 0) for day in range(1, 19)), (19, 10, 0)]
    (step,) = reader.route()
    assert (step.channel, step.span, step.rows, step.requests) == ("store", span, 18 * ROWS + 10, 0)
    assert reader.warnings() == []


def test_few_days_are_in_memory(chunks: Callable[..., TradeChunks]):
    tables: list[weakref.ref[Any]] = []

    async def read() -> int:
        most = 0
        async for chunk in chunks().read(Span(START, START + 20 * DAY)):
            tables.append(weakref.ref(chunk.table))
            most = max(most, sum(table() is not None for table in tables))
        return most

    # The one that is read, the one before it while the loop holds it, and one that a thread has not let go of yet.
    assert asyncio.run(read()) <= 3
    assert len(tables) == 20


def test_everything_that_is_missing_is_named_before_anything_is_read(chunks: Callable[..., TradeChunks]):
    with pytest.raises(NotCached) as caught:
        asyncio.run(lengths(chunks(), Span(START - DAY, START + 30 * DAY)))
    assert [start[:10] for start, _ in caught.value.missing] == ["2024-12-31", "2025-01-21"]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5), st.sampled_from(["store", "rest"]))), st.data())
def test_steps_of_days_add_up_to_steps_of_the_range(parts: list[tuple[int, int, str]], data: Any):
    at, steps, cut = 0, [], []
    for rows, length, channel in parts:
        step = Step(channel, "why", at, at + length, rows=rows, requests=rows if channel == "rest" else 0)
        steps.append(step)
        # A fetch that reaches over several days comes with each of them, whole, but for its rows.
        left, pieces = rows, []
        while left:
            pieces.append(data.draw(st.integers(1, left)))
            left -= pieces[-1]
        cut += [Step(channel, "why", at, at + length, rows=n, requests=step.requests) for n in pieces or [0]]
        at += length
    merged = merge_steps(cut)
    assert [(one.channel, one.end) for one in merged] == [
        (one.channel, one.end) for one, after in zip(steps, [*steps[1:], None], strict=False)
        if after is None or after.channel != one.channel
    ]  # fmt: skip
    for name in ("rows", "requests"):
        assert sum(getattr(one, name) for one in merged) == sum(getattr(one, name) for one in steps)
