"""Where a cassette meets a transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Taken", "Tap"]


@dataclass(frozen=True)
class Taken:
    """An answer as it came over the wire, whatever its status; the body is decompressed."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Tap(Protocol):
    """Sits at the wire of one transport: a cassette. Nobody else's traffic passes it."""

    def play(self, url: str) -> Taken | None:
        """The recorded answer; None where the wire may be asked."""

    def keep(self, url: str, taken: Taken) -> None:
        """Told of every answer that came over the wire."""
