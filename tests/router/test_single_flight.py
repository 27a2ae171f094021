"""Of several processes that want the same range at once, one fetches and the others wait, within a bound."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from upbit_frames.core.intervals import INTERVALS, from_micros
from upbit_frames.core.query import CandleQuery
from upbit_frames.router import single_flight
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import Ports
from upbit_frames.router.result import Result
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series
from upbit_frames.store.fetch_lock import FetchLock
from upbit_frames.store.parquet import ParquetStore

STEP = INTERVALS["1m"].step
SERIES = Series("candles", "KRW-BTC", "1m")
HOLDER = """
import sys
from pathlib import Path
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore
lock = ParquetStore(Path(sys.argv[1])).fetch_lock(Series("candles", "KRW-BTC", "1m"))
assert lock.try_acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def arguments(exchange: Any) -> dict[str, Any]:
    last = INTERVALS["1m"].floor(exchange.now)
    for i in range(3_000):
        exchange.ticks[last - i * STEP + 7_000_000] = 100.0 + i
    return {"start": from_micros(last - 2_000 * STEP), "end": from_micros(last - 1_000 * STEP)}


@pytest.fixture
def held(tmp_path: Path) -> Iterator[FetchLock]:
    lock = ParquetStore(tmp_path).fetch_lock(SERIES)
    assert lock.try_acquire()
    yield lock
    lock.close()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock, and shows no sign of life."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def ask(ports: Ports, arguments: dict[str, Any]) -> Result:
    return asyncio.run(CandleRouter(ports).fetch(CandleQuery.build("KRW-BTC", "1m", **arguments), Progress()))


class Waiting:
    """A call in a thread, which waits for somebody else's lock."""

    def __init__(self, work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
        waits = threading.Event()
        real = FetchLock.pulse

        def pulse(lock: FetchLock) -> int:
            waits.set()
            return real(lock)

        monkeypatch.setattr(FetchLock, "pulse", pulse)
        self.answer: Any = None
        self._thread = threading.Thread(target=lambda: setattr(self, "answer", work()))
        self._thread.start()
        assert waits.wait(60)

    def result(self) -> Any:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.answer


def test_who_comes_second_waits_for_what_the_first_stores(
    exchange: Any, make_ports: Callable[..., Ports], tmp_path: Path, held: FetchLock,
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    second = Waiting(lambda: ask(make_ports(ParquetStore(tmp_path)), arguments), monkeypatch)
    assert exchange.asked == []
    first = ask(make_ports(ParquetStore(tmp_path)), {**arguments, "source": "rest"})  # as the holder would
    asked = len(exchange.asked)
    answer = second.result()  # the lock is still held, but there is nothing left to wait for
    assert answer.table == first.table
    assert len(exchange.asked) == asked
    assert [step["channel"] for step in answer.meta["route"]] == ["store"]


def test_who_comes_second_goes_on_where_the_first_gives_up(
    exchange: Any, make_ports: Callable[..., Ports], tmp_path: Path, held: FetchLock,
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    second = Waiting(lambda: ask(make_ports(ParquetStore(tmp_path)), arguments), monkeypatch)
    held.close()
    assert len(second.result().table) == 1_000


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_a_stopped_holder_is_not_waited_for_for_ever(
    exchange: Any, make_ports: Callable[..., Ports], tmp_path: Path, holder: subprocess.Popen[str],
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(single_flight, "HEARTBEAT_TIMEOUT", 0.3)
    holder.send_signal(signal.SIGSTOP)
    assert len(ask(make_ports(ParquetStore(tmp_path)), arguments).table) == 1_000
    assert not ParquetStore(tmp_path).fetch_lock(SERIES).try_acquire()  # it holds the lock still


def test_a_killed_holder_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    lock = ParquetStore(tmp_path).fetch_lock(SERIES)
    assert not lock.try_acquire()
    holder.kill()
    holder.wait()
    assert lock.try_acquire()
    lock.close()
    assert not lock.try_acquire(), "a closed lock acquires nothing any more"


def test_a_holder_shows_that_it_is_alive(held: FetchLock, tmp_path: Path) -> None:
    other = ParquetStore(tmp_path).fetch_lock(SERIES)
    assert not other.try_acquire()
    os.utime(tmp_path / ".locks/candles.KRW-BTC.1m.fetch", (0, 0))
    before = other.pulse()
    held.beat()
    assert other.pulse() != before
    other.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_keep_the_lock(held: FetchLock, tmp_path: Path) -> None:
    read, write = os.pipe()
    begun, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.write(begin, b"x")
        os.read(read, 1)  # lives on until the parent is done
        os._exit(0)
    try:
        os.read(begun, 1)
        held.close()
        other = ParquetStore(tmp_path).fetch_lock(SERIES)
        assert other.try_acquire()
        other.close()
    finally:
        for end in (write, read, begun, begin):
            os.close(end)
        os.waitpid(child, 0)


def test_two_processes_make_the_requests_once(
    exchange: Any, make_ports: Callable[..., Ports], tmp_path: Path, arguments: dict[str, Any]
) -> None:
    """Two sets of ports know as little of each other as two processes do."""
    ask(make_ports(), arguments)
    needed = len(exchange.asked)
    exchange.asked.clear()

    async def both() -> list[Result]:
        query = CandleQuery.build("KRW-BTC", "1m", **arguments)
        routers = [CandleRouter(make_ports(ParquetStore(tmp_path))) for _ in range(2)]
        return await asyncio.gather(*(router.fetch(query, Progress()) for router in routers))

    first, second = asyncio.run(both())
    assert first.table == second.table
    assert len(exchange.asked) == needed
