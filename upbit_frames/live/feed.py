"""A stream that fills a buffer in the background."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upbit_frames.errors import UpbitFramesError
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.stream import Stream
from upbit_frames.live.stream_frames import collected, framed, summary
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.caller import warn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Feed"]


class Feed:
    """Live rows in the background, in a buffer that keeps the newest; can be iterated over.

    Returned by ``uf.stream(..., background=True)``. Ends on :meth:`close`, at the end of a ``with``
    block, when it is garbage-collected, or with the interpreter.

    Parameters
    ----------
    stream : Stream
        Not opened yet.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._subscriber = stream._subscriber
        self._subscriber.ring = True
        event_loop.run(stream._open)

    def to_frame(self, last: int | None = None) -> Any:
        """Return the rows in the buffer.

        Parameters
        ----------
        last : int, optional
            Return only the newest rows, at most so many (order books are counted whole).

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
            return list(self._subscriber.rows)

        return list(self._subscriber.rows) if self._subscriber.closed else event_loop.run(copy)

    def __iter__(self) -> Iterator[Any]:
        """Yield batches: first the rows in the buffer, then new ones, until the feed is closed.

        The buffer keeps its rows, so each of several loops gets all of them. A loop that is slower
        than the buffer lasts misses rows; a warning says how many.

        Raises
        ------
        UpbitFramesError
            After the last batch, if the feed ended with an error.
        """
        query, consumed = self._stream.query, -1
        while True:
            rows, missed, consumed = event_loop.run(self._rows_after, consumed)
            if missed:
                text = f"{missed} rows of {query.type} were dropped before this loop reached them"
                warn(f"{text}; take batches faster, or give a larger buffer")
            if not rows:
                break
            yield framed(query, self._stream._view, collected(query.type, rows, ordered=False), self._stream._attrs())
        if self.error is not None:
            raise self.error

    async def _rows_after(self, consumed: int) -> tuple[list[Row], int, int]:
        """Return the rows after the first ``consumed``, how many of them were dropped, and the new count."""
        subscriber = self._subscriber
        if consumed < 0:
            consumed = subscriber.received - len(subscriber.rows)
        while subscriber.received <= consumed and not subscriber.closed:
            subscriber.changed.clear()
            await subscriber.changed.wait()
        fresh = subscriber.received - consumed
        rows = list(subscriber.rows)[-fresh:] if fresh else []
        return rows, fresh - len(rows), subscriber.received

    def latest(self) -> Any:
        """Return the newest row of each market."""
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
        """The error that ended the feed, or None."""
        return self._subscriber.error

    @property
    def closed(self) -> bool:
        """Whether the feed has ended."""
        return self._subscriber.closed

    def close(self) -> None:
        """Unsubscribe; the rows in the buffer stay. May be called twice."""
        self._stream.close()

    def __len__(self) -> int:
        return len(self._subscriber.rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Feed {summary(self._stream.query, self._subscriber, self._stream._hub)}>"
