"""What every store does, whatever it is made of."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from upbit_frames.core.intervals import INTERVALS, Span, merge
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import StoreError
from upbit_frames.store.base import Series, Store
from upbit_frames.store.results import Counted

__all__ = ["StoreConformance", "fill"]

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
BASE = 1_704_067_200_000_000  # 2024-01-01
MONTHS = ("2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01")


def fill(store: Store, kit: Any) -> Span:
    """Write hourly rows of four months, so that a covered range has several files."""
    moments = [kit.moment(text) for text in MONTHS]
    for low, high in pairwise(moments):
        store.write(kit.series, kit.candles(list(range(low, high, 60 * kit.minute))), Span(low, high))
    return Span(moments[0], moments[-1])


def invalid_writes(kit: Any) -> dict[str, tuple[Series, pa.Table, Span, str]]:
    """Return writes that must be refused, with a part of the message."""
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
        "books descending": (Series("orderbook", "KRW-BTC"), kit.books([BASE + 1, BASE]), span, "the time decreases"),
        "a book without sizes": (
            Series("orderbook", "KRW-BTC"),
            kit.books([BASE]).set_column(3, "ask_size", pa.array([[1.0]], pa.list_(pa.float64()))),
            span,
            "another number",
        ),
        "trades with one id": (trades, kit.trades([BASE, BASE], [1, 1]), span, "does not increase"),
        "trades without id": (trades, nameless, span, "neither"),
    }  # fmt: skip


class StoreConformance:
    """Inherited by the tests of every implementation of :class:`upbit_frames.store.base.Store`.

    A subclass is named ``Test…`` and has a fixture ``store`` that returns an empty store. The fixture
    ``kit`` of ``tests/store/conftest.py`` builds the rows.
    """

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("the subclass returns an empty store")

    def test_what_is_covered_stays_unless_it_is_to_be_replaced(self, store: Store, kit: Any) -> None:
        old, span = kit.page(0, 10, value=100.0)
        store.write(kit.series, old, span)
        new, wider = kit.page(-5, 20, value=500.0)
        store.write(kit.series, new, wider)
        opens = store.read(kit.series, wider).column("open").to_pylist()
        assert [price >= 500 for price in opens] == [True] * 5 + [False] * 10 + [True] * 5
        store.write(kit.series, new, wider, replace=True)
        assert store.read(kit.series, wider).equals(new)

    def test_an_empty_answer_never_replaces_rows_unasked(self, store: Store, kit: Any) -> None:
        table, span = kit.page(0, 10)
        store.write(kit.series, table, span)
        store.write(kit.series, table.slice(0, 0), Span(0, span.end + 60 * kit.minute))
        assert store.read(kit.series, span).equals(table)
        assert store.covered(kit.series) == [Span(0, span.end + 60 * kit.minute)]

    def test_trades_come_back_in_order_from_rest_and_from_the_archive(self, store: Store, kit: Any) -> None:
        series = Series("trades", "KRW-BTC")
        start = kit.moment("2024-01-01")
        archive = kit.trades([start, start, start + 5], [1, 2, 1], archive=True)
        rest = kit.trades([start + DAY, start + DAY], [17_000, 17_001])
        store.write(series, archive, Span(start, start + DAY), origin="archive")
        store.write(series, rest, Span(start + DAY, start + DAY + 1), origin="rest")
        everything = Span(start, start + 2 * DAY)
        assert store.read(series, everything).equals(pa.concat_tables([archive, rest]))
        assert store.read(series, Span(start, start + 1)).equals(archive.slice(0, 2))
        assert store.count(series, Span(start + 1, start + DAY + 1)) == 3

    def test_order_books_come_back_in_the_order_they_were_given(self, store: Store, kit: Any) -> None:
        series = Series("orderbook", "KRW-BTC")
        start = kit.moment("2024-01-01")
        first = kit.books([start, start, start + 100_000, start + 200_000])
        second = kit.books([start + DAY, start + DAY + 5])
        store.write(series, first, Span(start, start + DAY), origin="live")
        store.write(series, second, Span(start + DAY, start + DAY + 10), origin="live")
        store.write(series, kit.books([start + 1]), Span(start, start + 2), origin="live")
        everything = Span(start, start + 2 * DAY)
        assert store.read(series, everything).equals(pa.concat_tables([first, second]))
        assert store.covered(series) == [Span(start, start + DAY + 10)]
        assert store.read_covered(series, everything, ("time", "bid_price")).table["bid_price"].to_pylist() == [
            *first["bid_price"].to_pylist(),
            *second["bid_price"].to_pylist(),
        ]
        assert store.tail(series, start + DAY, 1).equals(first.slice(3))
        assert [str(one) for one in store.series()] == ["orderbook KRW-BTC"]
        assert store.clear(kind="orderbook") >= 0
        assert store.series() == []

    def test_order_books_are_kept_when_space_is_freed(self, store: Store, kit: Any) -> None:
        store.write(Series("orderbook", "KRW-BTC"), kit.books([kit.start]), Span(kit.start, kit.start + 1))
        assert store.prune(max_bytes=0) == 0
        assert store.prune(max_bytes=0, force=True) > 0

    def test_info_and_series(self, store: Store, kit: Any) -> None:
        assert store.series() == []
        for name in ("1M", "1m", "1s"):
            store.write(Series("candles", "KRW-BTC", name), kit.candles([kit.start]), Span(kit.start, kit.start + DAY))
        store.write(Series("trades", "KRW-ADA"), kit.trades([kit.start], [1]), Span(kit.start, kit.start + DAY))
        store.note(Series("candles", "KRW-XRP", "1m"), "only", "a note")
        assert [str(one) for one in store.series()] == [
            "candles KRW-BTC 1s", "candles KRW-BTC 1m", "candles KRW-BTC 1M", "trades KRW-ADA",
        ]  # fmt: skip
        info = store.info(Series("candles", "KRW-BTC", "1m"))
        assert (info.rows, info.files, info.covered) == (1, 1, (Span(kit.start, kit.start + DAY),))
        assert (info.first, info.last) == (kit.start, kit.start)
        assert info.bytes > 0
        nothing = store.info(Series("candles", "KRW-XRP", "1m"))
        assert (nothing.rows, nothing.files, nothing.bytes, nothing.covered, nothing.first) == (0, 0, 0, (), None)

    def test_notes_are_json_and_survive(self, store: Store, kit: Any) -> None:
        store.note(kit.series, "digest", {"2024-01": "abc", "n": 3})
        assert store.notes(kit.series) == {"digest": {"2024-01": "abc", "n": 3}}
        store.notes(kit.series)["digest"]["n"] = 4
        assert store.notes(kit.series)["digest"]["n"] == 3
        for wrong in (object(), float("nan"), {1, 2}):
            with pytest.raises(StoreError, match="JSON"):
                store.note(kit.series, "wrong", wrong)
        store.note(kit.series, "digest", None)
        assert store.notes(kit.series) == {}

    def test_clear_takes_what_matches_and_nothing_else(self, store: Store, kit: Any) -> None:
        all_series = [Series("candles", market, name) for market in ("KRW-BTC", "KRW-ETH") for name in ("1m", "1h")]
        all_series.append(Series("trades", "KRW-BTC"))
        for series in all_series:
            table = kit.candles([kit.start]) if series.kind == "candles" else kit.trades([kit.start], [1])
            store.write(series, table, Span(kit.start, kit.start + DAY))
            store.note(series, "a", 1)
        assert store.clear(market="KRW-ETH", interval="1h") > 0
        assert store.clear(market="KRW-ADA") == 0
        assert set(store.series()) == set(all_series) - {Series("candles", "KRW-ETH", "1h")}
        assert store.notes(Series("candles", "KRW-ETH", "1h")) == {}
        store.clear(kind="candles")
        assert store.series() == [Series("trades", "KRW-BTC")]
        assert store.clear() > 0
        assert store.series() == []
        table, span = kit.page(0, 5)
        store.write(kit.series, table, span)
        assert store.read(kit.series, span).equals(table)

    def test_verify_finds_nothing_wrong_in_a_right_store(self, store: Store, kit: Any) -> None:
        for first in (0, 300, 900):
            store.write(kit.series, *kit.page(first, 250))
        store.write(Series("trades", "KRW-BTC"), kit.trades([kit.start], [1]), Span(kit.start, kit.start + DAY))
        assert store.verify() == []
        assert store.problems() == []

    def test_nothing_is_written_of_rows_that_are_not_right(self, store: Store, kit: Any) -> None:
        for name, (series, table, span, complaint) in invalid_writes(kit).items():
            for replace in (False, True):
                with pytest.raises(StoreError, match=complaint) as caught:
                    store.write(series, table, span, replace=replace)
                assert caught.value.suggestion, name
                assert store.covered(series) == [], name
        if store.path is not None:
            assert not store.path.exists()

    def test_an_unknown_origin_is_refused(self, store: Store, kit: Any) -> None:
        table, span = kit.page(0, 3)
        with pytest.raises(StoreError, match="origin"):
            store.write(kit.series, table, span, origin="hearsay")

    @pytest.mark.parametrize("name", list(INTERVALS))
    def test_every_interval_has_its_grid(self, store: Store, kit: Any, name: str) -> None:
        interval = INTERVALS[name]
        series = Series("candles", "KRW-BTC", name)
        starts = interval.starts(BASE, interval.shift(interval.ceil(BASE), 5))
        span = Span(starts[0], interval.shift(starts[-1], 1))
        store.write(series, kit.candles(starts), span)
        assert kit.times(store.read(series, span)) == starts
        with pytest.raises(StoreError, match=f"no period of {name}"):
            store.write(series, kit.candles([starts[0] + 500_000]), span, replace=True)
        assert kit.times(store.read(series, span)) == starts

    def test_metadata_of_columns_does_not_matter_and_comes_back_in_full(self, store: Store, kit: Any) -> None:
        table, span = kit.page(0, 3)
        bare = table.replace_schema_metadata(None)
        bare = pa.Table.from_arrays(bare.columns, schema=pa.schema([one.remove_metadata() for one in bare.schema]))
        store.write(kit.series, bare, span)
        got = store.read(kit.series, span)
        assert got.schema.equals(arrow_schema("candles"), check_metadata=True)
        assert got.equals(table)

    def test_an_empty_answer_has_the_full_schema(self, store: Store, kit: Any) -> None:
        for series in (kit.series, Series("trades", "KRW-BTC")):
            for table in (store.read(series, Span(0, BASE)), store.tail(series, BASE, 5)):
                assert len(table) == 0
                assert table.schema.equals(arrow_schema(series.kind), check_metadata=True)

    def test_a_reading_says_what_it_covers(self, store: Store, kit: Any) -> None:
        whole = fill(store, kit)
        outside = Span(whole.start - 60 * kit.minute, whole.end + 60 * kit.minute)
        assert store.read_covered(kit.series, outside) == (store.read(kit.series, whole), [whole])
        assert store.count_covered(kit.series, outside) == Counted(store.count(kit.series, whole), [whole])
        tail = store.tail_covered(kit.series, whole.end, 5)
        assert (len(tail.table), tail.covered) == (5, [whole])
        head = store.head_covered(kit.series, whole.start + 60 * kit.minute, 5)
        assert (len(head.table), head.covered) == (5, [Span(whole.start + 60 * kit.minute, whole.end)])
        for nothing in (
            store.read_covered(kit.series, Span(whole.end, outside.end)),
            store.tail_covered(kit.series, outside.end, 5),
            store.head_covered(kit.series, whole.end, 5),
        ):
            assert (len(nothing.table), nothing.covered) == (0, [])

    def test_a_range_is_cut_into_what_is_covered(self, store: Store, kit: Any) -> None:
        whole = fill(store, kit)
        later = Span(whole.end + 60 * kit.minute, whole.end + 120 * kit.minute)
        store.write(kit.series, kit.candles([]), later)
        outside = Span(whole.start - 60 * kit.minute, later.end + 60 * kit.minute)
        cuts = store.cuts(kit.series, outside)
        assert merge(cuts) == [whole, later]
        assert all(cut.end <= after.start for cut, after in pairwise(cuts))
        tables = [store.read(kit.series, cut) for cut in cuts]
        assert pa.concat_tables(tables).equals(store.read(kit.series, outside))
        inside = Span(whole.start + 90 * kit.minute, whole.start + 95 * kit.minute)
        assert merge(store.cuts(kit.series, inside)) == [inside]
        assert store.cuts(kit.series, Span(later.end, outside.end)) == []

    def test_trades_without_their_ids(self, store: Store, kit: Any) -> None:
        series = Series("trades", "KRW-BTC")
        times = [kit.start + 1000 * (at // 3) for at in range(300)]
        table = kit.trades(times, range(1, 301))
        span = Span(kit.start, kit.start + kit.minute)
        store.write(series, table, span)
        assert store.read_covered(series, span, ("time", "price", "side")).table.equals(
            table.select(["time", "price", "side"])
        )
        assert store.read(series, span).equals(table)

    def test_the_interface_is_complete(self, store: Store) -> None:
        for name, declared in inspect.getmembers(Store, inspect.isfunction):
            if not name.startswith("_"):
                method = inspect.signature(getattr(store, name))
                assert list(method.parameters) == list(inspect.signature(declared).parameters)[1:], name

    def test_reading_some_columns_selects_them(self, store: Store, kit: Any) -> None:
        whole = fill(store, kit)
        columns = ("time", "close")
        expected = store.read(kit.series, whole).select(list(columns))
        assert store.read_covered(kit.series, whole, columns) == (expected, [whole])
        assert store.tail_covered(kit.series, whole.end, 7, columns).table.equals(expected.slice(len(expected) - 7))
        assert store.head_covered(kit.series, whole.start, 7, columns).table.equals(expected.slice(0, 7))

    def test_compacting_changes_neither_rows_nor_coverage(self, store: Store, kit: Any) -> None:
        for number in range(0, 40, 2):
            store.write(kit.series, *kit.page(number * 10, 10))
        store.write(kit.series, *kit.page(10, 10))
        covered = store.covered(kit.series)
        table = store.read(kit.series, Span(0, covered[-1].end))
        store.compact(kit.series)
        assert store.covered(kit.series) == covered
        assert store.read(kit.series, Span(0, covered[-1].end)).equals(table)

    def test_files_are_those_of_the_range_and_never_overlap(self, store: Store, kit: Any) -> None:
        whole = fill(store, kit)
        files = store.files(kit.series)
        if store.path is None:
            assert files == []
            return
        assert [file.span for file in files] == [Span(*edges) for edges in pairwise(map(kit.moment, MONTHS))]
        assert sum(file.rows for file in files) == store.count(kit.series, whole)
        assert all(file.path.stat().st_size == file.bytes for file in files)
        february = Span(kit.moment("2024-02-10"), kit.moment("2024-02-11"))
        assert store.files(kit.series, february) == files[1:2]

    def test_pruning_gives_back_whole_segments_and_keeps_what_it_must(self, store: Store, kit: Any) -> None:
        fill(store, kit)
        recent = Series("trades", "KRW-BTC")
        store.write(recent, kit.trades([kit.start], [1]), Span(kit.start, kit.start + DAY))
        with pytest.raises(StoreError):
            store.prune()
        assert store.prune(before=kit.moment("2024-03-10")) > 0
        assert store.covered(kit.series) == [Span(kit.moment("2024-03-01"), kit.moment("2024-05-01"))]
        assert store.count(recent, Span(kit.start, kit.start + DAY)) == 1  # REST serves it no more
        assert store.prune(before=kit.moment("2024-05-01"), keep=[kit.series], force=True) > 0
        assert store.series() == [kit.series]

    def test_reading_from_many_threads_while_one_writes(self, store: Store, kit: Any) -> None:
        fill(store, kit)
        whole = Span(kit.moment(MONTHS[0]), kit.moment(MONTHS[-1]))
        expected = store.read(kit.series, whole)

        def rewrite() -> None:
            store.write(kit.series, expected, whole, replace=True)

        with ThreadPoolExecutor(4) as pool:
            writes = [pool.submit(rewrite) for _ in range(4)]
            reads = [pool.submit(store.read_covered, kit.series, whole) for _ in range(12)]
            assert all(read.result() == (expected, [whole]) for read in reads)
            assert all(write.result() is None for write in writes)
