"""Buffers frames and decodes them in batches; frame by frame where one is invalid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from upbit_frames.errors import SchemaError
from upbit_frames.exchange.wire.message_tables import contradiction
from upbit_frames.exchange.wire.messages import Row, decode, type_of

__all__ = ["FrameBuffer", "InvalidFrame", "subject_of"]

READ = 65_536  # bytes of a frame in which its type and market are searched
_TYPE = re.compile(rb'"ty(?:pe)?"\s*:\s*"([^"]{0,40})"')
_CODE = re.compile(rb'"c(?:ode|d)"\s*:\s*"([^"]{0,40})"')


class InvalidFrame(NamedTuple):
    """A frame, or a row of it, that is not what the API promises.

    Attributes
    ----------
    error : SchemaError
        What is wrong.
    frame : bytes
    types, codes : set of str
        The types and market codes that it names.
    at : int
        When it arrived, microseconds.
    """

    error: SchemaError
    frame: bytes
    types: set[str]
    codes: set[str]
    at: int


class FrameBuffer:
    """Buffers frames until the loop is idle.

    Attributes
    ----------
    count : int
        Frames decoded so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._pending: list[tuple[bytes, int]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, frame: bytes, received: int) -> None:
        """Append a frame."""
        self._pending.append((frame, received))

    def take(self) -> Iterator[tuple[list[Row], list[InvalidFrame]]]:
        """Decode all frames: rows in order of arrival, each list followed by the invalid frames after it."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        self.count += len(pending)
        rows, errors = decode([frame for frame, _ in pending], [received for _, received in pending])
        if not errors and not any(map(contradiction, rows)):
            yield rows, []
            return
        for frame, received in pending:  # one by one, so that a gap is where the frame was
            yield _decode_one(frame, received)


def _decode_one(frame: bytes, received: int) -> tuple[list[Row], list[InvalidFrame]]:
    """Return the valid rows of one frame, and what is invalid in it."""
    rows, errors = decode([frame], [received])
    valid: list[Row] = []
    invalid = [InvalidFrame(error, frame, *subject_of(frame), received) for error in errors]
    for row in rows:
        error = contradiction(row)
        if error is None:
            valid.append(row)
        else:
            invalid.append(InvalidFrame(error, frame, {type_of(row)}, {row.code}, received))
    return valid, invalid


def subject_of(frame: bytes) -> tuple[set[str], set[str]]:
    """Return the types and the market codes that a frame names."""
    head = frame[:READ]
    return (
        {name.decode("utf-8", "replace") for name in _TYPE.findall(head)},
        {code.decode("utf-8", "replace") for code in _CODE.findall(head)},
    )
