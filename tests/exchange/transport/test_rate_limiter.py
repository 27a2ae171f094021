"""One budget for everything on this machine, against a server that counts strictly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from upbit_frames.testing import Exchange, Limits

SCRIPT = Path(__file__).with_name("asking.py")


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Exchange]:
    """Refuses whoever sends an eleventh request within any second."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where processes share their slots
    with Exchange(limits=Limits(window="sliding")) as exchange:
        yield exchange


def start(exchange: Exchange, times: int, attempts: int = 1) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), exchange.rest_url, str(times), str(attempts)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    return process


def result(process: subprocess.Popen[str]) -> dict[str, int]:
    assert process.stdout is not None
    with process.stdout:
        out = process.stdout.read()
    assert process.wait(60) == 0
    ended: dict[str, int] = json.loads(out)
    return ended


def wait_for(exchange: Exchange, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(exchange.requests) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def statuses(exchange: Exchange) -> list[int]:
    return [one.status for one in exchange.requests]


def most_in_a_second(exchange: Exchange) -> int:
    arrivals = sorted(one.arrival for one in exchange.requests)
    return max(sum(begin <= one <= begin + 1.0 for one in arrivals) for begin in arrivals)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.15])
def test_four_processes_together_stay_within_the_limit(strict: Exchange, delay: float) -> None:
    strict.delay = delay
    processes = [start(strict, 20) for _ in range(4)]
    assert [result(one) for one in processes] == [{"answered": 20}] * 4
    assert statuses(strict) == [200] * 80
    assert most_in_a_second(strict) == 10


def test_the_slots_of_a_killed_process_come_free(strict: Exchange) -> None:
    strict.faults.add("silence", times=10)
    victim = start(strict, 10)
    wait_for(strict, 10)  # all ten slots are in use, and nothing will ever be answered
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert result(start(strict, 3)) == {"answered": 3}
    arrivals = [one.arrival for one in strict.requests]
    assert arrivals[10] - arrivals[9] >= 1.0


def test_a_blocked_process_keeps_the_others_away(strict: Exchange) -> None:
    strict.faults.add("418", times=1)
    assert result(start(strict, 1)) == {"Blocked": 1}
    assert result(start(strict, 5)) == {"Blocked": 5}
    assert statuses(strict) == [418]


@pytest.mark.slow
def test_a_stranger_uses_half_of_the_limit(strict: Exchange) -> None:
    ended = threading.Event()

    def stranger() -> None:
        with httpx.Client(base_url=strict.rest_url, headers={"User-Agent": "stranger"}) as other:
            while not ended.wait(0.2):
                other.get("/v1/ticker", params={"markets": "KRW-BTC"})

    thread = threading.Thread(target=stranger)
    thread.start()
    try:
        time.sleep(1.0)
        ours = result(start(strict, 60, attempts=6))
    finally:
        ended.set()
        thread.join()
    assert ours == {"answered": 60}
    refused = [one for one in strict.requests if one.status == 429]
    mine = [one for one in refused if one.headers.get("user-agent") != "stranger"]
    # What the stranger uses is seen in the answers, so refusals are rare; they cannot be excluded,
    # because a stranger's request may arrive between an answer and our next request. Whoever does not
    # look is refused about as often as answered.
    assert len(mine) <= 20
    assert 418 not in statuses(strict)
