"""What ``df.uf.chart()`` returns: a page in a notebook or a file, and live candles."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upbit_frames.core.bar_grid import Grid, grid_of
from upbit_frames.core.terms import terms
from upbit_frames.errors import UsageError
from upbit_frames.frames.chart.levels import Level, levels_of
from upbit_frames.frames.chart.page import page
from upbit_frames.frames.from_pandas import markets_of, micros_of, plain_zone, tables, zone_of
from upbit_frames.frames.plot.content import filled_rows, guess
from upbit_frames.frames.plot.style import Style, style_of

if TYPE_CHECKING:
    import pandas as pd

    from upbit_frames.frames.chart.widget import LiveChart

__all__ = ["Chart"]


class Chart:
    """An interactive chart of the candles of one market; ``df.uf.chart()`` makes it.

    Shown as it is in JupyterLab and VS Code. It draws about as many candles as the window has room for: coarser ones,
    whose name stands above, until one zooms in.

    Parameters
    ----------
    frame : pandas.DataFrame
        Candles of one market.
    lang : {"ko", "en"}
    style : str or Style
    title, interval : str, optional
    height : int
        Pixels, in a notebook.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.candles("KRW-BTC", "1m", start="-1y").uf.chart(lang="ko").to_html("btc.html")  # doctest: +SKIP
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        lang: str = "en",
        style: str | Style = "korean",
        title: str | None = None,
        interval: str | None = None,
        height: int = 560,
    ) -> None:
        terms(lang)
        self._lang, self._style, self._height = lang, style_of(style), height
        ((_, table),) = tables(frame, "candles", filled=True)
        times = micros_of(table)
        known = grid_of(frame.attrs.get("upbit_frames", {}), interval)
        step: Grid = known or guess(times, plain_zone(zone_of(frame)))
        self.zone = zone_of(frame)
        self.markets = markets_of(frame)
        self.levels: list[Level] = levels_of(table, filled_rows(frame), step)
        names = [*(self.markets if len(self.markets) == 1 else []), step.name]
        self._title = " ".join(names) if title is None else title

    def html(self) -> str:
        """Return the document that :meth:`to_html` writes.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> text = uf.candles("KRW-BTC", "1d", count=90).uf.chart().html()  # doctest: +SKIP
        """
        quotes = {code.partition("-")[0] for code in self.markets}
        quote = quotes.pop() if len(quotes) == 1 else ""
        base = self.markets[0].partition("-")[2] if len(self.markets) == 1 else ""
        return page(
            self.levels, self.zone, title=self._title, quote=quote, base=base, lang=self._lang, style=self._style
        )  # fmt: skip

    def to_html(self, path: str | Path) -> Path:
        """Write the chart as a page that loads nothing: about 5 MB of plotly.js, and 30 bytes a candle.

        Parameters
        ----------
        path : str or pathlib.Path
            An existing file is replaced.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        UsageError
            Without the extra ``chart`` (plotly), or if the file cannot be written.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.candles("KRW-BTC", "1d", count=90).uf.chart().to_html("btc.html")  # doctest: +SKIP
        """
        target, text = Path(path), self.html()
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"{target} cannot be written: {error.strerror or error}", suggestion="choose another path"
            ) from error
        return target

    def follow(self, follow: Any, *, every: float = 1.0) -> LiveChart:
        """Return a widget of the chart that goes on with the candles of a ``uf.follow``.

        Parameters
        ----------
        follow : Follow
            Of the same market and interval, open; the reader of its batches loses none.
        every : float
            Seconds between looks at it.

        Returns
        -------
        LiveChart
            For the end of a cell; ``.stop()`` ends it, and so does closing the follow.

        Raises
        ------
        QueryError
            If it follows other candles.
        UsageError
            Without the extra ``chart`` (anywidget).

        Examples
        --------
        >>> import upbit_frames as uf
        >>> f = uf.follow("KRW-BTC", "1m", history=500)  # doctest: +SKIP
        >>> f.to_frame().uf.chart(lang="ko").follow(f)  # doctest: +SKIP
        """
        from upbit_frames.frames.chart.widget import live_chart

        return live_chart(self, follow, every)

    def _repr_html_(self) -> str:
        style = f"width:100%;height:{self._height}px;border:0"
        return f"<iframe srcdoc='{escape(self.html(), quote=True)}' style='{style}'></iframe>"

    def __repr__(self) -> str:
        names = ", ".join(f"{len(level):,} of {level.grid.name}" for level in self.levels)
        return f"<Chart {self._title}: {names} (.to_html(path) writes it)>"
