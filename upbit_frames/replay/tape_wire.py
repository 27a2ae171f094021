"""The connections of a tape: a real one that is recorded, and recorded ones that are replayed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from math import inf
from typing import NoReturn

from upbit_frames.errors import ConnectionFailed, UpbitFramesError
from upbit_frames.exchange.transport.reconnecting import EndOfTape, Wire
from upbit_frames.replay.clocks import TapeClock
from upbit_frames.replay.tape_file import Entry
from upbit_frames.runtime.fixed_clock import FixedServerTime

__all__ = ["RecordingWire", "TapePlayer", "snapshots_before"]

FRAMES_A_TURN = 256  # frames after which a replay at full speed lets other tasks run

Note = Callable[[str, object, int | None], int]


class RecordingWire:
    """A real connection whose requests and frames are recorded.

    Parameters
    ----------
    wire : Wire
    note : callable (kind, value, at) -> int
        Records an entry; returns its moment, which is the present where ``at`` is None.
    """

    can_wait = False

    def __init__(self, wire: Wire, note: Note) -> None:
        self._wire = wire
        self._note = note

    async def receive(self) -> tuple[bytes, int]:
        """Return the next frame and when it arrived."""
        try:
            frame, at = await self._wire.receive()
        except UpbitFramesError as error:
            self._note("broken", error.message, None)
            raise
        return frame, self._note("frame", frame, at)

    async def send(self, text: str) -> None:
        """Record and send a request."""
        self._note("sent", text, None)
        await self._wire.send(text)

    async def alive(self, timeout: float) -> bool:
        """Return whether the other side responds within so many seconds."""
        return await self._wire.alive(timeout)

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()


class TapePlayer:
    """Replays one recorded connection from where a stream began; it is lost where it was lost.

    Parameters
    ----------
    entries : sequence of Entry
        Of one connection.
    position : int
        Of the stream's join among them.
    clock, server_time
        Follow the replay.
    speed : float
        Tape seconds in a real one.
    """

    def __init__(
        self, entries: Sequence[Entry], position: int, clock: TapeClock, server_time: FixedServerTime, speed: float
    ) -> None:
        self._entries = entries
        self._position = position + 1
        self._clock = clock
        self._server_time = server_time
        self._began: tuple[int, float] | None = None
        self._frames = 0
        clock.playing, clock.speed = True, speed
        clock.moment = entries[position].at
        before = next((entry for entry in reversed(entries[:position]) if entry.kind in ("open", "broken")), None)
        after = next((entry for entry in entries[position:] if entry.kind != "join"), None)
        # Whether other streams had the connection open when this one began; then its state comes first.
        self._open = before is not None and before.kind == "open" and after is not None and after.kind != "open"
        self._seeds = snapshots_before(entries, position)
        if before is not None:
            server_time.fixed_offset = before.offset

    async def dial(self) -> Wire:
        """Return the next recorded connection.

        Raises
        ------
        EndOfTape
            If there is none.
        """
        if not self._open:
            while self._position < len(self._entries) and self._entries[self._position].kind != "open":
                self._position += 1
            if self._position == len(self._entries):
                await self._finish()
            entry = self._entries[self._position]
            await self._until(entry.at)
            self._server_time.fixed_offset = entry.offset
            self._position += 1
        self._open = False
        return _ReplayedWire(self)

    async def next(self) -> tuple[bytes, int]:
        """Return the next frame, when it is due."""
        if self._seeds:
            return self._seeds.pop(0)
        entries, clock = self._entries, self._clock
        while self._position < len(entries):
            entry = entries[self._position]
            if entry.kind == "frame" and clock.speed == inf:  # the common case, without a coroutine of its own
                self._position += 1
                clock.moment = clock.ahead = entry.at
                self._frames += 1
                if self._frames % FRAMES_A_TURN == 0:
                    await asyncio.sleep(0)
                return entry.data, entry.at
            if entry.kind == "open":  # the tape has no entry for the end of the connection before
                if entries[self._position - 1].kind == "join":
                    raise EndOfTape  # closed for lack of subscribers until another stream began
                raise ConnectionFailed("the WebSocket was lost here when the tape was recorded")
            self._position += 1
            if entry.kind == "frame":
                await self._until(entry.at)
                return entry.data, entry.at
            if entry.kind == "broken":
                await self._until(entry.at)
                raise ConnectionFailed(entry.data.decode())
        await self._finish()

    async def _finish(self) -> NoReturn:
        if self._entries[-1].kind == "end":
            await self._until(self._entries[-1].at)
        raise EndOfTape

    async def _until(self, at: int) -> None:
        real = self._clock.real
        self._clock.ahead = at
        if self._clock.speed < inf:
            if self._began is None:
                self._began = self._clock.moment, real.monotonic()
            left = self._began[1] + (at - self._began[0]) / 1e6 / self._clock.speed - real.monotonic()
            if left > 0:
                await real.sleep(left)
        self._clock.moment = at


class _ReplayedWire:
    """One recorded connection; its frames begin with the first request."""

    can_wait = True  # slow subscribers are waited for instead of losing rows

    def __init__(self, player: TapePlayer) -> None:
        self._player = player
        self._requested = asyncio.Event()

    async def receive(self) -> tuple[bytes, int]:
        await self._requested.wait()
        return await self._player.next()

    async def send(self, text: str) -> None:
        self._requested.set()

    async def alive(self, timeout: float) -> bool:
        return True

    async def close(self) -> None:
        self._requested.set()


_TYPE = re.compile(rb'"(?:type|ty)"\s*:\s*"([^"]+)"')
_CODE = re.compile(rb'"(?:code|cd)"\s*:\s*"([^"]+)"')
_LEVEL = re.compile(rb'"(?:level|lv)"\s*:\s*([0-9.eE+]+)')
_REALTIME = re.compile(rb'"(stream_type|st)"\s*:\s*"REALTIME"')


def snapshots_before(entries: Sequence[Entry], position: int) -> list[tuple[bytes, int]]:
    """Return the state of the topics that were subscribed to already when a stream began, and when it arrived.

    The exchange sends a snapshot to the first subscription only; later streams begin with the last frame.
    """
    missing = {topic.key for topic in entries[position].known}
    snapshots: list[tuple[bytes, int]] = []
    for entry in reversed(entries[:position]):
        if not missing:
            break
        key = _key(entry.data) if entry.kind == "frame" else None
        if key in missing:
            missing.discard(key)
            snapshots.append((_REALTIME.sub(rb'"\1":"SNAPSHOT"', entry.data, count=1), entry.at))
    return snapshots[::-1]


def _key(frame: bytes) -> tuple[str, str, float] | None:
    type_, code, level = (pattern.search(frame) for pattern in (_TYPE, _CODE, _LEVEL))
    if type_ is None or code is None:
        return None
    return type_[1].decode(), code[1].decode(), float(level[1]) if level is not None else 0.0
