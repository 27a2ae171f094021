"""A long recording of an exchange that keeps breaking off, by a recorder that is killed again and again.

``python tests/benchmarks/soak_record.py [--seconds 3600] [--speed 3] [--markets 10] [--kills 5] [--seed 1]``

Trades, second candles and order books of busy markets of the stand-in exchange, more than a hundred messages a second,
are recorded by a process of its own, ``upbit-frames record``. The clock of the exchange, and with it that of the
recorder's machine, runs faster than real time. Every 5 to 15 of its seconds the connection is dropped, closed, or
ended with an error, and the process is killed (-9) and started again so many times. In the end

- trades and second candles are exactly those of the exchange, without a hole,
- every order book that had arrived is stored, in order, but for what a kill cut off,
- every order book that the exchange sent in the ranges said to be recorded is stored,
- every range said not to be recorded lies between the last book before a break and the first one after it.

The same runs for a minute among the tests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from upbit_frames.core.intervals import INTERVALS, Span, subtract
from upbit_frames.store.base import Series
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

NOW = "2026-03-01T03:30:00Z"
DAILY = 40_000.0  # trades of a market
SECOND = 1_000_000
PATIENCE = 300.0  # real seconds for what must come about
BREAKS = ("drop", "drop", "close", "error")
EVER = Span(0, 2**61)

Book = tuple[int, str]
"""Time of a book, microseconds, and a digest of its levels."""


@dataclass
class Report:
    """What came of it; times are those of the exchange."""

    seconds: float
    speed: float
    messages: int = 0
    breaks: int = 0
    kills: int = 0
    sent: int = 0
    received: int = 0
    stored: int = 0
    cut_off: int = 0
    longest_cut: float = 0.0
    holes: int = 0
    uncovered: float = 0.0
    trades: int = 0
    candles: int = 0
    requests: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)
    files: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        sizes = ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in self.bytes.items())
        grown = ", ".join(f"{low:.0f} → {high:.0f}" for low, high in self.memory)
        return (
            f"{self.seconds:.0f} s at {self.speed:g} times real time, {self.messages:,} messages "
            f"({self.messages / self.seconds:.0f} a second), {self.breaks} breaks, {self.kills} kills\n"
            f"books: {self.sent:,} sent, {self.received:,} arrived, {self.stored:,} stored, {self.cut_off:,} cut off "
            f"by kills (at most {self.longest_cut:.1f} s); {self.holes:,} holes, {self.uncovered:.1%} of the time\n"
            f"trades {self.trades:,}, second candles {self.candles:,}, {self.requests:,} requests\n"
            f"memory of each process, soon after its start and at its most: {grown} MB\n"
            f"on disk {sizes} in {self.files} files, {self.bytes['orderbook'] / max(1, self.stored):.1f} bytes a book\n"
            + ("; ".join(self.wrong) or "everything as it was sent")
        )


# --- what the exchange sends ---------------------------------------------------------------------


def digest(*sides: Iterable[float]) -> str:
    """Return a digest of the prices and amounts of a book, best first."""
    joined = b"|".join(np.array(list(side), dtype=np.float64).tobytes() for side in sides)
    return hashlib.blake2b(joined, digest_size=8).hexdigest()


def name_of(frame: bytes) -> str:
    """Return by what a frame is known to both processes."""
    return hashlib.blake2b(frame, digest_size=8).hexdigest()


class Sent:
    """Notes the order books that the exchange sends."""

    def __init__(self) -> None:
        self.messages = 0
        self.last = ""  # the name of the newest frame
        self.books: dict[str, tuple[str, Book]] = {}  # by the name of the frame: market and book

    def __call__(self, frame: bytes) -> bytes:
        self.messages += 1
        if frame.startswith(b'{"type":"orderbook"'):
            fields = json.loads(frame)
            units = fields["orderbook_units"]
            asks = [unit for unit in units if unit["ask_price"] > 0]
            bids = [unit for unit in units if unit["bid_price"] > 0]
            levels = digest(
                (unit["ask_price"] for unit in asks), (unit["ask_size"] for unit in asks),
                (unit["bid_price"] for unit in bids), (unit["bid_size"] for unit in bids),
            )  # fmt: skip
            self.last = name_of(frame)
            self.books[self.last] = (fields["code"], (fields["timestamp"] * 1000, levels))
        return frame


# --- the process that records --------------------------------------------------------------------


def record(given: list[str]) -> int:
    """Run ``upbit-frames record`` on a machine whose clock goes as fast as the exchange's; note what arrives."""
    rest, streams, folder, log, speed, base, since, *markets = given
    os.environ |= {
        "UPBIT_FRAMES_REST_URL": rest, "UPBIT_FRAMES_WS_URL": streams, "UPBIT_FRAMES_CACHE_DIR": folder,
    }  # fmt: skip
    from upbit_frames.cli.main import main as run
    from upbit_frames.datasets.collect.record import session
    from upbit_frames.exchange.transport import rate_limiter as limiter
    from upbit_frames.live.hub.frame_buffer import FrameBuffer
    from upbit_frames.live.hub.hub import Hub
    from upbit_frames.runtime.clock import SystemClock

    fast = float(speed)
    SystemClock.monotonic = lambda self: time.monotonic() * fast  # type: ignore[method-assign]
    SystemClock.now = lambda self: int(base) + int((time.monotonic() - float(since)) * fast * SECOND)  # type: ignore[method-assign]
    session.FLUSH, session.REPAIR = session.FLUSH / fast, session.REPAIR / fast
    limiter.limiter_for = lambda url, rate=1.0: limiter.NullLimiter()
    notes = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    add, opened = FrameBuffer.add, Hub.opened

    def noting(self: FrameBuffer, frame: bytes, received: int) -> None:
        if frame.startswith(b'{"type":"orderbook"'):
            os.write(notes, name_of(frame).encode() + b"\n")
        add(self, frame, received)

    def opening(self: Hub, epoch: int) -> None:
        os.write(notes, b"opened\n")
        opened(self, epoch)

    FrameBuffer.add, Hub.opened = noting, opening  # type: ignore[method-assign]
    return run(["record", *markets])


class Recorder:
    """The process that records, started anew after each kill."""

    def __init__(self, exchange: Exchange, folder: Path, markets: list[str], report: Report) -> None:
        self.exchange, self.folder, self.markets, self.report = exchange, folder, markets, report
        self.logs: list[Path] = []
        self.config = exchange.config(cache_dir=folder / "store")
        self.store = ParquetStore(self.config.cache_dir / self.config.origin)

    def start(self) -> None:
        """Start a process."""
        self.logs.append(self.folder / f"arrived-{len(self.logs)}")
        given = [self.config.rest_url, str(self.config.ws_url), str(self.config.cache_dir), str(self.logs[-1])]
        clock = [str(self.report.speed), str(self.exchange.clock.now()), str(time.monotonic())]
        command = [sys.executable, __file__, "--record", *given, *clock, *self.markets]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.memory: list[float] = []

    def look(self) -> None:
        """Note how much memory the process has."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError):
            return
        if self.logs[-1].exists():  # it has begun
            self.memory.append(pages * resource.getpagesize() / 1e6)

    def end(self, number: int) -> int:
        """End the process with a signal."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.report.memory.append((self.memory[0], max(self.memory)) if self.memory else (0.0, 0.0))
        return code

    def complete(self, moment: int) -> bool:
        """Return whether trades and second candles are known without a hole until after a moment."""
        kinds = [Series("trades", market) for market in self.markets]
        kinds += [Series("candles", market, "1s") for market in self.markets]
        covered = [self.store.covered(series) for series in kinds]
        return all(len(spans) == 1 and spans[0].end > moment for spans in covered)

    def recorded(self, moment: int) -> bool:
        """Return whether order books are stored until after a moment."""
        covered = [self.store.covered(Series("orderbook", market)) for market in self.markets]
        return all(spans and spans[-1].end > moment for spans in covered)

    def has(self, name: str) -> bool:
        """Return whether a frame has arrived."""
        return name.encode() in self.logs[-1].read_bytes().split(b"\n")[-1000:]


# --- the run ---------------------------------------------------------------------------------------


def soak(
    seconds: float, speed: float = 3.0, markets: int = 10, kills: int = 5, seed: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:  # fmt: skip
    """Record for so many seconds of the exchange, and compare."""
    report, names = Report(seconds, speed), [f"KRW-C{number:03d}" for number in range(1, markets + 1)]
    lively = [
        replace(one, trades_per_day=DAILY) if one.market in names else one for one in default_listings(extra=markets)
    ]
    sent = Sent()
    running = Exchange(seed=seed, now=NOW, markets=lively, limits=False, maintenance=())
    with tempfile.TemporaryDirectory() as folder, running as exchange:
        exchange.streams.faults.edit = sent
        recorder = Recorder(exchange, Path(folder), names, report)
        exchange.clock.run(speed)
        recorder.start()
        try:
            disturb(exchange, recorder, seconds, kills, seed, tell)
            ended = exchange.clock.now()
            until(lambda: recorder.complete(ended))
            exchange.clock.freeze()
            until(lambda: quiet(sent, recorder))  # what is on its way would arrive after the end of the recording
            code = recorder.end(signal.SIGTERM)
        finally:
            recorder.process.kill()
        if code:
            report.wrong.append(f"the recorder ended with {code}")
        report.messages, report.requests = sent.messages, len(exchange.requests)
        compare(exchange, recorder, sent, report)
    return report


def quiet(sent: Sent, recorder: Recorder) -> bool:
    """Return whether nothing more is sent, and what was sent has arrived."""
    before = sent.messages
    time.sleep(1.0)
    return before == sent.messages and recorder.has(sent.last)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not come about")
        time.sleep(0.1)


def disturb(
    exchange: Exchange, recorder: Recorder, seconds: float, kills: int, seed: int, tell: Callable[[str], None]
) -> None:
    """Break the connection every 5 to 15 seconds, and kill the recorder at even distances."""
    chance, report = random.Random(seed), recorder.report
    begun = exchange.clock.now()
    due = [begun + int(seconds * SECOND * (number + 1) / (kills + 1)) for number in range(kills)]
    last = begun
    while due or not report.breaks or exchange.clock.now() < begun + seconds * SECOND:
        time.sleep(chance.uniform(5, 15) / report.speed)
        until(partial(recorder.recorded, last))  # however slow the machine is, something lies between two troubles
        recorder.look()
        last = exchange.clock.now()
        if due and report.breaks and last >= due[0]:
            del due[0]
            recorder.end(signal.SIGKILL)
            report.kills += 1
            recorder.start()
            tell("killed")
            continue
        kind = chance.choice(BREAKS)
        report.breaks += 1
        exchange.streams.error("INTERNAL") if kind == "error" else getattr(exchange.streams, kind)()
        tell(f"{(last - begun) / 1e6:6.0f} s, {kind}, {(recorder.memory or [0])[-1]:.0f} MB")


# --- what is stored --------------------------------------------------------------------------------


def compare(exchange: Exchange, recorder: Recorder, sent: Sent, report: Report) -> None:
    """Compare what is stored with what the exchange has, sent, and what had arrived."""
    store, last = recorder.store, len(recorder.logs) - 1
    logs = [log.read_text(encoding="ascii").split("\n")[:-1] for log in recorder.logs]
    everything: dict[str, dict[int, str]] = defaultdict(dict)
    for market, (moment, levels) in sent.books.values():
        everything[market][moment] = levels
    report.sent = sum(map(len, everything.values()))
    for market in recorder.markets:
        compare_rows(exchange, store, market, report)
        series = Series("orderbook", market)
        table, covered = store.read(series, EVER), store.covered(series)
        stored = books_of(table)
        report.stored += len(stored)
        inside = {time: levels for time, levels in everything[market].items() if holds(covered, time)}
        if dict(stored) != inside or len(stored) != len(inside):
            lacking = len(inside.keys() - dict(stored).keys())
            report.wrong.append(f"{market}: {lacking} of the books sent in recorded ranges lack")
        breaks = follow(market, stored, [connections(log, market, sent) for log in logs], last, report)
        compare_holes(market, subtract([Span(covered[0].start, covered[-1].end)], covered), breaks, report)
        report.uncovered += 1 - sum(span.end - span.start for span in covered) / (covered[-1].end - covered[0].start)
    report.uncovered /= len(recorder.markets)
    for series in store.series():
        files = store.files(series)
        report.files += len(files)
        report.bytes[series.kind] = report.bytes.get(series.kind, 0) + sum(file.bytes for file in files)


def holds(covered: list[Span], moment: int) -> bool:
    """Return whether a moment is inside one of the ranges."""
    return any(span.start <= moment < span.end for span in covered)


def books_of(table: pa.Table) -> list[Book]:
    """Return stored books as time and digest."""
    sides = [table[name].to_pylist() for name in ("ask_price", "ask_size", "bid_price", "bid_size")]
    times = table["time"].cast("int64").to_pylist()
    return [(time, digest(*levels)) for time, *levels in zip(times, *sides, strict=True)]


def connections(log: list[str], market: str, sent: Sent) -> list[list[Book]]:
    """Return the books of a market that arrived over each connection of a process."""
    arrived: list[list[Book]] = []
    for line in log:
        if line == "opened":
            arrived.append([])
        elif sent.books[line][0] == market:
            arrived[-1].append(sent.books[line][1])
    return arrived


def follow(
    market: str, stored: list[Book], processes: list[list[list[Book]]], last: int, report: Report
) -> list[tuple[int, int]]:
    """Walk along the stored books beside those that arrived; return the books around each break, as (before, after)."""
    breaks, at = [], 0
    for number, arrived in enumerate(processes):
        cut = 0
        for books in arrived:
            first = True
            for book in books:
                report.received += 1
                if at and stored[at - 1] == book:
                    first = False  # nothing changed while the connection was down
                elif cut == 0 and at < len(stored) and stored[at] == book:
                    if first and at:
                        breaks.append((stored[at - 1][0], book[0]))
                    first, at = False, at + 1
                elif number == last:
                    before = stored[at - 1][0] if at else None
                    report.wrong.append(f"{market}: a book of {book[0]} arrived and is not stored after {before}")
                    return breaks
                else:
                    cut += 1
                    report.longest_cut = max(report.longest_cut, (book[0] - stored[at - 1][0]) / 1e6 if at else 0.0)
        report.cut_off += cut
    if at != len(stored):
        report.wrong.append(f"{market}: {len(stored) - at} books are stored that had not arrived, or not in this order")
    return breaks


def compare_holes(market: str, holes: list[Span], breaks: list[tuple[int, int]], report: Report) -> None:
    """Require each hole to lie between the two books around one break, and to end with the second."""
    report.holes += len(holes)
    for hole in holes:
        if not any(before < hole.start and hole.end == after for before, after in breaks):
            report.wrong.append(f"{market}: {hole} is not recorded, where no connection broke")


def compare_rows(exchange: Exchange, store: ParquetStore, market: str, report: Report) -> None:
    """Require trades and second candles to be those of the exchange."""
    for series in (Series("trades", market), Series("candles", market, "1s")):
        covered = store.covered(series)
        if len(covered) != 1:
            report.wrong.append(f"{series} has {len(covered)} ranges")
            continue
        table = store.read(series, covered[0])
        if series.kind == "candles":
            report.candles += len(table)
            same = table.equals(exchange.market.candles(market, INTERVALS["1s"], *covered[0]).table())
        else:
            report.trades += len(table)
            truth = exchange.market.trades(market, *covered[0]).table()
            same = all(table[name].equals(truth[name]) for name in ("time", "price", "volume", "side", "sequential_id"))
        if not same:
            report.wrong.append(f"{series} differs from the exchange")


def main() -> int:
    """Print what came of it."""
    if sys.argv[1:2] == ["--record"]:
        return record(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--speed", type=float, default=3.0)
    parser.add_argument("--markets", type=int, default=10)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.getLogger("upbit_frames").setLevel(logging.ERROR)
    report = soak(
        given.seconds, given.speed, given.markets, given.kills, given.seed, lambda text: print(text, flush=True)
    )
    print(report)
    return bool(report.wrong)


if __name__ == "__main__":
    sys.exit(main())
