"""Work in several threads: every result in its place, errors raised, never nested."""

from __future__ import annotations

import os
import threading

import pytest

from upbit_frames.runtime import thread_map as module
from upbit_frames.runtime.thread_map import thread_map


def test_results_are_in_order() -> None:
    assert thread_map(lambda number: number * number, range(100)) == [number * number for number in range(100)]
    assert thread_map(str, []) == []


def test_an_error_is_raised_after_all_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    done = []

    def work(number: int) -> None:
        done.append(number)
        if number == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        thread_map(work, range(20))
    assert sorted(done) == list(range(20))


def test_inside_of_it_nothing_is_split_up_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)

    def outer(_: int) -> bool:
        here = threading.get_ident()
        return set(thread_map(lambda _: threading.get_ident(), range(8))) == {here}

    assert all(thread_map(outer, range(4)))
    assert len(set(thread_map(lambda _: threading.current_thread().name, range(64)))) > 1
    assert not getattr(module._worker, "active", False)


def test_without_threads_everything_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(threading.Thread, "start", refused)
    assert thread_map(abs, [-1, 2, -3]) == [1, 2, 3]
