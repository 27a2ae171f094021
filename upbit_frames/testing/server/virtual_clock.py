"""The stand-in exchange's own clock: it stands still, is moved, or runs at any speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from upbit_frames.core.intervals import to_micros

__all__ = ["DEFAULT_NOW", "VirtualClock", "moment"]

DEFAULT_NOW = "2026-03-01T03:30:00Z"
_SECOND = 1_000_000


def moment(when: int | str | datetime) -> int:
    """Return the microseconds since the epoch of an int (unchanged), an ISO text or a datetime.

    A text or datetime without a zone is read as UTC.

    Examples
    --------
    >>> moment("1970-01-01T00:00:01Z")
    1000000
    """
    if isinstance(when, int):
        return when
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    return to_micros(when if when.tzinfo else when.replace(tzinfo=UTC))


class VirtualClock:
    """What time it is on the stand-in exchange; safe to use from any thread.

    Parameters
    ----------
    now : int or str or datetime
        Where it stands at first; see :func:`moment`.

    Examples
    --------
    >>> clock = VirtualClock("2026-03-01T00:00:00Z")
    >>> clock.advance(60)
    >>> clock.iso()
    '2026-03-01T00:01:00Z'
    """

    def __init__(self, now: int | str | datetime = DEFAULT_NOW) -> None:
        self._lock = threading.Lock()
        self._base = moment(now)
        self._since = time.monotonic()
        self._speed = 0.0
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> int:
        """Return microseconds since the epoch, UTC."""
        with self._lock:
            return self._read()

    def _read(self) -> int:
        if not self._speed:
            return self._base
        return self._base + int((time.monotonic() - self._since) * self._speed * _SECOND)

    @property
    def speed(self) -> float:
        """Virtual seconds per real second; 0 while it stands still."""
        return self._speed

    def iso(self) -> str:
        """Return the time as text, whole seconds."""
        return datetime.fromtimestamp(self.now() // _SECOND, UTC).isoformat().replace("+00:00", "Z")

    def advance(self, seconds: float) -> None:
        """Move it by that much; backwards is possible, as a corrected clock would."""
        self._move(lambda now: now + round(seconds * _SECOND))

    def set(self, when: int | str | datetime) -> None:
        """Put it to a moment."""
        self._move(lambda _: moment(when))

    def run(self, speed: float = 1.0) -> None:
        """Let it run from where it is; 1.0 is real time."""
        self._move(lambda now: now, speed)

    def freeze(self) -> None:
        """Stop it where it is."""
        self.run(0.0)

    def _move(self, to: Callable[[int], int], speed: float | None = None) -> None:
        with self._lock:
            self._base, self._since = to(self._read()), time.monotonic()
            self._speed = self._speed if speed is None else float(speed)
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call a function after every step or change of speed, in the thread that caused it.

        Returns a function that ends this.
        """
        with self._lock:
            self._listeners.append(listener)

        def forget() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return forget
