"""A stream that fills a buffer in the background."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upbit_frames.errors import UpbitFramesError
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.stream import Stream
from upbit_frames.live.stream_frames import collected, framed, told
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.caller import warn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Feed"]


class Feed:
    """Live rows in the background, in a buffer that keeps the newest so many; can be iterated over.

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
        event_loop.run(stream._open)

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

        return list(self._listener.rows) if self._listener.over else event_loop.run(copy)

    def __iter__(self) -> Iterator[Any]:
        """Batches: first what is in the buffer, then whatever comes, until the feed is closed.

        The buffer keeps its rows, so several loops may run and each has all of them, unless it takes
        longer for a batch than the buffer lasts; then a warning tells how many rows it has missed.

        Raises
        ------
        UpbitFramesError
            If the feed ended because of it, once what came before was taken.
        """
        query, taken = self._stream.query, -1
        while True:
            rows, missed, taken = event_loop.run(self._after, taken)
            if missed:
                text = f"{missed} rows of {query.type} were dropped before this loop came to them"
                warn(f"{text}; take batches faster, or give a larger buffer")
            if not rows:
                break
            yield framed(query, self._stream._view, collected(query.type, rows, ordered=False), self._stream._attrs())
        if self.error is not None:
            raise self.error

    async def _after(self, taken: int) -> tuple[list[Row], int, int]:
        """The rows after the first so many, how many of them are gone, and how many there were; waits for some."""
        listener = self._listener
        if taken < 0:
            taken = listener.received - len(listener.rows)
        while listener.received <= taken and not listener.over:
            listener.news.clear()
            await listener.news.wait()
        fresh = listener.received - taken
        rows = list(listener.rows)[-fresh:] if fresh else []
        return rows, fresh - len(rows), listener.received

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
        self._stream.close()

    def __len__(self) -> int:
        return len(self._listener.rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Feed {told(self._stream.query, self._listener, self._stream._hub)}>"
