"""The methods of ``df.uf`` for trades: bars that end by what was traded, and who traded."""

from __future__ import annotations

from typing import Any

import pandas as pd

from upbit_frames.core.arguments import flag
from upbit_frames.core.bar_grid import parse_grid
from upbit_frames.core.event_bars import EventBars, Threshold
from upbit_frames.core.flow import flow_of_trades
from upbit_frames.frames.frame_content import FrameContent
from upbit_frames.frames.from_pandas import (
    plain_zone,
    zone_of,
)

__all__ = ["TradeMethods"]


class TradeMethods(FrameContent):
    """Aggregations of trades that candles do not have."""

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
