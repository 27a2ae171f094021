"""The stand-in exchange in a process of its own, and what it saw.

``Served`` starts it and asks it over its standard input; run as a script, this file is the server.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any, Self

from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

NOW = "2026-03-01T00:00:30Z"
BUSY = "2026-03-01T00:21:00Z"  # a lively minute


class Served:
    """A stand-in exchange in another process; a context manager.

    With ``busy`` KRW-BTC has a hundred trades a second for the first minute. ``extra`` adds so many modest markets.
    """

    def __init__(self, delay: float, busy: bool = False, extra: int = 0) -> None:
        self._options = [str(delay), str(extra), *(["busy"] if busy else [])]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.settings: dict[str, str] = self._read()
        return self

    def __exit__(self, *failed: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def seen(self) -> list[tuple[float, int, str]]:
        """Arrival (seconds, monotonic), status and path of every request since the last time asked."""
        assert self._process.stdin is not None
        self._process.stdin.write("seen\n")
        self._process.stdin.flush()
        return [(arrival, status, path) for arrival, status, path in self._read()]


def main() -> None:
    """Serve until standard input ends."""
    delay, extra, *busy = sys.argv[1:]
    markets = default_listings(extra=int(extra))
    if busy:
        markets = [replace(one, trades_per_day=400_000.0) if one.market == "KRW-BTC" else one for one in markets]
    with Exchange(seed=7, now=BUSY if busy else NOW, delay=float(delay), markets=markets) as exchange:
        exchange.clock.run()
        print(json.dumps(exchange.settings()), flush=True)
        for _ in sys.stdin:
            seen = [(one.arrival, one.status, one.path) for one in exchange.requests]
            exchange.requests.clear()
            exchange.limits.reset()
            print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
