"""Arrow tables → what the user wants to hold: pandas, Arrow or Polars.

The schema does not depend on the source, also without rows: times aware and in
microseconds, amounts float64, ids int64, names text. Longer than other modules: the ways into each kind of frame share
what keeps a frame from being copied, so they stand together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arrow import grid_codes
from upbit_frames.core.bar_grid import BarGrid, Grid, grid_of
from upbit_frames.errors import ConfigError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "ATTRS",
    "block_frame",
    "from_blocks",
    "names_of",
    "take_output",
    "text_type",
    "time_index",
    "to_arrow",
    "to_output",
    "to_pandas",
    "to_polars",
    "zoned",
]  # fmt: skip

LARGE = 100_000  # rows from which memory is given back to the system column by column
ATTRS = "upbit_frames"  # the one key of ``df.attrs`` and of the Arrow schema's metadata
_NULLABLE = {"seq"}  # Int64 in pandas even where no row lacks it, so that the type depends on no data
_INDEX = {
    "candles": ["time"],
    "trades": ["time"],
    "bars": ["time"],
    "flow": ["time"],
    "ticker": ["market"],
    "markets": ["market"],
    "instruments": ["market"],
    "orderbook": ["market", "level"],
    "books": ["time"],
}


def to_output(
    table: pa.Table,
    kind: str,
    output: str,
    *,
    tz: str = "UTC",
    index: list[str] | None = None,
    attrs: dict[str, Any] | None = None,
) -> Any:
    """The table as the user wants it.

    Parameters
    ----------
    table : pyarrow.Table
        Of the schema of ``kind``, possibly with more columns.
    kind : str
        Which of :data:`upbit_frames.schema.KINDS` it is.
    output : {"pandas", "arrow", "polars"}
    tz : str
        IANA name of the zone in which times are expressed; the moments stay the same.
    index : list of str, optional
        Columns that become the index in pandas. Default: what suits the kind.
    attrs : dict, optional
        JSON scalars, lists and dicts only. In pandas ``df.attrs["upbit_frames"]``, in Arrow JSON
        in the schema's metadata; Polars has no place for it.

    Returns
    -------
    pandas.DataFrame, pyarrow.Table or polars.DataFrame

    Raises
    ------
    ConfigError
        If there is no such output.
    UsageError
        If it needs a package that is not installed.

    Examples
    --------
    >>> from upbit_frames.core.schema import arrow_schema
    >>> df = to_output(arrow_schema("candles").empty_table(), "candles", "pandas", tz="Asia/Seoul")
    >>> df.index.dtype
    datetime64[us, Asia/Seoul]
    """
    return take_output([table], kind, output, tz=tz, index=index, attrs=attrs)


def take_output(
    holder: list[pa.Table],
    kind: str,
    output: str,
    *,
    tz: str = "UTC",
    index: Sequence[str] | None = None,
    attrs: dict[str, Any] | None = None,
    reuse_buffers: bool = False,
    block: np.ndarray[Any, Any] | None = None,
) -> Any:
    """As :func:`to_output`, of a table that is given away.

    ``holder`` holds the one table and is empty afterwards. Where nothing else refers to it, its
    columns are let go of one by one, so that a long frame and its table never lie side by side.
    With ``reuse_buffers`` nothing else has its memory either, and the frame may use it; ``block`` is that
    memory, where the table is of several markets.
    """
    if output == "pandas":
        return _take_pandas(
            holder, _INDEX[kind] if index is None else index, tz, attrs, reuse_buffers=reuse_buffers, block=block
        )
    table = holder.pop()
    if output == "arrow":
        return to_arrow(table, tz=tz, attrs=attrs)
    if output == "polars":
        return to_polars(table, tz=tz)
    raise ConfigError(f"output={output!r} is not an output", suggestion="use 'pandas', 'arrow' or 'polars'")


def to_arrow(table: pa.Table, *, tz: str = "UTC", attrs: dict[str, Any] | None = None) -> pa.Table:
    """Return the table with its times in ``tz`` and ``attrs`` as JSON in the schema's metadata."""
    table = _in_zone(table, tz)
    if attrs is None:
        return table
    text = json.dumps(attrs, ensure_ascii=False, separators=(",", ":"))
    return table.replace_schema_metadata({**(table.schema.metadata or {}), ATTRS: text})


def to_polars(table: pa.Table, *, tz: str = "UTC") -> Any:
    """The table as a Polars frame, without copying; time zones stay."""
    try:
        import polars as pl
    except ImportError as error:
        raise UsageError(
            "output='polars' needs the package polars, which is not installed",
            suggestion="pip install 'upbit-frames[polars]', or use output='pandas' or 'arrow'",
        ) from error
    return pl.from_arrow(_in_zone(table, tz), rechunk=False)


def _in_zone(table: pa.Table, tz: str) -> pa.Table:
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz != tz:
            # Arrow keeps moments in UTC; the zone is only a word in the type.
            zoned_field = field.with_type(pa.timestamp(field.type.unit, tz=tz))
            table = table.set_column(i, zoned_field, table.column(i).cast(zoned_field.type))
    return table


# --- pandas -------------------------------------------------------------------------------------


def to_pandas(
    table: pa.Table, *, index: Sequence[str], tz: str = "UTC", attrs: dict[str, Any] | None = None
) -> pd.DataFrame:
    """The table as a frame that owns its memory.

    Columns are built from numpy arrays: that is five times as fast as ``Table.to_pandas`` for a
    few hundred rows, and no column is ever read-only.
    """
    return _take_pandas([table], index, tz, attrs)


def _take_pandas(
    holder: list[pa.Table],
    index: Sequence[str],
    tz: str,
    attrs: dict[str, Any] | None,
    *,
    reuse_buffers: bool = False,
    block: np.ndarray[Any, Any] | None = None,
) -> pd.DataFrame:
    import upbit_frames.frames.accessor  # noqa: F401 - every frame of this package has df.uf

    table = holder.pop()
    rows = _index(table, index, tz)
    columns = {name: table.column(name) for name in table.column_names if name not in index}
    del table
    frame = _build_frame(columns, rows, tz, reuse_buffers=reuse_buffers, block=block)
    if attrs is not None:
        frame.attrs[ATTRS] = attrs
        grid = grid_of(attrs) if list(index) == ["time"] and attrs.get("gaps", "raw") != "raw" else None
        if grid is not None:
            frame.index = regular(frame.index, grid)
    return frame


def regular(index: Any, grid: Grid) -> Any:
    """Return an index without gaps with its ``freq`` set, as far as pandas has one for it in this zone."""
    import pandas as pd

    for freq in _frequencies(grid):
        try:
            return pd.DatetimeIndex(index, freq=freq, name=index.name)
        except ValueError:  # Monday in London, say, is Sunday in New York
            continue
    return index


def _frequencies(grid: Grid) -> list[Any]:
    """Return what pandas may call the steps of a grid: by the calendar first, then by their length."""
    import pandas as pd

    count, unit = (grid.period.count, grid.period.unit) if isinstance(grid, BarGrid) else (1, grid.name[-1])
    calendar = {"d": "D", "w": "W-MON", "M": "MS", "y": "YS"}.get(unit)
    by_length = [pd.Timedelta(seconds=grid.seconds)] if grid.seconds is not None else []
    return [*([f"{count}{calendar}"] if calendar else []), *by_length]


def _build_frame(
    columns: dict[str, pa.ChunkedArray],
    index: pd.Index,
    tz: str,
    *,
    reuse_buffers: bool = False,
    block: np.ndarray[Any, Any] | None = None,
) -> pd.DataFrame:
    """Numbers in one block, as pandas would arrange them itself later, and the rest around them."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from upbit_frames.core.arrow import block_of, lies_in

    places = {name: place for place, name in enumerate(columns)}
    floats = [name for name, column in columns.items() if column.type == pa.float64()]
    numbers = [columns[name] for name in floats]
    if not reuse_buffers:
        block = None
    elif block is None or not lies_in(block, numbers):
        block = block_of(numbers)
    del numbers
    if block is None:
        block = _copy_floats(columns, floats, len(index))
    others = {
        name: _column(column, tz, nullable=name in _NULLABLE) for name, column in columns.items() if name not in floats
    }
    frame: pd.DataFrame
    if from_blocks() is None:
        frame = pd.DataFrame(block.T, index=index, columns=names_of(tuple(floats)), copy=False)
        for name, values in others.items():
            frame.insert(places[name], name, values)
        return frame
    blocks: list[tuple[Any, Any]] = [(block, np.array([places[name] for name in floats]))] if floats else []
    for name, values in others.items():
        flat = values.reshape(1, -1) if isinstance(values, np.ndarray) else values
        blocks.append((flat, np.array([places[name]])))
    frame = from_blocks()(blocks, index, names_of(tuple(places)))
    return frame


def time_index(column: pa.ChunkedArray, tz: str) -> Any:
    """An index ``time`` of a column of times, in a zone."""
    import pandas as pd

    return pd.Index(_column(column, tz), name="time")


def block_frame(block: np.ndarray[Any, Any], index: pd.Index, columns: pd.Index) -> pd.DataFrame:
    """A frame in the memory of an array that has a row for each of its columns."""
    import pandas as pd

    import upbit_frames.frames.accessor  # noqa: F401 - every frame of this package has df.uf

    return pd.DataFrame(block.T, index=index, columns=columns, copy=False)


@cache
def from_blocks() -> Any:
    """The function that makes a frame of its parts as they are, at a fifth of the cost; None before pandas 3."""
    try:
        from pandas.api.internals import create_dataframe_from_blocks  # type: ignore[import-not-found]
    except ImportError:
        return None
    return create_dataframe_from_blocks


@cache
def names_of(names: tuple[str, ...]) -> Any:
    """The names of columns as pandas keeps them."""
    import pandas as pd

    return pd.Index(names, dtype=text_type())


@cache
def zoned(unit: str, tz: str) -> Any:
    """The type of times in pandas."""
    import pandas as pd

    return pd.DatetimeTZDtype(unit, tz)  # type: ignore[call-overload]


@cache
def text_type() -> Any:
    """``str`` from pandas 3 on, object before."""
    import pandas as pd

    return pd.Series(["x"]).dtype


def _copy_floats(columns: dict[str, pa.ChunkedArray], names: list[str], length: int) -> np.ndarray[Any, Any]:
    """Float columns as the rows of one array; they are taken out of ``columns`` and let go of as they are copied.

    Chunk after chunk, because all columns of a chunk may lie in one block of memory: it is given
    back only when the last of them is gone.
    """
    import numpy as np
    import pyarrow as pa

    from upbit_frames.core.arrow import copy_into

    block = np.empty((len(names), length))
    chunks = [columns.pop(name).chunks[::-1] for name in names]
    if len({tuple(map(len, parts)) for parts in chunks}) > 1:
        for row, parts in zip(block, chunks, strict=True):
            copy_into(row, pa.chunked_array(parts[::-1], pa.float64()))
        return block
    at, released = 0, 0
    while chunks and chunks[0]:
        parts = [column.pop() for column in chunks]
        for row, part in zip(block, parts, strict=True):
            row[at : at + len(part)] = part.to_numpy(zero_copy_only=False)
        at += len(parts[0])
        del part, parts
        if at - released >= LARGE:
            pa.default_memory_pool().release_unused()
            released = at
    return block


def _micros(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """A timestamp column as ``datetime64[us]`` in UTC, owned."""
    import numpy as np

    from upbit_frames.core.arrow import copy_into

    times = np.empty(len(column), dtype=np.int64)
    copy_into(times, column)
    return times.view("datetime64[us]")


def _column(column: pa.ChunkedArray, tz: str, *, nullable: bool = False) -> Any:
    """One column as what pandas keeps: an array that is owned and has a stable type."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from upbit_frames.core.arrow import copy_into

    kind = column.type
    if pa.types.is_timestamp(kind):
        return zoned(kind.unit, tz).__from_arrow__(column).copy()
    if pa.types.is_date(kind):
        return column.to_numpy().astype("datetime64[us]")  # days with nulls as NaT
    if pa.types.is_dictionary(kind):
        column = column.cast(pa.string())
        kind = column.type
    if pa.types.is_string(kind):
        text = text_type()
        return text.__from_arrow__(column) if hasattr(text, "__from_arrow__") else column.to_pandas().array
    if pa.types.is_list(kind):
        cells = np.empty(len(column), dtype=object)
        for i, value in enumerate(column.to_pylist()):
            cells[i] = value
        return cells
    if pa.types.is_integer(kind) and (nullable or column.null_count):
        return pd.arrays.IntegerArray(column.fill_null(0).to_numpy().copy(), column.is_null().to_numpy())
    if pa.types.is_boolean(kind) and column.null_count:
        return pd.arrays.BooleanArray(column.fill_null(False).to_numpy(), column.is_null().to_numpy())
    values = np.empty(len(column), dtype=kind.to_pandas_dtype())
    copy_into(values, column)
    return values


def _index(table: pa.Table, names: Sequence[str], tz: str) -> Any:
    import pandas as pd

    if len(names) > 1:
        levels, codes = zip(*(_level(table.column(name), tz) for name in names), strict=True)
        return pd.MultiIndex(levels=levels, codes=codes, names=list(names), verify_integrity=False)
    (name,) = names
    return pd.Index(_column(table.column(name), tz), name=name)


def _level(column: pa.ChunkedArray, tz: str) -> tuple[Any, np.ndarray[Any, Any]]:
    """The distinct values of an index column, and which of them each row has."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        on_grid = grid_codes(column)
        if on_grid is None:
            moments, codes = np.unique(_micros(column), return_inverse=True)
        else:
            moments, codes = on_grid[0].view("datetime64[us]"), on_grid[1]  # type: ignore[assignment]
        return pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(tz), codes
    if pa.types.is_integer(column.type):
        values, codes = np.unique(column.to_numpy(), return_inverse=True)
        return pd.Index(values), codes
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    words = column.chunk(0).dictionary if column.num_chunks else pa.array([], pa.string())
    codes = np.empty(len(column), dtype=np.min_scalar_type(-len(words) - 1))
    at = 0
    for chunk in column.chunks:
        codes[at : at + len(chunk)] = chunk.indices.to_numpy()
        at += len(chunk)
    return pd.Index(words.to_pylist(), dtype=text_type()), codes
