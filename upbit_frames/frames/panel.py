"""Panels: one field of many markets side by side, assembled in one block of memory (pure).

The block has a row for each column of the frame and a place for each period of the range, so every market is
written where it stays, and no column is copied again. Periods in which no market traded are closed up at the
end, inside the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from upbit_frames.core.arrow import wrapped
from upbit_frames.core.bar_grid import Grid
from upbit_frames.core.intervals import Span
from upbit_frames.core.schema import arrow_schema
from upbit_frames.errors import QueryError
from upbit_frames.frames.output import ATTRS, block_frame, time_index, to_arrow, to_polars

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["MISSING", "PanelBuilder", "apply_missing", "cross_section_output", "panel_output", "returns", "wide_table"]

MISSING = ("nan", "ffill", "drop", "raise")
AMOUNTS = ("volume", "value")
NAMED = 5  # markets that a message names


class PanelBuilder:
    """Collects the candles of many markets into one array.

    Parameters
    ----------
    fields : sequence of str
        Columns of candles.

    Attributes
    ----------
    markets : tuple of str
    times : numpy.ndarray
        int64, microseconds UTC, ascending: the periods in which at least one market has a candle. Of
        :meth:`close`.
    block : numpy.ndarray
        float64, a row for each field and market, a place for each of ``times``; NaN where there is no
        candle. Of :meth:`close`.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self.markets: tuple[str, ...] = ()
        self.times: NDArray[np.int64] = np.empty(0, np.int64)
        self.block: NDArray[np.float64] = np.empty((0, 0))
        self.unknown: dict[str, tuple[Span, ...]] = {}
        self._low = self._step = 0
        self._present: NDArray[np.bool_] = np.empty(0, bool)
        self._full = True  # every period has a candle already

    @property
    def periods(self) -> int:
        """How many periods there is room for."""
        return len(self._present)

    def begin(self, markets: Sequence[str], grid: Grid, span: Span) -> None:
        """Make room for these markets and every period that starts inside a range on the grid."""
        self.markets, self.unknown = tuple(markets), {}
        self._low, self._step = span.start, 0 if grid.seconds is None else grid.step
        if self._step:
            count = grid.slots(*span)
            self.times = np.empty(0, np.int64)
        else:  # periods of different lengths: few enough to write them down
            self.times = grid.array(*span)
            count = len(self.times)
        self._present, self._full = np.zeros(count, bool), not count
        self.block = np.empty((len(self.fields) * len(self.markets), count))

    def put(self, number: int, table: pa.Table, unknown: Sequence[Span] = ()) -> None:
        """Take the candles of a market; each market once, from any thread.

        Parameters
        ----------
        number : int
            Which of the markets.
        table : pyarrow.Table
            ``time``, ascending, inside the range and on its grid, and the fields.
        unknown : sequence of Span
            Where it is not known whether the market traded.
        """
        self.unknown[self.markets[number]] = tuple(unknown)
        rows = self.block[number :: len(self.markets)]
        done = 0  # up to where the rows are filled
        for batch in table.to_batches():
            if not len(batch):
                continue
            places, low, high = self._places(np.asarray(batch.column("time").view("int64")))
            if not self._full:
                self._present[places] = True
            # A slice is written whole; between scattered places something must stand.
            rows[:, done : low if isinstance(places, slice) else high] = np.nan
            for row, field in zip(rows, self.fields, strict=True):
                row[places] = batch.column(field).to_numpy()
            done = high
        rows[:, done:] = np.nan
        self._full = self._full or bool(self._present.all())

    def _places(self, times: NDArray[np.int64]) -> tuple[slice | NDArray[np.int64], int, int]:
        """Where times belong, and the range of these places; a slice where no period between them is missing."""
        if not self._step:
            places: NDArray[np.int64] = np.searchsorted(self.times, times)
            return places, int(places[0]), int(places[-1]) + 1
        low, last = (int(times[at] - self._low) // self._step for at in (0, -1))
        if last - low == len(times) - 1:
            return slice(low, last + 1), low, last + 1
        offsets = times - self._low
        return np.floor_divide(offsets, self._step, out=offsets), low, last + 1

    def close(self) -> None:
        """Finish: leave out the periods in which no market has a candle."""
        if self._step:
            self.times = self._low + self._step * np.arange(len(self._present), dtype=np.int64)
        self.keep(self._present)

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Leave only some of the periods, without other memory than that of one column."""
        if chosen.all():
            return
        places = np.flatnonzero(chosen)
        self.times = self.times[places]
        flat, count = self.block.reshape(-1), len(places)
        for number, row in enumerate(self.block):  # each row moves towards the front, over what has moved already
            flat[number * count : (number + 1) * count] = row[places]
        self.block = flat[: len(self.block) * count].reshape(len(self.block), count)

    def fill_forward(self) -> None:
        """Carry prices forward where a market did not trade, and put 0 for its amounts.

        Nothing is put before a market's first candle, nor where it is not known whether it traded.
        """
        at = np.arange(len(self.times))
        for number, row in enumerate(self.block):
            field, market = divmod(number, len(self.markets))
            last = np.maximum.accumulate(np.where(np.isnan(row), -1, at))
            holes = (last >= 0) & (last < at)
            for span in self.unknown.get(self.markets[market], ()):
                low, high = np.searchsorted(self.times, span)
                holes[low:high] = False
            row[holes] = 0.0 if self.fields[field] in AMOUNTS else row[last[holes]]

    def drop_incomplete(self) -> None:
        """Leave out the periods in which a market has no candle."""
        complete = np.ones(len(self.times), bool)
        for row in self.block:
            complete &= ~np.isnan(row)
        self.keep(complete)

    def incomplete(self) -> dict[str, int]:
        """Count for each market the rows without a value, where there are any."""
        counts = {
            market: int(np.isnan(row).sum())
            for market, row in zip(self.markets, self.block, strict=False)  # one field is enough
        }
        return {market: count for market, count in counts.items() if count}


def apply_missing(builder: PanelBuilder, missing: str) -> None:
    """Treat the places without a candle as ``missing`` says.

    Raises
    ------
    QueryError
        With ``"raise"``, naming the markets that lack candles.
    """
    if missing == "ffill":
        builder.fill_forward()
    elif missing == "drop":
        builder.drop_incomplete()
    elif missing == "raise" and (lacking := builder.incomplete()):
        markets = ", ".join(f"{market} ({count:,})" for market, count in list(lacking.items())[:NAMED])
        more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
        raise QueryError(
            f"{len(lacking)} of {len(builder.markets)} markets have no candle in some of the "
            f"{len(builder.times):,} rows: {markets}{more}",
            suggestion="missing='nan' keeps these rows, 'drop' leaves them out, 'ffill' carries prices forward; "
            "the frame's attrs say how often each market was not traded or not listed",
            markets=list(lacking),
        )  # fmt: skip


def panel_output(builder: PanelBuilder, output: str, *, tz: str, several: bool, attrs: dict[str, Any]) -> Any:
    """The panel as the user wants it.

    Parameters
    ----------
    builder : PanelBuilder
        Closed.
    output : {"pandas", "arrow", "polars"}
    tz : str
    several : bool
        Whether columns name their field too: in pandas (field, market), else ``field_market``.
    attrs : dict
    """
    if output == "pandas":
        return _pandas(builder, tz, several, attrs)
    table = wide_table(builder, several=several)
    return to_polars(table, tz=tz) if output == "polars" else to_arrow(table, tz=tz, attrs=attrs)


def wide_table(builder: PanelBuilder, *, several: bool) -> pa.Table:
    """The panel as an Arrow table over the builder's memory, its times in UTC."""
    import pyarrow as pa

    names = [f"{field}_{market}" if several else market for field in builder.fields for market in builder.markets]
    kind = arrow_schema("candles").field("time").type
    arrays = [wrapped(builder.times, kind), *(wrapped(row, pa.float64()) for row in builder.block)]
    return pa.Table.from_arrays(arrays, names=["time", *names])


def _pandas(builder: PanelBuilder, tz: str, several: bool, attrs: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    times = wrapped(builder.times, arrow_schema("candles").field("time").type)
    index = time_index(pa.chunked_array([times]), tz)
    columns: Any = pd.Index(builder.markets, name="market")
    if several:
        columns = pd.MultiIndex.from_product([builder.fields, builder.markets], names=["field", "market"])
    frame = block_frame(builder.block, index, columns)
    frame.attrs[ATTRS] = attrs
    return frame


def cross_section_output(builder: PanelBuilder, output: str, *, tz: str, attrs: dict[str, Any]) -> Any:
    """One row a market: the only period of a panel, turned on its side."""
    import pandas as pd
    import pyarrow as pa

    shape = (len(builder.fields), len(builder.markets))
    values = builder.block.reshape(shape) if builder.block.shape[1] else np.full(shape, np.nan)
    if output == "pandas":
        frame = block_frame(values, pd.Index(builder.markets, name="market"), pd.Index(builder.fields))
        frame.attrs[ATTRS] = attrs
        return frame
    arrays = [pa.array(builder.markets, pa.string()), *(wrapped(row, pa.float64()) for row in values)]
    table = pa.Table.from_arrays(arrays, names=["market", *builder.fields])
    return to_polars(table, tz=tz) if output == "polars" else to_arrow(table, tz=tz, attrs=attrs)


def returns(panel: pd.DataFrame, *, log: bool, periods: int) -> pd.DataFrame:
    """The change of every column over so many rows; NaN where either value is missing."""
    import pandas as pd

    values = panel.to_numpy(dtype=np.float64)
    changed = np.full(values.shape, np.nan)
    if abs(periods) < len(values):
        now, before = (values[periods:], values[:-periods]) if periods > 0 else (values[:periods], values[-periods:])
        target = changed[periods:] if periods > 0 else changed[:periods]
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(now, before, out=target)
            if log:
                np.log(target, out=target)
            else:
                target -= 1.0
    frame = pd.DataFrame(changed, index=panel.index, columns=panel.columns, copy=False)
    frame.attrs = dict(panel.attrs)
    return frame
