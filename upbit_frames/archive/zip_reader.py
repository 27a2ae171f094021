"""Read the expected member of a zip, without trusting anything the zip states (pure).

Refused are: anything that is not a whole zip, more or other members than the expected,
encryption, unknown compression, a member larger than a file of its period can be, and content
that does not have the length and CRC the zip states. Nothing is ever written to disk, so names
with path tricks have nothing to escape from; they are refused for not being the expected name.
"""

from __future__ import annotations

import importlib
import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from upbit_frames.errors import SchemaError

__all__ = ["Member", "refusal"]

_PIECE = 1 << 18  # compressed bytes taken from the file at a time
_TAIL = 22 + 0xFFFF  # where the end record must begin: its own length and the longest comment
_DIRECTORY_MOST = 1 << 16  # bytes; an entry needs about a hundred
_LONGEST_LINE = 1 << 16
_RATIO_MOST = 200
"""How much larger than the zip its content may be. Price tables shrink to a fifth or so and even
constant ones to a fiftieth; deflate itself ends at a thousand, which only a bomb reaches."""


def _fastest_zlib() -> Any:
    """Return ISA-L's zlib where it is installed: it inflates three times as fast as the standard library's."""
    try:
        return importlib.import_module("isal.isal_zlib")
    except ImportError:
        return zlib


_zlib: Any = _fastest_zlib()


def refusal(message: str, **context: Any) -> SchemaError:
    """Return the error for a file that cannot be used."""
    return SchemaError(message, suggestion="nothing of it was stored; retry later, or use source='rest'", **context)


class Member:
    """The expected member of a zip as a stream of bytes, checked while it is read.

    Parameters
    ----------
    data : bytes or pathlib.Path
        The zip, or where it is.
    name : str
        The only member the zip may have.
    most : int
        Most bytes the member may inflate to.
    **context
        Context of the errors.

    Raises
    ------
    SchemaError
        On opening if the zip is not acceptable, on reading if its content is not what it states.
    """

    closed = False

    def __init__(self, data: bytes | Path, name: str, most: int, **context: Any) -> None:
        self._context = {"file": name, **context}
        self._source: BinaryIO = data.open("rb") if isinstance(data, Path) else io.BytesIO(data)
        try:
            info, self._left = self._locate(name, most)
        except BaseException:
            self._source.close()
            raise
        self._expected, self._crc_expected = info.file_size, info.CRC
        self._engine = _zlib.decompressobj(-15) if info.compress_type == zipfile.ZIP_DEFLATED else None
        self._input, self._ahead = b"", b""
        self._given, self._crc = 0, 0

    # --- what the zip says ----------------------------------------------------------------------

    def _locate(self, name: str, most: int) -> tuple[zipfile.ZipInfo, int]:
        """The member's entry; leaves the source at its first compressed byte."""
        size = self._source.seek(0, io.SEEK_END)
        self._check_end_record(size)
        try:
            entries = zipfile.ZipFile(self._source).infolist()
        except (zipfile.BadZipFile, struct.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise self._refuse(f"the file is not a readable zip: {error}") from error
        if [entry.filename for entry in entries] != [name]:
            members = ", ".join(repr(entry.filename) for entry in entries)
            raise self._refuse(f"the zip must hold {name!r} and nothing else, but holds {members or 'nothing'}")
        info = entries[0]
        if info.flag_bits & 0x1:
            raise self._refuse("the zip is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._refuse(f"the zip uses compression method {info.compress_type}, which is not supported")
        allowed = min(most, _RATIO_MOST * size)
        if info.file_size > allowed:
            raise self._refuse(
                f"the zip of {size:,} bytes would inflate to {info.file_size:,}, and {allowed:,} is the most expected"
            )
        if not 0 <= info.header_offset <= size:
            raise self._refuse("the zip's entry leads out of the file")
        self._source.seek(info.header_offset)
        header = self._source.read(30)
        if len(header) != 30 or header[:4] != b"PK\x03\x04":
            raise self._refuse("the zip's entry does not lead to its data")
        start = info.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
        if start + info.compress_size > size:
            raise self._refuse("the zip is cut short")
        self._source.seek(start)
        return info, info.compress_size

    def _check_end_record(self, size: int) -> None:
        # zipfile reads the whole directory into memory, so a giant directory is refused before.
        self._source.seek(max(0, size - _TAIL))
        tail = self._source.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < 22:
            raise self._refuse("the file is not a zip, or its end is missing")
        entries, length = struct.unpack("<HI", tail[at + 10 : at + 16])
        if entries != 1 or length > _DIRECTORY_MOST:
            raise self._refuse(
                f"the zip must hold a single file, but states {entries:,} in {length:,} bytes of directory"
            )

    # --- what is in it --------------------------------------------------------------------------

    def header(self) -> list[str]:
        """The column names in the first line; what follows is left to be read."""
        while b"\n" not in self._ahead and len(self._ahead) < _LONGEST_LINE:
            more = self._inflate(_LONGEST_LINE)
            if not more:
                break
            self._ahead += more
        line, _, self._ahead = self._ahead.partition(b"\n")
        try:
            text = line.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self._refuse("the file does not begin with a line of text", sample=repr(line[:200])) from error
        return [name.strip().strip('"') for name in text.rstrip("\r").split(",")]

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes of the content; empty at its end."""
        if size < 0:
            size = self._expected
        if self._ahead:
            piece, self._ahead = self._ahead[:size], self._ahead[size:]
            return piece
        return self._inflate(size)

    def put_back(self, piece: bytes) -> None:
        """Let the next reads begin with this piece again."""
        self._ahead = piece + self._ahead

    def _inflate(self, size: int) -> bytes:
        if self._given == self._expected:
            self._check_end()
            return b""
        stored = self._engine is None
        piece = self._take(min(size, self._expected - self._given)) if stored else self._inflated(size)
        if not piece:
            raise self._refuse(f"the zip ends after {self._given:,} of {self._expected:,} bytes")
        self._given += len(piece)
        self._crc = _zlib.crc32(piece, self._crc)
        if self._given > self._expected:  # never by more than a piece
            raise self._refuse(f"the zip inflates to more than the {self._expected:,} bytes it states")
        if self._given == self._expected:
            self._check_end()
        return piece

    def _inflated(self, size: int) -> bytes:
        assert self._engine is not None
        piece, more = b"", True
        while not piece and more and not self._engine.eof:
            if not self._input:
                self._input = self._take(_PIECE)
            more = bool(self._input)  # called again without input: output may be held back for lack of room
            try:
                piece = self._engine.decompress(self._input, size)
            except _zlib.error as error:
                raise self._refuse(f"the zip's content is damaged: {error}") from error
            self._input = self._engine.unconsumed_tail
        return bytes(piece)

    def _take(self, size: int) -> bytes:
        piece = self._source.read(min(size, self._left))
        self._left -= len(piece)
        return piece

    def _check_end(self) -> None:
        if self._engine is not None and not self._engine.eof and self._inflated(1):
            raise self._refuse(f"the zip inflates to more than the {self._expected:,} bytes it states")
        if self._crc != self._crc_expected:
            raise self._refuse("the zip's content does not have the CRC it states")

    def _refuse(self, message: str, **more: Any) -> SchemaError:
        return refusal(message, **self._context, **more)

    # --- being a file ---------------------------------------------------------------------------

    def readable(self) -> bool:
        """Return True; Arrow requires the method."""
        return True

    def close(self) -> None:
        """Close the zip."""
        self.closed = True
        self._source.close()

    def __enter__(self) -> Member:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
