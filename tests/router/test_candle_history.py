"""An answer is complete or an error, whatever happens to the store between two accesses of a call.

Each test first counts the accesses of an undisturbed call, then plays the call again once for every
access, with the change right before it. What comes back is compared with what the exchange has.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disturbed_store import CHANGES, DisturbedStore

from upbit_frames.core.intervals import INTERVALS, Span, from_micros
from upbit_frames.core.query import CandleQuery
from upbit_frames.errors import NotCached, StoreError, UpbitFramesWarning
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.ports import Ports
from upbit_frames.router.result import Result
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.parquet import ParquetStore

STEP = INTERVALS["1m"].step
HELD = 60 * 24 * 45  # minutes that the model exchange has: two months' files at least


@pytest.fixture
def last(exchange: Any) -> int:
    """Fill the exchange with a candle every ninth minute; gives its present minute."""
    last = INTERVALS["1m"].floor(exchange.now)
    for i in range(0, HELD, 9):
        exchange.ticks[last - i * STEP + 7_000_000] = 100.0 + i
    return last


def questions(last: int) -> dict[str, dict[str, Any]]:
    start = from_micros(last - 40_000 * STEP)
    return {
        "range": {"start": start, "end": from_micros(last - 20_000 * STEP)},
        "until now": {"start": from_micros(last - 2_000 * STEP)},
        "newest": {"count": 700},
        "before": {"end": from_micros(last - 30_000 * STEP), "count": 300},
        "first": {"start": start, "count": 500},
        "filled": {"end": from_micros(last - 30_000 * STEP), "count": 300, "gaps": "fill"},
    }


QUESTIONS = ("range", "until now", "newest", "before", "first", "filled")


def ask(ports: Ports, arguments: dict[str, Any]) -> Result:
    query = CandleQuery.build("KRW-BTC", "1m", **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UpbitFramesWarning)  # damage is announced
        router = CandleRouter(ports)
        return router.fetch_stored(query) or asyncio.run(router.fetch(query, Progress()))


def in_turn(
    make_ports: Callable[..., Ports],
    folder: Path,
    change: str,
    prepare: Callable[[Ports], None],
    work: Callable[..., Any],
) -> None:
    """Play work undisturbed, then disturbed at each of its accesses; all must give the same."""

    def play(at: Any) -> tuple[Any, DisturbedStore]:
        ParquetStore(folder).clear()
        prepare(make_ports(ParquetStore(folder)))
        store = DisturbedStore(folder, CHANGES[change], at)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UpbitFramesWarning)
            return work(make_ports(store)), store

    expected, store = play(())
    number = len(store.accesses)
    for at in [*range(min(number, 8)), *range(8, number, max(1, number // 6))]:
        assert play((at,))[0] == expected, f"changed before access {at} ({store.accesses[at]})"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_change_between_two_accesses_never_leaves_a_hole(
    exchange: Any, make_ports: Callable[..., Ports], last: int, tmp_path: Path, question: str, change: str, warm: bool
) -> None:
    arguments = questions(last)[question]

    def prepare(ports: Ports) -> None:
        if warm:
            ask(ports, arguments)

    in_turn(make_ports, tmp_path, change, prepare, lambda ports: ask(ports, arguments).table.to_pylist())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_store_that_changes_all_the_time_does_not_matter_either(
    exchange: Any, make_ports: Callable[..., Ports], last: int, tmp_path: Path, question: str, change: str
) -> None:
    arguments = questions(last)[question]
    expected = ask(make_ports(), arguments).table.to_pylist()
    answer = ask(make_ports(DisturbedStore(tmp_path, CHANGES[change], None)), arguments)
    assert answer.table.to_pylist() == expected


@pytest.mark.parametrize("change", ["clear", "prune", "remove", "damage and verify"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_offline_an_answer_is_complete_or_not_cached(
    exchange: Any, make_ports: Callable[..., Ports], last: int, tmp_path: Path, question: str, change: str
) -> None:
    arguments = questions(last)[question]
    expected = ask(make_ports(ParquetStore(tmp_path)), arguments).table.to_pylist()
    offline = {**arguments, "source": "cache"}
    undisturbed = DisturbedStore(tmp_path)
    assert ask(make_ports(undisturbed), offline).table.to_pylist() == expected
    for at in range(len(undisturbed.accesses)):
        ask(make_ports(ParquetStore(tmp_path)), arguments)
        try:
            answer = ask(make_ports(DisturbedStore(tmp_path, CHANGES[change], (at,))), offline)
        except (NotCached, StoreError):
            continue
        found = answer.table.to_pylist()
        if any("left out" in text for text in answer.warnings):  # the close before the range went, and it says so
            assert found == expected[-len(found) :]
        else:
            assert found == expected


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_follower_reads_is_complete(
    exchange: Any, make_ports: Callable[..., Ports], last: int, tmp_path: Path, change: str
) -> None:
    span = Span(last - 3_000 * STEP, last - 1_000 * STEP)

    def work(ports: Ports) -> Any:
        history = CandleHistory(ports, "KRW-BTC", INTERVALS["1m"], "auto", Progress(), 1)
        table, known = asyncio.run(history.read_range(span))
        assert known == span
        return table.to_pylist()

    in_turn(make_ports, tmp_path, change, lambda ports: None, work)


@pytest.mark.parametrize("change", ["clear", "prune", "remove", "damage and verify"])
def test_a_download_ends_with_everything_stored(
    exchange: Any, make_ports: Callable[..., Ports], last: int, tmp_path: Path, change: str
) -> None:
    span = Span(last - 3_000 * STEP, last - 1_000 * STEP)

    def work(ports: Ports) -> Any:
        history = CandleHistory(ports, "KRW-BTC", INTERVALS["1m"], "auto", Progress(), 1, into_store=True)
        return asyncio.run(history.fetch_range(span))

    in_turn(make_ports, tmp_path, change, lambda ports: None, work)


def test_a_download_into_a_store_that_loses_everything_is_an_error(
    exchange: Any, make_ports: Callable[..., Ports], last: int, tmp_path: Path
) -> None:
    span = Span(last - 300 * STEP, last - 100 * STEP)
    ports = make_ports(DisturbedStore(tmp_path, CHANGES["clear"], None))
    history = CandleHistory(ports, "KRW-BTC", INTERVALS["1m"], "auto", Progress(), 1, into_store=True)
    with pytest.raises(StoreError, match="vanish as fast as they are fetched"):
        asyncio.run(history.fetch_range(span))


def test_nothing_is_fetched_twice_by_one_call(
    exchange: Any, make_ports: Callable[..., Ports], last: int, tmp_path: Path
) -> None:
    arguments = questions(last)["range"]
    ask(make_ports(), arguments)
    needed = len(exchange.asked)
    exchange.asked.clear()
    ask(make_ports(DisturbedStore(tmp_path, CHANGES["clear"], None)), arguments)
    assert len(exchange.asked) == needed


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_warm_call_looks_into_the_store_twice(
    exchange: Any, make_ports: Callable[..., Ports], last: int, tmp_path: Path, question: str
) -> None:
    arguments = questions(last)[question]
    ask(make_ports(ParquetStore(tmp_path)), arguments)
    store = DisturbedStore(tmp_path)
    ask(make_ports(store), arguments)
    limit = 3 if question == "filled" else 2  # filling needs the close before the range, too
    assert len(store.accesses) == limit, store.accesses


@pytest.mark.parametrize("question", ["range", "until now", "newest", "before", "first"])
def test_a_cold_call_looks_into_the_store_a_few_times_before_it_writes(
    exchange: Any, make_ports: Callable[..., Ports], last: int, tmp_path: Path, question: str
) -> None:
    store = DisturbedStore(tmp_path)
    ask(make_ports(store), questions(last)[question])
    assert store.accesses.index("write") <= 5, store.accesses
