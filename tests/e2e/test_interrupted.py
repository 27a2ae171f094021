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
from upbit_frames.core.intervals import Span, intersect, to_micros
from upbit_frames.store.base import Series
from upbit_frames.testing import Exchange

SCRIPT = Path(__file__).with_name("backfilling.py")
SERIES = Series("candles", "KRW-BTC", "1m")
START, END = "2026-02-10T00:00:00+00:00", "2026-02-27T00:00:00+00:00"
PAGES = 17 * 1440 // 200 + 1
WALKS = 10  # pages under way at once, each of which may be lost
KILLS = int(os.environ.get("UPBIT_FRAMES_TEST_KILLS", "12"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def backfill(exchange: Exchange, folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), exchange.rest_url, str(folder), START, END],
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
    process = backfill(exchange, tmp_path / "store")
    wait_until_answered(exchange, process, 40)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert out == "interrupted\n"
    assert process.returncode == 130
    exchange.delay = 0.0
    assert open_store(client.config).verify() == []
    # Only pages that had not yet arrived may be missing.
    assert covered_minutes(client) >= (answered(exchange) - WALKS) * 195
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
        had = covered_minutes(client)
        process = backfill(exchange, tmp_path / "store")
        wait_until_answered(exchange, process, 1)
        time.sleep(choose.uniform(0.0, 0.5))
        process.kill()
        process.communicate()
        assert [one for one in store.verify() if one.problem != "leftover"] == []
        gained = covered_minutes(client) - had
        # A walk may have one page under way and one on its way to the disk.
        assert gained >= (answered(exchange) - 2 * WALKS) * 190
        for span in store.covered(SERIES):
            assert store.read(SERIES, span).equals(exchange.market.candles("KRW-BTC", "1m", *span).table())
        if process.returncode == 0 or gained + had == 17 * 1440:  # it was faster than the executioner
            client = make_client(exchange)
            store.clear()
    exchange.delay = 0.0
    table = client.candles("KRW-BTC", "1m", start=START, end=END, output="arrow")
    assert table.replace_schema_metadata(None).equals(want)
    assert store.verify() == []
