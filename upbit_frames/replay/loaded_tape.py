"""A tape in memory: its connections, the streams that began on them, and which of them serves a request."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from upbit_frames.core.topics import Topic
from upbit_frames.replay.tape_file import Entry, read_tape

__all__ = ["LoadedTape", "covers", "nearest_stream", "topic_text"]


def topic_text(topic: Topic) -> str:
    """Return a topic in one line.

    Examples
    --------
    >>> topic_text(Topic("trade", "KRW-BTC")), topic_text(Topic("orderbook", "KRW-BTC", 10000.0, 5))
    ('stream trade KRW-BTC', 'stream orderbook KRW-BTC level=10000 depth=5')
    """
    level = f" level={topic.level:g}" if topic.level else ""
    depth = f" depth={topic.depth}" if topic.type == "orderbook" and topic.depth != 30 else ""
    return f"stream {topic.type} {topic.market}{level}{depth}"


def covers(recorded: Iterable[Topic], wanted: Iterable[Topic]) -> bool:
    """Return whether every wanted topic is among the recorded ones, with at least the wanted depth."""
    depths = {topic.key: topic.depth for topic in recorded}
    return all(depths.get(topic.key, 0) >= topic.depth for topic in wanted)


def nearest_stream(text: str, recorded: Iterable[str]) -> str | None:
    """Return the recorded stream whose text is most similar; None if there is none."""
    return max(recorded, key=lambda other: difflib.SequenceMatcher(None, text, other).ratio(), default=None)


class LoadedTape:
    """A tape in memory.

    Parameters
    ----------
    path : pathlib.Path

    Attributes
    ----------
    header : Header
    connections : dict of int to list of Entry
    joins : list of (int, int, Entry)
        Every stream that began: its connection, its position there, and its entry.
    frames : int
        Count.
    complete : bool
        Whether the recording was closed in order.
    last : int
        The highest number of a connection.

    Raises
    ------
    CorruptFile
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header, entries = read_tape(path)
        self.connections: dict[int, list[Entry]] = {}
        self.joins: list[tuple[int, int, Entry]] = []
        self.frames = 0
        self.complete = False
        unfinished: set[int] = set()
        for entry in entries:
            self.complete = entry.kind == "end"
            if self.complete:
                for on in unfinished:
                    self.connections[on].append(entry)
                unfinished = set()
                continue
            unfinished.add(entry.on)
            connection = self.connections.setdefault(entry.on, [])
            if entry.kind == "join":
                self.joins.append((entry.on, len(connection), entry))
            self.frames += entry.kind == "frame"
            connection.append(entry)
        self.last = max(self.connections, default=0)

    def started(self) -> int | None:
        """Return the exchange's time when the first connection was opened, microseconds; None if unknown."""
        for connection in self.connections.values():
            for entry in connection:
                if entry.kind == "open" and entry.offset is not None:
                    return entry.at + entry.offset
        return None

    def streams(self) -> list[str]:
        """Return every topic of every stream, as text."""
        return [topic_text(topic) for _, _, join in self.joins for topic in join.topics]

    def choose(self, region: str, topics: frozenset[Topic], played: Counter[int], *, repeats: bool) -> int | None:
        """Return the position in ``joins`` of the stream to replay: each once, in order; None if none is left.

        A stream of exactly these topics comes before one in which they were among others.

        Parameters
        ----------
        region : str
        topics : frozenset of Topic
        played : Counter
            How often each was replayed already.
        repeats : bool
            Whether the last one is replayed again when all have been.
        """
        covering = [
            position for position, (_, _, join) in enumerate(self.joins)
            if join.region == region and covers(join.topics, topics)
        ]  # fmt: skip
        same = [position for position in covering if frozenset(self.joins[position][2].topics) == topics]
        unplayed = next((position for position in (*same, *covering) if not played[position]), None)
        if unplayed is not None or not covering or not repeats:
            return unplayed
        return (same or covering)[-1]
