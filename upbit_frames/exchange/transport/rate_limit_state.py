"""Request slots that all processes of the machine share.

Upbit counts by address, so two notebooks must share one budget. The slots stand in a small file
of fixed layout, guarded by a file lock that is held for some ten microseconds. Times are those of
the system-wide monotonic clock; a slot states from when it may be taken again. A file from before
a reboot is recognised because its times lie too far ahead, and is started afresh.
"""

from __future__ import annotations

import logging
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from upbit_frames.core.endpoints import LIMITS

__all__ = ["SharedSlots", "Taken"]

log = logging.getLogger("upbit_frames.limiter")

GROUPS = tuple(LIMITS)
SLOTS = 10  # the most a group has
IN_FLIGHT = 60.0  # seconds after which a slot that was never given back is free anyway
DEAD = 2.0  # seconds after its request at which the slot of a process that died is free
RESTING = 2.5  # a slot that is free only later than this was not used a second ago, but rests
FEW, MANY, DOUBT = 10, 40, 0.03  # how many round trips are trusted how far, and seconds of doubt
TOO_FAR = 3600.0  # a time further ahead than this is from before a reboot
RECENT = 30.0  # seconds: of round trips the fastest of this and of the last such time count
MAGIC = b"UFS2"

_HEAD = struct.Struct("<4sxxxxd")  # magic, blocked until (wall seconds)
_TRIPS = struct.Struct("<ddqdq")  # since when; the fastest and how many since then, and of the time before
_GROUP = struct.Struct("<d")  # paused until
_SLOT = struct.Struct("<ddq")  # free at, taken at (0 = not in flight), process
_GROUP_SIZE = _GROUP.size + SLOTS * _SLOT.size
_GROUPS_AT = _HEAD.size + _TRIPS.size
_SIZE = _GROUPS_AT + len(GROUPS) * _GROUP_SIZE


@dataclass(frozen=True)
class Taken:
    """A slot in use."""

    group: str
    index: int
    since: float


class SharedSlots:
    """The slots of one exchange.

    Parameters
    ----------
    name : str
        Which exchange; becomes part of the file name.
    folder : pathlib.Path, optional
        Where the file is; default a folder of this user in the system's temporary folder.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self._memory = bytearray(_SIZE)
        self._threads = threading.Lock()
        self._path: Path | None = None
        try:
            where = folder or Path(tempfile.gettempdir()) / f"upbit-frames-{_user()}"
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path = where / f"{name}.slots"
            self._lock = FileLock(where / f"{name}.lock", thread_local=False)
            with self._state():
                pass
        except OSError as error:
            log.warning("request limits are not shared with other processes: %s", error)
            self._path = None

    @contextmanager
    def _state(self) -> Iterator[bytearray]:
        """The state, exclusively; written back on leaving."""
        with self._threads:
            if self._path is None:
                yield self._memory
                return
            with self._lock:
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
                try:
                    state = bytearray(os.read(fd, _SIZE))
                    if len(state) != _SIZE or state[:4] != MAGIC:
                        state = bytearray(_SIZE)
                        state[:4] = MAGIC
                    before = bytes(state)
                    yield state
                    if state != before:
                        os.lseek(fd, 0, os.SEEK_SET)
                        os.write(fd, state)
                finally:
                    os.close(fd)

    def take(self, group: str, now: float, allowed: int) -> Taken | float:
        """A slot, or after how many seconds it is worth asking again."""
        with self._state() as state:
            paused = _paused(state, group, now)
            if paused > now:
                return paused - now
            best = min(range(allowed), key=lambda i: _free_at(state, group, i, now))
            free = _free_at(state, group, best, now)
            if free > now:
                # When a request under way will give its slot back, nobody knows; usually not to be
                # used at once, unless all are under way.
                under_way = [bool(_SLOT.unpack_from(state, _slot_offset(group, i))[1]) for i in range(allowed)]
                return min(free - now, 0.01 if all(under_way) else 0.05) if any(under_way) else free - now
            _SLOT.pack_into(state, _slot_offset(group, best), now + IN_FLIGHT, now, os.getpid())
            return Taken(group, best, now)

    def give_back(self, taken: Taken, now: float, window: float, trip: float | None) -> None:
        """The request of a slot is over.

        It may be taken again a ``window`` after the request can have arrived last: now, less what
        the fastest round trip takes. ``trip`` is how long this one took; None if it is not known,
        nor whether and when the request arrived.
        """
        with self._state() as state:
            early = 0.0 if trip is None else _certain(*_round_trips(state, now, trip))
            offset = _slot_offset(taken.group, taken.index)
            _, since, process = _SLOT.unpack_from(state, offset)
            if since == taken.since and process == os.getpid():  # else it was given up for dead
                _SLOT.pack_into(state, offset, now + window - early, 0.0, 0)

    def leave_room(self, taken: Taken, now: float, seconds: float, left: int, allowed: int) -> int:
        """Others on this address use the group too: take out of use what the server counted for them.

        ``left`` is what the server said was left of its second when it counted the request of
        ``taken``. Slots that were free when that request was sent belong to nobody here, so if
        fewer are left than that, strangers used the difference. Returns how many slots it cost.
        """
        with self._state() as state:
            free = [i for i in range(allowed) if _idle_since(state, taken.group, i, taken.since)]
            foreign = max(0, len(free) - max(0, left))
            for index in free[:foreign]:
                _SLOT.pack_into(state, _slot_offset(taken.group, index), now + seconds, 0.0, 0)
            return foreign

    def rest(self, group: str, now: float, seconds: float, allowed: int) -> None:
        """A request was refused: leave one slot to whoever else asks from this address, for a while.

        Without that every second would begin with as many refusals as strangers use of it. One
        slot always stays in use.
        """
        with self._state() as state:
            used: list[tuple[float, int]] = []
            for index in range(allowed):
                free, taken, _ = _SLOT.unpack_from(state, _slot_offset(group, index))
                if taken or not now + RESTING <= free < now + TOO_FAR:
                    used.append((-1.0 if taken else free, index))
            free, index = max(used)
            if len(used) > 1 and free >= 0:
                _SLOT.pack_into(state, _slot_offset(group, index), now + seconds, 0.0, 0)

    def pause(self, group: str, until: float) -> None:
        """Nobody may take a slot of the group until then."""
        with self._state() as state:
            offset = _group_offset(group)
            (before,) = _GROUP.unpack_from(state, offset)
            _GROUP.pack_into(state, offset, max(before, until))

    def block(self, until: float) -> None:
        """The address is blocked until that wall time (seconds since the epoch)."""
        with self._state() as state:
            _HEAD.pack_into(state, 0, MAGIC, until)

    def blocked_until(self) -> float:
        """Until which wall time the address is blocked; in the past if it is not."""
        with self._state() as state:
            return float(_HEAD.unpack_from(state, 0)[1])


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _group_offset(group: str) -> int:
    return _GROUPS_AT + GROUPS.index(group) * _GROUP_SIZE


def _slot_offset(group: str, index: int) -> int:
    return _group_offset(group) + _GROUP.size + index * _SLOT.size


def _paused(state: bytearray, group: str, now: float) -> float:
    (until,) = _GROUP.unpack_from(state, _group_offset(group))
    return float(until) if until < now + TOO_FAR else 0.0


def _free_at(state: bytearray, group: str, index: int, now: float) -> float:
    free, taken, process = _SLOT.unpack_from(state, _slot_offset(group, index))
    if free > now + TOO_FAR:
        return 0.0
    if taken and free > now and process != os.getpid() and not _alive(process):
        return float(taken) + DEAD
    return float(free)


def _idle_since(state: bytearray, group: str, index: int, moment: float) -> bool:
    free, taken, _ = _SLOT.unpack_from(state, _slot_offset(group, index))
    return not taken and free <= moment


def _round_trips(state: bytearray, now: float, trip: float) -> tuple[float, int]:
    """One more round trip; the fastest of late, and how many there were."""
    since, fastest, seen, before, seen_before = _TRIPS.unpack_from(state, _HEAD.size)
    if not since <= now < since + RECENT:
        follows = since + RECENT <= now < since + 2 * RECENT
        before, seen_before = (fastest, seen) if follows else (0.0, 0)
        since, seen = now, 0
    fastest, seen = min(trip, fastest) if seen else trip, seen + 1
    _TRIPS.pack_into(state, _HEAD.size, since, fastest, seen, before, seen_before)
    return min(fastest, before) if seen_before else fastest, seen + seen_before


def _certain(fastest: float, seen: int) -> float:
    """How long a round trip takes at least; too little does no harm, too much would."""
    if seen < MANY:
        # On a busy machine the first ones may all be slow, and a later one not.
        return max(0.0, fastest - DOUBT) if seen >= FEW else 0.0
    return fastest


def _alive(process: int) -> bool:
    if os.name == "nt":  # no cheap and safe way to ask there; the slot's own time limit holds
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
