"""When a slot may be taken again, by what all processes know of round trips."""

from __future__ import annotations

from pathlib import Path

import pytest

from upbit_frames.exchange.transport.rate_limit_state import DOUBT, FEW, MANY, RECENT, SharedSlots, Taken


class Asking:
    """Requests one after the other in the only slot there is, each as soon as it may leave."""

    def __init__(self, folder: Path, now: float = 1000.0) -> None:
        self.processes = [SharedSlots("test", folder=folder) for _ in range(2)]
        self.now = now

    def ask(self, trip: float | None, process: int = 0) -> float:
        """How long after its request the slot was free again, less the second."""
        slots = self.processes[process]
        got = slots.take("candles", self.now, 1)
        assert isinstance(got, Taken)
        sent = self.now
        self.now += trip or 0.5
        slots.give_back(got, self.now, 1.0, trip)
        wait = self.processes[1 - process].take("candles", self.now, 1)
        assert isinstance(wait, float)
        self.now += wait
        return self.now - sent - 1.0


def test_with_a_steady_round_trip_a_slot_goes_round_once_a_second(tmp_path: Path) -> None:
    it = Asking(tmp_path)
    late = [it.ask(0.2, number % 2) for number in range(MANY + 5)]
    assert late[: FEW - 1] == pytest.approx([0.2] * (FEW - 1))  # nothing is certain yet
    assert late[FEW - 1 : MANY - 1] == pytest.approx([DOUBT] * (MANY - FEW))
    assert late[MANY - 1 :] == pytest.approx([0.0] * 6)


def test_the_fastest_round_trip_of_all_processes_counts(tmp_path: Path) -> None:
    it = Asking(tmp_path)
    for _ in range(MANY):
        it.ask(0.2)
    assert it.ask(0.05, 1) == pytest.approx(0.0)
    assert it.ask(0.2, 0) == pytest.approx(0.15)  # another one may be as fast


def test_old_round_trips_are_forgotten(tmp_path: Path) -> None:
    it = Asking(tmp_path)
    begun = it.now
    it.ask(0.05)
    while it.now < begun + RECENT:
        assert it.ask(0.2) >= 0.15 - 1e-9
    while it.now < begun + 3 * RECENT:
        late = it.ask(0.2)
    assert late == pytest.approx(0.0)
    it.now += 2 * RECENT  # nobody asked for long: the network may be another one
    assert it.ask(0.2) == pytest.approx(0.2)


def test_without_an_answer_nothing_is_certain(tmp_path: Path) -> None:
    it = Asking(tmp_path)
    for _ in range(MANY):
        it.ask(0.2)
    assert it.ask(None) == pytest.approx(0.5)
    assert it.ask(0.2) == pytest.approx(0.0)


def test_a_slot_taken_after_our_look_at_the_clock_is_not_free(tmp_path: Path) -> None:
    """Another process may take slots between reading the clock here and holding the lock."""
    first, second = SharedSlots("test", folder=tmp_path), SharedSlots("test", folder=tmp_path)
    for _ in range(10):
        assert isinstance(first.take("ticker", 1000.002, 10), Taken)
    assert not isinstance(second.take("ticker", 1000.0, 10), Taken)
