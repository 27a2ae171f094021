"""What recording costs, as a share of the cheapest calls there are.

``python tests/benchmarks/bench_metrics.py``

The same calls as they are and with every line of the recording taken out, in blocks that take
turns, in one run; medians, and the interval in which the median of the differences lies with 95 %.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from served import Served

import upbit_frames as uf
from upbit_frames.api import invocation as front
from upbit_frames.exchange.transport import rest
from upbit_frames.runtime.telemetry import Telemetry, telemetry

BLOCKS = 150
RECORDED = front.call_sync


class Deaf(Telemetry):
    """Hears nothing; for the transport, whose one line cannot be taken out from here."""

    def request(self, *facts: Any, **more: Any) -> None:
        """Nothing."""


DEAF = Deaf()


def unrecorded(func: Any, config: Any, /, *args: Any, **kwargs: Any) -> Any:
    """``client.call_sync`` without the recording."""
    call = func(config, *args, **kwargs)
    found = call.cached()
    if found is None:
        found = call.stored()
    if found is not None:
        return call.finish(found)
    return call.finish(front._run_on_loop(call))


def with_it() -> None:
    front.call_sync, rest.telemetry = RECORDED, telemetry


def without() -> None:
    front.call_sync, rest.telemetry = unrecorded, DEAF


def compare(name: str, work: Callable[[], object], blocks: int, each: int = 25, pause: float = 0.0) -> None:
    """Blocks of calls in turns, in another order each time; from a block the median of its calls."""
    times: dict[Callable[[], None], list[float]] = {with_it: [], without: []}
    for number in range(blocks):
        for way in (with_it, without) if number % 2 else (without, with_it):
            way()
            times[way].append(block(work, each, pause))
    with_it()
    off = statistics.median(times[without])
    differences = sorted(one - other for one, other in zip(times[with_it], times[without], strict=True))
    middle, reach = blocks // 2, int(0.98 * blocks**0.5)
    low, mid, high = (differences[place] for place in (middle - reach, middle, middle + reach))
    print(
        f"{name:<30} {off:9.1f} µs, recording {mid:+8.2f} µs ({low:+.2f} to {high:+.2f})"
        f" = {mid / off:+.2%} ({low / off:+.2%} to {high / off:+.2%})"
    )


def block(work: Callable[[], object], each: int, pause: float) -> float:
    """Median of some calls, microseconds."""
    found = []
    for _ in range(each):
        if pause:
            time.sleep(pause)
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return statistics.median(found) * 1e6


def alone() -> None:
    """The telemetry's own work for a call that asks somebody, in a loop that does nothing else."""
    own, meta, times = Telemetry(), {"route": [{"channel": "rest", "reason": "x", "rows": 1}]}, []
    for _ in range(4000):
        begun = time.perf_counter()
        with own.call("ticker", begun) as record:
            own.request("ticker", 200, 0.01, 1, 700)
            record.answered(meta)
        times.append(time.perf_counter() - begun)
    print(f"{'a call with a request, alone':<30} {statistics.median(times) * 1e6:9.1f} µs")


def main() -> None:
    """Print a table."""
    alone()
    with Served(0.0) as served, tempfile.TemporaryDirectory() as folder:
        client = uf.Client(uf.Config(**served.settings, cache_dir=Path(folder), progress=False))
        client.candles("KRW-BTC", "1m", count=200)
        compare("200 candles from the store", lambda: client.candles("KRW-BTC", "1m", count=200), BLOCKS)
        for _ in range(5):
            client.ticker("KRW-BTC")
            time.sleep(0.3)
        compare("a ticker from a warm stream", lambda: client.ticker("KRW-BTC"), 2 * BLOCKS)
        uf.metrics.watch(p95_ms=1e6, error_share=1.0, refusals=10**9, age_ms=1e9)
        compare("the same with limits watched", lambda: client.ticker("KRW-BTC"), 2 * BLOCKS)
        uf.metrics.watch()
        compare("a ticker over REST, loopback", lambda: client.ticker("KRW-BTC", source="rest"), 12, 4, 0.11)


if __name__ == "__main__":
    main()
