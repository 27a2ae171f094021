"""Upbit market data as clean frames.

>>> import upbit_frames as uf
>>> df = uf.candles("KRW-BTC", "1m", start="2026-01-01", end="2026-03-01")  # doctest: +SKIP

======================================  ==========================================================
``candles``, ``trades``                 history of any length; ``plan`` and ``explain`` say how
``bars``                                bars that end by trades, volume or value
``panel``, ``cross_section``            many markets side by side; at one moment
``ticker``, ``orderbook``               prices now
``markets``, ``instruments``            what is listed, and its price ticks
``universe``, ``quality``, ``catalog``  what was listed when; whether what is stored is sound; all of it
``stream``, ``follow``                  live rows; history that continues
``download``, ``update``, ``cache``     many series at once; up to now; the local store
``scan``, ``sql``, ``map``              the store for Polars, DuckDB, Dask, Arrow; one function, many markets
``pinned``, ``bundle``, ``cite``        a data set frozen, packed for a reviewer, cited
``cassette``, ``cassettes``, ``tape``   record once, replay offline
``configure``, ``using``, ``config``    settings
``Client``, ``AsyncClient``, ``aio``    the same calls with settings of their own; as coroutines
``metrics``, ``dashboard``, ``compare`` what the router did; REST and stream side by side
``schema``, ``errors``, ``notebook``    columns; exceptions; help in notebooks
``df.uf``                               gaps, validate, resample, fill, plot of any frame of candles
======================================  ==========================================================

Everything is loaded on first use: importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upbit_frames import errors
from upbit_frames._version import __version__
from upbit_frames.core.config import Config, config, configure, using
from upbit_frames.core.schema import schema
from upbit_frames.frames.registration import register_lazily
from upbit_frames.runtime.preload import load_attribute

if TYPE_CHECKING:
    from upbit_frames import aio, compat
    from upbit_frames.api import notebook
    from upbit_frames.api.cache import cache
    from upbit_frames.api.client import AsyncClient, Client
    from upbit_frames.api.dashboard import dashboard
    from upbit_frames.api.functions import (
        bars,
        books,
        bundle,
        candles,
        catalog,
        compare,
        cross_section,
        download,
        explain,
        follow,
        instruments,
        map,  # noqa: A004
        markets,
        orderbook,
        panel,
        plan,
        quality,
        record,
        scan,
        sql,
        stream,
        ticker,
        trades,
        universe,
        update,
    )
    from upbit_frames.api.metrics import metrics
    from upbit_frames.datasets.bundle_session import open_bundle
    from upbit_frames.datasets.citation import cite
    from upbit_frames.datasets.pins import pinned
    from upbit_frames.replay.cassette import cassette
    from upbit_frames.replay.library import cassettes
    from upbit_frames.replay.tape import tape

_LAZY = {
    "bars": "upbit_frames.api.functions",
    "books": "upbit_frames.api.functions",
    "bundle": "upbit_frames.api.functions",
    "cite": "upbit_frames.datasets.citation",
    "open_bundle": "upbit_frames.datasets.bundle_session",
    "candles": "upbit_frames.api.functions",
    "catalog": "upbit_frames.api.functions",
    "compare": "upbit_frames.api.functions",
    "cross_section": "upbit_frames.api.functions",
    "download": "upbit_frames.api.functions",
    "explain": "upbit_frames.api.functions",
    "follow": "upbit_frames.api.functions",
    "instruments": "upbit_frames.api.functions",
    "map": "upbit_frames.api.functions",
    "markets": "upbit_frames.api.functions",
    "orderbook": "upbit_frames.api.functions",
    "panel": "upbit_frames.api.functions",
    "plan": "upbit_frames.api.functions",
    "quality": "upbit_frames.api.functions",
    "record": "upbit_frames.api.functions",
    "scan": "upbit_frames.api.functions",
    "sql": "upbit_frames.api.functions",
    "stream": "upbit_frames.api.functions",
    "ticker": "upbit_frames.api.functions",
    "trades": "upbit_frames.api.functions",
    "update": "upbit_frames.api.functions",
    "universe": "upbit_frames.api.functions",
    "cache": "upbit_frames.api.cache",
    "dashboard": "upbit_frames.api.dashboard",
    "metrics": "upbit_frames.api.metrics",
    "cassette": "upbit_frames.replay.cassette",
    "cassettes": "upbit_frames.replay.library",
    "tape": "upbit_frames.replay.tape",
    "pinned": "upbit_frames.datasets.pins",
    "Client": "upbit_frames.api.client",
    "AsyncClient": "upbit_frames.api.client",
}
_MODULES = {"aio": "upbit_frames.aio", "compat": "upbit_frames.compat", "notebook": "upbit_frames.api.notebook"}

__all__ = [
    "AsyncClient",
    "Client",
    "Config",
    "__version__",
    "aio",
    "bars",
    "books",
    "bundle",
    "cache",
    "candles",
    "cassette",
    "cassettes",
    "catalog",
    "cite",
    "compare",
    "compat",
    "config",
    "configure",
    "cross_section",
    "dashboard",
    "download",
    "errors",
    "explain",
    "follow",
    "instruments",
    "map",
    "markets",
    "metrics",
    "notebook",
    "open_bundle",
    "orderbook",
    "panel",
    "pinned",
    "plan",
    "quality",
    "record",
    "scan",
    "schema",
    "sql",
    "stream",
    "tape",
    "ticker",
    "trades",
    "universe",
    "update",
    "using",
]


register_lazily()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = load_attribute(_LAZY[name], name)
    elif name in _MODULES:
        value = load_attribute(_MODULES[name], "")
    else:
        from upbit_frames.core.other_names import PUBLIC_COUNTERPARTS, absent

        raise absent("uf", name, __all__, PUBLIC_COUNTERPARTS)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
