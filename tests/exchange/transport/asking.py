"""A process that asks for tickers: ``python asking.py URL TIMES [ATTEMPTS]``; prints how each ended."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

from upbit_frames.core.endpoints import ENDPOINTS
from upbit_frames.errors import UpbitFramesError
from upbit_frames.exchange.transport.rate_limiter import limiter_for
from upbit_frames.exchange.transport.rest import RestTransport
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.runtime.clock import ServerTime, SystemClock


async def ask(url: str, times: int, attempts: int) -> dict[str, int]:
    clock = SystemClock()
    transport = RestTransport(
        url, clock=clock, server_time=ServerTime(clock), limiter=limiter_for(url), timeout=60,
        retry=RetryPolicy(attempts=attempts),
    )  # fmt: skip
    print("begin", flush=True)
    ended: Counter[str] = Counter()

    async def one() -> None:
        try:
            await transport.get(ENDPOINTS["ticker"], {"markets": "KRW-BTC"})
            ended["answered"] += 1
        except UpbitFramesError as error:
            ended[type(error).__name__] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(one())
    await transport.aclose()
    return dict(ended)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1))))
