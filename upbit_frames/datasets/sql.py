"""SQL over the stored rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from upbit_frames.core.intervals import INTERVALS
from upbit_frames.datasets.engines import open_duckdb, output_columns, view_of
from upbit_frames.datasets.selection import select
from upbit_frames.errors import QueryError, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["VIEWS", "run_sql"]

VIEWS = {
    **{f"candles_{'1mo' if name == '1M' else name}": ("candles", name) for name in INTERVALS},
    "trades": ("trades", None),
    "orderbook": ("orderbook", None),
}
"""The names that a query may read: SQL ignores case, so months are ``candles_1mo``."""
_WORD = re.compile(r"\w+")


def run_sql(root: Path, query: str, tz: str) -> pa.Table:
    """Run a query over views of the series that are stored, and return its rows.

    Only the views that the query names are created.

    Raises
    ------
    QueryError
        If DuckDB refuses the query.
    StoreError
        If a stored file cannot be read.
    """
    import duckdb

    connection = open_duckdb(tz)
    try:
        kinds = [statement.type for statement in connection.extract_statements(query)]
        if kinds not in ([duckdb.StatementType.SELECT], [duckdb.StatementType.EXPLAIN]):
            raise QueryError("query must be one statement that reads, for instance select … from candles_1m")
        for name in sorted({word.lower() for word in _WORD.findall(query)} & VIEWS.keys()):
            kind, interval = VIEWS[name]
            selection = select(root, kind, None if interval is None else INTERVALS[interval], None, (), None, None)
            view_of(connection, name, selection, output_columns(kind, None))
        table: pa.Table = connection.sql(query).to_arrow_table()
    except (duckdb.IOException, duckdb.InvalidInputException) as failed:
        raise StoreError(
            f"DuckDB cannot read the stored files: {failed}", suggestion="uf.cache.verify() finds damaged files"
        ) from failed
    except duckdb.Error as failed:
        # DuckDB's own guesses are among the tables of its catalogue, which users do not mean.
        text = " ".join(re.sub(r"Did you mean .*|LINE 1: .*", "", str(failed), flags=re.DOTALL).split()).rstrip("!")
        raise QueryError(f"DuckDB refuses the query: {text}", suggestion=f"there are {', '.join(VIEWS)}") from failed
    finally:
        connection.close()
    return table
