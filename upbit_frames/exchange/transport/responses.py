"""What an answer of the exchange means. No I/O.

The HTTP status decides; the body only supplies words, because refusals come as JSON of two kinds,
plain text, HTML or something in between, or nothing (upbit-api 2.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from upbit_frames.errors import (
    ApiError,
    Blocked,
    ConnectionFailed,
    MarketNotFound,
    RateLimited,
    SchemaError,
    ServerError,
    Timeout,
    UpbitFramesError,
)
from upbit_frames.exchange.wire.error_bodies import error_message

__all__ = ["classify", "worth_repeating"]


def classify(status: int, headers: Mapping[str, str], body: bytes) -> UpbitFramesError | None:
    """Return the error that an answer stands for, or None if it is a success.

    Parameters
    ----------
    status : int
    headers : mapping of str to str
        Names in lower case.
    body : bytes

    Returns
    -------
    UpbitFramesError or None
        Its context has the status.

    Examples
    --------
    >>> classify(200, {}, b"[]") is None
    True
    >>> type(classify(503, {}, b"")).__name__
    'ServerError'
    """
    if 200 <= status < 300:
        return _no_json(status, headers, body)
    text = error_message(body) or _phrase(status)
    kind, message, suggestion = _refusal(status, text)
    return kind(message, suggestion=suggestion, status=status)


def worth_repeating(error: UpbitFramesError) -> bool:
    """Whether the same request may succeed a moment later; an answer beyond a size limit will not."""
    passing = (RateLimited, ServerError, Timeout, ConnectionFailed, SchemaError)
    return isinstance(error, passing) and "most" not in error.context


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status {status}"


def _no_json(status: int, headers: Mapping[str, str], body: bytes) -> SchemaError | None:
    start = body[:64].lstrip().lower()
    if start.startswith(b"<") or "html" in headers.get("content-type", ""):
        return SchemaError(
            "a web page came instead of JSON",
            suggestion="a proxy or login page answers for the exchange?",
            status=status,
        )
    if start[:1] + body.rstrip()[-1:] not in (b"[]", b"{}"):
        return SchemaError("the answer is not complete JSON", suggestion="try again", status=status)
    return None


def _refusal(status: int, text: str) -> tuple[type[ApiError], str, str]:
    """Class, message and suggestion for a status."""
    if status == 429:
        return (
            RateLimited,
            f"too many requests: {text}",
            "other programs on this address share the limit; lower the setting 'rate' if it happens often",
        )
    if status == 418:
        return Blocked, f"the exchange blocks this address: {text}", "wait until the block is over"
    if status >= 500:
        return ServerError, f"the exchange failed: {text}", "try again later; it may be under maintenance"
    if 300 <= status < 400:
        return (
            ApiError,
            "the exchange redirects elsewhere, which it never does",
            "a login page of this network? Open any web page in a browser first",
        )
    if status == 404 and "no route" in text.lower():
        return ApiError, f"there is no such address: {text}", "check the setting 'rest_url'"
    if status == 404:
        return (
            MarketNotFound,
            f"the exchange does not know the market: {text}",
            "misspelt, delisted, or of another region? uf.markets() lists all",
        )
    return ApiError, f"the exchange refused: {text}", "check the arguments"
