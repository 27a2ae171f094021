"""Compare stored candles with what the exchange serves now, and repair them.

A difference counts only if a second, independent reading shows it too, so one odd answer neither
accuses nor overwrites anything. Besides pages at random places, ranges that are stored as empty are
looked at, the longest first: an exchange that failed once may have left one behind.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from upbit_frames.archive.importer import ArchiveImporter
from upbit_frames.core.availability import rest_horizon, sealed_until
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT
from upbit_frames.core.gaps import missing_ranges
from upbit_frames.core.intervals import EPOCH, Interval, Span, intersect
from upbit_frames.errors import QueryError
from upbit_frames.router.candle_history import CandleHistory
from upbit_frames.router.ports import Ports, sync_server_time
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series, Store
from upbit_frames.store.memory import MemoryStore
from upbit_frames.store.results import Finding

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["cross_check"]


async def cross_check(ports: Ports, market: str, interval: Interval, sample: int, repair: bool) -> list[Finding]:
    """Compare stored candles with fresh answers.

    Parameters
    ----------
    sample : int
        So many pages at random places are fetched again, and so many ranges looked at that are stored
        as empty. The digests of all files that came from the archive are compared with those published now.
    repair : bool
        Replace what is different by what the source says now.

    Raises
    ------
    QueryError
        If nothing of the series is stored.
    """
    series = Series("candles", market, interval.name)
    check = _Check(ports, series, interval, repair)
    findings = await check.run(sample)
    if ports.archive is not None and ports.archive_allowed:
        importer = ArchiveImporter(ports.archive, ports.store, series, now=ports.server_time.now())
        corrected = await importer.corrected()
        findings += [
            Finding(series, "corrected", f"the archive's {file.member} was replaced by Upbit", span=file.period)
            for file in corrected
        ]
        if repair and corrected:
            await importer.renew(corrected)
    return findings


class _Check:
    def __init__(self, ports: Ports, series: Series, interval: Interval, repair: bool) -> None:
        self.ports = ports
        self.series = series
        self.interval = interval
        self.repair = repair

    async def run(self, sample: int) -> list[Finding]:
        await sync_server_time(self.ports, self.series.market, Progress())
        now = self.ports.server_time.now()
        served = Span(rest_horizon(self.interval, now), sealed_until(self.interval, now))
        known = intersect(await in_thread(self.ports.store.covered, self.series), [served])
        if not known:
            raise QueryError(
                f"nothing of {self.series.market} {self.interval} is stored that REST serves",
                suggestion="fetch it first",
            )
        findings: list[Finding] = []
        for gap in (await in_thread(_gaps, self.ports.store, self.series, self.interval, known))[:sample]:
            findings += await self._gap(gap)
        info = await in_thread(self.ports.store.info, self.series)
        traded = [] if info.first is None else intersect(known, [Span(info.first, known[-1].end)])
        picker = random.Random(f"{self.series}{info.rows}")
        for _ in range(sample if traded else 0):
            part = picker.choices(traded, weights=[span.end - span.start for span in traded])[0]
            end = self.interval.shift(self.interval.floor(picker.randrange(part.start, part.end)), 1)
            low = max(part.start, self.interval.shift(end, -CANDLES_MAX_COUNT))
            findings += await self._range(Span(low, end))
        return findings

    def _reader(self) -> tuple[CandleHistory, MemoryStore]:
        """Read from the exchange alone, into a store of its own."""
        store = MemoryStore()
        ports = replace(self.ports, store=store, series_locks={})
        return CandleHistory(ports, self.series.market, self.interval, "rest", Progress(), 1), store

    async def _gap(self, gap: Span) -> list[Finding]:
        """Look at a range that is stored as empty; where it is not, read all of it again."""
        for _ in range(2):
            newest, _ = await self._reader()[0].read_last(gap.end, 1)
            if not len(newest) or newest["time"][0].value < gap.start:
                return []
        detail = f"stored as without a trade, but the source has a candle at {newest['time'][0].as_py().isoformat()}"
        if self.repair:
            await self._replace(gap)
        return [Finding(self.series, "different", detail, span=gap)]

    async def _range(self, span: Span) -> list[Finding]:
        stored = await in_thread(self.ports.store.read, self.series, span)
        fresh: pa.Table | None = None
        for _ in range(2):
            fresh, _ = await self._reader()[0].read_range(span)
            if stored.equals(fresh):
                return []
        assert fresh is not None
        if self.repair:
            await self._replace(span)
        return [Finding(self.series, "different", text, span=span) for text in differences(stored, fresh)]

    async def _replace(self, span: Span) -> None:
        """Store what two readings agree on in place of what is stored."""
        readings = []
        for _ in range(2):
            reader, store = self._reader()
            await reader.read_range(span)
            readings.append(store)
        reading, other = readings
        for part in intersect(intersect([span], reading.covered(self.series)), other.covered(self.series)):
            table = reading.read(self.series, part)
            if table.equals(other.read(self.series, part)):
                await in_thread(_write, self.ports.store, self.series, table, part)


def _write(store: Store, series: Series, table: pa.Table, span: Span) -> None:
    store.write(series, table, span, origin="rest", replace=True)


def _gaps(store: Store, series: Series, interval: Interval, known: list[Span]) -> list[Span]:
    """Ranges that are stored as empty, the longest first."""
    import numpy as np

    gaps: list[Span] = []
    for span in known:
        times = np.asarray(store.read(series, span)["time"].cast("int64"))
        gaps += missing_ranges(times, interval, Span(max(span.start, interval.ceil(EPOCH)), span.end))
    return sorted(gaps, key=lambda gap: gap.start - gap.end)


def differences(stored: pa.Table, fresh: pa.Table) -> list[str]:
    """Describe every row and column in which two tables of candles differ."""
    ours = {row["time"]: row for row in stored.to_pylist()}
    theirs = {row["time"]: row for row in fresh.to_pylist()}
    texts: list[str] = []
    for time in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(time), theirs.get(time)
        at = time.isoformat()
        if mine is None or other is None:
            texts.append(f"{at} is {'not stored' if mine is None else 'stored, but the source has no such candle'}")
            continue
        texts += [
            f"{at} {name}: stored {mine[name]!r}, source {other[name]!r}" for name in mine if mine[name] != other[name]
        ]
    return texts
