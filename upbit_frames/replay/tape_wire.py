"""What stands in for the exchange's WebSocket, and for its time, while a tape is recorded or played."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from math import inf
from typing import NoReturn

from upbit_frames.errors import ConnectionFailed, UpbitFramesError
from upbit_frames.exchange.transport.reconnecting import EndOfTape, Wire
from upbit_frames.replay.tape_file import Entry
from upbit_frames.runtime.clock import Clock, ServerTime, SystemClock

__all__ = ["Player", "RecordedWire", "TapeClock", "TapeServerTime", "snapshots_before"]

BREATH = 256  # frames after which a player at full speed lets others run
JUST_NOW = 0.1  # seconds for which what was written down last is what time it is
SLEEP = 0.001  # seconds; nobody waits longer where a tape is played

Note = Callable[[str, object, int | None], int]


class TapeClock(SystemClock):
    """The time of a tape: of the machine while it is recorded, of its frames while it is played.

    Parameters
    ----------
    real : Clock

    Attributes
    ----------
    moment : int
        Of what was recorded or played last, microseconds.
    playing : bool
    speed : float
        How many of its seconds go by in a real one.
    ahead : int
        Of what is played next, microseconds.
    """

    def __init__(self, real: Clock) -> None:
        self.real = real
        self.moment = 0
        self.playing = False
        self.speed: float = getattr(real, "speed", 1.0)
        self.ahead = 0
        self._noted = -inf
        self._skipped = 0.0

    def note(self, at: int) -> int:
        """That much is recorded or played now."""
        self.moment, self._noted = at, self.real.monotonic()
        return at

    def now(self) -> int:
        """While recording, what was just written down is now: so a player is told the very same."""
        if self.playing or self.real.monotonic() - self._noted < JUST_NOW:
            return self.moment
        return self.real.now()

    def reached(self) -> int:
        """Everything that came before this moment has been handed in."""
        return self.ahead if self.playing else self.real.now()

    def monotonic(self) -> float:
        """Seconds, those included that were not waited for."""
        return self.real.monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        """Wait, if this is a recording."""
        if not self.playing:
            return await self.real.sleep(seconds)
        short = min(seconds, SLEEP)
        self._skipped += max(0.0, seconds - short)
        await asyncio.sleep(short)


class TapeServerTime(ServerTime):
    """The exchange's time as it was known when the connection was opened; no answer changes it."""

    def __init__(self, clock: TapeClock) -> None:
        super().__init__(clock)
        self.told: int | None = None

    @property
    def known(self) -> bool:
        """Whether it is."""
        return self.told is not None

    @property
    def settled(self) -> bool:
        """As soon as it is known."""
        return self.known

    @property
    def offset(self) -> int:
        """The exchange's time minus the tape's; 0 while unknown."""
        return self.told or 0

    def observe(self, date: int, sent: int, received: int) -> None:
        """Learn nothing."""


class RecordedWire:
    """A wire that is listened to."""

    can_wait = False

    def __init__(self, wire: Wire, note: Note) -> None:
        self._wire = wire
        self._note = note

    async def receive(self) -> tuple[bytes, int]:
        """The next frame."""
        try:
            frame, at = await self._wire.receive()
        except UpbitFramesError as error:
            self._note("broken", error.message, None)
            raise
        return frame, self._note("frame", frame, at)

    async def send(self, text: str) -> None:
        """Say something."""
        self._note("sent", text, None)
        await self._wire.send(text)

    async def alive(self, timeout: float) -> bool:
        """Whether the other side answers."""
        return await self._wire.alive(timeout)

    async def close(self) -> None:
        """End it."""
        await self._wire.close()


class Player:
    """Plays one recorded connection from where a stream began; breaks come where they came.

    Parameters
    ----------
    entries : sequence of Entry
        Of one connection.
    place : int
        Of the join among them.
    clock, server_time
        Told how far it has come.
    speed : float
        Tape seconds in a real one.
    """

    def __init__(
        self, entries: Sequence[Entry], place: int, clock: TapeClock, server_time: TapeServerTime, speed: float
    ) -> None:
        self._entries = entries
        self._place = place + 1
        self._clock = clock
        self._server_time = server_time
        self._began: tuple[int, float] | None = None
        self._played = 0
        clock.playing, clock.speed = True, speed
        clock.moment = entries[place].at
        before = next((one for one in reversed(entries[:place]) if one.kind in ("open", "broken")), None)
        after = next((one for one in entries[place:] if one.kind != "join"), None)
        # Whether others had the connection open when the stream began; then its state comes first.
        self._open = before is not None and before.kind == "open" and after is not None and after.kind != "open"
        self._seeds = snapshots_before(entries, place)
        if before is not None:
            server_time.told = before.offset

    async def dial(self) -> Wire:
        """The next recorded connection.

        Raises
        ------
        EndOfTape
            If there was none.
        """
        if not self._open:
            while self._place < len(self._entries) and self._entries[self._place].kind != "open":
                self._place += 1
            if self._place == len(self._entries):
                await self._finish()
            entry = self._entries[self._place]
            await self._until(entry.at)
            self._server_time.told = entry.offset
            self._place += 1
        self._open = False
        return _PlayedWire(self)

    async def next(self) -> tuple[bytes, int]:
        """The next frame, when it is due."""
        if self._seeds:
            return self._seeds.pop(0)
        entries, clock = self._entries, self._clock
        while self._place < len(entries):
            entry = entries[self._place]
            if entry.kind == "frame" and clock.speed == inf:  # the common case, without a coroutine of its own
                self._place += 1
                clock.moment = clock.ahead = entry.at
                self._played += 1
                if self._played % BREATH == 0:
                    await asyncio.sleep(0)
                return entry.data, entry.at
            if entry.kind == "open":  # how the one before it ended was not heard
                if entries[self._place - 1].kind == "join":
                    raise EndOfTape  # nobody had listened any more, until somebody came
                raise ConnectionFailed("the WebSocket is lost: it was here when the tape was recorded")
            self._place += 1
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


class _PlayedWire:
    """One recorded connection; begins when something is asked for."""

    can_wait = True  # whoever cannot follow is waited for, instead of losing rows

    def __init__(self, player: Player) -> None:
        self._player = player
        self._asked = asyncio.Event()

    async def receive(self) -> tuple[bytes, int]:
        await self._asked.wait()
        return await self._player.next()

    async def send(self, text: str) -> None:
        self._asked.set()

    async def alive(self, timeout: float) -> bool:
        return True

    async def close(self) -> None:
        self._asked.set()


_TYPE = re.compile(rb'"(?:type|ty)"\s*:\s*"([^"]+)"')
_CODE = re.compile(rb'"(?:code|cd)"\s*:\s*"([^"]+)"')
_LEVEL = re.compile(rb'"(?:level|lv)"\s*:\s*([0-9.eE+]+)')
_SENT = re.compile(rb'"(stream_type|st)"\s*:\s*"REALTIME"')


def snapshots_before(entries: Sequence[Entry], place: int) -> list[tuple[bytes, int]]:
    """The state of what others had listened to when a stream began, and when it had arrived.

    The exchange tells it to the first who asks only; who comes later is told the last frame.
    """
    missing = {one.key for one in entries[place].known}
    found: list[tuple[bytes, int]] = []
    for entry in reversed(entries[:place]):
        if not missing:
            break
        key = _key(entry.data) if entry.kind == "frame" else None
        if key in missing:
            missing.discard(key)
            found.append((_SENT.sub(rb'"\1":"SNAPSHOT"', entry.data, count=1), entry.at))
    return found[::-1]


def _key(frame: bytes) -> tuple[str, str, float] | None:
    type_, code, level = (pattern.search(frame) for pattern in (_TYPE, _CODE, _LEVEL))
    if type_ is None or code is None:
        return None
    return type_[1].decode(), code[1].decode(), float(level[1]) if level is not None else 0.0
