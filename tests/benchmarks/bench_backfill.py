"""A cold backfill over loopback: share of the allowed rate, requests, refusals; and the same by others.

``python tests/benchmarks/bench_backfill.py [--pages 350] [--delays 50 200] [--only upbit-frames …]``

The stand-in exchange runs in a process of its own with the given round trip and Upbit's limits. The
share is against a client that loses nothing: ten requests at once, then ten more each second. A
client has lost what it did not get: the column rows says how much of the range it really has.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from served import Served

END = 1_772_323_200_000_000  # 2026-03-01
MINUTE = 60_000_000
MARKET = "KRW-BTC"
LIMIT = 10


def by_upbit_frames(settings: dict[str, str], rows: int) -> int:
    import upbit_frames as uf

    with tempfile.TemporaryDirectory() as folder:
        client = uf.Client(uf.Config(**settings, cache_dir=Path(folder), progress=False))
        table = client.candles(MARKET, "1m", start=iso(END - rows * MINUTE), end=iso(END), output="arrow")
    return len(table)


def by_pyupbit(settings: dict[str, str], rows: int) -> int:
    import pyupbit.quotation_api as pyupbit

    pyupbit.get_url_ohlcv = lambda interval: f"{settings['rest_url']}/v1/candles/minutes/1"
    frame = pyupbit.get_ohlcv(MARKET, "minute1", count=rows, to=iso(END)[:19].replace("T", " "))
    return 0 if frame is None else len(frame)


def by_upbit_sdk(settings: dict[str, str], rows: int) -> int:
    from upbit import Upbit

    got: dict[str, object] = {}
    to = iso(END)
    with Upbit(base_url=settings["rest_url"]) as client:
        while len(got) < rows:
            page = client.candles.list_minutes(1, market=MARKET, to=to, count=200)
            if not page:
                break
            got.update((row.candle_date_time_utc, row) for row in page)
            to = page[-1].candle_date_time_utc + "Z"
    return len(got)


def by_ccxt(settings: dict[str, str], rows: int) -> int:
    import ccxt

    exchange = ccxt.upbit({"enableRateLimit": True})
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], settings["rest_url"])
    got: dict[int, object] = {}
    to = iso(END)
    while len(got) < rows:
        page = exchange.fetch_ohlcv("BTC/KRW", "1m", limit=200, params={"to": to})
        if not page:
            break
        got.update((row[0], row) for row in page)
        to = iso(page[0][0] * 1000)
    return len(got)


CLIENTS: dict[str, Callable[[dict[str, str], int], int]] = {
    "upbit-frames": by_upbit_frames,
    "pyupbit": by_pyupbit,
    "upbit-sdk": by_upbit_sdk,
    "ccxt": by_ccxt,
}


def iso(micros: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(micros / 1e6))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=350)
    parser.add_argument("--delays", type=int, nargs="*", default=[50, 200], help="milliseconds of round trip")
    parser.add_argument("--only", nargs="*", default=list(CLIENTS), choices=list(CLIENTS))
    given = parser.parse_args()
    rows = given.pages * 200
    print(f"{rows:,} minutes, {given.pages} full pages")
    print(f"{'client':<14}{'round trip':>11}{'seconds':>9}{'requests':>10}{'429/418':>9}{'rows':>9}{'share':>8}")
    for delay in given.delays:
        with Served(delay / 1000) as served:
            for name in given.only:
                CLIENTS[name](served.settings, 200)  # imports, connections, the server's own caches
                time.sleep(1.1)
                served.seen()
                begun = time.perf_counter()
                try:
                    got, failed = CLIENTS[name](served.settings, rows), ""
                except Exception as error:  # noqa: BLE001 - how a client fails is part of the comparison
                    got, failed = 0, f"  {type(error).__name__}: {str(error)[:60]}"
                seconds = time.perf_counter() - begun
                seen = served.seen()
                refused = sum(status in (418, 429) for _, status, _ in seen)
                useful = -(-got // 200)
                ideal = (useful - 1) // LIMIT + delay / 1000 if useful else 0.0
                print(
                    f"{name:<14}{delay:>8} ms{seconds:>9.2f}{len(seen):>10}{refused:>9}{got:>9,}"
                    f"{ideal / seconds:>8.1%}{failed}", flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
