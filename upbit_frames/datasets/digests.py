"""Digests of rows that depend on the values alone (pure).

Two tables with the same rows have the same digest, however they came to be: whatever the files they were read from,
the chunks and the encoding in memory, the version of pyarrow, the kind of frame or the time zone they are shown in.
What goes into a digest is therefore not Arrow's own serialisation but, column by column, the name, the kind of value
and the values as little-endian bytes: times as microseconds since the epoch, floats as IEEE 754 with one NaN, without a
negative zero and with NaN for null, integers as 64 bits, truth values as one byte, texts as their length and UTF-8.

A digest is taken for each market and calendar month (UTC), and one of all of these for the whole, so that a change can
be located without the rows that were there before.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Part", "digest_of", "parts_of"]

T = TypeVar("T")

DIGITS = 32  # hexadecimal digits kept of the digest of a part: 128 bits
TIMELESS = "all"  # in place of the month, for rows without a time
LARGE = 200_000  # rows from which on threads are worth starting
NONE = 0xFFFFFFFFFFFFFFFF  # the length of a text that is null


class Part(NamedTuple):
    """The rows of one market in one calendar month.

    Attributes
    ----------
    market : str
        Empty where the rows have none.
    month : str
        ``"2026-01"``, by UTC.
    rows : int
    digest : str
        32 hexadecimal digits.
    """

    market: str
    month: str
    rows: int
    digest: str

    def __str__(self) -> str:
        return f"{self.market or '-'} {self.month} {self.rows} {self.digest}"


def parts_of(table: pa.Table, market: str = "") -> list[Part]:
    """Digest the rows of each market and month, in the order of their names.

    Parameters
    ----------
    table : pyarrow.Table
        Rows of one market in their order follow each other; several markets are distinguished by the column ``market``.
    market : str
        The market of all rows, where there is no such column.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"time": pa.array([0], pa.timestamp("us", "UTC")), "close": [1.0]})
    >>> [str(part) for part in parts_of(table, "KRW-BTC")]
    ['KRW-BTC 1970-01 1 ...']
    """
    names = [name for name in table.column_names if name != "market"]
    parts = []
    for name, rows in _by_market(table, market):
        values = [(column, *_canonical(rows[column])) for column in names]
        months = list(_months(rows))
        digests = _in_parallel(lambda month: _digest(values, *month[1:]), months, len(rows))  # noqa: B023 - done here
        parts += [
            Part(name, month, stop - start, digest)
            for (month, start, stop), digest in zip(months, digests, strict=True)
        ]
    return sorted(parts)


def _in_parallel(work: Callable[[T], str], items: Sequence[T], rows: int) -> list[str]:
    """Hash many rows on all processors: hashing lets other threads run."""
    if rows < LARGE or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(len(items), os.cpu_count() or 1)) as threads:
        return list(threads.map(work, items))


def digest_of(parts: Iterable[Part]) -> str:
    """Return the digest of all parts together: ``sha256:`` and 64 hexadecimal digits."""
    lines = "\n".join(str(part) for part in sorted(parts))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def _by_market(table: pa.Table, market: str) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of each market, without a copy where they follow each other."""
    if "market" not in table.column_names:
        yield market, table
        return
    import pyarrow.compute as pc

    column = table["market"].cast("string").combine_chunks()
    for name in pc.unique(column).to_pylist():
        places = np.flatnonzero(pc.equal(column, name).to_numpy(zero_copy_only=False))
        first, last = int(places[0]), int(places[-1])
        rows = table.slice(first, last + 1 - first)
        yield name, rows if len(places) == len(rows) else table.take(places)


def _months(rows: pa.Table) -> Iterator[tuple[str, int, int]]:
    """Yield the first and the last place of the rows of each month; their times ascend."""
    if "time" not in rows.column_names:
        yield TIMELESS, 0, len(rows)
        return
    times = _micros(rows["time"])
    if not len(times):
        return
    first, last = (int(times[at].astype("datetime64[us]").astype("datetime64[M]").astype(int)) for at in (0, -1))
    months = np.arange(first, last + 2).astype("datetime64[M]")
    edges = np.searchsorted(times, months.astype("datetime64[us]").astype(np.int64)).tolist()
    for month, start, stop in zip(months.tolist(), edges, edges[1:], strict=False):
        if start < stop:
            yield f"{month:%Y-%m}", start, stop


def _micros(column: pa.ChunkedArray) -> Any:
    import pyarrow as pa

    return column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()


def _canonical(column: pa.ChunkedArray) -> tuple[str, Sequence[bytes] | Any]:
    """Return the kind of value and the values: an array of fixed width, or one bytes object for each row."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        return "time", _micros(column).astype("<i8", copy=False)
    if pa.types.is_floating(kind):
        values = (column.cast(pa.float64()).to_numpy() + 0.0).astype("<f8", copy=False)  # no negative zero
        if len(values) and np.isnan(values.min()):
            values[np.isnan(values)] = np.nan
        return "float", values
    if pa.types.is_boolean(kind):
        return "bool", column.cast(pa.uint8()).fill_null(2).to_numpy()
    if pa.types.is_integer(kind) and not column.null_count:
        return "int", column.cast(pa.int64()).to_numpy().astype("<i8", copy=False)
    return "text", [_text(value) for value in column.cast(pa.string()).to_pylist()]


def _text(value: str | None) -> bytes:
    if value is None:
        return NONE.to_bytes(8, "little")
    data = value.encode()
    return len(data).to_bytes(8, "little") + data


def _digest(columns: Sequence[tuple[str, str, Any]], start: int, stop: int) -> str:
    digest = hashlib.sha256()
    for name, kind, values in columns:
        digest.update(f"{name}:{kind}:{stop - start}\n".encode())
        part = values[start:stop]
        digest.update(np.ascontiguousarray(part).data if isinstance(part, np.ndarray) else b"".join(part))
    return digest.hexdigest()[:DIGITS]
