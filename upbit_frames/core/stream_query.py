"""The checked arguments of a stream: topics and buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from upbit_frames.core import arguments
from upbit_frames.core.arguments import price_level, whole
from upbit_frames.core.markets import parse_markets
from upbit_frames.core.topics import Topic, parse_kind
from upbit_frames.errors import QueryError

__all__ = ["BUFFER", "StreamQuery"]

BUFFER = 100_000  # rows that may wait for their reader


@dataclass(frozen=True)
class StreamQuery:
    """What is listened to, checked.

    Attributes
    ----------
    type : str
        Wire name.
    markets : tuple of str
    depth : int
        Price levels of order books.
    level : float
        Their price grouping; 0 for none.
    buffer : int
        Most rows that may wait for the reader.
    """

    type: str
    markets: tuple[str, ...]
    depth: int = 30
    level: float = 0.0
    buffer: int = BUFFER

    @classmethod
    def build(
        cls, markets: object, kind: object, *, depth: Any = 30, level: Any = None, buffer: Any = BUFFER
    ) -> StreamQuery:
        """Check everything; see ``uf.stream`` for the meaning of the arguments."""
        type_ = parse_kind(kind)
        codes, _ = parse_markets(markets)
        depth = arguments.depth(depth)
        buffer = whole("buffer", buffer, 1)
        if type_ != "orderbook":
            if level is not None or depth != 30:
                raise QueryError(f"depth and level belong to order books, not to {type_}")
            return cls(type_, codes, buffer=buffer)
        return cls(type_, codes, depth, price_level(level), buffer)

    @property
    def topics(self) -> frozenset[Topic]:
        """What to subscribe to."""
        return frozenset(Topic(self.type, market, self.level, self.depth) for market in self.markets)
