"""The methods of ``df.uf`` for what knows no time zones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from upbit_frames.frames import exports
from upbit_frames.frames.frame_content import FrameContent

__all__ = ["ExportMethods"]


class ExportMethods(FrameContent):
    """Frames for Excel, backtesting.py and other programs that need naive times."""

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
        >>> import upbit_frames as uf
        >>> uf.candles("KRW-BTC", "1h", count=24).uf.naive("Asia/Seoul")  # doctest: +SKIP
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
        self._require("open", "high", "low", "close", "volume")
        return exports.to_backtesting(self._frame, tz)
