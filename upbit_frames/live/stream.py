"""The public stream: iterated over, or collected into a frame.

It runs in the caller's thread or on the caller's loop and does all its work on the background loop,
so that it can be used in a script, a notebook cell, a thread, or a coroutine of any loop.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upbit_frames.core.query import View
from upbit_frames.core.stream_query import StreamQuery
from upbit_frames.errors import UsageError
from upbit_frames.exchange.wire.message_tables import BACKFILLED
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.collection import Collection
from upbit_frames.live.hub.hub import Hub
from upbit_frames.live.hub.subscriber import Subscriber
from upbit_frames.live.stream_frames import attrs, checked, collected, framed, gaps_frame, stats, summary
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.caller import warn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OpenHub", "Stream", "release_abandoned"]

OpenHub = Callable[[], Awaitable[tuple[Hub, tuple[str, ...]]]]
"""Opens the hub of a subscription on the background loop, and returns with it the codes of the markets, which exist."""


class Stream:
    """Live rows, batch by batch; an iterator and a context manager, with and without ``async``.

    Returned by ``uf.stream``, ``aio.stream`` and the clients. Iterating opens it; it is closed by
    ``close``, at the end of a ``with`` block, or when it is garbage-collected.

    Parameters
    ----------
    query : StreamQuery
    view : View
        Output format and time zone.
    open_hub : OpenHub

    Examples
    --------
    >>> import upbit_frames as uf
    >>> for batch in uf.stream(["KRW-BTC"], "trade"):  # doctest: +SKIP
    ...     print(batch)
    >>> async with uf.aio.stream(["KRW-BTC"], "trade") as stream:  # doctest: +SKIP
    ...     async for batch in stream:
    ...         print(batch)
    """

    def __init__(self, query: StreamQuery, view: View, open_hub: OpenHub) -> None:
        self.query = query
        self._view = view
        self._open_hub = open_hub
        self._hub: Hub | None = None
        self._subscriber = Subscriber(frozenset(), query.buffer)
        self._used = False

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Subscribe; return when the connection is open.

        Raises
        ------
        MarketNotFound
            The exchange itself silently ignores an unknown market.
        UpbitFramesError
            If no connection can be opened.
        """
        await event_loop.run_async(self._open)
        return self

    async def _open(self) -> None:
        if self._used:
            raise UsageError("this stream was opened before", suggestion="open a new one")
        self._used = True
        hub, codes = await self._open_hub()
        self.query = self.query.resolved(codes)
        self._subscriber.topics = self.query.topics
        await hub.subscribe(self._subscriber)
        self._hub = hub
        weakref.finalize(self, release_abandoned, hub, self._subscriber, os.getpid())

    async def aclose(self) -> None:
        """Unsubscribe; may be called twice."""
        await event_loop.run_async(self._close)

    def close(self) -> None:
        """As :meth:`aclose`, without ``await``."""
        event_loop.run(self._close)

    async def _close(self) -> None:
        if self._hub is not None:
            self._hub.unsubscribe(self._subscriber)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        event_loop.run(self._open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- rows -------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._hub is None and not self._used:
            await self.open()
        rows = await self.rows()
        if not rows:
            raise StopAsyncIteration
        return self._frame(rows)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._hub is None and not self._used:
            event_loop.run(self._open)
        rows = self._checked(event_loop.run(self._open_subscriber().take))
        if not rows:
            raise StopIteration
        return self._frame(rows)

    async def rows(self, limit: int | None = None) -> list[Row]:
        """Return all rows received since the last call as plain structs, waiting for the first.

        Parameters
        ----------
        limit : int, optional
            Return at most so many.

        Returns
        -------
        list
            Empty when the stream has ended.

        Raises
        ------
        UpbitFramesError
            After the last row, if the stream ended with an error.
        """
        return self._checked(await event_loop.run_async(self._open_subscriber().take, limit))

    def _open_subscriber(self) -> Subscriber:
        if self._hub is None:
            raise UsageError("this stream is not open", suggestion="use it inside 'with' or 'async with'")
        return self._subscriber

    def _checked(self, rows: list[Row]) -> list[Row]:
        if not rows and self._subscriber.error is not None:
            raise self._subscriber.error
        return rows

    async def collect(self, *, seconds: float | None = None, count: int | None = None) -> Any:
        """Return the rows of some seconds, or a number of rows, as one frame; the first limit reached ends it.

        Parameters
        ----------
        seconds : float, optional
        count : int, optional
            Number of rows; an order book counts as one, and so do the updates of one candle.

        Returns
        -------
        pandas.DataFrame, pyarrow.Table or polars.DataFrame
            Trades and candles in order of time, each once; of a candle its latest state. Tickers
            and order books in order of arrival.

        Raises
        ------
        QueryError
            If neither is given.

        Warns
        -----
        UpbitFramesWarning
            If rows are missing that could not be fetched, or the stream ended early.
        """
        self._open_subscriber()
        collection = Collection(self._subscriber, self.query.type, *checked(seconds, count))
        await event_loop.run_async(self._collect, collection)
        return self._collected(collection)

    def collected(
        self, seconds: float | None, count: int | None, tick: Callable[[int], None] | None = None
    ) -> tuple[Any, int]:
        """Open, :meth:`collect` and close, without ``await``; return the frame and its number of backfilled rows.

        Ctrl-C ends it early: the rows received until then are returned, with a warning.

        Parameters
        ----------
        seconds, count : float, int, optional
        tick : function (int), optional
            Called about ten times a second, and at the end, with the number of rows, in the caller's thread.
        """
        collection = Collection(self._subscriber, self.query.type, *checked(seconds, count))

        async def work() -> None:
            async with self:
                await self._collect(collection)

        try:
            event_loop.run(work, tick=None if tick is None else lambda: tick(len(collection.rows)))
        except KeyboardInterrupt:
            if self._hub is None:  # the stream is not open yet
                raise
            collection.interrupt()
        if tick is not None:  # on a busy machine this thread may not have run before
            tick(len(collection.rows))
        return self._collected(collection), sum(row.stream_type == BACKFILLED for row in collection.rows)

    async def _collect(self, collection: Collection) -> None:
        assert self._hub is not None
        await collection.run(self._hub)

    def _collected(self, collection: Collection) -> Any:
        """Return the frame of a collection, after its warnings."""
        for text in collection.warnings:
            warn(text)
        return framed(self.query, self._view, collection.sorted(), self._attrs() | collection.attrs)

    def _frame(self, rows: Sequence[Row]) -> Any:
        return framed(self.query, self._view, collected(self.query.type, rows, ordered=False), self._attrs())

    # --- what happened ----------------------------------------------------------------------------

    @property
    def gaps(self) -> pd.DataFrame:
        """Every gap of the stream, one row for each disconnect and market.

        Columns: market, kind, since and until (time of the last row before and the first after),
        broken_at and restored_at (by this machine's clock), reason, rows (fetched over REST that
        the stream had missed), outcome.
        """
        return gaps_frame(self._subscriber.gaps, self._view.tz)

    @property
    def stats(self) -> dict[str, Any]:
        """Counts so far: rows received, dropped because the buffer was full, waiting; breaks; state."""
        return stats(self._subscriber, self._hub)

    def _attrs(self) -> dict[str, Any]:
        return attrs(self.query, self._subscriber, self._hub)

    def __repr__(self) -> str:
        return f"<Stream {summary(self.query, self._subscriber, self._hub)}>"


def release_abandoned(hub: Hub, subscriber: Subscriber, pid: int) -> None:
    """Unsubscribe an abandoned stream without waiting; from any thread, also while the interpreter ends."""

    async def unsubscribe() -> None:
        hub.unsubscribe(subscriber)

    if subscriber.closed or os.getpid() != pid:
        return
    event_loop.start(unsubscribe)
