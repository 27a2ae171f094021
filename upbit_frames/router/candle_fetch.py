"""Fetch what the store lacks of the final candles of one series, from the archive and over REST."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace

from upbit_frames.archive.importer import Archive
from upbit_frames.core.arrow import slice_time
from upbit_frames.core.availability import DAY, SECONDS_KEPT, rest_horizon, sealed_until, split_expired
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT
from upbit_frames.core.intervals import EPOCH, Interval, Span, intersect, iso, merge, subtract
from upbit_frames.core.route import EXPIRED, FORCED, MISSING, NOWHERE, Step
from upbit_frames.core.schema import arrow_schema
from upbit_frames.router.call_store import CallStore
from upbit_frames.router.candle_pages import CONCURRENCY, Page, backfill
from upbit_frames.router.candle_plan import bar_hint, not_cached, plan_sealed
from upbit_frames.router.history_start import nothing_older, pause
from upbit_frames.router.plan import PlanContext
from upbit_frames.router.ports import Ports, fill_from_archive, fill_from_shared, sync_server_time
from upbit_frames.router.single_flight import single_flight
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.store.base import Series

__all__ = ["CandleFetcher"]

WORTH_COMPACTING = 8  # pages of one call after which the small files they left are merged
DATE_TRIES = 3  # of a page that was written before the present; the third in a row moves the clock
NEVER = 2**62


class CandleFetcher:
    """Fetches the final candles of one market and interval for one call.

    Parameters
    ----------
    ports : Ports
    store : CallStore
    market : str
    interval : Interval
    source : {"auto", "store", "rest", "live", "archive"}
    progress : Progress
    concurrency : int
        Requests this series may have under way at once.

    Attributes
    ----------
    fetched : list of Step
        What was fetched, with the requests it took.
    unavailable : list of Span
        Ranges that no source serves any more.
    unproven : list of Span
        What the exchange has no candles in, where no other sign confirms it.
    open : list of Span
        What was fetched and is not final yet by the clock of the server that sent it.
    """

    def __init__(
        self, ports: Ports, store: CallStore, market: str, interval: Interval, source: str, progress: Progress,
        concurrency: int = CONCURRENCY,
    ) -> None:  # fmt: skip
        self.ports = ports
        self.store = store
        self.market = market
        self.interval = interval
        self.source = source
        self.progress = progress
        self.concurrency = min(concurrency, ports.concurrency)
        self.series = Series("candles", market, interval.name)
        self.fetched: list[Step] = []
        self.unavailable: list[Span] = []
        self.unavailable_reason = EXPIRED
        self.unproven: list[Span] = []
        self.open: list[Span] = []
        self.warnings: list[str] = []

    @property
    def plan_context(self) -> PlanContext:
        """What decisions of this call rest on, now."""
        return self.ports.plan_context(self.source)

    @property
    def pending(self) -> list[Span]:
        """What was fetched and is not final yet, by the exchange's time as it is known now."""
        final = sealed_until(self.interval, self.ports.server_time.now())
        return intersect(self.open, [Span(final, NEVER)])

    def missing(self, span: Span, covered: Sequence[Span]) -> list[Span]:
        """Return what is neither covered, nor lost for ever, nor unproven, nor pending."""
        return subtract([span], [*covered, *self.unavailable, *self.unproven, *self.pending])

    async def ensure(self, span: Span, covered: Sequence[Span] | None = None) -> None:
        """Fetch what is missing of a range on the grid, as far as any source serves it.

        Parameters
        ----------
        covered : sequence of Span, optional
            What the store covers, if that was looked up just now.
        """
        if covered is None:
            covered = await in_thread(self.store.covered, self.series)
        missing = self.missing(span, covered)
        if not missing:
            return
        if self.source == "store":
            raise not_cached(self.market, self.interval, missing)

        def lacking() -> bool:
            return bool(self.missing(span, self.store.covered(self.series)))

        async with single_flight(self.ports, self.store, self.series, lacking):
            await self._execute(span)

    def shared_ranges(self) -> list[Span]:
        """Return what the shared store covers of this series; lists it, so not for the loop."""
        return self.ports.shared_ranges(self.series, self.source)

    async def _fetch_shared(self, span: Span, covered: list[Span]) -> list[Span]:
        """Copy what the shared store has of a range into the store; return what the store covers then."""
        missing = self.missing(span, covered)
        copied = await fill_from_shared(self.ports, self.store, self.series, missing, self.source, self.progress)
        self._note(copied.steps(self.market))
        self.warnings += copied.warnings
        return merge([*covered, *copied.parts])

    async def _execute(self, span: Span) -> None:
        """Execute the steps that the plan has for what is missing of a range now."""
        covered = await self._fetch_shared(span, await in_thread(self.store.covered, self.series))
        if self.source == "shared":
            if self.missing(span, covered):
                raise not_cached(self.market, self.interval, self.missing(span, covered), shared=True)
            return
        expired, _ = split_expired(self.interval, self.missing(span, covered), self.plan_context.now)
        if expired and self.source != "archive":
            await sync_server_time(self.ports, self.market, self.progress)
        known = subtract([span], self.missing(span, covered))
        steps = [
            step
            for step in plan_sealed(self.market, self.interval, span, known, self.source, self.plan_context)
            if step.channel != "store"
        ]
        archive = self.ports.archive_for(self.source)
        if archive is not None and steps:
            missing = await self._fetch_files(merge(step.span for step in steps), archive)
        else:
            self.unavailable = merge([*self.unavailable, *(step.span for step in steps if step.channel == "none")])
            missing = [step.span for step in steps if step.channel == "rest"]
            self.progress.hint = self._archive_hint(missing)
        if missing:
            await self._fetch_pages(missing, covered)

    def _archive_hint(self, missing: list[Span]) -> str:
        """Say beside a progress bar what the archive would save, where it is off and that is much."""
        return bar_hint(self.market, self.interval, missing, self.source, self.plan_context)

    async def _fetch_files(self, missing: list[Span], archive: Archive) -> list[Span]:
        """Take from the archive what it has; what is left for REST."""
        now = self.ports.server_time.now()
        filled = await fill_from_archive(
            archive, self.ports, self.store, self.series, missing, self.progress,
            rest_from=None if self.source == "archive" else rest_horizon(self.interval, now),
        )  # fmt: skip
        self._note(filled.steps)
        self.warnings += filled.warnings
        if filled.lost:
            self.unavailable = merge([*self.unavailable, *filled.lost])
            self.unavailable_reason = NOWHERE
        return filled.rest

    async def _fetch_pages(self, missing: list[Span], before: Sequence[Span]) -> None:
        counts = [0] * len(missing)
        starts = [span.start for span in missing]
        self.progress.expected += sum(-(-self.interval.slots(*span) // CANDLES_MAX_COUNT) for span in missing)

        async def fetch(to: int, count: int) -> Page:
            counts[max(0, bisect_right(starts, to - 1) - 1)] += 1
            return await self.page(to, count)

        async def known_before(moment: int) -> bool:
            # What Upbit drops after three months may well be known from earlier or from the archive.
            if self._expires(moment):
                return False
            for part in intersect(before, [Span(EPOCH, moment)]):
                if (await in_thread(self.store.count_covered, self.series, part)).rows:
                    return True
            return False

        try:
            outcome = await backfill(
                missing, self.interval, fetch, self.keep, self._nothing_older,
                page_size=CANDLES_MAX_COUNT, concurrency=self.concurrency, known_before=known_before,
                pause=lambda attempt: pause(self.ports, attempt),
            )  # fmt: skip
        finally:
            reason = FORCED if self.source == "rest" else MISSING
            self._note(
                Step("rest", reason, *part, requests=requests, market=self.market)
                for part, requests in zip(missing, counts, strict=True)
            )
        if outcome.requests >= WORTH_COMPACTING:
            await in_thread(self.store.compact, self.series)
        if self._expires(outcome.history_start):
            self.unavailable = merge([*self.unavailable, Span(EPOCH, outcome.history_start or EPOCH)])
        elif outcome.unproven:
            self.unproven = merge([*self.unproven, *outcome.unproven])
            self.warnings.append(
                f"{self.market} {self.interval}: the exchange has no candle before {iso(self.unproven[-1].end)}, and "
                "nothing else confirms it; it counts for this answer and is not stored"
            )

    async def _nothing_older(self, claim: int, row: bool) -> bool | None:
        if self._expires(claim):
            return True  # of which nothing is stored
        return await nothing_older(self.ports, self.store, self.series, claim, row, self.progress)

    def _note(self, steps: Iterable[Step]) -> None:
        """Add what was fetched to the route; what had to be fetched twice stays one step."""
        for step in steps:
            for at, known in enumerate(self.fetched):
                if (known.channel, known.start, known.end) == (step.channel, step.start, step.end):
                    self.fetched[at] = replace(known, requests=known.requests + step.requests)
                    break
            else:
                self.fetched.append(step)

    async def page(self, to: int, count: int) -> Page:
        """Fetch the newest ``count`` candles before ``to``, from an answer that is not older than the present."""
        for _ in range(DATE_TRIES):
            reply = await self.ports.api.candles(self.market, self.interval, to=to, count=count)
            self.progress.requests += 1
            server_time = self.ports.server_time
            present = sealed_until(self.interval, server_time.now())
            if min(to, present) <= sealed_until(self.interval, server_time.by(reply.server_time)):
                break  # else it is older than the present: of another time, or by another clock
        table = reply.table
        self.progress.rows += len(table)
        if len(table) == 0:
            return Page(0, None, None)
        return Page(len(table), table["time"][0].value, (table, reply.server_time))

    async def keep(self, span: Span, page: Page) -> None:
        """Store what a page holds, as far as it is final."""
        table, date = page.payload or (arrow_schema("candles").empty_table(), None)
        if page.payload is None and self._expires(span.end):
            return
        server_time = self.ports.server_time
        if span.end > sealed_until(self.interval, server_time.now()) and not server_time.settled:
            await sync_server_time(self.ports, self.market, self.progress)
        until = sealed_until(self.interval, server_time.by(date))
        final = Span(span.start, max(span.start, min(span.end, until)))
        if final.end < span.end:
            self.open = merge([*self.open, Span(final.end, span.end)])
            table = slice_time(table, final)
        if final.empty:
            return
        await in_thread(self.store.write, self.series, table, final)

    def _expires(self, history_start: int | None) -> bool:
        """Whether history seems to begin there only because Upbit drops old second candles."""
        if history_start is None or self.interval.name != "1s":
            return False
        return history_start < self.ports.server_time.now() - SECONDS_KEPT + 5 * DAY
