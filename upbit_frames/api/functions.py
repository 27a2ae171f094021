"""The module-level calls with the settings in force; loaded on first use by the package."""

from __future__ import annotations

from typing import Any

from upbit_frames.api import calls
from upbit_frames.api.invocation import as_function, as_open_function

__all__ = [
    "bars",
    "books",
    "bundle",
    "candles",
    "catalog",
    "compare",
    "cross_section",
    "download",
    "explain",
    "follow",
    "instruments",
    "map",
    "markets",
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

bars = as_function(calls.bars)
books = as_function(calls.books)
bundle = as_function(calls.bundle)
candles = as_function(calls.candles)
catalog = as_function(calls.catalog)
compare = as_function(calls.compare)
cross_section = as_function(calls.cross_section)
download = as_function(calls.download)
follow = as_function(calls.follow)
explain = as_function(calls.explain)
instruments = as_function(calls.instruments)
map = as_open_function(calls.map_markets)  # noqa: A001 - uf.map is meant
markets = as_function(calls.markets)
orderbook = as_function(calls.orderbook)
panel = as_function(calls.panel)
plan = as_function(calls.plan)
quality = as_function(calls.quality)
record = as_open_function(calls.record)
scan = as_function(calls.scan)
sql = as_function(calls.sql)
stream = as_open_function(calls.stream)
ticker = as_function(calls.ticker)
trades = as_function(calls.trades)
universe = as_function(calls.universe)
update = as_function(calls.update)

for _name in __all__:  # found there by pickle, which sends them to other processes by name
    _face: Any = globals()[_name]
    _face.__module__, _face.__name__, _face.__qualname__ = __name__, _name, _name
