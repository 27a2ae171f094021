"""What happens to a frame that is not what the API promises: one policy, however a stream is read.

Collecting, iterating, a background feed and a follow all go by it:

- The frame is left out, counted (``stats["odd_frames"]``), and logged once for each market and field.
- It is a gap of its market, with the reason. What it may have held of trades and candles is fetched
  over REST as after a break; the next ticker or order book is the whole state anyway.
- ``IN_A_ROW`` of them without a good frame between, or ``MOST`` within ``SPAN`` seconds, end that market
  for everybody who listens to it. What came before is handed out, and the other markets of the same
  stream go on. A stream of which no market is left has ended with the error: iterating raises it
  after the last batch, a feed is closed and has it in ``error``, and what was collected is returned
  with a warning.
- A frame that does not say its market may have been of any market of its type, so each has a gap.
  After ``IN_A_ROW`` of them the connection is given up and opened anew.
- Frames of types that are not known, and of markets that were not asked for, are only logged.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field

import msgspec

from upbit_frames.core.topics import TYPES, Key
from upbit_frames.live.hub.fanout import Audience
from upbit_frames.live.hub.frame_buffer import OddFrame

__all__ = ["OddFrames", "Verdict"]

log = logging.getLogger("upbit_frames.live")

IN_A_ROW = 3
MOST = 20
SPAN = 60_000_000  # microseconds
MOST_LOGGED = 1_000  # different things that are logged once


@dataclass
class Verdict:
    """What an odd frame leads to.

    Attributes
    ----------
    broken, ended : list of Key
        What has a gap now; what is over.
    abandon : bool
        Whether the connection is to be given up.
    """

    broken: list[Key] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)
    abandon: bool = False


@dataclass
class _Record:
    """Odd frames of one market, or of none."""

    in_a_row: int = 0
    rows: int = 0  # good ones at the time of the last
    times: deque[int] = field(default_factory=lambda: deque(maxlen=MOST))

    def add(self, at: int, rows: int) -> bool:
        """One more; whether it is too much."""
        self.in_a_row = self.in_a_row + 1 if rows == self.rows else 1
        self.rows = rows
        self.times.append(at)
        return self.in_a_row >= IN_A_ROW or (len(self.times) == MOST and at - self.times[0] < SPAN)


class OddFrames:
    """Judges frames by the policy of this module.

    Parameters
    ----------
    audience : Audience
    """

    def __init__(self, audience: Audience) -> None:
        self.count = 0
        self._audience = audience
        self._records: dict[Key | None, _Record] = {}
        self._logged: set[tuple[object, ...]] = set()

    def judge(self, odd: OddFrame) -> Verdict:
        """What is to be done about something odd, which is counted."""
        error, frame, types, codes, at = odd
        self.count += 1
        if types and not any(one in TYPES for one in types):
            for name in types:
                self._log_once(("type", name), f"frames of the type {name!r} are not known and left out")
            return Verdict()
        if not types and _is_object(frame):
            self._log_once(("object",), f"a frame that nobody understands was left out: {error.sample}")
            return Verdict()
        lines = self._audience.lines
        keys = [key for key in lines if (not types or key[0] in types) and (not codes or key[1] in codes)]
        what = " ".join([*sorted(types)[:3], *sorted(codes)[:3]]) or "unknown"
        self._log_once((what, error.path), f"an odd frame ({what}) was left out: {error.message}")
        verdict = Verdict(keys)
        if not codes:
            rows = self._audience.rows
            if self._records.setdefault(None, _Record()).add(at, rows):
                del self._records[None]
                verdict.abandon = True
            return verdict
        for key in keys:
            if self._records.setdefault(key, _Record()).add(at, lines[key].heard):
                del self._records[key]
                verdict.ended.append(key)
        return verdict

    def _log_once(self, what: tuple[object, ...], text: str) -> None:
        if what not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add(what)
            log.warning("%s", text)


def _is_object(frame: bytes) -> bool:
    """Whether a frame is a JSON object, if of an unknown kind."""
    try:
        return isinstance(msgspec.json.decode(frame), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return False
