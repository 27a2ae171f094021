"""A long listen to an exchange that keeps breaking off: is everything there, and once?

``python tests/benchmarks/soak_live.py [--seconds 600] [--seed 1]``

The trades of three markets are streamed and their candles followed, while every 5 to 15 seconds the
connection is dropped, closed, answered with an error, or left half open, and frames come late and
twice. In the end every trade of the stand-in exchange must be there exactly once, and every candle
must be the one that REST tells. The same runs for half a minute among the tests.
"""

from __future__ import annotations

import argparse
import logging
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

import upbit_frames as uf
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

MARKETS = ["KRW-BTC", "KRW-ETH", "KRW-XRP"]
NOW = "2026-03-01T03:30:20Z"
DAILY = 150_000.0  # trades of a market
SECOND = 1_000_000
BREAKS = ("drop", "drop", "close", "half_open", "error")


@dataclass
class Report:
    """What came of it."""

    seconds: float
    trades: int = 0
    candles: int = 0
    breaks: int = 0
    mended: int = 0
    connections: int = 0
    requests: int = 0
    memory_start: float = 0.0
    memory_end: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s: {self.trades:,} trades and {self.candles:,} candles of {len(MARKETS)} markets, "
            f"{self.breaks} breaks, {self.connections} connections, {self.mended:,} trades mended over REST, "
            f"{self.requests:,} requests, memory {self.memory_start:.0f} → {self.memory_end:.0f} MB: "
            + ("; ".join(self.wrong) or "every trade once, every candle as REST tells it")
        )


def memory() -> float:
    """Resident megabytes now, or the most so far where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def soak(seconds: float, seed: int = 1, tell: Callable[[str], None] = lambda _: None) -> Report:
    """Listen for so long and compare."""
    lively = [replace(one, trades_per_day=DAILY) if one.market in MARKETS else one for one in default_listings()]
    report = Report(seconds)
    with Exchange(seed=seed, now=NOW, markets=lively) as exchange, tempfile.TemporaryDirectory() as folder:
        exchange.clock.run()
        exchange.streams.faults.late = exchange.streams.faults.repeat = 0.1
        client = uf.Client(exchange.config(cache_dir=folder, progress=False))
        client.stream(MARKETS, "trade", count=1, seconds=5)  # imports, and the first look at everything
        report.memory_start = memory()
        seen: list[tuple[int, str, int]] = []
        sealed: list[pd.DataFrame] = []
        with client.stream(MARKETS, "trade", buffer=1_000_000) as stream, client.follow(MARKETS, "1m", 5) as follow:
            threads = [reading(stream, lambda batch: seen.extend(facts(batch))), reading(follow, sealed.append)]
            trouble(exchange, seconds, seed, report, tell)
            settle(stream, exchange)
            gaps, dropped = stream.gaps, stream.stats["dropped"]
        for thread in threads:
            thread.join()
        exchange.clock.freeze()
        report.memory_end = memory()
        report.connections, report.requests = len(exchange.streams.connections), len(exchange.requests)
        report.mended = int(gaps["rows"].sum())
        if dropped:
            report.wrong.append(f"{dropped} rows dropped")
        compare_trades(exchange, pd.DataFrame(seen, columns=["time", "market", "sequential_id"]), report)
        compare_candles(client, pd.concat(sealed), report)
        failed = gaps[gaps["outcome"].str.startswith("not repaired")]
        report.wrong += [f"a gap of {one.market} {one.outcome}" for one in failed.itertuples()]
    return report


def facts(batch: pd.DataFrame) -> list[tuple[int, str, int]]:
    """What has to be remembered of trades; whole frames would hide what memory the stream itself takes."""
    return list(zip(batch.index.asi8.tolist(), batch["market"], batch["sequential_id"], strict=True))


def reading(source: Any, take: Callable[[pd.DataFrame], object]) -> threading.Thread:
    """A thread that takes every frame until the source is over."""

    def read() -> None:
        for frame in source:
            take(frame)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def trouble(exchange: Exchange, seconds: float, seed: int, report: Report, tell: Callable[[str], None]) -> None:
    """Break the connection every 5 to 15 seconds."""
    chance = random.Random(seed)
    ends = time.monotonic() + seconds
    while True:
        pause = chance.uniform(5, 15)
        if time.monotonic() + pause > ends:
            time.sleep(max(0.0, ends - time.monotonic()))
            return
        time.sleep(pause)
        kind = chance.choice(BREAKS)
        if exchange.streams.open:
            report.breaks += 1
            exchange.streams.error("INTERNAL") if kind == "error" else getattr(exchange.streams, kind)()
        tell(f"{ends - time.monotonic():6.0f} s left, {kind}, {memory():.0f} MB")


def settle(stream: Any, exchange: Exchange) -> None:
    """Nothing is wrong any more; wait until everything that was missed is here."""
    exchange.streams.drop()  # one that is half open would be noticed only by its ping
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        time.sleep(1.0)
        if stream.stats["state"] == "open" and not (stream.gaps["outcome"] == "open").any():
            time.sleep(8.0)
            return


def compare_trades(exchange: Exchange, frame: pd.DataFrame, report: Report) -> None:
    """Between the first trade that was seen and a moment before the last, nothing lacks and nothing is twice."""
    report.trades = len(frame)
    for market in MARKETS:
        mine = frame[frame["market"] == market]
        if not mine["sequential_id"].is_unique:
            report.wrong.append(f"{market}: {int(mine['sequential_id'].duplicated().sum())} trades twice")
        # The snapshot is the last of its millisecond, and the last seconds may still have been under way.
        times = mine["time"]
        low, high = int(times.iloc[0]) + 1000, int(times.max()) - 3 * SECOND
        got = set(mine["sequential_id"][(times >= low) & (times < high)].tolist())
        truth = exchange.market.trades(market, low, high)
        true = set(truth.sequential_id.tolist())
        if got != true:
            report.wrong.append(f"{market}: {len(true - got)} trades lack, {len(got - true)} are strange")


def compare_candles(client: uf.Client, frame: pd.DataFrame, report: Report) -> None:
    """Every candle that was followed is the one that REST tells."""
    report.candles = len(frame)
    for market in MARKETS:
        mine = frame.xs(market, level="market")
        end = mine.index[-1] + pd.Timedelta(minutes=1)
        told = client.candles(market, "1m", start=mine.index[0], end=end, source="rest")
        try:
            pd.testing.assert_frame_equal(mine, told, check_exact=True, check_freq=False)
        except AssertionError as error:
            report.wrong.append(f"{market}: candles differ: {error}")


def main() -> None:
    """Print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("upbit_frames").setLevel(logging.ERROR)
    report = soak(options.seconds, options.seed, lambda text: print(text, flush=True))
    print(report)
    sys.exit(bool(report.wrong))


if __name__ == "__main__":
    main()
