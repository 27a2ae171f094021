"""Any sequence of calls leaves both stores equal to a model that is too simple to be wrong.

The model cuts time into cells at a handful of moments. Of each cell it knows whether it is
covered and which rows are in it.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from upbit_frames.core.intervals import Span, to_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import UpbitFramesWarning
from upbit_frames.store import encoding, layout
from upbit_frames.store.base import Series
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
HOUR = 60 * MINUTE


def at(*parts: int) -> int:
    return to_micros(datetime(*parts, tzinfo=UTC))  # type: ignore[misc,arg-type]


MINUTE_MOMENTS = sorted(
    {0, MINUTE, at(1970, 2, 1), at(2024, 1, 1), at(2024, 2, 1), at(2024, 3, 1), at(2024, 4, 1), at(2024, 5, 1)}
    | {at(2024, 2, 1) + step * MINUTE for step in range(-12, 13)}
    | {at(2024, 4, 1) - MINUTE}
)
TRADE_MOMENTS = sorted(
    {0, at(1970, 1, 2), at(1970, 1, 3)}
    | {at(2024, 2, day) for day in range(1, 6)}
    | {at(2024, 2, 2) + step * 1_234_567 for step in range(-9, 10)}
    | {at(2024, 2, 4) + 5 * HOUR}
)


class StoreMachine(RuleBasedStateMachine):
    """Both stores and the model, side by side."""

    series: Series
    moments: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="uf-model-"))
        self.disk = ParquetStore(self.folder)
        self.memory = MemoryStore()
        self.covered: set[int] = set()
        self.rows: dict[int, list[tuple[Any, ...]]] = {}
        self.notes: dict[str, Any] = {}
        self.damaged = 0
        self.version = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # --- rows ------------------------------------------------------------------------------------

    def cell_rows(self, cell: int, salt: int) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def can_trade(self, cell: int) -> bool:
        """Files with rows end where their segment does, and files must end where cells do."""
        end = layout.segment_of(self.series.segment, self.moments[cell]).end
        return end >= self.moments[cell + 1] or end in self.moments

    def table(self, rows: list[tuple[Any, ...]]) -> pa.Table:
        schema = arrow_schema(self.series.kind)
        columns = list(zip(*rows, strict=True)) if rows else [[] for _ in schema.names]
        arrays = [
            pa.array(column, pa.int64()).cast(one.type) if one.name == "time" else pa.array(column, one.type)
            for one, column in zip(schema, columns, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    def plain(self, table: pa.Table) -> list[tuple[Any, ...]]:
        assert table.schema.equals(arrow_schema(self.series.kind), check_metadata=True)
        columns = [
            (table.column(name).cast(pa.int64()) if name == "time" else table.column(name)).to_pylist()
            for name in table.column_names
        ]
        return list(zip(*columns, strict=True))

    def known(self, low: int, high: int) -> list[tuple[Any, ...]]:
        return [row for cell in range(low, high) for row in self.rows.get(cell, [])]

    def spans(self) -> list[Span]:
        found: list[Span] = []
        for cell in sorted(self.covered):
            start, end = self.moments[cell], self.moments[cell + 1]
            if found and found[-1].end == start:
                found[-1] = Span(found[-1].start, end)
            else:
                found.append(Span(start, end))
        return found

    def draw(self, data: st.DataObject) -> tuple[int, int]:
        low = data.draw(st.integers(0, len(self.moments) - 2), label="low")
        high = data.draw(
            st.one_of(
                st.integers(low + 1, min(low + 4, len(self.moments) - 1)),
                st.integers(low + 1, len(self.moments) - 1),
            ),
            label="high",
        )
        return low, high

    # --- rules -----------------------------------------------------------------------------------

    @rule(data=st.data(), replace=st.booleans(), origin=st.sampled_from(["rest", "archive", "live"]))
    def write(self, data: st.DataObject, replace: bool, origin: str) -> None:
        low, high = self.draw(data)
        cells = [cell for cell in range(low, high) if self.can_trade(cell)]
        traded = data.draw(st.sets(st.sampled_from(cells)) if cells else st.just(set()), label="traded")
        self.version += 1
        new = {cell: self.cell_rows(cell, self.version) for cell in sorted(traded)}
        table = self.table([row for cell in sorted(new) for row in new[cell]])
        span = Span(self.moments[low], self.moments[high])
        for store in (self.disk, self.memory):
            store.write(self.series, table, span, origin=origin, replace=replace)
        for cell in range(low, high):
            if replace or cell not in self.covered:
                self.rows[cell] = new.get(cell, [])
                self.covered.add(cell)

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        low, high = self.draw(data)
        span = Span(self.moments[low], self.moments[high])
        for store in (self.disk, self.memory):
            assert self.plain(store.read(self.series, span)) == self.known(low, high)
            assert store.count(self.series, span) == len(self.known(low, high))

    @rule(data=st.data(), count=st.integers(0, 12))
    def edges(self, data: st.DataObject, count: int) -> None:
        edge = data.draw(st.integers(0, len(self.moments) - 1), label="edge")
        low = high = edge
        while low - 1 in self.covered:
            low -= 1
        while high in self.covered:
            high += 1
        tail, head = self.known(low, edge), self.known(edge, high)
        for store in (self.disk, self.memory):
            assert self.plain(store.tail(self.series, self.moments[edge], count)) == tail[max(0, len(tail) - count) :]
            assert self.plain(store.head(self.series, self.moments[edge], count)) == head[:count]

    @rule()
    def compact(self) -> None:
        for store in (self.disk, self.memory):
            store.compact(self.series)
        # The resting state: a file for each segment with rows and stretch, at most one between them.
        present = self.disk._folder(self.series).files()
        for one, after in itertools.pairwise(present):
            assert one.span.end <= after.span.start
            if one.span.end == after.span.start:
                segments = [layout.segment_of(self.series.segment, span.start) for span in (one.span, after.span)]
                assert segments[0] != segments[1] or not all(
                    self.disk.count(self.series, span) for span in (one.span, after.span)
                )

    @rule()
    def reopen(self) -> None:
        encoding._forget_all()
        self.disk = ParquetStore(self.folder)

    @rule(key=st.sampled_from(["a", "b"]), value=st.none() | st.integers() | st.dictionaries(st.text(), st.booleans()))
    def note(self, key: str, value: Any) -> None:
        for store in (self.disk, self.memory):
            store.note(self.series, key, value)
        self.notes.pop(key, None)
        if value is not None:
            self.notes[key] = value

    @precondition(lambda self: self.covered)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        folder = self.disk._folder(self.series)
        victim = data.draw(st.sampled_from(folder.files()), label="victim")
        path = folder.path / victim.name
        body = bytearray(path.read_bytes())
        keep = data.draw(st.integers(0, len(body) - 1), label="keep")
        path.write_bytes(body[:keep])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = self.disk.verify(self.series)
        self.damaged += 1
        assert [one.category for one in caught] == [UpbitFramesWarning]
        assert len([one for one in found if one.problem in ("corrupt", "repaired")]) == self.damaged
        lost = [
            cell
            for cell in self.covered
            if victim.span.start <= self.moments[cell] and self.moments[cell + 1] <= victim.span.end
        ]
        for cell in lost:
            self.covered.discard(cell)
            self.rows.pop(cell, None)
        # Memory does not rot: the model's loss is repeated there.
        with self.memory._lock:
            self.memory._stored[self.series].remove(victim.span)

    @rule()
    def clear(self) -> None:
        if self.version % 5:
            return
        for store in (self.disk, self.memory):
            store.clear(market=self.series.market)
        self.covered.clear()
        self.rows.clear()
        self.notes.clear()
        self.damaged = 0

    # --- what always holds -----------------------------------------------------------------------

    @invariant()
    def same(self) -> None:
        for store in (self.disk, self.memory):
            assert store.covered(self.series) == self.spans()
            assert store.notes(self.series) == self.notes
            assert store.series() == ([self.series] if self.covered else [])
        known = self.known(0, len(self.moments) - 1)
        info = self.disk.info(self.series)
        assert info.rows == len(known)
        assert (info.first, info.last) == ((known[0][0], known[-1][0]) if known else (None, None))
        assert self.plain(self.disk.read(self.series, Span(0, self.moments[-1]))) == known


class CandleMachine(StoreMachine):
    series = Series("candles", "KRW-BTC", "1m")
    moments = MINUTE_MOMENTS

    def cell_rows(self, cell: int, salt: int) -> list[tuple[Any, ...]]:
        price = float(salt)
        return [(self.moments[cell], price, price + 2, price - 1, price + 1, cell / 8, price * cell)]


class TradeMachine(StoreMachine):
    series = Series("trades", "KRW-BTC")
    moments = TRADE_MOMENTS

    def cell_rows(self, cell: int, salt: int) -> list[tuple[Any, ...]]:
        start = self.moments[cell]
        times = [start, start, start + 1] if salt % 2 else [start + 7]
        archive = salt % 3 == 0
        return [
            (time, float(salt), 0.5, salt / 2, "ask", None if archive else 10 * cell + n, n if archive else None)
            for n, time in enumerate(times)
        ]


_SETTINGS = settings(max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck))
TestCandles = CandleMachine.TestCase
TestCandles.settings = _SETTINGS
TestTrades = TradeMachine.TestCase
TestTrades.settings = _SETTINGS
