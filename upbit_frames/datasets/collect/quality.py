"""Examine stored candles: coverage, gaps with their causes, and everything that looks wrong. Reads only the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from upbit_frames.core.availability import DAY, expires, rest_horizon, sealed_until
from upbit_frames.core.bar_grid import contains
from upbit_frames.core.gaps import missing_ranges
from upbit_frames.core.intervals import EPOCH, INTERVALS, Interval, Span, from_micros, intersect, iso, merge, subtract
from upbit_frames.core.text import counted
from upbit_frames.datasets.collect.checks import (
    LOOKED_AT,
    Columns,
    Finding,
    Witness,
    columns_of,
    disagreements,
    impossible,
    jumps,
    outages,
    quiet_tail,
)
from upbit_frames.datasets.collect.universe import LISTED, NOT_LISTED, Universe
from upbit_frames.router.call_store import CallStore
from upbit_frames.store.base import Series, Store
from upbit_frames.store.results import Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CAUSES", "Examination", "examine", "summary"]

CAUSES = ("traded", "no trade", "outage", "before listing", "unknown")
MOST_WITNESSES = 8  # other markets that are read to distinguish an outage from a silence, the busiest first
MOST_GAPS = 200  # of one cause that are listed one by one, the longest first
STALE = DAY  # how far behind the present the coverage of a series may be
SOON = 14 * DAY  # before its expiry a range that is still served is a warning


@dataclass
class Examination:
    """What was found in one series.

    Attributes
    ----------
    series : Series
    span : Span
        What was looked at.
    periods : dict of str to int
        How many periods of it were traded, or not for which cause.
    parts : dict of str to list of Span
        Where, for the causes other than ``traded`` and ``no trade``.
    findings : list of Finding
    compared : int
        Candles compared with those of another interval.
    """

    series: Series
    span: Span
    periods: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    parts: dict[str, list[Span]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    compared: int = 0

    @property
    def problems(self) -> list[Finding]:
        """The findings that are warnings or errors."""
        return [finding for finding in self.findings if finding.severity in ("warning", "error")]


def examine(
    store: Store, chosen: Sequence[Series], start: int | None, end: int | None, now: int, universe: Universe
) -> list[Examination]:
    """Examine series of candles.

    Parameters
    ----------
    start, end : int or None
        Default: from the first stored candle; to the end of what is covered, and then the present is looked at, too.
    now : int
        The exchange's time.
    universe : Universe
        What is known of listings.
    """
    stored = [series for series in store.series() if series.grid is not None]
    pairs: set[tuple[Series, Series]] = set()
    results = []
    for series in chosen:
        examined = _Series(store, series, start, end, now, universe)
        examination = examined.run([other for other in stored if other.interval == series.interval and other != series])
        for fine, coarse in _pairs(series, stored):
            if (fine, coarse) not in pairs:
                pairs.add((fine, coarse))
                examined.compare(fine, coarse)
        examination.findings.sort(key=lambda finding: (ORDER.index(finding.severity), finding.span))
        results.append(examination)
    return results


ORDER = ("error", "warning", "info", "ok")


def _pairs(series: Series, stored: Sequence[Series]) -> list[tuple[Series, Series]]:
    """Return a series with the next finer and the next coarser stored one of its market, as (fine, coarse)."""
    own = [candidate for candidate in stored if candidate.market == series.market]
    finer = [candidate for candidate in own if candidate != series and _contains(candidate, series)]
    coarser = [candidate for candidate in own if candidate != series and _contains(series, candidate)]
    pairs = [(max(finer, key=_step), series)] if finer else []
    return pairs + ([(series, min(coarser, key=_step))] if coarser else [])


def _contains(fine: Series, coarse: Series) -> bool:
    return contains(_grid(fine), _grid(coarse))


def _grid(series: Series) -> Interval:
    return INTERVALS[series.interval or ""]


def _step(series: Series) -> int:
    return _grid(series).step


class _Series:
    """One series under examination."""

    def __init__(
        self, store: Store, series: Series, start: int | None, end: int | None, now: int, universe: Universe
    ) -> None:
        self.store = CallStore(store, required=True)
        self.inner = store
        self.series = series
        self.interval = _grid(series)
        self.now = now
        self.universe = universe
        self.to_now = end is None
        covered = self.store.covered(series)
        table = self.store.head_covered(series, covered[0].start, 1).table if covered else None
        covered = self.store.covered(series)  # without the files that were found damaged just now
        self.first = table["time"][0].value if table is not None and len(table) else None
        self.listed_from = self.first if covered and covered[0].start <= self.interval.ceil(EPOCH) else None
        known_end = covered[-1].end if covered else sealed_until(self.interval, now)
        low = self.interval.ceil(start) if start is not None else self.first if self.first is not None else known_end
        high = self.interval.ceil(end) if end is not None else known_end
        self.result = Examination(series, Span(low, max(low, high)))
        self.covered = intersect(covered, [self.result.span])

    def run(self, others: Sequence[Series]) -> Examination:
        times = self._numbers()
        own = Witness(times, self.covered)
        self._gaps(own, others)
        self._damage()
        if self.to_now:
            self._present(own)
        return self.result

    # --- rows, a year at a time -------------------------------------------------------------------------

    def _numbers(self) -> NDArray[np.int64]:
        """Check the numbers of all rows; return their times. What was read is what is covered from here on."""
        import numpy as np

        times, covered_parts = [np.zeros(0, np.int64)], []
        carried: Columns | None = None
        for table, covered in self._readings(self.series, self.covered):
            covered_parts += covered
            if not len(table):
                continue
            columns = columns_of(table)
            times.append(columns["time"])
            self.result.findings += impossible(columns, self.interval)
            joined = columns if carried is None else {name: np.append(carried[name], columns[name]) for name in columns}
            begin = columns["time"][0]
            self.result.findings += [jump for jump in jumps(joined, self.interval) if jump.span.start >= begin]
            carried = {name: values[-LOOKED_AT:] for name, values in columns.items()}
        self.covered = merge(covered_parts)
        return np.concatenate(times)

    def _readings(self, series: Series, spans: Sequence[Span]) -> Iterator[Reading]:
        """Read ranges a calendar year at a time, so that no more is in memory, with what is covered of them."""
        for part in _years(spans):
            yield self.store.read_covered(series, part)

    # --- silence ----------------------------------------------------------------------------------------

    def _gaps(self, own: Witness, others: Sequence[Series]) -> None:
        interval, span, result = self.interval, self.result.span, self.result
        unknown = subtract([span], self.covered)
        before = [] if self.listed_from is None else intersect([Span(span.start, self.listed_from)], self.covered)
        silent = [
            gap
            for part in subtract(self.covered, before)
            for gap in missing_ranges(own.times, interval, part)
        ]  # fmt: skip
        out = outages(silent, own, self._witnesses(others, silent), interval)
        quiet = subtract(silent, out)
        result.parts = {"outage": out, "before listing": before, "unknown": unknown}
        for cause, parts in (*result.parts.items(), ("no trade", quiet)):
            result.periods[cause] = sum(interval.slots(*part) for part in parts)
        result.periods["traded"] = len(own.times)
        self._list("unknown", "warning", unknown, "not stored; uf.download fetches what is still served")
        self._list("outage", "info", out, "no market that is stored traded")
        self._list("before listing", "info", before, "nothing is older than the first candle")
        alone = "" if others else "; no other market is stored that could show an outage"
        self._list("no trade", "ok", quiet, f"covered, and there is no candle{alone}")

    def _list(self, cause: str, severity: str, parts: Sequence[Span], detail: str) -> None:
        ordered = sorted(parts, key=lambda part: part.start - part.end)
        for part in ordered[:MOST_GAPS]:
            self.result.findings.append(Finding("gap", severity, cause, part, self.interval.slots(*part), detail))
        rest = ordered[MOST_GAPS:]
        if rest:
            periods = sum(self.interval.slots(*part) for part in rest)
            around = Span(min(part.start for part in rest), max(part.end for part in rest))
            text = f"{len(rest):,} more, none longer than those listed; {detail}"
            self.result.findings.append(Finding("gap", severity, cause, around, periods, text))

    def _witnesses(self, others: Sequence[Series], gaps: Sequence[Span]) -> list[Witness]:
        """Read the busiest other markets around the gaps."""
        import numpy as np

        if not gaps:
            return []
        span = self.result.span
        rows = {other: self.store.count_covered(other, span).rows for other in others}
        busiest = sorted((market for market in others if rows[market]), key=lambda market: -rows[market])[
            :MOST_WITNESSES
        ]
        witnesses = []
        for market in busiest:
            times, covered_parts = [np.zeros(0, np.int64)], []
            for table, covered in self._readings(market, intersect(self.store.covered(market), [span])):
                times.append(np.asarray(table["time"].cast("int64")))
                covered_parts += covered
            witnesses.append(Witness(np.concatenate(times), merge(covered_parts)))
        return witnesses

    # --- damage, the present ----------------------------------------------------------------------------

    def _damage(self) -> None:
        for problem in self.inner.problems(self.series):
            span = problem.span or self.result.span
            if intersect([span], [self.result.span]):
                self.result.findings.append(
                    Finding("damage", "error", problem.problem, span, self.interval.slots(*span), problem.detail)
                )

    def _present(self, own: Witness) -> None:
        """Look at what the end of the series means now."""
        sealed = sealed_until(self.interval, self.now)
        listed = self.universe.lists[-1] if self.universe.lists else None
        state = None if listed is None else LISTED if self.series.market in listed.markets else NOT_LISTED
        gone = state == NOT_LISTED
        known_until = self.covered[-1].end if self.covered else self.result.span.end
        behind = Span(known_until, max(known_until, sealed))
        if behind.end - behind.start > max(STALE, 2 * self.interval.step):
            text = "the market is not on the newest list kept" if gone else "uf.update() goes on from there"
            self.result.findings.append(
                Finding(
                    "stale", "info" if gone else "warning", "not updated", behind, self.interval.slots(*behind), text
                )
            )
        tail = quiet_tail(own, self.interval, known_until)
        if tail is not None:
            cause = "not listed any more" if gone else "no trade at the end"
            text = f"nothing traded since {iso(tail.start)}, unlike before"
            self.result.findings.append(
                Finding("stale", "info" if gone else "warning", cause, tail, self.interval.slots(*tail), text)
            )
        if expires(self.interval, 0) is not None:
            self._expiry(sealed)

    def _expiry(self, sealed: int) -> None:
        """Find what is not stored, is still served, and will not be for long."""
        served = Span(self.interval.ceil(rest_horizon(self.interval, self.now)), sealed)
        begin = max(served.start, self.result.span.start)
        for part in subtract([Span(begin, max(begin, served.end))], self.store.covered(self.series)):
            until = expires(self.interval, part.start) or 0
            severity = "warning" if until - self.now < SOON else "info"
            text = f"not stored; served until about {iso(until)}"
            self.result.findings.append(
                Finding("expiry", severity, "will expire", part, self.interval.slots(*part), text)
            )

    # --- other intervals --------------------------------------------------------------------------------

    def compare(self, fine: Series, coarse: Series) -> None:
        """Compare two intervals of the market where both are covered."""
        both_covered = intersect(intersect(self.store.covered(fine), self.store.covered(coarse)), [self.result.span])
        for part in _years(both_covered):
            finer, coarser = (self.store.read_covered(series, part) for series in (fine, coarse))
            shared = intersect(finer.covered, coarser.covered)
            findings, compared = disagreements(finer.table, _grid(fine), coarser.table, _grid(coarse), shared)
            self.result.findings += findings
            self.result.compared += compared


def _years(spans: Sequence[Span]) -> list[Span]:
    """Cut ranges at the beginning of calendar years."""
    year = INTERVALS["1y"]
    parts = []
    for span in merge(spans):
        low = span.start
        while low < span.end:
            high = min(span.end, year.shift(year.floor(low), 1))
            parts.append(Span(low, high))
            low = high
    return parts


def summary(results: Sequence[Examination]) -> list[str]:
    """Describe the examinations, a line each, after one for all."""
    wrong = [finding for result in results for finding in result.problems]
    errors = sum(finding.severity == "error" for finding in wrong)
    lines = [
        f"{len(results):,} series: {counted(errors, 'error')}, {counted(len(wrong) - errors, 'warning')}"
        if wrong
        else f"{len(results):,} series: nothing looks wrong"
    ]
    for result in results:
        total = sum(result.periods.values())
        shares = ", ".join(
            f"{cause} {number / total:.2%}" for cause, number in result.periods.items() if number and total
        )
        agree = result.compared and not any(finding.check == "identity" for finding in result.findings)
        compared = f"; {result.compared:,} candles agree with another interval" if agree else ""
        begin, end = from_micros(result.span.start), from_micros(result.span.end)
        lines.append(
            f"{result.series}, {begin:%Y-%m-%d} to {end:%Y-%m-%d %H:%M}: {shares or 'nothing stored'}{compared}"
        )
    return lines
