"""Frames that wait to be decoded: many at once where many have come, one by one where one is odd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from upbit_frames.errors import SchemaError
from upbit_frames.exchange.wire.message_tables import contradiction
from upbit_frames.exchange.wire.messages import Row, decode, type_of

__all__ = ["FrameBuffer", "OddFrame", "subject_of"]

READ = 65_536  # bytes of a frame in which its type and market are looked for
_TYPE = re.compile(rb'"ty(?:pe)?"\s*:\s*"([^"]{0,40})"')
_CODE = re.compile(rb'"c(?:ode|d)"\s*:\s*"([^"]{0,40})"')


class OddFrame(NamedTuple):
    """A frame, or a row of it, that is not what the API promises.

    Attributes
    ----------
    error : SchemaError
        What is wrong with it.
    frame : bytes
    types, codes : set of str
        What it names.
    at : int
        When it arrived, microseconds.
    """

    error: SchemaError
    frame: bytes
    types: set[str]
    codes: set[str]
    at: int


class FrameBuffer:
    """Keeps frames until the loop has time for them.

    Attributes
    ----------
    count : int
        How many were taken.
    """

    def __init__(self) -> None:
        self.count = 0
        self._pending: list[tuple[bytes, int]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, frame: bytes, received: int) -> None:
        """One more."""
        self._pending.append((frame, received))

    def take(self) -> Iterator[tuple[list[Row], list[OddFrame]]]:
        """Rows in order of arrival, and after which of them something odd came."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        self.count += len(pending)
        rows, refused = decode([frame for frame, _ in pending], [received for _, received in pending])
        if not refused and not any(map(contradiction, rows)):
            yield rows, []
            return
        for frame, received in pending:  # one by one, so that a gap is where the frame was
            yield _alone(frame, received)


def _alone(frame: bytes, received: int) -> tuple[list[Row], list[OddFrame]]:
    """The rows of one frame, and what is odd in it."""
    rows, refused = decode([frame], [received])
    good: list[Row] = []
    odd = [OddFrame(error, frame, *subject_of(frame), received) for error in refused]
    for row in rows:
        error = contradiction(row)
        if error is None:
            good.append(row)
        else:
            odd.append(OddFrame(error, frame, {type_of(row)}, {row.code}, received))
    return good, odd


def subject_of(frame: bytes) -> tuple[set[str], set[str]]:
    """The types and the market codes that a frame names."""
    head = frame[:READ]
    return (
        {one.decode("utf-8", "replace") for one in _TYPE.findall(head)},
        {one.decode("utf-8", "replace") for one in _CODE.findall(head)},
    )
