"""Servers that never finish, answers that grow without end, heads that state the impossible."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from loopback import listening

from upbit_frames import errors
from upbit_frames.archive.client import ArchiveTransport
from upbit_frames.core.endpoints import ENDPOINTS
from upbit_frames.core.urls import redacted
from upbit_frames.exchange.transport import rest
from upbit_frames.exchange.transport.rate_limiter import NullLimiter
from upbit_frames.exchange.transport.rest import RestTransport
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.runtime import network
from upbit_frames.runtime.clock import ManualClock, ServerTime, SystemClock

TICKER = ENDPOINTS["ticker"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ZEROS = b"[" + b" " * 5_000_000 + b"]"


def zipped(body: bytes, times: int = 1) -> bytes:
    for _ in range(times):
        body = gzip.compress(body)
    return body


@asynccontextmanager
async def sending(pieces: Callable[[], Iterable[bytes]], pause: float = 0.0) -> AsyncIterator[str]:
    """A server that answers each connection's first request with these pieces, then says nothing more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            await asyncio.sleep(600)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    async with listening(serve) as port:
        yield f"http://127.0.0.1:{port}"


async def get(url: str, *, timeout: float = 30.0, attempts: int = 1, **params: str) -> Any:
    clock = SystemClock()
    transport = RestTransport(
        url, clock=clock, server_time=ServerTime(clock), limiter=NullLimiter(), timeout=timeout,
        retry=RetryPolicy(attempts=attempts, base=0.0),
    )  # fmt: skip
    try:
        return await transport.get(TICKER, params or {"markets": "KRW-BTC"})
    finally:
        await transport.aclose()


def answer(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


# --- time -----------------------------------------------------------------------------------------

DRIPS: dict[str, Callable[[], Iterable[bytes]]] = {
    "body": lambda: itertools.chain([HEAD + b"Content-Length: 100000\r\n\r\n["], itertools.repeat(b" ")),
    "chunked body": lambda: itertools.chain(
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n"], itertools.repeat(b"1\r\n \r\n")
    ),
    "inflated body": lambda: itertools.chain(
        [HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"],
        (b"1\r\n%c\r\n" % byte for byte in zipped(bytes(200_000_000)[:2_000_000])),
    ),
    "head": lambda: itertools.chain([HEAD], itertools.repeat(b"X: y\r\n")),
    "one line of the head": lambda: itertools.chain([HEAD + b"X: "], itertools.repeat(b"y")),
    "status line": lambda: itertools.chain([b"HTTP/1.1 200 "], itertools.repeat(b"O")),
    "100 Continue": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": lambda: itertools.repeat(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"),
    "refusal": lambda: itertools.chain(
        [b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n"], itertools.repeat(b" ")
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DRIPS)
def test_an_answer_that_never_ends_is_a_timeout(what: str) -> None:
    async def work() -> None:
        async with sending(DRIPS[what], pause=0.01) as url:
            # Each piece comes long before the timeout; only the whole takes too long. The outer one
            # is there so that a failure is a failure and not a hang.
            async with asyncio.timeout(60):
                with pytest.raises(errors.Timeout, match=r"no complete answer within 0\.5 s"):
                    await get(url, timeout=0.5)

    asyncio.run(work())


def test_a_flood_of_100_continue_does_not_hold_the_loop() -> None:
    async def work() -> None:
        async with sending(lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)) as url:
            with pytest.raises(errors.Timeout):
                await get(url, timeout=0.5)

    asyncio.run(work())


def test_repetitions_end_when_enough_time_was_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "ENOUGH", (0.5, 1.0))

    async def work() -> None:
        async with sending(DRIPS["body"], pause=0.01) as url:
            with pytest.raises(errors.Timeout) as caught:
                await get(url, timeout=0.2, attempts=1000)
            assert caught.value.attempts <= 4

    asyncio.run(work())


@pytest.mark.parametrize("what", ["body", "head", "100 Continue"])
@pytest.mark.parametrize("call", ["list", "digest", "fetch"])
def test_nor_does_the_archive_wait_for_ever(tmp_path: Path, call: str, what: str) -> None:
    async def work() -> None:
        async with sending(DRIPS[what], pause=0.01) as url, asyncio.timeout(60):
            transport = archive(url, tmp_path, timeout=0.5)
            with pytest.raises(errors.Timeout):
                await getattr(transport, call)("candles/x", *(["0" * 64] if call == "fetch" else []))
            await transport.aclose()

    asyncio.run(work())
    assert not list(tmp_path.glob("*.part"))


def test_a_large_file_of_the_archive_may_take_longer_than_the_timeout(tmp_path: Path) -> None:
    import hashlib

    body = b"x" * 1_000_000
    pieces = [answer(body)[i : i + 50_000] for i in range(0, 1_000_100, 50_000)]

    async def work() -> None:
        async with sending(lambda: pieces, pause=0.05) as url:
            transport = archive(url, tmp_path, timeout=0.5)
            got = await transport.fetch("candles/x", hashlib.sha256(body).hexdigest())
            assert got.size == len(body)
            await transport.aclose()

    asyncio.run(work())


def archive(url: str, folder: Path, *, timeout: float) -> ArchiveTransport:
    return ArchiveTransport(
        url, url + "/listing", clock=ManualClock(0), folder=folder, timeout=timeout, retry=RetryPolicy(attempts=1)
    )


# --- size -----------------------------------------------------------------------------------------

BOMBS = {
    "gzip": (zipped(bytes(200_000_000)), "gzip"),
    "gzip twice": (zipped(bytes(100_000_000), 2), "gzip, gzip"),
    "gzip in two lines": (zipped(bytes(100_000_000), 2), "gzip\r\nContent-Encoding: gzip"),
    "deflate": (zlib.compress(bytes(100_000_000)), "deflate"),
    "x-gzip": (zipped(bytes(200_000_000)), "X-GZIP"),
    "unknown": (b"[]", "br"),
}


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Oops", "418 Blocked"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_no_body_becomes_larger_than_is_allowed(bomb: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MAX_BODY", 8 << 20)
    body, coding = BOMBS[bomb]

    async def work() -> None:
        async with sending(lambda: [answer(body, f"Content-Encoding: {coding}", status=status)]) as url:
            with pytest.raises(errors.UpbitFramesError):
                await get(url, attempts=3)

    tracemalloc.start()
    try:
        asyncio.run(work())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20


@pytest.mark.parametrize("call", ["list", "digest", "fetch"])
@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
def test_no_answer_of_the_archive_does_either(tmp_path: Path, call: str, coding: str) -> None:
    body = zipped(bytes(100_000_000), coding.count("gzip"))

    async def work() -> None:
        async with sending(lambda: [answer(body, f"Content-Encoding: {coding}")]) as url:
            transport = archive(url, tmp_path, timeout=30)
            with pytest.raises(errors.SchemaError):
                await getattr(transport, call)("candles/x")
            await transport.aclose()

    tracemalloc.start()
    try:
        asyncio.run(work())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60 << 20


def test_a_body_beyond_the_limit_is_not_requested_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MAX_BODY", 1000)
    sent: list[int] = []

    def pieces() -> list[bytes]:
        sent.append(1)
        return [answer(b"[" + b" " * 2000 + b"]")]

    async def work() -> None:
        async with sending(pieces) as url:
            with pytest.raises(errors.SchemaError, match="longer than 1,000 bytes"):
                await get(url, attempts=3)

    asyncio.run(work())
    assert len(sent) == 1


def test_a_large_compressed_answer_arrives_whole() -> None:
    async def work() -> Any:
        async with sending(lambda: [answer(zipped(ZEROS), "Content-Encoding: gzip")]) as url:
            return await get(url)

    assert asyncio.run(work()).body == ZEROS


def test_a_compressed_answer_that_ends_early_is_not_believed() -> None:
    async def work() -> None:
        async with sending(lambda: [answer(zipped(b"[1]" + b" " * 100)[:-12], "Content-Encoding: gzip")]) as url:
            with pytest.raises(errors.ConnectionFailed, match="ends early"):
                await get(url)

    asyncio.run(work())


# --- numbers and texts ----------------------------------------------------------------------------

ODD = ["9" * 20, "9" * 5000, "-1", "1e400", "nan", "inf", "²", "٣", "\xff\xfe", "", "0x10", "1_000", "+5", "5.5"]


@pytest.mark.parametrize("name", ["Date", "Remaining-Req", "Retry-After", "Content-Type"])
@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("status", ["200 OK", "418 Blocked", "429 Slow", "503 Down"])
def test_no_header_raises_anything_else(name: str, value: str, status: str) -> None:
    text = {
        "Date": f"Sun, 01 Mar {value} 00:00:00 GMT",
        "Remaining-Req": f"group=ticker; min={value}; sec={value}",
        "Retry-After": value,
        "Content-Type": value,
    }[name]
    line = f"{name}: {text}".encode("utf-8", "replace")
    head = b"HTTP/1.1 " + status.encode() + b"\r\nContent-Length: 2\r\n" + line + b"\r\n\r\n[]"

    async def work() -> None:
        async with sending(lambda: [head]) as url:
            with contextlib.suppress(errors.UpbitFramesError):
                reply = await get(url)
                assert status.startswith("200")
                assert reply.server_time is None

    asyncio.run(work())


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"error":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"error":' * 500 + b'"deep"' + b"}" * 500,
        b"[" * 900 + b"]" * 900,
        b'{"error":{"message":' + b"9" * 5000 + b"}}",
        b'{"message":1e999999}',
        b'{"message":"\\ud800"}',
        b"\xff" * 1000,
    ],
    ids=range(8),
)
@pytest.mark.parametrize("status", ["404 No", "418 Blocked", "500 Down"])
def test_no_body_of_a_refusal_raises_anything_else(body: bytes, status: str) -> None:
    async def work() -> None:
        async with sending(lambda: [answer(body, status=status)]) as url:
            with pytest.raises(errors.ApiError) as caught:
                await get(url)
            assert len(str(caught.value)) < 1000

    asyncio.run(work())


@pytest.mark.parametrize(
    "url",
    ["https://a..b", "https://" + "a" * 70 + ".com", "https://xn--a", "https://exa mple.com", "https://\x00.com",
     "https://ex\u2100mple.com", "https://ex\ud800mple.com", "http://127.0.0.1:0", "https://[::1"],
)  # fmt: skip
def test_no_address_raises_anything_else(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_refusal", None)  # none of these names leads anywhere
    with pytest.raises((errors.ConfigError, errors.ConnectionFailed)):
        asyncio.run(get(url, timeout=5))


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:9", "gopher://u:secret@127.0.0.1:9", "http://[", "http://127.0.0.1:9"]
)
def test_an_unusable_proxy_of_the_environment_is_named(
    proxy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)

    async def work() -> None:
        with pytest.raises((errors.ConfigError, errors.ConnectionFailed), match=r"(?i)proxy|connection") as caught:
            await get("http://example.invalid", timeout=5)
        assert "secret" not in str(caught.value)
        transport = archive("http://example.invalid", tmp_path, timeout=5)
        with pytest.raises((errors.ConfigError, errors.ConnectionFailed)):
            await transport.list("x")

    asyncio.run(work())


def test_the_password_of_an_address_is_in_no_error() -> None:
    async def work() -> None:
        async with sending(lambda: [answer(b"nothing", status="404 No")]) as url:
            with pytest.raises(errors.MarketNotFound) as caught:
                await get(url.replace("://", "://me:s3cret@"))
            shown = f"{caught.value} {caught.value!r} {caught.value.context}"
            assert "s3cret" not in shown
            assert "***@127.0.0.1" in shown
        with pytest.raises(errors.ConnectionFailed) as lost:
            await get("http://me:s3cret@127.0.0.1:9")
        assert "s3cret" not in f"{lost.value} {lost.value.context} {lost.value.__cause__}"

    asyncio.run(work())


def test_redacted() -> None:
    assert redacted("a https://u:p@h/x b wss://q@h c") == "a https://***@h/x b wss://***@h c"
    assert redacted("https://u:p@x:y@h/?q=a@b") == "https://***@h/?q=a@b"
    assert redacted("mail me@example.com") == "mail me@example.com"
