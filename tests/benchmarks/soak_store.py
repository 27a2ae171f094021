"""A long fight over one store: is every frame complete?

``python tests/benchmarks/soak_store.py [--seconds 300] [--seed 1]``

One process fetches and reads candles and trades of a stand-in exchange, while four others do to its
store what they like: one clears it, one prunes it, one damages files and verifies, one removes files.
Every frame is compared with what the exchange has. A frame with a hole, a row too many or a wrong
row is a failure; so is any error but ``StoreError``. By hand only; the same interleavings are forced
one by one in ``tests/router/test_complete_answers.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import upbit_frames as uf
from upbit_frames.exchange.transport import rate_limiter
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.testing import Exchange

MARKETS = ("KRW-BTC", "KRW-ETH", "KRW-DOGE")
NOW = "2026-03-01T03:30:20Z"
START, END = pd.Timestamp("2026-02-27", tz="UTC"), pd.Timestamp("2026-03-01", tz="UTC")
TRADES = pd.Timestamp("2026-02-28 12:00", tz="UTC"), pd.Timestamp("2026-02-28 13:00", tz="UTC")


@dataclass
class Report:
    """What came of it."""

    seconds: float
    frames: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    refetched: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    requests: int = 0

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s: {sum(self.frames.values()):,} frames with {self.rows:,} rows {dict(self.frames)}, "
            f"{self.requests:,} requests, errors {dict(self.errors) or 'none'}: "
            + ("; ".join(self.wrong[:5]) or "every frame complete")
        )


# --- what is done to the store ----------------------------------------------------------------------


def clear(store: ParquetStore, rng: random.Random) -> None:
    """Forget one market, or everything."""
    store.clear(market=rng.choice([*MARKETS, None]))


def prune(store: ParquetStore, rng: random.Random) -> None:
    """Give back most of the space."""
    store.prune(max_bytes=rng.choice([0, 50_000, 200_000]), force=True)


def damage(store: ParquetStore, rng: random.Random) -> None:
    """Cut or change a file, then verify all."""
    files = sorted(store.path.rglob("*.parquet"))
    if files:
        path = rng.choice(files)
        data = bytearray(path.read_bytes())
        if rng.random() < 0.5:
            data = data[: rng.randrange(len(data) + 1)]
        elif data:
            data[rng.randrange(len(data))] ^= 0xFF
        path.write_bytes(data)
    store.verify()


def remove(store: ParquetStore, rng: random.Random) -> None:
    """Remove a file behind the store's back."""
    files = sorted(store.path.rglob("*.parquet"))
    if files:
        rng.choice(files).unlink(missing_ok=True)


CHANGES: tuple[Callable[[ParquetStore, random.Random], None], ...] = (clear, prune, damage, remove)


def change_on(change: Callable[[ParquetStore, random.Random], None], folder: Path, seed: int, until: float) -> None:
    """Change the store again and again, in a process of its own."""
    warnings.simplefilter("ignore")
    store, rng = ParquetStore(folder), random.Random(seed)
    while time.time() < until:
        with contextlib.suppress(OSError, uf.errors.StoreError):  # the others took it away just then
            change(store, rng)
        time.sleep(rng.uniform(0.01, 0.4))


# --- who reads --------------------------------------------------------------------------------------


class Reader:
    """Asks at random, and compares with the truth."""

    def __init__(self, exchange: Exchange, folder: Path, rng: random.Random, report: Report) -> None:
        self.rng, self.report = rng, report
        truth = uf.Client(exchange.config(cache_dir=folder / "truth", progress=False))
        self.candles = {market: truth.candles(market, "1m", start=START, end=END) for market in MARKETS}
        self.trades = {market: truth.trades(market, start=TRADES[0], end=TRADES[1]) for market in MARKETS}
        self.client = uf.Client(exchange.config(cache_dir=folder / "store", progress=False))

    def range(self) -> tuple[Any, Any]:
        """A range of candles, with the gaps filled now and then."""
        market, (low, high) = self.rng.choice(MARKETS), self._range(START, END, "1min")
        frame = self.client.candles(market, "1m", start=low, end=high)
        return frame, self.candles[market].loc[low : high - pd.Timedelta("1us")]

    def last(self) -> tuple[Any, Any]:
        """A number of candles before a moment."""
        market, (low, high) = self.rng.choice(MARKETS), self._range(START, END, "1min")
        expected = self.candles[market].loc[low : high - pd.Timedelta("1us")]
        if not len(expected):
            return None, None
        return self.client.candles(market, "1m", end=high, count=len(expected)), expected

    def first(self) -> tuple[Any, Any]:
        """A number of candles from a moment on."""
        market, (low, high) = self.rng.choice(MARKETS), self._range(START, END, "1min")
        expected = self.candles[market].loc[low : high - pd.Timedelta("1us")]
        if not len(expected):
            return None, None
        return self.client.candles(market, "1m", start=low, count=len(expected)), expected

    def several(self) -> tuple[Any, Any]:
        """A range of all markets."""
        low, high = self._range(START, END, "1min")
        frame = self.client.candles(list(MARKETS), "1m", start=low, end=high)
        parts = {market: self.candles[market].loc[low : high - pd.Timedelta("1us")] for market in MARKETS}
        return frame, pd.concat(list(parts.values()))

    def trade_range(self) -> tuple[Any, Any]:
        """A range of trades."""
        market, (low, high) = self.rng.choice(MARKETS), self._range(*TRADES, "1s")
        frame = self.client.trades(market, start=low, end=high)
        return frame, self.trades[market].loc[low : high - pd.Timedelta("1us")]

    def offline(self) -> tuple[Any, Any]:
        """A range of candles from the store alone: complete, or not cached."""
        market, (low, high) = self.rng.choice(MARKETS), self._range(START, END, "1min")
        try:
            frame = self.client.candles(market, "1m", start=low, end=high, source="store")
        except uf.errors.NotCached:
            return None, None
        return frame, self.candles[market].loc[low : high - pd.Timedelta("1us")]

    def _range(self, start: pd.Timestamp, end: pd.Timestamp, unit: str) -> tuple[pd.Timestamp, pd.Timestamp]:
        step = pd.Timedelta(unit)
        slots = (end - start) // step
        low = self.rng.randrange(slots)
        return start + low * step, start + self.rng.randrange(low + 1, slots + 1) * step

    def once(self) -> None:
        """Ask one question."""
        work = self.rng.choice([self.range, self.last, self.first, self.several, self.trade_range, self.offline])
        try:
            frame, expected = work()
        except uf.errors.StoreError as error:
            self.report.errors[type(error).__name__] += 1
            return
        except Exception as error:  # noqa: BLE001  told in the report
            self.report.wrong.append(f"{work.__name__}: {error!r}")
            return
        if frame is None:
            return
        self.report.frames[work.__name__] += 1
        self.report.rows += len(frame)
        same_times = list(frame.index.get_level_values("time")) == list(expected.index)
        if not same_times or not frame.reset_index(drop=True).equals(expected.reset_index(drop=True)):
            self.report.wrong.append(f"{work.__name__}: {len(frame)} rows instead of {len(expected)}")


def soak(seconds: float, seed: int) -> Report:
    """Fight for so long."""
    report = Report(seconds)
    warnings.simplefilter("ignore", uf.errors.UpbitFramesWarning)
    rate_limiter.limiter_for = lambda url, rate=1.0: rate_limiter.NullLimiter()
    with tempfile.TemporaryDirectory() as name, Exchange(seed=seed, now=NOW, limits=False) as exchange:
        folder, rng = Path(name), random.Random(seed)
        reader = Reader(exchange, folder, rng, report)
        reader.range()
        root = next((folder / "store").iterdir())
        before, until = len(exchange.requests), time.time() + seconds
        context = multiprocessing.get_context("spawn")
        others = [
            context.Process(target=change_on, args=(change, root, seed * 100 + number, until))
            for number, change in enumerate(CHANGES)
        ]
        for other in others:
            other.start()
        try:
            while time.time() < until:
                reader.once()
        finally:
            for other in others:
                other.join(30)
                if other.is_alive():
                    other.kill()
        report.wrong += [f"a process ended with {other.exitcode}" for other in others if other.exitcode]
        report.requests = len(exchange.requests) - before
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    told = soak(options.seconds, options.seed)
    print(told)
    sys.exit(1 if told.wrong else 0)
