"""Who listens to what, and what each row is worth to them (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from upbit_frames.core.topics import Key, Topic, merged
from upbit_frames.exchange.wire.messages import Row, type_of
from upbit_frames.live.hub.sequencer import Gap, Line
from upbit_frames.live.hub.subscriber import Listener

__all__ = ["Audience", "Torn"]


class Torn(NamedTuple):
    """A gap that has to be fetched, and the row that came after it."""

    key: Key
    line: Line
    gap: Gap
    first: Row


class Audience:
    """The listeners of one connection, and one line for each thing that somebody listens to.

    Attributes
    ----------
    listeners : list of Listener
    lines : dict of Key to Line
    """

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.lines: dict[Key, Line] = {}
        self._by_key: dict[Key, list[Listener]] = {}
        self._trusted: set[Key] = set()
        self._told: dict[Key, int] = {}  # the last epoch in which anything came

    @property
    def topics(self) -> set[Topic]:
        """Everything that somebody wants."""
        return {topic for one in self.listeners for topic in one.topics}

    def knows(self, topic: Topic) -> bool:
        """Whether the others who listen have been told the state, and as deep as it is wanted."""
        line = self.lines.get(topic.key)
        if line is None or line.shown is None:
            return False
        others = [other for one in self._by_key[topic.key] for other in one.topics if other.key == topic.key]
        return merged([topic, *others]) == merged(others)

    def add(self, listener: Listener, known: Iterable[Topic], started: int) -> bool:
        """Tell a newcomer the state of what is known; whether something is wanted that nobody wanted before."""
        fresh = False
        for topic in listener.topics:
            line = self.lines.get(topic.key)
            if line is None:
                self.lines[topic.key] = Line(topic.type, topic.market, started)
                fresh = True
            elif topic in known:
                # The exchange sends the state only to whoever asks first; here it is known already.
                listener.push([_as_snapshot(line.shown)])
            self._by_key.setdefault(topic.key, []).append(listener)
        return fresh

    def remove(self, listener: Listener) -> None:
        """It listens no more, and what only it wanted is forgotten."""
        self.listeners.remove(listener)
        for topic in listener.topics:
            others = self._by_key[topic.key]
            others.remove(listener)
            if not others:
                del self._by_key[topic.key], self.lines[topic.key]
                self._trusted.discard(topic.key)
                self._told.pop(topic.key, None)

    def suspects(self) -> list[Listener]:
        """Whoever wants something of which nothing has ever come."""
        return [one for one in self.listeners if any(topic.key not in self._trusted for topic in one.topics)]

    def whole(self, key: Key, epoch: int) -> bool:
        """Whether the connection has told the state of this in that epoch."""
        line = self.lines.get(key)
        return line is not None and self._told.get(key) == epoch and not line.broken

    def heard(self, rows: Iterable[Row], epoch: int) -> list[Torn]:
        """Hand out rows in the order in which they arrived; the gaps that they made known."""
        ready: dict[Listener, list[Row]] = {}  # so that each listener is woken once
        torn = []
        for row in rows:
            level = getattr(row, "level", 0.0)
            key = (type_of(row), row.code, 0.0 if level is msgspec.UNSET else level)
            line = self.lines.get(key)
            if line is None:
                continue  # of a subscription that is over
            self._trusted.add(key)
            self._told[key] = epoch
            fresh, gap = line.row(row, row.received_at)
            if fresh:
                for listener in self._by_key[key]:
                    ready.setdefault(listener, []).extend(fresh)
            if gap is not None:
                torn.append(Torn(key, line, gap, row))
        for listener, fresh in ready.items():
            listener.push(fresh)
        return torn

    def broke(self, at: int, reason: str) -> None:
        """The connection broke: each line that was whole has a gap now."""
        for key, line in self.lines.items():
            gap = line.broke(at, reason)
            if gap is not None:
                for listener in self._by_key[key]:
                    listener.gaps.append(gap)

    def silent(self, at: int, now: int) -> list[Torn]:
        """Nothing came although everything is subscribed again: the gaps that have to be fetched."""
        found = ((key, line, line.silent(at, now)) for key, line in list(self.lines.items()))
        return [Torn(key, line, gap, None) for key, line, gap in found if gap is not None]

    def hand_out(self, key: Key, line: Line, rows: list[Row]) -> None:
        """Rows that had to be waited for."""
        # What was being mended for those who have left is of no use to who came later.
        if rows and self.lines.get(key) is line:
            for listener in self._by_key[key]:
                listener.push(rows)


def _as_snapshot(row: Row) -> Row:
    copy = msgspec.structs.replace(row)
    copy.stream_type = "SNAPSHOT"
    return copy
