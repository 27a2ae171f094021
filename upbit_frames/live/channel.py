"""The stream as one of the router's channels: what is asked for again and again is kept at hand.

Rules decide (:mod:`upbit_frames.router.live_rules`); what is here counts who asks for what, opens and ends
the subscriptions, and gives the newest rows. Whatever is asked only now and then never opens
anything, and a subscription that nobody asks for any more ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING

from upbit_frames.core.endpoints import LIMITS
from upbit_frames.core.intervals import Interval, Span, from_micros
from upbit_frames.core.schema import arrow_schema
from upbit_frames.core.topics import Key, Topic
from upbit_frames.errors import ConnectionFailed, UpbitFramesError
from upbit_frames.exchange.wire.message_tables import CachedRows, rows_from_rest, to_table
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.seen import seen_of
from upbit_frames.live.latest import Watch
from upbit_frames.router.live_rules import Choice, LiveRequest, LiveState, choose, idle_timeout
from upbit_frames.router.ports import LiveResult

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LiveChannel"]

REMEMBERED = 8  # asks of one thing
FORGOTTEN = 60.0  # seconds after which an ask counts no more
MOST_KNOWN = 5000  # things whose asks are remembered
BEAT = 0.25  # seconds between two looks at the connection and at what is idle
QUIET = 0.3  # seconds of silence after which a pong is asked for
PONG = 0.7  # seconds for it
FIRST = 5.0  # seconds for the first frame where the stream was asked for by name
MOST_MADE = 64  # tables that are at hand
SPARE = 50  # trades more than asked for, in case some are from far ahead of the exchange's clock
AGAIN = 5.0  # seconds after a failure before a stream is opened unasked again
GROUPS = {"ticker": "ticker", "orderbook": "orderbook", "trade": "crix-trades", "candle": "candles"}


class LiveChannel:
    """Keeps at hand what is asked for again and again.

    Parameters
    ----------
    hub : function () -> Hub
        Called on the background loop when a stream is needed.
    allowed : bool
        Whether a stream may be opened unasked.
    """

    def __init__(self, hub: Callable[[], Hub], *, allowed: bool = True) -> None:
        self.allowed = allowed
        self._open_hub = hub
        self._hub: Hub | None = None
        self._watches: dict[Key, Watch] = {}
        self._asks: dict[Key, deque[float]] = {}
        self._requests: dict[str, deque[float]] = {}
        self._opening: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._made: dict[tuple[object, ...], CachedRows] = {}
        self._failed = ""
        self._failed_until = -inf

    # --- deciding; from any thread ------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is subscribed to."""
        return not self._watches

    def decide(
        self, request: LiveRequest, topics: Sequence[Topic], *, since: datetime | None = None, note: bool = True
    ) -> Choice:
        """Who answers.

        Parameters
        ----------
        request : LiveRequest
        topics : sequence of Topic
            What would answer it.
        since : datetime, optional
            Of candles: the first that is needed.
        note : bool
            Whether this counts as having been asked; False for looking only.
        """
        now = time.monotonic()
        if note:
            self._note(topics, now)
        choice = choose(request, self._live_state(request, topics, since, now, asks=0 if note else 1))
        if note and choice.channel == "rest":
            self._requests.setdefault(GROUPS[request.kind.partition(".")[0]], deque(maxlen=50)).append(now)
        return choice

    def _note(self, topics: Sequence[Topic], now: float) -> None:
        if len(self._asks) > MOST_KNOWN:
            self._asks = {key: asks for key, asks in list(self._asks.items()) if now - asks[-1] < FORGOTTEN}
        for topic in topics:
            asks = self._asks.get(topic.key)
            if asks is None:
                asks = self._asks.setdefault(topic.key, deque(maxlen=REMEMBERED))
            asks.append(now)
            watch = self._watches.get(topic.key)
            if watch is not None:
                watch.asked = now
                watch.idle = idle_timeout(_pace(asks, now)[1])

    def _live_state(
        self, request: LiveRequest, topics: Sequence[Topic], since: datetime | None, now: float, asks: int = 0
    ) -> LiveState:
        """What is known; ``asks`` more times it is about to be asked."""
        seldom = [_pace([*self._asks.get(topic.key, ()), *[now] * asks], now) for topic in topics]
        asks, pace = min((one for one, _ in seldom), default=0), max((one for _, one in seldom), default=inf)
        group = GROUPS[request.kind.partition(".")[0]]
        quota = sum(1 for one in list(self._requests.get(group, ())) if now - one < 1.0) / LIMITS[group]
        watches = [self._watches.get(topic.key) for topic in topics]
        hub = self._hub
        if hub is None or not watches or None in watches:
            if now < self._failed_until:
                return LiveState(asks, pace, quota, True, f"unavailable: {self._failed}")
            return LiveState(asks, pace, quota)
        return LiveState(
            asks, pace, quota, True, hub.state, now - hub.heard,
            primed=all(
                hub.current(topic.key) and watch is not None and watch.holds(request, since)
                for topic, watch in zip(topics, watches, strict=True)
            ),
            backfilling=any(hub.mending(topic.key) for topic in topics),
        )  # fmt: skip

    # --- answering ------------------------------------------------------------------------------------

    def cached_quotes(
        self, request: LiveRequest, topics: Sequence[Topic], depth: int | None = None
    ) -> LiveResult | None:
        """Tickers or books, if they are at hand; from any thread, without waiting for anything."""
        if any(topic.key not in self._watches for topic in topics):
            return None
        choice = self.decide(request, topics, note=False)
        if choice.rule != "hot":
            return None
        self._note(topics, time.monotonic())
        return self._found(choice, topics, depth)

    async def live_quotes(self, request: LiveRequest, topics: Sequence[Topic], depth: int | None = None) -> LiveResult:
        """Tickers or books."""
        choice = await self._chosen(request, topics)
        return self._found(choice, topics, depth) if choice.channel == "live" else LiveResult(choice)

    def decide_candles(self, interval: Interval, market: str, span: Span, source: str) -> Choice:
        """Choose who would serve the candles of a span that can still change; from any thread."""
        request, topic, since = self._candle_request(interval, market, span, source)
        return self.decide(request, [topic], since=since, note=False)

    def _candle_request(
        self, interval: Interval, market: str, span: Span, source: str
    ) -> tuple[LiveRequest, Topic, datetime]:
        assert interval.stream is not None  # asked only for intervals that are streamed
        since = from_micros(interval.floor(span.start)).replace(tzinfo=None)
        return (
            LiveRequest(interval.stream, source=source, may_subscribe=self.allowed),
            Topic(interval.stream, market),
            since,
        )

    async def candles(self, interval: Interval, market: str, span: Span, source: str) -> LiveResult:
        """The candles of a span that can still change."""
        assert interval.stream is not None  # asked only for intervals that are streamed
        request, topic, since = self._candle_request(interval, market, span, source)
        choice = await self._chosen(request, [topic], since)
        if choice.channel != "live":
            return LiveResult(choice)
        table = to_table(interval.stream, self._believed(topic, self._watches[topic.key].candles(since)))
        whole = self._watches[topic.key].holds(request, since)
        return LiveResult(choice, table.select(arrow_schema("candles").names), self.silent * 1000, complete=whole)

    def decide_trades(self, market: str, count: int, source: str) -> Choice:
        """Choose who would serve the newest trades; from any thread."""
        request = LiveRequest("trade", count=count, source=source, may_subscribe=self.allowed)
        return self.decide(request, [Topic("trade", market)], note=False)

    async def trades(self, market: str, count: int, source: str) -> LiveResult:
        """The newest trades; what was traded before the stream began has to be told by :meth:`seed`."""
        topic = Topic("trade", market)
        request = LiveRequest("trade", count=count, source=source, may_subscribe=self.allowed)
        choice = await self._chosen(request, [topic])
        if choice.rule == "forced" and choice.channel == "live" and not self._watches[topic.key].holds(request, None):
            return LiveResult(choice)
        if choice.channel != "live":
            return LiveResult(choice)
        table = to_table("trade", self._believed(topic, self._watches[topic.key].trades(count + SPARE))[-count:])
        return LiveResult(choice, table.select(arrow_schema("trades").names), self.silent * 1000)

    def _believed(self, topic: Topic, rows: list[Row]) -> list[Row]:
        """Without rows from far ahead of the exchange's clock."""
        seen = seen_of(topic.type)
        clock = self._hub.exchange_time if self._hub is not None else None
        return [row for row in rows if not seen.ahead(row, clock)]

    def seed(self, market: str, table: pa.Table, count: int) -> None:
        """The newest trades as REST told them, for the stream's to follow on; so many were asked for."""
        watch = self._watches.get(Topic("trade", market).key)
        if watch is not None:
            watch.seed(rows_from_rest("trade", market, table, 0), whole=len(table) < count)

    async def _chosen(self, request: LiveRequest, topics: Sequence[Topic], since: datetime | None = None) -> Choice:
        choice = self.decide(request, topics, since=since)
        if choice.subscribe:
            self.subscribe(topics)
        if choice.channel == "live" and choice.rule == "forced":
            await self.ready(topics)
        return choice

    def _found(self, choice: Choice, topics: Sequence[Topic], depth: int | None) -> LiveResult:
        """The newest rows; the same as before where nothing has come since."""
        type_, asked = topics[0].type, (*topics, depth)
        rows = [self._watches[topic.key].row for topic in topics]
        made = self._made.get(asked)
        if made is None or any(one is not other for one, other in zip(rows, made.rows, strict=True)):
            if len(self._made) >= MOST_MADE:
                self._made.clear()
            made = self._made[asked] = CachedRows(type_, rows, depth)
        return LiveResult(choice, age=self.silent * 1000, cached=made)

    @property
    def silent(self) -> float:
        """Seconds since anything was heard from the exchange."""
        return time.monotonic() - self._hub.heard if self._hub is not None else inf

    # --- subscriptions; on the background loop ----------------------------------------------------------

    def subscribe(self, topics: Sequence[Topic]) -> None:
        """Keep these at hand from now on; returns at once."""
        now = time.monotonic()
        fresh = []
        for topic in topics:
            if topic.key not in self._watches:
                pace = _pace(self._asks.get(topic.key, ()), now)[1]
                self._watches[topic.key] = Watch(frozenset([topic]), ring=True, asked=now, idle=idle_timeout(pace))
                fresh.append(self._watches[topic.key])
        if self._hub is None:
            self._hub = self._open_hub()
        if fresh:
            loop = asyncio.get_running_loop()
            self._opening = loop.create_task(self._join(self._hub, fresh))
            if self._keeper is None or self._keeper.done():
                self._keeper = loop.create_task(self._keep())

    async def _join(self, hub: Hub, watches: list[Watch]) -> None:
        """A failure is told by what is asked next; REST answers meanwhile."""
        ended = await asyncio.gather(*(hub.join(watch) for watch in watches), return_exceptions=True)
        for watch, error in zip(watches, ended, strict=True):
            if isinstance(error, UpbitFramesError):
                self._failed, self._failed_until = error.message, time.monotonic() + AGAIN
                self._drop(watch)

    async def ready(self, topics: Sequence[Topic]) -> None:
        """Wait until the stream has told the state of these; for those who asked for it by name.

        Raises
        ------
        ConnectionFailed
            If it cannot within a few seconds.
        """
        self.subscribe(topics)
        ends = time.monotonic() + FIRST
        while time.monotonic() < ends:
            if any(topic.key not in self._watches for topic in topics):
                break  # the connection could not be opened
            state = self._live_state(LiveRequest(topics[0].type), topics, None, time.monotonic())
            if state.state == "open" and state.primed and not state.backfilling:
                return
            await asyncio.sleep(0.005)
        why = self._failed or f"nothing came within {FIRST:g} s"
        raise ConnectionFailed(
            f"the stream does not answer: {why}", suggestion="leave out source='live', then REST answers"
        )

    def _drop(self, watch: Watch) -> None:
        for topic in watch.topics:
            if self._watches.get(topic.key) is watch:
                del self._watches[topic.key]
        if self._hub is not None:
            self._hub.leave(watch)

    async def _keep(self) -> None:
        """Ask a quiet connection for a pong, give a dead one up, and end what is idle."""
        while self._watches:
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            for watch in list(self._watches.values()):
                if watch.over or watch.torn or now - watch.asked > watch.idle:
                    self._drop(watch)
            hub = self._hub
            if hub is not None and self._watches and hub.state == "open" and now - hub.heard > QUIET:
                with contextlib.suppress(UpbitFramesError):
                    if not await hub.alive(PONG):
                        await hub.abandon()


def _pace(asks: Iterable[float], now: float) -> tuple[int, float]:
    """How often something was asked lately, and the seconds between two times."""
    recent = [one for one in list(asks) if now - one <= FORGOTTEN]
    if len(recent) < 2:
        return len(recent), inf
    return len(recent), (recent[-1] - recent[0]) / (len(recent) - 1)
