"""Every status, every kind of body, every way a connection can break."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from upbit_frames import errors
from upbit_frames.core.endpoints import ENDPOINTS
from upbit_frames.exchange.transport.rate_limiter import NullLimiter
from upbit_frames.exchange.transport.rest import RestTransport
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.runtime.clock import ServerTime, SystemClock

TICKER = ENDPOINTS["ticker"]
HTML = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body><h1>Checking</h1></body></html>"
REFUSAL = b'{"error":{"name":404,"message":"Code not found"}}'


def ask(it: Any, **params: str) -> Any:
    return it.transport.get(TICKER, params or {"markets": "KRW-BTC"})


def refused(run: Any, rig: Any, answer: Any, kind: type[Exception], **options: Any) -> tuple[Any, int]:
    """The error of a request, and how often the server was asked."""

    async def work() -> tuple[Any, int]:
        async with rig(answer, **options) as it:
            with pytest.raises(kind) as caught:
                await ask(it)
            return caught.value, len(it.server.asked)

    error, asked = run(work())
    assert type(error) is kind
    assert error.suggestion
    assert error.context["url"].endswith("/v1/ticker?markets=KRW-BTC")
    return error, asked


def test_a_good_answer(run: Any, rig: Any, answer: Any) -> None:
    async def work() -> None:
        headers = {"Date": "Sun, 01 Mar 2026 00:00:00 GMT", "Remaining-Req": "group=ticker; min=600; sec=9"}
        async with rig(answer(body=b'[{"a":1}]', headers=headers, zipped=True)) as it:
            reply = await ask(it, markets="KRW-BTC,KRW-ETH", to="2026-03-01T00:00:00+09:00")
            assert (reply.status, reply.body, reply.attempts) == (200, b'[{"a":1}]', 1)
            assert reply.server_time == 1_772_323_200_000_000
            assert abs(it.server_time.now() - reply.server_time) < 2_000_000
            asked = it.server.asked[0]
            assert parse_qs(urlsplit(asked.target).query) == {
                "markets": ["KRW-BTC,KRW-ETH"], "to": ["2026-03-01T00:00:00+09:00"],
            }  # fmt: skip
            assert "+09" not in asked.target  # a plain plus would arrive as a space
            assert "origin" not in asked.headers
            assert asked.headers["accept-encoding"] == "gzip"
            assert asked.headers["user-agent"].startswith("upbit-frames/")

    run(work())


def test_connections_are_kept(run: Any, rig: Any, answer: Any) -> None:
    async def work() -> None:
        async with rig(answer()) as it:
            for _ in range(5):
                await ask(it)
            assert it.server.open == 1

    run(work())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("body", [REFUSAL, HTML, b"", b"plain words", bytes(range(128, 256)), b'{"name":7}'])
@pytest.mark.parametrize(
    ("status", "kind", "asked"),
    [
        (301, errors.ApiError, 1),
        (400, errors.ApiError, 1),
        (401, errors.ApiError, 1),
        (403, errors.ApiError, 1),
        (404, errors.MarketNotFound, 1),
        (422, errors.ApiError, 1),
        (429, errors.RateLimited, 2),
        (500, errors.ServerError, 3),
        (502, errors.ServerError, 3),
        (503, errors.ServerError, 3),
        (504, errors.ServerError, 3),
    ],
)
def test_the_status_decides_whatever_the_body(
    run: Any, rig: Any, answer: Any, status: int, kind: type[Exception], asked: int, body: bytes, zipped: bool
) -> None:
    # A 429 keeps its group quiet for a second and longer each time, so it is tried only twice here.
    options = {"attempts": 1} if status == 429 else {}
    error, times = refused(run, rig, answer(status=status, body=body, zipped=zipped), kind, **options)
    assert error.context["status"] == status
    assert times == (1 if status == 429 else asked)


def test_the_words_of_a_refusal_are_told(run: Any, rig: Any, answer: Any) -> None:
    error, _ = refused(run, rig, answer(status=404, body=REFUSAL), errors.MarketNotFound)
    assert "Code not found" in str(error)
    assert "KRW-BTC" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        HTML,
        b"",
        b" ",
        b"[1, 2",
        b'{"a": ',
        b'[{"a": 1}, {"b": 2}',
        b"No JSON",
        bytes(range(128, 256)),
        b"\xef\xbb\xbfhello",
    ],
)
def test_a_200_without_json_is_asked_for_again(run: Any, rig: Any, answer: Any, body: bytes) -> None:
    _, times = refused(run, rig, answer(body=body), errors.SchemaError)
    assert times == 3

    async def recovers() -> Any:
        async with rig(lambda number: answer(body=body if number < 2 else b"[1]")) as it:
            return await ask(it)

    reply = run(recovers())
    assert (reply.body, reply.attempts) == (b"[1]", 3)


@pytest.mark.parametrize(
    "broken",
    [
        {"then": "close", "raw": b""},
        {"then": "reset", "raw": b""},
        {"then": "close", "raw": b"HTTP/1.1 200"},
        {"then": "close", "raw": b"NONSENSE\r\n\r\n"},
        {"then": "close", "body": b"[" + b"1," * 500 + b"1]", "short_by": 300},
        {"then": "reset", "body": b"[" + b"1," * 500 + b"1]", "short_by": 300},
        {"headers": {"Content-Encoding": "gzip"}, "body": b"[this is not gzip]"},
        {"raw": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "then": "close"},
    ],
)
def test_a_broken_connection(run: Any, rig: Any, answer: Any, broken: dict[str, Any]) -> None:
    _, times = refused(run, rig, answer(**broken), errors.ConnectionFailed)
    assert times == 3

    async def recovers() -> Any:
        async with rig(lambda number: answer(**broken) if number < 2 else answer(body=b"[1]")) as it:
            return await ask(it)

    assert run(recovers()).attempts == 3


def test_silence_is_a_timeout(run: Any, rig: Any, answer: Any) -> None:
    _, times = refused(run, rig, answer(raw=b"", then="hang"), errors.Timeout, timeout=0.1, attempts=2)
    assert times == 2
    refused(run, rig, answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[", then="hang"), errors.Timeout,
            timeout=0.1, attempts=1)  # fmt: skip


def test_nobody_listens(run: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        async def work() -> None:
            clock = SystemClock()
            transport = RestTransport(
                url, clock=clock, server_time=ServerTime(clock), limiter=NullLimiter(), timeout=1.0,
                retry=RetryPolicy(attempts=2, base=0.0),
            )  # fmt: skip
            with pytest.raises(errors.ConnectionFailed) as caught:
                await transport.get(TICKER, {"markets": "KRW-BTC"})
            assert caught.value.context["attempts"] == 2
            await transport.aclose()

        run(work())


def test_mixed_failures_and_then_an_answer(run: Any, rig: Any, answer: Any) -> None:
    story = [
        answer(status=500, body=HTML), answer(then="reset", raw=b""), answer(body=b"[1, 2"), answer(status=503),
        answer(body=b"[1]"),
    ]  # fmt: skip

    async def work() -> Any:
        async with rig(lambda number: story[number], attempts=6) as it:
            return await ask(it)

    assert run(work()).attempts == 5


def test_cancelling_gives_every_slot_back(run: Any, rig: Any, answer: Any) -> None:
    async def work() -> None:
        async with rig(answer(raw=b"", then="hang"), timeout=30) as it:
            tasks = [asyncio.create_task(ask(it)) for _ in range(25)]
            while len(it.server.asked) < 10:  # noqa: ASYNC110 - the server knows no events
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended)
            assert len(it.server.asked) == 10  # no more than the limit were ever sent
            it.server.answer = lambda number: answer()
            # All ten can be had again as soon as their second is over.
            await asyncio.gather(*(ask(it) for _ in range(10)))
            first, last = it.server.asked[9].at, it.server.asked[-1].at
            assert 0.9 < last - first < 30

    run(work())


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "7"}, b"", 7),
        ({}, b'{"error":{"name":"blocked","message":"Blocked for 90 seconds"}}', 90),
        ({}, b"", 60),
    ],
)
def test_a_418_opens_the_circuit(
    run: Any, rig: Any, answer: Any, headers: dict[str, str], body: bytes, seconds: float
) -> None:
    async def work() -> None:
        async with rig(answer(status=418, headers=headers, body=body)) as it:
            with pytest.raises(errors.Blocked) as caught:
                await ask(it)
            until = caught.value.context["until"].timestamp()
            assert abs(until - SystemClock().now() / 1e6 - seconds) < 5
            with pytest.raises(errors.Blocked):
                await ask(it)
            with pytest.raises(errors.Blocked):  # of any group
                await it.transport.get(ENDPOINTS["markets"], {})
            assert len(it.server.asked) == 1

    run(work())
