"""The codes of the markets that a call is about, by the exchange's list or by what is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from upbit_frames.core.market_selection import MarketSelection, code_named
from upbit_frames.core.query import CandleQuery, TradeQuery
from upbit_frames.errors import NotCached
from upbit_frames.router.derive import candidates
from upbit_frames.runtime.event_loop import in_thread

if TYPE_CHECKING:
    from upbit_frames.router.quotes import QuoteRouter
    from upbit_frames.store.base import Store

__all__ = ["resolve", "resolve_query", "stored_query"]

Q = TypeVar("Q", CandleQuery, TradeQuery)


async def resolve(quotes: QuoteRouter, selection: MarketSelection) -> tuple[str, ...]:
    """Return the codes of a selection; the exchange's list of markets is fetched where it is needed.

    Raises
    ------
    InvalidMarket, MarketNotFound
        If a name is ambiguous or unknown.
    QueryError
        If there is no market of a quote currency.
    """
    if selection.settled:
        return selection.markets
    codes: list[str] = []
    if selection.names:
        table = (await quotes.markets(None)).arrow
        listed = list(zip(table["market"].cast("string").to_pylist(), table["korean_name"].to_pylist(), strict=True))
        codes = [market if market.isascii() else code_named(market, listed) for market in selection.markets]
    else:
        codes = list(selection.markets)
    for quote in selection.quotes:
        codes += await quotes.listed(quote)
    return tuple(dict.fromkeys(codes))


async def resolve_query(quotes: QuoteRouter, selection: MarketSelection, query: Q) -> Q:
    """Return a query with the codes of its markets; with ``source="store"`` by what is stored."""
    if selection.settled:
        return query
    if query.source == "store":
        resolved: Q = await in_thread(stored_query, quotes.ports.store, selection, query)
        return resolved
    return replace(query, markets=await resolve(quotes, selection))


def stored_query(store: Store, selection: MarketSelection, query: Q) -> Q:
    """Return a query with the codes of the markets that are stored; reads the store's folders.

    Raises
    ------
    NotCached
        If nothing of a quote currency is stored, or a name would have to be looked up.
    """
    if selection.settled:
        return query
    if selection.names:
        raise NotCached(
            f"the exchange's list of markets, which says what {selection.names[0]!r} is, is not stored",
            suggestion="give codes such as 'KRW-BTC', or leave out source='store'",
        )
    kind, intervals = ("candles", _stored_as(query)) if isinstance(query, CandleQuery) else ("trades", [None])
    codes = list(selection.markets)
    for quote in selection.quotes:
        stored = [
            series.market
            for series in store.series()
            if series.kind == kind and series.interval in intervals and series.market.startswith(f"{quote}-")
        ]
        if not stored:
            rows = f"{query.grid} candles" if isinstance(query, CandleQuery) else "trades"
            raise NotCached(
                f"no {rows} of a {quote} market are in the store", suggestion="leave out source='store' to fetch them"
            )
        codes += dict.fromkeys(stored)
    return replace(query, markets=tuple(dict.fromkeys(codes)))


def _stored_as(query: CandleQuery) -> list[str | None]:
    """Return the intervals of which stored candles can serve a query."""
    return [candidate.interval.name for candidate in candidates(query)]
