"""What can go wrong on the stand-in's WebSocket, besides what is done to it by hand."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["StreamFaults"]


@dataclass
class StreamFaults:
    """Faults of the streams; attributes may be changed at any time.

    Attributes
    ----------
    lifetime : tuple of (float, float), optional
        Every connection breaks after so many virtual seconds, random between the two, without a
        close frame. For a connection that is open already the time counts from when it was opened.
    refuse : list of int
        HTTP statuses with which the next upgrades are refused, in order.
    errors : list of str
        Names of errors with which the next requests are answered, then the socket is closed.
    late, repeat : float
        The chance of a frame to come after up to five later ones, or to come twice.
    replace : list of bytes
        What is sent in the place of the next frames of data.
    edit : callable, optional
        Given each frame of data; what it returns is sent in its place.
    silent : bool
        Nothing is sent any more, but pings are answered.
    seed : int
        Of the chances.
    """

    lifetime: tuple[float, float] | None = None
    refuse: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    late: float = 0.0
    repeat: float = 0.0
    replace: list[bytes] = field(default_factory=list)
    edit: Callable[[bytes], bytes] | None = None
    silent: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def life(self) -> float:
        """Return how many seconds a connection lives, where :attr:`lifetime` is set; between 0 and 1 of its range."""
        return self._random.random()

    def disturbed(self, frames: Iterator[bytes], held: deque[tuple[int, bytes]]) -> Iterator[bytes]:
        """Return the frames as they are sent; ``held`` keeps delayed frames of a connection."""
        for frame in frames:
            if self.replace:
                frame = self.replace.pop(0)
            elif self.edit is not None:
                frame = self.edit(frame)
            if self.late and self._random.random() < self.late:
                held.append((self._random.randint(1, 5), frame))
            else:
                yield frame
                if self.repeat and self._random.random() < self.repeat:
                    yield frame
            due = [frame for left, frame in held if left <= 1]
            held.extend([(left - 1, frame) for left, frame in (held.popleft() for _ in range(len(held))) if left > 1])
            yield from due
