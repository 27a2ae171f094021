"""Topics of streams, and how to subscribe to them (upbit-api 6.2; pure).

A new request replaces everything a connection was subscribed to before, so what several consumers
want is merged into one set of topics, and the whole set is sent each time.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from upbit_frames.core.intervals import INTERVALS, Interval
from upbit_frames.core.markets import CODE
from upbit_frames.core.periods import read_period
from upbit_frames.errors import InvalidInterval, QueryError

__all__ = ["DEPTHS", "FORMATS", "TYPES", "Topic", "interval_of", "merged", "parse_kind", "request", "table_of"]

FORMATS = ("DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST")
DEPTHS = (1, 5, 15, 30)  # what the suffix of an order book's code can say (6.4)
CANDLES = {interval.stream: interval for interval in INTERVALS.values() if interval.stream is not None}
TYPES = ("ticker", "trade", "orderbook", *CANDLES)
_TABLES = {"ticker": "ticker", "trade": "trades", "orderbook": "orderbook"}
_PLURALS = {"tickers": "ticker", "trades": "trade", "orderbooks": "orderbook"}


Key = tuple[str, str, float]
"""What identifies the topic of a frame: type, market, grouping."""


@dataclass(frozen=True, order=True)
class Topic:
    """One type of one market.

    Attributes
    ----------
    type : str
        Wire name, one of :data:`TYPES`.
    market : str
        Upper case: other spellings are ignored silently by the exchange.
    level : float
        Price grouping of an order book; 0 for none.
    depth : int
        Price levels of an order book, one of :data:`DEPTHS`.
    """

    type: str
    market: str
    level: float = 0.0
    depth: int = 30

    @property
    def key(self) -> Key:
        """Return what identifies its frames: type, market, grouping."""
        return self.type, self.market, self.level


def parse_kind(text: object) -> str:
    """The wire name of a kind of stream.

    Parameters
    ----------
    text : str
        ``ticker``, ``trade``, ``orderbook`` or ``candle.<interval>``, the interval in any of its
        spellings up to four hours; an interval alone stands for its candles.

    Raises
    ------
    InvalidInterval
        If there are no such candles, or none that are streamed.
    QueryError
        For anything else.

    Examples
    --------
    >>> parse_kind("candle.1h"), parse_kind("trades"), parse_kind("1m")
    ('candle.60m', 'trade', 'candle.1m')
    """
    if not isinstance(text, str):
        raise QueryError(f"kind={text!r} is not a kind of stream", suggestion=f"There are {', '.join(TYPES)}")
    word = text.strip()
    plain = _PLURALS.get(word.lower(), word.lower())
    if plain in _TABLES:
        return plain
    head, dot, tail = word.partition(".")
    named = dot and head.lower() in ("candle", "candles")
    try:
        return _candle(tail if named else word)
    except InvalidInterval as error:
        if error.context.get("streamed") is False:
            raise
        wrong = InvalidInterval if named else QueryError
        raise wrong(f"kind={text!r} is not a kind of stream", suggestion=_offer(tail if named else word)) from None


def _offer(word: str) -> str:
    near = difflib.get_close_matches(word.lower(), (*_TABLES, *_PLURALS), n=1, cutoff=0.75)
    if CODE.fullmatch(word.upper()):
        hint = "that is a market, which comes first. "
    elif word.lower() in ("candle", "candles"):
        hint = "with their interval: 'candle.1m'. "
    elif read_period(word) is not None:
        hint = "uf.follow derives other candles, such as '2h'. "
    else:
        hint = f"did you mean {_PLURALS.get(near[0], near[0])!r}? " if near else ""
    return f"{hint}There are {', '.join(TYPES)}"


def _candle(name: str) -> str:
    interval = Interval.parse(name)
    if interval.stream is None:
        raise InvalidInterval(
            f"there is no stream of {interval.name} candles",
            suggestion=f"streamed are {', '.join(each.name for each in CANDLES.values())}; for others use uf.candles",
            interval=interval.name,
            streamed=False,
        )
    return interval.stream


def interval_of(type_: str) -> Interval | None:
    """The interval of a candle type; None for the other types."""
    return CANDLES.get(type_)


def table_of(type_: str) -> str:
    """The kind of table (see :mod:`upbit_frames.schema`) that frames of a type become."""
    return _TABLES.get(type_, "candles")


def merged(topics: Iterable[Topic]) -> frozenset[Topic]:
    """One topic for each type, market and grouping, as deep as the deepest that is wanted.

    Examples
    --------
    >>> sorted(one.depth for one in merged([Topic("orderbook", "KRW-BTC", depth=n) for n in (1, 7)]))
    [15]
    """
    deepest: dict[tuple[str, str, float], Topic] = {}
    for topic in topics:
        depth = next((depth for depth in DEPTHS if depth >= topic.depth), DEPTHS[-1])
        known = deepest.get(topic.key)
        if known is None or known.depth < depth:
            deepest[topic.key] = replace(topic, depth=depth)
    return frozenset(deepest.values())


def request(topics: Iterable[Topic], ticket: str, format_: str = "DEFAULT") -> str:
    """The message that subscribes a connection to these topics and no others.

    Examples
    --------
    >>> request([Topic("trade", "KRW-BTC")], "t")
    '[{"ticket":"t"},{"type":"trade","codes":["KRW-BTC"]},{"format":"DEFAULT"}]'
    """
    groups: dict[tuple[str, float], list[str]] = {}
    for topic in sorted(topics):
        suffix = f".{topic.depth}" if topic.type == "orderbook" and topic.depth != DEPTHS[-1] else ""
        groups.setdefault((topic.type, topic.level), []).append(topic.market + suffix)
    parts: list[dict[str, Any]] = [{"ticket": ticket}]
    for (type_, level), codes in groups.items():
        part: dict[str, Any] = {"type": type_, "codes": codes}
        if level:
            part["level"] = int(level) if level == int(level) else level
        parts.append(part)
    parts.append({"format": format_})
    return json.dumps(parts, separators=(",", ":"))
