"""What a pinned block (``uf.pinned``) needs of a call: its open end fixed, its rows held against the lock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from upbit_frames.api.engine import engine_for
from upbit_frames.core.bar_grid import named
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import INTERVALS, Span, iso, subtract, to_micros
from upbit_frames.core.market_selection import MarketSelection
from upbit_frames.core.query import CandleQuery, TradeQuery
from upbit_frames.datasets.pins import active_pin
from upbit_frames.errors import CorruptFile, UsageError
from upbit_frames.store.base import Series
from upbit_frames.store.layout import segment_of

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.router.result import Result

__all__ = ["check_pinned", "pin_query"]

Q = TypeVar("Q", CandleQuery, TradeQuery)


def pin_query(
    name: str, selection: MarketSelection, query: Q, *, forming: bool = False, **more: Any
) -> tuple[MarketSelection, Q]:
    """Return markets and query of a call as they were in the run that wrote the lock.

    Outside of a pinned block they are as they are. Inside, a range without an end ends where it did then, and a quote
    currency or a Korean name means the markets that it meant then.

    Parameters
    ----------
    forming : bool
        Whether the call also wants what can still change.
    **more
        What identifies the call beside its query; None for defaults.

    Raises
    ------
    UsageError
        In a pinned block, for what can still change.
    """
    pin = active_pin()
    if pin is None:
        return selection, query
    if forming:
        raise UsageError(
            "forming=True asks for a candle that can still change, which cannot be pinned",
            suggestion="leave it out inside of uf.pinned, or make this call outside of it",
        )
    request = request_of(selection, query, **more)
    markets = pin.markets_of(name, request)
    if markets:
        selection, query = MarketSelection(markets, (), selection.many), replace(query, markets=markets)
    if query.end is not None or (query.start is not None and query.count is not None):
        return selection, query
    end = pin.end_of(name, request)
    return selection, query if end is None else replace(query, end=_moment(end))


def check_pinned(
    config: Config, name: str, selection: MarketSelection, query: CandleQuery | TradeQuery, answer: Result, **more: Any
) -> None:
    """Hold the rows of a call against the lock of the pinned block; does nothing outside of one.

    Raises
    ------
    DataChanged, NotRecorded
    """
    pin = active_pin()
    if pin is None:
        return
    market = "" if query.many else _only(answer.meta["market"])

    def stored(market: str, month: str) -> pa.Table | None:
        interval = None if isinstance(query, TradeQuery) else query.interval.name
        store = engine_for(config).ports.store
        span = _clip(segment_of("month", _moment(f"{month}-01T00:00:00Z")), query.start, query.end)
        try:
            rows, covered = store.read_covered(Series(name, market, interval), span)
        except CorruptFile:
            return None  # set aside: unknown
        return None if subtract([span], covered) else rows.select(_columns(answer.arrow))

    derived = getattr(query, "bars", None) is not None  # which are not stored
    comparable = name in ("candles", "trades") and getattr(query, "gaps", "raw") == "raw" and not derived
    locate = {"stored": stored} if comparable else {}
    pin.check(name, request_of(selection, query, **more), answer.arrow, answer.meta, market, **locate)


def request_of(selection: MarketSelection, query: CandleQuery | TradeQuery, **more: Any) -> dict[str, Any]:
    """Return what identifies a call: its checked arguments, but for the form of the result and its source."""
    request: dict[str, Any] = {
        "market": list(selection.markets) or None,
        "quote": list(selection.quotes) or None,
        "start": None if query.start is None else iso(query.start),
        "end": None if query.end is None else iso(query.end),
        "count": query.count,
        "columns": None if query.columns is None else list(query.columns),
    }
    if isinstance(query, CandleQuery):
        request |= {**named(query.grid), "gaps": query.gaps}
        if query.bars is not None and query.grid.name in INTERVALS and "base" not in request:
            request["source"] = "derived"  # Upbit has candles of its own there, which may have other values
    return {key: value for key, value in (request | more).items() if value is not None}


def _only(market: str | list[str]) -> str:
    return market if isinstance(market, str) else market[0]


def _columns(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name != "market"]


def _moment(text: str) -> int:
    return to_micros(datetime.fromisoformat(text))


def _clip(span: Span, start: int | None, end: int | None) -> Span:
    low = span.start if start is None else max(span.start, start)
    return Span(low, span.end if end is None else max(low, min(span.end, end)))
