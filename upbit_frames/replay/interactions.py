"""Requests with their responses, and the log of them that an open cassette keeps in memory. No I/O."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from upbit_frames.replay.matching import RequestKey, region_of

__all__ = ["Interaction", "InteractionLog", "without_known"]


@dataclass
class Interaction:
    """One request and its response, as they stand in a cassette file.

    Attributes
    ----------
    uri : str
    status : int
    headers : dict of str to list of str
        Of the response.
    body : bytes
        Decompressed.
    request_headers : dict
    """

    uri: str
    status: int
    headers: dict[str, list[str]]
    body: bytes
    request_headers: dict[str, Any]

    @cached_property
    def key(self) -> RequestKey:
        """What identifies the request."""
        return RequestKey.parse(self.uri, region_of(self.uri))


class InteractionLog:
    """The interactions of an open cassette; safe to use from any thread.

    Parameters
    ----------
    loaded : list of Interaction
        Read from the file.
    replays : bool
        Whether they are replayed.
    protected : bool
        Whether nothing may be recorded.

    Attributes
    ----------
    recorded : list of Interaction
    origins, regions : set of str
        Of what was recorded.
    """

    def __init__(self, loaded: list[Interaction], *, replays: bool, protected: bool) -> None:
        self.loaded = loaded
        self.protected = protected
        self.recorded: list[Interaction] = []
        self.origins: set[str] = set()
        self.regions: set[str] = set()
        self.replayed: Counter[int] = Counter()  # by position in ``loaded``
        self.positions: dict[RequestKey, list[int]] = {}
        self._taken: Counter[RequestKey] = Counter()
        self._lock = threading.Lock()
        if replays:
            for position, interaction in enumerate(loaded):
                self.positions.setdefault(interaction.key, []).append(position)

    def take(self, key: RequestKey) -> Interaction | None:
        """Return the next recorded interaction of a request: each once, in order; None when there is none left.

        In a protected log the last one is repeated: time stands still in replay, so the same request
        has the same response.
        """
        with self._lock:
            positions, taken = self.positions.get(key, []), self._taken[key]
            if taken >= len(positions) and not (positions and self.protected):
                return None
            position = positions[min(taken, len(positions) - 1)]
            self._taken[key] += 1
            self.replayed[position] += 1
            return self.loaded[position]

    def has_path(self, path: str) -> bool:
        """Return whether a request of that path can be replayed."""
        return any(key.path == path for key in self.positions)

    def add(self, interaction: Interaction, origin: str, region: str) -> None:
        """Keep an interaction that was sent to the exchange."""
        with self._lock:
            self.recorded.append(interaction)
            self.origins.add(origin)
            self.regions.add(region)

    def discard(self) -> None:
        """Forget what was recorded."""
        with self._lock:
            self.recorded.clear()

    def unplayed(self) -> list[Interaction]:
        """Return the interactions that could be replayed and were not."""
        with self._lock:
            positions = [position for places in self.positions.values() for position in places]
            return [self.loaded[position] for position in positions if not self.replayed[position]]


def without_known(
    recorded: list[Interaction], before: list[Interaction], after: list[Interaction]
) -> list[Interaction]:
    """Return what of ``recorded`` is not among the interactions that ``after`` has beyond ``before``.

    Two recordings of one moment hold the same response to the same request, so one copy is enough.
    """
    added = Counter(interaction.key for interaction in after) - Counter(interaction.key for interaction in before)
    kept = []
    for interaction in recorded:
        if added[interaction.key] > 0:
            added[interaction.key] -= 1
        else:
            kept.append(interaction)
    return kept
