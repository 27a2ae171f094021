"""A process that fetches until it is interrupted or killed.

``python backfilling.py URL FOLDER START END``. It paces itself by nothing but the round trip, so
that a killed one has seen many pages; a line on standard output says that it begins.
"""

from __future__ import annotations

import sys
from pathlib import Path

import upbit_frames as uf
from upbit_frames.exchange.transport import rate_limiter as limiter


def main() -> None:
    """Fetch, and say how many rows there are."""
    url, folder, start, end = sys.argv[1:]
    limiter.limiter_for = lambda url, rate=1.0: limiter.NullLimiter()
    client = uf.Client(uf.Config(rest_url=url, cache_dir=Path(folder), progress=False))
    print("begin", flush=True)
    try:
        table = client.candles("KRW-BTC", "1m", start=start, end=end, output="arrow")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
    print(len(table), flush=True)


if __name__ == "__main__":
    main()
