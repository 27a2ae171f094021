"""``df.uf``: what a frame of candles or trades can do beyond pandas.

Loaded with the first frame this package makes, or on first use. It works on any frame that has the columns,
of any origin, so a frame that was sliced, joined or read from a file keeps its abilities.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from upbit_frames.core import gaps, resample
from upbit_frames.core.arguments import choice, flag, whole
from upbit_frames.core.arrow import joined
from upbit_frames.core.bar_grid import Grid, grid_of, named, parse_grid
from upbit_frames.core.candle_checks import NUMBERS, violations
from upbit_frames.core.event_bars import EventBars, Threshold
from upbit_frames.core.flow import flow_of_trades
from upbit_frames.core.intervals import EPOCH, Span
from upbit_frames.core.moments import parse_moment
from upbit_frames.core.query import GAPS, MAX_COUNT
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import InvalidRange, QueryError
from upbit_frames.frames import exports
from upbit_frames.frames import output as frames
from upbit_frames.frames import panel as panels
from upbit_frames.frames.from_pandas import (
    infer_interval,
    kind_of,
    markets_of,
    micros_of,
    moments,
    names_markets,
    plain_zone,
    tables,
    zone_of,
)
from upbit_frames.frames.registration import NAME, withdraw
from upbit_frames.runtime.caller import warn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["UpbitFrames"]


withdraw(pd.DataFrame)


@pd.api.extensions.register_dataframe_accessor(NAME)
class UpbitFrames:
    """The accessor ``df.uf`` of candles, and of trades and panels as far as it makes sense.

    A frame of several markets, with ``market`` as an index level or a column, is worked on market
    by market. Where an interval is needed, it is the one named, else the one in
    ``df.attrs["upbit_frames"]``, else the longest whose grid all times lie on.

    Raises
    ------
    AttributeError
        If the frame is no panel and has neither the columns of candles nor those of trades, naming what is missing.

    Examples
    --------
    >>> table = arrow_schema("candles").empty_table()
    >>> df = frames.to_output(table, "candles", "pandas", attrs={"interval": "1m"})
    >>> df.uf.meta
    {'interval': '1m'}
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._kind = kind_of(frame)
        self._frame = frame

    @property
    def _content(self) -> str:
        return "a panel" if self._kind == "panel" else self._kind

    @property
    def meta(self) -> dict[str, Any]:
        """Query and provenance: ``df.attrs["upbit_frames"]``, or an empty dict."""
        return dict(self._frame.attrs.get(frames.ATTRS, {}))

    def gaps(self, *, interval: str | None = None, start: Any = None, end: Any = None) -> pd.DataFrame:
        """List the ranges without a candle.

        Parameters
        ----------
        interval : str, optional
            Of the candles.
        start, end : str, datetime.date, datetime.datetime or pandas.Timestamp, optional
            ``[start, end)`` to look at; by default from the first candle to the end of the last.
            What has no zone is read in the frame's.

        Returns
        -------
        pandas.DataFrame
            A row for each range: ``start`` (inclusive) and ``end`` (exclusive) in the frame's
            zone, and ``periods`` (int64), how many candles are not there; with several markets,
            ``market`` before them. A candle that was filled in counts as not there.

        Examples
        --------
        >>> table = arrow_schema("candles").empty_table()
        >>> df = frames.to_output(table, "candles", "pandas")
        >>> df.uf.gaps(interval="1h", start="2026-01-01", end="2026-01-02")["periods"].tolist()
        [24]
        """
        rows = []
        for market, table, step, span in self._ranges(interval, start, end):
            missing = gaps.missing_ranges(micros_of(table), step, span)
            rows += [(market, one.start, one.end, step.slots(*one)) for one in missing]
        zone = zone_of(self._frame)
        columns = {
            "start": moments([row[1] for row in rows], zone),
            "end": moments([row[2] for row in rows], zone),
            "periods": np.array([row[3] for row in rows], dtype=np.int64),
        }
        return self._report([row[0] for row in rows], columns)

    def validate(self, *, interval: str | None = None) -> pd.DataFrame:
        """List what is impossible in the candles.

        Parameters
        ----------
        interval : str, optional
            Of the candles.

        Returns
        -------
        pandas.DataFrame
            A row for each kind of fault: ``check``, ``rows`` (int64, how many) and ``first`` (the
            time of the first); with several markets, ``market`` before them. No row: all is well.
            Candles that were filled in are not looked at.

        Examples
        --------
        >>> table = arrow_schema("candles").empty_table()
        >>> df = frames.to_output(table, "candles", "pandas")
        >>> len(df.uf.validate(interval="1m"))
        0
        """
        rows = []
        for market, table in self._candles(ordered=False):
            times = micros_of(table)
            numbers = {name: np.asarray(table[name]) for name in NUMBERS}
            wrong: dict[str, Any] = {}
            for violation in violations({**numbers, "time": times}, self._interval(interval)):
                wrong[violation.rule] = wrong.get(violation.rule, False) | violation.wrong
            rows += [(market, rule, int(at.sum()), int(times[np.argmax(at)])) for rule, at in wrong.items()]
        columns = {
            "check": pd.array([row[1] for row in rows], dtype=frames.text_type()),
            "rows": np.array([row[2] for row in rows], dtype=np.int64),
            "first": moments([row[3] for row in rows], zone_of(self._frame)),
        }
        return self._report([row[0] for row in rows], columns)

    def resample(
        self, interval: Any, base: Any = None, frame_interval: Any = None, *,
        start: Any = None, end: Any = None, edges: str = "drop",
    ) -> pd.DataFrame:  # fmt: skip
        """Aggregate to coarser candles, exactly; of trades, to candles.

        Parameters
        ----------
        interval : str, datetime.timedelta or pandas offset
            What is wanted: ``"5m"``, ``"2h"``, ``"1d"``, ``"3M"``, as in ``uf.candles``.
        base : str, datetime.time, zoneinfo.ZoneInfo or datetime.timezone, optional
            When days begin, as in ``uf.candles``: ``"Asia/Seoul"``, ``"17:00 America/New_York"``; ``"09:00"`` is a
            time in the frame's zone. Default: 00:00 UTC.
        frame_interval : str, datetime.timedelta or pandas offset, optional
            The interval of the frame's candles, where the frame does not say it.
        start, end : str, datetime.date, datetime.datetime or pandas.Timestamp, optional
            ``[start, end)`` in which the frame knows everything; by default from the first candle
            to the end of the last (of trades: from the first to the last). It decides which
            candles at the edges are complete.
        edges : {"drop", "keep", "flag"}
            What becomes of those that are not: left out; kept; or kept and marked in a boolean
            column ``complete``.

        Returns
        -------
        pandas.DataFrame
            Columns as of candles: open of the first, highest high, lowest low, close of the last,
            sums of volume and value. A period without a trade has no row; candles that were
            filled in count for nothing. Sums below 2**26 (67,108,864) equal the decimal numbers to
            all eight decimals; above, a float64 cannot hold them, and the last digit may differ.

        Raises
        ------
        InvalidInterval
            If it is no length of time that divides a day or has whole days, or if its candles are not made
            of whole candles of the frame.
        QueryError
            If ``base`` says no time of day.

        Warns
        -----
        UpbitFramesWarning
            If rows became none, because every candle is incomplete.

        Examples
        --------
        >>> table = arrow_schema("candles").empty_table()
        >>> df = frames.to_output(table, "candles", "pandas", attrs={"interval": "1h"})
        >>> df.uf.resample("1d", base="Asia/Seoul").uf.meta["base"]
        'Asia/Seoul'
        """
        wanted = parse_grid(interval, base, plain_zone(zone_of(self._frame)))
        if self._kind == "trades":
            parts = [
                (
                    market,
                    resample.candles_of_trades(table, wanted, span=self._span(table, None, start, end), edges=edges),
                )
                for market, table in tables(self._frame, "trades")
            ]
        else:
            parts = [
                (market, resample.resample(table, step, wanted, span=span, edges=edges))
                for market, table, step, span in self._ranges(frame_interval, start, end)
            ]
        self._warn_if_empty(parts, wanted, edges)
        raw = {"gaps": "raw"} if "gaps" in self.meta else {}
        return self._to_frame(parts, grid=wanted, resampled=True, **raw)

    def fill(
        self, policy: str = "fill", *, interval: str | None = None, start: Any = None, end: Any = None
    ) -> pd.DataFrame:
        """The candles on a regular grid, or back to those there really are.

        Parameters
        ----------
        policy : {"fill", "nan", "raw"}
            For a period without a trade: a flat candle at the previous close with volume 0, marked
            by a boolean column ``filled``; NaN; or no row.
        interval : str, optional
            Of the candles.
        start, end : str, datetime.date, datetime.datetime or pandas.Timestamp, optional
            ``[start, end)`` to cover, which must hold all candles; by default from the first
            candle to the end of the last.

        Returns
        -------
        pandas.DataFrame

        Examples
        --------
        >>> table = arrow_schema("candles").empty_table()
        >>> df = frames.to_output(table, "candles", "pandas")
        >>> len(df.uf.fill("nan", interval="1h", start="2026-01-01", end="2026-01-02"))
        24
        """
        choice("policy", policy, GAPS)
        ranges = self._ranges(interval, start, end)
        parts = [
            (market, gaps.fill(table, step, span or Span(EPOCH, EPOCH), policy)) for market, table, step, span in ranges
        ]
        return self._to_frame(parts, grid=ranges[0][2] if ranges else None, gaps=policy)

    def bars(
        self, *, ticks: int | None = None, volume: float | None = None, value: float | None = None,
        forming: bool = False,
    ) -> pd.DataFrame:  # fmt: skip
        """Aggregate trades into bars that end by trades, volume or value; as :func:`upbit_frames.bars` does.

        Parameters
        ----------
        ticks : int
            A bar ends with so many trades. Exactly one of the three has to be given.
        volume, value : float
            A bar ends when so much of the base or the quote currency was traded; the trade that crosses
            the threshold belongs to it whole.
        forming : bool
            Also return the last bar, which has not reached the threshold; a boolean column ``complete``
            marks it.

        Returns
        -------
        pandas.DataFrame
            Index ``time`` (first trade, in the frame's zone), with several markets (market, time). Columns
            open, high, low, close, volume, value, ``end`` (last trade, inclusive), ``trades`` (int64),
            ``buy_volume`` (what takers bought: side "bid"). Bars are counted from the frame's first trade.

        Raises
        ------
        QueryError
            If the frame holds candles, if its times do not ascend, or unless exactly one threshold above
            zero is given.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.trades("KRW-BTC", count=5_000).uf.bars(ticks=100)  # doctest: +SKIP
        """
        threshold = Threshold.build(ticks=ticks, volume=volume, value=value)
        flag("forming", forming)
        parts = []
        for market, table in self._trades():
            bars = EventBars(threshold)
            parts.append((market, bars.finish([bars.add(table)], forming=forming)))
        return self._to_frame(parts, "bars", threshold=threshold.text)

    def flow(
        self, interval: Any = "1m", base: Any = None, *, start: Any = None, end: Any = None, edges: str = "drop"
    ) -> pd.DataFrame:
        """Aggregate trades by period and by who took: buyers or sellers.

        Parameters
        ----------
        interval, base
            As of :meth:`resample`.
        start, end : str, datetime.date, datetime.datetime or pandas.Timestamp, optional
            ``[start, end)`` in which the frame has every trade; by default from the first to the last. It
            decides which periods at the edges are complete.
        edges : {"drop", "keep", "flag"}
            What becomes of those that are not: left out; kept; or kept and marked in a boolean column
            ``complete``.

        Returns
        -------
        pandas.DataFrame
            Index ``time`` (start of the period). Columns ``trades`` (int64), ``buy_volume`` (side "bid"),
            ``sell_volume`` (side "ask"), ``delta`` (the difference) in the base currency, ``buy_value``,
            ``sell_value`` and ``vwap`` in the quote currency. Sums are exact. A period without a trade has
            no row.

        Raises
        ------
        InvalidInterval
            If it is no length of time that divides a day or has whole days.
        QueryError
            If the frame holds no trades, or they have no sides.

        Warns
        -----
        UpbitFramesWarning
            If rows became none, because every period is incomplete.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.trades("KRW-BTC", start="-1h").uf.flow("5m")["delta"].cumsum()  # doctest: +SKIP
        """
        grid = parse_grid(interval, base, plain_zone(zone_of(self._frame)))
        parts = [
            (market, flow_of_trades(table, grid, span=self._span(table, None, start, end), edges=edges))
            for market, table in self._trades()
        ]
        self._warn_if_empty(parts, grid, edges)
        return self._to_frame(parts, "flow", grid=grid)

    def returns(self, *, log: bool = False, periods: int = 1) -> pd.DataFrame:
        """Return the change of each column of a panel from row to row.

        Parameters
        ----------
        log : bool
            The difference of logarithms instead of the relative change.
        periods : int
            Over so many rows; negative ones look ahead.

        Returns
        -------
        pandas.DataFrame
            The panel's shape, float64; NaN where either value is missing, and in the first rows. Rows are
            counted, so where no market traded in a period, the change reaches over it.

        Raises
        ------
        QueryError
            If the frame is no panel.

        Examples
        --------
        >>> days = pd.date_range("2026-01-01", periods=2, tz="UTC")
        >>> pd.DataFrame({"KRW-BTC": [100.0, 110.0]}, index=days).uf.returns()["KRW-BTC"].round(3).tolist()
        [nan, 0.1]
        """
        if self._kind != "panel":
            raise QueryError(
                f"this needs a panel, and the frame holds {self._content}",
                suggestion="uf.panel(markets, …) makes one; of one market, df['close'].pct_change() is the same",
            )
        steps = whole("periods", periods, -MAX_COUNT, MAX_COUNT)
        if not steps:
            raise QueryError("periods must be an integer other than 0, got 0")
        return panels.returns(self._frame, log=flag("log", log), periods=steps)

    def naive(self, tz: Any = None) -> pd.DataFrame:
        """Return the frame with naive wall times, for what knows no time zones.

        Parameters
        ----------
        tz : str, zoneinfo.ZoneInfo or datetime.timezone, optional
            Whose wall times; default the frame's own zone.

        Returns
        -------
        pandas.DataFrame
            The index and columns of times without a zone. In zones that change their clocks an hour comes
            twice a year; Asia/Seoul and UTC have none such. ``df.uf`` needs aware times, so this comes last.

        Examples
        --------
        >>> table = arrow_schema("candles").empty_table()
        >>> frames.to_output(table, "candles", "pandas").uf.naive("Asia/Seoul").index.tz is None
        True
        """
        return exports.naive(self._frame, tz)

    def to_excel(self, path: str | Path, *, tz: Any = None) -> Path:
        """Write the frame as an Excel sheet that people can read.

        Parameters
        ----------
        path : str or pathlib.Path
            Ends with ``.xlsx``; an existing file is replaced.
        tz : str, zoneinfo.ZoneInfo or datetime.timezone, optional
            Of the times, which Excel has without a zone; it stands in their column's header. Default
            the frame's.

        Returns
        -------
        pathlib.Path
            The file: one sheet, header and index frozen, won without decimals where prices have none,
            ids of more than fifteen digits as text.

        Raises
        ------
        QueryError
            If the frame has more rows than a sheet, or the path another ending.
        UsageError
            Without the extra ``excel`` (openpyxl), or if the file cannot be written.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.candles("KRW-BTC", "1d", count=30).uf.to_excel("candles.xlsx")  # doctest: +SKIP
        """
        return exports.write_excel(self._frame, path, tz)

    def to_backtesting(self, tz: Any = None) -> pd.DataFrame:
        """Return candles of one market as backtesting.py takes them.

        Parameters
        ----------
        tz : str, zoneinfo.ZoneInfo or datetime.timezone, optional
            Whose wall times; default the frame's own zone.

        Returns
        -------
        pandas.DataFrame
            Columns Open, High, Low, Close, Volume; naive index. Prices are not scaled:
            ``backtesting.lib.FractionalBacktest`` trades fractions of a coin.

        Raises
        ------
        QueryError
            If the frame has several markets, holds trades, or has NaN.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> data = uf.candles("KRW-BTC", "1d", count=300).uf.to_backtesting("Asia/Seoul")  # doctest: +SKIP
        """
        if self._kind == "trades":
            self._candles()
        return exports.to_backtesting(self._frame, tz)

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the candles; :func:`upbit_frames.frames.plot.candles` has the options.

        Returns
        -------
        matplotlib.axes.Axes
            Of the prices.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.candles("KRW-BTC", "1d", count=90).uf.plot()  # doctest: +SKIP
        """
        self._candles(ordered=False)
        if len(markets := markets_of(self._frame)) > 1 and names_markets(self._frame):
            raise QueryError(
                f"one chart shows one market, and this frame has {len(markets)}",
                suggestion=f"choose one: df.loc[{markets[0]!r}].uf.plot()",
            )
        from upbit_frames.frames import plot

        return plot.candles(self._frame, ax=ax, **options)

    # --- what they share ---------------------------------------------------------------------------

    def _trades(self) -> list[tuple[str | None, pa.Table]]:
        """Return the trades market by market, with a column ``bought``."""
        if self._kind != "trades":
            raise QueryError(
                f"this needs trades, and the frame holds {self._content}",
                suggestion="uf.trades(market, start=…) has them, and uf.bars(market, …) aggregates them itself",
            )
        return tables(self._frame, "trades", sides=True)

    def _candles(self, *, ordered: bool = True) -> list[tuple[str | None, pa.Table]]:
        if self._kind != "candles":
            raise QueryError(
                f"this needs candles, and the frame holds {self._content}",
                suggestion="df.uf.resample('1m') makes candles of trades; uf.candles(markets, …) has those of a panel",
            )
        return tables(self._frame, "candles", ordered=ordered)

    def _interval(self, interval: Any) -> Grid | None:
        """Return the grid of the candles: as named, else as the frame knows it; None if neither."""
        return grid_of(self.meta, interval)

    def _span(self, table: pa.Table, step: Grid | None, start: Any, end: Any) -> Span | None:
        """What the arguments say, else from the first row to the end of the last; None if neither."""
        times = micros_of(table)
        if not len(times) and (start is None or end is None):
            return None
        zone = plain_zone(zone_of(self._frame))
        low = int(times[0]) if start is None else parse_moment(start, zone, "start")
        if end is not None:
            high = parse_moment(end, zone, "end")
        else:
            high = int(times[-1]) + 1 if step is None else step.shift(int(times[-1]), 1)
        if high < low:
            raise InvalidRange(
                "the end is before the start", suggestion="exchange the two", start=str(start), end=str(end)
            )
        return Span(low, high)

    def _ranges(self, interval: Any, start: Any, end: Any) -> list[tuple[str | None, pa.Table, Grid, Span | None]]:
        """The candles market by market, their interval, and the range to look at."""
        parts = self._candles()
        rows = np.concatenate([micros_of(table) for _, table in parts]) if parts else np.empty(0, np.int64)
        step = self._interval(interval)
        if step is None:
            if not len(rows) and (start is None or end is None):
                return []  # nothing is known, and no range was given
            step = infer_interval(rows)
        return [(market, table, step, self._span(table, step, start, end)) for market, table in parts]

    def _warn_if_empty(self, parts: list[tuple[str | None, pa.Table]], wanted: Grid, edges: str) -> None:
        """Warn where rows became nothing, because no period is known from its beginning to its end."""
        if edges == "drop" and len(self._frame) and parts and not any(len(table) for _, table in parts):
            rows = f"{len(self._frame):,} row{'s' if len(self._frame) != 1 else ''}"
            warn(
                f"no candle of {wanted} is complete in these {rows}, so the result is empty; start= and end= say "
                "in which range the frame knows everything, and edges='keep' or 'flag' keeps incomplete candles"
            )

    def _report(self, markets: list[str | None], columns: dict[str, Any]) -> pd.DataFrame:
        if names_markets(self._frame):
            columns = {"market": pd.array(markets, dtype=frames.text_type()), **columns}
        return pd.DataFrame(columns)

    def _to_frame(
        self, parts: list[tuple[str | None, pa.Table]], kind: str = "candles", *, grid: Grid | None = None, **meta: Any
    ) -> pd.DataFrame:
        many = names_markets(self._frame)
        table = arrow_schema(kind).empty_table()
        if kind != "candles":
            meta["kind"] = kind
        if parts:
            table = joined([market for market, _ in parts], [part for _, part in parts]) if many else parts[0][1]
        index = ["market", "time"] if many and parts else ["time"]
        markets = markets_of(self._frame)
        if not many and len(markets) == 1:
            meta["market"] = markets[0]
        before = self.meta
        if grid is not None:
            before.pop("base", None)
            meta |= named(grid)
        return frames.to_pandas(table, index=index, tz=zone_of(self._frame), attrs={**before, **meta})
