"""Looking up many interactions."""

from __future__ import annotations

from typing import Any

import pytest

from upbit_frames.replay.interactions import Interaction, InteractionLog
from upbit_frames.replay.matching import RequestKey, nearest

URI = "http://stand-in.invalid/v1/market/all"


def test_a_repeated_request_is_matched_by_position() -> None:
    """Taking ten thousand answers to one question looks at each place once."""
    looked = 0

    class Places(list[int]):
        def __getitem__(self, place: Any) -> Any:
            nonlocal looked
            looked += 1
            return super().__getitem__(place)

        def __iter__(self) -> Any:
            raise AssertionError("every place was looked at")

    log = InteractionLog([Interaction(URI, 200, {}, b"[]", {})] * 10_000, replays=True, protected=False)
    key = RequestKey.parse(URI)
    log.positions = {key: Places(log.positions[key])}
    for _ in range(10_000):
        assert log.take(key) is not None
    assert (log.take(key), looked) == (None, 10_000)


def test_the_nearest_of_many_compares_few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    import difflib

    compared = 0
    ratio = difflib.SequenceMatcher.ratio

    def counted(self: Any) -> float:
        nonlocal compared
        compared += 1
        return ratio(self)

    monkeypatch.setattr(difflib.SequenceMatcher, "ratio", counted)
    many = [RequestKey("kr", "v1/ticker", (("markets", f"KRW-C{n}"),)) for n in range(20_000)]
    near = nearest(RequestKey("kr", "v1/ticker", (("markets", "KRW-C17"), ("more", "1"))), many)
    assert near == many[17]
    assert compared <= 200
