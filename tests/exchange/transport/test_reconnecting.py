"""The reconnecting connection over real sockets: requests, faults, and the events of its sink."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from loopback import listening
from support.streams import BTC, ETH, NOW, QUICK, RecordingSink, asked, connection, limiter, lively, pairs, until

from upbit_frames.core.topics import Topic
from upbit_frames.errors import (
    ApiError,
    Blocked,
    ConnectionFailed,
    RateLimited,
    ServerError,
    Timeout,
    TransportError,
    UpbitFramesError,
)
from upbit_frames.exchange.transport.rate_limiter import NullLimiter
from upbit_frames.exchange.transport.reconnecting import WsConnection, _Budget
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.transport.websocket import SocketDialer
from upbit_frames.runtime.clock import ManualClock, SystemClock
from upbit_frames.testing import Exchange

BOOK = Topic("orderbook", "KRW-BTC")
SHORT = {"ping_interval": 0.2, "ping_timeout": 0.2}
OFTEN = {"ping_interval": 0.2, "ping_timeout": 60.0}  # a busy machine may answer late


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(seed=5, now=NOW, markets=lively()) as exchange:
        exchange.clock.run()
        yield exchange


@asynccontextmanager
async def connected(
    exchange: Exchange, folder: Path, *topics: Topic, **options: Any
) -> AsyncIterator[tuple[Any, RecordingSink]]:
    """A connection that is open and subscribed."""
    sink = RecordingSink()
    it = connection(exchange, folder, sink, **options)
    it.subscribe(topics)
    try:
        await until(lambda: sink.frames or (sink.epochs and exchange.streams.connections[-1].messages))
        yield it, sink
    finally:
        async with asyncio.timeout(60):
            await it.aclose()


# --- how it asks ---------------------------------------------------------------------------------------


def test_the_upgrade_offers_compression_and_says_no_origin(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with connected(exchange, tmp_path, BTC) as (it, _):
            assert (it.state, it.epoch) == ("open", 1)

    asyncio.run(main())
    (log,) = exchange.streams.connections
    assert log.status == 101
    assert "origin" not in log.headers
    assert "permessage-deflate" in log.headers["sec-websocket-extensions"]
    assert log.headers["user-agent"].startswith("upbit-frames/")


def test_all_subscriptions_go_in_one_message(exchange: Exchange, tmp_path: Path) -> None:
    topics = [BTC, ETH, BOOK, Topic("orderbook", "KRW-BTC", depth=5), Topic("orderbook", "KRW-BTC", 10_000.0, 5)]

    async def main() -> None:
        async with connected(exchange, tmp_path, *topics):
            pass

    asyncio.run(main())
    (log,) = exchange.streams.connections
    ((_, message),) = log.messages
    ticket, *parts, form = json.loads(message)
    assert len(ticket["ticket"]) >= 32
    assert form == {"format": "DEFAULT"}
    assert parts == [
        {"type": "orderbook", "codes": ["KRW-BTC"]},
        {"type": "orderbook", "codes": ["KRW-BTC.5"], "level": 10_000},
        {"type": "trade", "codes": ["KRW-BTC", "KRW-ETH"]},
    ]


def test_equal_subscriptions_are_not_sent_again_without_resend(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with connected(exchange, tmp_path, BTC) as (it, _):
            messages = exchange.streams.connections[0].messages
            it.subscribe([BTC])
            await it.alive(60.0)
            assert len(messages) == 1
            it.subscribe([BTC], resend=True)
            await until(lambda: len(messages) == 2)
            it.subscribe([BTC, ETH])
            await until(lambda: len(messages) == 3)
            assert asked(messages[2][1]) == pairs([BTC, ETH])
            it.subscribe([])  # without subscriptions it stays open for the next one
            await it.alive(60.0)
            assert len(messages) == 3

    asyncio.run(main())


# --- what it survives ----------------------------------------------------------------------------------


def broken_by(exchange: Exchange, how: str) -> None:
    streams = exchange.streams
    if how == "error":
        streams.error("Too Many Requests")
    elif how == "unknown error":
        streams.error("SOMETHING_NEW")
    else:
        {"drop": streams.drop, "close": streams.close, "half open": streams.half_open}[how]()


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("drop", ConnectionFailed, "broken off"), ("close", ConnectionFailed, "closed by the exchange with 1001"),
        ("half open", ConnectionFailed, "no answer to a ping"), ("error", RateLimited, "too many messages"),
        ("unknown error", ServerError, "SOMETHING_NEW"),
    ],
)  # fmt: skip
def test_all_subscriptions_are_restored_after_a_disconnect(
    exchange: Exchange, tmp_path: Path, how: str, kind: type[UpbitFramesError], words: str
) -> None:
    async def main() -> None:
        async with connected(exchange, tmp_path, BTC, BOOK, **(SHORT if how == "half open" else {})) as (it, sink):
            for number in (1, 2):
                await asyncio.to_thread(broken_by, exchange, how)
                await until(lambda: len(sink.breaks) == number)  # noqa: B023 - waited for at once
                seen = len(sink.frames)
                it.subscribe([BTC, BOOK, ETH] if number == 2 else [BTC, BOOK])
                await until(lambda: len(sink.epochs) > number and len(sink.frames) > seen)  # noqa: B023
            assert sink.epochs == [1, 2, 3]
            assert [type(one) for one in sink.breaks] == [kind] * 2
            assert all(words in one.message for one in sink.breaks)
            assert not sink.refusals
            assert not sink.ends

    asyncio.run(main())
    logs = exchange.streams.connections
    assert [log.status for log in logs] == [101] * 3
    assert [asked(log.messages[0][1]) for log in logs[:2]] == [pairs([BTC, BOOK])] * 2
    assert asked(logs[2].messages[-1][1]) == pairs([BTC, BOOK, ETH])
    assert all("origin" not in log.headers for log in logs)


@pytest.mark.parametrize("name", ["WRONG_FORMAT", "NO_TICKET", "NO_TYPE", "NO_CODES", "INVALID_PARAM", "INVALID_AUTH"])
def test_a_refused_subscription_is_reported_and_the_connection_reopened(
    exchange: Exchange, tmp_path: Path, name: str
) -> None:
    async def main() -> None:
        exchange.streams.faults.errors.append(name)
        exchange.streams.close_delay = 0.01
        async with connected(exchange, tmp_path, BTC) as (_, sink):
            await until(lambda: sink.refusals and sink.frames)
            (error,) = sink.refusals
            assert type(error) is ApiError
            assert name in error.message
            assert error.name == name
            assert not sink.breaks

    asyncio.run(main())


def test_a_quiet_market_is_no_failure(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with connected(exchange, tmp_path, Topic("trade", "KRW-EMPTY"), **OFTEN) as (it, sink):
            log = exchange.streams.connections[0]
            await until(lambda: log.pings >= 3)
            assert sink.frames == []
            exchange.streams.faults.silent = True
            it.subscribe([BTC])
            await until(lambda: log.pings >= 6)
            assert (it.state, it.epoch, sink.breaks, log.ended) == ("open", 1, [], "")

    asyncio.run(main())


def test_pings_keep_an_idle_connection_open(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        exchange.streams.idle_seconds = 4.0
        async with connected(exchange, tmp_path, Topic("trade", "KRW-EMPTY"), ping_interval=0.4) as (it, sink):
            log = exchange.streams.connections[0]
            await until(lambda: log.pings >= 12)  # longer than an idle connection lives
            assert (it.epoch, sink.breaks) == (1, [])

    asyncio.run(main())


def test_frames_of_unknown_kinds_are_passed_to_the_sink(exchange: Exchange, tmp_path: Path) -> None:
    strange = [b"<html>Bad Gateway</html>", b'{"news":1}', b"17", b"\xff\xfe", b"", b'{"status":"UP"}', b"[" * 50_000]

    async def main() -> None:
        exchange.streams.faults.replace += strange
        async with connected(exchange, tmp_path, BTC) as (it, sink):
            await until(lambda: not exchange.streams.faults.replace and len(sink.frames) >= len(strange))
            assert (it.epoch, sink.breaks) == (1, [])
            strange.remove(b'{"status":"UP"}')
            assert sink.frames[: len(strange)] == strange

    asyncio.run(main())


def test_frames_of_other_sizes_come_whole(exchange: Exchange, tmp_path: Path) -> None:
    big = b'{"type":"trade","code":"' + b"x" * 5_000_000 + b'"}'

    async def main() -> None:
        exchange.streams.faults.replace.append(big)
        async with connected(exchange, tmp_path, BTC) as (_, sink):
            await until(lambda: len(sink.frames) > 1)
            assert sink.frames[0] == big
            assert sink.received == sorted(sink.received)

    asyncio.run(main())


# --- limits --------------------------------------------------------------------------------------------


def test_messages_are_paced(exchange: Exchange, tmp_path: Path) -> None:
    """Twelve changes in a moment become a few messages, five a second at most, the last one the latest."""
    markets = [one.market for one in exchange.market.markets()][:12]
    for market in markets:
        exchange.market.last_trade(market, exchange.clock.now())  # so that no answer takes its time

    async def main() -> None:
        async with connected(exchange, tmp_path, Topic("trade", markets[0])) as (it, sink):
            log = exchange.streams.connections[0]
            for number in range(2, 13):
                it.subscribe([Topic("trade", one) for one in markets[:number]])
                count = len(log.messages)
                await until(lambda: len(log.messages) > count, 20.0)  # noqa: B023 - waited for at once
            assert asked(log.messages[-1][1]) == {("trade", one) for one in markets}
            times = [at for at, _ in log.messages]
            assert all(later - earlier > 1.0 for earlier, later in zip(times, times[5:], strict=False))
            for number in range(1, 13):
                it.subscribe([Topic("trade", one) for one in markets[:number]])
                await asyncio.sleep(0)
            count = len(log.messages)
            await until(lambda: asked(log.messages[-1][1]) == {("trade", one) for one in markets})
            assert len(log.messages) - count <= 6
            assert not sink.breaks  # the exchange would have refused more

    asyncio.run(main())


def test_a_hundred_messages_a_minute_and_five_a_second() -> None:
    async def main() -> list[float]:
        clock = ManualClock(0)
        budget, sent = _Budget(clock), []
        for _ in range(350):
            await budget.wait()
            budget.spend()
            sent.append(clock.monotonic())
        return sent

    sent = asyncio.run(main())
    for count, seconds in ((5, 1.0), (100, 60.0)):
        assert all(later - earlier > seconds for earlier, later in zip(sent, sent[count:], strict=False))
    assert sent[99] - sent[0] < 24.0  # no slower than it has to be
    assert sent[-1] - sent[0] < 3 * 61.0 + 12.0


def test_connections_are_paced(exchange: Exchange, tmp_path: Path) -> None:
    exchange.limits.window = "sliding"

    async def main() -> None:
        async with connected(exchange, tmp_path, BTC, retry=RetryPolicy(base=0.0)) as (it, sink):
            for number in range(2, 14):
                await asyncio.to_thread(exchange.streams.drop)
                await until(lambda: it.epoch == number and it.state == "open")  # noqa: B023 - waited for at once
                await until(lambda: exchange.streams.open)
            assert len(sink.breaks) == 12

    asyncio.run(main())
    assert [log.status for log in exchange.streams.connections] == [101] * 13


def test_too_many_connections_are_waited_out(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        exchange.streams.faults.refuse.append(429)
        async with connected(exchange, tmp_path, BTC) as (it, sink):
            assert it.epoch == 1
            assert not sink.breaks

    asyncio.run(main())
    assert [log.status for log in exchange.streams.connections] == [429, 101]


def test_too_many_connections_end_with_an_error(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> RecordingSink:
        exchange.streams.faults.refuse += [429] * 2
        sink = RecordingSink()
        it = connection(exchange, tmp_path, sink, RetryPolicy(attempts=2, base=0.01))
        it.subscribe([BTC])
        await until(lambda: sink.ends)
        assert it.state == "ended"
        await it.aclose()
        return sink

    (error,) = asyncio.run(main()).ends
    assert type(error) is RateLimited
    assert error.status == 429


def test_a_blocked_address_ends_at_once_without_another_request(exchange: Exchange, tmp_path: Path) -> None:
    exchange.limits.block("127.0.0.1", time.monotonic() + 30.0)

    async def main() -> list[Blocked]:
        found: list[Blocked] = []
        shared = limiter(tmp_path)
        for _ in range(2):
            sink = RecordingSink()
            dialer = SocketDialer(exchange.ws_url, clock=SystemClock(), limiter=shared)
            it = WsConnection(dialer, sink, clock=SystemClock(), retry=QUICK)
            it.subscribe([BTC])
            await until(lambda: sink.ends)  # noqa: B023 - waited for at once
            assert isinstance(sink.ends[0], Blocked)
            found.append(sink.ends[0])
            await it.aclose()
        return found

    before = datetime.now(UTC)
    first, second = asyncio.run(main())
    assert [log.status for log in exchange.streams.connections] == [418]
    assert 20 < (first.until - before).total_seconds() < 40
    assert abs((second.until - first.until).total_seconds()) < 1
    assert first.status == 418


def test_a_block_that_comes_later_is_waited_out(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with connected(exchange, tmp_path, BTC) as (it, sink):
            exchange.limits.block("127.0.0.1", time.monotonic() + 1.0)
            await asyncio.to_thread(exchange.streams.drop)
            await until(lambda: it.epoch == 2)
            assert len(sink.breaks) == 1

    asyncio.run(main())
    assert [log.status for log in exchange.streams.connections] == [101, 418, 101]


class Impatient(SystemClock):
    """Remembers how long it was to sleep, and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def test_pauses_grow_and_no_two_clients_come_back_together(exchange: Exchange) -> None:
    exchange.limits.enabled = False

    async def main(seed: int) -> list[float]:
        clock, sink = Impatient(), RecordingSink()
        fast = SocketDialer(exchange.ws_url, clock=clock, limiter=NullLimiter())
        it = WsConnection(fast, sink, clock=clock, retry=RetryPolicy(base=1.0, cap=20.0, random=Random(seed)))
        it.subscribe([BTC])
        await until(lambda: sink.frames)
        exchange.streams.faults.refuse += [503] * 8
        await asyncio.to_thread(exchange.streams.drop)
        await until(lambda: it.epoch == 2)
        await it.aclose()
        return clock.slept

    slept = [asyncio.run(main(seed)) for seed in range(3)]
    tops = [min(20.0, 2.0**n) for n in range(9)]
    for pauses in slept:
        assert len(pauses) == 9
        assert all(0 < pause <= top for pause, top in zip(pauses, tops, strict=True))
        assert len(set(pauses)) == 9
    assert sum(max(one) for one in slept) > 3.0
    assert len({one for pauses in slept for one in pauses}) == 27


# --- what cannot be reached ------------------------------------------------------------------------------


@asynccontextmanager
async def answering(raw: bytes | None, *, keep: bool = False) -> AsyncIterator[str]:
    """A server that answers every request with these bytes, or not at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if raw is not None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(raw)
                await writer.drain()
            if keep or raw is None:
                await asyncio.sleep(60)

    async with listening(serve) as port:
        yield f"ws://127.0.0.1:{port}/websocket/v1"


async def dialled(url: str, folder: Path, **options: Any) -> UpbitFramesError:
    """Why a connection to that address ended."""
    sink = RecordingSink()
    dialer = SocketDialer(url, clock=SystemClock(), limiter=limiter(folder), **options)
    it = WsConnection(dialer, sink, clock=SystemClock(), retry=QUICK)
    it.subscribe([BTC])
    await until(lambda: sink.ends)
    await it.aclose()
    (error,) = sink.ends
    assert error is not None
    assert error.url.startswith("ws")
    return error


def http(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


PAGE = "<html><head><title>403 Forbidden</title><style>x{}</style></head><body><h1>Go away</h1></body></html>"


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (http("403 Forbidden", PAGE), ApiError, "403 Forbidden"),
        (http("200 OK", "<html><body>Please log in</body></html>"), ApiError, "Please log in"),
        (http("400 Bad Request", '{"error":{"name":400,"message":"no such thing"}}'), ApiError, "no such thing"),
        (http("404 Not Found", ""), ApiError, "Not Found"),
        (http("503 Service Unavailable", ""), ServerError, "Service Unavailable"),
        (http("302 Found", "", "Location: http://login.example/"), ConnectionFailed, "login.example"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ConnectionFailed, "ws_url"),
        (b"", ConnectionFailed, "ws_url"),
        (http("101 Switching Protocols", "", "Upgrade: websocket", "Connection: Upgrade"), ConnectionFailed, "ws_url"),
    ],
)  # fmt: skip
def test_what_is_no_exchange_is_a_clear_error(
    tmp_path: Path, raw: bytes, kind: type[UpbitFramesError], words: str
) -> None:
    async def main() -> UpbitFramesError:
        async with answering(raw) as url:
            return await dialled(url, tmp_path)

    error = asyncio.run(main())
    assert type(error) is kind
    assert words in str(error)
    assert "<" not in error.message
    if isinstance(error, ApiError):
        assert str(error.status) in raw.decode()[:20]


def test_a_wrong_path_is_reported(exchange: Exchange, tmp_path: Path) -> None:
    error = asyncio.run(dialled(exchange.ws_url + "x", tmp_path))
    assert isinstance(error, ApiError)
    assert error.status == 404
    assert "ws_url" in str(error)
    assert len(exchange.streams.connections) == 1  # asking again would not help


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "no-such-host.invalid", "a" * 70 + ".invalid", "127.0.0.1:{port}/x y"]
)
def test_a_wrong_host_is_a_failed_connection(tmp_path: Path, host: str) -> None:
    error = asyncio.run(dialled(f"ws://{host.format(port=closed_port())}", tmp_path))
    assert type(error) is ConnectionFailed
    assert "ws_url" in str(error)


def test_a_server_without_an_answer_is_a_timeout(tmp_path: Path) -> None:
    async def main() -> UpbitFramesError:
        async with answering(None) as url:
            return await dialled(url, tmp_path, timeout=0.2)

    error = asyncio.run(main())
    assert type(error) is Timeout
    assert "0.2 s" in error.message


def test_a_redirection_is_not_followed(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> UpbitFramesError:
        async with answering(http("307 Temporary Redirect", "", f"Location: {exchange.ws_url}")) as url:
            return await dialled(url, tmp_path)

    error = asyncio.run(main())
    assert type(error) is ConnectionFailed
    assert "redirects to ws://127.0.0.1" in error.message
    assert not exchange.streams.connections


SLOW = {
    "head": (b"HTTP/1.1 101 Switching Protocols\r\n", b"X-Padding: again\r\n"),
    "letters": (b"HTTP/1.1 101 Switching Proto", b"c"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (b"HTTP/1.1 403 Forbidden\r\n\r\n", b"no "),
    "length": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 999999999999999999999999\r\n\r\n", b"no "),
}


@pytest.mark.parametrize("how", list(SLOW))
@pytest.mark.parametrize("pause", [0.02, 0.0])
def test_an_endless_answer_to_the_handshake_ends(tmp_path: Path, how: str, pause: float) -> None:
    first, again = SLOW[how]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            while True:
                writer.write(again if pause else again * 1000)
                await writer.drain()
                await asyncio.sleep(pause)

    async def main() -> UpbitFramesError:
        async with listening(serve) as port:
            return await dialled(f"ws://127.0.0.1:{port}/websocket/v1", tmp_path, timeout=0.5)

    assert isinstance(asyncio.run(main()), ConnectionFailed | Timeout | ApiError)


@pytest.mark.parametrize("said", ["sec=" + "9" * 5000, "sec=-1", "sec=²", "\xff", "group=websocket; min=; sec="])
def test_an_odd_count_of_what_remains_is_not_believed(exchange: Exchange, tmp_path: Path, said: str) -> None:
    async def main() -> None:
        sink = RecordingSink()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exchange.streams, "_stamp", lambda _, __, response: response.headers.update(odd))
            it = connection(exchange, tmp_path, sink)
            it.subscribe([BTC])
            await until(lambda: sink.frames or sink.ends)
            await it.aclose()
        assert not sink.ends

    odd = {"remaining-req": said}
    asyncio.run(main())


def test_a_defect_reaches_the_sink(tmp_path: Path) -> None:
    class Defective:
        live = True

        async def dial(self) -> Any:
            raise ZeroDivisionError("a defect")

    async def main() -> RecordingSink:
        sink = RecordingSink()
        it = WsConnection(Defective(), sink, clock=SystemClock(), retry=QUICK)
        it.subscribe([BTC])
        await until(lambda: sink.ends)
        await it.aclose()
        return sink

    (error,) = asyncio.run(main()).ends
    assert type(error) is TransportError
    assert "a defect" in error.message
    assert isinstance(error.__cause__, ZeroDivisionError)


# --- the end ---------------------------------------------------------------------------------------------


async def ended_within(it: WsConnection, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        await it.aclose()
        await it.aclose()  # twice does no harm
    assert it.state == "ended"


@pytest.mark.parametrize(
    "how", ["never begun", "open", "half open", "dropped", "waiting", "blocked", "mute", "refused"]
)
def test_closing_never_hangs(exchange: Exchange, tmp_path: Path, how: str) -> None:
    async def main() -> None:
        sink = RecordingSink()
        slow = RetryPolicy(attempts=50, base=60.0, cap=60.0)
        async with answering(None) as mute:
            url = mute if how == "mute" else exchange.ws_url
            dialer = SocketDialer(url, clock=SystemClock(), limiter=limiter(tmp_path))
            it = WsConnection(dialer, sink, clock=SystemClock(), retry=slow)
            if how == "refused":
                exchange.streams.faults.refuse += [503] * 50
            if how != "never begun":
                it.subscribe([BTC, BOOK])
            if how == "mute":
                await until(lambda: it.state == "connecting")
                await asyncio.sleep(0.1)
            elif how == "refused":
                await until(lambda: it.state == "waiting")
            elif how != "never begun":
                await until(lambda: sink.frames)
            if how == "blocked":
                exchange.limits.block("127.0.0.1", time.monotonic() + 30.0)
            if how in ("dropped", "waiting", "blocked"):
                await asyncio.to_thread(exchange.streams.drop)
            if how == "half open":
                await asyncio.to_thread(exchange.streams.half_open)
            if how in ("waiting", "blocked"):
                await until(lambda: it.state == "waiting")
            await ended_within(it)
        assert not sink.ends  # closing is no event

    asyncio.run(main())


def test_an_abandoned_close_leaves_no_socket(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with connected(exchange, tmp_path, BTC) as (it, _):
            socket_ = it._wire._socket  # type: ignore[union-attr]
            await asyncio.to_thread(exchange.streams.half_open)
            closing = asyncio.create_task(it.aclose())
            await asyncio.sleep(0.1)
            assert not socket_.transport.is_closing()  # it waits for the other side
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()  # as the end of the interpreter does
            await asyncio.gather(closing, return_exceptions=True)
            await until(lambda: socket_.transport.is_closing())

    asyncio.run(main())


def test_a_connection_that_is_given_up_is_replaced(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> None:
        async with connected(exchange, tmp_path, BTC) as (it, sink):
            assert await it.alive(60.0)
            await asyncio.to_thread(exchange.streams.half_open)
            assert not await it.alive(0.2)
            await it.abandon()
            await until(lambda: it.epoch == 2 and it.state == "open")
            assert await it.alive(60.0)
            assert len(sink.breaks) == 1

    asyncio.run(main())


class Chronicle(RecordingSink):
    """Remembers the order of the events."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    def opened(self, epoch: int) -> None:
        super().opened(epoch)
        self.order.append(f"opened {epoch}")

    def frame(self, frame: bytes, received: int) -> None:
        super().frame(frame, received)
        self.order.append("frame")

    def broken(self, error: UpbitFramesError) -> None:
        super().broken(error)
        self.order.append("broken")


def test_nothing_of_one_epoch_comes_in_the_next(exchange: Exchange, tmp_path: Path) -> None:
    async def main() -> list[str]:
        sink = Chronicle()
        it = connection(exchange, tmp_path, sink)
        it.subscribe([BTC, BOOK])
        for number in (1, 2, 3):
            await until(lambda: it.epoch == number and sink.order[-1] == "frame")  # noqa: B023 - waited for at once
            await asyncio.to_thread(exchange.streams.drop)
        await until(lambda: it.epoch == 4 and sink.order[-1] == "frame")
        await it.aclose()
        return sink.order

    order = asyncio.run(main())
    steps = [one for one, after in pairwise([*order, ""]) if one != after]
    assert steps == [step for n in (1, 2, 3, 4) for step in (f"opened {n}", "frame", "broken")][:-1]
