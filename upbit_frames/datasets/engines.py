"""A selection of stored files as what each engine reads lazily.

Every result refers to the snapshot of the files, so they stay readable for as long as the result, or
anything derived from it, exists, whatever writers do meanwhile.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from upbit_frames.core.arrow import joined
from upbit_frames.core.intervals import Span, from_micros, intersect, iso, subtract
from upbit_frames.core.query import parse_columns
from upbit_frames.core.schema import KINDS, arrow_schema
from upbit_frames.datasets.selection import LATEST, Selection
from upbit_frames.errors import NotCached, UsageError
from upbit_frames.frames.output import to_pandas
from upbit_frames.store.base import Series, table_of
from upbit_frames.store.layout import segment_of
from upbit_frames.store.parquet import ParquetStore
from upbit_frames.store.snapshot import LinkedSeries

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["ENGINES", "build", "check_engine", "open_duckdb", "output_columns", "read_partition", "view_of"]


def output_columns(kind: str, columns: Any) -> list[str]:
    """Return ``market``, ``time`` and the columns named, or all.

    Raises
    ------
    QueryError
        If the kind has no such column.
    """
    if columns is None:
        return ["market", *(column.name for column in KINDS[table_of(kind)])]
    return ["market", "time", *(parse_columns(table_of(kind), columns) or ())]


def full_schema(kind: str) -> pa.Schema:
    """The stored columns with ``market`` in front, as text."""
    import pyarrow as pa

    return pa.schema(
        [pa.field("market", pa.string()), *(field.remove_metadata() for field in arrow_schema(table_of(kind)))]
    )


# --- Polars ----------------------------------------------------------------------------------


def _polars(selection: Selection, columns: list[str]) -> Any:
    import polars as pl

    paths = selection.snapshot.paths
    if not paths:
        return pl.from_arrow(full_schema(selection.kind).empty_table()).lazy().select(columns)  # type: ignore[union-attr]
    frame = pl.scan_parquet(paths, hive_partitioning=True, hive_schema={"market": pl.String()}, glob=False)
    if selection.start is not None:
        frame = frame.filter(pl.col("time") >= from_micros(selection.start))
    if selection.end is not None:
        frame = frame.filter(pl.col("time") < from_micros(selection.end))
    # A step that changes nothing and lets everything through, but is part of every plan made from this one.
    kept = frame.map_batches(
        _keeping(selection.snapshot),
        predicate_pushdown=True, projection_pushdown=True, slice_pushdown=True, streamable=True,
    )  # fmt: skip
    return kept.select(columns)


def _keeping(snapshot: object) -> Callable[[Any], Any]:
    def unchanged(batch: Any, _snapshot: object = snapshot) -> Any:
        return batch

    return unchanged


# --- Arrow -----------------------------------------------------------------------------------


def _arrow(selection: Selection, columns: list[str]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.fs as fs

    from upbit_frames.datasets.arrow_files import SnapshotFiles

    whole = full_schema(selection.kind)
    files = fs.PyFileSystem(SnapshotFiles(selection.snapshot))
    layout = ds.ParquetFileFormat()
    fragments = [
        layout.make_fragment(path, files, partition_expression=pc.field("market") == part.series.market)
        for part in selection.parts
        for path in part.paths
    ]
    dataset = ds.FileSystemDataset(fragments, pa.schema([whole.field(name) for name in columns]), layout, files)
    for bound, compare in ((selection.start, pc.greater_equal), (selection.end, pc.less)):
        if bound is not None:
            dataset = dataset.filter(compare(pc.field("time"), _moment(bound)))
    return dataset


def _moment(micros: int) -> Any:
    import pyarrow as pa

    return pa.scalar(micros, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


# --- DuckDB ----------------------------------------------------------------------------------


def open_duckdb(tz: str) -> Any:
    """A connection in memory that shows times in ``tz`` and neither downloads extensions nor reads Python variables."""
    import duckdb

    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    connection.execute("SET python_enable_replacements = false")
    connection.execute(f"SET TimeZone = '{tz}'")
    return connection


def view_of(connection: Any, name: str, selection: Selection, columns: list[str]) -> None:
    """Create a view over the files; the connection keeps their snapshot, and so does every relation of it."""
    connection.execute(f'CREATE VIEW "{name}" AS {_select(connection, name, selection, columns)}')


def _select(connection: Any, name: str, selection: Selection, columns: list[str]) -> str:
    """Return the query that reads the files; the connection keeps their snapshot."""
    import pandas as pd

    if not selection.snapshot.paths:
        connection.register(f"{name}_rows", full_schema(selection.kind).empty_table())
        return f'SELECT {_list(columns)} FROM "{name}_rows"'  # noqa: S608
    holder = pd.DataFrame({"file": selection.snapshot.paths})
    holder.attrs["snapshot"] = selection.snapshot  # for as long as it is registered
    connection.register(f"{name}_files", holder)
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in selection.snapshot.paths)
    terms = [
        f"time {sign} TIMESTAMPTZ '{iso(bound)}'"
        for sign, bound in ((">=", selection.start), ("<", selection.end))
        if bound is not None
    ]
    return (
        f"SELECT {_list(columns)} FROM read_parquet([{files}], hive_partitioning = true, "  # noqa: S608
        f"hive_types = {{'market': 'VARCHAR'}})" + (f" WHERE {' AND '.join(terms)}" if terms else "")
    )


def _list(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _duckdb(selection: Selection, columns: list[str]) -> Any:
    connection = open_duckdb("UTC")
    # Not over a view: DuckDB would bind it separately and open every file again.
    return connection.sql(_select(connection, "scan", selection, columns))


# --- Dask ------------------------------------------------------------------------------------


def _dask(selection: Selection, columns: list[str]) -> Any:
    """One partition a market and segment (month, year …), read through the store when it is computed.

    A worker lists the store itself, so it needs no file of this process, only the folder.
    """
    import dask.dataframe as dd

    pieces = [
        (os.fspath(selection.root), part.series.kind, part.series.market, part.series.interval, span.start, span.end)
        for part in selection.parts
        for span in _segments(part, selection)
    ]
    names = [name for name in columns if name != "time"]
    if not pieces:
        return dd.from_pandas(  # type: ignore[no-untyped-call]
            _frame(arrow_schema(table_of(selection.kind)).empty_table(), "", names), npartitions=1
        )
    divisions = None
    if len({piece[2] for piece in pieces}) == 1:  # in order of time only within one market
        moments = [*(piece[4] for piece in pieces), pieces[-1][5]]
        divisions = tuple(map(_timestamp, moments))
    meta = _frame(arrow_schema(table_of(selection.kind)).empty_table(), "", names)
    return dd.from_map(  # type: ignore[no-untyped-call]
        read_partition, pieces, columns=names, meta=meta, divisions=divisions
    )


def _segments(part: LinkedSeries, selection: Selection) -> list[Span]:
    """The months (or days, years, decades) that a series has files of; a longer file, which has no rows, as it is."""
    bounds = Span(selection.start or 0, LATEST if selection.end is None else selection.end)
    spans: list[Span] = []
    for file in intersect(part.spans, [bounds]):
        segment = segment_of(part.series.segment, file.start)
        if spans and spans[-1].end == file.start and spans[-1].start >= segment.start and file.end <= segment.end:
            spans[-1] = Span(spans[-1].start, file.end)
        else:
            spans.append(file)
    return spans


def read_partition(piece: tuple[str, str, str, str | None, int, int], columns: list[str] | None = None) -> pd.DataFrame:
    """Read one partition: the rows of a market in a range, index ``time``.

    Raises
    ------
    NotCached
        If the store lacks a part of the range by now.
    """
    root, kind, market, interval, start, end = piece
    series = Series(kind, market, interval)
    span = Span(start, end)
    reading = ParquetStore(root).read_covered(series, span)
    lost = subtract([span], reading.covered)
    if lost:
        raise NotCached(
            f"the store no longer has {market} {iso(lost[0].start)} → {iso(lost[0].end)}",
            suggestion="scan again", market=market, missing=[str(gap) for gap in lost],
        )  # fmt: skip
    return _frame(reading.table, market, columns or ["market", *reading.table.column_names[1:]])


def _frame(table: pa.Table, market: str, columns: list[str]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    frame: pd.DataFrame = to_pandas(joined([market], [table]), index=["time"])[columns]
    lists = [field for field in table.schema if pa.types.is_list(field.type) and field.name in columns]
    # Dask makes text of objects, but not of lists that have a type.
    return frame.astype({field.name: pd.ArrowDtype(pa.list_(field.type.value_type)) for field in lists})


def _timestamp(micros: int) -> pd.Timestamp:
    import pandas as pd

    return pd.Timestamp(micros, unit="us", tz="UTC").as_unit("us")


ENGINES: dict[str, tuple[str, str, Callable[[Selection, list[str]], Any]]] = {
    "polars": ("polars", "scan", _polars),
    "duckdb": ("duckdb", "scan", _duckdb),
    "dask": ("dask.dataframe", "dask", _dask),
    "arrow": ("pyarrow", "scan", _arrow),
}
"""For each engine the module it needs, the extra that installs it, and what builds its result."""


def check_engine(engine: str) -> None:
    """Raise UsageError if the package of an engine is not installed."""
    module, extra, _ = ENGINES[engine]
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"engine={engine!r} needs the package {module.partition('.')[0]}, which is not installed",
            suggestion=f"pip install 'upbit-frames[{extra}]'",
        ) from error


def build(engine: str, selection: Selection, columns: list[str]) -> Any:
    """What the engine reads lazily."""
    return ENGINES[engine][2](selection, columns)
