"""The subscriptions of a WebSocket client, and the frames it is sent as time goes on (upbit-api 6). No I/O.

A session owns no socket: it takes messages and the time, and returns frames.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from upbit_frames.core.intervals import Interval
from upbit_frames.core.topics import CANDLES, DEPTHS, FORMATS
from upbit_frames.exchange.wire.messages import SIMPLE_KEYS
from upbit_frames.testing.market.book import allowed_level
from upbit_frames.testing.market.columns import Trades, storage_lag
from upbit_frames.testing.market.generated import DAY_MS
from upbit_frames.testing.market.model import MarketModel
from upbit_frames.testing.market.price_ticks import SCALE
from upbit_frames.testing.server import ws_json as ws_wire
from upbit_frames.testing.server.rest_json import plain

__all__ = ["Mistake", "Session", "Timed"]

_SECOND = 1_000_000
_BEAT_MS = 100  # books come on this grid
_MOST_BOOKS = 20  # of one market at a time; older books were replaced before they could be sent


class Timed(NamedTuple):
    """A frame and the virtual moment at which it is sent, in microseconds."""

    at: int
    text: str


@dataclass
class Mistake(Exception):
    """A request that is answered with an error; ``value`` is what the message quotes."""

    name: str
    value: str = ""


@dataclass(frozen=True)
class _Part:
    """A type object of a request."""

    type: str
    codes: tuple[str, ...]
    level: int = 0
    snapshot: bool = True
    realtime: bool = True

    def markets(self) -> Iterator[tuple[str, int]]:
        """Each code as market and depth."""
        for code in self.codes:
            market, dot, suffix = code.partition(".")
            depth = int(suffix) if suffix.isdigit() and int(suffix) in DEPTHS else DEPTHS[-1]
            if self.type == "orderbook" or not dot:
                yield market, depth


@dataclass
class Session:
    """The subscriptions of a connection.

    Attributes
    ----------
    model : MarketModel
    region : str
    now : int
        Up to when everything was sent, virtual microseconds.
    """

    model: MarketModel
    region: str
    now: int
    _parts: list[_Part] = field(default_factory=list)
    _format: str = "DEFAULT"

    @property
    def korea(self) -> bool:
        """Whether this is the Korean exchange."""
        return self.region == "kr"

    @property
    def _simple(self) -> bool:
        return self._format.startswith("SIMPLE")

    # --- what the client says -----------------------------------------------------------------

    def receive(self, message: str, now: int) -> list[str]:
        """Return the frames that answer a request at once: snapshots, or the list of subscriptions.

        Raises
        ------
        Mistake
            If it is refused; everything is over then.
        """
        try:
            parts = json.loads(message)
        except ValueError:
            raise Mistake("WRONG_FORMAT") from None
        if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
            raise Mistake("WRONG_FORMAT")
        ticket = next((part["ticket"] for part in parts if "ticket" in part), None)
        if not isinstance(ticket, str) or not ticket:
            raise Mistake("NO_TICKET")
        form = next((part["format"] for part in parts if "format" in part), "DEFAULT")
        if form not in FORMATS:
            raise Mistake("WRONG_FORMAT")
        if any(part.get("method") == "LIST_SUBSCRIPTIONS" for part in parts):
            self._format = form
            return [self._listed(ticket)]
        wanted = [part for part in parts if not {"ticket", "format"} & set(part) or "type" in part]
        if not wanted or any("type" not in part for part in wanted):
            raise Mistake("NO_TYPE")
        self._parts = [self._part(part) for part in wanted]
        self._format = form
        self.now = now
        return list(self._snapshots(now))

    def _part(self, fields: dict[str, Any]) -> _Part:
        type_, codes, level = fields["type"], fields.get("codes"), fields.get("level", 0)
        if type_ not in ("ticker", "trade", "orderbook", *CANDLES):
            raise Mistake("INVALID_PARAM", str(type_))
        if not isinstance(codes, list) or not codes:
            raise Mistake("NO_CODES")
        if "level" in fields and not self.korea:
            raise Mistake("WRONG_FORMAT")
        try:
            units = round(float(level) * SCALE)
        except (TypeError, ValueError):
            raise Mistake("WRONG_FORMAT") from None
        only_snapshot = fields.get("is_only_snapshot", fields.get("isOnlySnapshot", False)) is True
        only_realtime = fields.get("is_only_realtime", fields.get("isOnlyRealtime", False)) is True
        return _Part(type_, tuple(map(str, codes)), units, not only_realtime, not only_snapshot)

    def _listed(self, ticket: str) -> str:
        result = []
        for part in self._parts:
            entry: dict[str, Any] = {"type": part.type, "codes": list(part.codes)}
            if part.type == "orderbook":
                entry["level"] = float(plain(part.level)) if part.level % SCALE else part.level // SCALE
            result.append(entry)
        answer: dict[str, Any] = {"method": "LIST_SUBSCRIPTIONS", "result": result, "ticket": ticket}
        if self._simple:
            short = SIMPLE_KEYS["LIST_SUBSCRIPTIONS"]
            answer["result"] = [{short[key]: value for key, value in entry.items()} for entry in result]
            answer = {short[key]: value for key, value in answer.items()}
        return json.dumps(answer, separators=(",", ":"))

    # --- what the client is sent --------------------------------------------------------------

    def _snapshots(self, now: int) -> Iterator[str]:
        for part in self._parts:
            if not part.snapshot:
                continue
            frames = [frame for market, depth in part.markets() if (frame := self._latest(part, market, depth, now))]
            if self._format.endswith("_LIST"):
                yield from [f"[{','.join(frames)}]"] if frames else []
            else:
                yield from frames

    def _latest(self, part: _Part, market: str, depth: int, now: int) -> str | None:
        """Return the state at a moment; None where there is none, or the code is unknown."""
        listing = self.model.listing(market, now)
        if listing is None:
            return None
        if part.type == "orderbook":
            return self._book(part, market, depth, now, "SNAPSHOT")
        if part.type in CANDLES:
            candles = self.model.last_candles(market, CANDLES[part.type], now, 1, now)
            return None if not len(candles) else ws_wire.candle_frame(
                part.type, market, candles, "SNAPSHOT", simple=self._simple, korea=self.korea
            )  # fmt: skip
        last = self.model.last_trade(market, now)
        if not len(last):
            return None
        if part.type == "trade":
            return self._trade(market, last, 0, now, "SNAPSHOT")
        return self._ticker(market, now, "SNAPSHOT")

    def _book(self, part: _Part, market: str, depth: int, now: int, stream_type: str) -> str | None:
        last = self.model.last_trade(market, now)
        if part.level and not (len(last) and allowed_level(market, int(last.price[0]), part.level)):
            return None
        book = self.model.book(market, now).grouped(part.level)
        return ws_wire.orderbook_frame(market, book, depth, stream_type, simple=self._simple, with_level=self.korea)

    def _trade(self, market: str, trades: Trades, row: int, now: int, stream_type: str) -> str:
        ms = int(trades.ms[row])
        previous = self.model.previous_close(market, ms // DAY_MS)
        return ws_wire.trade_frame(
            market, trades, row, int(trades.price[row]) if previous is None else previous,
            self.model.book(market, now), stream_type, at=ms + int(storage_lag(ms)), simple=self._simple,
        )  # fmt: skip

    def _ticker(self, market: str, now: int, stream_type: str) -> str | None:
        ticker, listing = self.model.ticker(market, now), self.model.listing(market, now)
        if ticker is None or listing is None:
            return None
        return ws_wire.ticker_frame(ticker, listing, stream_type, at=ticker.ms, simple=self._simple)

    def until(self, now: int) -> Iterator[list[Timed]]:
        """Return the frames since the last call, market by market, each in order of time.

        Frames of different markets of a single call are not sorted yet.
        """
        since, self.now = self.now, max(now, self.now)
        for part in self._parts:
            if not part.realtime or now <= since:
                continue
            for market, depth in part.markets():
                if self.model.listing(market, now) is None:
                    continue
                frames = self._since(part, market, depth, since, now)
                listed = self._format.endswith("_LIST")
                yield [Timed(at, f"[{text}]" if listed else text) for at, text in frames]

    def _since(self, part: _Part, market: str, depth: int, since: int, now: int) -> list[Timed]:
        if part.type == "orderbook":
            return self._books(part, market, depth, since, now)
        if part.type in CANDLES:
            return self._candles(part.type, CANDLES[part.type], market, since, now)
        trades = self.model.trades(market, since, now, now)
        # A trade can be seen from the microsecond after its millisecond began.
        moments = trades.ms * 1000 + 1
        if part.type == "trade":
            return [
                Timed(int(at), self._trade(market, trades, row, int(at), "REALTIME"))
                for row, at in enumerate(moments.tolist())
            ]
        frames = []
        # Trades of a tenth of a second are folded into a single frame.
        for row in _last_of_each(moments // (_BEAT_MS * 1000)):
            text = self._ticker(market, int(moments[row]), "REALTIME")
            if text is not None:
                frames.append(Timed(int(moments[row]), text))
        return frames

    def _books(self, part: _Part, market: str, depth: int, since: int, now: int) -> list[Timed]:
        """Return every change on the grid of a tenth of a second, at most the newest so many."""
        step = _BEAT_MS * 1000
        first = max(since // step + 1, now // step - _MOST_BOOKS + 1)
        # Against the last look, not against the last call: what changed in between was not sent yet.
        known = self.model.book(market, (first - 1) * step).ms
        frames = []
        for moment in range(first * step, now + 1, step):
            changed = self.model.book(market, moment).ms
            if changed != known:
                known = changed
                text = self._book(part, market, depth, moment, "REALTIME")
                if text is not None:
                    frames.append(Timed(moment, text))
        return frames

    def _candles(self, type_: str, interval: Interval, market: str, since: int, now: int) -> list[Timed]:
        """Return the candle at each whole second before which something was traded."""
        low, high = since - since % _SECOND, now - now % _SECOND
        trades = self.model.trades(market, low, high, now)
        frames = []
        for second in np.unique(trades.ms // 1000).tolist():
            at = (second + 1) * _SECOND
            if at <= since:
                continue
            start = interval.floor(second * _SECOND)
            candles = self.model.candles(market, interval, start, start + 1, at)
            frame = ws_wire.candle_frame(type_, market, candles, "REALTIME", simple=self._simple, korea=self.korea)
            frames.append(Timed(at, frame))
        return frames


def _last_of_each(keys: Any) -> list[int]:
    """Return the last place of every run of equal keys."""
    if not len(keys):
        return []
    return [*np.flatnonzero(keys[1:] != keys[:-1]).tolist(), len(keys) - 1]
