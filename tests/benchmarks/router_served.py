"""An exchange behind a slow line, in a process of its own: told what to do, and tells what it saw.

``Served`` starts the process and asks it over its standard input; run as a script, this file is
the process. REST and WebSocket are both reached through a :class:`Line`, which delays every byte by
half a round trip, counts what it carries, and can be cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.router_world import NOW, SEED, source_of

from upbit_frames.testing import Exchange

CHUNK = 65_536
OPENING = 2  # round trips before anything can be said: TCP and TLS
GROUPS = {"ticker": "ticker", "orderbook": "orderbook", "trades": "crix-trades", "candles": "candles"}


class Line:
    """Bytes both ways, half a round trip late; may be cut, refused, or held."""

    def __init__(self, port: int, round_trip: float) -> None:
        self.target = port
        self.half = round_trip / 2
        self.bytes = 0  # from the exchange
        self.spans: list[list[float]] = []  # begin and end of each connection
        self.port = 0
        self.held = False
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        """Listen, at the same port as before."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Break everything, and refuse what comes."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Break everything; what comes is let in."""
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def hold(self) -> None:
        """Let everything that is open stay open and dead."""
        self.held = True

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        span = [time.monotonic(), 0.0]
        self.spans.append(span)
        self.held = False  # what was held was what was open then
        writers = [writer]
        try:
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                there, back = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
                writers.append(back)
                pumps = [
                    asyncio.create_task(self._pump(reader, back, OPENING * 2 * self.half, False)),
                    asyncio.create_task(self._pump(there, writer, 0.0, True)),
                ]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._open.discard(task)
            span[1] = time.monotonic()
            for one in writers:
                one.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: float, counted: bool
    ) -> None:
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - loop.time())
                if not data:
                    return
                if not self.held:
                    writer.write(data)
                    await writer.drain()

        delivery = loop.create_task(deliver())
        extra = first
        try:
            while not delivery.done():
                data = await reader.read(CHUNK)
                if counted and not self.held:
                    self.bytes += len(data)
                queue.put_nowait((loop.time() + self.half + extra, data))
                if not data:
                    await delivery
                    return
                extra = 0.0
        finally:
            delivery.cancel()
            await asyncio.gather(delivery, return_exceptions=True)


class Venue:
    """An exchange and the two lines to it."""

    def __init__(self, codes: list[str], round_trip: float) -> None:
        self.exchange = Exchange(seed=SEED, now=NOW, markets=[source_of(code) for code in codes], maintenance=())
        for code in codes:  # what has to be worked out once is no part of any answer
            self.exchange.market.ticker(code)
            self.exchange.market.book(code)
        self.exchange.start()
        self.rest = Line(_port(self.exchange.rest_url), round_trip)
        self.stream = Line(_port(self.exchange.ws_url), round_trip)
        self.exchange.call(self.rest.up())
        self.exchange.call(self.stream.up())
        self.exchange.clock.run(1.0)

    def told(self) -> dict[str, Any]:
        """Where it is, and what its clock says at which moment of ours."""
        return {
            "rest_url": f"http://127.0.0.1:{self.rest.port}",
            "ws_url": f"ws://127.0.0.1:{self.stream.port}{urlsplit(self.exchange.ws_url).path}",
            "monotonic": time.monotonic(),
            "now": self.exchange.clock.now(),
        }

    def happen(self, what: str) -> None:
        """Something goes wrong with the stream, or right again."""
        stream, faults = self.stream, self.exchange.streams.faults
        if what == "unavailable":
            faults.refuse = [503] * 1000
        elif what == "silent":
            faults.silent = True
        elif what == "well":
            faults.silent, faults.refuse = False, []
        else:
            self.exchange.call({"down": stream.down, "up": stream.up, "cut": stream.cut, "hold": stream.hold}[what]())

    def tally(self) -> dict[str, Any]:
        """What the client has used so far."""
        requests: Counter[str] = Counter()
        for one in list(self.exchange.requests):
            if "KRW-LOAD" not in one.params.values():
                requests[next((GROUPS[part] for part in one.path.split("/") if part in GROUPS), "market")] += 1
        now, connections = time.monotonic(), list(self.exchange.streams.connections)
        return {
            "requests": dict(requests),
            "refused": sum(1 for one in list(self.exchange.requests) if one.status == 429),
            "connections": len(connections),
            "messages": sum(len(one.messages) for one in connections),
            "frames": sum(one.sent for one in connections),
            "bytes": self.rest.bytes + self.stream.bytes,
            "stream_bytes": self.stream.bytes,
            "seconds_open": sum((end or now) - begin for begin, end in self.stream.spans),
            "open": sum(1 for _, end in self.stream.spans if not end),
        }

    def stop(self) -> None:
        """End it."""
        for line in (self.rest, self.stream):
            self.exchange.call(line.down())
        self.exchange.stop()


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


class Served:
    """The process, from outside; a context manager."""

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *failed: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def ask(self, do: str, **how: Any) -> Any:
        """Tell it to do something; from any thread."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"do": do, **how}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the exchange's process has ended")
        return json.loads(line)


def main() -> None:
    """Do what is told until standard input ends."""
    venue: Venue | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any = None
        if asked["do"] == "start":
            venue = Venue(asked["codes"], asked["round_trip"])
            answer = venue.told()
        elif venue is not None and asked["do"] == "happen":
            venue.happen(asked["what"])
        elif venue is not None and asked["do"] == "tally":
            answer = venue.tally()
        elif venue is not None and asked["do"] == "stop":
            venue.stop()
            venue = None
        print(json.dumps(answer), flush=True)
    if venue is not None:
        venue.stop()


if __name__ == "__main__":
    main()
