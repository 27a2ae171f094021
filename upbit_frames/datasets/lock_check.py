"""A lock held against the local store: its calls made again from the store alone, and what they read of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from upbit_frames.core.event_bars import Threshold
from upbit_frames.core.intervals import Span, merge
from upbit_frames.core.market_selection import MarketSelection, parse_selection
from upbit_frames.core.query import CandleQuery, TradeQuery
from upbit_frames.datasets.differences import data_changed
from upbit_frames.datasets.digests import parts_of
from upbit_frames.datasets.lock_file import Lock, LockedCall, needs_list
from upbit_frames.datasets.offline import NoExchange, offline_ports
from upbit_frames.errors import CorruptFile, NotCached, OfflineError, QueryError, UsageError
from upbit_frames.frames.panel import PanelBuilder, apply_missing, wide_table
from upbit_frames.router.candles import CandleRouter
from upbit_frames.router.event_bars import event_bars
from upbit_frames.router.panel import fetch_panel
from upbit_frames.router.ports import Ports
from upbit_frames.router.trades import TradeRouter
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Columns, Series, sort_key
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.store.results import Counted, Reading

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["stored_reads"]

SOURCES = ("auto", "store")  # ways in which a call may have read the store; the second also derives Upbit's intervals
THRESHOLDS = ("ticks", "volume", "value")
PANELS = ("panel", "cross_section")


async def stored_reads(lock: Lock, store: ParquetStore) -> list[tuple[Series, Span]]:
    """Make each call of a lock again from the store alone, and return what they read of it.

    Returns
    -------
    list of (Series, Span)
        Sorted; the spans of a series are disjoint.

    Raises
    ------
    NotCached
        If something that a call reads is not stored.
    DataChanged
        If a call returns other rows than the lock says.
    UsageError
        For a call that cannot be made from the lock alone.
    """
    reads: dict[Series, list[Span]] = {}
    for call in lock.calls.values():
        for series, spans in (await _reads_of(call, lock, store)).items():
            reads.setdefault(series, []).extend(spans)
    return [(series, span) for series in sorted(reads, key=sort_key) for span in merge(reads[series])]


async def _reads_of(call: LockedCall, lock: Lock, store: ParquetStore) -> dict[Series, list[Span]]:
    errors: list[OfflineError] = []
    for source in SOURCES:
        log = _ReadLog(store.path)
        try:
            table = await _make(call, offline_ports(NoExchange("the store"), log, lock.now), source)
        except OfflineError as error:
            errors.append(error)
            continue
        except QueryError as error:
            raise CorruptFile(
                f"{call} of the lock cannot be made again: {error.message}",
                suggestion="write the lock again with mode='all'",
            ) from error
        parts = tuple(parts_of(table, _market_of(call)))
        if parts != call.parts:
            raise data_changed(call, parts, table, "from the store than when the lock was written")
        return log.reads
    raise NotCached(
        f"the store lacks what {call} reads: {errors[-1].message}",
        suggestion="run the study again in uf.pinned, which stores what it reads; leave out markets without any candle",
        call=str(call),
    )


async def _make(call: LockedCall, ports: Ports, source: str) -> pa.Table:
    """Make a call again; its rows as they went into the lock."""
    meter = Progress()
    if call.name == "trades":
        return (await TradeRouter(ports).fetch(replace(_trade_query(call), source=source), meter)).arrow
    if call.name == "bars":
        threshold = Threshold.build(**{name: call.request.get(name) for name in THRESHOLDS})
        return (await event_bars(ports, replace(_trade_query(call), source=source), threshold, False, meter)).arrow
    query = replace(_candle_query(call), source=source)
    if call.name == "candles":
        return (await CandleRouter(ports).fetch(query, meter)).arrow
    if call.name not in PANELS:
        raise UsageError(
            f"{call} cannot be made again: this version knows no pinned call {call.name!r}",
            suggestion="update upbit-frames",
        )
    if "universe" in call.request:
        raise UsageError(
            f"{call} reads the kept lists of markets, so it cannot be packed",
            suggestion="pin the panel without universe, and leave out afterwards what was not listed",
        )
    builder = PanelBuilder(query.columns or ())
    await fetch_panel(CandleRouter(ports), query, builder, meter)
    builder.close()
    if "missing" in call.request:
        apply_missing(builder, call.request["missing"])
    return wide_table(builder, several=True)


def _candle_query(call: LockedCall) -> CandleQuery:
    names = ("interval", "base", "start", "count", "gaps", "columns", "source")
    given = {name: call.request[name] for name in names if name in call.request}
    return CandleQuery.build(_selection(call), given.pop("interval", None), **given, end=_end_of(call))


def _trade_query(call: LockedCall) -> TradeQuery:
    given = {name: call.request[name] for name in ("start", "count", "columns") if name in call.request}
    return TradeQuery.build(_selection(call), **given, end=_end_of(call))


def _end_of(call: LockedCall) -> str | None:
    counted = "start" in call.request and "count" in call.request
    end: str | None = call.request.get("end", None if counted else call.end)
    return end


def _selection(call: LockedCall) -> MarketSelection:
    if not needs_list(call.request):
        return parse_selection(call.request.get("market"))
    if not call.markets:
        raise UsageError(
            f"the lock does not say which markets {call} meant", suggestion="write it again with mode='all'"
        )
    return parse_selection(call.markets)


def _market_of(call: LockedCall) -> str:
    """Return the market of rows without a column that names it; panels have one market in each column."""
    return _selection(call).markets[0] if call.name == "bars" else ""


class _ReadLog(ParquetStore):
    """A store that notes which ranges are read of it.

    Attributes
    ----------
    reads : dict
        Spans by series.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: dict[Series, list[Span]] = {}
        self._guard = threading.Lock()

    def read_covered(self, series: Series, span: Span, columns: Columns | None = None) -> Reading:
        """Read, and note what was covered."""
        return self._noted(series, super().read_covered(series, span, columns))

    def tail_covered(self, series: Series, end: int, count: int, columns: Columns | None = None) -> Reading:
        """Read, and note what was covered."""
        return self._noted(series, super().tail_covered(series, end, count, columns))

    def head_covered(self, series: Series, start: int, count: int, columns: Columns | None = None) -> Reading:
        """Read, and note what was covered."""
        return self._noted(series, super().head_covered(series, start, count, columns))

    def count_covered(self, series: Series, span: Span) -> Counted:
        """Count, and note what was covered."""
        counted = super().count_covered(series, span)
        self._note(series, counted.covered)
        return counted

    def _noted(self, series: Series, reading: Reading) -> Reading:
        self._note(series, reading.covered)
        return reading

    def _note(self, series: Series, covered: Iterable[Span]) -> None:
        with self._guard:
            self.reads.setdefault(series, []).extend(covered)
