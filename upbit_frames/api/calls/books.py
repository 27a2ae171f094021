"""Order books that were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from upbit_frames.api.calls.call import Call, warn_user
from upbit_frames.api.engine import engine_for
from upbit_frames.api.literals import Frame, Moment, Output, Zone
from upbit_frames.core import arguments
from upbit_frames.core.arguments import choice, sampling
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Span, iso, merge, subtract
from upbit_frames.core.markets import parse_market
from upbit_frames.core.moments import parse_moment, parse_zone
from upbit_frames.core.query import View, parse_span
from upbit_frames.core.route import metadata
from upbit_frames.datasets.collect import books as recorded
from upbit_frames.errors import NotCached, QueryError
from upbit_frames.runtime.event_loop import in_thread
from upbit_frames.store.base import Series, Store

if TYPE_CHECKING:
    from upbit_frames.router.shared_store import SharedShelf

__all__ = ["books"]

MISSING = ("warn", "raise", "ignore")
MOST_SAMPLES = 10_000_000
LEAD = 3_600_000_000  # microseconds before a range in which the book that stands at its start is looked for


def books(
    config: Config,
    market: str,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    at: Moment | None = None,
    levels: int = 15,
    every: str | None = None,
    missing: Literal["warn", "raise", "ignore"] = "warn",
    tz: Zone | None = None,
    output: Output | None = None,
) -> Call[Frame]:
    """Order books that ``uf.record`` has stored: each of a range, samples of it, or the one of a moment.

    With the setting ``shared_store``, also those that another machine recorded and published.

    Parameters
    ----------
    market : str
    start, end : optional
        ``[start, end)``, moments as in :func:`candles`, by the exchange's clock. An end that is left open begins or
        ends with what was recorded.
    at : optional
        One moment in place of a range.
    levels : int
        Price levels of each side, 1 to 30.
    every : str, optional
        The book as of ``start``, ``start + every`` and so on, such as ``"1s"``. Default: every recorded book.
    missing : {"warn", "raise", "ignore"}
        What to do where part of the range was not recorded.
    tz, output : str, optional
        As for :func:`candles`.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index ``time`` (aware; when the book changed, or the moment of the sample), ascending; several books may have
        one time and are in order of arrival. Columns received_at (aware, when the book arrived at the machine that
        recorded it), total_ask_size, total_bid_size, and for each level ``ask_price_0`` (the best), ``ask_size_0``,
        ``bid_price_0``, ``bid_size_0``, … (float64; NaN where a side is shorter). Samples have a column ``updated``,
        too: when the book had changed last. ``attrs["upbit_frames"]["missing"]`` lists what was not recorded. ``.uf``
        has mid, spread, imbalance, depth, microprice and to_hftbacktest.

    Raises
    ------
    NotCached
        If nothing of the range, or the moment, was recorded; with ``missing="raise"`` if part of it was not.
    InvalidMarket, InvalidRange, InvalidInterval, QueryError
    StoreError

    Warns
    -----
    UpbitFramesWarning
        Naming the ranges that were not recorded.

    Notes
    -----
    What was not recorded is never bridged: a sample whose moment lies in such a range is NaN, also where a book is
    known from before. Where there is no book in a recorded range, the book did not change.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> day = uf.books("KRW-BTC", "2026-03-01", "2026-03-02", every="1s")  # doctest: +SKIP
    >>> day.uf.spread().describe()  # doctest: +SKIP
    """
    view = View.build(config, tz, output)
    series = Series("orderbook", parse_market(market))
    depth, step = arguments.whole("levels", levels, 1, arguments.MAX_DEPTH), sampling(every)
    policy = choice("missing", missing, MISSING)
    engine = engine_for(config)
    zone, now = parse_zone(view.tz), engine.ports.server_time.now
    moment = None if at is None else parse_moment(at, zone, "at", now)
    if moment is not None and (start is not None or end is not None or step):
        raise QueryError("at was given with start, end or every", suggestion="give a moment, or a range")
    low, high = parse_span(start, end, zone, now)

    def read() -> tuple[Any, list[Span], list[str]]:
        store, shared = engine.ports.store, engine.ports.shared
        span = Span(moment, moment + 1) if moment is not None else _range(store, shared, series, low, high)
        warnings = [] if shared is None else _copy_shared(store, shared, series, span)
        return *_read(store, series, span, step if moment is None else 1, depth), warnings

    async def work() -> tuple[Any, list[Span], list[str]]:
        return await in_thread(read)

    def finish(answer: tuple[Any, list[Span], list[str]]) -> Frame:
        from upbit_frames.frames.output import to_output

        table, unknown, warnings = answer
        warn_user(warnings)
        if unknown and policy == "raise":
            raise _not_recorded(series, unknown)
        if unknown and policy == "warn":
            warn_user([recorded.missing_text(series, unknown)])
        spans = [[iso(span.start), iso(span.end)] for span in unknown]
        attrs = metadata("books", None, market=series.market, levels=depth, every=every, missing=spans, rows=len(table))
        return to_output(table, "books", view.output, tz=view.tz, attrs=attrs)

    if engine.ports.shared is not None:  # which may have to be listed: not in the caller's thread
        return Call(work, finish)
    return Call(work, finish, stored=read)


def _range(store: Store, shared: SharedShelf | None, series: Series, low: int | None, high: int | None) -> Span:
    """Return the range to read: an open end is that of what was recorded, here or in the shared store."""
    covered = store.covered(series)
    if shared is not None and (low is None or high is None):
        covered = merge([*covered, *shared.covered(series)])
    if not covered:
        raise _not_recorded(series, [] if low is None or high is None else [Span(low, high)])
    start = covered[0].start if low is None else low
    end = covered[-1].end if high is None else high
    if start >= end:
        raise _not_recorded(series, [Span(min(start, end), max(start, end) + 1)])
    return Span(start, end)


def _copy_shared(store: Store, shared: SharedShelf, series: Series, span: Span) -> list[str]:
    """Copy what the shared store has of a range, and of the books before it, into the local one; return warnings."""
    wanted = Span(max(0, span.start - LEAD), span.end)
    missing = subtract([wanted], store.covered(series))
    return shared.copy_into(store, series, missing).warnings if missing else []


def _read(store: Store, series: Series, span: Span, step: int, depth: int) -> tuple[Any, list[Span]]:
    import pyarrow as pa

    if not step:
        table, unknown = recorded.whole_range(store, series, span)
        if unknown == [span]:
            raise _not_recorded(series, unknown)
        return recorded.flat(table, depth), unknown
    if (span.end - span.start) // step > MOST_SAMPLES:
        raise QueryError(f"more than {MOST_SAMPLES:,} samples", suggestion="choose a longer period, or a shorter range")
    moments = np.arange(span.start, span.end, step, dtype=np.int64)
    table, known = recorded.sampled(store, series, moments, depth)
    if not known.any():
        raise _not_recorded(series, [span])
    times = pa.array(moments).cast(table.schema.field("time").type)
    samples = table.rename_columns(["updated", *table.column_names[1:]])
    return samples.add_column(0, "time", times), recorded.unknown_spans(known, moments, span.end)


def _not_recorded(series: Series, spans: list[Span]) -> NotCached:
    return NotCached(
        recorded.missing_text(series, spans),
        suggestion="uf.record(market) records order books from now on; the exchange serves none of the past",
        market=series.market,
        missing=[[iso(span.start), iso(span.end)] for span in spans],
    )
