"""A file of the store: rows to bytes, and bytes to verified rows.

Every byte is under a checksum (see :mod:`upbit_frames.store.checksums`). The first time a process reads
a part of a file it verifies the checksums, the order of the rows and that they lie where the
file's name says; after that the part is trusted for as long as the file on the disk is unchanged. A little
longer than other modules, because writing and reading one format belong together.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import stat
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from upbit_frames._version import __version__
from upbit_frames.core.arrow import wrapped
from upbit_frames.core.intervals import Span, from_micros
from upbit_frames.core.schema import SCHEMA_VERSION, arrow_schema
from upbit_frames.runtime.fork import on_fork
from upbit_frames.store import validation as rows
from upbit_frames.store.base import Columns, Series
from upbit_frames.store.checksums import Damaged, Seal, check_groups, read_seal, seal
from upbit_frames.store.identity import Identity, Vanished, identity_of
from upbit_frames.store.known_times import KnownTimes

__all__ = ["Damaged", "Footer", "Vanished", "encode", "identity_of", "origins_of", "read_footer", "read_part"]

META = b"upbit_frames"
GROUP_ROWS = 16_384  # fewer make 200 rows out of a month faster, more make a year faster; measured
LARGE_GROUP_ROWS = 65_536  # for files of more than LARGE_ROWS rows, whose footers would grow too long
LARGE_ROWS = 500_000
BOOK_GROUP_ROWS = 4_096  # four megabytes of levels: a reader that keeps few of them stays in the processor's cache
CACHE_BYTES = 32_000_000
_INTEGERS = ("time", "received_at", "sequential_id", "seq")
_WORDS = ("side",)
TIME = ("time",)


@dataclass(eq=False)
class Footer:
    """What a file's footer says, and how much of the file has been verified so far.

    Attributes
    ----------
    identity : Identity
    seal : Seal
        The footer and the checksums.
    meta : dict
        schema, kind, market, interval, covers, origin, written_at, writer.
    first, last : list of int
        Times of the first and last row of each row group.
    ends : list of int
        How many rows there are up to the end of each row group.
    sound : set of (int, str)
        Row groups and columns that were read and verified since the process began.
    times : KnownTimes or None
        Of candles: the times of the row groups that were read. None where periods differ in length.
    """

    identity: Identity
    seal: Seal
    meta: dict[str, Any]
    first: list[int]
    last: list[int]
    ends: list[int]
    verified: set[tuple[int, str]] = field(default_factory=set)
    times: KnownTimes | None = None

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return self.ends[-1] if self.ends else 0

    def is_sound(self, groups: range, columns: Columns) -> bool:
        """Whether these columns of the row groups were verified already."""
        return self.verified.issuperset((number, name) for number in groups for name in columns)

    def groups(self, part: Span) -> range:
        """The row groups that may hold rows of a range."""
        return range(bisect_left(self.last, part.start), bisect_left(self.first, part.end))


def encode(series: Series, table: pa.Table, span: Span, origin: str, written_at: int) -> bytes:
    """The rows as a Parquet file, with what it covers under the seal.

    Notes
    -----
    Measured on a year of minutes of KRW-BTC and KRW-DOGE in monthly files: splitting the bytes of
    every float and LZ4 reads about a third faster than dictionaries and zstd, for 5 to 7 % more
    bytes, and needs no dictionary in each row group. An order book repeats most of the one before it,
    which zstd finds in lists of plain floats: 78 bytes a book of thirty levels, where a column for each
    level takes 138 to 358 and the JSON of the same books under zstd 118.
    """
    meta = {
        "schema": SCHEMA_VERSION,
        "kind": series.kind,
        "market": series.market,
        "interval": series.interval,
        "covers": covers(span),
        "origin": origin,
        "written_at": from_micros(written_at).isoformat(),
        "writer": __version__,
    }
    names = table.column_names
    nested = {field.name for field in table.schema if pa.types.is_list(field.type)}
    encodings = {
        name: "DELTA_BINARY_PACKED" if name in _INTEGERS else "BYTE_STREAM_SPLIT"
        for name in names
        if name not in nested and name not in _WORDS
    }
    # The description of the columns would make a third of a small file, and is known anyway.
    schema = pa.schema([field.remove_metadata() for field in table.schema])
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd" if nested else "lz4",
        use_dictionary=[name for name in names if name in _WORDS],
        column_encoding=encodings,
        write_statistics=["time"],
        store_schema=False,
    ) as writer:
        rows_a_group = BOOK_GROUP_ROWS if nested else GROUP_ROWS if len(table) <= LARGE_ROWS else LARGE_GROUP_ROWS
        writer.write_table(pa.Table.from_arrays(table.columns, schema=schema), row_group_size=rows_a_group)
        writer.add_key_value_metadata({META: json.dumps(meta)})
    return seal(sink.getvalue())


def covers(span: Span) -> str:
    """A range as it stands in the metadata, under the checksum of the footer."""
    return f"{from_micros(span.start).isoformat()}/{from_micros(span.end).isoformat()}"


# --- footers, read once ------------------------------------------------------------------------

_cache: OrderedDict[str, Footer] = OrderedDict()
_cache_bytes = 0
_cache_lock = threading.Lock()


@on_fork
def _forget_all() -> None:
    # Another thread may have held the lock at the moment of the fork.
    global _cache_lock, _cache_bytes
    _cache_lock = threading.Lock()
    _cache.clear()
    _cache_bytes = 0


def _remember(path: str, footer: Footer) -> Footer:
    global _cache_bytes
    with _cache_lock:
        known = _cache.pop(path, None)
        if known is not None:
            _cache_bytes -= _weight(known)
        _cache[path] = footer
        _cache_bytes += _weight(footer)
        while _cache_bytes > CACHE_BYTES and len(_cache) > 1:
            _, dropped = _cache.popitem(last=False)
            _cache_bytes -= _weight(dropped)
    return footer


def _weight(footer: Footer) -> int:
    return 2_000 + 6 * int(footer.seal.metadata.serialized_size) + (footer.times.weight if footer.times else 0)


@contextlib.contextmanager
def _damage_errors(path: str) -> Iterator[None]:
    """Convert decoding errors to Damaged; errors of the system pass."""
    try:
        yield
    except FileNotFoundError:
        raise Vanished(path) from None
    except IsADirectoryError as failed:
        raise Damaged("it is a folder") from failed
    except (MemoryError, pa.ArrowCancelled, pa.ArrowNotImplementedError):
        raise  # the process lacks memory or a codec, or was interrupted: the file may be sound
    except OSError as failed:
        if failed.errno is not None:
            raise
        raise Damaged(f"it cannot be decoded: {failed}") from failed
    except (pa.ArrowException, ValueError, KeyError, TypeError) as failed:
        raise Damaged(f"it cannot be decoded: {failed}") from failed


def read_footer(path: str, series: Series, span: Span) -> Footer:
    """Read the footer of a file; checked against the file's name and place.

    Raises
    ------
    Vanished
        If the file is gone.
    Damaged
        If it is not a file of that series, or holds rows outside the span.
    """
    identity = identity_of(path)
    with _cache_lock:
        known = _cache.get(path)
        if known is not None and known.identity == identity:
            _cache.move_to_end(path)
            return known
    if not stat.S_ISREG(identity.mode):  # opening a fifo would wait for ever
        raise Damaged("it is not a regular file")
    with _damage_errors(path):
        footer = _examine(read_seal(path, identity.size), series, span, identity)
    if identity_of(path) != identity:
        raise Vanished(path)
    return _remember(path, footer)


def _examine(sealed: Seal, series: Series, span: Span, identity: Identity) -> Footer:
    metadata = sealed.metadata
    schema = metadata.schema.to_arrow_schema()
    meta = json.loads((metadata.metadata or {}).get(META, b"null"))
    if not isinstance(meta, dict):
        raise Damaged("it was not written by this store")
    stated = (meta["kind"], meta["market"], meta["interval"], meta["schema"])
    if stated != (series.kind, series.market, series.interval, SCHEMA_VERSION):
        raise Damaged(f"it says that it holds {stated}")
    if "covers" not in meta:
        raise Damaged("it does not say what it covers: it was written before version 0.1")
    if meta["covers"] != covers(span):
        raise Damaged(f"its name claims {covers(span)}, but it was written for {meta['covers']}")
    if not schema.equals(arrow_schema(series.table)):
        raise Damaged(f"its columns are {', '.join(f'{field.name}: {field.type}' for field in schema)}")
    first, last, ends = [], [], []
    total = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        times = group.column(0).statistics
        if group.num_rows == 0 and metadata.num_row_groups == 1:
            continue  # how a file without rows looks
        if times is None or not times.has_min_max:
            raise Damaged("a row group does not say which times it holds")
        first.append(int(times.min_raw))
        last.append(int(times.max_raw))
        total += group.num_rows
        ends.append(total)
    edges = [edge for pair in zip(first, last, strict=True) for edge in pair]
    if total != metadata.num_rows or edges != sorted(edges):
        raise Damaged("its row groups are not in order")
    if edges and (edges[0] < span.start or edges[-1] >= span.end):
        raise Damaged(f"it holds rows outside {span}")
    grid = series.grid
    times = None if grid is None or grid.seconds is None else KnownTimes(grid.step, first, last, ends)
    return Footer(identity, sealed, meta, first, last, ends, times=times)


def origins_of(footer: Footer) -> set[str]:
    """Return the sources of the rows of a file."""
    return set(str(footer.meta.get("origin", "rest")).split("+"))


# --- rows --------------------------------------------------------------------------------------


def read_part(
    path: str, series: Series, span: Span, part: Span, *, columns: Columns | None = None, reverify: bool = False
) -> pa.Table:
    """Read the rows of a file that lie in a part of its span.

    Parameters
    ----------
    span : Span
        What the file's name says.
    part : Span
        The range wanted.
    columns : tuple of str, optional
        Decode only these, ``time`` first. The checksum of a row group that was not read before is over all
        of its bytes, so these are read once a process.
    afresh : bool
        Verify again even what has been verified before.

    Raises
    ------
    Vanished, Damaged
        As :func:`facts_of`; also if a checksum or the order of the rows is wrong.
    """
    footer = read_footer(path, series, span)
    groups = footer.groups(part)
    if not groups:
        return rows.empty(series.table, columns)
    schema = arrow_schema(series.table, columns)
    verify = reverify or not footer.is_sound(groups, tuple(schema.names))
    if not verify and footer.times is not None and footer.times.has(groups):
        table = _without_times(path, footer, footer.times, groups, schema)
    else:
        table = _decode(path, footer, groups, columns, verify=verify)
        table = pa.Table.from_arrays([table.column(name) for name in schema.names], schema=schema)
    if verify:
        _check(table, footer, series, groups, span)
    return table if part == span else rows.cut(table, part)


def _without_times(path: str, footer: Footer, known: KnownTimes, groups: range, schema: pa.Schema) -> pa.Table:
    """Decode the other columns; the times are known."""
    times = wrapped(known.times(groups), schema.field(0).type)
    others = tuple(schema.names[1:])
    table = _decode(path, footer, groups, others, verify=False) if others else None
    columns = [] if table is None else [table.column(name) for name in others]
    return pa.Table.from_arrays([times, *columns], schema=schema)


def _decode(path: str, footer: Footer, groups: range, columns: Columns | None, *, verify: bool) -> pa.Table:
    begin = footer.ends[groups.start - 1] if groups.start else 0
    count = footer.ends[groups.stop - 1] - begin
    with _damage_errors(path), pa.OSFile(path) as source:
        if identity_of(path) != footer.identity:
            raise Vanished(path)
        if verify:
            check_groups(path, footer.seal, groups.start, groups.stop)
        file = _opened(source, footer.seal.metadata, large=count > GROUP_ROWS)
        names = None if columns is None else list(columns)
        return file.read_row_groups(list(groups), columns=names, use_threads=count > LARGE_ROWS // 2)


_switching = threading.Lock()


def _opened(source: pa.NativeFile, metadata: pq.FileMetaData, *, large: bool) -> pq.ParquetFile:
    """A file to read; what is large goes into memory that serves the next file again.

    Arrow's own allocator would take new memory for each file and keep it. A reader uses the pool
    that is the default while it is made; no other can be named.
    """
    if not large:
        return pq.ParquetFile(source, metadata=metadata)
    with _switching:
        usual = pa.default_memory_pool()
        pa.set_memory_pool(pa.system_memory_pool())
        try:
            return pq.ParquetFile(source, metadata=metadata)
        finally:
            pa.set_memory_pool(usual)


def _check(table: pa.Table, footer: Footer, series: Series, groups: range, span: Span) -> None:
    begin = footer.ends[groups.start - 1] if groups.start else 0
    if len(table) != footer.ends[groups.stop - 1] - begin:
        raise Damaged("it holds another number of rows than it says")
    fault = rows.disorder(series, table, span)
    if fault:
        raise Damaged(fault)
    times = rows.times_of(table)
    for number in groups:
        end = footer.ends[number] - begin
        start = (footer.ends[number - 1] if number else 0) - begin
        if (times[start], times[end - 1]) != (footer.first[number], footer.last[number]):
            raise Damaged("its rows are not those that its footer describes")
        if footer.times is not None:
            footer.times.add(number, times[start:end])
    footer.verified.update((number, name) for number in groups for name in table.column_names)


def count_part(path: str, series: Series, span: Span, part: Span) -> int:
    """Count the rows of a file in a part of its span, decoding as little as possible."""
    footer = read_footer(path, series, span)
    groups = footer.groups(part)
    total = 0
    for number in groups:
        if part.start <= footer.first[number] and footer.last[number] < part.end:
            total += footer.ends[number] - (footer.ends[number - 1] if number else 0)
        else:
            alone = range(number, number + 1)
            times = _decode(path, footer, alone, TIME, verify=not footer.is_sound(alone, TIME))
            total += len(rows.cut(times, part))
    return total


def cuts(path: str, series: Series, span: Span, part: Span) -> list[Span]:
    """Cut a part of a file's span where its row groups begin, so that each is decoded by one of the cuts.

    A row group that begins at the time with which the one before it ends is decoded by both.
    """
    footer = read_footer(path, series, span)
    starts = sorted({part.start, *(max(part.start, footer.first[number]) for number in footer.groups(part)[1:])})
    return [Span(low, high) for low, high in itertools.pairwise([*starts, part.end])]


def window(footer: Footer, part: Span, count: int, *, last: bool) -> Span:
    """A part of ``part`` that holds its last (or first) ``count`` rows if there are so many.

    Cut at row groups, so that hardly more is read than needed. The outermost group only counts
    if it lies inside ``part`` as a whole.
    """
    groups = footer.groups(part)
    if not groups:
        return part
    ends = [0, *footer.ends]
    if last:
        whole = footer.last[groups.stop - 1] < part.end
        sure = ends[groups.stop] if whole else ends[groups.stop - 1]
        begin = max(groups.start, bisect_right(ends, sure - count) - 1)
        return Span(max(part.start, footer.first[begin]), part.end)
    whole = footer.first[groups.start] >= part.start
    sure = ends[groups.start] if whole else ends[groups.start + 1]
    stop = min(groups.stop, bisect_left(ends, sure + count))
    return Span(part.start, min(part.end, footer.last[stop - 1] + 1))
