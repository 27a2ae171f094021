"""Where a cassette intercepts the requests of a transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Interceptor", "RawResponse"]


@dataclass(frozen=True)
class RawResponse:
    """A response as received, of any status; the body is decompressed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Interceptor(Protocol):
    """Replays or records the requests of a transport; those of other libraries do not pass it."""

    def replay(self, url: str) -> RawResponse | None:
        """Return a recorded response; None if the request is to be sent."""

    def record(self, url: str, response: RawResponse) -> None:
        """Take note of a response that was received from the exchange."""
