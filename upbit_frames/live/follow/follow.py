"""Candles that continue, as users hold them: iterated over, or looked at as one frame at any time."""

from __future__ import annotations

import os
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upbit_frames.core.intervals import iso
from upbit_frames.core.query import View
from upbit_frames.errors import UpbitFramesError, UsageError
from upbit_frames.live.follow.batches import Asked, Batch, meta_of, table_of
from upbit_frames.live.follow.session import Following
from upbit_frames.live.stream_frames import gaps_frame
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.caller import warn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Follow"]


class Follow:
    """Candles that continue: history, then each sealed one once; the forming one at any time.

    Made by ``uf.follow`` (open already), ``aio.follow`` and the clients. It goes on in the
    background until :meth:`close`, the end of its ``with`` block, or the interpreter's, or until
    nobody holds it any more. For one reader: a second one makes a follow of its own, which shares
    connection and store.

    Parameters
    ----------
    asked : Asked
    view : View
        Kind of frame and time zone.
    core : Following
        What works for it on the background loop.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.follow("KRW-BTC", "1m", history=500) as f:  # doctest: +SKIP
    ...     for batch in f:
    ...         print(batch.tail(1))
    >>> f = uf.follow("KRW-BTC", "1m")  # doctest: +SKIP
    >>> f.to_frame(forming=True).tail(3); f.close()  # doctest: +SKIP
    """

    def __init__(self, asked: Asked, view: View, core: Following) -> None:
        self.asked = asked
        self._view = view
        self._core = core
        self._used = False

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Return when the history is there.

        Raises
        ------
        MarketNotFound
        UpbitFramesError
            If the history cannot be had.
        """
        await event_loop.run_async(self._open)
        return self.opened()

    async def _open(self) -> None:
        if self._used:
            raise UsageError("this follow was opened before", suggestion="make a new one")
        self._used = True
        weakref.finalize(self, _let_go, self._core, os.getpid()).atexit = False  # the loop ends everything then
        await self._core.open()

    def opened(self) -> Self:
        """Issue the warnings about the history, in the caller's thread."""
        for text in self._core.warnings:
            warn(text)
        return self

    async def aclose(self) -> None:
        """End; what is in memory stays. May be called twice."""
        await event_loop.run_async(self._core.aclose)

    def close(self) -> None:
        """As :meth:`aclose`, without ``await``, and from any thread: a waiting reader ends."""
        event_loop.run(self._core.aclose)

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
        batch = event_loop.run(self._taking().take)
        if batch is None:
            raise StopIteration
        return self._handed(batch)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        batch = await event_loop.run_async(self._taking().take)
        if batch is None:
            raise StopAsyncIteration
        return self._handed(batch)

    def _taking(self) -> Following:
        if not self._used:
            raise UsageError("this follow is not open", suggestion="use it inside 'with' or 'async with'")
        return self._core

    def _handed(self, batch: Batch) -> Any:
        frame = self._frame(batch, self.asked.forming)
        self._core.had(batch)
        return frame

    def to_frame(self, forming: bool | None = None) -> Any:
        """History and everything sealed since, the newest ``keep`` of each market.

        Parameters
        ----------
        forming : bool, optional
            Also the candles that can still change: the running one, and for 5 s the one before
            (of second candles, those of the last ten seconds or so). Default: as ``uf.follow`` was
            told.

        Returns
        -------
        pandas.DataFrame, pyarrow.Table or polars.DataFrame
            As of ``uf.candles``; with ``forming`` there or here, a boolean column ``sealed`` too.
        """
        wanted = self.asked.forming if forming is None else bool(forming)
        core = self._taking()

        async def look() -> Batch:
            return core.whole(forming=wanted)

        batch = core.whole(forming=wanted) if core.over else event_loop.run(look)
        return self._frame(batch, wanted or self.asked.forming)

    def _frame(self, batch: Batch, told: bool) -> Any:
        from upbit_frames.frames import output as frames

        asked, view = self.asked, self._view
        index = ["market", "time"] if asked.many else ["time"]
        table = table_of(batch.parts, asked.many, told)
        meta = batch.meta or meta_of(batch, asked, self._core.ports.server_time.now())
        return frames.to_output(table, "candles", view.output, tz=view.tz, index=index, attrs=meta)

    # --- what happened ----------------------------------------------------------------------------

    @property
    def gaps(self) -> pd.DataFrame:
        """Every break of the connection, one row a market; see ``Stream.gaps``.

        They concern the forming candle only: sealed ones come over REST and have none.
        """
        return gaps_frame(self._core.gaps, self._view.tz)

    @property
    def stats(self) -> dict[str, Any]:
        """Counts so far, as JSON scalars.

        ``state`` of the stream (open, connecting, waiting, closed …) and ``live``, whether forming
        candles are told now; while not, sealed ones go on coming over REST. ``received`` rows of
        the stream, ``forming`` candles known now, ``sealed`` candles and ``requests`` since
        history, ``retries``, ``breaks``; ``sealed_until``, before which every candle of every
        market is there; ``error`` of the stream or of all, or None.
        """
        core = self._core
        error = core.error or core.live_error
        tracks = list(core.tracks.values())
        return {
            "state": core.state,
            "live": core.state == "open",
            "received": core.received,
            "forming": sum(track.forming for track in tracks),
            "sealed": core.sealed,
            "sealed_until": iso(min(track.sealed for track in tracks)),
            "requests": core.requests,
            "retries": core.retries,
            "breaks": core.gaps.breaks,
            "error": None if error is None else error.message,
        }

    @property
    def error(self) -> UpbitFramesError | None:
        """Why it ended by itself; None while it goes on."""
        return self._core.error

    @property
    def closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._core.over

    def __repr__(self) -> str:
        asked, told = self.asked, self.stats
        shown = ", ".join(asked.markets[:3]) + (f" and {len(asked.markets) - 3} more" if len(asked.markets) > 3 else "")
        if not self._used:
            return f"<Follow {asked.grid} of {shown}: not open>"
        state = f"ended: {self.error.message}" if self.error else told["state"]
        return (
            f"<Follow {asked.grid} of {shown}: {state}, sealed until {told['sealed_until']}, "
            f"{told['sealed']} since the history of {asked.history}, {told['forming']} forming, "
            f"{told['breaks']} breaks>"
        )


def _let_go(core: Following, pid: int) -> None:
    """Whoever held it is gone: end it without waiting, from any thread."""
    if core.over or os.getpid() != pid:
        return
    event_loop.start(core.aclose)
