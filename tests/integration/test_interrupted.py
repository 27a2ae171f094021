"""Ctrl-C and kill -9 in the middle of a backfill: what was fetched stays, and nothing else changes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.api.engine import open_store
from upbit_frames.core.intervals import Span, intersect, merge, subtract, to_micros
from upbit_frames.store.base import Series
from upbit_frames.testing import Exchange

SCRIPT = Path(__file__).with_name("backfilling.py")
SERIES = Series("candles", "KRW-BTC", "1m")
START, END = "2026-02-10T00:00:00+00:00", "2026-02-27T00:00:00+00:00"
PAGES = 17 * 1440 // 200 + 1
CONCURRENCY = 10  # pages under way at once, each of which may be lost
KILLS = int(os.environ.get("UPBIT_FRAMES_TEST_KILLS", "12"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def backfill(exchange: Exchange, folder: Path, *more: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), exchange.rest_url, str(folder), START, END, *more],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    return process


def covered_minutes(client: uf.Client) -> int:
    span = Span(*(to_micros(datetime.fromisoformat(one)) for one in (START, END)))
    return sum(
        (one.end - one.start) // 60_000_000 for one in intersect(open_store(client.config).covered(SERIES), [span])
    )


def answered(exchange: Exchange) -> int:
    return sum(one.status == 200 for one in exchange.requests)


def wait_until_answered(exchange: Exchange, process: subprocess.Popen[str], count: int) -> None:
    deadline = time.monotonic() + 60
    while answered(exchange) < count and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_ctrl_c_keeps_what_was_fetched_and_the_next_run_asks_for_the_rest(
    exchange: Exchange, make_client: Callable[..., uf.Client], truth: Callable[..., pa.Table], tmp_path: Path
) -> None:
    client = make_client(exchange)
    exchange.delay = 0.1
    process = backfill(exchange, tmp_path / "store", "report")
    wait_until_answered(exchange, process, 40)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    told = out.splitlines()
    assert told[-1] == "interrupted"
    assert process.returncode == 130
    exchange.delay = 0.0
    assert open_store(client.config).verify() == []
    # What had arrived is stored, but for the page that each walk had in hand.
    assert told.count("got") - sum(line.startswith("stored") for line in told) <= CONCURRENCY
    assert covered_minutes(client) >= (told.count("got") - CONCURRENCY) * 195
    missing = 17 * 1440 - covered_minutes(client)
    assert missing > 0
    exchange.requests.clear()
    table = client.candles("KRW-BTC", "1m", start=START, end=END, output="arrow")
    assert len(exchange.requests) <= missing // 200 + 14
    assert table.replace_schema_metadata(None).equals(truth(exchange, "KRW-BTC", "1m", START, END))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_any_moment(
    exchange: Exchange, make_client: Callable[..., uf.Client], truth: Callable[..., pa.Table], tmp_path: Path
) -> None:
    client = make_client(exchange)
    store = open_store(client.config)
    choose = random.Random(9)
    want = truth(exchange, "KRW-BTC", "1m", START, END)
    exchange.delay = 0.02
    for _ in range(KILLS):
        exchange.requests.clear()
        process = backfill(exchange, tmp_path / "store", "report")
        # At any moment of its work, however slow the machine is: after so many answers, and a little later.
        wait_until_answered(exchange, process, choose.randrange(1, PAGES))
        time.sleep(choose.uniform(0.0, 0.02))
        process.kill()
        told = process.communicate()[0].splitlines()
        assert [one for one in store.verify() if one.problem != "leftover"] == []
        # What it was told to be stored is there, and of what had arrived each walk may have had one page in hand.
        stored = [Span(*map(int, line.split()[1:])) for line in told if line.startswith("stored")]
        assert subtract(merge(stored), store.covered(SERIES)) == []
        assert told.count("got") - len(stored) <= 2 * CONCURRENCY
        for span in store.covered(SERIES):
            assert store.read(SERIES, span).equals(exchange.market.candles("KRW-BTC", "1m", *span).table())
        if process.returncode == 0 or covered_minutes(client) == 17 * 1440:  # it was faster than the executioner
            client = make_client(exchange)
            store.clear()
    exchange.delay = 0.0
    table = client.candles("KRW-BTC", "1m", start=START, end=END, output="arrow")
    assert table.replace_schema_metadata(None).equals(want)
    assert store.verify() == []
