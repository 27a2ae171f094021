"""Write tape files: in a temporary file beside the destination, moved there when complete."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from upbit_frames._version import __version__
from upbit_frames.core.intervals import from_micros
from upbit_frames.core.topics import Topic
from upbit_frames.errors import StoreError
from upbit_frames.replay import tape_file
from upbit_frames.replay.matching import origin_of
from upbit_frames.replay.tape_file import ENTRY_SIZE, VERSION, Entry, Header, read_tape

__all__ = ["TapeWriter"]

END_ROOM = 1024  # bytes kept free for the last line


class TapeWriter:
    """Writes a tape, never larger than :func:`read_tape` accepts.

    Parameters
    ----------
    path : pathlib.Path
    origin : str
        URL of the source of the frames; only its kind (live, stand-in, other) becomes part of the tape.
    now : int
        When the recording begins, microseconds since the epoch, UTC.
    kept : pathlib.Path, optional
        A tape to continue: its entries come first.

    Attributes
    ----------
    full : bool
        Whether an entry did not fit; all later ones are refused too, except the end.

    Raises
    ------
    StoreError
        From every method: if the disk is full, or the folder cannot be written.
    """

    def __init__(self, path: Path, origin: str, now: int, kept: Path | None = None) -> None:
        self.path = path
        self.full = False
        self._size = 0  # bytes of memory that replaying it needs
        self._new_folders = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._raw: IO[bytes] | None = None
        self._file: gzip.GzipFile | None = None
        try:
            self._begin(origin, now, kept)
        except BaseException:
            self.discard()
            raise

    def _begin(self, origin: str, now: int, kept: Path | None) -> None:
        with self._store_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._raw = self._part.open("wb")
            # No name and no time in the gzip header, so that the same frames give the same file.
            self._file = gzip.GzipFile("", "wb", 6, self._raw, mtime=0)
        moment = from_micros(now).replace(microsecond=0).isoformat().replace("+00:00", "Z")
        kind = origin_of(origin)
        if kept is None:
            self._header(Header(VERSION, moment, kind, f"upbit-frames {__version__}"))
        else:
            self._copy(kept, kind)

    def _header(self, header: Header) -> None:
        self._write(msgspec.json.encode(header) + b"\n")

    def _copy(self, kept: Path, origin: str) -> None:
        header, entries = read_tape(kept)
        header.origin = " and ".join(sorted({*header.origin.split(" and "), origin}))
        self._header(header)
        entry = None
        for entry in entries:
            self.entry(entry)
        if entry is not None and entry.kind != "end":
            self.line(entry.at, "end", True)

    def entry(self, entry: Entry) -> bool:
        """Write an entry of another tape; return whether it fitted."""
        fields: dict[str, Any] = {"on": entry.on} if entry.on != 1 else {}
        if entry.kind == "frame":
            return self.frame(entry.at, entry.data, **fields)
        if entry.kind == "join":
            return self.join(entry.at, entry.topics, entry.known, entry.region, **fields)
        if entry.kind == "open":
            return self.line(entry.at, "open", 1, **fields, **_offset(entry.offset))
        return self.line(entry.at, entry.kind, True if entry.kind == "end" else entry.data.decode(), **fields)

    def frame(self, at: int, frame: bytes, **fields: Any) -> bool:
        """Write a frame; return whether it fitted."""
        try:
            return self.line(at, "frame", frame.decode(), **fields)
        except UnicodeDecodeError:
            return self.line(at, "frame64", base64.b64encode(frame).decode(), **fields)

    def join(self, at: int, topics: Iterable[Topic], known: Iterable[Topic], region: str, **fields: Any) -> bool:
        """Write that a stream begins; return whether it fitted."""
        if known_lists := _lists(known):
            fields["known"] = known_lists
        if region != "kr":
            fields["region"] = region
        return self.line(at, "join", _lists(topics), **fields)

    def line(self, at: int, kind: str, value: Any, **fields: Any) -> bool:
        """Write an entry of any other kind; return whether it fitted."""
        text = json.dumps({"at": at, **fields, kind: value}, ensure_ascii=False, separators=(",", ":"))
        line = text.encode() + b"\n"
        size = self._size + len(line) + ENTRY_SIZE
        if kind != "end" and (self.full or size > tape_file.MAX_SIZE - END_ROOM):
            self.full = True
            return False
        self._size = size
        self._write(line)
        return True

    def _write(self, line: bytes) -> None:
        assert self._file is not None
        with self._store_errors():
            self._file.write(line)

    @contextlib.contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot write the tape {self.path.name}: {error.strerror or error}",
                suggestion="check the setting 'cassette_dir' and the free space on that disk",
                path=str(self.path),
            ) from error

    def finish(self, at: int) -> None:
        """Write the last line and flush the file to disk; :meth:`settle` moves it to its destination."""
        self.line(at, "end", True)
        assert self._raw is not None
        assert self._file is not None
        with self._store_errors():
            self._file.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()

    def settle(self) -> None:
        """Move the finished file to its destination."""
        with self._store_errors():
            self._part.replace(self.path)

    def discard(self) -> None:
        """Remove the temporary file and the folders created for it; a settled file stays."""
        for file in (self._file, self._raw):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)
            for folder in self._new_folders:
                folder.rmdir()


def _lists(topics: Iterable[Topic]) -> list[list[Any]]:
    return [[topic.type, topic.market, topic.level, topic.depth] for topic in sorted(topics)]


def _offset(offset: int | None) -> dict[str, int]:
    return {} if offset is None else {"offset": offset}
