"""Seals the candles of a follow: fetches them over REST as soon as they are final.

The stream has no mark for a candle that is final, and does not promise that its last frame includes
the last trades (upbit-api 6.9). So sealed candles are fetched over REST once their period and a grace
are over by the exchange's clock, in the same way as ``uf.candles``, which stores them and knows a
period without a trade as such. A disconnect of the stream therefore costs no sealed candle.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from upbit_frames.core.availability import SEAL_GRACE, sealed_until
from upbit_frames.core.intervals import Span
from upbit_frames.core.route import Step
from upbit_frames.errors import UpbitFramesError
from upbit_frames.live.follow.backoff import MarketBackoff
from upbit_frames.live.follow.batches import FollowQuery
from upbit_frames.live.follow.series import FollowedSeries
from upbit_frames.router import derive
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Sealer"]

log = logging.getLogger("upbit_frames.live")

SECOND = 1_000_000
SLICE = 1.0  # seconds between two looks at the exchange's clock, which may jump
CONCURRENCY = 8  # markets that are requested at the same time
ROUND_TIMEOUT = 1.0  # seconds for which sealed candles wait for the other markets of the same round


class Sealer:
    """Fetches the sealed candles of all followed markets.

    Parameters
    ----------
    query : FollowQuery
    ports : Ports
    series : mapping of str to FollowedSeries
        By market; the sealed candles are appended to them.
    spawn : function
        Starts a task that ends with the follow, and whose error ends the follow.
    on_sealed : function ()
        Called when there may be candles for the reader.
    on_idle : function ()
        Called whenever nothing is due.

    Attributes
    ----------
    rows, requests, retries : int
        Sealed candles and requests since the history; candles that were requested again.
    slots : asyncio.Semaphore
        Limits concurrent requests.
    """

    def __init__(
        self,
        query: FollowQuery,
        ports: Ports,
        series: Mapping[str, FollowedSeries],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        on_sealed: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        self.rows = self.requests = self.retries = 0
        self.slots = asyncio.Semaphore(CONCURRENCY)
        self._query = query
        self._ports = ports
        self._series = series
        self._spawn = spawn
        self._on_sealed = on_sealed
        self._on_idle = on_idle
        self._stream_time = 0  # the latest credible time of a frame
        self._backoff = MarketBackoff()
        self._busy: set[str] = set()
        self._wake = asyncio.Event()

    def observe_stream_time(self, time: int) -> bool:
        """Take the time of a frame into account; return whether more candles are due now."""
        before = self._due()
        self._stream_time = max(self._stream_time, time)
        if self._due() == before:
            return False
        self._wake.set()
        return True

    def _due(self) -> int:
        """Return the time before which candles should be final by the exchange's clock.

        A frame proves that it is at least so late, except for the delay until a trade reaches its
        candle. Candles are stored as final only by the exchange's settled time and the date of the
        response that has them, regardless of this estimate.
        """
        return sealed_until(self._query.grid, max(self._ports.server_time.now(), self._stream_time - SECOND))

    async def run(self) -> None:
        """Seal candles until cancelled."""
        batch = self._query.batch(self._ports.rate)
        while True:
            due, now = self._due(), asyncio.get_running_loop().time()
            for series in self._series.values():
                ready = due - series.sealed_until >= batch and self._backoff.retry_at(series.market) <= now
                if ready and series.market not in self._busy:
                    self._busy.add(series.market)
                    self._spawn(self._seal(series, due))
            if all(due - series.sealed_until < batch for series in self._series.values()):
                self._on_idle()
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_until_due(batch)):
                    await self._wake.wait()

    def _seconds_until_due(self, batch: int) -> float:
        """Return the seconds until the next candle is due, a slice at most."""
        now, time = self._ports.server_time.now(), asyncio.get_running_loop().time()
        waits = [
            max((self._due_at(series, batch) + SEAL_GRACE - now) / SECOND, self._backoff.retry_at(series.market) - time)
            for series in self._series.values()
            if series.market not in self._busy
        ]
        return min(SLICE, max(0.005, min(waits, default=SLICE)))

    def _due_at(self, series: FollowedSeries, batch: int) -> int:
        """Return when the next candles of a market are due, without their grace."""
        return max(series.sealed_until + batch, self._query.grid.shift(series.sealed_until, 1))

    async def _seal(self, series: FollowedSeries, due: int) -> None:
        error: UpbitFramesError | None = None
        try:
            async with self.slots:
                table, until, steps = await self._fetch(series, due)
            if until < due:
                self._forget_stream_time()
            if until > series.sealed_until:
                series.seal(table, until, steps)
                self.rows += len(table)
                self._backoff.succeeded(series.market)
                return
        except UpbitFramesError as failure:
            error = failure
        finally:
            self._busy.discard(series.market)
            self._wake.set()
            if self._busy:
                asyncio.get_running_loop().call_later(ROUND_TIMEOUT, self._on_sealed)
            else:
                self._on_sealed()
        self._backoff.failed(series.market, error, asyncio.get_running_loop().time())
        self.retries += 1
        log.warning(
            "candles of %s could not be sealed yet: %s", series.market, error.message if error else "not final so far"
        )

    def _forget_stream_time(self) -> None:
        """Ignore the times of past frames, so that a frame stamped ahead does not cause repeated requests."""
        self._stream_time = 0
        for series in self._series.values():
            series.stream_time = 0

    async def _fetch(self, series: FollowedSeries, due: int) -> tuple[pa.Table, int, list[Step]]:
        """Return the sealed candles up to ``due``, the end of the range that is final, and the route."""
        history = self.history(series.market)
        try:
            table, span, steps = await self._read(history, Span(series.sealed_until, due))
        finally:
            self.requests += history.progress.requests
        return table, span.end, steps

    async def read(self, market: str, span: Span) -> tuple[pa.Table, Span, list[Step]]:
        """Return the sealed candles of a range on the grid, the range that is final, and the route."""
        return await self._read(self.history(market), span)

    async def _read(self, history: CandleHistory, span: Span) -> tuple[pa.Table, Span, list[Step]]:
        table, span = await history.read_range(span)
        if self._query.bars is None:
            return table, span, history.route(span, table)
        query = self._query.candle_query(span.end)
        bars, complete = derive.aggregate(query, table, span, history.fetcher.unavailable)
        return bars, complete, derive.derived_steps(query, history.route(complete, table), bars)

    def history(self, market: str) -> CandleHistory:
        """Return the access to the streamed candles of a market, in the store and over REST."""
        return CandleHistory(self._ports, market, self._query.interval, "auto", Progress(), 1)
