"""Frames of a stream to rows: ours, raw websockets and json, ccxt, cryptofeed; the same frames for all.

``python tests/benchmarks/bench_live_decode.py [--frames 20000]``

Frames are recorded once from the stand-in exchange. Two measures, each a ratio in one run of
interleaved rounds (medians):

- decoding: bytes to what each gives its users: dicts of ``json.loads`` (the floor), our rows, our
  Arrow table, ccxt's unified dicts, cryptofeed's objects (it asks for the short spelling, so it
  gets that). One frame at a time and in batches of 100, as a burst brings them.
- the wire: a loopback server sends the frames as fast as it can; raw ``websockets`` with
  ``json.loads`` against our connection, hub and subscriber.

A peer that is not installed is left out, and said so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.sync.client import connect as connect_sync

from upbit_frames.core.topics import Topic
from upbit_frames.exchange.transport.rate_limiter import NullLimiter
from upbit_frames.exchange.transport.websocket import SocketDialer
from upbit_frames.exchange.wire.message_tables import to_table
from upbit_frames.exchange.wire.messages import decode
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.runtime.clock import ServerTime, SystemClock
from upbit_frames.testing import Exchange
from upbit_frames.testing.market.listings import default_listings

MARKET = "KRW-BTC"
KINDS = ("trade", "ticker", "orderbook", "candle.1s")
ROUNDS = 5
BATCH = 100
Work = Callable[[list[bytes]], object]


# --- frames ---------------------------------------------------------------------------------------


def record(frames: int) -> dict[tuple[str, str], list[bytes]]:
    """So many frames of every kind in both spellings; what was recorded is repeated where it is less."""
    busy = [replace(one, trades_per_day=200_000.0) if one.market == MARKET else one for one in default_listings()]
    found: dict[tuple[str, str], list[bytes]] = {}
    with Exchange(seed=7, now="2026-03-01T03:30:20Z", markets=busy) as exchange:
        exchange.clock.run(8.0)
        for kind in KINDS:
            for spelling in ("DEFAULT", "SIMPLE"):
                asked = [{"ticket": "t"}, {"type": kind, "codes": [MARKET]}, {"format": spelling}]
                some: list[bytes] = []
                with connect_sync(exchange.ws_url, max_size=None) as socket:
                    socket.send(json.dumps(asked))
                    while len(some) < 100:
                        some.append(socket.recv(decode=False))
                found[kind, spelling] = (some * (frames // len(some) + 1))[:frames]
    return found


# --- decoding -------------------------------------------------------------------------------------


def floor(frames: list[bytes]) -> object:
    return [json.loads(frame) for frame in frames]


def ours_each(frames: list[bytes]) -> object:
    rows = []
    for frame in frames:
        rows += decode([frame], [1])[0]
    return rows


def batches(frames: list[bytes]) -> list[list[bytes]]:
    return [frames[low : low + BATCH] for low in range(0, len(frames), BATCH)]


def ours_rows(frames: list[bytes]) -> object:
    return [decode(part, [1] * len(part))[0] for part in batches(frames)]


def ours_tables(kind: str) -> Work:
    return lambda frames: [to_table(kind, decode(part, [1] * len(part))[0]) for part in batches(frames)]


def by_ccxt() -> Work | None:
    try:
        import ccxt.pro
    except ImportError:
        return None
    exchange = ccxt.pro.upbit()

    class Client:
        """Nobody waits."""

        def resolve(self, *_: object) -> None:
            """Nothing."""

    client = Client()

    def work(frames: list[bytes]) -> None:
        for frame in frames:
            exchange.handle_message(client, json.loads(frame))

    return work


def by_cryptofeed() -> Work | None:
    try:
        from cryptofeed.defines import L2_BOOK, TRADES
        from cryptofeed.exchanges import Upbit
    except ImportError:
        return None
    feed: Any = Upbit.__new__(Upbit)
    feed._l2_book, feed.max_depth = {}, 0
    feed.exchange_symbol_to_std_symbol = lambda code: "-".join(reversed(code.split("-")))
    taken: list[object] = []

    async def callback(channel: str, what: object, moment: float) -> None:
        taken.append(what)

    async def book(channel: str, what: object, moment: float, **_: object) -> None:
        taken.append(what)

    feed.callback, feed.book_callback = callback, book
    assert (TRADES, L2_BOOK) == ("trades", "l2_book")

    def work(frames: list[bytes]) -> None:
        taken.clear()

        async def all_of_them() -> None:
            for frame in frames:
                await feed.message_handler(frame, None, 0.0)

        asyncio.run(all_of_them())

    return work


def compare(title: str, works: dict[str, tuple[Work, list[bytes]]]) -> None:
    """Interleaved rounds; ratios against the floor."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, (work, frames) in works.items():
            begun = time.perf_counter()
            work(frames)
            times[name].append(time.perf_counter() - begun)
    base = statistics.median(times["json.loads"])
    told = []
    for name, (_, frames) in works.items():
        seconds = statistics.median(times[name])
        told.append(f"{name} {len(frames) / seconds / 1000:,.0f} k/s ({base / seconds:.2f}×)")
    print(f"{title:<20} " + " · ".join(told), flush=True)


# --- the wire -------------------------------------------------------------------------------------


class NoBackfill:
    """Nothing breaks here."""

    async def fetch(self, *_: object) -> list[Any]:
        """Nothing."""
        return []


async def on_the_wire(frames: list[bytes], kind: str) -> tuple[float, float]:
    """Seconds for raw websockets with json, and for our connection, hub and subscriber."""

    async def send(socket: Any) -> None:
        await socket.recv()
        for frame in frames:
            await socket.send(frame)
        await socket.wait_closed()

    async with serve(send, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        async def raw() -> None:
            async with connect(url, compression=None) as socket:
                await socket.send("go")
                for _ in frames:
                    json.loads(await socket.recv(decode=False))

        async def ours() -> None:
            clock = SystemClock()
            hub = Hub(
                SocketDialer(url, clock=clock, limiter=NullLimiter()), NoBackfill(), clock=clock,
                server_time=ServerTime(clock), linger=0.0,
            )  # fmt: skip
            subscriber = Subscriber(frozenset([Topic(kind, MARKET)]), len(frames) + 10)
            await hub.subscribe(subscriber)
            while hub.frames < len(frames):
                await subscriber.take()
                await asyncio.sleep(0)
            await hub.aclose()

        return await fastest(raw), await fastest(ours)


async def fastest(work: Callable[[], Awaitable[None]]) -> float:
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        await work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def numbered(frames: list[bytes]) -> list[bytes]:
    """Trades that are told apart, as they are on the wire; repeated ones would be dropped early."""
    told = [json.loads(frame) for frame in frames]
    for number, one in enumerate(told):
        one["sequential_id"] += number
    return [json.dumps(one, separators=(",", ":")).encode() for one in told]


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20_000)
    frames = record(parser.parse_args().frames)
    ccxt, cryptofeed = by_ccxt(), by_cryptofeed()
    for name, peer in (("ccxt", ccxt), ("cryptofeed", cryptofeed)):
        if peer is None:
            print(f"{name} is not installed and left out")
    for kind in KINDS:
        plain, short = frames[kind, "DEFAULT"], frames[kind, "SIMPLE"]
        works: dict[str, tuple[Work, list[bytes]]] = {
            "json.loads": (floor, plain),
            "ours, each": (ours_each, plain),
            "rows": (ours_rows, plain),
            "tables": (ours_tables(kind), plain),
            "rows, SIMPLE": (ours_rows, short),
        }
        if ccxt is not None:
            works["ccxt"] = (ccxt, plain)
        if cryptofeed is not None and kind in ("trade", "orderbook"):
            works["cryptofeed"] = (cryptofeed, short)
        compare(kind, works)
    for kind in KINDS:
        some = numbered(frames[kind, "DEFAULT"]) if kind == "trade" else frames[kind, "DEFAULT"]
        raw, ours = asyncio.run(on_the_wire(some, kind))
        print(
            f"{'wire, ' + kind:<20} websockets + json {len(some) / raw / 1000:,.0f} k/s · "
            f"ours, to rows of a subscriber {len(some) / ours / 1000:,.0f} k/s ({raw / ours:.2f}×)",
            flush=True,
        )


if __name__ == "__main__":
    main()
