"""A process that fetches until it is interrupted or killed.

``python backfilling.py URL FOLDER START END``. It paces itself by nothing but the round trip, so
that a killed one has seen many pages; a line on standard output says that it begins. With a fifth
argument it also says ``got`` for each answer that has arrived, and ``stored START END`` for each range
that its store has taken.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import upbit_frames as uf
from upbit_frames.core.intervals import Span
from upbit_frames.exchange.transport import rate_limiter as limiter
from upbit_frames.exchange.transport.rest import RestTransport
from upbit_frames.store.parquet import ParquetStore


def report() -> None:
    """Say what arrives and what is stored, each in one write, which a kill cannot cut in two."""
    get, write = RestTransport.get, ParquetStore.write

    async def got(self: RestTransport, *args: Any) -> Any:
        reply = await get(self, *args)
        os.write(1, b"got\n")
        return reply

    def stored(self: ParquetStore, series: Any, table: Any, span: Span, **options: Any) -> None:
        write(self, series, table, span, **options)
        os.write(1, f"stored {span.start} {span.end}\n".encode())

    RestTransport.get, ParquetStore.write = got, stored  # type: ignore[method-assign]


def main() -> None:
    """Fetch, and say how many rows there are."""
    url, folder, start, end, *more = sys.argv[1:]
    if more:
        report()
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
