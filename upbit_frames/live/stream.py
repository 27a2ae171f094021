"""Streams as users hold them: iterated over, collected into a frame, or filled in the background.

What is here runs in the user's thread or on the user's loop and hands everything over to the
background loop; it may be used from a script, a notebook cell, a thread, or a coroutine anywhere.
"""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upbit_frames import _bridge
from upbit_frames.errors import QueryError, UpbitFramesError, UsageError
from upbit_frames.intervals import from_micros
from upbit_frames.live.feed import BUFFER, Hub, Listener
from upbit_frames.live.repair import Gap
from upbit_frames.normalize_ws import Row
from upbit_frames.query import View, parse_markets
from upbit_frames.stream_tables import to_table
from upbit_frames.subscriptions import Topic, interval_of, parse_kind, table_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Feed", "Stream", "StreamQuery", "collect", "collected"]

INDEX = ["time"]


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
        Most rows that may wait for whoever reads.
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
        if isinstance(depth, bool) or not isinstance(depth, int) or not 1 <= depth <= 30:
            raise QueryError(f"depth={depth!r} is not possible", suggestion="give a whole number from 1 to 30")
        if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1:
            raise QueryError(f"buffer={buffer!r} is not possible", suggestion="give how many rows to keep, at least 1")
        if type_ != "orderbook":
            if level is not None or depth != 30:
                raise QueryError(f"depth and level belong to order books, not to {type_}")
            return cls(type_, codes, buffer=buffer)
        try:
            grouping = float(level or 0)
        except (TypeError, ValueError):
            grouping = -1.0
        if not 0 <= grouping <= 1e9:
            raise QueryError(f"level={level!r} is not a price grouping", suggestion="give a number such as 10000")
        return cls(type_, codes, depth, grouping, buffer)

    @property
    def topics(self) -> frozenset[Topic]:
        """What to subscribe to."""
        return frozenset(Topic(self.type, market, self.level, self.depth) for market in self.markets)


class Stream:
    """Live rows, batch by batch; an asynchronous context manager and iterator.

    Made by ``upbit_frames.aio.stream`` and ``AsyncClient.stream``.

    Parameters
    ----------
    query : StreamQuery
    view : View
        Kind of frame and time zone.
    open_hub : coroutine function () -> Hub
        Runs on the background loop; also checks that the markets exist.

    Examples
    --------
    >>> from upbit_frames import aio
    >>> async with aio.stream(["KRW-BTC"], "trade") as stream:  # doctest: +SKIP
    ...     async for batch in stream:
    ...         print(batch)
    """

    def __init__(self, query: StreamQuery, view: View, open_hub: Callable[[], Awaitable[Hub]]) -> None:
        self.query = query
        self._view = view
        self._open_hub = open_hub
        self._hub: Hub | None = None
        self._listener = Listener(query.topics, query.buffer)
        self._used = False

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Subscribe; returns when the connection is open.

        Raises
        ------
        MarketNotFound
            The exchange would ignore an unknown market without a word.
        UpbitFramesError
            If no connection can be opened.
        """
        if self._used:
            raise UsageError("this stream was opened before", suggestion="make a new one")
        self._used = True
        await _bridge.run_async(self._open)
        return self

    async def _open(self) -> None:
        hub = await self._open_hub()
        await hub.join(self._listener)
        self._hub = hub

    async def aclose(self) -> None:
        """Listen no more; may be called twice."""
        await _bridge.run_async(self._close)

    async def _close(self) -> None:
        if self._hub is not None:
            self._hub.leave(self._listener)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- rows -------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        rows = await self.rows()
        if not rows:
            raise StopAsyncIteration
        return self._frame(rows)

    async def rows(self, most: int | None = None) -> list[Row]:
        """Every row that has come since the last call, as plain structs; waits for the first.

        Empty when the stream is over.

        Raises
        ------
        UpbitFramesError
            If the stream ended because of it, once what came before was taken.
        """
        if self._hub is None:
            raise UsageError("this stream is not open", suggestion="use it inside 'async with'")
        rows = await _bridge.run_async(self._listener.take, most)
        if not rows and self._listener.error is not None:
            raise self._listener.error
        return rows

    async def collect(self, *, seconds: float | None = None, count: int | None = None) -> Any:
        """Rows as one frame: of so many seconds, or so many of them, whichever comes first.

        Parameters
        ----------
        seconds : float, optional
        count : int, optional
            Rows; order books are counted whole. Updates of one candle count as one.

        Returns
        -------
        pandas.DataFrame, pyarrow.Table or polars.DataFrame
            Trades and candles in order of time, each once; of a candle its latest state. Tickers
            and order books in order of arrival.

        Raises
        ------
        QueryError
            If neither is given.
        """
        length, number = checked(seconds, count)
        rows = await _bridge.run_async(collect, self._listener, self.query.type, length, number)
        return self._frame(rows)

    def _frame(self, rows: Sequence[Row]) -> Any:
        return framed(self.query, self._view, collected(self.query.type, rows, ordered=False), self._attrs())

    # --- what happened ----------------------------------------------------------------------------

    @property
    def gaps(self) -> pd.DataFrame:
        """Every break of the connection, one row a market.

        Columns: market, kind, since and until (time of the last row before and the first after),
        broken_at and restored_at (by this machine's clock), reason, rows (fetched over REST that
        the stream had missed), outcome.
        """
        return gaps_frame(self._listener.gaps, self._view.tz)

    @property
    def stats(self) -> dict[str, Any]:
        """Counts so far: rows received, dropped for want of a reader, waiting; breaks; state."""
        return stats(self._listener, self._hub)

    def _attrs(self) -> dict[str, Any]:
        return {"kind": self.query.type, "market": list(self.query.markets), **self.stats}


class Feed:
    """Live rows in the background, in a buffer that keeps the newest so many.

    Made by ``uf.stream(..., background=True)``. Ends on :meth:`close`, at the end of a ``with``
    block, when nobody holds it any more, or with the interpreter.

    Parameters
    ----------
    stream : Stream
        Not opened yet.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._listener = stream._listener
        self._listener.ring = True
        _bridge.run(stream._open)
        self._end = weakref.finalize(self, _end, stream._hub, stream._listener)

    def to_frame(self, last: int | None = None) -> Any:
        """What is in the buffer now.

        Parameters
        ----------
        last : int, optional
            Only the newest so many rows (order books are counted whole).

        Returns
        -------
        pandas.DataFrame, pyarrow.Table or polars.DataFrame
            Columns and order as of :meth:`Stream.collect`.
        """
        rows = self._rows()
        query = self._stream.query
        table = collected(query.type, rows, ordered=True)
        return framed(query, self._stream._view, table[-last:] if last else table, self._stream._attrs())

    def _rows(self) -> list[Row]:
        async def copy() -> list[Row]:
            return list(self._listener.rows)

        return list(self._listener.rows) if self._listener.over else _bridge.run(copy)

    def latest(self) -> Any:
        """The newest row of each market."""
        newest = {row.code: row for row in self._rows()}
        query = self._stream.query
        return framed(query, self._stream._view, list(newest.values()), self._stream._attrs())

    @property
    def gaps(self) -> pd.DataFrame:
        """Every break of the connection; see :attr:`Stream.gaps`."""
        return self._stream.gaps

    @property
    def stats(self) -> dict[str, Any]:
        """Counts so far; see :attr:`Stream.stats`."""
        return self._stream.stats

    @property
    def error(self) -> UpbitFramesError | None:
        """Why it ended by itself; None while it goes on."""
        return self._listener.error

    @property
    def closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._listener.over

    def close(self) -> None:
        """Listen no more; what is in the buffer stays. May be called twice."""
        self._end()

    def __len__(self) -> int:
        return len(self._listener.rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        query, told = self._stream.query, self.stats
        shown = ", ".join(query.markets[:3])
        if len(query.markets) > 3:
            shown += f" and {len(query.markets) - 3} more"
        state = f"ended: {self.error.message}" if self.error else "closed" if self.closed else told["state"]
        rows = f"{told['waiting']} of {told['received']} rows"
        return f"<Feed {query.type} of {shown}: {state}, {rows}, {told['breaks']} breaks>"


def _end(hub: Hub | None, listener: Listener) -> None:
    """End a feed from any thread, also while the interpreter ends."""

    async def leave() -> None:
        if hub is not None:
            hub.leave(listener)

    if listener.over:
        return
    try:
        _bridge.start(leave).result(timeout=2.0)
    except UsageError:  # collected on the loop's own thread
        if hub is not None:
            hub.leave(listener)


# --- shared ---------------------------------------------------------------------------------------------


def checked(seconds: float | None, count: int | None) -> tuple[float, float]:
    """How long and how many, infinity where it was not said."""
    if seconds is None and count is None:
        raise QueryError(
            "neither seconds nor count was given",
            suggestion="say how long to listen (seconds=10), or for how many rows (count=100)",
        )
    try:
        length = math.inf if seconds is None else float(seconds)
        number = math.inf if count is None else count.__index__()
    except (AttributeError, TypeError, ValueError):
        length = number = 0
    if not length > 0 or not number > 0:
        raise QueryError(f"seconds={seconds!r}, count={count!r} is not possible", suggestion="give numbers above 0")
    return length, number


async def collect(listener: Listener, type_: str, seconds: float, count: float) -> list[Row]:
    """Take rows until it is enough; each candle is counted once."""
    rows: list[Row] = []
    distinct: set[Any] = set()
    try:
        async with asyncio.timeout(None if math.isinf(seconds) else seconds):
            while (len(distinct) if interval_of(type_) else len(rows)) < count:
                most = None if math.isinf(count) or interval_of(type_) else int(count) - len(rows)
                taken = await listener.take(most)
                if not taken:
                    break
                rows += taken
                if interval_of(type_):
                    distinct.update((row.code, row.candle_date_time_utc) for row in taken)
    except TimeoutError:
        pass
    if listener.error is not None:
        raise listener.error
    return collected(type_, rows, ordered=True)


def collected(type_: str, rows: Sequence[Row], *, ordered: bool) -> list[Row]:
    """Of a candle the last state only; trades and candles in order of time, if ``ordered``."""
    kept = list(rows)
    if interval_of(type_):
        kept = list({(row.code, row.candle_date_time_utc): row for row in kept}.values())
        if ordered:
            kept.sort(key=lambda row: row.candle_date_time_utc)
    elif type_ == "trade" and ordered:
        kept.sort(key=lambda row: (row.trade_timestamp, row.sequential_id))
    return kept


def framed(query: StreamQuery, view: View, rows: Sequence[Row], attrs: dict[str, Any]) -> Any:
    """Rows as the kind of frame the user wants; ``time`` is the index in pandas."""
    from upbit_frames import frames

    table = to_table(query.type, rows, depth=query.depth)
    return frames.to_output(table, table_of(query.type), view.output, tz=view.tz, index=INDEX, attrs=attrs)


def stats(listener: Listener, hub: Hub | None) -> dict[str, Any]:
    """What a stream can tell about itself, as JSON scalars."""
    return {
        "received": listener.received,
        "dropped": listener.dropped,
        "waiting": len(listener.rows),
        "breaks": len({gap.broken_at for gap in listener.gaps}),
        "state": "closed" if listener.over else "new" if hub is None else hub.state,
    }


def gaps_frame(gaps: Sequence[Gap], tz: str) -> pd.DataFrame:
    """Breaks as a frame."""
    import pandas as pd

    def moments(values: list[int | None]) -> pd.DatetimeIndex:
        found: Any = [None if not one else from_micros(one) for one in values]
        return pd.DatetimeIndex(pd.to_datetime(found, utc=True)).as_unit("us").tz_convert(tz)

    return pd.DataFrame(
        {
            "market": pd.Series([one.market for one in gaps], dtype=object).astype(str),
            "kind": pd.Series([one.type for one in gaps], dtype=object).astype(str),
            "since": moments([one.since for one in gaps]),
            "until": moments([one.until for one in gaps]),
            "broken_at": moments([one.broken_at for one in gaps]),
            "restored_at": moments([one.restored_at for one in gaps]),
            "reason": pd.Series([one.reason for one in gaps], dtype=object).astype(str),
            "rows": pd.Series([one.rows for one in gaps], dtype="int64"),
            "outcome": pd.Series([one.outcome for one in gaps], dtype=object).astype(str),
        }
    )
