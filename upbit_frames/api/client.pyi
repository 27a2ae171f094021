"""The sync and the async client: every call with settings of its own.

Written by .ci/stubs.py; do not edit.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, Literal, overload

import dask.dataframe
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset

from upbit_frames.api.invocation import AsyncClosing, Closing
from upbit_frames.api.literals import (
    DayBase,
    Gaps,
    IntervalLike,
    Kind,
    Markets,
    Missing,
    Moment,
    Output,
    PanelMissing,
    PanelUniverse,
    ProgressMode,
    QuoteSource,
    ScanEngine,
    Source,
    StreamKind,
    Zone,
)
from upbit_frames.core.stream_query import BUFFER
from upbit_frames.datasets.collect.record.recorder import Recorder
from upbit_frames.datasets.collect.report import Report
from upbit_frames.frames.plot.style import Style
from upbit_frames.live.feed import Feed
from upbit_frames.live.follow.follow import Follow
from upbit_frames.live.stream import Stream
from upbit_frames.router.explain import Explanation
from upbit_frames.router.plan import Plan

__all__ = ["AsyncClient", "Client"]

class Client(Closing):
    """Every call with settings of its own. A context manager that closes itself."""

    @overload
    def bars(
        self,
        market: str,
        *,
        ticks: int | None = None,
        volume: float | None = None,
        value: float | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        forming: bool = False,
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Aggregate trades into bars that end by trades, volume or value instead of by the clock."""
    @overload
    def bars(
        self,
        market: str,
        *,
        ticks: int | None = None,
        volume: float | None = None,
        value: float | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        forming: bool = False,
        tz: Zone | None = None,
        output: Literal["arrow"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """Aggregate trades into bars that end by trades, volume or value instead of by the clock."""
    @overload
    def bars(
        self,
        market: str,
        *,
        ticks: int | None = None,
        volume: float | None = None,
        value: float | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        forming: bool = False,
        tz: Zone | None = None,
        output: Literal["polars"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """Aggregate trades into bars that end by trades, volume or value instead of by the clock."""
    @overload
    def bars(
        self,
        market: str,
        *,
        ticks: int | None = None,
        volume: float | None = None,
        value: float | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        forming: bool = False,
        tz: Zone | None = None,
        output: Output | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> Any:
        """Aggregate trades into bars that end by trades, volume or value instead of by the clock."""

    @overload
    def books(
        self,
        market: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        at: Moment | None = None,
        levels: int = 15,
        every: str | None = None,
        missing: Literal["warn", "raise", "ignore"] = "warn",
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
    ) -> pd.DataFrame:
        """Order books that ``uf.record`` has stored: each of a range, samples of it, or the one of a moment."""
    @overload
    def books(
        self,
        market: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        at: Moment | None = None,
        levels: int = 15,
        every: str | None = None,
        missing: Literal["warn", "raise", "ignore"] = "warn",
        tz: Zone | None = None,
        output: Literal["arrow"],
    ) -> pa.Table:
        """Order books that ``uf.record`` has stored: each of a range, samples of it, or the one of a moment."""
    @overload
    def books(
        self,
        market: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        at: Moment | None = None,
        levels: int = 15,
        every: str | None = None,
        missing: Literal["warn", "raise", "ignore"] = "warn",
        tz: Zone | None = None,
        output: Literal["polars"],
    ) -> pl.DataFrame:
        """Order books that ``uf.record`` has stored: each of a range, samples of it, or the one of a moment."""
    @overload
    def books(
        self,
        market: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        at: Moment | None = None,
        levels: int = 15,
        every: str | None = None,
        missing: Literal["warn", "raise", "ignore"] = "warn",
        tz: Zone | None = None,
        output: Output | None = None,
    ) -> Any:
        """Order books that ``uf.record`` has stored: each of a range, samples of it, or the one of a moment."""

    def bundle(
        self, path: str | os.PathLike[str], *, lock: str | os.PathLike[str], include_archive: bool = False
    ) -> pd.Series:
        """Pack what a pinned study read into one file, for a reviewer who runs it offline."""

    @overload
    def candles(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Candles of any length as one clean frame."""
    @overload
    def candles(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        output: Literal["arrow"],
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """Candles of any length as one clean frame."""
    @overload
    def candles(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        output: Literal["polars"],
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """Candles of any length as one clean frame."""
    @overload
    def candles(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        output: Output | None = None,
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        progress: ProgressMode | None = None,
    ) -> Any:
        """Candles of any length as one clean frame."""

    def catalog(self, *, quote: str | None = None) -> Report:
        """Everything that is stored, as a table that can be searched and sorted in a notebook; no request."""

    def compare(
        self,
        kind: str = "ticker",
        markets: Markets | None = None,
        n: int = 50,
        *,
        quote: str | None = None,
        every: float = 0.2,
        depth: int = 5,
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Request the same from REST and from the stream repeatedly, and compare the answers."""

    @overload
    def cross_section(
        self,
        at: Moment,
        interval: IntervalLike = "1d",
        quote: str | None = None,
        *,
        markets: Markets | None = None,
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Many markets at one moment: a row a market."""
    @overload
    def cross_section(
        self,
        at: Moment,
        interval: IntervalLike = "1d",
        quote: str | None = None,
        *,
        markets: Markets | None = None,
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Literal["arrow"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """Many markets at one moment: a row a market."""
    @overload
    def cross_section(
        self,
        at: Moment,
        interval: IntervalLike = "1d",
        quote: str | None = None,
        *,
        markets: Markets | None = None,
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Literal["polars"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """Many markets at one moment: a row a market."""
    @overload
    def cross_section(
        self,
        at: Moment,
        interval: IntervalLike = "1d",
        quote: str | None = None,
        *,
        markets: Markets | None = None,
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Output | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> Any:
        """Many markets at one moment: a row a market."""

    def dashboard(
        self, *, seconds: float = 300.0, live: bool = False, every: float = 1.0, style: str | Style = "korean"
    ) -> Any:
        """Draw latency, channels, request rate, ages and errors of the last minutes, as ``uf.dashboard`` does."""

    def download(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        quote: str | None = None,
        tz: Zone | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Download a range of many markets into the local store."""

    def explain(self, call: str | Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
        """Explain which source would serve a call now, why, and why not the others."""

    def follow(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        history: int = 500,
        *,
        quote: str | None = None,
        forming: bool = False,
        keep: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Output | None = None,
    ) -> Follow:
        """Candles that continue: history first, then each sealed candle exactly once, without a hole."""

    @overload
    def instruments(
        self, markets: Markets | None = None, *, quote: str | None = None, output: Literal["pandas"] | None = None
    ) -> pd.DataFrame:
        """Tick size and order book groupings of markets, at today's prices."""
    @overload
    def instruments(
        self, markets: Markets | None = None, *, quote: str | None = None, output: Literal["arrow"]
    ) -> pa.Table:
        """Tick size and order book groupings of markets, at today's prices."""
    @overload
    def instruments(
        self, markets: Markets | None = None, *, quote: str | None = None, output: Literal["polars"]
    ) -> pl.DataFrame:
        """Tick size and order book groupings of markets, at today's prices."""
    @overload
    def instruments(
        self, markets: Markets | None = None, *, quote: str | None = None, output: Output | None = None
    ) -> Any:
        """Tick size and order book groupings of markets, at today's prices."""

    def map(
        self,
        func: Callable[[Any], Any],
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        columns: Iterable[str] | None = None,
        source: Source = "auto",
        scheduler: Any = "threads",
        workers: int | None = None,
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Call a function with the candles of each market, in parallel, and return the results as one frame."""

    @overload
    def markets(self, quote: str | None = None, *, output: Literal["pandas"] | None = None) -> pd.DataFrame:
        """Every market the exchange lists today."""
    @overload
    def markets(self, quote: str | None = None, *, output: Literal["arrow"]) -> pa.Table:
        """Every market the exchange lists today."""
    @overload
    def markets(self, quote: str | None = None, *, output: Literal["polars"]) -> pl.DataFrame:
        """Every market the exchange lists today."""
    @overload
    def markets(self, quote: str | None = None, *, output: Output | None = None) -> Any:
        """Every market the exchange lists today."""

    def metrics(self, by: str = "call") -> pd.DataFrame:
        """Summarise the calls of this process, of all clients, as ``uf.metrics`` does."""

    @overload
    def orderbook(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        depth: int = 30,
        level: float | str | None = None,
        errors: str = "raise",
        output: Literal["pandas"] | None = None,
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pd.DataFrame:
        """Order books, best prices first."""
    @overload
    def orderbook(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        depth: int = 30,
        level: float | str | None = None,
        errors: str = "raise",
        output: Literal["arrow"],
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pa.Table:
        """Order books, best prices first."""
    @overload
    def orderbook(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        depth: int = 30,
        level: float | str | None = None,
        errors: str = "raise",
        output: Literal["polars"],
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pl.DataFrame:
        """Order books, best prices first."""
    @overload
    def orderbook(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        depth: int = 30,
        level: float | str | None = None,
        errors: str = "raise",
        output: Output | None = None,
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> Any:
        """Order books, best prices first."""

    @overload
    def panel(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        field: str | Iterable[str] = "close",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        missing: PanelMissing = "nan",
        universe: PanelUniverse = "all",
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """One field of many markets side by side: a column a market."""
    @overload
    def panel(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        field: str | Iterable[str] = "close",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        missing: PanelMissing = "nan",
        universe: PanelUniverse = "all",
        output: Literal["arrow"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """One field of many markets side by side: a column a market."""
    @overload
    def panel(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        field: str | Iterable[str] = "close",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        missing: PanelMissing = "nan",
        universe: PanelUniverse = "all",
        output: Literal["polars"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """One field of many markets side by side: a column a market."""
    @overload
    def panel(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        field: str | Iterable[str] = "close",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        missing: PanelMissing = "nan",
        universe: PanelUniverse = "all",
        output: Output | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> Any:
        """One field of many markets side by side: a column a market."""

    def plan(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        source: Source = "auto",
        base: DayBase | None = None,
    ) -> Plan:
        """Plan what :func:`candles` with the same arguments would do."""

    def quality(
        self,
        market: Markets | None = None,
        interval: IntervalLike | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        quote: str | None = None,
        tz: Zone | None = None,
        fetch: bool = False,
        progress: ProgressMode | None = None,
    ) -> Report:
        """Examine stored candles: coverage, gaps with their causes, impossible numbers, disagreement, jumps, expiry."""

    @overload
    def record(
        self,
        markets: Markets,
        kinds: str | Iterable[str] = ("trade", "orderbook", "candle.1s"),
        *,
        every: str | None = None,
        seconds: float | None = None,
        background: Literal[True],
    ) -> Recorder:
        """Record into the store what Upbit does not keep: trades, order books and second candles, as they come."""
    @overload
    def record(
        self,
        markets: Markets,
        kinds: str | Iterable[str] = ("trade", "orderbook", "candle.1s"),
        *,
        every: str | None = None,
        seconds: float | None = None,
        background: Literal[False] = False,
    ) -> Report:
        """Record into the store what Upbit does not keep: trades, order books and second candles, as they come."""

    @overload
    def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: Literal["polars"] = "polars",
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> pl.LazyFrame:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""
    @overload
    def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: Literal["duckdb"],
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""
    @overload
    def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: Literal["dask"],
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> dask.dataframe.DataFrame:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""
    @overload
    def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: Literal["arrow"],
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> pyarrow.dataset.Dataset:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""
    @overload
    def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: ScanEngine = "polars",
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> Any:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""

    @overload
    def sql(self, query: str, *, tz: Zone | None = None, output: Literal["pandas"] | None = None) -> pd.DataFrame:
        """Run SQL over the stored rows with DuckDB."""
    @overload
    def sql(self, query: str, *, tz: Zone | None = None, output: Literal["arrow"]) -> pa.Table:
        """Run SQL over the stored rows with DuckDB."""
    @overload
    def sql(self, query: str, *, tz: Zone | None = None, output: Literal["polars"]) -> pl.DataFrame:
        """Run SQL over the stored rows with DuckDB."""
    @overload
    def sql(self, query: str, *, tz: Zone | None = None, output: Output | None = None) -> Any:
        """Run SQL over the stored rows with DuckDB."""

    @overload
    def stream(
        self,
        markets: Markets | None = None,
        kind: StreamKind = "trade",
        *,
        quote: str | None = None,
        seconds: float | None = None,
        count: int | None = None,
        background: Literal[True],
        depth: int = 30,
        level: float | None = None,
        buffer: int = BUFFER,
        tz: Zone | None = None,
        output: Output | None = None,
    ) -> Feed:
        """Live rows over the WebSocket: collected into a frame, one batch after the other, or in the background."""
    @overload
    def stream(
        self,
        markets: Markets | None = None,
        kind: StreamKind = "trade",
        *,
        quote: str | None = None,
        seconds: float,
        count: int | None = None,
        background: Literal[False] = False,
        depth: int = 30,
        level: float | None = None,
        buffer: int = BUFFER,
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
    ) -> pd.DataFrame:
        """Live rows over the WebSocket: collected into a frame, one batch after the other, or in the background."""
    @overload
    def stream(
        self,
        markets: Markets | None = None,
        kind: StreamKind = "trade",
        *,
        quote: str | None = None,
        seconds: float | None = None,
        count: int,
        background: Literal[False] = False,
        depth: int = 30,
        level: float | None = None,
        buffer: int = BUFFER,
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
    ) -> pd.DataFrame:
        """Live rows over the WebSocket: collected into a frame, one batch after the other, or in the background."""
    @overload
    def stream(
        self,
        markets: Markets | None = None,
        kind: StreamKind = "trade",
        *,
        quote: str | None = None,
        seconds: float,
        count: int | None = None,
        background: Literal[False] = False,
        depth: int = 30,
        level: float | None = None,
        buffer: int = BUFFER,
        tz: Zone | None = None,
        output: Output | None = None,
    ) -> Any:
        """Live rows over the WebSocket: collected into a frame, one batch after the other, or in the background."""
    @overload
    def stream(
        self,
        markets: Markets | None = None,
        kind: StreamKind = "trade",
        *,
        quote: str | None = None,
        seconds: float | None = None,
        count: int,
        background: Literal[False] = False,
        depth: int = 30,
        level: float | None = None,
        buffer: int = BUFFER,
        tz: Zone | None = None,
        output: Output | None = None,
    ) -> Any:
        """Live rows over the WebSocket: collected into a frame, one batch after the other, or in the background."""
    @overload
    def stream(
        self,
        markets: Markets | None = None,
        kind: StreamKind = "trade",
        *,
        quote: str | None = None,
        seconds: None = None,
        count: None = None,
        background: Literal[False] = False,
        depth: int = 30,
        level: float | None = None,
        buffer: int = BUFFER,
        tz: Zone | None = None,
        output: Output | None = None,
    ) -> Stream:
        """Live rows over the WebSocket: collected into a frame, one batch after the other, or in the background."""

    @overload
    def ticker(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        errors: str = "raise",
        output: Literal["pandas"] | None = None,
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pd.DataFrame:
        """Last price, change, and sums of the day and of 24 hours, one row a market."""
    @overload
    def ticker(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        errors: str = "raise",
        output: Literal["arrow"],
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pa.Table:
        """Last price, change, and sums of the day and of 24 hours, one row a market."""
    @overload
    def ticker(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        errors: str = "raise",
        output: Literal["polars"],
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pl.DataFrame:
        """Last price, change, and sums of the day and of 24 hours, one row a market."""
    @overload
    def ticker(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        errors: str = "raise",
        output: Output | None = None,
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> Any:
        """Last price, change, and sums of the day and of 24 hours, one row a market."""

    @overload
    def trades(
        self,
        market: Markets | None = None,
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Single trades, oldest first."""
    @overload
    def trades(
        self,
        market: Markets | None = None,
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        tz: Zone | None = None,
        output: Literal["arrow"],
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """Single trades, oldest first."""
    @overload
    def trades(
        self,
        market: Markets | None = None,
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        tz: Zone | None = None,
        output: Literal["polars"],
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """Single trades, oldest first."""
    @overload
    def trades(
        self,
        market: Markets | None = None,
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        tz: Zone | None = None,
        output: Output | None = None,
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        progress: ProgressMode | None = None,
    ) -> Any:
        """Single trades, oldest first."""

    def update(
        self,
        markets: Markets | None = None,
        interval: IntervalLike | Literal["trades"] | None = None,
        *,
        quote: str | None = None,
        errors: Literal["row", "raise"] = "row",
        progress: ProgressMode | None = None,
    ) -> Report:
        """Bring stored series up to now: all of them, or those that are named."""

    def universe(self, at: Moment | None = None, *, quote: str | None = None) -> Report:
        """Markets as they were listed at a moment, by the lists that are kept in the store's folder; no request."""

class AsyncClient(AsyncClosing):
    """The same calls as coroutines, for any event loop. An async context manager that closes itself."""

    @overload
    async def bars(
        self,
        market: str,
        *,
        ticks: int | None = None,
        volume: float | None = None,
        value: float | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        forming: bool = False,
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Aggregate trades into bars that end by trades, volume or value instead of by the clock."""
    @overload
    async def bars(
        self,
        market: str,
        *,
        ticks: int | None = None,
        volume: float | None = None,
        value: float | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        forming: bool = False,
        tz: Zone | None = None,
        output: Literal["arrow"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """Aggregate trades into bars that end by trades, volume or value instead of by the clock."""
    @overload
    async def bars(
        self,
        market: str,
        *,
        ticks: int | None = None,
        volume: float | None = None,
        value: float | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        forming: bool = False,
        tz: Zone | None = None,
        output: Literal["polars"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """Aggregate trades into bars that end by trades, volume or value instead of by the clock."""
    @overload
    async def bars(
        self,
        market: str,
        *,
        ticks: int | None = None,
        volume: float | None = None,
        value: float | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        forming: bool = False,
        tz: Zone | None = None,
        output: Output | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> Any:
        """Aggregate trades into bars that end by trades, volume or value instead of by the clock."""

    @overload
    async def books(
        self,
        market: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        at: Moment | None = None,
        levels: int = 15,
        every: str | None = None,
        missing: Literal["warn", "raise", "ignore"] = "warn",
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
    ) -> pd.DataFrame:
        """Order books that ``uf.record`` has stored: each of a range, samples of it, or the one of a moment."""
    @overload
    async def books(
        self,
        market: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        at: Moment | None = None,
        levels: int = 15,
        every: str | None = None,
        missing: Literal["warn", "raise", "ignore"] = "warn",
        tz: Zone | None = None,
        output: Literal["arrow"],
    ) -> pa.Table:
        """Order books that ``uf.record`` has stored: each of a range, samples of it, or the one of a moment."""
    @overload
    async def books(
        self,
        market: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        at: Moment | None = None,
        levels: int = 15,
        every: str | None = None,
        missing: Literal["warn", "raise", "ignore"] = "warn",
        tz: Zone | None = None,
        output: Literal["polars"],
    ) -> pl.DataFrame:
        """Order books that ``uf.record`` has stored: each of a range, samples of it, or the one of a moment."""
    @overload
    async def books(
        self,
        market: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        at: Moment | None = None,
        levels: int = 15,
        every: str | None = None,
        missing: Literal["warn", "raise", "ignore"] = "warn",
        tz: Zone | None = None,
        output: Output | None = None,
    ) -> Any:
        """Order books that ``uf.record`` has stored: each of a range, samples of it, or the one of a moment."""

    async def bundle(
        self, path: str | os.PathLike[str], *, lock: str | os.PathLike[str], include_archive: bool = False
    ) -> pd.Series:
        """Pack what a pinned study read into one file, for a reviewer who runs it offline."""

    @overload
    async def candles(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Candles of any length as one clean frame."""
    @overload
    async def candles(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        output: Literal["arrow"],
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """Candles of any length as one clean frame."""
    @overload
    async def candles(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        output: Literal["polars"],
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """Candles of any length as one clean frame."""
    @overload
    async def candles(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        output: Output | None = None,
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        progress: ProgressMode | None = None,
    ) -> Any:
        """Candles of any length as one clean frame."""

    async def catalog(self, *, quote: str | None = None) -> Report:
        """Everything that is stored, as a table that can be searched and sorted in a notebook; no request."""

    async def compare(
        self,
        kind: str = "ticker",
        markets: Markets | None = None,
        n: int = 50,
        *,
        quote: str | None = None,
        every: float = 0.2,
        depth: int = 5,
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Request the same from REST and from the stream repeatedly, and compare the answers."""

    @overload
    async def cross_section(
        self,
        at: Moment,
        interval: IntervalLike = "1d",
        quote: str | None = None,
        *,
        markets: Markets | None = None,
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Many markets at one moment: a row a market."""
    @overload
    async def cross_section(
        self,
        at: Moment,
        interval: IntervalLike = "1d",
        quote: str | None = None,
        *,
        markets: Markets | None = None,
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Literal["arrow"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """Many markets at one moment: a row a market."""
    @overload
    async def cross_section(
        self,
        at: Moment,
        interval: IntervalLike = "1d",
        quote: str | None = None,
        *,
        markets: Markets | None = None,
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Literal["polars"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """Many markets at one moment: a row a market."""
    @overload
    async def cross_section(
        self,
        at: Moment,
        interval: IntervalLike = "1d",
        quote: str | None = None,
        *,
        markets: Markets | None = None,
        columns: Iterable[str] | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Output | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> Any:
        """Many markets at one moment: a row a market."""

    async def dashboard(
        self, *, seconds: float = 300.0, live: bool = False, every: float = 1.0, style: str | Style = "korean"
    ) -> Any:
        """Draw latency, channels, request rate, ages and errors of the last minutes, as ``uf.dashboard`` does."""

    async def download(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        quote: str | None = None,
        tz: Zone | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Download a range of many markets into the local store."""

    async def explain(self, call: str | Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
        """Explain which source would serve a call now, why, and why not the others."""

    def follow(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        history: int = 500,
        *,
        quote: str | None = None,
        forming: bool = False,
        keep: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        output: Output | None = None,
    ) -> Follow:
        """Candles that continue, for ``async with`` and ``async for``."""

    @overload
    async def instruments(
        self, markets: Markets | None = None, *, quote: str | None = None, output: Literal["pandas"] | None = None
    ) -> pd.DataFrame:
        """Tick size and order book groupings of markets, at today's prices."""
    @overload
    async def instruments(
        self, markets: Markets | None = None, *, quote: str | None = None, output: Literal["arrow"]
    ) -> pa.Table:
        """Tick size and order book groupings of markets, at today's prices."""
    @overload
    async def instruments(
        self, markets: Markets | None = None, *, quote: str | None = None, output: Literal["polars"]
    ) -> pl.DataFrame:
        """Tick size and order book groupings of markets, at today's prices."""
    @overload
    async def instruments(
        self, markets: Markets | None = None, *, quote: str | None = None, output: Output | None = None
    ) -> Any:
        """Tick size and order book groupings of markets, at today's prices."""

    async def map(
        self,
        func: Callable[[Any], Any],
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        columns: Iterable[str] | None = None,
        source: Source = "auto",
        scheduler: Any = "threads",
        workers: int | None = None,
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Call a function with the candles of each market, in parallel, and return the results as one frame."""

    @overload
    async def markets(self, quote: str | None = None, *, output: Literal["pandas"] | None = None) -> pd.DataFrame:
        """Every market the exchange lists today."""
    @overload
    async def markets(self, quote: str | None = None, *, output: Literal["arrow"]) -> pa.Table:
        """Every market the exchange lists today."""
    @overload
    async def markets(self, quote: str | None = None, *, output: Literal["polars"]) -> pl.DataFrame:
        """Every market the exchange lists today."""
    @overload
    async def markets(self, quote: str | None = None, *, output: Output | None = None) -> Any:
        """Every market the exchange lists today."""

    async def metrics(self, by: str = "call") -> pd.DataFrame:
        """Summarise the calls of this process, of all clients, as ``uf.metrics`` does."""

    @overload
    async def orderbook(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        depth: int = 30,
        level: float | str | None = None,
        errors: str = "raise",
        output: Literal["pandas"] | None = None,
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pd.DataFrame:
        """Order books, best prices first."""
    @overload
    async def orderbook(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        depth: int = 30,
        level: float | str | None = None,
        errors: str = "raise",
        output: Literal["arrow"],
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pa.Table:
        """Order books, best prices first."""
    @overload
    async def orderbook(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        depth: int = 30,
        level: float | str | None = None,
        errors: str = "raise",
        output: Literal["polars"],
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pl.DataFrame:
        """Order books, best prices first."""
    @overload
    async def orderbook(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        depth: int = 30,
        level: float | str | None = None,
        errors: str = "raise",
        output: Output | None = None,
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> Any:
        """Order books, best prices first."""

    @overload
    async def panel(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        field: str | Iterable[str] = "close",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        missing: PanelMissing = "nan",
        universe: PanelUniverse = "all",
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """One field of many markets side by side: a column a market."""
    @overload
    async def panel(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        field: str | Iterable[str] = "close",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        missing: PanelMissing = "nan",
        universe: PanelUniverse = "all",
        output: Literal["arrow"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """One field of many markets side by side: a column a market."""
    @overload
    async def panel(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        field: str | Iterable[str] = "close",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        missing: PanelMissing = "nan",
        universe: PanelUniverse = "all",
        output: Literal["polars"],
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """One field of many markets side by side: a column a market."""
    @overload
    async def panel(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1d",
        field: str | Iterable[str] = "close",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        base: DayBase | None = None,
        tz: Zone | None = None,
        missing: PanelMissing = "nan",
        universe: PanelUniverse = "all",
        output: Output | None = None,
        source: Source = "auto",
        progress: ProgressMode | None = None,
    ) -> Any:
        """One field of many markets side by side: a column a market."""

    async def plan(
        self,
        market: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        forming: bool = False,
        gaps: Gaps = "raw",
        tz: Zone | None = None,
        source: Source = "auto",
        base: DayBase | None = None,
    ) -> Plan:
        """Plan what :func:`candles` with the same arguments would do."""

    async def quality(
        self,
        market: Markets | None = None,
        interval: IntervalLike | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        quote: str | None = None,
        tz: Zone | None = None,
        fetch: bool = False,
        progress: ProgressMode | None = None,
    ) -> Report:
        """Examine stored candles: coverage, gaps with their causes, impossible numbers, disagreement, jumps, expiry."""

    def record(
        self,
        markets: Markets,
        kinds: str | Iterable[str] = ("trade", "orderbook", "candle.1s"),
        *,
        every: str | None = None,
    ) -> Recorder:
        """Record into the store, for ``async with``."""

    @overload
    async def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: Literal["polars"] = "polars",
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> pl.LazyFrame:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""
    @overload
    async def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: Literal["duckdb"],
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""
    @overload
    async def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: Literal["dask"],
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> dask.dataframe.DataFrame:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""
    @overload
    async def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: Literal["arrow"],
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> pyarrow.dataset.Dataset:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""
    @overload
    async def scan(
        self,
        markets: Markets | None = None,
        interval: IntervalLike = "1m",
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        kind: Kind = "candles",
        columns: Iterable[str] | None = None,
        engine: ScanEngine = "polars",
        missing: Missing = "raise",
        store: str | os.PathLike[str] | None = None,
    ) -> Any:
        """Read stored rows lazily with another engine: Polars, DuckDB, Dask or Arrow."""

    @overload
    async def sql(self, query: str, *, tz: Zone | None = None, output: Literal["pandas"] | None = None) -> pd.DataFrame:
        """Run SQL over the stored rows with DuckDB."""
    @overload
    async def sql(self, query: str, *, tz: Zone | None = None, output: Literal["arrow"]) -> pa.Table:
        """Run SQL over the stored rows with DuckDB."""
    @overload
    async def sql(self, query: str, *, tz: Zone | None = None, output: Literal["polars"]) -> pl.DataFrame:
        """Run SQL over the stored rows with DuckDB."""
    @overload
    async def sql(self, query: str, *, tz: Zone | None = None, output: Output | None = None) -> Any:
        """Run SQL over the stored rows with DuckDB."""

    def stream(
        self,
        markets: Markets | None = None,
        kind: StreamKind = "trade",
        *,
        quote: str | None = None,
        depth: int = 30,
        level: float | None = None,
        buffer: int = BUFFER,
        tz: Zone | None = None,
        output: Output | None = None,
    ) -> Stream:
        """Live rows over the WebSocket, for ``async with`` and ``async for``."""

    @overload
    async def ticker(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        errors: str = "raise",
        output: Literal["pandas"] | None = None,
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pd.DataFrame:
        """Last price, change, and sums of the day and of 24 hours, one row a market."""
    @overload
    async def ticker(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        errors: str = "raise",
        output: Literal["arrow"],
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pa.Table:
        """Last price, change, and sums of the day and of 24 hours, one row a market."""
    @overload
    async def ticker(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        errors: str = "raise",
        output: Literal["polars"],
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> pl.DataFrame:
        """Last price, change, and sums of the day and of 24 hours, one row a market."""
    @overload
    async def ticker(
        self,
        markets: Markets | None = None,
        *,
        quote: str | None = None,
        errors: str = "raise",
        output: Output | None = None,
        tz: Zone | None = None,
        source: QuoteSource = "auto",
    ) -> Any:
        """Last price, change, and sums of the day and of 24 hours, one row a market."""

    @overload
    async def trades(
        self,
        market: Markets | None = None,
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        tz: Zone | None = None,
        output: Literal["pandas"] | None = None,
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        progress: ProgressMode | None = None,
    ) -> pd.DataFrame:
        """Single trades, oldest first."""
    @overload
    async def trades(
        self,
        market: Markets | None = None,
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        tz: Zone | None = None,
        output: Literal["arrow"],
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        progress: ProgressMode | None = None,
    ) -> pa.Table:
        """Single trades, oldest first."""
    @overload
    async def trades(
        self,
        market: Markets | None = None,
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        tz: Zone | None = None,
        output: Literal["polars"],
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        progress: ProgressMode | None = None,
    ) -> pl.DataFrame:
        """Single trades, oldest first."""
    @overload
    async def trades(
        self,
        market: Markets | None = None,
        *,
        quote: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        count: int | None = None,
        tz: Zone | None = None,
        output: Output | None = None,
        source: Source = "auto",
        columns: Iterable[str] | None = None,
        progress: ProgressMode | None = None,
    ) -> Any:
        """Single trades, oldest first."""

    async def update(
        self,
        markets: Markets | None = None,
        interval: IntervalLike | Literal["trades"] | None = None,
        *,
        quote: str | None = None,
        errors: Literal["row", "raise"] = "row",
        progress: ProgressMode | None = None,
    ) -> Report:
        """Bring stored series up to now: all of them, or those that are named."""

    async def universe(self, at: Moment | None = None, *, quote: str | None = None) -> Report:
        """Markets as they were listed at a moment, by the lists that are kept in the store's folder; no request."""
