"""Reading some columns: the same rows as of all of them, and no other bytes of a file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbit_frames.core.intervals import Span
from upbit_frames.core.query import parse_columns
from upbit_frames.core.schema import KINDS, arrow_schema
from upbit_frames.errors import CorruptFile, QueryError, UpbitFramesWarning
from upbit_frames.store import encoding
from upbit_frames.store.base import Series, Store
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.parquet import ParquetStore

MINUTE = 60_000_000
START = 1_704_067_200_000_000  # 2024-01-01
NUMBERS = arrow_schema("candles").names[1:]


def candles(first: int, count: int) -> tuple[pa.Table, Span]:
    """A page of minutes in which every column has values of its own."""
    at = np.arange(first, first + count)
    columns = [pa.array(START + at * MINUTE).cast(pa.timestamp("us", tz="UTC"))]
    columns += [pa.array(1000.0 * number + at) for number in range(len(NUMBERS))]
    table = pa.Table.from_arrays(columns, schema=arrow_schema("candles"))
    return table, Span(START + first * MINUTE, START + (first + count) * MINUTE)


SERIES = Series("candles", "KRW-BTC", "1m")


@pytest.fixture(scope="module", params=["parquet", "memory"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Five months in files of their own, with a hole in the third."""
    store: Store = MemoryStore() if request.param == "memory" else ParquetStore(tmp_path_factory.mktemp("columns"))
    store.write(SERIES, *candles(0, 100_000))
    store.write(SERIES, *candles(101_000, 90_000))
    return store


@given(
    columns=st.sets(st.sampled_from(NUMBERS)).map(lambda some: ("time", *(n for n in NUMBERS if n in some))),
    low=st.integers(-500, 195_000),
    length=st.integers(1, 195_000),
    count=st.integers(1, 30_000),
)
def test_some_columns_are_those_of_the_whole_reading(
    filled: Store, columns: tuple[str, ...], low: int, length: int, count: int
) -> None:
    span = Span(START + max(0, low) * MINUTE, START + (max(0, low) + length) * MINUTE)
    for some, whole in (
        (filled.read_covered(SERIES, span, columns), filled.read_covered(SERIES, span)),
        (filled.tail_covered(SERIES, span.end, count, columns), filled.tail_covered(SERIES, span.end, count)),
        (filled.head_covered(SERIES, span.start, count, columns), filled.head_covered(SERIES, span.start, count)),
    ):
        assert some.covered == whole.covered
        assert some.table.schema.equals(arrow_schema("candles", columns), check_metadata=True)
        assert some.table.equals(whole.table.select(columns))


@pytest.mark.skipif(
    not Path("/proc/self/io").exists(), reason="counts the bytes that the process reads, as Linux tells"
)
def test_only_the_chunks_of_these_columns_are_read(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    random = np.random.default_rng(1)
    count = 40_000
    times = pa.array(START + np.arange(count) * MINUTE).cast(pa.timestamp("us", tz="UTC"))
    numbers = [pa.array(random.random(count)) for _ in NUMBERS]
    whole = Span(START, START + count * MINUTE)
    store.write(SERIES, pa.Table.from_arrays([times, *numbers], schema=arrow_schema("candles")), whole)
    store.read(SERIES, whole)  # the first reading verifies checksums, which are over all bytes

    def bytes_read(columns: tuple[str, ...] | None) -> int:
        def total() -> int:
            return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])

        before = total()
        store.read_covered(SERIES, whole, columns)
        return total() - before

    everything, close = bytes_read(None), bytes_read(("time", "close"))
    assert everything > 8 * count * len(NUMBERS) * 0.8  # random numbers do not compress
    assert close < everything / 4


def test_a_damaged_chunk_is_noticed_by_the_first_reading_of_another_column(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    table, span = candles(0, 1_000)
    store.write(SERIES, table, span)
    (path,) = tmp_path.rglob("*.parquet")
    store.read_covered(SERIES, span, ("time", "close"))
    footer = store._folder(SERIES).footer(store._folder(SERIES).files()[0]).seal.metadata
    chunk = footer.row_group(0).column(NUMBERS.index("volume") + 1)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    with pytest.warns(UpbitFramesWarning, match="damaged"), pytest.raises(CorruptFile):
        store.read_covered(SERIES, span, ("time", "close"))


def test_what_was_read_of_some_columns_vouches_for_no_others(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    table, span = candles(0, 1_000)
    store.write(SERIES, table, span)
    folder = store._folder(SERIES)
    store.read_covered(SERIES, span, ("time", "close"))
    footer = folder.footer(folder.files()[0])
    assert footer.is_sound(range(1), ("time", "close"))
    assert not footer.is_sound(range(1), ("time", "close", "volume"))
    store.read(SERIES, span)
    assert footer.is_sound(range(1), tuple(arrow_schema("candles").names))


def test_the_names_of_columns_are_checked() -> None:
    assert parse_columns("candles", None) is None
    assert parse_columns("candles", "close") == ("close",)
    assert parse_columns("candles", ["value", "time", "close", "value", "market"]) == ("value", "close")
    assert parse_columns("trades", np.array(["price"])) == ("price",)
    assert parse_columns("candles", ["filled"], ("filled",)) == ("filled",)
    for kind, columns in KINDS.items():
        for column in columns:
            assert parse_columns(kind, [column.name]) in ((column.name,), ())
    for wrong, hint in (
        (["clos"], "did you mean 'close'.*there are time, open, high, low, close, volume, value"),
        (["Close"], "did you mean 'close'"),
        ([3], "there are time, open"),
        ([], "leave it out for all"),
        (7, "there are time, open"),
        (["filled"], "there are time"),
    ):
        with pytest.raises(QueryError, match="column") as caught:
            parse_columns("candles", wrong)
        assert re.search(hint, str(caught.value), re.DOTALL)


def test_a_file_without_row_groups_has_the_columns_wanted(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    span = Span(START, START + 60 * MINUTE)
    store.write(SERIES, arrow_schema("candles").empty_table(), span)
    (path,) = tmp_path.rglob("*.parquet")
    assert encoding.read_part(str(path), SERIES, span, span, columns=("time", "close")).column_names == [
        "time",
        "close",
    ]
    assert store.read_covered(SERIES, span, ("time", "close")).table.column_names == ["time", "close"]
