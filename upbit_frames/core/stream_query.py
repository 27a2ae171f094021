"""The checked arguments of a stream: topics and buffer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from upbit_frames.core import arguments
from upbit_frames.core.arguments import price_level, whole
from upbit_frames.core.market_selection import MarketSelection, parse_selection
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
    selection : MarketSelection
        Its markets are codes, once :meth:`resolved` has put them there.
    depth : int
        Price levels of order books.
    level : float
        Their price grouping; 0 for none.
    buffer : int
        Most rows that may wait for the reader.
    """

    type: str
    selection: MarketSelection
    depth: int = 30
    level: float = 0.0
    buffer: int = BUFFER

    @classmethod
    def build(
        cls,
        markets: object,
        kind: object,
        *,
        quote: object = None,
        depth: Any = 30,
        level: Any = None,
        buffer: Any = BUFFER,
    ) -> StreamQuery:
        """Check everything; see ``uf.stream`` for the meaning of the arguments."""
        type_ = parse_kind(kind)
        selection = parse_selection(markets, quote)
        depth = arguments.depth(depth)
        buffer = whole("buffer", buffer, 1)
        if type_ != "orderbook":
            if level is not None or depth != 30:
                raise QueryError(f"depth and level belong to order books, not to {type_}")
            return cls(type_, selection, buffer=buffer)
        return cls(type_, selection, depth, price_level(level), buffer)

    @property
    def markets(self) -> tuple[str, ...]:
        """The markets; without those of a quote currency until they are resolved."""
        return self.selection.markets

    def resolved(self, codes: tuple[str, ...]) -> StreamQuery:
        """Return the query with the codes of its markets."""
        return replace(self, selection=self.selection.resolved(codes))

    @property
    def topics(self) -> frozenset[Topic]:
        """What to subscribe to, once the markets are codes."""
        return frozenset(Topic(self.type, market, self.level, self.depth) for market in self.markets)
