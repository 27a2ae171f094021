"""The sealed candles of one series: what the store lacks is fetched, then the store answers.

This is where store and transport meet. Everything here speaks of sealed candles only; the
candle that can still change is the router's business.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from upbit_frames.archive.catalog import Published
from upbit_frames.archive.importer import Archive
from upbit_frames.archive.plan import plan_candle_files
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, candles_endpoint
from upbit_frames.core.intervals import EPOCH, INTERVALS, Interval, Span, intersect, merge, subtract
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import CorruptFile, NotCached, SchemaError
from upbit_frames.exchange import wire as normalize
from upbit_frames.router.candle_pages import WALKS, Page, backfill
from upbit_frames.router.plan import (
    EXPIRED,
    FORCED,
    MISSING,
    NOWHERE,
    SECONDS_KEPT,
    STORED,
    Step,
    iso,
    rest_horizon,
    sealed_until,
    split_expired,
)
from upbit_frames.router.ports import Meter, Ports, cut, fill_from_archive, in_thread, meet_exchange, position
from upbit_frames.store.base import Series

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["History"]

CORRUPT_TRIES = 100  # files that may be found damaged in one call before we give up
WORTH_COMPACTING = 8  # pages of one call after which the small files they left are merged
WORTH_TELLING = 100  # requests the archive must save to be mentioned beside a progress bar
DAY = 86_400 * 1_000_000


class History:
    """The sealed candles of one market and interval.

    Parameters
    ----------
    ports : Ports
    market : str
    interval : Interval
    source : {"auto", "cache", "rest"}
    meter : Meter
    walks : int
        Requests this series may have under way at once.
    """

    def __init__(
        self, ports: Ports, market: str, interval: Interval, source: str, meter: Meter, walks: int = WALKS
    ) -> None:
        self.ports = ports
        self.store = ports.store
        self.market = market
        self.interval = interval
        self.source = source
        self.meter = meter
        self.walks = min(walks, ports.walks)
        self.series = Series("candles", market, interval.name)
        self.endpoint = candles_endpoint(interval)
        self.fetched: list[Step] = []
        self.lost: list[Span] = []
        self.lost_reason = EXPIRED
        self.warnings: list[str] = []

    # --- reading --------------------------------------------------------------------------------

    async def between(self, span: Span) -> pa.Table:
        """Every sealed candle of a stretch on the grid."""
        return await self._undamaged(lambda: self._between(span))

    async def last(self, end: int, count: int) -> pa.Table:
        """The last ``count`` candles before ``end``; fewer only where history has no more."""
        return await self._undamaged(lambda: self._last(end, count))

    async def first(self, start: int, end: int, count: int) -> pa.Table:
        """The first ``count`` candles of ``[start, end)``."""
        return await self._undamaged(lambda: self._first(start, end, count))

    def stored_last(self, end: int, count: int) -> pa.Table | None:
        """What :meth:`last` would give, if all of it is stored; works in this thread."""
        table, _ = self._tail(end, count)
        return table if len(table) >= count else None

    def stored_between(self, span: Span) -> pa.Table | None:
        """What :meth:`between` would give, if all of it is stored; works in this thread."""
        return None if self._missing(span) else self.store.read(self.series, span)

    def known(self, span: Span) -> Span:
        """A stretch that was asked for, without its end where the exchange says that this is not over yet."""
        missing = self._missing(span)
        return Span(span.start, missing[-1].start) if missing and missing[-1].end == span.end else span

    async def _undamaged(self, read: Callable[[], Any]) -> pa.Table:
        # A damaged file was set aside by the store when it was met, so its stretch is missing
        # now and is fetched again by the next try.
        for _ in range(CORRUPT_TRIES):
            try:
                return await read()
            except CorruptFile:
                if self.source == "cache":
                    raise
        return await read()

    async def _between(self, span: Span) -> pa.Table:
        await self.ensure(span)
        return await in_thread(self.store.read, self.series, span)

    async def _last(self, end: int, count: int) -> pa.Table:
        while True:
            table, low = await in_thread(self._tail, end, count)
            if len(table) >= count or low <= EPOCH or self._all_lost(low):
                return table
            need = self._slots_for(count - len(table), len(table), Span(low, end))
            await self.ensure(Span(self._back(low, need), low))
            end = self._final(end)

    async def _first(self, start: int, end: int, count: int) -> pa.Table:
        widen = 1
        asked_listing = False
        while True:
            table, high = await in_thread(self._head, start, count)
            if len(table) >= count or high >= end:
                return table.slice(0, count)
            if len(table) == 0 and not asked_listing and self.source != "cache":
                # Before the listing there is nothing to page through, so look where it is.
                asked_listing = True
                start = max(start, min(await self._listing(start, end), end))
                if start >= end:
                    return table
                continue
            need = self._slots_for(count - len(table), len(table), Span(start, high))
            need = max(need, CANDLES_MAX_COUNT // 2) * widen  # a fuller page costs no more than a short one
            upper = self.interval.ceil(min(end, high + need * self.interval.step))
            await self.ensure(Span(high, upper))
            end = self._final(end)
            if self.lost:
                start = max(start, max(span.end for span in self.lost))
            widen = 1 if len(table) else widen * 2

    def _tail(self, end: int, count: int) -> tuple[pa.Table, int]:
        """Stored candles before ``end``, and from where on everything is known."""
        known = [span for span in self.store.covered(self.series) if span.start < end <= span.end]
        return self.store.tail(self.series, end, count), known[0].start if known else end

    def _head(self, start: int, count: int) -> tuple[pa.Table, int]:
        known = [span for span in self.store.covered(self.series) if span.start <= start < span.end]
        return self.store.head(self.series, start, count), known[0].end if known else start

    def _slots_for(self, rows: int, seen: int, span: Span) -> int:
        """How many periods will hold so many candles, from the density seen so far."""
        slots = self.interval.slots(*span)
        return rows if not seen or not slots else -(-rows * slots // seen)

    def _final(self, end: int) -> int:
        """The end again, now that the exchange may have told that its clock is behind ours."""
        covered = self.store.covered(self.series)
        sealed = sealed_until(self.interval, self.ports.server_time.now())
        return min(end, max(sealed, covered[-1].end if covered else 0))

    def _back(self, moment: int, slots: int) -> int:
        return self.interval.floor(max(EPOCH, moment - slots * self.interval.step))

    def _all_lost(self, low: int) -> bool:
        return any(span.start < low <= span.end for span in self.lost)

    async def _listing(self, start: int, end: int) -> int:
        """A moment at or shortly before the first candle from ``start`` on, found cheaply.

        The months since the listing fit on one page; the days of the first month on another, the
        hours of the first day on a third.
        """
        for name, reach in (("1M", None), ("1d", 31 * DAY), ("1h", DAY)):
            coarse = INTERVALS[name]
            if self.interval.step >= coarse.step:
                continue
            sealed = sealed_until(coarse, self.ports.server_time.now())
            if coarse.floor(start) >= sealed:
                continue
            upper = sealed if reach is None else min(sealed, coarse.ceil(start + reach))
            finer = History(self.ports, self.market, coarse, self.source, self.meter)
            found = await finer.between(Span(coarse.floor(start), upper))
            begin = found["time"][0].value if len(found) else upper
            start = max(start, min(begin, end))
        return self.interval.ceil(start)

    # --- fetching -------------------------------------------------------------------------------

    async def ensure(self, span: Span) -> None:
        """Have everything of a stretch on the grid in the store, as far as it can be had."""
        if not await in_thread(self._missing, span):
            return
        if self.source == "cache":
            raise self._not_cached(await in_thread(self._missing, span))
        async with self.ports.flight(self.series):
            missing = await in_thread(self._missing, span)
            if missing:
                await self._fetch(missing)

    def _missing(self, span: Span) -> list[Span]:
        return subtract([span], [*self.store.covered(self.series), *self.lost])

    def _not_cached(self, missing: list[Span]) -> NotCached:
        shown = ", ".join(map(str, missing[:3])) + (" …" if len(missing) > 3 else "")
        return NotCached(
            f"the store lacks {shown} of {self.market} {self.interval}",
            suggestion="ask without source='cache' to fetch it",
            market=self.market,
            interval=self.interval.name,
            missing=[(iso(one.start), iso(one.end)) for one in missing],
        )

    async def _fetch(self, missing: list[Span]) -> None:
        archive = self.ports.archive_for(self.source)
        if self.source != "archive" and split_expired(self.interval, missing, self.ports.server_time.now())[0]:
            await meet_exchange(self.ports, self.endpoint, self.market, self.meter)
        if archive is not None:
            missing = await self._fetch_files(missing, archive)
        else:
            lost, missing = split_expired(self.interval, missing, self.ports.server_time.now())
            self.lost = merge([*self.lost, *lost])
            self.meter.saved_hint = self._archive_hint(missing)
        if missing:
            await self._fetch_pages(missing)

    def _archive_hint(self, missing: list[Span]) -> str:
        """What a progress bar says where the archive is off and would save much."""
        archive = self.ports.archive
        if archive is None or self.source != "auto":
            return ""
        now = self.ports.server_time.now()
        portions = plan_candle_files(
            self.market, self.interval, missing, Published(now), rate=self.ports.rate,
            rest_from=rest_horizon(self.interval, now),
        )  # fmt: skip
        needed = sum(portion.requests for portion in portions)
        pages = sum(-(-self.interval.slots(*span) // CANDLES_MAX_COUNT) for span in missing)
        if pages - needed < WORTH_TELLING:
            return ""
        return f"the archive needs {needed:,} requests instead of {pages:,}, uf.plan tells more"

    async def _fetch_files(self, missing: list[Span], archive: Archive) -> list[Span]:
        """Take from the archive what it has; what is left for REST."""
        now = self.ports.server_time.now()
        filled = await fill_from_archive(
            archive, self.ports, self.series, missing, self.meter,
            rest_from=None if self.source == "archive" else rest_horizon(self.interval, now),
        )  # fmt: skip
        self.fetched += filled.steps
        self.warnings += filled.warnings
        if filled.lost:
            self.lost = merge([*self.lost, *filled.lost])
            self.lost_reason = NOWHERE
        return filled.rest

    async def _fetch_pages(self, missing: list[Span]) -> None:
        counts = [0] * len(missing)
        starts = [span.start for span in missing]
        self.meter.expected += sum(-(-self.interval.slots(*one) // CANDLES_MAX_COUNT) for one in missing)

        async def fetch(to: int, count: int) -> Page:
            counts[max(0, bisect_right(starts, to - 1) - 1)] += 1
            return await self._page(to, count)

        before = await in_thread(self.store.covered, self.series)

        def known_before(moment: int) -> bool:
            # What Upbit drops after three months may well be known from earlier or from the archive.
            return not self._expires(moment) and any(
                self.store.count(self.series, part) for part in intersect(before, [Span(EPOCH, moment)])
            )

        try:
            outcome = await backfill(
                missing, self.interval, fetch, self._keep,
                page_size=CANDLES_MAX_COUNT, walks=self.walks, known_before=known_before,
            )  # fmt: skip
        finally:
            reason = FORCED if self.source == "rest" else MISSING
            self.fetched += [
                Step("rest", reason, *one, requests=asked, market=self.market)
                for one, asked in zip(missing, counts, strict=True)
            ]
        if outcome.requests >= WORTH_COMPACTING:
            await in_thread(self.store.compact, self.series)
        if self._expires(outcome.history_start):
            self.lost = merge([*self.lost, Span(EPOCH, outcome.history_start or EPOCH)])

    async def _page(self, to: int, count: int) -> Page:
        params = {"market": self.market, "to": iso(to), "count": str(count)}
        reply = await self.ports.rest.get(self.endpoint, params)
        table = normalize.candles(reply.body, self.market, self.interval)
        self.meter.requests += 1
        self.meter.rows += len(table)
        if len(table) == 0:
            return Page(0, None, None)
        oldest, newest = table["time"][0].value, table["time"][-1].value
        if newest >= to or len(table) > count:
            raise SchemaError(
                f"the exchange answered to={iso(to)}, count={count} with {len(table)} candles up to {iso(newest)}",
                suggestion="nothing was stored; check what stands between you and the exchange",
                market=self.market,
                interval=self.interval.name,
                url=reply.url,
            )
        return Page(len(table), oldest, (table, reply.server_time))

    async def _keep(self, span: Span, page: Page) -> None:
        """Store what a page told, as far as it is final by the clock of the server that sent it."""
        table, server_time = page.payload or (arrow_schema("candles").empty_table(), None)
        if page.payload is None and self._expires(span.end):
            return
        now = self.ports.server_time.now() if server_time is None else server_time
        final = Span(span.start, min(span.end, sealed_until(self.interval, now)))
        if final.empty:
            return
        if final.end < span.end:
            table = cut(table, final)
        await in_thread(self.store.write, self.series, table, final)

    def _expires(self, history_start: int | None) -> bool:
        """Whether history seems to begin there only because Upbit drops old second candles."""
        if history_start is None or self.interval.name != "1s":
            return False
        return history_start < self.ports.server_time.now() - SECONDS_KEPT + 5 * DAY

    # --- telling --------------------------------------------------------------------------------

    def lost_text(self, span: Span) -> str | None:
        """What of the span cannot be had, in words; None if nothing."""
        lost = intersect([span], self.lost)
        if not lost:
            return None
        more = "" if self.ports.archive is None else "; uf.plan tells whether Upbit's published archive has it"
        return f"{self.market} {self.interval} of {', '.join(map(str, lost))} is {self.lost_reason}{more}"

    def route(self, span: Span, table: pa.Table) -> list[Step]:
        """Who answered which part of the span, with the rows each gave."""
        asked = [Span(step.start, step.end) for step in self.fetched]
        lost = intersect(subtract([span], asked), self.lost)
        stored = subtract([span], [*asked, *lost])
        steps = [Step("store", STORED, *part, market=self.market) for part in stored]
        steps += [Step("none", self.lost_reason, *part, market=self.market) for part in lost]
        # Where the machine's clock was ahead, more was asked for than there could be.
        steps += [replace(step, end=max(step.start, min(step.end, span.end))) for step in self.fetched]
        return sorted((_with_rows(step, table) for step in steps), key=lambda step: step.start)


def _with_rows(step: Step, table: pa.Table) -> Step:
    return replace(step, rows=position(table, step.end) - position(table, step.start))
