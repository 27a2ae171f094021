"""Stored series brought up to now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from upbit_frames.api.calls.call import Call
from upbit_frames.api.engine import engine_for
from upbit_frames.api.literals import IntervalLike, Markets, ProgressMode
from upbit_frames.core.arguments import choice
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Interval
from upbit_frames.core.market_selection import MarketSelection, parse_selection
from upbit_frames.datasets.collect import update as collecting
from upbit_frames.errors import QueryError
from upbit_frames.router.market_selection import resolve
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.runtime.progress import Progress
from upbit_frames.runtime.telemetry import telemetry

if TYPE_CHECKING:
    from upbit_frames.datasets.collect.report import Report

__all__ = ["update"]

ERRORS = ("row", "raise")
COLUMNS = {
    "kind": "str", "market": "str", "interval": "object", "status": "str", "rows": "int64", "requests": "int64",
    "start": "time", "end": "time", "compared": "bool", "missing": "str", "expires": "time", "error": "str",
}  # fmt: skip


def update(
    config: Config,
    markets: Markets | None = None,
    interval: IntervalLike | Literal["trades"] | None = None,
    *,
    quote: str | None = None,
    errors: Literal["row", "raise"] = "row",
    progress: ProgressMode | None = None,
) -> Call[Report]:
    """Bring stored series up to now: all of them, or those that are named.

    Each series of candles goes on where its coverage ends. Its last stored candle is fetched again and compared, in
    the same request where there is room: ``ceil((new rows + 1) / 200)`` requests a series, and none where nothing new
    can be final yet. With more than 20,000 new periods the comparison is a request of its own before the
    ``ceil(new rows / 200)``. Once a UTC day the list of markets is fetched, too, for ``uf.universe``, if anything is
    due. Series are brought side by side within the limits; one that fails does not stop the others. A run that was
    broken off is completed by the next one.

    Parameters
    ----------
    markets : str or iterable of str, optional
        Only these markets, as codes or Korean names; a quote currency such as ``"KRW"`` stands for all of its stored
        ones.
    interval : str, optional
        Only this interval, or ``"trades"``.
    quote : str, optional
        Only markets of this quote currency. Not together with ``markets``.
    errors : {"row", "raise"}
        Whether an error is a row of the report only, or the first one is also raised after all series were tried.
    progress : bool or "auto", optional
        A progress bar.

    Returns
    -------
    pandas.DataFrame
        One row a series, with a summary as its ``repr`` and HTML. Columns kind, market, interval (None for trades),
        status, rows (new), requests, start and end (aware UTC, half open: what is newly covered), compared (bool:
        the last stored candle is served as it is stored), missing (ranges no longer served), expires (aware UTC:
        until when the exchange serves what follows ``end``; NaT where it goes on doing so; second candles are kept
        for three months and trades for seven days), error (empty where all is well). Status is ``"updated"``,
        ``"current"``, ``"not listed"`` (delisted or renamed), ``"changed"`` or ``"failed"``.

    Raises
    ------
    QueryError
        If nothing of what is named is stored; ``uf.download`` begins a series.
    SeriesChanged
        With ``errors="raise"``, where the exchange serves other numbers for a stored candle, as after a
        redenomination: with factor, first differing candle and how to refetch. Nothing is stored then.
    StoreError
        If the store cannot be listed.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.update(quote="KRW")  # doctest: +SKIP
    """
    everything = markets is None and quote is None
    selection = MarketSelection(()) if everything else parse_selection(markets, quote, currencies=True)
    unit = None if interval is None else "trades" if interval == "trades" else Interval.parse(interval).name
    strict = choice("errors", errors, ERRORS) == "raise"
    engine = engine_for(config)
    meter = Progress()

    async def work() -> tuple[list[collecting.Outcome], float]:
        begun = engine.ports.clock.monotonic()
        stored = await in_thread(engine.ports.store.series)
        codes = await resolve(engine.quotes, replace(selection, quotes=()))
        chosen = collecting.choose(stored, codes, selection.quotes, unit)
        if not chosen and (unit or not everything):
            named = " ".join([selection.title, unit or ""]).strip()
            raise QueryError(
                f"nothing of {named} is stored, so there is nothing to update",
                suggestion="uf.download begins a series; uf.cache.ls() lists what is stored",
            )
        outcomes = await collecting.update(
            engine.ports, chosen, engine.lists, lambda: engine.quotes.markets(None), meter
        )
        return outcomes, engine.ports.clock.monotonic() - begun

    def finish(answer: tuple[list[collecting.Outcome], float]) -> Report:
        from upbit_frames.datasets.collect.report import report

        outcomes, seconds = answer
        rows = sum(outcome.gain.rows for outcome in outcomes)
        telemetry.answered({"route": [{"channel": "rest", "reason": "update", "rows": rows}] if rows else []})
        failed = next((outcome.error for outcome in outcomes if outcome.error is not None), None)
        if strict and failed is not None:
            raise failed
        lines = collecting.summary(outcomes, seconds, meter.requests)
        return report(map(_row, outcomes), COLUMNS, lines, {"kind": "update", "requests": meter.requests})

    return Call(
        work, finish, meter, f"update {selection.title or 'all'}", config.progress if progress is None else progress
    )


def _row(outcome: collecting.Outcome) -> tuple[Any, ...]:
    series, gain, error = outcome.series, outcome.gain, outcome.error
    reached = gain.span.end if not gain.span.empty else outcome.covered_until
    start = gain.span.start if not gain.span.empty else outcome.covered_until
    return (
        series.kind, series.market, series.interval, outcome.status, gain.rows, outcome.requests, start, reached,
        gain.compared, ", ".join(map(str, gain.missing)), outcome.expires,
        "" if error is None else f"{type(error).__name__}: {error}",
    )  # fmt: skip
