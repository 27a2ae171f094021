"""Small files become larger ones: few lie side by side, and rows are not rewritten often."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from upbit_frames.core.intervals import Span
from upbit_frames.store import writer as writing
from upbit_frames.store.merging import FAN_IN, MAX_FILES, neighbours_to_merge, tier
from upbit_frames.store.parquet import ParquetStore

sizes = st.lists(st.integers(1, 3_000_000), max_size=40)


@given(sizes, sizes, st.integers(1, 100_000))
def test_only_neighbours_without_a_gap_are_taken(before: list[int], after: list[int], size: int) -> None:
    left, right = neighbours_to_merge(before, after, size)
    assert 0 <= left <= len(before)
    assert 0 <= right <= len(after)
    merged = [*before[len(before) - left :], size, *after[:right]]
    if len(before) + len(after) >= MAX_FILES:
        assert len(merged) == len(before) + len(after) + 1
    elif len(merged) > 1:
        assert len(merged) >= FAN_IN


@settings(max_examples=30)
@given(
    st.integers(1, 400).flatmap(lambda count: st.lists(st.integers(900, 7_000), min_size=count, max_size=count)),
    st.sampled_from(["down", "up"]),
)
def test_a_walk_leaves_few_files_and_rewrites_little(pages: list[int], direction: str) -> None:
    present: list[int] = []
    rewritten = 0
    for size in pages:
        before, after = ([], present) if direction == "down" else (present, [])
        left, right = neighbours_to_merge(before, after, size)
        merged = [*before[len(before) - left :], size, *after[:right]]
        if len(merged) > 1:
            rewritten += sum(merged)
        present = [*before[: len(before) - left], sum(merged), *after[right:]]
        assert len(present) <= (FAN_IN - 1) * (tier(sum(pages)) + 1)
    # Every byte moves up at most one tier a rewrite; the smallest files may be rewritten within theirs.
    assert rewritten <= sum(pages) * (tier(sum(pages)) + 2) + FAN_IN * 8_192


@settings(max_examples=30)
@given(st.data())
def test_whatever_the_order_there_are_never_many_files_side_by_side(data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(120)))
    files: dict[tuple[int, int], int] = {}
    for page in order:
        before: list[tuple[int, int]] = []
        low = page
        while found := next((one for one in files if one[1] == low), None):
            before.insert(0, found)
            low = found[0]
        after: list[tuple[int, int]] = []
        high = page + 1
        while found := next((one for one in files if one[0] == high), None):
            after.append(found)
            high = found[1]
        left, right = neighbours_to_merge([files[one] for one in before], [files[one] for one in after], 6_000)
        taken = [*before[len(before) - left :], *after[:right]]
        span = (min([page, *(one[0] for one in taken)]), max([page + 1, *(one[1] for one in taken)]))
        files[span] = 6_000 + sum(files.pop(one) for one in taken)
        assert len(before) + len(after) - len(taken) <= MAX_FILES


def backfill(store: ParquetStore, kit: Any, first: int, last: int, page: int = 200) -> int:
    """Pages from the newest to the oldest, as they arrive; the most files seen on the way."""
    most = 0
    high = last
    while high > first:
        low = max(first, high - page)
        store.write(kit.series, *kit.page(low, high - low))
        most = max(most, len(kit.names(store, kit.series)))
        high = low
    return most


def test_a_backfill_leaves_one_file_a_month(store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    real = writing._encoded

    def counting(folder: Any, new: Any) -> Any:
        written.append(len(new.table))
        return real(folder, new)

    monkeypatch.setattr(writing, "_encoded", counting)
    rows = 31 * 1440 + 3 * 1440
    most = backfill(store, kit, 0, rows, page=400)
    assert kit.names(store, kit.series)[0] == "2024-01-01T000000Z_2024-02-01T000000Z.parquet"
    assert len(kit.names(store, kit.series)) <= 1 + 2 * (FAN_IN - 1)
    assert most <= 4 * (FAN_IN - 1)
    assert sum(written) <= 6 * rows
    store.compact(kit.series)
    assert kit.names(store, kit.series) == [
        "2024-01-01T000000Z_2024-02-01T000000Z.parquet",
        "2024-02-01T000000Z_2024-02-04T000000Z.parquet",
    ]
    everything = Span(kit.start, kit.start + rows * kit.minute)
    assert kit.times(store.read(kit.series, everything)) == list(range(*everything, kit.minute))


def test_one_candle_a_call_does_not_pile_up(store: ParquetStore, kit: Any) -> None:
    for minute in range(100):
        store.write(kit.series, *kit.page(minute, 1))
        assert len(kit.names(store, kit.series)) <= FAN_IN
    assert store.count(kit.series, Span(kit.start, kit.start + 100 * kit.minute)) == 100


def test_compacting_twice_changes_nothing(store: ParquetStore, kit: Any) -> None:
    backfill(store, kit, 0, 3_000)
    store.compact(kit.series)
    before = {name: (store._folder(kit.series).path / name).stat().st_mtime_ns for name in kit.names(store, kit.series)}
    store.compact(kit.series)
    assert before == {
        name: (store._folder(kit.series).path / name).stat().st_mtime_ns for name in kit.names(store, kit.series)
    }
    assert len(before) == 1


def test_a_merged_file_counts_with_its_new_size() -> None:
    """Eight small files become one that is the eighth of the next size, so all become one."""
    larger, smaller = [30_000] * 7, [5_000] * 7
    assert neighbours_to_merge([*larger, *smaller], [], 5_000) == (14, 0)
    assert neighbours_to_merge([], [*smaller, *larger], 5_000) == (0, 14)
    assert neighbours_to_merge([*larger[1:], *smaller], [], 5_000) == (7, 0)
