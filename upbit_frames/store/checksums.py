"""Checksums over every byte of a file, verified before any byte is interpreted.

Parquet's own page checksums leave page headers and the footer open: a changed byte there can
give wrong rows that look right, or end the process inside the Parquet library. So a block lies
between the rows and the footer, where the format allows any bytes and other readers look at
none of them::

    rows | crc of each row group | crc of the footer | number of row groups | crc of this block | magic | footer

All numbers are little endian and have four bytes.
"""

from __future__ import annotations

import itertools
import os
import struct
import zlib
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Damaged", "Seal", "check_groups", "read_seal", "seal"]

MAGIC = b"UFck"
PARQUET = b"PAR1"
END = 8  # length of the footer, and Parquet's magic
TAIL = 65_536  # read at once; enough for the footers of all but the largest files
FIXED = 16


class Damaged(Exception):
    """A file is not what its name promises; the text says why."""


class Seal(NamedTuple):
    """A footer that is as it was written, and what the row groups must add up to.

    Attributes
    ----------
    metadata : pyarrow.parquet.FileMetaData
    starts : tuple of int
        Where each row group begins; the last value is where the rows end.
    sums : tuple of int
        CRC-32 of each row group's bytes.
    """

    metadata: Any
    starts: tuple[int, ...]
    sums: tuple[int, ...]


def seal(body: pa.Buffer) -> bytes:
    """Return a Parquet file with the block of checksums added."""
    view = memoryview(body).cast("B")
    end = len(view) - END - int.from_bytes(view[-END:-4], "little")
    tail = view[end:]
    starts = _starts(_parse(tail), end)
    sums = [zlib.crc32(view[low:high]) for low, high in itertools.pairwise(starts)]
    block = struct.pack(f"<{len(sums) + 2}I", *sums, zlib.crc32(tail), len(sums))
    return b"".join((view[:end], block, struct.pack("<I", zlib.crc32(block)), MAGIC, tail))


def _parse(tail: memoryview | bytes) -> Any:
    # Only the end of a file is looked at for its footer; the offsets in it stay those of the file.
    with pq.ParquetFile(pa.BufferReader(PARQUET + bytes(tail))) as file:
        return file.metadata


def _starts(footer: Any, end: int) -> tuple[int, ...]:
    starts = [0]  # the first group answers for the magic at the beginning too
    for number in range(1, footer.num_row_groups):
        column = footer.row_group(number).column(0)
        starts.append(column.dictionary_page_offset or column.data_page_offset)
    return (*starts, end)


def read_seal(path: str, size: int) -> Seal:
    """Read the footer of a file and verify its checksum.

    Raises
    ------
    Damaged
        If anything about it is not as :func:`seal` left it.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  a hot path
        tail = _last(file, size, TAIL)
        if len(tail) < END or tail[-4:] != PARQUET:
            raise Damaged("it does not end like a Parquet file")
        footer = END + int.from_bytes(tail[-END:-4], "little")
        if footer + FIXED > size:
            raise Damaged("it is shorter than its footer")
        tail = _last(file, size, footer + FIXED, tail)
        expected, groups, own, magic = struct.unpack("<III4s", tail[-footer - FIXED : -footer])
        if magic != MAGIC:
            raise Damaged("it was not written by this store")
        length = FIXED + 4 * groups
        if footer + length > size:
            raise Damaged("it is shorter than its checksums")
        tail = _last(file, size, footer + length, tail)
    block = tail[-footer - length : -footer - 8]
    if zlib.crc32(block) != own or zlib.crc32(tail[-footer:]) != expected:
        raise Damaged("the checksum of its footer is wrong")
    parsed = _parse(tail[-footer:])
    starts = _starts(parsed, size - footer - length)
    if len(starts) != groups + 1:
        raise Damaged("it has another number of row groups than checksums")
    return Seal(parsed, starts, struct.unpack(f"<{groups}I", block[: 4 * groups]))


def _last(file: Any, size: int, count: int, known: bytes = b"") -> bytes:
    count = min(count, size)
    if count <= len(known):
        return known
    file.seek(size - count)
    return _exactly(file, count)


def _exactly(file: Any, count: int) -> bytes:
    data = file.read(count)
    while len(data) < count:
        more = file.read(count - len(data))
        if not more:
            raise Damaged("it ends too early")
        data += more
    return bytes(data)


def check_groups(path: str, seal: Seal, first: int, stop: int) -> None:
    """Compare the bytes of some row groups with their checksums.

    Raises
    ------
    Damaged
        If they differ.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  a hot path
        file.seek(seal.starts[first], os.SEEK_SET)
        for number in range(first, stop):
            data = _exactly(file, seal.starts[number + 1] - seal.starts[number])
            if zlib.crc32(data) != seal.sums[number]:
                raise Damaged("the checksum of its rows is wrong")
