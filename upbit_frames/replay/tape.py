"""``uf.tape``: record a WebSocket's frames once, and play them for ever, without anything of REST.

Not called like the function in it, because importing a submodule would hide ``uf.tape`` behind
the module.
"""

from __future__ import annotations

import contextlib
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self

from upbit_frames.core.config import current
from upbit_frames.live.hub.registry import insert, remove
from upbit_frames.replay.cassette import mode_of
from upbit_frames.replay.cassette_file import path_of
from upbit_frames.replay.cassette_ports import exchange_time
from upbit_frames.replay.tape_file import SUFFIX, tape_beside
from upbit_frames.replay.tape_session import Deck, speed_of
from upbit_frames.replay.untrusted import exists
from upbit_frames.runtime import event_loop as _bridge

__all__ = ["Taping", "tape"]


class Taping:
    """An open or closed tape; made by :func:`tape`.

    Attributes
    ----------
    name : str
    path : pathlib.Path
    mode : {"none", "once", "new_episodes", "all"}
    speed : float
    """

    def __init__(self, path: Path, name: str, mode: str, speed: float) -> None:
        self.name = name
        self.path = path
        self.mode = mode
        self.speed = speed
        self._deck = self._new_deck()

    def _new_deck(self) -> Deck:
        protected = self.mode == "none" or (self.mode == "once" and exists(self.path))
        return Deck(
            self.path, self.name, mode=self.mode, protected=protected, speed=self.speed,
            exchange_time=exchange_time, mends=False,
        )  # fmt: skip

    # --- open and close ---

    def __enter__(self) -> Self:
        deck = self._new_deck()
        deck.load()
        insert(deck)
        self._deck = deck
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as then:
            then.callback(self._put_away, keep=kind is None)
            _bridge.run(remove, self._deck)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as then:
            then.callback(self._put_away, keep=kind is None)
            await _bridge.run_async(remove, self._deck)

    def _put_away(self, *, keep: bool) -> None:
        try:
            if self._deck.finish(keep=keep):
                self._deck.settle()
        finally:
            self._deck.drop()

    def discard(self) -> None:
        """Keep nothing of what was recorded since it was opened."""
        self._deck.discard()

    # --- telling ---

    @property
    def played(self) -> int:
        """Streams played since it was opened."""
        return sum(self._deck.played.values())

    @property
    def recorded(self) -> int:
        """Streams recorded since it was opened."""
        return self._deck.recorded

    @property
    def unplayed(self) -> list[str]:
        """Streams on the tape that nobody has asked for since it was opened."""
        return self._deck.unplayed()

    def __repr__(self) -> str:
        told = f"{self.played} played, {self.recorded} recorded, {len(self.unplayed)} not played"
        return f"<tape {self.name!r} mode={self.mode} speed={self.speed:g}: {told}>"


def tape(name: str, mode: str | None = None, speed: float = inf) -> Taping:
    """Record the frames of every stream opened inside, once, and play them for ever.

    Parameters
    ----------
    name : str
        File name below the setting ``cassette_dir``, without ``.jsonl.gz``; ``a/b`` for sub-folders.
    mode : {"none", "once", "new_episodes", "all"}, optional
        As for :func:`upbit_frames.cassette`.
    speed : float
        At which it is played: 1 in real time, 10 ten times as fast. By default as fast as its rows
        are taken; nobody loses any, since a tape waits.

    Returns
    -------
    Taping
        A context manager, for ``with`` and ``async with``; can be used again after it was closed.

    Raises
    ------
    QueryError
        If the name or the speed is none.
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
    ``uf.stream`` are seconds of the recording. Breaks are on the tape too; what REST told to mend
    them is not, so such a gap is shown as not repaired. Inside :func:`upbit_frames.cassette`, which
    keeps a tape of its own beside it, it is repaired as it was.

    If an exception passes through, or nothing was streamed, no file is written.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.tape("morning"):  # doctest: +SKIP
    ...     df = uf.stream("KRW-BTC", "trade", seconds=60)
    """
    plain = name.removesuffix(SUFFIX) if isinstance(name, str) else name
    path = tape_beside(path_of(current().cassette_dir, plain))
    return Taping(path, plain, mode_of(mode, current()), speed_of(speed))
