"""The module-level calls as coroutines.

Examples
--------
>>> from upbit_frames import aio
>>> df = await aio.candles("KRW-BTC", "1m", count=500)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

from upbit_frames.api import calls
from upbit_frames.api.invocation import as_coroutine, as_open_function, as_threaded
from upbit_frames.core.other_names import PUBLIC_COUNTERPARTS, absent

__all__ = [
    "bars",
    "books",
    "bundle",
    "candles",
    "catalog",
    "compare",
    "cross_section",
    "dashboard",
    "download",
    "explain",
    "follow",
    "instruments",
    "map",
    "markets",
    "metrics",
    "orderbook",
    "panel",
    "plan",
    "quality",
    "record",
    "scan",
    "sql",
    "stream",
    "ticker",
    "trades",
    "universe",
    "update",
]

bars = as_coroutine(calls.bars)
books = as_coroutine(calls.books)
bundle = as_coroutine(calls.bundle)
candles = as_coroutine(calls.candles)
catalog = as_coroutine(calls.catalog)
compare = as_coroutine(calls.compare)
cross_section = as_coroutine(calls.cross_section)
dashboard = as_coroutine(calls.dashboard)
download = as_coroutine(calls.download)
explain = as_coroutine(calls.explain)
follow = as_open_function(calls.open_follow)
instruments = as_coroutine(calls.instruments)
map = as_threaded(calls.map_markets)  # noqa: A001 - aio.map is meant
markets = as_coroutine(calls.markets)
metrics = as_coroutine(calls.metrics)
orderbook = as_coroutine(calls.orderbook)
panel = as_coroutine(calls.panel)
plan = as_coroutine(calls.plan)
quality = as_coroutine(calls.quality)
record = as_open_function(calls.open_record)
scan = as_coroutine(calls.scan)
sql = as_coroutine(calls.sql)
stream = as_open_function(calls.open_stream)
ticker = as_coroutine(calls.ticker)
trades = as_coroutine(calls.trades)
universe = as_coroutine(calls.universe)
update = as_coroutine(calls.update)


for _name in __all__:  # found there by pickle, which sends them to other processes by name
    _face: Any = globals()[_name]
    _face.__module__, _face.__name__, _face.__qualname__ = __name__, _name, _name


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise absent("uf.aio", name, __all__, PUBLIC_COUNTERPARTS)
