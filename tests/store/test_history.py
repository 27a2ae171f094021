"""Processes write, read, merge, verify, clear and are killed: some order of the calls explains every answer."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.store_history import SILENT, UNKNOWN, Entry, complaints

from upbit_frames.store.parquet import ParquetStore

CALLS = int(os.environ.get("UPBIT_FRAMES_TEST_HISTORY", "150"))  # of writes, before all are told to stop
KILLED_EVERY = 15  # writes
ROLES = ["write", "write", "write", "read", "read", "merge", "verify", "clear"]


def entries_of(text: str) -> Iterator[Entry]:
    """Read the log of one process; its last call may have no end, its last line may be cut."""
    open_entry: Entry | None = None
    for line in text.splitlines():
        if not line.endswith("}"):
            break
        words = json.loads(line)
        if "begin" in words:
            open_entry = Entry(words.pop("begin"), words.pop("time"), **words)
            yield open_entry
        else:
            assert open_entry is not None
            open_entry.end, open_entry.seen = words["time"], words.get("seen", [])


@pytest.mark.slow
@pytest.mark.timeout(0 if CALLS > 150 else 600)
def test_every_answer_has_an_explanation(nursery: Any, tmp_path: Path) -> None:
    choose = random.Random(CALLS)
    logs: list[Path] = []
    alive: dict[int, str] = {}

    def start(role: str) -> None:
        log = tmp_path / f"log-{len(logs)}"
        log.touch()
        order = {"folder": str(tmp_path / "store"), "log": str(log), "stop": str(tmp_path / "stop"), "role": role}
        alive[nursery.ask(**order, seed=len(logs), base=len(logs) * 1_000_000)] = role
        logs.append(log)

    def writes() -> int:
        return sum(log.read_text().count('"begin": "write"') for log in logs)

    for role in ROLES:
        start(role)
    killed = 0
    while (done := writes()) < CALLS:
        if done > (killed + 1) * KILLED_EVERY:
            victim = choose.choice([pid for pid, role in alive.items() if role in {"write", "merge", "clear"}])
            os.kill(victim, signal.SIGKILL)
            assert nursery.ask(wait=victim) == -signal.SIGKILL
            start(alive.pop(victim))
            killed += 1
        time.sleep(0.01)
    (tmp_path / "stop").touch()
    assert [nursery.ask(wait=pid) for pid in alive] == [0] * len(ROLES)

    entries = [entry for log in logs for entry in entries_of(log.read_text())]
    counts = Counter(entry.kind for entry in entries)
    cut_short = Counter(entry.kind for entry in entries if entry.end == float("inf"))
    print(dict(counts), "killed in the middle:", dict(cut_short))
    assert counts["read"] > 2
    assert killed
    assert complaints(entries) == []
    store = ParquetStore(tmp_path / "store")
    assert {finding.problem for finding in store.verify()} <= {"leftover"}


# --- the rules notice what they are for -----------------------------------------------------------

FIRST = Entry("write", 0, 1, 0, 2, version=1)
SECOND = Entry("write", 4, 5, 0, 2, version=2, replace=True)


def read(begin: float, *seen: int) -> Entry:
    return Entry("read", begin, begin + 1, seen=list(seen))


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([FIRST, read(2, 1, 1)], None),
        ([FIRST, read(2, UNKNOWN, 1)], "unknown, but version 1"),
        ([FIRST, Entry("clear", 2, 3), read(4, UNKNOWN, UNKNOWN)], None),
        ([FIRST, Entry("clear", 2, 3), read(4, 1, 1)], "replaced or cleared"),
        ([FIRST, Entry("clear", 2), read(3, 1, 1), read(5, UNKNOWN, UNKNOWN)], None),
        ([read(-3, 1, 1), FIRST], "not written there before"),
        ([FIRST, read(2, 3, 1)], "not written there before"),
        ([FIRST, SECOND, read(6, 1, 1)], "replaced or cleared"),
        ([FIRST, SECOND, read(4, 1, 2)], "beside version 2"),
        ([FIRST, Entry("write", 2, 9, 0, 2, 2, replace=True), read(3, 2, 2), read(5, 1, 1)], "went back"),
        ([Entry("write", 0, 9, 0, 1, 1), read(1, 1), read(3, UNKNOWN)], "without a clear"),
        ([Entry("write", 0, 9, 0, 1, 1), read(1, SILENT), read(3, SILENT)], None),
    ],
)
def test_the_rules_notice(entries: list[Entry], complaint: str | None) -> None:
    noticed = complaints(entries)
    assert (noticed == []) if complaint is None else any(complaint in text for text in noticed)
