"""The values that arguments take, as a type checker and an editor know them (types only, no behaviour).

What a call accepts at run time may be more: spellings of intervals that pandas uses, a variable that holds a string.
What it refuses is decided in ``core.arguments``, ``core.intervals`` and ``core.query``; ``tests/api/test_literals.py``
holds both together.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = [
    "DayBase",
    "Frame",
    "Gaps",
    "IntervalLike",
    "IntervalName",
    "Kind",
    "LazyFrame",
    "Markets",
    "Missing",
    "Moment",
    "Output",
    "PanelMissing",
    "PanelUniverse",
    "ProgressMode",
    "QuoteSource",
    "Recorded",
    "ScanEngine",
    "Source",
    "StreamKind",
    "Streamed",
    "Zone",
]

# Upbit's own, then derived ones in use. Not all that exist: a checker prints the whole list with every complaint.
IntervalName: TypeAlias = Literal[
    "1s", "1m", "3m", "5m", "10m", "15m", "30m", "1h", "4h", "1d", "1w", "1M", "1y",
    "5s", "10s", "15s", "30s", "2m", "20m", "45m", "60m", "90m", "240m", "2h", "3h", "6h", "8h", "12h",
    "2d", "3d", "7d", "2w", "4w", "2M", "3M", "6M", "second", "minute", "day", "week", "month", "year",
]  # fmt: skip
IntervalLike: TypeAlias = IntervalName | dt.timedelta
Gaps: TypeAlias = Literal["raw", "fill", "nan"]
Output: TypeAlias = Literal["pandas", "arrow", "polars"]
Source: TypeAlias = Literal["auto", "store", "cache", "rest", "live", "archive", "shared", "derived"]
QuoteSource: TypeAlias = Literal["auto", "rest", "live"]
StreamKind: TypeAlias = Literal[
    "trade", "ticker", "orderbook", "candle.1s", "candle.1m", "candle.3m", "candle.5m", "candle.10m", "candle.15m",
    "candle.30m", "candle.60m", "candle.1h", "candle.240m", "candle.4h",
]  # fmt: skip
Kind: TypeAlias = Literal["candles", "trades", "orderbook"]
ScanEngine: TypeAlias = Literal["polars", "duckdb", "dask", "arrow"]
Missing: TypeAlias = Literal["raise", "warn", "ignore", "fetch"]
PanelMissing: TypeAlias = Literal["nan", "ffill", "drop", "raise"]
PanelUniverse: TypeAlias = Literal["all", "listed"]
ProgressMode: TypeAlias = bool | Literal["auto"]

# Not closed sets, but more than a bare ``Any`` says.
Moment: TypeAlias = "str | dt.date | dt.timedelta | pd.Timestamp | pd.Timedelta | np.datetime64"
Markets: TypeAlias = "str | Iterable[str] | pd.DataFrame"
Zone: TypeAlias = str | dt.tzinfo
DayBase: TypeAlias = Zone | dt.time
Frame: TypeAlias = Any
"""A frame of the kind that ``output`` names: ``.ci/stubs.py`` writes an overload for each kind."""
LazyFrame: TypeAlias = Any
"""What ``engine`` names, in the same way."""
Streamed: TypeAlias = Any
"""A frame with ``seconds`` or ``count``, a Feed with ``background=True``, else a Stream."""
Recorded: TypeAlias = Any
"""A Recorder with ``background=True``, else a frame when the recording has ended."""
