"""Names that users of other libraries look for, and what stands here instead (pure)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["PUBLIC_COUNTERPARTS", "absent"]

_FEW = 30  # names that a message lists
_DROP_IN = "upbit_frames.compat.pyupbit has it as it is there"
_ORDERS = "orders and accounts need keys, and only market data is here"

PUBLIC_COUNTERPARTS = {
    # pyupbit
    "get_ohlcv": f"uf.candles(market, interval, count=…); {_DROP_IN}",
    "get_ohlcv_from": f"uf.candles(market, interval, start=…); {_DROP_IN}",
    "get_daily_ohlcv_from_base": f"uf.candles(market, '1d', base=…); {_DROP_IN}",
    "get_current_price": f"uf.ticker(markets)['price']; {_DROP_IN}",
    "get_tickers": f"uf.markets(quote), whose index has the codes; {_DROP_IN}",
    "get_orderbook": f"uf.orderbook(markets); {_DROP_IN}",
    "get_tick_size": f"uf.instruments(markets)['tick_size']; {_DROP_IN}",
    "WebSocketManager": f"uf.stream(markets, kind); {_DROP_IN}",
    "WebSocketClient": f"uf.stream(markets, kind); {_DROP_IN}",
    "Upbit": _ORDERS,
    "get_balance": _ORDERS,
    "get_balances": _ORDERS,
    "buy_market_order": _ORDERS,
    "sell_market_order": _ORDERS,
    # ccxt
    "fetch_ohlcv": "uf.candles(market, interval, count=…)",
    "fetch_ticker": "uf.ticker(markets)",
    "fetch_tickers": "uf.ticker(markets)",
    "fetch_order_book": "uf.orderbook(markets)",
    "fetch_trades": "uf.trades(market, count=…)",
    "fetch_markets": "uf.markets()",
    "load_markets": "uf.markets()",
    "watch_trades": "uf.stream(markets, 'trade')",
    "watch_ticker": "uf.stream(markets, 'ticker')",
    "watch_order_book": "uf.stream(markets, 'orderbook')",
    # FinanceDataReader, yfinance and words of the field
    "DataReader": "uf.candles(market, '1d', start=…)",
    "StockListing": "uf.markets()",
    "ohlcv": "uf.candles(market, interval)",
    "klines": "uf.candles(market, interval)",
    "history": "uf.candles(market, interval, start=…)",
    "price": "uf.ticker(markets)['price']",
    "prices": "uf.ticker(markets)['price']",
    "order_book": "uf.orderbook(markets)",
    "websocket": "uf.stream(markets, kind)",
    "subscribe": "uf.stream(markets, kind)",
    "symbols": "uf.markets()",
    "save": "candles are stored as they are fetched: uf.cache; files are df.to_csv(…), df.to_parquet(…)",
}


def absent(owner: str, name: str, names: Iterable[str], counterparts: dict[str, str] | None = None) -> AttributeError:
    """Build the error for an attribute that does not exist, with what exists instead.

    Parameters
    ----------
    owner : str
        What was looked into, as users write it.
    name : str
    names : iterable of str
        Its public names.
    counterparts : dict, optional
        What stands here for names of other libraries.

    Examples
    --------
    >>> print(absent("uf", "get_tickers", ["markets"], {"get_tickers": "uf.markets()"}))
    uf has no 'get_tickers'. Suggestion: the counterpart is uf.markets()
    >>> print(absent("df.uf", "chrt", ["chart", "plot"]))
    df.uf has no 'chrt'. Suggestion: did you mean df.uf.chart?
    """
    if name.startswith("_"):  # what tools look for, and users do not
        return AttributeError(f"{owner} has no {name!r}")
    there = sorted(one for one in names if not one.startswith("_"))
    known = (counterparts or {}).get(name)
    if known is not None:
        hint = known if known is _ORDERS else f"the counterpart is {known}"
    else:
        near = difflib.get_close_matches(name.lower(), there, n=1, cutoff=0.75)
        all_ = f"there are {', '.join(there)}" if len(there) <= _FEW else f"dir({owner}) lists what there is"
        hint = f"did you mean {owner}.{near[0]}?" if near else all_
    return AttributeError(f"{owner} has no {name!r}. Suggestion: {hint}")
