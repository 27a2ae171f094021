"""The public follow: candles that continue, iterated over, or read as one frame at any time."""

from __future__ import annotations

import os
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upbit_frames.core.intervals import iso
from upbit_frames.core.query import View
from upbit_frames.core.text import counted, moment_text
from upbit_frames.errors import UpbitFramesError, UsageError
from upbit_frames.live.follow.batches import Batch, FollowQuery, metadata_of, table_of
from upbit_frames.live.follow.session import FollowSession
from upbit_frames.live.stream_frames import gaps_frame
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.caller import warn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Follow"]


class Follow:
    """Candles that continue: history, then each sealed candle once; the forming one at any time.

    Returned by ``uf.follow`` (already open), ``aio.follow`` and the clients. It goes on in the
    background until :meth:`close`, the end of its ``with`` block or of the interpreter, or until it
    is garbage-collected. It has one reader; a second reader opens a follow of its own, which shares
    connection and store.

    Parameters
    ----------
    view : View
        Output format and time zone.
    session : FollowSession
        Its part on the background loop.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.follow("KRW-BTC", "1m", history=500) as f:  # doctest: +SKIP
    ...     for batch in f:
    ...         print(batch.tail(1))
    >>> f = uf.follow("KRW-BTC", "1m")  # doctest: +SKIP
    >>> f.to_frame(forming=True).tail(3); f.close()  # doctest: +SKIP
    """

    def __init__(self, view: View, session: FollowSession) -> None:
        self._view = view
        self._session = session
        self._used = False

    @property
    def query(self) -> FollowQuery:
        """What is followed; the codes of its markets are known once it is open."""
        return self._session.query

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Fetch the history and begin to follow.

        Raises
        ------
        MarketNotFound
        UpbitFramesError
            If the history cannot be fetched.
        """
        await event_loop.run_async(self._open)
        return self.opened()

    async def _open(self) -> None:
        if self._used:
            raise UsageError("this follow was opened before", suggestion="open a new one")
        self._used = True
        weakref.finalize(
            self, _release_abandoned, self._session, os.getpid()
        ).atexit = False  # at exit the loop ends every follow
        await self._session.open()

    def opened(self) -> Self:
        """Issue the warnings about the history, in the caller's thread."""
        for text in self._session.warnings:
            warn(text)
        return self

    async def aclose(self) -> None:
        """End the follow; candles in memory stay. May be called twice."""
        await event_loop.run_async(self._session.aclose)

    def close(self) -> None:
        """As :meth:`aclose`, without ``await`` and from any thread; a waiting reader ends."""
        event_loop.run(self._session.aclose)

    async def __aenter__(self) -> Self:
        if not self._used:
            await event_loop.run_async(self._open)
            self.opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        if not self._used:
            event_loop.run(self._open)
            self.opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- candles ----------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        batch = event_loop.run(self._opened_session().take)
        if batch is None:
            raise StopIteration
        return self._deliver(batch)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        batch = await event_loop.run_async(self._opened_session().take)
        if batch is None:
            raise StopAsyncIteration
        return self._deliver(batch)

    def _opened_session(self) -> FollowSession:
        if not self._used or not self._session.series:
            raise UsageError("this follow is not open", suggestion="use it inside 'with' or 'async with'")
        return self._session

    def _deliver(self, batch: Batch) -> Any:
        frame = self._frame(batch, self.query.forming)
        self._session.reader.mark_read(batch)
        return frame

    def to_frame(self, forming: bool | None = None) -> Any:
        """Return the history and all candles sealed since, the newest ``keep`` of each market.

        Parameters
        ----------
        forming : bool, optional
            Include the candles that can still change: the running one, and for 5 s the one before
            (of second candles, those of about the last ten seconds). Default: the argument
            ``forming`` of ``uf.follow``.

        Returns
        -------
        pandas.DataFrame, pyarrow.Table or polars.DataFrame
            As of ``uf.candles``; with ``forming`` there or here, a boolean column ``sealed`` too.
        """
        include = self.query.forming if forming is None else bool(forming)
        session = self._opened_session()

        async def read() -> Batch:
            return session.reader.everything(forming=include)

        batch = session.reader.everything(forming=include) if session.closed else event_loop.run(read)
        return self._frame(batch, include or self.query.forming)

    def _frame(self, batch: Batch, flag_sealed: bool) -> Any:
        from upbit_frames.frames import output as frames

        query, view = self.query, self._view
        index = ["market", "time"] if query.many else ["time"]
        table = table_of(batch.parts, query.many, flag_sealed)
        meta = batch.meta or metadata_of(batch, query, self._session.ports.server_time.now())
        return frames.to_output(table, "candles", view.output, tz=view.tz, index=index, attrs=meta)

    # --- what happened ----------------------------------------------------------------------------

    @property
    def gaps(self) -> pd.DataFrame:
        """Every gap of the stream, one row for each disconnect and market; see ``Stream.gaps``.

        Gaps concern the forming candle only: sealed candles come over REST and have none.
        """
        return gaps_frame(self._session.gaps, self._view.tz)

    @property
    def stats(self) -> dict[str, Any]:
        """Counts so far, as JSON scalars.

        ``state`` of the stream (open, connecting, waiting, closed …) and ``live``, whether the
        stream updates forming candles now; while it does not, sealed candles go on coming over
        REST. ``received`` rows of the stream, ``forming`` candles now, ``sealed`` candles and
        ``requests`` since the history, ``retries``, ``breaks``; ``sealed_until``, before which every
        candle of every market is included; ``error`` of the follow or of the stream, or None.
        """
        session, sealer = self._session, self._session.sealer
        error = session.error or session.stream_error
        series = list(session.series.values())
        return {
            "state": session.state,
            "live": session.state == "open",
            "received": session.received,
            "forming": sum(each.forming_count for each in series),
            "sealed": sealer.rows,
            "sealed_until": iso(min((each.sealed_until for each in series), default=0)),
            "requests": sealer.requests,
            "retries": sealer.retries,
            "breaks": session.gaps.disconnects,
            "error": None if error is None else error.message,
        }

    @property
    def error(self) -> UpbitFramesError | None:
        """The error that ended the follow, or None."""
        return self._session.error

    @property
    def closed(self) -> bool:
        """Whether the follow has ended."""
        return self._session.closed

    def __repr__(self) -> str:
        query, stats = self.query, self.stats
        markets = query.selection.title
        if not self._used:
            return f"<Follow {query.grid} of {markets}: not open>"
        state = f"ended: {self.error.message}" if self.error else stats["state"]
        return (
            f"<Follow {query.grid} of {markets}: {state}, "
            f"sealed until {moment_text(stats['sealed_until'], self._view.tz)}, "
            f"{stats['sealed']} since the history of {query.history}, {stats['forming']} forming, "
            f"{counted(stats['breaks'], 'break')}>"
        )


def _release_abandoned(session: FollowSession, pid: int) -> None:
    """End an abandoned follow without waiting, from any thread."""
    if session.closed or os.getpid() != pid:
        return
    event_loop.start(session.aclose)
