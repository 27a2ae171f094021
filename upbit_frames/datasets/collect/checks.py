"""What can be wrong with stored candles: silent markets, impossible numbers, disagreement, jumps (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from upbit_frames.core.candle_checks import NUMBERS, violations
from upbit_frames.core.gaps import missing_ranges
from upbit_frames.core.intervals import Interval, Span, intersect, iso, subtract
from upbit_frames.core.resample import resample

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Finding", "Witness", "disagreements", "impossible", "jumps", "outages", "quiet_tail"]

EVIDENCE = 25.0  # nats: the chance that so many markets are silent together by accident is 1e-11
OTHERS = 12.0  # nats of it that the other markets must bring: one market alone shows no outage of all
LONGEST_DENSITY = 0.9999
REDENOMINATION, JUMP = 3.0, 5.0  # times by which a price moves between two candles
LOOKED_AT = 20  # candles before and after a jump whose volumes are compared
VOLUME_RATIO = (0.99924, 1.00053)  # of Upbit's own day volumes to the sum of their hours (upbit-api 12.3)
OPEN_RATIO = 0.01
ROUNDING = 1e-8
RARE = 0.02  # share of periods in which Upbit's own candles may disagree

Columns = dict[str, Any]
"""The columns of candles as arrays, ``time`` as int64 microseconds."""


class Finding(NamedTuple):
    """One fact about a series.

    Attributes
    ----------
    check : {"gap", "impossible", "identity", "jump", "stale", "expiry", "damage"}
    severity : {"ok", "info", "warning", "error"}
    cause : str
    span : Span
        Where, half open.
    periods : int
        How many candles it is about.
    detail : str
    """

    check: str
    severity: str
    cause: str
    span: Span
    periods: int
    detail: str


class Witness(NamedTuple):
    """The candles of one market: when it traded, and of which ranges that is known.

    Attributes
    ----------
    times : numpy.ndarray
        Starts of its candles, int64 microseconds, ascending.
    covered : list of Span
    """

    times: NDArray[np.int64]
    covered: list[Span]


def columns_of(table: pa.Table) -> Columns:
    """Return the columns of a table of candles as arrays."""
    import numpy as np

    return {"time": np.asarray(table["time"].cast("int64"))} | {name: np.asarray(table[name]) for name in NUMBERS}


# --- silence ------------------------------------------------------------------------------------------


def density(witness: Witness, interval: Interval) -> float:
    """Return the share of the covered periods from the first candle on in which a market traded."""
    if not len(witness.times):
        return 0.0
    from_first = intersect(witness.covered, [Span(int(witness.times[0]), int(witness.times[-1]) + 1)])
    slots = sum(interval.slots(*span) for span in from_first)
    return min(LONGEST_DENSITY, len(witness.times) / slots) if slots else 0.0


def nats(share: float) -> float:
    """Return how much one silent period of a market of that density speaks for something unusual."""
    return -math.log1p(-share)


def outages(gaps: Sequence[Span], own: Witness, others: Sequence[Witness], interval: Interval) -> list[Span]:
    """Find the parts of a market's gaps in which every other market was silent, too, and surely not by accident.

    Parameters
    ----------
    gaps : sequence of Span
        Where the market has no candle; covered.
    own : Witness
    others : sequence of Witness
        Those that do not cover a gap say nothing of it.
    """
    span = Span(gaps[0].start, gaps[-1].end) if gaps else Span(0, 0)
    weighted = sorted(((nats(density(witness, interval)), witness) for witness in others), key=lambda pair: -pair[0])
    common = list(gaps)
    for _, witness in weighted:  # the busiest first, which leaves little
        covered = intersect(witness.covered, [span])
        silent = [gap for part in covered for gap in missing_ranges(witness.times, interval, part)]
        common = intersect(common, [*silent, *subtract([span], covered)])
    own_nats = nats(density(own, interval))
    shared: list[Span] = []
    for part in common:
        periods = interval.slots(*part)
        by_others = periods * sum(weight for weight, witness in weighted if not subtract([part], witness.covered))
        if by_others >= OTHERS and by_others + periods * own_nats >= EVIDENCE:
            shared.append(part)
    return shared


def quiet_tail(own: Witness, interval: Interval, end: int) -> Span | None:
    """Return the range without a candle at the end of what is covered, if it is too long for the market's density."""
    if not len(own.times) or not own.covered:
        return None
    tail = Span(interval.shift(int(own.times[-1]), 1), min(end, own.covered[-1].end))
    whole = not tail.empty and not subtract([tail], own.covered)
    return tail if whole and interval.slots(*tail) * nats(density(own, interval)) > EVIDENCE else None


# --- numbers ------------------------------------------------------------------------------------------


def impossible(columns: Columns, interval: Interval) -> list[Finding]:
    """Find numbers that no candle can have, one finding a rule and column."""
    times = columns["time"]
    wrong = [(f"{violation.column}: {violation.rule}", violation.wrong) for violation in violations(columns, interval)]
    least = columns["volume"] * columns["low"] * (1 - 1e-6) - 1e-7
    most = columns["volume"] * columns["high"] * (1 + 1e-6) + 1e-7
    outside = (columns["value"] < least) | (columns["value"] > most)
    if outside.any():
        wrong.append(("value: outside of volume times low and high", outside))
    findings = []
    for text, rows in wrong:
        places = rows.nonzero()[0]
        first, last = int(times[places[0]]), int(times[places[-1]])
        span = Span(first, interval.shift(interval.floor(last), 1))
        findings.append(
            Finding(
                "impossible", "error", text, span, len(places), f"{len(places):,} candles, the first at {iso(first)}"
            )
        )
    return findings


def jumps(columns: Columns, interval: Interval) -> list[Finding]:
    """Find prices that moved between two candles as after a redenomination, or more than any market does."""
    import numpy as np

    closes, opens, volumes, times = (columns[name] for name in ("close", "open", "volume", "time"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = opens[1:] / closes[:-1]
        moved = np.abs(np.log(ratios))
    findings = []
    for place in np.flatnonzero(moved > math.log(REDENOMINATION)).tolist():
        after = place + 1
        ratio = float(ratios[place])
        volume = _median(volumes[after : after + LOOKED_AT]) / (
            _median(volumes[max(0, after - LOOKED_AT) : after]) or 1
        )
        rescaled = volume > 0 and abs(math.log(ratio * volume)) < math.log(REDENOMINATION)
        if not rescaled and moved[place] <= math.log(JUMP):
            continue
        at = Span(int(times[after]), interval.shift(int(times[after]), 1))
        detail = f"prices times {ratio:.4g}, volumes times {volume:.4g}, after the candle at {iso(int(times[place]))}"
        findings.append(Finding("jump", "warning", "like a redenomination" if rescaled else "price", at, 1, detail))
    return findings


def _median(values: Any) -> float:
    import numpy as np

    return float(np.median(values)) if len(values) else 0.0


# --- the same range in two intervals ------------------------------------------------------------------


def disagreements(
    fine: pa.Table, finer: Interval, coarse: pa.Table, coarser: Interval, both_covered: Sequence[Span]
) -> tuple[list[Finding], int]:
    """Compare candles with the exact aggregate of finer ones, where both are known; also how many were compared.

    Upbit's own day candles disagree with its hours on rare days (upbit-api 12.3): volumes within ``VOLUME_RATIO``, or
    the open alone. Such ones are of severity ``info``, unless they are many.
    """
    theirs: dict[str, list[tuple[int, str]]] = {"known": [], "wrong": []}
    compared = 0
    for span in both_covered:
        derived = _by_time(resample(_cut(fine, span), finer, coarser, span=span))
        whole = Span(coarser.ceil(span.start), coarser.floor(span.end))
        stored = _by_time(_cut(coarse, whole))
        compared += len(derived.keys() | stored.keys())
        for time in sorted(derived.keys() | stored.keys()):
            kind, text = _compare(derived.get(time), stored.get(time), finer, coarser)
            if kind:
                theirs[kind].append((time, text))
    findings = [
        Finding("identity", "error", f"{finer} and {coarser} disagree", _period(coarser, time), 1, text)
        for time, text in theirs["wrong"]
    ]
    rare = len(theirs["known"]) <= max(1, RARE * compared)
    cause = f"{finer} and {coarser} disagree as Upbit's own do on rare days"
    findings += [
        Finding("identity", "info" if rare else "warning", cause, _period(coarser, time), 1, text)
        for time, text in theirs["known"]
    ]
    return findings, compared


def _compare(derived: Any, stored: Any, finer: Interval, coarser: Interval) -> tuple[str, str]:
    if derived is None or stored is None:
        present, lacking = (finer, coarser) if stored is None else (coarser, finer)
        return "wrong", f"there is a candle of {present} and none of {lacking}"
    differing = [name for name in NUMBERS if not math.isclose(derived[name], stored[name], rel_tol=ROUNDING)]
    if not differing:
        return "", ""
    text = "; ".join(f"{name}: {finer} gives {derived[name]!r}, {coarser} has {stored[name]!r}" for name in differing)
    days = coarser.step >= 86_400_000_000 and finer.step >= 3_600_000_000
    low, high = VOLUME_RATIO
    amounts = set(differing) <= {"volume", "value"} and all(
        low <= stored[name] / (derived[name] or math.inf) <= high for name in differing
    )
    opens = differing == ["open"] and abs(stored["open"] / derived["open"] - 1) <= OPEN_RATIO
    return ("known" if days and (amounts or opens) else "wrong"), text


def _by_time(table: pa.Table) -> dict[int, dict[str, float]]:
    columns = columns_of(table)
    rows: Iterator[tuple[Any, ...]] = zip(*(columns[name].tolist() for name in ("time", *NUMBERS)), strict=True)
    return {row[0]: dict(zip(NUMBERS, row[1:], strict=True)) for row in rows}


def _cut(table: pa.Table, span: Span) -> pa.Table:
    import numpy as np

    low, high = np.searchsorted(np.asarray(table["time"].cast("int64")), (span.start, span.end))
    return table.slice(int(low), max(0, int(high - low)))


def _period(interval: Interval, start: int) -> Span:
    return Span(start, interval.shift(start, 1))
