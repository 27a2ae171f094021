"""Market lists, tickers and order books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upbit_frames.api.calls.call import Call, render
from upbit_frames.api.engine import engine_for
from upbit_frames.api.literals import Frame, Markets, Output, QuoteSource, Zone
from upbit_frames.core import arguments
from upbit_frames.core.arguments import choice, price_level
from upbit_frames.core.config import Config
from upbit_frames.core.market_selection import MarketSelection, parse_selection
from upbit_frames.core.query import View
from upbit_frames.router.market_selection import resolve

if TYPE_CHECKING:
    from upbit_frames.router.result import Result

__all__ = ["instruments", "markets", "orderbook", "parse_selection_or_all", "ticker"]

ON_ERROR = ("raise", "skip")
QUOTE_SOURCES = ("auto", "rest", "live")


def markets(config: Config, quote: str | None = None, *, output: Output | None = None) -> Call[Frame]:
    """Every market the exchange lists today.

    Parameters
    ----------
    quote : str, optional
        Only those of one quote currency, such as ``"KRW"``.
    output : {"pandas", "arrow", "polars"}, optional

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index ``market``; columns korean_name (null outside Korea), english_name, warning (bool: an
        investment warning, 유의), cautions (list of the names of the caution flags set).
        Delisted markets are not in it. Kept in memory for a minute.

    Notes
    -----
    upbit-api 3.1.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.markets("KRW").index[:2]  # doctest: +SKIP
    """
    view = View.build(config, None, output)
    engine = engine_for(config)
    return Call(lambda: engine.quotes.markets(quote), _finish("markets", view, ["market"]))


def instruments(
    config: Config,
    markets: Markets | None = None,
    *,
    quote: str | None = None,
    output: Output | None = None,
) -> Call[Frame]:
    """Tick size and order book groupings of markets, at today's prices.

    Parameters
    ----------
    markets : str or iterable of str
        Codes or Korean names.
    quote : str, optional
        Every market of one quote currency. Not together with ``markets``.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index ``market``; columns quote_currency, tick_size (float64, quote currency),
        supported_levels (list of float64; 0 means no grouping). Kept in memory for a minute.

    Raises
    ------
    MarketNotFound
        Naming the unknown ones.

    Notes
    -----
    upbit-api 3.7.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.instruments("KRW-BTC")["tick_size"]  # doctest: +SKIP
    """
    view = View.build(config, None, output)
    selection = parse_selection(markets, quote)
    engine = engine_for(config)

    async def work() -> Result:
        return await engine.quotes.instruments(await resolve(engine.quotes, selection))

    return Call(work, _finish("instruments", view, ["market"]))


def ticker(
    config: Config,
    markets: Markets | None = None,
    *,
    quote: str | None = None,
    errors: str = "raise",
    output: Output | None = None,
    tz: Zone | None = None,
    source: QuoteSource = "auto",
) -> Call[Frame]:
    """Last price, change, and sums of the day and of 24 hours, one row a market.

    Parameters
    ----------
    markets : str or iterable of str, optional
        Any number, in one request. Without it: every market.
    quote : str, optional
        Every market of one quote currency, in one request. Not together with ``markets``.
    errors : {"raise", "skip"}
        What an unknown market leads to: an error naming it, or an answer without it; the left out
        ones stand in ``attrs["upbit_frames"]["skipped"]``.
    output, tz : str, optional
        As for :func:`candles`.
    source : {"auto", "rest", "live"}
        With ``"auto"`` REST serves infrequent requests, and a stream frequent ones, from
        memory. ``attrs["upbit_frames"]["route"]`` says which and why; ``uf.explain`` says it before.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index ``market``, in the requested order (by 24 h value without ``markets``). ``uf.schema("ticker")``
        lists the columns: prices in the quote currency, ``value*`` (거래대금) too, ``volume*`` in the
        base currency, times aware. ``change_price`` and ``change_rate`` are signed. Never kept.

    Raises
    ------
    MarketNotFound, QueryError

    Notes
    -----
    upbit-api 3.4 and 3.5.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.ticker(quote="KRW")["value_24h"].head()  # doctest: +SKIP
    """
    view = View.build(config, tz, output)
    skip = choice("errors", errors, ON_ERROR) == "skip"
    choice("source", source, QUOTE_SOURCES)
    selection = parse_selection_or_all(markets, quote)
    engine = engine_for(config)

    async def work() -> Result:
        if selection is None or selection.quotes:  # an endpoint of its own
            return await engine.quotes.ticker(None, selection.quotes[0] if selection else None, skip, source)
        return await engine.quotes.ticker(await resolve(engine.quotes, selection), None, skip, source)

    codes = _codes(selection)
    return Call(
        work,
        _finish("ticker", view, ["market"]),
        cached=lambda: engine.quotes.cached_quotes("ticker", codes, source),
    )


def orderbook(
    config: Config,
    markets: Markets | None = None,
    *,
    quote: str | None = None,
    depth: int = 30,
    level: float | str | None = None,
    errors: str = "raise",
    output: Output | None = None,
    tz: Zone | None = None,
    source: QuoteSource = "auto",
) -> Call[Frame]:
    """Order books, best prices first.

    Parameters
    ----------
    markets : str or iterable of str, optional
        Any number, in one request. Without it: every market.
    quote : str, optional
        Every market of one quote currency. Not together with ``markets``.
    depth : int
        How many price levels of each side, 1 to 30.
    level : float or str, optional
        Group prices by so much of the quote currency; KRW markets in Korea only.
        ``uf.instruments`` lists what each market supports.
    errors, output, tz, source
        As for :func:`ticker`.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame
        Index (market, level), level 0 being the best price. Columns ask_price, ask_size, bid_price,
        bid_size (null where a side is shorter), total_ask_size, total_bid_size (base currency, as
        the exchange states them), grouping, time (of the last change, aware). Never kept.

    Raises
    ------
    MarketNotFound, QueryError

    Notes
    -----
    upbit-api 3.6.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.orderbook(["KRW-BTC", "KRW-ETH"], depth=5, level=10000)  # doctest: +SKIP
    """
    view = View.build(config, tz, output)
    skip = choice("errors", errors, ON_ERROR) == "skip"
    choice("source", source, QUOTE_SOURCES)
    depth = arguments.depth(depth)
    selection = parse_selection_or_all(markets, quote)
    grouping = None if level is None else _grouping(level)
    engine = engine_for(config)

    async def work() -> Result:
        listed = await (engine.quotes.listed() if selection is None else resolve(engine.quotes, selection))
        return await engine.quotes.orderbook(listed, depth, grouping, skip, source)

    codes = _codes(selection)
    return Call(
        work,
        _finish("orderbook", view, ["market", "level"]),
        cached=lambda: engine.quotes.cached_quotes("orderbook", codes, source, depth, grouping),
    )


def parse_selection_or_all(markets: Any, quote: Any) -> MarketSelection | None:
    """Return which markets are meant; None for every market there is."""
    return None if markets is None and quote is None else parse_selection(markets, quote)


def _codes(selection: MarketSelection | None) -> tuple[str, ...] | None:
    """Return the codes, where they are known without asking."""
    return selection.markets if selection is not None and selection.settled else None


def _grouping(level: float | str) -> str:
    """The level as Upbit spells it: whole numbers without a point, fractions as plain decimals."""
    return f"{price_level(level):.8f}".rstrip("0").rstrip(".")


def _finish(kind: str, view: View, index: list[str]) -> Any:
    return lambda result: render(result, kind, view, index)
