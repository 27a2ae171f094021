"""Publishing killed at random points: readers never see half a file, and the next run completes.

``UPBIT_FRAMES_TEST_PUBLISH_KILLS=30 python -m pytest -s tests/datasets/test_killed_publishing.py`` for more kills.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import upbit_frames as uf
from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.store.base import Series
from upbit_frames.store.object_store import ObjectStore
from upbit_frames.store.parquet import ParquetStore

KILLS = int(os.environ.get("UPBIT_FRAMES_TEST_PUBLISH_KILLS", "3"))
MINUTE = 60_000_000
START = 1_704_067_200_000_000  # 2024-01-01
ROUND = 3 * 1440  # minutes that each round adds
MARKETS = ("KRW-BTC", "KRW-ETH", "KRW-XRP", "BTC-ETH")

PUBLISHER = """
import os, signal, sys, threading
import upbit_frames as uf
from upbit_frames.store.object_store import ObjectStore

folder, url, name, number, seconds = sys.argv[1:]
real, calls = getattr(ObjectStore, name), iter(range(1, 10**9))

def killed(self, *arguments):
    if next(calls) == int(number):
        threading.Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL)).start()
    return real(self, *arguments)

setattr(ObjectStore, name, killed)
with uf.using(cache_dir=folder):
    uf.cache.publish(url)
"""


def rows(span: Span) -> pa.Table:
    """The only rows that a range can have, incompressible enough for files of some size."""
    times = np.arange(span.start, span.end, MINUTE)
    price = np.sin(times / 1e9) * 1e6 + 2e6
    columns = [pa.array(times).cast(pa.timestamp("us", tz="UTC")), *[pa.array(price)] * 6]
    return pa.Table.from_arrays(columns, schema=arrow_schema("candles"))


def grow(store: ParquetStore, number: int) -> None:
    """Add some days to every market, so that files of months become larger ones of another name."""
    for market in MARKETS:
        span = Span(START + number * ROUND * MINUTE, START + (number + 1) * ROUND * MINUTE)
        store.write(Series("candles", market, "1m"), rows(span), span)


@dataclass
class Reader:
    """Reads every object again and again while others publish, and compares it with what it must hold."""

    objects: ObjectStore
    reads: int = 0
    vanished: int = 0
    wrong: list[str] = field(default_factory=list)

    def read_all(self) -> None:
        """Read every effective object once."""
        for series in self.objects.series():
            for file in self.objects.files(series)[0]:
                try:
                    table, _ = self.objects.read(series, file, file.span)
                except FileNotFoundError:
                    self.vanished += 1  # merged into a larger one between listing and reading
                    continue
                self.reads += 1
                if not table.equals(rows(file.span)):
                    self.wrong.append(f"{series} {file.name}")

    def run(self, done: threading.Event) -> None:
        """Read until an event is set."""
        while not done.is_set():
            try:
                self.read_all()
            except Exception as error:  # noqa: BLE001 - the test fails with it
                self.wrong.append(repr(error))
                return


@pytest.mark.slow
@pytest.mark.timeout(300 + 60 * KILLS)
def test_killed_while_publishing(url: str, tmp_path: Path) -> None:
    choose = random.Random(1)
    store, objects = ParquetStore(tmp_path / "store"), ObjectStore(url)
    reader, done = Reader(ObjectStore(url)), threading.Event()
    killed: dict[str, int] = {"put": 0, "remove": 0, "sizes": 0}
    watching = threading.Thread(target=reader.run, args=(done,))
    with uf.using(cache_dir=store.path):
        grow(store, 0)
        uf.cache.publish(url)
        watching.start()
        try:
            for number in range(1, KILLS + 1):
                grow(store, number)
                name = choose.choices(list(killed), [6, 3, 1])[0]
                point = [name, str(choose.randint(1, 3)), str(choose.choice([0, 0.001, 0.003, 0.01]))]
                command = [sys.executable, "-c", PUBLISHER, str(store.path), url, *point]
                ended = subprocess.run(command, capture_output=True, check=False, text=True)
                assert ended.returncode in (-signal.SIGKILL, 0), ended.stderr
                killed[name] += ended.returncode != 0
                reader.read_all()
        finally:
            done.set()
            watching.join()
        assert reader.wrong == []
        assert sum(killed.values()) > 0
        final = uf.cache.publish(url)
        assert uf.cache.publish(url)["sent"].sum() == 0
    for series in store.series():
        files, leftovers = objects.files(series)
        assert [file.name for file in files] == [file.path.name for file in store.files(series)]
        assert leftovers == []
        assert objects.sizes(series) == {file.path.name: file.bytes for file in store.files(series)}
    end = START + (KILLS + 1) * ROUND * MINUTE
    with uf.using(cache_dir=tmp_path / "other", shared_store=url):
        for market in MARKETS:
            table = uf.candles(
                market, "1m", start="2024-01-01", end=np.datetime64(end, "us"), source="shared", output="arrow"
            )
            assert table.num_rows == (KILLS + 1) * ROUND
    print(
        f"killed {killed}, {reader.reads:,} reads of whole files meanwhile, {reader.vanished} vanished between "
        f"listing and reading, the last run sent {final['sent'].sum()} and removed {final['removed'].sum()}"
    )
