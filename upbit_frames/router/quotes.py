"""Market lists, tickers and order books: values of the present.

Prices and books are never kept. The market list and the instruments change rarely, so they are
kept in memory for a minute and shared by simultaneous callers; an error is never kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from upbit_frames.core.endpoints import REGIONS
from upbit_frames.core.known_changes import whereabouts
from upbit_frames.core.route import Step, metadata
from upbit_frames.core.schema import arrow_schema
from upbit_frames.core.topics import DEPTHS, Topic
from upbit_frames.errors import MarketNotFound, QueryError, SchemaError
from upbit_frames.exchange.rest_api import Page
from upbit_frames.router.live_rules import LiveRequest
from upbit_frames.router.ports import LiveResult, LiveSource, Ports
from upbit_frames.router.result import Result
from upbit_frames.runtime.event_loop import in_thread

if TYPE_CHECKING:
    import pyarrow as pa

    from upbit_frames.exchange.wire.message_tables import CachedRows

__all__ = ["QuoteRouter"]

MAX_CODES = 500  # 855 codes in one call are known to work; URLs have limits elsewhere
NOT_CACHEABLE = "never cached: valid only at the moment of the request"
CACHED = "fetched less than a minute ago"

FetchCodes = Callable[[Sequence[str]], Awaitable[Page]]
"""Fetches the rows of a list of market codes."""


class QuoteRouter:
    """Serves values of the present: market lists, tickers, order books.

    Parameters
    ----------
    ports : Ports
    region : str
        Decides which quote currencies there are.
    live : LiveSource, optional
        Serves frequent requests; without it REST does.
    keep_list : function (table, time), optional
        Keeps each list of markets that is fetched, with when it was true (microseconds UTC); may block.
    """

    def __init__(
        self, ports: Ports, region: str, live: LiveSource | None = None,
        keep_list: Callable[[pa.Table, int], None] | None = None,
    ) -> None:  # fmt: skip
        self.ports = ports
        self.keep_list = keep_list
        self.live = live
        self.quotes = REGIONS[region].quotes
        self.lists_cache = ports.lists_cache

    # --- lists that change rarely ----------------------------------------------------------------

    async def markets(self, quote: str | None) -> Result:
        """Every market, or those of one quote currency."""
        import pyarrow.compute as pc

        table, kept = await self._cached_markets()
        if quote is not None:
            wanted = quote.upper()
            names = table["market"].cast("string")
            chosen = table.filter(pc.starts_with(names, f"{wanted}-"))
            if not len(chosen):
                raise QueryError(
                    f"there is no market with the quote currency {quote!r}",
                    suggestion=f"there are {', '.join(sorted({n.split('-')[0] for n in names.to_pylist()}))}",
                )
            table = chosen
        return Result(table, self._meta("markets", [self._step(kept, len(table))]))

    async def listed(self, quote: str | None = None) -> tuple[str, ...]:
        """Return the codes of every market, or of those of one quote currency."""
        return tuple((await self.markets(quote)).arrow["market"].cast("string").to_pylist())

    async def _cached_markets(self) -> tuple[pa.Table, bool]:
        async def fetch() -> pa.Table:
            page = await self.ports.api.markets()
            if self.keep_list is not None:
                await in_thread(self.keep_list, page.table, page.server_time or self.ports.server_time.now())
            return page.table

        table, cached = await self.lists_cache.get("markets", self.ports.clock.monotonic, fetch)
        return table, cached

    async def require(self, markets: Sequence[str], level: float = 0.0) -> None:
        """Make sure that the exchange knows these markets, and can group their books by ``level``.

        A stream needs it: what it does not know it ignores without a word.

        Raises
        ------
        MarketNotFound, QueryError
        """
        listed = set((await self._cached_markets())[0]["market"].cast("string").to_pylist())
        unknown = [code for code in markets if code not in listed]
        if unknown:
            raise _unknown_error(unknown)
        if not level:
            return
        table = (await self.instruments(markets)).table
        rows = zip(table["market"].to_pylist(), table["supported_levels"].to_pylist(), strict=True)
        plain = [code for code, levels in rows if level not in (levels or ())]
        if plain:
            raise _level_error(plain, f"{level:g}")

    async def instruments(self, markets: Sequence[str]) -> Result:
        """Tick size and price groupings of the markets."""
        key = ("instruments", tuple(sorted(markets)))

        async def fetch() -> tuple[pa.Table, list[str], int]:
            return await self._fetch_codes("instruments", markets, self.ports.api.instruments, skip=False)

        (table, _, requests), kept = await self.lists_cache.get(key, self.ports.clock.monotonic, fetch)
        table = sort_by_request(table, markets)
        return Result(table, self._meta("instruments", [self._step(kept, len(table), requests)], markets))

    # --- prices ------------------------------------------------------------------------------------

    async def ticker(
        self, markets: Sequence[str] | None, quote: str | None, skip: bool, source: str = "auto"
    ) -> Result:
        """The latest of the markets, of a quote currency, or of everything, each in one request."""
        if markets is None:
            if source == "live":
                raise QueryError("a stream needs a list of markets", suggestion="give them, or leave out source='live'")
            quotes = self.quotes if quote is None else (quote.upper(),)
            if quote is not None and quote.upper() not in self.quotes:
                raise QueryError(
                    f"there is no quote currency {quote!r} here", suggestion=f"there are {', '.join(self.quotes)}"
                )
            table = (await self.ports.api.tickers_by_quote(quotes)).table
            return Result(table, self._meta("ticker", [self._step(False, len(table))]))
        live, why = await self._try_live("ticker", _topics("ticker", markets, None, None), source, None)
        if live is not None:
            return live
        table, skipped, requests = await self._fetch_codes("ticker", markets, self.ports.api.tickers, skip=skip)
        table = sort_by_request(table, markets)
        return Result(table, self._meta("ticker", [self._step(False, len(table), requests, why)], markets, skipped))

    # --- the stream -------------------------------------------------------------------------------

    def cached_quotes(
        self, kind: str, markets: Sequence[str] | None, source: str, depth: int | None = None, level: str | None = None
    ) -> Result | None:
        """Return the cached rows of the stream, if there are any; from any thread, in microseconds."""
        if self.live is None or markets is None or source != "auto":
            return None
        topics = _topics(kind, markets, depth, level)
        live = self.live.cached_quotes(self._live_request(kind, topics, source), topics, depth)
        return None if live is None or live.cached is None else self._live_result(kind, topics, live, live.cached)

    async def _try_live(
        self, kind: str, topics: list[Topic], source: str, depth: int | None
    ) -> tuple[Result | None, str]:
        """The stream's answer; where REST has to give it, why."""
        if self.live is None:
            return None, NOT_CACHEABLE
        if source == "live":
            await self.require([topic.market for topic in topics], topics[0].level)
        live = await self.live.live_quotes(self._live_request(kind, topics, source), topics, depth)
        if live.cached is None:
            return None, live.choice.text
        return self._live_result(kind, topics, live, live.cached), ""

    def _live_request(self, kind: str, topics: Sequence[Topic], source: str) -> LiveRequest:
        return LiveRequest(kind, markets=len(topics), source=source, may_subscribe=self.ports.streams)

    def _live_result(self, kind: str, topics: Sequence[Topic], live: LiveResult, cached: CachedRows) -> Result:
        now = self.ports.server_time.now()
        step = Step("live", live.choice.text, now, now, len(cached))
        meta = self._meta(kind, [step], [topic.market for topic in topics])
        return Result(None, meta | {"age_ms": round(live.age, 3)}, cached=cached)

    async def orderbook(
        self, markets: Sequence[str], depth: int, level: str | None, skip: bool, source: str = "auto"
    ) -> Result:
        """The books of the markets to the given depth, in one request."""
        live, why = await self._try_live("orderbook", _topics("orderbook", markets, depth, level), source, depth)
        if live is not None:
            return live
        fetch = partial(self.ports.api.order_books, depth=depth, level=level)
        table, skipped, requests = await self._fetch_codes("orderbook", markets, fetch, skip=skip)
        answered = set(table["market"].cast("string").to_pylist())
        silent = [code for code in markets if code not in answered and code not in skipped]
        if silent and level not in (None, "0"):
            if not skip:
                raise _level_error(silent, level)
            skipped = [*skipped, *silent]
        table = sort_by_request(table, markets)
        return Result(table, self._meta("orderbook", [self._step(False, len(table), requests, why)], markets, skipped))

    # --- lists with unknown codes --------------------------------------------------------------------

    async def _fetch_codes(
        self, kind: str, markets: Sequence[str], fetch: FetchCodes, *, skip: bool
    ) -> tuple[pa.Table, list[str], int]:
        """Table, skipped codes and requests of an endpoint that takes a list of codes.

        One unknown code makes Upbit refuse the whole list without naming it, so the market list
        identifies it; only if that fails, the list is bisected.
        """
        import pyarrow as pa

        tables, skipped, requests = [], [], 0
        for low in range(0, len(markets), MAX_CODES):
            part = list(markets[low : low + MAX_CODES])
            while part:
                requests += 1
                try:
                    tables.append((await fetch(part)).table)
                except MarketNotFound as error:
                    unknown, sent = await self._find_unknown(part, fetch)
                    requests += sent
                    if not skip or not unknown:
                        raise _not_found(unknown or part, error) from error
                    skipped += unknown
                    part = [code for code in part if code not in unknown]
                    continue
                break
        table = pa.concat_tables(tables, promote_options="default") if tables else arrow_schema(kind).empty_table()
        return table.unify_dictionaries(), skipped, requests

    async def _find_unknown(self, markets: list[str], fetch: FetchCodes) -> tuple[list[str], int]:
        listed = set((await self._cached_markets())[0]["market"].cast("string").to_pylist())
        unknown = [code for code in markets if code not in listed]
        if unknown or len(markets) == 1:
            return unknown or markets, 1
        sent = 1
        for half in (markets[: len(markets) // 2], markets[len(markets) // 2 :]):
            sent += 1
            try:
                await fetch(half)
            except MarketNotFound:
                culprits, more = ([half[0]], 0) if len(half) == 1 else await self._find_unknown(half, fetch)
                unknown += culprits
                sent += more
        return unknown, sent

    # --- telling ------------------------------------------------------------------------------------------

    def _step(self, kept: bool, rows: int, requests: int = 1, why: str = NOT_CACHEABLE) -> Step:
        now = self.ports.server_time.now()
        if kept:
            return Step("memory", CACHED, now, now, rows)
        return Step("rest", why, now, now, rows, requests)

    def _meta(
        self, kind: str, steps: list[Step], markets: Sequence[str] | None = None, skipped: Sequence[str] = ()
    ) -> dict[str, Any]:
        return metadata(
            kind,
            steps,
            market=None if markets is None else list(markets),
            skipped=list(skipped) or None,
            fetched_at=self.ports.server_time.now(),
        )


def _topics(kind: str, markets: Sequence[str], depth: int | None, level: str | None) -> list[Topic]:
    return [Topic(kind, market, float(level or 0), depth or DEPTHS[-1]) for market in markets]


def _not_found(unknown: list[str], error: MarketNotFound) -> MarketNotFound:
    return _unknown_error(
        unknown, "; errors='skip' leaves them out", status=error.context.get("status"), url=error.context.get("url")
    )


def _unknown_error(unknown: list[str], way_out: str = "", **context: Any) -> MarketNotFound:
    known = whereabouts(unknown) or "misspelt, delisted, or of another region? uf.markets() lists all"
    return MarketNotFound(
        f"the exchange does not know {', '.join(unknown)}",
        suggestion=f"{known}{way_out}",
        markets=unknown,
        **context,
    )


def _level_error(markets: list[str], level: str) -> QueryError:
    return QueryError(
        f"{', '.join(markets)} cannot be grouped by {level}",
        suggestion="uf.instruments(markets) lists the levels each market has",
        markets=markets,
    )


def sort_by_request(table: pa.Table, markets: Sequence[str]) -> pa.Table:
    """Return the rows in the order of the requested markets."""
    import pyarrow as pa

    place = {code: i for i, code in enumerate(markets)}
    codes = table["market"].cast("string").to_pylist()
    unexpected = {code for code in codes if code not in place}
    if unexpected:
        raise SchemaError(
            f"the exchange answered with {', '.join(sorted(unexpected)[:5])}, which was not requested",
            suggestion="check what stands between you and the exchange",
        )
    order = sorted(range(len(codes)), key=lambda i: place[codes[i]])
    return table.take(pa.array(order, pa.int64()))
