"""What cassettes and tapes share: name, mode, one open at a time, the streams' tape, opening and closing."""

from __future__ import annotations

import contextlib
from math import inf
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from upbit_frames.core.config import Config
from upbit_frames.errors import UsageError
from upbit_frames.live.hub import substitution
from upbit_frames.live.hub.registry import close_hubs
from upbit_frames.replay.tape_session import TapeSession
from upbit_frames.replay.untrusted import exists
from upbit_frames.router.ports import Ports
from upbit_frames.runtime import event_loop

__all__ = ["Recording", "eject"]


class Recording:
    """A recording that takes the place of the exchange while it is open.

    Parameters
    ----------
    path : pathlib.Path
        Of its main file.
    name : str
    mode : {"none", "once", "new_episodes", "all"}
    speed : float
        Seconds of recorded streams in a real one; infinity: as fast as their rows are taken.

    Attributes
    ----------
    streams : TapeSession
        What records and replays streams.
    protected : bool
        Whether nothing may be recorded.
    """

    kind: ClassVar[str]  # for messages

    def __init__(self, path: Path, name: str, mode: str, speed: float = inf) -> None:
        self.path = path
        self.name = name
        self.mode = mode
        self.speed = speed
        self.protected = True
        self.streams = self._new_session()

    # --- what kinds of recordings differ in ---------------------------------------------------------

    def ports_for(self, config: Config) -> Ports | None:
        """Return the ports that replace those of the settings; None to keep them."""
        raise NotImplementedError

    def _files(self) -> list[Path]:
        """Return the files of which any means that there is a recording already."""
        raise NotImplementedError

    def _new_session(self) -> TapeSession:
        """Return the session for streams of one opening."""
        raise NotImplementedError

    def _load(self) -> None:
        """Read the files; after this the recording can take effect."""
        self.protected = self.mode == "none" or (self.mode == "once" and any(map(exists, self._files())))
        self.streams = self._new_session()
        self.streams.load()

    def _save(self, *, keep: bool) -> None:
        """Write what was recorded, or drop it; no stream is open any more."""
        if self.streams.finish(keep=keep):
            self.streams.settle()

    async def _disconnect(self) -> None:
        """Close the connections to the exchange, on the background loop."""

    # --- open and close -----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        substitution.claim(self)
        try:
            self._load()
        except BaseException:
            substitution.release(self)
            raise
        substitution.activate(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if substitution.claimed() is not self:  # ejected before
            return
        substitution.deactivate(self)
        with contextlib.ExitStack() as stack:
            stack.callback(event_loop.run, self._disconnect)
            stack.callback(self._close, keep=kind is None)
            event_loop.run(close_hubs, self.streams)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if substitution.claimed() is not self:
            return
        substitution.deactivate(self)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(event_loop.run_async, self._disconnect)
            stack.callback(self._close, keep=kind is None)
            await event_loop.run_async(close_hubs, self.streams)

    def _close(self, *, keep: bool) -> None:
        """Save what was recorded, if the block ended without an exception; then another recording may be opened."""
        try:
            self._save(keep=keep)
        finally:
            self.streams.drop()
            substitution.release(self)

    def discard(self) -> None:
        """Keep nothing of what was recorded since it was opened, for instance because a test failed."""
        self.streams.discard()

    # --- counts -------------------------------------------------------------------------------------

    @property
    def played(self) -> int:
        """Responses and streams replayed since it was opened."""
        return sum(self.streams.played.values())

    @property
    def recorded(self) -> int:
        """Responses and streams recorded since it was opened."""
        return self.streams.recorded

    @property
    def unplayed(self) -> list[str]:
        """Recorded requests and streams that were not replayed since it was opened."""
        return self.streams.unplayed()

    def _counts(self) -> str:
        return f"{self.played} played, {self.recorded} recorded, {len(self.unplayed)} not played"


def eject() -> str | None:
    """Close the open cassette or tape from outside its block, keeping nothing of what it recorded.

    For notebooks in which the cell that opens one ran twice, so that no variable refers to the first.

    Returns
    -------
    str or None
        The name of what was closed; None if nothing was open.
    """
    recording = substitution.claimed()
    if not isinstance(recording, Recording):
        return None
    recording.__exit__(UsageError, None, None)
    return recording.name
