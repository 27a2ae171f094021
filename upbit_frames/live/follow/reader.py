"""What the reader of a follow receives: batches of sealed and forming candles, each change once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from upbit_frames.core.intervals import Span
from upbit_frames.live.follow.batches import Batch, FollowQuery, Part
from upbit_frames.live.follow.series import FollowedSeries

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.core.route import Step

__all__ = ["BatchReader"]


class BatchReader:
    """Builds the batches of the one reader of a follow.

    Parameters
    ----------
    query : FollowQuery
    series : mapping of str to FollowedSeries
        By market.
    read_sealed : coroutine function (str, Span) -> (table, Span, list of Step)
        Reads the sealed candles of a market, for a reader that is behind what is in memory.
    """

    def __init__(
        self,
        query: FollowQuery,
        series: Mapping[str, FollowedSeries],
        read_sealed: Callable[[str, Span], Awaitable[tuple[pa.Table, Span, list[Step]]]],
    ) -> None:
        self._query = query
        self._series = series
        self._read_sealed = read_sealed
        self._history_meta: dict[str, Any] | None = None  # until the reader has received the history
        self._history_route: list[dict[str, Any]] = []

    def start(self, meta: dict[str, Any]) -> None:
        """Begin with the history, whose metadata are given."""
        self._history_meta = meta
        self._history_route = meta["route"]

    async def next_batch(self) -> Batch | None:
        """Return what the reader has not received, or None if there is nothing."""
        meta = self._history_meta
        parts = [await self._part(series, is_history=meta is not None) for series in self._series.values()]
        batch = Batch(parts, meta)
        if meta is None and not any(part.span.start < part.span.end or len(part.forming) for part in parts):
            return None
        if meta is None and not batch.rows:
            self.mark_read(batch)  # nothing was traded
            return None
        return batch

    async def _part(self, series: FollowedSeries, *, is_history: bool) -> Part:
        import pyarrow as pa

        span = Span(series.read_until, series.history_end if is_history else series.sealed_until)
        version = series.version
        with_changes = self._query.forming and not is_history
        forming = series.forming_table(series.read_version if with_changes else version)
        route = [step for step in series.steps if span.start <= step.start < span.end]
        table = series.window(Span(max(span.start, series.window_start), span.end))
        if span.start < series.window_start:  # the reader is behind what is in memory
            older_span = Span(span.start, min(series.window_start, span.end))
            older, _, steps = await self._read_sealed(series.market, older_span)
            table, route = pa.concat_tables([older, table]), [*steps, *route]
        return Part(series.market, span, table, forming, route, version if with_changes else series.read_version)

    def mark_read(self, batch: Batch) -> None:
        """Note that the reader has received a batch; from any thread."""
        if batch.meta is not None:
            self._history_meta = None
        for part in batch.parts:
            series = self._series[part.market]
            series.read_until, series.read_version = part.span.end, part.version

    def everything(self, *, forming: bool) -> Batch:
        """Return all candles in memory, whether received or not."""
        parts = []
        for series in self._series.values():
            span = series.kept
            table = series.forming_table() if forming else series.forming_table(series.version)
            parts.append(Part(series.market, span, series.window(span), table, series.totals))
        return Batch(parts, None, self._history_route)
