"""What goes between the HTTP server of the stand-in exchange and what answers there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

__all__ = ["App", "LoggedRequest", "Reply", "Request"]

_LISTS = ("markets", "quote_currencies", "quoteCurrencies")


@dataclass(frozen=True)
class Request:
    """A GET request as it arrived.

    Attributes
    ----------
    method, path, query : str
        The query as sent, without the question mark.
    headers : dict of str to str
        Names in lower case.
    caller : str
        The address it came from.
    arrival : float
        ``time.monotonic()`` at which the exchange began to look at it, after half the delay.
    """

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    caller: str = "127.0.0.1"
    arrival: float = 0.0

    def params(self) -> dict[str, str]:
        """Return the decoded query; repeated lists are joined with commas, of other repeated names the first counts."""
        params: dict[str, str] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True):
            if name in _LISTS and name in params:
                params[name] = f"{params[name]},{value}"
            else:
                params.setdefault(name, value)
        return params


@dataclass
class Reply:
    """What to send back, and what to do wrong while sending it.

    Attributes
    ----------
    status : int
    body : bytes
        Before compression.
    headers : list of (str, str)
        Without Date, framing and encoding, which the server adds.
    chunked : bool
        Framing: chunked or with a content length.
    remaining : int or None
        Calls left in the caller's window, for the log.
    fault : str or None
        Which fault it suffered, for the log.
    silent : bool
        Nothing is ever sent.
    drop_after : int or None
        The connection breaks after that many bytes of the body; -1: before the status line.
    drip : tuple of (int, float), optional
        That many bytes at a time, with that many seconds between.
    delay : float
        Seconds to wait before sending.
    skew : int or None
        Seconds added to the ``Date`` header; None sends none.
    """

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunked: bool = True
    remaining: int | None = None
    fault: str | None = None
    silent: bool = False
    drop_after: int | None = None
    drip: tuple[int, float] | None = None
    delay: float = 0.0
    skew: int | None = 0


class App(Protocol):
    """A part of the exchange that serves certain paths of the HTTP server."""

    def handle(self, request: Request) -> Reply:
        """Return the reply; called in a thread of its own if ``blocking`` is true."""


@dataclass(frozen=True)
class LoggedRequest:
    """A request as the exchange remembers it.

    Attributes
    ----------
    path : str
    params : dict of str to str
    status : int
        Of the answer; 0 where none was sent.
    arrival : float
        ``time.monotonic()`` when the exchange counted it.
    remaining : int or None
        What ``Remaining-Req`` said; None without the header.
    fault : str or None
        The fault it suffered.
    at : int
        The virtual time, microseconds.
    headers : dict of str to str
        As sent by the client, names in lower case.
    """

    path: str
    params: dict[str, str]
    status: int
    arrival: float
    remaining: int | None
    fault: str | None
    at: int
    headers: dict[str, str] = field(repr=False)
