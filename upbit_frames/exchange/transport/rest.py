"""The REST transport: one pool of connections, limits kept, failures tried again or named.

The HTTP status decides what an answer is; its body only supplies words, because refusals come as
JSON of two kinds, plain text, HTML of something in between, or nothing (upbit-api 2.3).
"""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from upbit_frames._version import __version__
from upbit_frames.core.endpoints import Endpoint
from upbit_frames.core.intervals import to_micros
from upbit_frames.errors import (
    ApiError,
    ConnectionFailed,
    MarketNotFound,
    RateLimited,
    SchemaError,
    ServerError,
    Timeout,
    UpbitFramesError,
)
from upbit_frames.exchange.transport.interceptor import Taken, Tap
from upbit_frames.exchange.transport.rate_limiter import Pacer, Slot
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.error_bodies import error_message
from upbit_frames.runtime.clock import Clock, ServerTime
from upbit_frames.runtime.telemetry import telemetry

__all__ = ["Reply", "RequestRecord", "RestTransport"]

MAX_BODY = 64 * 1024 * 1024
CONNECTIONS = 32
_REMAINING = re.compile(r"group=([^;\s]+).*?sec=(\d+)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli|s|sec|m|min|h|hour|초|분|시간)", re.IGNORECASE)
_UNIT = {"ms": 0.001, "mi": 0.001, "s": 1, "m": 60, "h": 3600, "초": 1, "분": 60, "시": 3600}


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Reading them takes longer than a request, so all clients of a process share them."""
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class Reply:
    """A 2xx answer.

    Attributes
    ----------
    url : str
    status : int
    body : bytes
    server_time : int or None
        The ``Date`` header in microseconds UTC (whole seconds).
    received : int
        When it was complete by our clock, microseconds UTC.
    attempts : int
    waited : float
        Seconds spent on limits and pauses.
    """

    url: str
    status: int
    body: bytes
    server_time: int | None
    received: int
    attempts: int
    waited: float


@dataclass(frozen=True)
class RequestRecord:
    """What one attempt was like; for metrics."""

    endpoint: str
    group: str
    url: str
    status: int | None
    started: float
    waited: float
    latency: float
    attempt: int
    bytes: int
    error: str | None
    remaining: int | None


class _Again(Exception):
    """One attempt failed with ``error``, but another one may not; never leaves this module."""

    def __init__(self, error: UpbitFramesError, *, status: int | None = None) -> None:
        self.error = error
        self.status = status


class RestTransport:
    """Asks the exchange over HTTP.

    Parameters
    ----------
    base_url : str
        Scheme and host, without path.
    clock : Clock
    server_time : ServerTime
        Told of every ``Date`` header.
    limiter : Pacer
    timeout : float
        Seconds for connecting, and for each piece of an answer.
    retry : RetryPolicy
    observer : function (RequestRecord), optional
        Told of every attempt.
    tap : Tap, optional
        Answers instead of the wire, or listens to it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        server_time: ServerTime,
        limiter: Pacer,
        timeout: float,
        retry: RetryPolicy | None = None,
        observer: Callable[[RequestRecord], None] | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.observer = observer
        self._clock = clock
        self._server_time = server_time
        self._limiter = limiter
        self._timeout = timeout
        self._retry = retry or RetryPolicy()
        self._tap = tap
        self._http: httpx.AsyncClient | None = None

    def _client(self) -> httpx.AsyncClient:
        # Made on first use, because it belongs to the loop it is used on. No Origin header, ever:
        # with one Upbit allows a single request in ten seconds.
        if self._http is None:
            self._http = httpx.AsyncClient(
                verify=_certificates(),
                timeout=httpx.Timeout(self._timeout),
                limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
                headers={
                    "User-Agent": f"upbit-frames/{__version__}",
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip",
                },
                follow_redirects=False,
            )
        return self._http

    async def aclose(self) -> None:
        """Close all connections."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    async def get(self, endpoint: Endpoint, params: Mapping[str, str]) -> Reply:
        """Ask until there is an answer or a reason to give up.

        Parameters
        ----------
        endpoint : Endpoint
        params : mapping of str to str
            Lists as one comma-joined value; everything is percent-encoded here.

        Raises
        ------
        MarketNotFound, ApiError
            The exchange refused; asking again would not help.
        RateLimited, ServerError, Timeout, ConnectionFailed, SchemaError
            After the last attempt.
        Blocked
            At once, also for every later call until the block is over.
        """
        url = httpx.URL(f"{self.base_url}/{endpoint.path}", params=dict(params))
        market = params.get("market") or params.get("markets")
        refused, waited, told = 0, 0.0, 0.0
        for attempt in range(1, self._retry.attempts + 1):
            before = self._clock.monotonic()
            slot = await self._limiter.acquire(endpoint.group)
            waited += self._clock.monotonic() - before
            try:
                attempted = _Attempt(self, endpoint, url, market, attempt, waited, waited - told)
                told = waited
                return await attempted.run(slot)
            except _Again as again:
                if again.status == 429:
                    refused += 1
                    self._limiter.refused(endpoint.group, refused)
                if attempt == self._retry.attempts:
                    again.error.context["attempts"] = attempt
                    raise again.error from again.error.__cause__
                pause = self._retry.pause(attempt)
                waited += pause
                await self._clock.sleep(pause)
            finally:
                slot.lost()  # does nothing where the answer has come
        raise AssertionError("a policy has at least one attempt")


class _Attempt:
    """One request and what became of it."""

    def __init__(
        self,
        transport: RestTransport,
        endpoint: Endpoint,
        url: httpx.URL,
        market: str | None,
        attempt: int,
        waited: float,
        paused: float,
    ) -> None:
        self.transport = transport
        self.endpoint = endpoint
        self.url = url
        self.attempt = attempt
        self.waited = waited
        self.paused = paused  # of that, before this attempt
        self.played = False
        self.context = {"url": str(url), "market": market if market and len(market) < 60 else None}

    async def run(self, slot: Slot) -> Reply:
        clock = self.transport._clock
        started, sent = clock.monotonic(), clock.now()
        status: int | None = None
        size, error, remaining = 0, None, None
        try:
            response, body = await self._exchange(slot)
            status, size = response.status_code, len(body)
            remaining = _remaining(response.headers.get("Remaining-Req"))
            slot.done(remaining)
            received = clock.now()
            date = _date(response.headers.get("Date"))
            if date is not None:
                self.transport._server_time.observe(date, sent, received)
            self._check(response, body)
            return Reply(str(self.url), status, body, date, received, self.attempt, self.waited)
        except UpbitFramesError as failure:
            error = type(failure).__name__
            raise
        except _Again as again:
            error = type(again.error).__name__
            raise
        finally:
            latency = clock.monotonic() - started
            if not self.played:
                telemetry.request(self.endpoint.group, status, latency, self.attempt, size, self.paused)
            if self.transport.observer is not None:
                record = RequestRecord(
                    self.endpoint.name, self.endpoint.group, str(self.url), status, started, self.waited,
                    latency, self.attempt, size, error, remaining,
                )  # fmt: skip
                self.transport.observer(record)

    async def _exchange(self, slot: Slot) -> tuple[httpx.Response, bytes]:
        """Send, and read the body whole; every failure of the wire becomes one of ours."""
        tap = self.transport._tap
        played = tap.play(str(self.url)) if tap is not None else None
        if played is not None:
            self.played = True
            return httpx.Response(played.status, headers=list(played.headers)), played.body

        async def trace(event: str, info: object) -> None:
            if event.endswith("send_request_headers.started"):
                slot.sent()

        try:
            async with self.transport._client().stream("GET", self.url, extensions={"trace": trace}) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_BODY:
                        raise SchemaError(
                            f"the answer is longer than {MAX_BODY // 2**20} MiB",
                            suggestion="check what stands between you and the exchange",
                            **self.context,
                        )
                if tap is not None:
                    headers = tuple(response.headers.multi_items())
                    tap.keep(str(self.url), Taken(response.status_code, headers, bytes(body)))
                return response, bytes(body)
        except httpx.TimeoutException as cause:
            raise self._again(
                Timeout, "no answer in time", "try again, or raise the setting 'timeout'", cause
            ) from cause
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as cause:
            raise self._wire_failed(cause) from cause
        except ExceptionGroup as group:
            # anyio wraps what happened while several addresses were tried.
            raise self._wire_failed(group.exceptions[0]) from group

    def _wire_failed(self, cause: BaseException) -> _Again:
        text = f"{cause} {cause.__cause__ or ''} {cause.__context__ or ''}"
        if isinstance(cause, httpx.ProxyError):
            hint = "check the proxy in HTTPS_PROXY and NO_PROXY"
        elif isinstance(cause.__cause__, ssl.SSLError) or "CERTIFICATE" in text.upper():
            hint = "the certificate is not trusted: a proxy that reads along, or a wrong clock on this machine?"
        elif "Name or service" in text or "getaddrinfo" in text or "nodename" in text:
            hint = "the host name cannot be resolved: check the network and the setting 'rest_url'"
        elif isinstance(cause, httpx.ConnectError):
            hint = "check the network and the setting 'rest_url'"
        else:
            hint = "try again; what was fetched so far is stored"
        what = "no connection" if isinstance(cause, httpx.ConnectError | httpx.ProxyError) else "the connection broke"
        return self._again(ConnectionFailed, f"{what}: {cause or type(cause).__name__}", hint, cause)

    def _again(
        self,
        kind: type[UpbitFramesError],
        message: str,
        suggestion: str,
        cause: BaseException | None = None,
        status: int | None = None,
    ) -> _Again:
        error = kind(message, suggestion=suggestion, status=status, **self.context)
        error.__cause__ = cause
        return _Again(error, status=status)

    def _check(self, response: httpx.Response, body: bytes) -> None:
        """Let a good answer pass; raise what any other one means."""
        status = response.status_code
        if 200 <= status < 300:
            start = body[:64].lstrip().lower()
            if start.startswith(b"<") or "html" in response.headers.get("Content-Type", ""):
                raise self._again(
                    SchemaError, "a web page came instead of JSON", "a proxy or login page answers for the exchange?",
                    status=status,
                )  # fmt: skip
            if start[:1] + body.rstrip()[-1:] not in (b"[]", b"{}"):
                raise self._again(SchemaError, "the answer is not complete JSON", "try again", status=status)
            return
        text = error_message(body) or response.reason_phrase
        if status == 429:
            raise self._again(
                RateLimited, f"too many requests: {text}",
                "other programs on this address share the limit; lower the setting 'rate' if it happens often",
                status=status,
            )  # fmt: skip
        if status == 418:
            raise self.transport._limiter.blocked(str(self.url), _duration(response, text))
        if status >= 500:
            raise self._again(
                ServerError,
                f"the exchange failed: {text}",
                "try again later; it may be under maintenance",
                status=status,
            )
        raise self._refusal(status, text)

    def _refusal(self, status: int, text: str) -> ApiError:
        context = {**self.context, "status": status}
        if 300 <= status < 400:
            return ApiError(
                "the exchange redirects elsewhere, which it never does",
                suggestion="a login page of this network? Open any web page in a browser first", **context,
            )  # fmt: skip
        if status == 404 and "no route" in text.lower():
            return ApiError(f"there is no such address: {text}", suggestion="check the setting 'rest_url'", **context)
        if status == 404:
            return MarketNotFound(
                f"the exchange does not know the market: {text}",
                suggestion="misspelt, delisted, or of another region? uf.markets() lists all", **context,
            )  # fmt: skip
        return ApiError(f"the exchange refused: {text}", suggestion="check the arguments", **context)


def _remaining(header: str | None) -> int | None:
    """What is left of this second; None where the header is absent or odd."""
    found = _REMAINING.search(header or "")
    return int(found[2]) if found else None


def _date(header: str | None) -> int | None:
    if header is None:
        return None
    try:
        return to_micros(parsedate_to_datetime(header))
    except (TypeError, ValueError):
        return None


def _duration(response: httpx.Response, text: str) -> float | None:
    """How long a block lasts, if the answer says so anywhere."""
    after = response.headers.get("Retry-After", "")
    if after.isdigit():
        return float(after)
    found = _DURATION.search(text)
    if not found:
        return None
    unit = found[2].lower()
    key = unit if unit in _UNIT else unit[:2] if unit[:2] in _UNIT else unit[:1]
    return float(found[1]) * _UNIT[key]
