"""A chart in a notebook that goes on with live candles."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from upbit_frames.errors import QueryError, UpbitFramesError, UsageError
from upbit_frames.frames.chart.levels import Level, tail_of
from upbit_frames.frames.chart.packing import pack
from upbit_frames.frames.from_pandas import micros_of, tables

if TYPE_CHECKING:
    import pandas as pd

    from upbit_frames.frames.chart.chart import Chart

__all__ = ["LiveChart", "first_change", "live_chart", "merged"]

# The page lives in a frame of its own, which gets new candles as messages.
_SCRIPT = """
export default { render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.style = `width:100%;height:${model.get("height")}px;border:0`;
  frame.srcdoc = model.get("page");
  let ready = false;
  const send = () => ready && frame.contentWindow &&
    frame.contentWindow.postMessage({ upbitFramesTail: model.get("tail") }, "*");
  const listen = (event) => {
    if (event.source === frame.contentWindow && event.data && event.data.upbitFramesReady) { ready = true; send(); }
  };
  window.addEventListener("message", listen);
  model.on("change:tail", send);
  el.appendChild(frame);
  return () => { window.removeEventListener("message", listen); model.off("change:tail", send); };
} };
"""


def merged(table: pa.Table, news: pa.Table) -> pa.Table:
    """Return candles with newer ones in place of those from their first time on."""
    if not len(news):
        return table
    keep = int(np.searchsorted(micros_of(table), micros_of(news)[0]))
    return pa.concat_tables([table.slice(0, keep), news.select(table.column_names)])


def first_change(old: pa.Table, new: pa.Table) -> int | None:
    """Return the time of the first row of ``new`` that ``old`` has not like that; None if there is none.

    ``new`` begins where ``old`` may have ended: only times from its first one on are compared.
    """
    if not len(new):
        return None
    times = micros_of(new)
    part = old.slice(int(np.searchsorted(micros_of(old), times[0])))
    common = min(len(part), len(new))
    same = np.ones(common, dtype=bool)
    for name in ("time", "open", "high", "low", "close", "volume", "value"):
        left, right = (np.asarray(each[name].cast("int64") if name == "time" else each[name]) for each in (part, new))
        same &= left[:common] == right[:common]
    changed = np.flatnonzero(~same)
    if len(changed):
        return int(times[changed[0]])
    return int(times[common]) if len(new) > common else None


class LiveChart:
    """A chart that goes on; shown at the end of a cell. :meth:`stop` ends it.

    Parameters
    ----------
    chart : Chart
    follow : Follow
    every : float
        Seconds between looks at it.

    Examples
    --------
    >>> live = chart.follow(f)  # doctest: +SKIP
    >>> live.stop()  # doctest: +SKIP
    """

    def __init__(self, chart: Chart, follow: Any, every: float) -> None:
        try:
            import anywidget
            import traitlets
        except ImportError as error:
            raise UsageError(
                "a live chart needs the package anywidget, which is not installed",
                suggestion="pip install 'upbit-frames[chart]'",
            ) from error
        traits = {
            "_esm": _SCRIPT,
            "page": traitlets.Unicode(chart.html()).tag(sync=True),
            "height": traitlets.Int(chart._height).tag(sync=True),
            "tail": traitlets.List([]).tag(sync=True),
        }
        self.widget: Any = type("ChartWidget", (anywidget.AnyWidget,), traits)()
        self.error: UpbitFramesError | None = None
        self._follow, self._every = follow, every
        self._base, self._grids = chart.levels[0], [level.grid for level in chart.levels]
        self._opened = int(micros_of(self._base.table)[-1]) if len(self._base) else 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upbit_frames-chart", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            closed = self._follow.closed
            try:
                self.take(self._follow.to_frame(forming=True))
            except UpbitFramesError as error:
                self.error = error
                return
            if closed:
                return
            self._ended.wait(self._every)

    def take(self, frame: pd.DataFrame) -> None:
        """Show the candles of a frame that are new or have changed.

        Examples
        --------
        >>> live.take(f.to_frame(forming=True))  # doctest: +SKIP
        """
        ((_, news),) = tables(frame, "candles")
        if first_change(self._base.table, news) is None:
            return
        table = merged(self._base.table, news)
        filled = np.zeros(len(table), dtype=bool)
        kept = min(len(table) - len(news), len(self._base))
        filled[:kept] = self._base.filled[:kept]
        self._base = Level(self._base.grid, table, filled)
        # From the page's own end on, so that a view that opens late, or missed a message, is complete.
        start = self._opened or int(micros_of(table)[0])
        self.widget.tail = [pack(level) for level in tail_of(self._base, self._grids, start)]

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it; the chart stays.

        Examples
        --------
        >>> live.stop()  # doctest: +SKIP
        """
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5.0)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def __repr__(self) -> str:
        state = "running" if self.running else f"ended: {self.error}" if self.error else "ended"
        return f"<LiveChart of {self._base.grid.name}: {state}>"


def live_chart(chart: Chart, follow: Any, every: float) -> LiveChart:
    """Check that a follow continues the chart, and return the widget."""
    query = follow.query
    if query.many or (chart.markets and list(query.markets) != chart.markets) or query.grid != chart.levels[0].grid:
        raise QueryError(
            f"this chart shows {chart.levels[0].grid.name} candles of {', '.join(chart.markets) or 'one market'}, and "
            f"the follow gives {query.grid.name} of {', '.join(query.markets)}",
            suggestion="follow one market at the chart's interval: f.to_frame().uf.chart().follow(f)",
        )
    return LiveChart(chart, follow, every)
