"""The policy for frames that are not what the API promises, the same for every kind of reader.

- An invalid frame is left out, counted (``stats["odd_frames"]``), and logged once per market and field.
- It opens a gap of its market, with the reason. Trades and candles that it may have contained are
  backfilled over REST as after a disconnect; the next ticker or order book is the full state anyway.
- ``IN_A_ROW`` invalid frames without a valid one between them, or ``LIMIT`` within ``SPAN``, end that
  market for all subscribers. Rows received before are delivered, and the other markets of the stream
  go on. A stream without a remaining market has ended with the error: iterating raises it after the
  last batch, a feed is closed and has it in ``error``, a collected frame is returned with a warning.
- A frame without a readable market may have been of any market of its type, so each of them has a
  gap. After ``IN_A_ROW`` such frames the connection is replaced.
- A frame stamped far ahead of the exchange's time is valid and delivered, but its time bounds nothing: it
  ends no gap, begins none, and makes no other row old. What is far ahead is decided by two signs that agree
  (:mod:`upbit_frames.live.hub.connection_clock`). If a wrong time was believed nevertheless, the gap after it
  begins at the newest earlier row, and is reported as not repaired where that cannot be decided.
- Frames of unknown types, and of markets that are not subscribed, are only logged.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field

import msgspec

from upbit_frames.core.topics import TYPES, Key
from upbit_frames.live.hub.fanout import FanOut
from upbit_frames.live.hub.frame_buffer import InvalidFrame

__all__ = ["InvalidFrames", "Verdict"]

log = logging.getLogger("upbit_frames.live")

IN_A_ROW = 3
LIMIT = 20
SPAN = 60_000_000  # microseconds
MOST_LOGGED = 1_000  # different messages, each logged once


@dataclass
class Verdict:
    """The consequences of an invalid frame.

    Attributes
    ----------
    lossy, ended : list of Key
        Topics that have a gap now; topics that end.
    abandon : bool
        Whether the connection is replaced.
    """

    lossy: list[Key] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)
    abandon: bool = False


@dataclass
class _Record:
    """Invalid frames of one market, or of an unknown one."""

    in_a_row: int = 0
    rows: int = 0  # valid rows at the time of the last
    times: deque[int] = field(default_factory=lambda: deque(maxlen=LIMIT))

    def add(self, at: int, rows: int) -> bool:
        """Count an invalid frame; return whether there are too many."""
        self.in_a_row = self.in_a_row + 1 if rows == self.rows else 1
        self.rows = rows
        self.times.append(at)
        return self.in_a_row >= IN_A_ROW or (len(self.times) == LIMIT and at - self.times[0] < SPAN)


class InvalidFrames:
    """Judges invalid frames by the policy of this module.

    Parameters
    ----------
    fan_out : FanOut
    """

    def __init__(self, fan_out: FanOut) -> None:
        self.count = 0
        self._fan_out = fan_out
        self._records: dict[Key | None, _Record] = {}
        self._logged: set[tuple[object, ...]] = set()

    def judge(self, invalid: InvalidFrame) -> Verdict:
        """Count an invalid frame and return its consequences."""
        error, frame, types, codes, at = invalid
        self.count += 1
        if types and not types & set(TYPES):
            for name in types:
                self._log_once(("type", name), f"frames of the unknown type {name!r} are left out")
            return Verdict()
        if not types and _is_object(frame):
            self._log_once(("object",), f"a frame of an unknown kind was left out: {error.sample}")
            return Verdict()
        sequencers = self._fan_out.sequencers
        keys = [key for key in sequencers if (not types or key[0] in types) and (not codes or key[1] in codes)]
        subject = " ".join([*sorted(types)[:3], *sorted(codes)[:3]]) or "unknown"
        self._log_once((subject, error.path), f"an invalid frame ({subject}) was left out: {error.message}")
        verdict = Verdict(keys)
        if not codes:
            rows = self._fan_out.rows
            if self._records.setdefault(None, _Record()).add(at, rows):
                del self._records[None]
                verdict.abandon = True
            return verdict
        for key in keys:
            if self._records.setdefault(key, _Record()).add(at, sequencers[key].received):
                del self._records[key]
                verdict.ended.append(key)
        return verdict

    def _log_once(self, key: tuple[object, ...], text: str) -> None:
        if key not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add(key)
            log.warning("%s", text)


def _is_object(frame: bytes) -> bool:
    """Return whether a frame is a JSON object."""
    try:
        return isinstance(msgspec.json.decode(frame), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return False
