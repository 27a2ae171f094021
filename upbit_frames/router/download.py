"""Work on whole series: downloading many at once, and checking what is stored against the source."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upbit_frames.archive.importer import Filler
from upbit_frames.core.availability import rest_horizon, sealed_until
from upbit_frames.core.endpoints import CANDLES_MAX_COUNT, candles_endpoint
from upbit_frames.core.intervals import Interval, Span, intersect
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import InvalidRange, QueryError, UpbitFramesError
from upbit_frames.exchange import wire as normalize
from upbit_frames.router.candle_fetch import CandleFetch
from upbit_frames.router.candle_history import History
from upbit_frames.router.plan import iso
from upbit_frames.router.ports import Meter, Ports, cut, in_thread, synchronise
from upbit_frames.router.trade_history import TradesHistory
from upbit_frames.store.base import Finding, Series

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Summary", "cross_check", "download"]

MARKETS_AT_ONCE = 4


@dataclass(frozen=True)
class Summary:
    """What a download brought for one market.

    Attributes
    ----------
    market : str
    rows : int
        Stored in the range now.
    stored, rest, archive : int
        Rows that were there before, came over REST, came from the archive.
    requests : int
    missing : list of str
        Stretches nobody could answer.
    error : str or None
        Why this market could not be finished.
    """

    market: str
    rows: int = 0
    stored: int = 0
    rest: int = 0
    archive: int = 0
    requests: int = 0
    missing: tuple[str, ...] = ()
    error: str | None = None


async def download(
    ports: Ports,
    markets: Sequence[str],
    interval: Interval | None,
    start: int,
    end: int | None,
    source: str,
    meter: Meter,
) -> list[Summary]:
    """Have a stretch of many markets in the store; None as interval means trades.

    A market that fails does not stop the others; whatever was fetched of it is stored.
    """
    room = asyncio.Semaphore(MARKETS_AT_ONCE)

    async def one(market: str) -> Summary:
        async with room:
            try:
                return await _one(ports, market, interval, start, end, source, meter)
            except UpbitFramesError as error:
                return Summary(market, error=f"{type(error).__name__}: {error.message}")

    return list(await asyncio.gather(*(one(market) for market in markets)))


async def _one(
    ports: Ports, market: str, interval: Interval | None, start: int, end: int | None, source: str, meter: Meter
) -> Summary:
    history: History | TradesHistory
    if interval is None:
        history = trades = TradesHistory(ports, market, source, meter, into_store=True)
        fetch: CandleFetch | TradesHistory = trades
    else:
        history = candles = History(ports, market, interval, source, meter, walks=2, into_store=True)
        fetch = candles.fetch
    await synchronise(ports, market, meter)
    span = _span(ports, interval, start, end)
    counted = await history.fill(span)
    counts = {"store": 0, "rest": 0, "archive": 0}
    for step in history.route(span, arrow_schema(history.series.kind).empty_table()):
        if step.channel in counts:
            for part in intersect([Span(step.start, step.end)], [span]):
                counts[step.channel] += (await in_thread(history.store.count_covered, history.series, part)).rows
    return Summary(
        market,
        rows=counted.rows,
        requests=sum(step.requests for step in fetch.fetched),
        missing=tuple(str(lost) for lost in intersect([span], fetch.lost)),
        stored=counts["store"],
        rest=counts["rest"],
        archive=counts["archive"],
    )


def _span(ports: Ports, interval: Interval | None, start: int, end: int | None) -> Span:
    now = ports.server_time.now()
    last = now if interval is None else sealed_until(interval, now)
    high = last if end is None else min(end, last)
    span = Span(start, high) if interval is None else Span(interval.ceil(start), interval.ceil(high))
    if span.empty:
        raise InvalidRange(f"start={iso(start)} lies in the future", suggestion=f"the exchange's clock says {iso(now)}")
    return span


async def cross_check(ports: Ports, market: str, interval: Interval, sample: int, repair: bool) -> list[Finding]:
    """Compare stored candles with fresh answers.

    ``sample`` pages at random places are asked again over REST, and the digests of all files
    that came from the archive are compared with those published now.

    Parameters
    ----------
    repair : bool
        Let what was found different be replaced by what the source says now.
    """
    series = Series("candles", market, interval.name)
    findings = await _check_pages(ports, series, interval, sample, repair)
    if ports.archive is not None and ports.archive_allowed:
        filler = Filler(ports.archive, ports.store, series, now=ports.server_time.now())
        corrected = await filler.corrected()
        findings += [
            Finding(series, "corrected", f"the archive's {file.member} was replaced by Upbit", span=file.period)
            for file in corrected
        ]
        if repair and corrected:
            await filler.renew(corrected)
    return findings


async def _check_pages(ports: Ports, series: Series, interval: Interval, sample: int, repair: bool) -> list[Finding]:
    reach = Span(rest_horizon(interval, ports.server_time.now()), 2**62)
    info = await in_thread(ports.store.info, series)
    if info.first is None or info.last is None:
        raise QueryError(f"nothing of {series.market} {interval} is stored", suggestion="fetch it first")
    known = intersect(intersect(info.covered, [Span(info.first, info.last + interval.step)]), [reach])
    findings: list[Finding] = []
    picker = random.Random(f"{series}{info.rows}")
    for _ in range(sample if known else 0):
        span = picker.choices(known, weights=[one.end - one.start for one in known])[0]
        to = interval.shift(interval.floor(picker.randrange(span.start, span.end)), 1)
        findings += await _check_page(ports, series, interval, span, to, repair)
    return findings


async def _check_page(
    ports: Ports, series: Series, interval: Interval, known: Span, to: int, repair: bool
) -> list[Finding]:
    params = {"market": series.market, "to": iso(to), "count": str(CANDLES_MAX_COUNT)}
    reply = await ports.rest.get(candles_endpoint(interval), params)
    fresh = normalize.candles(reply.body, series.market, interval)
    low = fresh["time"][0].value if len(fresh) else known.start
    span = Span(max(known.start, low), min(to, known.end))
    if span.empty:
        return []
    fresh = cut(fresh, span)
    stored = await in_thread(ports.store.read, series, span)
    if stored.equals(fresh):
        return []
    if repair:
        await in_thread(_replace, ports, series, fresh, span)
    return [Finding(series, "different", text, span=span) for text in differences(stored, fresh)]


def _replace(ports: Ports, series: Series, fresh: pa.Table, span: Span) -> None:
    ports.store.write(series, fresh, span, origin="rest", replace=True)


def differences(stored: pa.Table, fresh: pa.Table) -> list[str]:
    """Every row and column in which two tables of candles differ, in words."""
    ours = {row["time"]: row for row in stored.to_pylist()}
    theirs = {row["time"]: row for row in fresh.to_pylist()}
    found: list[str] = []
    for time in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(time), theirs.get(time)
        at = time.isoformat()
        if mine is None or other is None:
            found.append(f"{at} is {'not stored' if mine is None else 'stored, but the source has no such candle'}")
            continue
        found += [
            f"{at} {name}: stored {mine[name]!r}, source {other[name]!r}" for name in mine if mine[name] != other[name]
        ]
    return found


def to_rows(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """The summaries as rows of a frame."""
    return [
        {
            "market": one.market, "rows": one.rows, "stored": one.stored, "rest": one.rest, "archive": one.archive,
            "requests": one.requests, "missing": ", ".join(one.missing), "error": one.error or "",
        }
        for one in summaries
    ]  # fmt: skip
