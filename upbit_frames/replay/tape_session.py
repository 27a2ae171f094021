"""What records and plays a tape: put in the place of every stream's connection."""

from __future__ import annotations

import contextlib
import difflib
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from pathlib import Path

from upbit_frames.core.arguments import number
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Span
from upbit_frames.core.topics import Topic
from upbit_frames.core.urls import redacted
from upbit_frames.errors import NotRecorded, StoreError, UpbitFramesError
from upbit_frames.exchange.transport.reconnecting import EndOfTape, Wire
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.hub import LINGER
from upbit_frames.live.hub.registry import Source
from upbit_frames.replay.sharing import Signature, alone, signature
from upbit_frames.replay.tape_file import Entry, TapeWriter, covers, read_tape, text_of
from upbit_frames.replay.tape_wire import Player, RecordedWire, TapeClock, TapeServerTime
from upbit_frames.replay.untrusted import exists
from upbit_frames.runtime.clock import Clock, SystemClock

__all__ = ["Deck", "Loaded", "speed_of"]

clock_of_recordings: Clock = SystemClock()
"""What time it is for a recording; a stand-in exchange may put its own here, and say how fast it goes."""


def speed_of(speed: float) -> float:
    """The speed at which a tape is played, checked."""
    return number("speed", speed, 0, above=True, infinite=True, suggestion="1 is real time, 2 is twice as fast")


class Loaded:
    """A tape in memory.

    Parameters
    ----------
    path : pathlib.Path

    Attributes
    ----------
    head : Head
    connections : dict of int to list of Entry
    joins : list of (int, int, Entry)
        Every stream that began: its connection, its place there, and what it wanted.
    frames : int
    complete : bool
        Whether the recording was ended in order.
    last : int
        The highest number of a connection.

    Raises
    ------
    CorruptFile
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head, entries = read_tape(path)
        self.connections: dict[int, list[Entry]] = {}
        self.joins: list[tuple[int, int, Entry]] = []
        self.frames = 0
        self.complete = False
        current: set[int] = set()
        for one in entries:
            self.complete = one.kind == "end"
            if self.complete:
                for on in current:
                    self.connections[on].append(one)
                current = set()
                continue
            current.add(one.on)
            track = self.connections.setdefault(one.on, [])
            if one.kind == "join":
                self.joins.append((one.on, len(track), one))
            self.frames += one.kind == "frame"
            track.append(one)
        self.last = max(self.connections, default=0)

    def started(self) -> int | None:
        """The exchange's time when the first connection was opened, microseconds; None where that is not known."""
        for track in self.connections.values():
            for one in track:
                if one.kind == "open" and one.offset is not None:
                    return one.at + one.offset
        return None

    def streams(self) -> list[str]:
        """What was listened to, a line for each market of each stream."""
        return [text_of(topic) for _, _, join in self.joins for topic in join.topics]


class Deck:
    """Plays what is on a tape, and records what is not, as far as its mode allows.

    Parameters
    ----------
    path : pathlib.Path
        Of the tape.
    name : str
        For messages.
    mode : {"none", "once", "new_episodes", "all"}
    protected : bool
        Whether nothing may be recorded.
    speed : float
        Tape seconds in a real one; infinity for as fast as rows are taken.
    exchange_time : coroutine function (Config) -> int
        Asks the exchange what time it is.
    mends : bool
        Whether REST answers are recorded and played too, so that a gap can be repaired in replay.
    checks : callable, optional
        Whether the exchange is asked for its markets before a stream begins; default: while recording.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        mode: str,
        protected: bool,
        speed: float = inf,
        exchange_time: Callable[[Config], Awaitable[int]],
        mends: bool,
        checks: Callable[[], bool] | None = None,
    ) -> None:
        self.path = path
        self.name = name
        self.protected = protected
        self.speed = speed
        self.mends = mends
        self.clock = clock_of_recordings
        self.checks = checks or (lambda: not protected)
        self.loaded: Loaded | None = None
        self.played: Counter[int] = Counter()
        self.recorded = 0
        self._exchange_time = exchange_time
        self._offset: int | None = None
        self._writer: TapeWriter | None = None
        self._replays = mode != "all"
        self._lines = 0
        self._seen: Signature = None
        self._discarded = False
        self.over = False
        self._lock = threading.Lock()

    def load(self) -> None:
        """Read the tape, if there is one to be played.

        Raises
        ------
        CorruptFile
        """
        self._seen = signature(self.path)
        if self._replays and exists(self.path):
            self.loaded = Loaded(self.path)
            self._lines = self.loaded.last

    # --- for the hubs ---------------------------------------------------------------------------

    @property
    def shared(self) -> bool:
        """Whether streams share connections: while recording as ever; in replay each plays its own."""
        return self.loaded is None and not self.protected

    def source(self, config: Config, live: Source) -> Source:
        """Where the frames of one more hub come from."""
        clock = TapeClock(self.clock)
        line = _Line(self, config, live, clock, TapeServerTime(clock))
        return Source(
            line, line if not self.mends else live.mender, clock, line.server_time,
            tempo=clock, joined=line.joined, linger=LINGER if self.shared else 0.0,
        )  # fmt: skip

    # --- playing --------------------------------------------------------------------------------

    def find(self, region: str, topics: frozenset[Topic]) -> int | None:
        """The recorded stream to play: each once, in order, and then the last one again.

        The same markets come first; else one in which they were among others.
        """
        if self.loaded is None:
            return None
        fits = [
            number for number, (_, _, join) in enumerate(self.loaded.joins)
            if join.region == region and covers(join.topics, topics)
        ]  # fmt: skip
        same = [number for number in fits if frozenset(self.loaded.joins[number][2].topics) == topics]
        with self._lock:
            fresh = next((number for number in (*same, *fits) if not self.played[number]), None)
            if fresh is None and (not fits or not self.protected):
                return None
            chosen = fresh if fresh is not None else (same or fits)[-1]
            self.played[chosen] += 1
            return chosen

    def missing(self, topics: Iterable[Topic]) -> NotRecorded:
        """The error for a stream that was never recorded."""
        there = sorted(set(self.loaded.streams())) if self.loaded is not None else []
        asked = sorted(map(text_of, topics))
        absent = [one for one in asked if one not in there] or asked
        near = max(there, key=lambda one: difflib.SequenceMatcher(None, absent[0], one).ratio(), default=None)
        if self.loaded is None:
            told = f"there is no tape {self.name!r}"
        elif absent == asked and len(asked) > 1 and set(asked) <= set(there):
            told = f"the tape {self.name!r} does not hold these markets in one stream"
        else:
            told = f"the tape {self.name!r} holds no {absent[0]}"
        return NotRecorded(
            told,
            suggestion="ask what was recorded, or record it with mode='new_episodes', or 'all' to start afresh",
            request=", ".join(absent),
            nearest=near,
            tape=str(self.path),
        )

    def unplayed(self) -> list[str]:
        """Recorded streams that nobody has asked for."""
        joins = self.loaded.joins if self.loaded is not None else []
        left = [join for number, (_, _, join) in enumerate(joins) if not self.played[number]]
        return [", ".join(map(text_of, join.topics)) for join in left]

    # --- recording ------------------------------------------------------------------------------

    def new_line(self) -> int:
        """A number for one more connection."""
        self._lines += 1
        return self._lines

    def writer(self, config: Config) -> TapeWriter:
        """What is written to; made when the first stream begins."""
        if self._writer is None:
            kept = self.path if self.loaded is not None else None
            self._writer = TapeWriter(self.path, redacted(config.ws_url), self.clock.now(), kept)
        return self._writer

    async def offset(self, config: Config) -> int | None:
        """The exchange's time minus ours, asked once; None where it cannot be learnt."""
        if self._offset is None:
            with contextlib.suppress(UpbitFramesError):
                told = await self._exchange_time(config)
                self._offset = told - self.clock.now()
        return self._offset

    def discard(self) -> None:
        """Keep nothing of what was recorded."""
        self._discarded = True

    def finish(self, *, keep: bool) -> bool:
        """End the recording, once no stream is open; whether there is something to settle.

        Raises
        ------
        StoreError
            If it cannot be written; the old tape is as it was then.
        """
        self.over = True
        if self._writer is None:
            return False
        if keep and not self._discarded:
            try:
                self._writer.finish(self.clock.now())
            except BaseException:
                self.drop()
                raise
            return True
        self.drop()
        return False

    def settle(self) -> None:
        """Put the finished tape into its place.

        Raises
        ------
        StoreError
            If it cannot be written, or another process has recorded there since the tape was opened.
        """
        if self._writer is None:
            return
        with alone(self.path):
            if signature(self.path) != self._seen:
                self.drop()
                raise StoreError(
                    f"the tape {self.name!r} was recorded by another process meanwhile; this recording was not kept",
                    suggestion="record in one process (pytest -n 0), or give each test a tape of its own",
                    path=str(self.path),
                )
            self._writer.settle()
            self._writer = None

    def drop(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None


class _Line:
    """The connections of one hub, one after the other: dialer, and mender where the tape has no REST."""

    def __init__(self, deck: Deck, config: Config, live: Source, clock: TapeClock, server_time: TapeServerTime) -> None:
        self.server_time = server_time
        self._deck = deck
        self._config = config
        self._live = live
        self._clock = clock
        self._player: Player | None = None
        self._on = 0

    @property
    def live(self) -> bool:
        """Whether the exchange is to be asked for the markets first."""
        return self._deck.checks()

    def joined(self, topics: frozenset[Topic], known: frozenset[Topic]) -> None:
        """A stream begins: find it on the tape, or note that it is recorded.

        Raises
        ------
        NotRecorded
            If it is not there and may not be recorded.
        """
        deck = self._deck
        if self._on:
            return self._note_join(topics, known)
        chosen = deck.find(self._config.region, topics)
        if chosen is not None:
            assert deck.loaded is not None
            on, place, _ = deck.loaded.joins[chosen]
            if self._player is None:
                self._player = Player(deck.loaded.connections[on], place, self._clock, self.server_time, deck.speed)
        elif deck.protected or self._player is not None:
            raise deck.missing(topics)
        else:
            self._on = deck.new_line()
            self._note_join(topics, known)

    def _note_join(self, topics: frozenset[Topic], known: frozenset[Topic]) -> None:
        facts = {"on": self._on} if self._on != 1 else {}
        at = self._clock.note(self._clock.real.now())
        self._deck.writer(self._config).join(at, topics, known, self._config.region, **facts)
        self._deck.recorded += 1

    async def dial(self) -> Wire:
        """The next connection, recorded or to be recorded."""
        if self._player is not None:
            return await self._player.dial()
        if not self._on:
            raise EndOfTape
        offset = self.server_time.told = await self._deck.offset(self._config)
        wire = await self._live.dialer.dial()
        self._note("open", 1, None, **({} if offset is None else {"offset": offset}))
        return RecordedWire(wire, self._note)

    def _note(self, kind: str, value: object, at: int | None, **facts: int) -> int:
        moment = self._clock.real.now() if at is None else at
        if self._deck.over:
            return moment
        if kind != "sent":
            self._clock.note(moment)
        if self._on != 1:
            facts["on"] = self._on
        writer = self._deck.writer(self._config)
        if kind == "frame":
            assert isinstance(value, bytes)
            writer.frame(moment, value, **facts)
        else:
            writer.line(moment, kind, value, **facts)
        return moment

    async def fetch(self, type_: str, market: str, span: Span) -> list[Row]:
        """Repair a gap: over REST while recording; a tape alone has no answers of REST."""
        if self._player is None:
            return await self._live.mender.fetch(type_, market, span)
        raise NotRecorded(
            "a tape alone holds no answers of REST", suggestion="record the stream inside uf.cassette",
            request=f"{type_} {market}",
        )  # fmt: skip
