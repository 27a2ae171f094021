r"""Tape files: the frames of WebSockets with their arrival times, read without trust.

A tape is a gzipped text file (``.jsonl.gz``) of one JSON object a line, in order of time. The first
line says what it is; each other one has ``at``, the moment by the recording machine's clock in
microseconds since the epoch (UTC), and one more key::

    {"tape":1,"recorded_at":"2026-03-01T03:30:00Z","origin":"stand-in","by":"upbit-frames 0.1.0"}
    {"at":1772335800000000,"join":[["trade","KRW-BTC",0,30]]}  a stream begins: type, market, grouping, depth
    {"at":1772335800000100,"open":1,"offset":-412}    a connection is open; the exchange's time minus ours
    {"at":1772335800000812,"sent":"[{\"ticket\": …"}   what was asked, as it was sent
    {"at":1772335800201934,"frame":"{\"type\": …"}     a frame, its text as it came
    {"at":1772335803201934,"frame64":"//4="}          one that is no UTF-8, in base64
    {"at":1772335812345678,"broken":"broken off"}     the connection broke
    {"at":1772335899999999,"end":true}                the recording was ended in order

Where a recording has several connections at a time, ``on`` tells them apart; the first needs none.
After its end another recording may follow, with connections of its own. Nothing but JSON is read,
so a tape from anywhere can be played safely. It holds neither addresses nor headers. One without
its last line was cut short and plays up to there.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any, NamedTuple
from zlib import error as ZlibError  # noqa: N812 - an exception, whatever its spelling

import msgspec

from upbit_frames._version import __version__
from upbit_frames.core.intervals import from_micros
from upbit_frames.core.topics import TYPES, Topic
from upbit_frames.errors import CorruptFile, StoreError
from upbit_frames.replay.matching import origin_of
from upbit_frames.replay.untrusted import Bounds, open_file

__all__ = ["SUFFIX", "Entry", "Head", "TapeWriter", "covers", "read_tape", "tape_beside", "text_of"]

SUFFIX = ".jsonl.gz"
VERSION = 1
MAX_LINE = 64 * 1024 * 1024
MAX_SIZE = 512 * 1024 * 1024
"""Bytes of memory a tape may need, all of which is loaded to be played: its inflated text, and its entries."""

ENTRY_SIZE = 200


_Moment = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # until 2255
_Offset = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class _Line(msgspec.Struct):
    """One line as it is written; everything but ``at`` is there or not."""

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


class Head(msgspec.Struct):
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
        What wrote it.
    """

    tape: int
    recorded_at: str = ""
    origin: str = ""
    by: str = ""


_LINES = msgspec.json.Decoder(_Line)
_HEADS = msgspec.json.Decoder(Head)


class Entry(NamedTuple):
    """What happened at one moment on one connection.

    Attributes
    ----------
    at : int
        Microseconds since the epoch, UTC, by the recording machine's clock.
    kind : {"join", "open", "sent", "frame", "broken", "end"}
    data : bytes
        The frame; of a request and a break their text.
    on : int
        The connection; what is said of one is in order of time.
    topics, known : tuple of Topic
        Of a stream that begins: what it wants, and of what it was told the state at once because
        others had listened to it on the same connection.
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
    """The tape that belongs to a cassette file.

    Examples
    --------
    >>> tape_beside(Path("cassettes/study.v2.yaml")).name
    'study.v2.jsonl.gz'
    """
    return cassette.with_name(cassette.name.removesuffix(".yaml") + SUFFIX)


def text_of(topic: Topic) -> str:
    """What a topic is about, in one line.

    Examples
    --------
    >>> text_of(Topic("trade", "KRW-BTC")), text_of(Topic("orderbook", "KRW-BTC", 10000.0, 5))
    ('stream trade KRW-BTC', 'stream orderbook KRW-BTC level=10000 depth=5')
    """
    level = f" level={topic.level:g}" if topic.level else ""
    depth = f" depth={topic.depth}" if topic.type == "orderbook" and topic.depth != 30 else ""
    return f"stream {topic.type} {topic.market}{level}{depth}"


def covers(recorded: Iterable[Topic], wanted: Iterable[Topic]) -> bool:
    """Whether whoever wants these topics finds all of them among the recorded ones, as deep as they want."""
    depths = {one.key: one.depth for one in recorded}
    return all(depths.get(one.key, 0) >= one.depth for one in wanted)


# --- reading -------------------------------------------------------------------------------------


def read_tape(path: Path) -> tuple[Head, Iterator[Entry]]:
    """The head of a tape, and its entries one by one, so that a long one need not fit into memory.

    Raises
    ------
    CorruptFile
        If it is no tape, of a version that is not known, larger than ``MAX_SIZE`` when inflated, or damaged;
        what was read before is good.
    StoreError
        If it cannot be opened.
    """
    entries = _entries(path)
    head = next(entries)
    assert isinstance(head, Head)
    return head, entries  # type: ignore[return-value]


def _entries(path: Path) -> Iterator[Head | Entry]:
    try:
        raw = open_file(path)
    except Bounds as wrong:
        raise _corrupt(path, str(wrong)) from wrong
    except OSError as failed:
        raise StoreError(
            f"the tape {path.name} cannot be read: {failed.strerror or failed}",
            suggestion="check the permissions of the file and its folder",
            path=str(path),
        ) from failed
    try:
        with raw, gzip.GzipFile(fileobj=raw, mode="rb") as file:
            head = _HEADS.decode(file.readline(MAX_LINE))
            if head.tape != VERSION:
                raise _corrupt(path, f"it is of version {head.tape}, this package reads {VERSION}")
            yield head
            room = MAX_SIZE
            while True:
                try:
                    line = file.readline(min(MAX_LINE, room + 1))
                except EOFError:
                    return  # cut short; all complete lines were read
                room -= len(line) + ENTRY_SIZE
                if room < 0:
                    raise _corrupt(path, f"it needs more than {MAX_SIZE:,} bytes of memory")
                if not line.endswith(b"\n"):
                    if len(line) >= MAX_LINE:
                        raise _corrupt(path, f"a line has more than {MAX_LINE:,} bytes")
                    return
                yield _entry(_LINES.decode(line))
    except (OSError, EOFError, ValueError, OverflowError, RecursionError, ZlibError, msgspec.DecodeError) as error:
        raise _corrupt(path, str(error)) from error


def _corrupt(path: Path, why: str) -> CorruptFile:
    return CorruptFile(
        f"{path.name} is no tape that can be read: {why}", suggestion="record it again, or delete it", path=str(path)
    )


def _entry(line: _Line) -> Entry:
    if line.frame is not None:
        return Entry(line.at, "frame", line.frame.encode(), line.on)
    if line.frame64 is not None:
        return Entry(line.at, "frame", base64.b64decode(line.frame64, validate=True), line.on)
    if line.join is not None:
        if not line.join or any(type_ not in TYPES for type_, *_ in line.join):
            raise ValueError(f"a stream of {line.join!r}")
        topics = tuple(Topic(*one) for one in line.join)
        known = tuple(Topic(*one) for one in line.known)
        return Entry(line.at, "join", on=line.on, topics=topics, known=known, region=line.region)
    for kind in ("sent", "broken"):
        text = getattr(line, kind)
        if text is not None:
            return Entry(line.at, kind, text.encode(), line.on)
    if line.open is None and not line.end:
        raise ValueError(f"a line of {line.at} says nothing that is known")
    return Entry(line.at, "end" if line.end else "open", on=line.on, offset=line.offset)


# --- writing -------------------------------------------------------------------------------------


class TapeWriter:
    """Writes a tape beside its place; it gets there when it is done, or never.

    Parameters
    ----------
    path : pathlib.Path
    origin : str
        URL of where the frames come from; only what kind of place that is becomes part of the tape.
    now : int
        When the recording begins, microseconds.
    kept : pathlib.Path, optional
        A tape that this one goes on from.

    Raises
    ------
    StoreError
        From every method: if the disk is full, or the folder not to be written.
    """

    def __init__(self, path: Path, origin: str, now: int, kept: Path | None = None) -> None:
        self.path = path
        self._made = [one for one in (path.parent, *path.parent.parents) if not one.exists()]
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._raw: IO[bytes] | None = None
        self._file: gzip.GzipFile | None = None
        try:
            self._begin(origin, now, kept)
        except BaseException:
            self.discard()
            raise

    def _begin(self, origin: str, now: int, kept: Path | None) -> None:
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._raw = self._part.open("wb")
            # No name and no time in the head, so that the same frames make the same file.
            self._file = gzip.GzipFile("", "wb", 6, self._raw, mtime=0)
        moment = from_micros(now).replace(microsecond=0).isoformat().replace("+00:00", "Z")
        head: dict[str, Any] = {"tape": VERSION, "recorded_at": moment, "origin": origin_of(origin)}
        if kept is None:
            self._line(**head, by=f"upbit-frames {__version__}")
        else:
            self._copy(kept, head["origin"])

    def _copy(self, kept: Path, origin: str) -> None:
        head, entries = read_tape(kept)
        origins = sorted({*head.origin.split(" and "), origin})
        self._line(**{**msgspec.structs.asdict(head), "origin": " and ".join(origins)})
        last = None
        for last in entries:
            self.entry(last)
        if last is not None and last.kind != "end":
            self.line(last.at, "end", True)

    def entry(self, one: Entry) -> None:
        """One more entry, as it was read from another tape."""
        facts: dict[str, Any] = {"on": one.on} if one.on != 1 else {}
        if one.kind == "frame":
            self.frame(one.at, one.data, **facts)
        elif one.kind == "join":
            self.join(one.at, one.topics, one.known, one.region, **facts)
        elif one.kind == "open":
            self.line(one.at, "open", 1, **facts, **({} if one.offset is None else {"offset": one.offset}))
        else:
            self.line(one.at, one.kind, True if one.kind == "end" else one.data.decode(), **facts)

    def frame(self, at: int, frame: bytes, **facts: Any) -> None:
        """A frame."""
        try:
            self.line(at, "frame", frame.decode(), **facts)
        except UnicodeDecodeError:
            self.line(at, "frame64", base64.b64encode(frame).decode(), **facts)

    def join(self, at: int, topics: Iterable[Topic], known: Iterable[Topic], region: str, **facts: Any) -> None:
        """A stream begins."""
        lists = [[[one.type, one.market, one.level, one.depth] for one in sorted(part)] for part in (topics, known)]
        if lists[1]:
            facts["known"] = lists[1]
        if region != "kr":
            facts["region"] = region
        self.line(at, "join", lists[0], **facts)

    def line(self, at: int, kind: str, value: Any, **facts: Any) -> None:
        """Anything that has no method of its own."""
        self._line(at=at, **facts, **{kind: value})

    def _line(self, **facts: Any) -> None:
        text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
        assert self._file is not None
        with self._told():
            self._file.write(text.encode() + b"\n")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as failed:
            raise StoreError(
                f"the tape {self.path.name} cannot be written: {failed.strerror or failed}",
                suggestion="check the setting 'cassette_dir' and the room on that disk",
                path=str(self.path),
            ) from failed

    def finish(self, at: int) -> None:
        """Write the end; the file is whole then, but not in its place."""
        self.line(at, "end", True)
        assert self._raw is not None
        assert self._file is not None
        with self._told():
            self._file.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()

    def settle(self) -> None:
        """Put the finished file into its place."""
        with self._told():
            self._part.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind; does nothing to a file that is in its place."""
        for file in (self._file, self._raw):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)
            for one in self._made:
                one.rmdir()
