"""The store in memory."""

from __future__ import annotations

from typing import Any

import pytest
from support.conformance.stores import StoreConformance

from upbit_frames.core.intervals import Span
from upbit_frames.store.memory import MemoryStore


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


def test_a_forgotten_range_is_unknown_again(kit: Any) -> None:
    store = MemoryStore()
    table, span = kit.page(0, 10)
    store.write(kit.series, table, span)
    store.forget(kit.series, Span(span.start + 3 * kit.minute, span.start + 5 * kit.minute))
    assert store.covered(kit.series) == [
        Span(span.start, span.start + 3 * kit.minute), Span(span.start + 5 * kit.minute, span.end),
    ]  # fmt: skip
    assert kit.times(store.read(kit.series, span)) == [
        span.start + at * kit.minute for at in range(10) if at not in (3, 4)
    ]
