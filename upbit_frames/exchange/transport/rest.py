"""The REST transport: a connection pool, rate limits, and retries of transient failures.

What an answer means is decided in :mod:`upbit_frames.exchange.transport.responses`; limits on time
and size are kept in :mod:`upbit_frames.exchange.transport.http`.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from upbit_frames.core.endpoints import Endpoint
from upbit_frames.core.known_changes import whereabouts
from upbit_frames.core.urls import redacted
from upbit_frames.errors import (
    Blocked,
    ConfigError,
    ConnectionFailed,
    MarketNotFound,
    RateLimited,
    Timeout,
    UpbitFramesError,
)
from upbit_frames.exchange.transport import headers as heads
from upbit_frames.exchange.transport.http import Connections, answering, open_client
from upbit_frames.exchange.transport.interceptor import Interceptor, RawResponse
from upbit_frames.exchange.transport.rate_limiter import NullLimiter, Pacer, Slot
from upbit_frames.exchange.transport.responses import classify, worth_repeating
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.exchange.wire.error_bodies import error_message
from upbit_frames.runtime.clock import Clock, ServerTime
from upbit_frames.runtime.task_group import first_error
from upbit_frames.runtime.telemetry import telemetry

__all__ = ["Reply", "RestTransport"]

MAX_BODY = 64 * 1024 * 1024
CONNECTIONS = 32
ENOUGH = (30.0, 5.0)  # no attempt begins after so many seconds, or so many timeouts if they are longer


@dataclass(frozen=True)
class Reply:
    """A 2xx answer.

    Attributes
    ----------
    url : str
        Without user name and password.
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


@dataclass
class _Request:
    """One call of :meth:`RestTransport.get`, over all its attempts."""

    endpoint: Endpoint
    url: httpx.URL
    recorded: str  # the URL for cassettes
    context: dict[str, Any]
    attempt: int = 0
    refused: int = 0  # times in a row
    waited: float = 0.0
    reported: float = 0.0  # of that, to the telemetry
    spent: float = 0.0  # seconds in attempts and pauses; waiting for a slot is not counted
    replayed: RawResponse | None = None  # of this attempt, where a cassette has it


class RestTransport:
    """Sends GET requests to the exchange.

    Parameters
    ----------
    base_url : str
        Scheme and host, without path.
    clock : Clock
    server_time : ServerTime
        Observes every ``Date`` header.
    limiter : Pacer
    timeout : float
        Seconds for connecting, and for a whole answer.
    retry : RetryPolicy
    interceptor : Interceptor, optional
        Replays responses, which then need neither limits nor pauses, or records them.
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
        interceptor: Interceptor | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._clock = clock
        self._server_time = server_time
        self._limiter = limiter
        self._timeout = timeout
        self._retry = retry or RetryPolicy()
        self._interceptor = interceptor
        accepted = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        self._connections = Connections(lambda: open_client(timeout, CONNECTIONS, accepted, pool=timeout))

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._connections.idle

    async def aclose(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self._connections.aclose()

    async def get(self, endpoint: Endpoint, params: Mapping[str, str]) -> Reply:
        """Send a GET request with rate limiting and retries; return the first 2xx answer.

        Parameters
        ----------
        endpoint : Endpoint
        params : mapping of str to str
            Lists as a single comma-joined value; everything is percent-encoded here.

        Raises
        ------
        MarketNotFound, ApiError
            The exchange refused; repeating would not help.
        RateLimited, ServerError, Timeout, ConnectionFailed, SchemaError
            After the last attempt.
        Blocked
            At once, also for every later call until the block is over.
        ConfigError
            If the URL or a proxy in the environment is unusable.
        """
        request = self._request(endpoint, params)
        while True:
            request.attempt += 1
            before = self._clock.monotonic()
            if self._interceptor is not None:
                request.replayed = self._interceptor.replay(request.recorded)
            limiter = self._limiter_of(request)
            slot = await limiter.acquire(endpoint.group)
            begun = self._clock.monotonic()
            request.waited += begun - before
            try:
                outcome = await self._attempt(request, slot)
            finally:
                slot.lost()  # does nothing where the answer has come
            request.spent += self._clock.monotonic() - begun
            if isinstance(outcome, Reply):
                return outcome
            if isinstance(outcome, RateLimited):
                request.refused += 1
                limiter.refused(endpoint.group, request.refused)
            if not worth_repeating(outcome):
                raise outcome
            if request.attempt >= self._retry.attempts or request.spent > max(ENOUGH[0], ENOUGH[1] * self._timeout):
                outcome.context["attempts"] = request.attempt
                raise outcome
            if request.replayed is not None:
                continue
            pause = self._retry.pause(request.attempt)
            request.waited += pause
            request.spent += pause
            await self._clock.sleep(pause)

    def _request(self, endpoint: Endpoint, params: Mapping[str, str]) -> _Request:
        try:
            url = httpx.URL(f"{self.base_url}/{endpoint.path}", params=dict(params))
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ConfigError(
                f"{redacted(self.base_url)} is not a URL that can be requested: {redacted(str(error))}",
                suggestion="check the setting 'rest_url'",
            ) from error
        market = params.get("market") or params.get("markets")
        context = {"url": redacted(str(url)), "market": market if market and len(market) < 60 else None}
        return _Request(endpoint, url, str(url.copy_with(userinfo=b"")), context)

    def _limiter_of(self, request: _Request) -> Pacer:
        """Return the limiter of an attempt: a replayed one is not limited, and refuses no later request."""
        return self._limiter if request.replayed is None else NullLimiter()

    async def _attempt(self, request: _Request, slot: Slot) -> Reply | UpbitFramesError:
        """Send the request once; return its answer, or the error that came of it."""
        started, sent = self._clock.monotonic(), self._clock.now()
        paused, request.reported = request.waited - request.reported, request.waited
        answer: RawResponse | UpbitFramesError | None = request.replayed
        try:
            if answer is None:
                answer = await self._exchange(request, slot)
        finally:
            if request.replayed is None:
                status, size = (answer.status, len(answer.body)) if isinstance(answer, RawResponse) else (None, 0)
                latency = self._clock.monotonic() - started
                telemetry.request(request.endpoint.group, status, latency, request.attempt, size, paused)
        if isinstance(answer, UpbitFramesError):
            return answer
        return self._judge(request, answer, slot, sent)

    def _judge(self, request: _Request, answer: RawResponse, slot: Slot, sent: int) -> Reply | UpbitFramesError:
        """Learn what the head of an answer says, and decide what the answer is."""
        head = {name.lower(): value for name, value in answer.headers}
        slot.done(heads.remaining(head.get("remaining-req")))
        received = self._clock.now()
        date = heads.date(head.get("date"))
        if date is not None:
            self._server_time.observe(date, sent, received)
        error = classify(answer.status, head, answer.body)
        url = request.context["url"]
        if error is None:
            return Reply(url, answer.status, answer.body, date, received, request.attempt, request.waited)
        if isinstance(error, Blocked):
            stated = heads.block_seconds(head.get("retry-after"), error_message(answer.body), received)
            return self._limiter_of(request).blocked(url, stated)
        return self._located(error, request)

    async def _exchange(self, request: _Request, slot: Slot) -> RawResponse | UpbitFramesError:
        """Send, and read the answer whole; every failure of the wire becomes one of our errors."""
        public_url, failure = request.context["url"], None
        try:
            with self._connections.client() as client:
                async with answering(
                    client, request.url, timeout=self._timeout, public_url=public_url, sent=slot.sent
                ) as incoming:
                    body = await incoming.body(MAX_BODY)
                    response = RawResponse(incoming.status, tuple(incoming.headers.multi_items()), body)
                    if self._interceptor is not None:
                        self._interceptor.record(request.recorded, response)
                    return response
        except UpbitFramesError as error:  # a limit on sizes and encodings
            failure = error
        except httpx.TimeoutException as cause:
            text = f"no complete answer within {self._timeout:g} s"
            failure = Timeout(text, suggestion="try again, or raise the setting 'timeout'")
            failure.__cause__ = cause
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, UnicodeError) as cause:
            failure = _broken(cause)
        except ExceptionGroup as group:
            # anyio wraps what happened while several addresses were tried.
            failure = _broken(first_error(group))
        return self._located(failure, request)

    @staticmethod
    def _located(error: UpbitFramesError, request: _Request) -> UpbitFramesError:
        error.context |= {name: value for name, value in request.context.items() if value is not None}
        if isinstance(error, MarketNotFound):
            market = request.context["market"] or ""
            error.message = error.message.replace("the market", market or "the market")
            error.suggestion = whereabouts(market.split(",")) or error.suggestion
        return error


def _broken(cause: BaseException) -> ConnectionFailed:
    """Return the error for a connection that could not be opened or broke."""
    text = f"{cause} {cause.__cause__ or ''} {cause.__context__ or ''}"
    if isinstance(cause, httpx.ProxyError):
        hint = "check the proxy in HTTPS_PROXY and NO_PROXY"
    elif isinstance(cause.__cause__, ssl.SSLError) or "CERTIFICATE" in text.upper():
        hint = "the certificate is not trusted: a proxy that reads along, or a wrong clock on this machine?"
    elif "Name or service" in text or "getaddrinfo" in text or "nodename" in text:
        hint = "the host name cannot be resolved: check the network and the setting 'rest_url'"
    elif "Too many open files" in text:
        hint = "close files or connections that are not needed, or raise the limit (ulimit -n)"
    elif isinstance(cause, httpx.ConnectError):
        hint = "check the network and the setting 'rest_url'"
    else:
        hint = "try again; what was fetched so far is stored"
    failure = "no connection" if isinstance(cause, httpx.ConnectError | httpx.ProxyError) else "the connection broke"
    error = ConnectionFailed(f"{failure}: {redacted(str(cause)) or type(cause).__name__}", suggestion=hint)
    error.__cause__ = cause
    return error
