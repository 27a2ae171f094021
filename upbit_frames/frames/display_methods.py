"""The methods of ``df.uf`` that show a frame: a picture, an interactive chart, a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from upbit_frames.core.arguments import whole
from upbit_frames.core.terms import terms
from upbit_frames.errors import QueryError
from upbit_frames.frames.frame_content import FrameContent
from upbit_frames.frames.from_pandas import markets_of, names_markets
from upbit_frames.frames.plot.candles import MOST

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas.io.formats.style import Styler

    from upbit_frames.frames.chart.chart import Chart
    from upbit_frames.frames.plot.style import Style

__all__ = ["DisplayMethods"]

_PRICES = ("open", "high", "low", "close")


class DisplayMethods(FrameContent):
    """Pictures, interactive charts and tables of a frame."""

    def plot(
        self,
        ax: Axes | None = None,
        *,
        volume: bool = True,
        style: str | Style = "korean",
        title: str | None = None,
        interval: str | None = None,
        last: bool = True,
        most: int = MOST,
        lang: str | None = None,
        averages: Sequence[int] = (),
        overlays: pd.Series[float] | pd.DataFrame | None = None,
    ) -> Axes:
        """Draw the candles of one market, or the closes of several on one scale (100 at the first common time).

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure of pyplot.
        volume : bool
            Whether to draw a panel of volumes below, in the room of ``ax``; not where the frame has no volumes.
        style : {"korean", "western", "mono", "night"} or Style
            Colours. Korean: up red, down blue.
        title : str, optional
            By default market and interval as far as the frame knows them; ``""`` for none.
        interval : str, optional
            Of the candles; by default what the frame says, else what its times say.
        last : bool
            Whether to mark the last close on the price axis.
        most : int
            Candles drawn one by one. More are drawn as coarser candles, and a note says so.
        lang : {"ko", "en"}, optional
            Of the words and dates; by default Korean where an installed font has it.
        averages : sequence of int
            Moving averages of the closes, each over so many rows, such as ``(5, 20, 60)``.
        overlays : pandas.Series or pandas.DataFrame, optional
            Lines on the price axis, each with its name; the index is of aware times.

        Returns
        -------
        matplotlib.axes.Axes
            Of the prices.

        Raises
        ------
        QueryError
            If an option is not possible. Of several markets, and of a panel of one field, only ``ax``, ``style``,
            ``title`` and ``lang`` apply; averages and overlays are refused.
        UsageError
            Without the extra ``plot`` (matplotlib).

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.candles("KRW-BTC", "1d", count=90).uf.plot(averages=(5, 20), lang="ko")  # doctest: +SKIP
        """
        from upbit_frames.frames import plot

        if self._kind == "panel" and self._frame.columns.nlevels > 1:
            fields = list(self._frame.columns.get_level_values(0).unique())
            raise QueryError(
                f"a chart shows one field of a panel, and this one has {len(fields)}",
                suggestion=f"choose one: df[{fields[0]!r}].uf.plot()",
            )
        markets = markets_of(self._frame)
        if self._kind == "panel" or (len(markets) > 1 and names_markets(self._frame)):
            if len(averages) or overlays is not None:
                raise QueryError(
                    "averages and overlays are for one market, and this frame has several",
                    suggestion=f"choose one: df.loc[{markets[0]!r}].uf.plot(…)" if markets else None,
                )
            if self._kind != "panel":
                self._candles("close", ordered=False)
            return plot.comparison(self._frame, ax, style=style, title=title, lang=lang)
        self._candles(*_PRICES, ordered=False)
        volume = volume and "volume" in self._frame.columns
        return plot.candles(
            self._frame, ax=ax, volume=volume, style=style, title=title, interval=interval, last=last, most=most,
            lang=lang, averages=averages, overlays=overlays,
        )  # fmt: skip

    def chart(
        self,
        *,
        lang: str = "en",
        style: str | Style = "korean",
        title: str | None = None,
        interval: str | None = None,
        height: int = 560,
    ) -> Chart:
        """Make an interactive chart of the candles of one market: zoom, pan, crosshair; volume below.

        About as many candles are drawn as the window has room for; coarser ones, aggregated exactly, until one
        zooms in.
        A year of minutes is browsed like a day.

        Parameters
        ----------
        lang : {"ko", "en"}
            Of words, dates and amounts (만, 억, 조).
        style : {"korean", "western", "mono", "night"} or Style
            Colours; a Style's must be CSS.
        title : str, optional
            By default market and interval as far as the frame knows them.
        interval : str, optional
            Of the candles; by default what the frame says, else what its times say.
        height : int
            Pixels, in a notebook.

        Returns
        -------
        Chart
            Shown at the end of a cell; ``.to_html(path)`` writes a page that loads nothing, ``.follow(f)`` goes on
            with live candles. Times are those of the frame's zone; gaps stay empty.

        Raises
        ------
        QueryError
            If the frame holds no candles, or those of several markets.
        UsageError
            When shown, without the extra ``chart`` (plotly).

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.candles("KRW-BTC", "1m", start="-1y").uf.chart(lang="ko")  # doctest: +SKIP
        """
        self._candles(*_PRICES, "volume")
        markets = markets_of(self._frame)
        if len(markets) > 1 and names_markets(self._frame):
            raise QueryError(
                f"a chart shows one market, and this frame has {len(markets)}",
                suggestion=f"choose one: df.loc[[{markets[0]!r}]].uf.chart(); df.uf.plot() compares them",
            )
        from upbit_frames.frames.chart.chart import Chart

        return Chart(
            self._frame, lang=lang, style=style, title=title, interval=interval,
            height=whole("height", height, 100, 10_000),
        )  # fmt: skip

    def style(self, *, lang: str = "en", rows: int = 200) -> Styler:
        """Format the frame as a table to read: amounts with separators, won without decimals, codes unbroken.

        Parameters
        ----------
        lang : {"ko", "en"}
            Of the column headings.
        rows : int
            The newest so many rows; a caption says how many there are.

        Returns
        -------
        pandas.io.formats.style.Styler
            For the end of a cell; the frame keeps its values.

        Raises
        ------
        UsageError
            Without jinja2, which the extra ``notebook`` installs.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.candles("KRW-BTC", "1d", count=30).uf.style(lang="ko")  # doctest: +SKIP
        """
        terms(lang)
        from upbit_frames.frames.styling import styled

        return styled(self._frame, lang, whole("rows", rows, 1, 10_000))
