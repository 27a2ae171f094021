"""The trades of one market day by day: any range in the memory of a day.

What is missing is fetched some days ahead, so that downloads run side by side; what was read is let go
of with the days it belongs to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from upbit_frames.core.intervals import Span, intersect, merge
from upbit_frames.core.route import Step
from upbit_frames.router.ports import Ports
from upbit_frames.router.trade_history import TradeHistory, unavailable_text
from upbit_frames.router.trade_pages import DAY
from upbit_frames.router.trade_requests import utc_day
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Columns

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TradeChunk", "TradeChunks", "merge_steps"]

DAYS_AHEAD = 8  # fetched before the first of them is read; REST serves no more than that


class TradeChunk(NamedTuple):
    """The trades of one UTC day, or of a part of it.

    Attributes
    ----------
    span : Span
    table : pyarrow.Table
        Ascending.
    lost : list of Span
        Parts of which no source has the trades.
    """

    span: Span
    table: pa.Table
    lost: list[Span]


class TradeChunks:
    """Reads a range of trades chunk by chunk, and keeps account of who served it.

    Parameters
    ----------
    ports : Ports
    market : str
    source : {"auto", "store", "rest", "archive"}
    progress : Progress
    columns : tuple of str or None
        Read only these, ``time`` first and ``sequential_id`` among them.
    """

    def __init__(self, ports: Ports, market: str, source: str, progress: Progress, columns: Columns | None) -> None:
        self.columns = columns
        self.ports = ports
        self.market = market
        self.source = source
        self.progress = progress
        self._steps: list[Step] = []
        self._unavailable: list[Span] = []
        self._unavailable_reason = ""
        self._warnings: dict[str, None] = {}

    async def read(self, span: Span) -> AsyncIterator[TradeChunk]:
        """Yield the trades of a range in chunks, ascending.

        Raises
        ------
        NotCached
            With ``source="store"``, naming everything that is missing, before anything is read.
        """
        if self.source == "store":
            await self._history().ensure(span)
        for window in _cut(span, DAYS_AHEAD * DAY):
            history = self._history()
            await history.ensure(window)
            for day in _cut(window, DAY):
                table = await history.read_range(day)
                self._steps += history.route(day, table)
                lost = intersect([day], history.unavailable)
                if lost:
                    self._unavailable = merge([*self._unavailable, *lost])
                    self._unavailable_reason = history.unavailable_reason
                yield TradeChunk(day, table, lost)
            self._warnings |= dict.fromkeys(history.warnings)

    def route(self) -> list[Step]:
        """Return who served which part of what was read."""
        return merge_steps(self._steps)

    def warnings(self) -> list[str]:
        """Return what the caller should know: files that could not be used, trades that no source has."""
        lost = [unavailable_text(self.market, self._unavailable, self._unavailable_reason)] if self._unavailable else []
        return [*self._warnings, *lost]

    def _history(self) -> TradeHistory:
        return TradeHistory(self.ports, self.market, self.source, self.progress, columns=self.columns)


def merge_steps(steps: Iterable[Step]) -> list[Step]:
    """Return steps of single days as one route.

    A step that reaches over several days comes with each of them and its rows are added up; steps of one
    channel and reason that follow each other become one.

    Examples
    --------
    >>> rest = Step("rest", "not in the store", 0, 20, rows=3, requests=2)
    >>> store = Step("store", "stored", 20, 30, rows=1), Step("store", "stored", 30, 40, rows=1)
    >>> [(step.end, step.rows, step.requests) for step in merge_steps([rest, rest, *store])]
    [(20, 6, 2), (40, 2, 0)]
    """
    once: dict[Step, int] = {}
    for step in steps:
        key = replace(step, rows=0)
        once[key] = once.get(key, 0) + step.rows
    merged: list[Step] = []
    for step, rows in sorted(once.items(), key=lambda item: (item[0].start, item[0].end)):
        last = merged[-1] if merged else None
        if last is not None and (last.channel, last.reason) == (step.channel, step.reason) and last.end == step.start:
            merged[-1] = replace(
                last, end=step.end, rows=last.rows + rows, requests=last.requests + step.requests,
                bytes=last.bytes + step.bytes, seconds=last.seconds + step.seconds,
            )  # fmt: skip
        else:
            merged.append(replace(step, rows=rows))
    return merged


def _cut(span: Span, size: int) -> list[Span]:
    """Cut a range at UTC midnights, ``size`` apart from the first day on."""
    starts = range(utc_day(span.start), span.end, size)
    return [Span(max(span.start, low), min(span.end, low + size)) for low in starts]
