r"""Tape files: WebSocket frames with their arrival times; the format, and reading it without trust.

A tape is a gzipped text file (``.jsonl.gz``) of one JSON object a line, in order of time. The first
line is the header; each other one has ``at``, the moment by the recording machine's clock in
microseconds since the epoch (UTC), and one more key::

    {"tape":1,"recorded_at":"2026-03-01T03:30:00Z","origin":"stand-in","by":"upbit-frames 0.1.0"}
    {"at":1772335800000000,"join":[["trade","KRW-BTC",0,30]]}  a stream begins: type, market, grouping, depth
    {"at":1772335800000100,"open":1,"offset":-412}    a connection is open; the exchange's time minus ours
    {"at":1772335800000812,"sent":"[{\"ticket\": …"}   a request, as it was sent
    {"at":1772335800201934,"frame":"{\"type\": …"}     a frame, its text as received
    {"at":1772335803201934,"frame64":"//4="}          a frame that is not UTF-8, in base64
    {"at":1772335812345678,"broken":"broken off"}     the connection was lost
    {"at":1772335899999999,"end":true}                the recording was closed in order

Where a recording has several connections at a time, ``on`` is the number of the connection; the first
needs none. After its end another recording may follow, with connections of its own. Only JSON is read,
so a tape from anywhere can be replayed safely. It holds neither addresses nor headers. A tape without
its last line was cut short and is replayed up to there.

The version in the header is the rule for later readers: a line may get new keys without a new version,
since unknown keys are ignored; a key that changes its meaning, or a line that an old reader would
replay wrongly, needs version 2. Every version that was released stays readable; a newer one than this
package knows is refused.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple
from zlib import error as ZlibError  # noqa: N812 - an exception, whatever its spelling

import msgspec

from upbit_frames.core.topics import TYPES, Topic
from upbit_frames.errors import CorruptFile, StoreError
from upbit_frames.replay.untrusted import MalformedFile, open_file

__all__ = ["ENTRY_SIZE", "MAX_SIZE", "SUFFIX", "VERSION", "Entry", "Header", "read_tape", "tape_beside"]

SUFFIX = ".jsonl.gz"
VERSION = 1
MAX_LINE = 64 * 1024 * 1024  # bytes
MAX_SIZE = 512 * 1024 * 1024
"""Bytes of memory a tape may need, because it is loaded whole: its decompressed text, and its entries."""

ENTRY_SIZE = 200  # bytes of memory an entry needs beside its text

_Moment = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # until 2255
_Offset = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class _Line(msgspec.Struct):
    """One line as it is written; every key but ``at`` is optional."""

    at: _Moment
    on: int = 1
    frame: str | None = None
    frame64: str | None = None
    sent: str | None = None
    join: list[tuple[str, str, float, int]] | None = None
    known: list[tuple[str, str, float, int]] = []
    region: str = "kr"
    open: int | None = None
    offset: _Offset | None = None
    broken: str | None = None
    end: bool | None = None


class Header(msgspec.Struct):
    """The first line.

    Attributes
    ----------
    tape : int
        Version of the format.
    recorded_at : str
        ISO 8601, UTC, by the recording machine's clock.
    origin : str
        ``live``, ``stand-in`` or ``other``.
    by : str
        Name and version of the program that wrote it.
    """

    tape: int
    recorded_at: str = ""
    origin: str = ""
    by: str = ""


_LINE_DECODER = msgspec.json.Decoder(_Line)
_HEADER_DECODER = msgspec.json.Decoder(Header)


class Entry(NamedTuple):
    """What happened at one moment on one connection.

    Attributes
    ----------
    at : int
        Microseconds since the epoch, UTC, by the recording machine's clock.
    kind : {"join", "open", "sent", "frame", "broken", "end"}
    data : bytes
        The frame; of a request and a lost connection their text.
    on : int
        Number of the connection; the entries of one are in order of time.
    topics, known : tuple of Topic
        Of a stream that begins: its topics, and those of them whose state it received at once because
        other streams had subscribed to them on the same connection.
    region : str
        Of a stream that begins.
    offset : int or None
        Of a connection that is open: the exchange's time minus ours, microseconds, where known.
    """

    at: int
    kind: str
    data: bytes = b""
    on: int = 1
    topics: tuple[Topic, ...] = ()
    known: tuple[Topic, ...] = ()
    region: str = "kr"
    offset: int | None = None


def tape_beside(cassette: Path) -> Path:
    """Return the tape that belongs to a cassette file.

    Examples
    --------
    >>> tape_beside(Path("cassettes/study.v2.yaml")).name
    'study.v2.jsonl.gz'
    """
    return cassette.with_name(cassette.name.removesuffix(".yaml") + SUFFIX)


def read_tape(path: Path) -> tuple[Header, Iterator[Entry]]:
    """Return the header of a tape and an iterator over its entries, so that a long one need not fit into memory.

    Raises
    ------
    CorruptFile
        If it is not a tape, of an unknown version, larger than ``MAX_SIZE`` when decompressed, or damaged;
        the entries before the damage are good.
    StoreError
        If it cannot be opened.
    """
    entries = _entries(path)
    header = next(entries)
    assert isinstance(header, Header)
    return header, entries  # type: ignore[return-value]


def _entries(path: Path) -> Iterator[Header | Entry]:
    try:
        raw = open_file(path)
    except MalformedFile as error:
        raise _corrupt(path, str(error)) from error
    except OSError as error:
        raise StoreError(
            f"cannot read the tape {path.name}: {error.strerror or error}",
            suggestion="check the permissions of the file and its folder",
            path=str(path),
        ) from error
    try:
        with raw, gzip.GzipFile(fileobj=raw, mode="rb") as file:
            header = _HEADER_DECODER.decode(file.readline(MAX_LINE))
            if header.tape != VERSION:
                raise _corrupt(path, f"expected format version {VERSION}, got {header.tape}")
            yield header
            left = MAX_SIZE
            while True:
                try:
                    line = file.readline(min(MAX_LINE, left + 1))
                except EOFError:
                    return  # cut short; all complete lines were read
                left -= len(line) + ENTRY_SIZE
                if left < 0:
                    raise _corrupt(path, f"it needs more than {MAX_SIZE:,} bytes of memory")
                if not line.endswith(b"\n"):
                    if len(line) >= MAX_LINE:
                        raise _corrupt(path, f"a line has more than {MAX_LINE:,} bytes")
                    return
                yield _entry(_LINE_DECODER.decode(line))
    except (OSError, EOFError, ValueError, OverflowError, RecursionError, ZlibError, msgspec.DecodeError) as error:
        raise _corrupt(path, str(error)) from error


def _corrupt(path: Path, reason: str) -> CorruptFile:
    return CorruptFile(
        f"cannot read the tape {path.name}: {reason}", suggestion="record it again, or delete it", path=str(path)
    )


def _entry(line: _Line) -> Entry:
    if line.frame is not None:
        return Entry(line.at, "frame", line.frame.encode(), line.on)
    if line.frame64 is not None:
        return Entry(line.at, "frame", base64.b64decode(line.frame64, validate=True), line.on)
    if line.join is not None:
        if not line.join or any(type_ not in TYPES for type_, *_ in line.join):
            raise ValueError(f"expected a stream of known types, got {line.join!r}")
        topics = tuple(Topic(*fields) for fields in line.join)
        known = tuple(Topic(*fields) for fields in line.known)
        return Entry(line.at, "join", on=line.on, topics=topics, known=known, region=line.region)
    for kind in ("sent", "broken"):
        text = getattr(line, kind)
        if text is not None:
            return Entry(line.at, kind, text.encode(), line.on)
    if line.open is None and not line.end:
        raise ValueError(f"the line of {line.at} has no known key")
    return Entry(line.at, "end" if line.end else "open", on=line.on, offset=line.offset)
