"""``df.uf``: what a frame of candles or trades can do beyond pandas.

Loaded with the first frame this package makes, or on first use. It works on any frame that has the columns,
of any origin, so a frame that was sliced, joined or read from a file keeps its abilities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from upbit_frames.core import gaps, resample
from upbit_frames.core.arguments import choice, flag, whole
from upbit_frames.core.bar_grid import parse_grid
from upbit_frames.core.candle_checks import NUMBERS, violations
from upbit_frames.core.intervals import EPOCH, Span
from upbit_frames.core.other_names import absent
from upbit_frames.core.query import GAPS, MAX_COUNT
from upbit_frames.errors import QueryError
from upbit_frames.frames import output as frames
from upbit_frames.frames import panel as panels
from upbit_frames.frames.book_methods import BookMethods
from upbit_frames.frames.display_methods import DisplayMethods
from upbit_frames.frames.export_methods import ExportMethods
from upbit_frames.frames.from_pandas import (
    micros_of,
    moments,
    plain_zone,
    tables,
    zone_of,
)
from upbit_frames.frames.registration import NAME, withdraw
from upbit_frames.frames.trade_methods import TradeMethods

__all__ = ["UpbitFrames"]


withdraw(pd.DataFrame)


@pd.api.extensions.register_dataframe_accessor(NAME)
class UpbitFrames(TradeMethods, BookMethods, DisplayMethods, ExportMethods):
    """The accessor ``df.uf`` of candles, and of trades, order books and panels as far as it makes sense.

    A frame of several markets, with ``market`` as an index level or a column, is worked on market
    by market. Where an interval is needed, it is the one named, else the one in
    ``df.attrs["upbit_frames"]``, else the longest whose grid all times lie on. Frames of some of the
    columns have every method that needs no other.

    Raises
    ------
    AttributeError
        If the frame is no panel and has neither the columns of candles nor those of trades, naming what is missing.

    Examples
    --------
    >>> from upbit_frames.core.schema import arrow_schema
    >>> table = arrow_schema("candles").empty_table()
    >>> df = frames.to_output(table, "candles", "pandas", attrs={"interval": "1m"})
    >>> df.uf.meta
    {'interval': '1m'}
    """

    if not TYPE_CHECKING:  # a type checker is to know that nothing else is there

        def __getattr__(self, name: str) -> Any:
            raise absent("df.uf", name, dir(type(self)))

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
        >>> from upbit_frames.core.schema import arrow_schema
        >>> table = arrow_schema("candles").empty_table()
        >>> df = frames.to_output(table, "candles", "pandas")
        >>> df.uf.gaps(interval="1h", start="2026-01-01", end="2026-01-02")["periods"].tolist()
        [24]
        """
        rows = []
        for market, table, step, span in self._ranges(interval, start, end):
            missing = gaps.missing_ranges(micros_of(table), step, span)
            rows += [(market, gap.start, gap.end, step.slots(*gap)) for gap in missing]
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
            Candles that were filled in are not looked at, nor rules for columns that the frame lacks.

        Examples
        --------
        >>> from upbit_frames.core.schema import arrow_schema
        >>> table = arrow_schema("candles").empty_table()
        >>> df = frames.to_output(table, "candles", "pandas")
        >>> len(df.uf.validate(interval="1m"))
        0
        """
        rows = []
        for market, table in self._candles(ordered=False):
            times = micros_of(table)
            numbers = {name: np.asarray(table[name]) for name in NUMBERS if name in table.column_names}
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
            filled in count for nothing. Of candles with some of the columns, those. Sums below 2**26
            (67,108,864) equal the decimal numbers to all eight decimals; above, a float64 cannot hold them,
            and the last digit may differ.

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
        >>> from upbit_frames.core.schema import arrow_schema
        >>> table = arrow_schema("candles").empty_table()
        >>> df = frames.to_output(table, "candles", "pandas", attrs={"interval": "1h"})
        >>> df.uf.resample("1d", base="Asia/Seoul").uf.meta["base"]
        'Asia/Seoul'
        """
        wanted = parse_grid(interval, base, plain_zone(zone_of(self._frame)))
        if self._kind == "trades":
            self._require("price", "volume", "value")
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
        >>> from upbit_frames.core.schema import arrow_schema
        >>> table = arrow_schema("candles").empty_table()
        >>> df = frames.to_output(table, "candles", "pandas")
        >>> len(df.uf.fill("nan", interval="1h", start="2026-01-01", end="2026-01-02"))
        24
        """
        choice("policy", policy, GAPS)
        ranges = self._ranges(interval, start, end, *(["close"] if policy == "fill" else []))
        parts = [
            (market, gaps.fill(table, step, span or Span(EPOCH, EPOCH), policy)) for market, table, step, span in ranges
        ]
        return self._to_frame(parts, grid=ranges[0][2] if ranges else None, gaps=policy)

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
