"""The sync and the async client: every call with settings of its own.

The calls are built at run time, see ``invocation``.
"""

from __future__ import annotations

from upbit_frames.api import calls
from upbit_frames.api.invocation import (
    AsyncClosing,
    Closing,
    as_async_method,
    as_method,
    as_opener,
    as_threaded_method,
)

__all__ = ["AsyncClient", "Client"]


class Client(Closing):
    """Every call with settings of its own. A context manager that closes itself.

    Parameters
    ----------
    config : Config, optional
        Default: the settings in force when the client is created.
    **settings
        Single settings on top of it.

    Examples
    --------
    >>> client = Client(tz="Asia/Seoul")
    >>> client.config.tz
    'Asia/Seoul'
    """

    bars = as_method(calls.bars)
    books = as_method(calls.books)
    bundle = as_method(calls.bundle)
    candles = as_method(calls.candles)
    catalog = as_method(calls.catalog)
    compare = as_method(calls.compare)
    cross_section = as_method(calls.cross_section)
    dashboard = as_method(calls.dashboard)
    download = as_method(calls.download)
    explain = as_method(calls.explain)
    follow = as_method(calls.follow)
    instruments = as_method(calls.instruments)
    map = as_opener(calls.map_markets)
    markets = as_method(calls.markets)
    metrics = as_method(calls.metrics)
    orderbook = as_method(calls.orderbook)
    panel = as_method(calls.panel)
    plan = as_method(calls.plan)
    quality = as_method(calls.quality)
    record = as_opener(calls.record)
    scan = as_method(calls.scan)
    sql = as_method(calls.sql)
    stream = as_opener(calls.stream)
    ticker = as_method(calls.ticker)
    trades = as_method(calls.trades)
    update = as_method(calls.update)
    universe = as_method(calls.universe)


class AsyncClient(AsyncClosing):
    """The same calls as coroutines, for any event loop. An async context manager that closes itself.

    Parameters
    ----------
    config, **settings
        As for :class:`Client`.

    Examples
    --------
    >>> async with AsyncClient(tz="Asia/Seoul") as client:  # doctest: +SKIP
    ...     df = await client.candles("KRW-BTC", "1h", count=24)
    """

    bars = as_async_method(calls.bars)
    books = as_async_method(calls.books)
    bundle = as_async_method(calls.bundle)
    candles = as_async_method(calls.candles)
    catalog = as_async_method(calls.catalog)
    compare = as_async_method(calls.compare)
    cross_section = as_async_method(calls.cross_section)
    dashboard = as_async_method(calls.dashboard)
    download = as_async_method(calls.download)
    explain = as_async_method(calls.explain)
    follow = as_opener(calls.open_follow)
    instruments = as_async_method(calls.instruments)
    map = as_threaded_method(calls.map_markets)
    markets = as_async_method(calls.markets)
    metrics = as_async_method(calls.metrics)
    orderbook = as_async_method(calls.orderbook)
    panel = as_async_method(calls.panel)
    plan = as_async_method(calls.plan)
    quality = as_async_method(calls.quality)
    record = as_opener(calls.open_record)
    scan = as_async_method(calls.scan)
    sql = as_async_method(calls.sql)
    stream = as_opener(calls.open_stream)
    ticker = as_async_method(calls.ticker)
    trades = as_async_method(calls.trades)
    update = as_async_method(calls.update)
    universe = as_async_method(calls.universe)
