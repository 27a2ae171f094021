"""Request slots that all processes of a user share.

Upbit counts by address, so two notebooks must share one budget. The slots stand in a small file
of fixed layout (:mod:`upbit_frames.exchange.transport.guarded_file`). Times are those of the system-wide
monotonic clock; a slot states from when it may be taken again. Every value in the file has bounds:
one that lies beyond them is from before a reboot, or damage, and counts as not stated.

Where no folder can be used, the slots are this process's own, and a warning says so.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from upbit_frames.core.endpoints import LIMITS
from upbit_frames.exchange.transport.guarded_file import GuardedFile, Unsafe
from upbit_frames.exchange.transport.headers import LONGEST_WAIT

__all__ = ["NoHandles", "SharedSlots", "Taken"]

log = logging.getLogger("upbit_frames.limiter")

P = ParamSpec("P")
T = TypeVar("T")

GROUPS = tuple(LIMITS)
SLOTS = 10  # the most a group has
IN_FLIGHT = 60.0  # seconds after which a slot that was never given back is free anyway
DEAD = 2.0  # seconds after its request at which the slot of a process that died is free
RESTING = 2.5  # a slot that is free only later than this was not used a second ago, but rests
QUIET = 1.1  # seconds without requests where it is not known what was sent in the last second
FEW, MANY, DOUBT = 10, 40, 0.03  # how many round trips are trusted how far, and seconds of doubt
TOO_FAR = 3600.0  # a time further ahead than this is from before a reboot
RECENT = 30.0  # seconds: of round trips the fastest of this and of the last such time count
MAX_TRIPS = 1_000_000  # counted in such a time

_HEAD = struct.Struct("<d")  # blocked until (wall seconds)
_TRIPS = struct.Struct("<ddqdq")  # since when; the fastest and how many since then, and of the time before
_GROUP = struct.Struct("<d")  # paused until
_SLOT = struct.Struct("<ddq")  # free at, taken at (0 = not in flight), process
_GROUP_SIZE = _GROUP.size + SLOTS * _SLOT.size
_GROUPS_AT = _HEAD.size + _TRIPS.size
_SIZE = _GROUPS_AT + len(GROUPS) * _GROUP_SIZE


class NoHandles(Exception):
    """The file cannot be opened now, because the process or the machine has too many open."""


@dataclass(frozen=True)
class Taken:
    """A slot in use."""

    group: str
    index: int
    since: float


class SharedSlots:
    """The slots of an exchange.

    Every method raises :class:`LockBusy` at once where another process holds the lock, and
    :class:`NoHandles` where no file can be opened; nothing was changed then.

    Parameters
    ----------
    name : str
        Which exchange; becomes part of the file name.
    folder : pathlib.Path, optional
        Where the file is. Default: a folder of this user in the system's temporary folder, or one
        in the user's cache folder where that one is not safe to use.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self._own = bytearray(_SIZE)
        self._threads = threading.Lock()
        self._name = name
        self._folders: list[Callable[[], Path]] = [_temporary, _private] if folder is None else [lambda: folder]
        self._file: GuardedFile | None = None

    def take(self, group: str, now: float, allowed: int) -> Taken | float:
        """A slot, or after how many seconds it is worth asking again."""
        return self._change(now, _take, group, now, allowed)

    def give_back(self, taken: Taken, now: float, window: float, trip: float | None) -> None:
        """The request of a slot is over.

        It may be taken again a ``window`` after the request can have arrived last: now, less what
        the fastest round trip takes. ``trip`` is how long this one took; None if it is not known,
        nor whether and when the request arrived.
        """
        self._change(now, _give_back, taken, now, window, trip)

    def leave_room(self, taken: Taken, now: float, seconds: float, left: int, allowed: int) -> int:
        """Others on this address use the group too: take out of use what the server counted for them.

        ``left`` is what the server said was left of its second when it counted the request of
        ``taken``. Slots that were free when that request was sent belong to no one here, so if
        fewer are left than that, strangers used the difference. Returns how many slots it cost.
        """
        return self._change(now, _leave_room, taken, now, seconds, left, allowed)

    def rest(self, group: str, now: float, seconds: float, allowed: int) -> None:
        """A request was refused: leave a slot to other programs on this address, for a while.

        Without that every second would begin with as many refusals as strangers use of it. One
        slot always stays in use.
        """
        self._change(now, _rest, group, now, seconds, allowed)

    def pause(self, group: str, now: float, until: float) -> None:
        """Block the slots of the group until then."""
        self._change(now, _pause, group, now, until)

    def block(self, now: float, until: float) -> None:
        """The address is blocked until that wall time (seconds since the epoch)."""
        self._change(now, _HEAD.pack_into, 0, until)

    def blocked_until(self, now: float, wall: float) -> float:
        """Until which wall time the address is blocked; 0 if it is not."""
        return self._change(now, _blocked_until, wall)

    def move_on(self) -> None:
        """Stop waiting for a lock that is not coming free: its holder was stopped."""
        with self._threads:
            if self._file is not None:
                log.warning(
                    "a stopped process holds the lock of the shared request limits in %s; going on without it",
                    self._file.folder,
                )
                try:
                    self._file.move_on()
                except Unsafe as error:
                    self._next_folder(error)

    # --- the state --------------------------------------------------------------------------------

    def _change(
        self, now: float, change: Callable[Concatenate[bytearray, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What ``change`` returns, applied to the shared state or, where there is none, to our own."""
        with self._threads:
            while self._file is not None or self._folders:
                try:
                    if self._file is None:
                        self._file = GuardedFile(self._folders[0](), self._name, _SIZE)
                    with self._file.exclusively() as state:
                        if state.lost:
                            _be_quiet(state.content, now)
                        return change(state.content, *args, **kwargs)
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE):
                        raise NoHandles(str(error)) from error
                    self._next_folder(error)
            return change(self._own, *args, **kwargs)

    def _next_folder(self, error: OSError) -> None:
        where = "in the temporary folder" if self._file is None else f"in {self._file.folder}"
        del self._folders[0]
        self._file = None
        instead = "using another folder" if self._folders else "they are not shared with other processes"
        log.warning("request limits cannot be kept %s (%s): %s", where, error, instead)


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"upbit-frames-{_user()}"


def _private() -> Path:
    import platform

    import platformdirs

    # By machine, because a home may be shared by several, whose monotonic clocks have nothing in common.
    machine = "".join(letter if letter.isalnum() else "_" for letter in platform.node())[:64]
    return platformdirs.user_cache_path("upbit-frames") / f"limits-{machine}"


# --- what happens to the state (no I/O) -----------------------------------------------------------


def _take(state: bytearray, group: str, now: float, allowed: int) -> Taken | float:
    paused = _paused(state, group, now)
    if paused > now:
        return paused - now
    best = min(range(allowed), key=lambda i: _free_at(state, group, i, now))
    free = _free_at(state, group, best, now)
    if free > now:
        # When a request under way will give its slot back, no one knows; usually not to be
        # used at once, unless all are under way.
        under_way = [bool(_slot(state, group, i, now)[1]) for i in range(allowed)]
        return min(free - now, 0.01 if all(under_way) else 0.05) if any(under_way) else free - now
    _SLOT.pack_into(state, _slot_offset(group, best), now + IN_FLIGHT, now, os.getpid())
    return Taken(group, best, now)


def _give_back(state: bytearray, taken: Taken, now: float, window: float, trip: float | None) -> None:
    early = 0.0 if trip is None else _certain(*_round_trips(state, now, trip))
    offset = _slot_offset(taken.group, taken.index)
    _, since, process = _SLOT.unpack_from(state, offset)
    if since == taken.since and process == os.getpid():  # else it was given up for dead
        _SLOT.pack_into(state, offset, now + window - early, 0.0, 0)


def _leave_room(state: bytearray, taken: Taken, now: float, seconds: float, left: int, allowed: int) -> int:
    free = [i for i in range(allowed) if _idle_since(state, taken.group, i, taken.since, now)]
    foreign = max(0, len(free) - max(0, left))
    for index in free[:foreign]:
        _SLOT.pack_into(state, _slot_offset(taken.group, index), now + seconds, 0.0, 0)
    return foreign


def _rest(state: bytearray, group: str, now: float, seconds: float, allowed: int) -> None:
    used: list[tuple[float, int]] = []
    for index in range(allowed):
        free, taken, _ = _slot(state, group, index, now)
        if taken or not now + RESTING <= free < now + TOO_FAR:
            used.append((-1.0 if taken else free, index))
    if len(used) > 1:
        free, index = max(used)
        if free >= 0:
            _SLOT.pack_into(state, _slot_offset(group, index), now + seconds, 0.0, 0)


def _pause(state: bytearray, group: str, now: float, until: float) -> None:
    _GROUP.pack_into(state, _group_offset(group), max(_paused(state, group, now), until))


def _blocked_until(state: bytearray, wall: float) -> float:
    until = float(_HEAD.unpack_from(state, 0)[0])
    return until if wall < until <= wall + LONGEST_WAIT else 0.0


def _be_quiet(state: bytearray, now: float) -> None:
    """Let no request leave before those that were sent in a state now lost are a second old."""
    for group in GROUPS:
        _pause(state, group, now, now + QUIET)


def _group_offset(group: str) -> int:
    return _GROUPS_AT + GROUPS.index(group) * _GROUP_SIZE


def _slot_offset(group: str, index: int) -> int:
    return _group_offset(group) + _GROUP.size + index * _SLOT.size


def _paused(state: bytearray, group: str, now: float) -> float:
    (until,) = _GROUP.unpack_from(state, _group_offset(group))
    return float(until) if until < now + TOO_FAR else 0.0


def _slot(state: bytearray, group: str, index: int, now: float) -> tuple[float, float, int]:
    """From when a slot is free, when it was taken (0: it is not in flight), and by which process."""
    free, taken, process = _SLOT.unpack_from(state, _slot_offset(group, index))
    # ``now`` was read before the lock was taken, so another process may have taken the slot after it.
    if not abs(free - now) < TOO_FAR or not (taken == 0 or abs(taken - now) < TOO_FAR):
        return 0.0, 0.0, 0
    return free, taken, process


def _free_at(state: bytearray, group: str, index: int, now: float) -> float:
    free, taken, process = _slot(state, group, index, now)
    if taken and free > now and process != os.getpid() and not _alive(process):
        return taken + DEAD
    return free


def _idle_since(state: bytearray, group: str, index: int, moment: float, now: float) -> bool:
    free, taken, _ = _slot(state, group, index, now)
    return not taken and free <= moment


def _round_trips(state: bytearray, now: float, trip: float) -> tuple[float, int]:
    """Count a round trip; return the fastest recent one and their number."""
    since, fastest, seen, before, seen_before = _TRIPS.unpack_from(state, _HEAD.size)
    if not (_is_trip(fastest, seen) and _is_trip(before, seen_before)):
        since, fastest, seen, before, seen_before = now, 0.0, 0, 0.0, 0
    if not since <= now < since + RECENT:
        follows = since + RECENT <= now < since + 2 * RECENT
        before, seen_before = (fastest, seen) if follows else (0.0, 0)
        since, seen = now, 0
    fastest, seen = min(trip, fastest) if seen else trip, min(seen + 1, MAX_TRIPS)
    _TRIPS.pack_into(state, _HEAD.size, since, fastest, seen, before, seen_before)
    return min(fastest, before) if seen_before else fastest, seen + seen_before


def _is_trip(fastest: float, count: int) -> bool:
    return 0 <= fastest <= TOO_FAR and 0 <= count <= MAX_TRIPS


def _certain(fastest: float, seen: int) -> float:
    """How long a round trip takes at least; too little does no harm, too much would."""
    if seen < MANY:
        # On a busy machine the first ones may all be slow, and a later one not.
        return max(0.0, fastest - DOUBT) if seen >= FEW else 0.0
    return fastest


def _alive(process: int) -> bool:
    if os.name == "nt":  # no cheap and safe way to ask there; the slot's own time limit holds
        return True
    if not 0 < process < 2**31:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
