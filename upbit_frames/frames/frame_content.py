"""What every method of ``df.uf`` needs of its frame: rows by market, interval, range; and the way back to a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from upbit_frames.core.arrow import joined
from upbit_frames.core.bar_grid import Grid, grid_of, named
from upbit_frames.core.intervals import Span
from upbit_frames.core.moments import parse_moment
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import InvalidRange, QueryError
from upbit_frames.frames import output as frames
from upbit_frames.frames.from_pandas import (
    kind_of,
    markets_of,
    micros_of,
    names_markets,
    plain_zone,
    tables,
    zone_of,
)
from upbit_frames.frames.interval_of_times import infer_interval
from upbit_frames.runtime.caller import warn

__all__ = ["FrameContent"]


class FrameContent:
    """The content of a frame of candles or trades, or of a panel.

    Parameters
    ----------
    frame : pandas.DataFrame

    Raises
    ------
    AttributeError
        If the frame is none of them, naming what is missing.
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

    def _trades(self) -> list[tuple[str | None, pa.Table]]:
        """Return the trades market by market, with a column ``bought``."""
        if self._kind != "trades":
            raise QueryError(
                f"this needs trades, and the frame holds {self._content}",
                suggestion="uf.trades(market, start=…) has them, and uf.bars(market, …) aggregates them itself",
            )
        self._require("price", "volume")
        return tables(self._frame, "trades", sides=True)

    def _require(self, *columns: str) -> None:
        """Refuse if the frame lacks columns of its kind."""
        missing = [name for name in columns if name not in self._frame.columns]
        if missing:
            meta = self.meta
            arguments = [repr(meta[name]) for name in ("market", "interval") if isinstance(meta.get(name), str)]
            call = f"uf.{self._kind}({', '.join([*arguments, '…', f'columns={[*columns]}'])})"
            raise QueryError(
                f"this needs {_counted(columns)}, and the frame lacks {', '.join(missing)}",
                suggestion=f"{call} reads them; without columns= a frame has every one",
            )

    def _candles(self, *columns: str, ordered: bool = True) -> list[tuple[str | None, pa.Table]]:
        if self._kind != "candles":
            raise QueryError(
                f"this needs candles, and the frame holds {self._content}",
                suggestion="df.uf.resample('1m') makes candles of trades; uf.candles(markets, …) has those of a panel",
            )
        self._require(*columns)
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

    def _ranges(
        self, interval: Any, start: Any, end: Any, *columns: str
    ) -> list[tuple[str | None, pa.Table, Grid, Span | None]]:
        """The candles market by market, their interval, and the range to look at."""
        parts = self._candles(*columns)
        rows = np.concatenate([micros_of(table) for _, table in parts]) if parts else np.empty(0, np.int64)
        step = self._interval(interval)
        if step is None:
            if not len(rows) and (start is None or end is None):
                return []  # nothing is known, and no range was given
            step = infer_interval(rows, plain_zone(zone_of(self._frame)))
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


def _counted(columns: tuple[str, ...]) -> str:
    return f"the column{'s' if len(columns) > 1 else ''} {', '.join(columns)}"
