"""Who listens to what, and what each row is worth to them (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from upbit_frames.core.topics import Key, Topic, merged
from upbit_frames.errors import UpbitFramesError
from upbit_frames.exchange.wire.messages import Row, type_of
from upbit_frames.live.hub.sequencer import Gap, Line
from upbit_frames.live.hub.subscriber import Listener

__all__ = ["Audience", "Torn"]


class Torn(NamedTuple):
    """A gap that has to be fetched."""

    key: Key
    line: Line
    gap: Gap


class Audience:
    """The listeners of one connection, and one line for each thing that somebody listens to.

    Attributes
    ----------
    listeners : list of Listener
    lines : dict of Key to Line
    rows : int
        How many came, wanted or not.
    """

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.rows = 0
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
            self._forget(listener, topic)

    def _forget(self, listener: Listener, topic: Topic) -> None:
        others = self._by_key[topic.key]
        others.remove(listener)
        if not others:
            del self._by_key[topic.key], self.lines[topic.key]
            self._trusted.discard(topic.key)
            self._told.pop(topic.key, None)

    def end(self, key: Key, error: UpbitFramesError) -> list[Listener]:
        """End one thing for everybody, after what waits was handed out; the listeners that want nothing else."""
        line = self.lines[key]
        self.hand_out(key, line, line.surrender(error.message))
        done = []
        for listener in list(self._by_key[key]):
            ended = [topic for topic in listener.topics if topic.key == key]
            if len(ended) == len(listener.topics):
                done.append(listener)
                continue
            for topic in ended:
                self._forget(listener, topic)
            listener.topics -= set(ended)
            listener.ended[line.market] = error
        return done

    def suspects(self) -> list[Listener]:
        """Whoever wants something of which nothing has ever come."""
        return [one for one in self.listeners if any(topic.key not in self._trusted for topic in one.topics)]

    def whole(self, key: Key, epoch: int) -> bool:
        """Whether the connection has told the state of this in that epoch."""
        line = self.lines.get(key)
        return line is not None and self._told.get(key) == epoch and not line.broken

    def believed(self, key: Key, clock: int | None) -> bool:
        """Whether the newest row is not from far ahead of the connection's clock."""
        line = self.lines.get(key)
        return line is not None and (line.last is None or not line.rows.ahead(line.last, clock))

    def heard(self, rows: Iterable[Row], epoch: int, offset: int | None = None) -> list[Torn]:
        """Hand out rows in the order in which they arrived; the gaps that they made known.

        ``offset`` is the connection's clock against ours, microseconds; see :class:`ConnectionClock`.
        """
        rows = list(rows)
        self.rows += len(rows)
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
            fresh, gap = line.row(row, row.received_at, None if offset is None else row.received_at + offset)
            if line.rows.dropped:
                self._note_dropped(key, line, row.received_at)
            if fresh:
                for listener in self._by_key[key]:
                    ready.setdefault(listener, []).extend(fresh)
            if gap is not None:
                torn.append(Torn(key, line, gap))
        for listener, fresh in ready.items():
            listener.push(fresh)
        return torn

    def _note_dropped(self, key: Key, line: Line, at: int) -> None:
        """Tell the listeners of rows that were left out."""
        number = line.rows.dropped
        gap = line.dropped(at)
        for listener in self._by_key[key]:
            listener.dropped += number
            if gap is not None:
                listener.gaps.append(gap)

    def broke(self, at: int, reason: str, keys: Iterable[Key] | None = None) -> None:
        """The connection broke, or these lost something: each line that was whole has a gap now."""
        for key in list(self.lines) if keys is None else keys:
            gap = self.lines[key].broke(at, reason)
            if gap is not None:
                for listener in self._by_key[key]:
                    listener.gaps.append(gap)

    def count_odd(self, keys: Iterable[Key]) -> None:
        """A frame of these was left out."""
        for listener in {one for key in keys for one in self._by_key[key]}:
            listener.odd += 1

    def silent(self, at: int, now: int, keys: Iterable[Key] | None = None) -> list[Torn]:
        """Nothing came although all of this is subscribed again: the gaps that have to be fetched."""
        torn = []
        for key in list(self.lines) if keys is None else keys:
            gap = self.lines[key].silent(at, now)
            if gap is not None:
                torn.append(Torn(key, self.lines[key], gap))
        return torn

    def cut_off(self, listener: Listener, at: int, now: int) -> list[Torn]:
        """A listener wants no more while lines are broken: the gaps that have to be fetched for it, up to now."""
        torn = []
        for key in {topic.key for topic in listener.topics}:
            line = self.lines.get(key)
            if line is None or line.gap is None:
                continue
            reason = line.gap.reason
            gap = line.cut_off(at, now)
            if gap is not None:
                torn.append(Torn(key, line, gap))
            again = line.broke(at, reason)  # for the others it goes on
            for other in self._by_key[key]:
                if other is not listener and again is not None:
                    other.gaps.append(again)
        return torn

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
