"""The live channel of the router: serves frequently requested topics from a standing subscription.

:mod:`upbit_frames.router.live_rules` decides. This module counts the requests of each topic, opens and
ends the subscriptions, and returns the newest rows. Infrequent requests open no subscription, and a
subscription without requests ends by itself.
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
from upbit_frames.live.hub.deduplicator import deduplicator_for
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.latest import LatestRows
from upbit_frames.router.live_rules import Choice, LiveRequest, LiveState, choose, idle_timeout
from upbit_frames.router.ports import LiveResult

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LiveChannel"]

REQUEST_MEMORY = 8  # newest requests of a topic, from which its pace is computed
REQUEST_TTL = 60.0  # seconds after which a request no longer counts
MOST_TOPICS = 5000  # topics whose requests are remembered, less than 1 kB each
HEARTBEAT = 0.25  # seconds between two checks of the connection and of idle subscriptions
SILENCE = 0.3  # seconds without a frame after which a ping is sent
PONG_TIMEOUT = 0.7  # seconds
FIRST_FRAME_TIMEOUT = 5.0  # seconds for which source='live' waits for the first frame
MOST_CACHED = 64  # results that are reused while their rows have not changed
SPARE = 50  # trades beyond the requested number, in case some are stamped far ahead of the exchange's clock
RETRY_PAUSE = 5.0  # seconds after a failure before the rules may open a stream again
GROUPS = {"ticker": "ticker", "orderbook": "orderbook", "trade": "crix-trades", "candle": "candles"}


class LiveChannel:
    """Serves frequently requested topics from a standing subscription.

    Parameters
    ----------
    hub : function () -> Hub
        Called on the background loop when a stream is needed.
    allowed : bool
        Whether the rules may open a stream; ``source="live"`` always may.
    """

    def __init__(self, hub: Callable[[], Hub], *, allowed: bool = True) -> None:
        self.allowed = allowed
        self._open_hub = hub
        self._hub: Hub | None = None
        self._subscriptions: dict[Key, LatestRows] = {}
        self._requested_at: dict[Key, deque[float]] = {}
        self._rest_requests: dict[str, deque[float]] = {}
        self._subscribing: asyncio.Task[None] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._cached: dict[tuple[object, ...], CachedRows] = {}
        self._failure = ""
        self._paused_until = -inf

    # --- deciding; from any thread ------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether there is no subscription."""
        return not self._subscriptions

    def decide(
        self, request: LiveRequest, topics: Sequence[Topic], *, since: datetime | None = None, note: bool = True
    ) -> Choice:
        """Choose REST or the stream.

        Parameters
        ----------
        request : LiveRequest
        topics : sequence of Topic
            The topics that would serve the request.
        since : datetime, optional
            Start of the first candle that is needed.
        note : bool
            Whether to count the request; False to predict only.
        """
        now = time.monotonic()
        if note:
            self._count_request(topics, now)
        choice = choose(request, self._live_state(request, topics, since, now, more=0 if note else 1))
        if note and choice.channel == "rest":
            self._rest_requests.setdefault(_group(request), deque(maxlen=50)).append(now)
        return choice

    def _count_request(self, topics: Sequence[Topic], now: float) -> None:
        if len(self._requested_at) > MOST_TOPICS:
            recent = {key: times for key, times in list(self._requested_at.items()) if now - times[-1] < REQUEST_TTL}
            self._requested_at = recent
        for topic in topics:
            times = self._requested_at.get(topic.key)
            if times is None:
                times = self._requested_at.setdefault(topic.key, deque(maxlen=REQUEST_MEMORY))
            times.append(now)
            latest = self._subscriptions.get(topic.key)
            if latest is not None:
                latest.requested_at = now
                latest.idle_timeout = idle_timeout(_pace(times, now)[1])

    def _live_state(
        self, request: LiveRequest, topics: Sequence[Topic], since: datetime | None, now: float, more: int = 0
    ) -> LiveState:
        """Return the input of the rules, assuming ``more`` further requests."""
        paces = [_pace([*self._requested_at.get(topic.key, ()), *[now] * more], now) for topic in topics]
        count = min((count for count, _ in paces), default=0)
        period = max((period for _, period in paces), default=inf)
        group = _group(request)
        last_second = sum(1 for at in list(self._rest_requests.get(group, ())) if now - at < 1.0)
        quota = last_second / LIMITS[group]
        subscriptions = [self._subscriptions.get(topic.key) for topic in topics]
        hub = self._hub
        if hub is None or not subscriptions or None in subscriptions:
            if now < self._paused_until:
                return LiveState(count, period, quota, True, f"unavailable: {self._failure}")
            return LiveState(count, period, quota)
        return LiveState(
            count, period, quota, True, hub.state, now - hub.last_received,
            primed=all(
                hub.is_primed(topic.key) and latest is not None and latest.holds(request, since)
                for topic, latest in zip(topics, subscriptions, strict=True)
            ),
            backfilling=any(hub.is_backfilling(topic.key) for topic in topics),
        )  # fmt: skip

    # --- serving ------------------------------------------------------------------------------------

    def cached_quotes(
        self, request: LiveRequest, topics: Sequence[Topic], depth: int | None = None
    ) -> LiveResult | None:
        """Return the newest tickers or books if the stream has them; from any thread, without waiting."""
        if any(topic.key not in self._subscriptions for topic in topics):
            return None
        choice = self.decide(request, topics, note=False)
        if choice.rule != "hot":
            return None
        self._count_request(topics, time.monotonic())
        return self._newest(choice, topics, depth)

    async def live_quotes(self, request: LiveRequest, topics: Sequence[Topic], depth: int | None = None) -> LiveResult:
        """Return the newest tickers or books, or the choice of REST."""
        choice = await self._choose(request, topics)
        return self._newest(choice, topics, depth) if choice.channel == "live" else LiveResult(choice)

    def decide_candles(self, interval: Interval, market: str, span: Span, source: str) -> Choice:
        """Choose who would serve the candles of a span that can still change; from any thread."""
        request, topic, since = self._candle_request(interval, market, span, source)
        return self.decide(request, [topic], since=since, note=False)

    def _candle_request(
        self, interval: Interval, market: str, span: Span, source: str
    ) -> tuple[LiveRequest, Topic, datetime]:
        assert interval.stream is not None  # only streamed intervals are requested
        since = from_micros(interval.floor(span.start)).replace(tzinfo=None)
        return (
            LiveRequest(interval.stream, source=source, may_subscribe=self.allowed),
            Topic(interval.stream, market),
            since,
        )

    async def candles(self, interval: Interval, market: str, span: Span, source: str) -> LiveResult:
        """Return the candles of a span that can still change, or the choice of REST."""
        assert interval.stream is not None  # only streamed intervals are requested
        request, topic, since = self._candle_request(interval, market, span, source)
        choice = await self._choose(request, [topic], since)
        if choice.channel != "live":
            return LiveResult(choice)
        latest = self._subscriptions[topic.key]
        table = to_table(interval.stream, self._credible(topic, latest.candles(since)))
        complete = latest.holds(request, since)
        return LiveResult(choice, table.select(arrow_schema("candles").names), self._age_ms, complete=complete)

    def decide_trades(self, market: str, count: int, source: str) -> Choice:
        """Choose who would serve the newest trades; from any thread."""
        request = LiveRequest("trade", count=count, source=source, may_subscribe=self.allowed)
        return self.decide(request, [Topic("trade", market)], note=False)

    async def trades(self, market: str, count: int, source: str) -> LiveResult:
        """Return the newest trades, or the choice of REST; :meth:`seed` adds those from before the stream."""
        topic = Topic("trade", market)
        request = LiveRequest("trade", count=count, source=source, may_subscribe=self.allowed)
        choice = await self._choose(request, [topic])
        if choice.channel != "live":
            return LiveResult(choice)
        latest = self._subscriptions[topic.key]
        if choice.rule == "forced" and not latest.holds(request, None):
            return LiveResult(choice)  # without a table: the caller has to seed it first
        table = to_table("trade", self._credible(topic, latest.trades(count + SPARE))[-count:])
        return LiveResult(choice, table.select(arrow_schema("trades").names), self._age_ms)

    def _credible(self, topic: Topic, rows: list[Row]) -> list[Row]:
        """Return the rows that are not stamped far ahead of the exchange's clock."""
        deduplicator = deduplicator_for(topic.type)
        clock = self._hub.exchange_time if self._hub is not None else None
        return [row for row in rows if not deduplicator.ahead(row, clock)]

    def seed(self, market: str, table: pa.Table, count: int) -> None:
        """Add the newest trades from REST, of which ``count`` were requested, before those of the stream."""
        latest = self._subscriptions.get(Topic("trade", market).key)
        if latest is not None:
            latest.seed(rows_from_rest("trade", market, table, 0), all_trades=len(table) < count)

    async def _choose(self, request: LiveRequest, topics: Sequence[Topic], since: datetime | None = None) -> Choice:
        choice = self.decide(request, topics, since=since)
        if choice.subscribe:
            self.subscribe(topics)
        if choice.channel == "live" and choice.rule == "forced":
            await self.ready(topics)
        return choice

    def _newest(self, choice: Choice, topics: Sequence[Topic], depth: int | None) -> LiveResult:
        """Return the newest rows, as the same object while they have not changed."""
        key = (*topics, depth)
        rows = [self._subscriptions[topic.key].row for topic in topics]
        cached = self._cached.get(key)
        if cached is None or any(new is not old for new, old in zip(rows, cached.rows, strict=True)):
            if len(self._cached) >= MOST_CACHED:
                self._cached.clear()
            cached = self._cached[key] = CachedRows(topics[0].type, rows, depth)
        return LiveResult(choice, age=self._age_ms, cached=cached)

    @property
    def _age_ms(self) -> float:
        """Milliseconds since the last frame or pong of the exchange."""
        return 1000 * (time.monotonic() - self._hub.last_received) if self._hub is not None else inf

    # --- subscriptions; on the background loop ----------------------------------------------------------

    def subscribe(self, topics: Sequence[Topic]) -> None:
        """Subscribe to topics that are not subscribed yet; return at once."""
        now = time.monotonic()
        added = []
        for topic in topics:
            if topic.key not in self._subscriptions:
                period = _pace(self._requested_at.get(topic.key, ()), now)[1]
                latest = LatestRows(
                    frozenset([topic]), ring=True, requested_at=now, idle_timeout=idle_timeout(period)
                )  # fmt: skip
                self._subscriptions[topic.key] = latest
                added.append(latest)
        if self._hub is None:
            self._hub = self._open_hub()
        if added:
            loop = asyncio.get_running_loop()
            self._subscribing = loop.create_task(self._subscribe(self._hub, added))
            if self._heartbeat is None or self._heartbeat.done():
                self._heartbeat = loop.create_task(self._supervise())

    async def _subscribe(self, hub: Hub, added: list[LatestRows]) -> None:
        """Subscribe; a failure is reported by the next choice, and REST serves meanwhile."""
        results = await asyncio.gather(*(hub.subscribe(latest) for latest in added), return_exceptions=True)
        for latest, error in zip(added, results, strict=True):
            if isinstance(error, UpbitFramesError):
                self._failure, self._paused_until = error.message, time.monotonic() + RETRY_PAUSE
                self._unsubscribe(latest)

    async def ready(self, topics: Sequence[Topic]) -> None:
        """Subscribe with ``source="live"`` and wait until the state of all topics has arrived.

        Raises
        ------
        ConnectionFailed
            If it does not arrive within a few seconds.
        """
        self.subscribe(topics)
        ends = time.monotonic() + FIRST_FRAME_TIMEOUT
        while time.monotonic() < ends:
            if any(topic.key not in self._subscriptions for topic in topics):
                break  # the connection could not be opened
            state = self._live_state(LiveRequest(topics[0].type), topics, None, time.monotonic())
            if state.state == "open" and state.primed and not state.backfilling:
                return
            await asyncio.sleep(0.005)
        reason = self._failure or f"no frame arrived within {FIRST_FRAME_TIMEOUT:g} s"
        raise ConnectionFailed(
            f"the stream does not answer: {reason}", suggestion="leave out source='live', then REST answers"
        )

    def _unsubscribe(self, latest: LatestRows) -> None:
        for topic in latest.topics:
            if self._subscriptions.get(topic.key) is latest:
                del self._subscriptions[topic.key]
        if self._hub is not None:
            self._hub.unsubscribe(latest)

    async def _supervise(self) -> None:
        """Ping a silent connection, replace a dead one, and end idle subscriptions."""
        while self._subscriptions:
            await asyncio.sleep(HEARTBEAT)
            now = time.monotonic()
            for latest in list(self._subscriptions.values()):
                if latest.closed or latest.has_lost_rows or now - latest.requested_at > latest.idle_timeout:
                    self._unsubscribe(latest)
            hub = self._hub
            if hub is None or hub.state != "open":
                continue
            if self._subscriptions and now - hub.last_received > SILENCE:
                with contextlib.suppress(UpbitFramesError):
                    if not await hub.alive(PONG_TIMEOUT):
                        await hub.abandon()


def _group(request: LiveRequest) -> str:
    """Return the rate-limit group of the REST endpoint that would serve a request."""
    return GROUPS[request.kind.partition(".")[0]]


def _pace(times: Iterable[float], now: float) -> tuple[int, float]:
    """Return how many recent requests there were, and the mean seconds between them."""
    recent = [at for at in list(times) if now - at <= REQUEST_TTL]
    if len(recent) < 2:
        return len(recent), inf
    return len(recent), (recent[-1] - recent[0]) / (len(recent) - 1)
