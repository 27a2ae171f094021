"""The public recorder: a recording in the background, its counts, and its report."""

from __future__ import annotations

import os
import weakref
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upbit_frames.core.intervals import iso
from upbit_frames.core.text import counted
from upbit_frames.datasets.collect.record.session import RecordSession
from upbit_frames.errors import UpbitFramesError, UsageError
from upbit_frames.live.stream_frames import gaps_frame
from upbit_frames.runtime import event_loop

if TYPE_CHECKING:
    import pandas as pd

    from upbit_frames.datasets.collect.report import Report

__all__ = ["Recorder"]

COLUMNS = {
    "kind": "str", "market": "str", "interval": "object", "rows": "int64", "pending": "int64", "write_errors": "int64",
    "covered_until": "time", "error": "str",
}  # fmt: skip
NOUNS = {"trades": "trade", "orderbook": "order book", "candles": "candle"}


class Recorder:
    """A recording of streams into the store.

    Returned by ``uf.record(..., background=True)`` (running), ``aio.record`` and the clients. It goes on until
    :meth:`close`, the end of its ``with`` block or of the interpreter, or until it is garbage-collected.

    Parameters
    ----------
    session : RecordSession
        Its part on the background loop.
    tz : str
        Zone of the times in :attr:`gaps`.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.record("KRW-BTC", background=True) as recorder:  # doctest: +SKIP
    ...     print(recorder)
    """

    def __init__(self, session: RecordSession, tz: str) -> None:
        self._session = session
        self._tz = tz
        self._used = False

    # --- life -------------------------------------------------------------------------------------

    async def _open(self) -> None:
        if self._used:
            raise UsageError("this recorder was opened before", suggestion="open a new one")
        self._used = True
        await self._session.open()
        weakref.finalize(self, _release_abandoned, self._session, os.getpid()).atexit = False
        event_loop.at_exit(self._session.aclose)

    async def _run(self, seconds: float | None) -> None:
        """Open, and record until the end or for some seconds; then close."""
        await self._open()
        await self._wait(seconds)
        await self._session.aclose()

    async def _wait(self, seconds: float | None = None) -> None:
        import asyncio

        try:
            async with asyncio.timeout(seconds):
                await self._session.ended.wait()
        except TimeoutError:
            return

    async def open(self) -> Self:
        """Subscribe; return when the connection is open.

        Raises
        ------
        MarketNotFound
        UpbitFramesError
            If no connection can be opened.
        """
        await event_loop.run_async(self._open)
        return self

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the end of the recording, or for some seconds."""
        await event_loop.run_async(self._wait, seconds)

    async def aclose(self) -> None:
        """End the recording: everything that is known is written. May be called twice."""
        await event_loop.run_async(self._session.aclose)

    def close(self) -> None:
        """As :meth:`aclose`, without ``await``."""
        event_loop.run(self._session.aclose)

    async def __aenter__(self) -> Self:
        return self if self._used else await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        if not self._used:
            event_loop.run(self._open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what happened ----------------------------------------------------------------------------

    @property
    def stats(self) -> dict[str, Any]:
        """Counts so far, as JSON scalars.

        ``state`` of the stream (open, connecting, waiting, closed …); ``received`` rows; ``recorded`` rows written, and
        of these ``trades``, ``orderbook`` and ``candles``; ``repaired``, fetched over REST for holes; ``pending`` in
        memory; ``lost``, for which there was no room; ``invalid``, whose time cannot be right; ``breaks``;
        ``write_errors``; ``reached``, the exchange's time up to which frames have come; ``error`` of now, or None.
        """
        session = self._session
        kinds: Counter[str] = Counter(dict.fromkeys(NOUNS, 0))
        for writer in session.writers.values():
            kinds[writer.series.kind] += writer.rows
        failed = next((writer.error for writer in session.writers.values() if writer.error is not None), None)
        error = session.error or failed
        return {
            "state": session.state if self._used else "new",
            "received": session.received,
            "recorded": sum(kinds.values()),
            **kinds,
            "repaired": session.repaired,
            "pending": session.pending,
            "lost": session.lost,
            "invalid": session.invalid,
            "breaks": session.gaps.disconnects,
            "write_errors": sum(writer.errors for writer in session.writers.values()),
            "reached": iso(session.reached) if session.reached else None,
            "error": None if error is None else error.message,
        }

    @property
    def gaps(self) -> pd.DataFrame:
        """Every gap of the stream; see ``Stream.gaps``."""
        return gaps_frame(self._session.gaps, self._tz)

    @property
    def error(self) -> UpbitFramesError | None:
        """Why nothing is recorded now, or why the recording ended; None if all is well."""
        return self._session.error

    @property
    def closed(self) -> bool:
        """Whether the recording has ended."""
        return self._session.closed

    def report(self) -> Report:
        """Return a row for each series, with the status as its ``repr``.

        Returns
        -------
        pandas.DataFrame
            Columns kind, market, interval (None but for candles), rows (written by this recorder), pending,
            write_errors, covered_until (aware UTC, exclusive), error.
        """
        from upbit_frames.datasets.collect.report import report

        rows = []
        for writer in self._session.writers.values():
            covered = writer.store.covered(writer.series)
            series = writer.series
            rows.append(
                (series.kind, series.market, series.interval, writer.rows, writer.waiting_rows, writer.errors,
                 covered[-1].end if covered else None, "" if writer.error is None else writer.error.message)
            )  # fmt: skip
        return report(rows, COLUMNS, [str(self)], {"kind": "record", **self.stats})

    def __str__(self) -> str:
        stats, query = self.stats, self._session.query
        markets = ", ".join(query.markets[:3]) + (f" and {len(query.markets) - 3} more" if query.markets[3:] else "")
        counts = ", ".join(counted(stats[kind], noun) for kind, noun in NOUNS.items() if stats[kind])
        parts = [
            f"{stats['state']} until {stats['reached']}" if stats["reached"] else stats["state"],
            f"{counts or 'nothing'} recorded",
            f"{stats['pending']:,} pending",
            *([counted(stats["breaks"], "break")] if stats["breaks"] else []),
            *([f"{stats['repaired']:,} fetched for holes"] if stats["repaired"] else []),
            *([f"{stats['lost']:,} lost"] if stats["lost"] else []),
            *([counted(stats["write_errors"], "write error")] if stats["write_errors"] else []),
            *([stats["error"]] if stats["error"] else []),
        ]
        return f"{markets}: {', '.join(parts)}"

    def __repr__(self) -> str:
        return f"<Recorder {self}>"


def _release_abandoned(session: RecordSession, pid: int) -> None:
    """End an abandoned recording without waiting, from any thread."""
    if session.closed or os.getpid() != pid:
        return
    event_loop.start(session.aclose)
