"""Tapes: the frames of WebSocket streams recorded once and replayed for ever.

The file format is described in :mod:`upbit_frames.replay.tape_file`.
"""

from __future__ import annotations

from math import inf
from pathlib import Path

from upbit_frames.core.config import Config, current
from upbit_frames.core.record_mode import record_mode
from upbit_frames.replay.cassette_file import cassette_path
from upbit_frames.replay.recording import Recording
from upbit_frames.replay.tape_file import SUFFIX, tape_beside
from upbit_frames.replay.tape_session import TapeSession, checked_speed

__all__ = ["Tape", "tape"]


class Tape(Recording):
    """An open or closed tape; created by :func:`tape`.

    Attributes
    ----------
    name : str
    path : pathlib.Path
    mode : {"none", "once", "new_episodes", "all"}
    speed : float
    """

    kind = "tape"

    def _files(self) -> list[Path]:
        return [self.path]

    def _new_session(self) -> TapeSession:
        return TapeSession(
            self.path, self.name, replays=self.mode != "all", protected=self.protected, speed=self.speed, repairs=False
        )

    def ports_for(self, config: Config) -> None:
        """Return None: a tape alone replaces streams only."""

    def __repr__(self) -> str:
        return f"<tape {self.name!r} mode={self.mode} speed={self.speed:g}: {self._counts()}>"


def tape(name: str, mode: str | None = None, speed: float = inf) -> Tape:
    """Record the frames of every stream opened inside, once, and replay them for ever.

    Parameters
    ----------
    name : str
        File name below the setting ``cassette_dir``, without ``.jsonl.gz``; ``a/b`` for sub-folders.
    mode : {"none", "once", "new_episodes", "all"}, optional
        As for :func:`upbit_frames.cassette`.
    speed : float
        Seconds of the recording in a real one: 1 is real time, 10 ten times as fast. By default as fast
        as its rows are taken; a replay waits for slow readers, so none loses rows.

    Returns
    -------
    Tape
        A context manager, for ``with`` and ``async with``; can be opened again after it was closed.

    Raises
    ------
    QueryError
        If the name cannot name a file, or the speed is not a positive number.
    NotRecorded
        Inside: if a stream is opened that is not on the tape and may not be recorded.
    CorruptFile, StoreError
        If the file cannot be read or written; it is left as it is.
    UsageError
        If another tape, or a cassette, is open.

    Notes
    -----
    In replay every stream plays the tape for itself, from where it was opened in the recording, and
    ends where the recording ends. ``received_at`` is when a row arrived then. ``seconds`` of
    ``uf.stream`` are seconds of the recording. Lost connections are on the tape too; the REST responses
    that backfilled their gaps are not, so such a gap is reported as not repaired. Inside
    :func:`upbit_frames.cassette`, which keeps a tape of its own beside it, it is repaired as it was.

    If an exception passes through, or nothing was streamed, no file is written. A recording ends with a
    warning when it would become larger than can be replayed; what was recorded until then is kept.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.tape("morning"):  # doctest: +SKIP
    ...     df = uf.stream("KRW-BTC", "trade", seconds=60)
    """
    plain = name.removesuffix(SUFFIX) if isinstance(name, str) else name
    path = tape_beside(cassette_path(current().cassette_dir, plain))
    return Tape(path, plain, record_mode(mode), checked_speed(speed))
