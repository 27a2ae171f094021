"""Rows and coverage of one reading agree, whatever happens to the store between listing and opening."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.conformance.stores import fill

from upbit_frames.core.intervals import intersect, subtract
from upbit_frames.store import encoding
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.store.results import Reading


def remove_all(store: ParquetStore, kit: Any) -> None:
    for name in kit.names(store, kit.series):
        (store._folder(kit.series).path / name).unlink()


def remove_second(store: ParquetStore, kit: Any) -> None:
    (store._folder(kit.series).path / kit.names(store, kit.series)[1]).unlink()


def prune(store: ParquetStore, kit: Any) -> None:
    store.prune(before=kit.moment("2024-02-15"), force=True)


def clear(store: ParquetStore, kit: Any) -> None:
    store.clear()


def once(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[], None]) -> list[str]:
    """Let a change happen right before the first file is opened, after the folder was listed."""
    real, done = getattr(encoding, name), []

    def opening(path: str, *args: Any, **kwargs: Any) -> Any:
        if not done:
            done.append(path)
            change()
        return real(path, *args, **kwargs)

    monkeypatch.setattr(encoding, name, opening)
    return done


@pytest.mark.parametrize("change", [remove_all, remove_second, prune, clear])
def test_a_file_that_goes_after_the_listing_is_not_covered(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]
) -> None:
    whole = fill(store, kit)
    done = once(monkeypatch, "read_part", lambda: change(store, kit))
    reading = store.read_covered(kit.series, whole)
    assert done
    # Threads read side by side, so a file may have been opened before it went; then its rows are here.
    expected = [t for span in reading.covered for t in range(*span, 60 * kit.minute)]
    assert kit.times(reading.table) == expected


@pytest.mark.parametrize("change", [remove_all, remove_second, prune, clear])
@pytest.mark.parametrize("edge", ["tail", "head"])
def test_an_edge_stops_at_what_went_after_the_listing(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None], edge: str
) -> None:
    whole = fill(store, kit)
    done = once(monkeypatch, "read_footer", lambda: change(store, kit))
    work: Callable[[], Reading] = {
        "tail": lambda: store.tail_covered(kit.series, whole.end, 10**6),
        "head": lambda: store.head_covered(kit.series, whole.start, 10**6),
    }[edge]
    reading = work()
    assert done
    assert subtract([whole], reading.covered)
    expected = [t for span in reading.covered for t in range(*span, 60 * kit.minute)]
    assert kit.times(reading.table) == expected


@pytest.mark.parametrize("change", [remove_all, remove_second, prune, clear])
def test_a_count_counts_what_it_covers(
    store: ParquetStore, kit: Any, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]
) -> None:
    whole = fill(store, kit)
    done = once(monkeypatch, "count_part", lambda: change(store, kit))
    counted = store.count_covered(kit.series, whole)
    assert done
    assert intersect([whole], counted.covered) == counted.covered
    assert counted.rows == sum(len(range(*span, 60 * kit.minute)) for span in counted.covered)
