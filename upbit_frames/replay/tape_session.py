"""The streams of one opened recording: replays what is on its tape, and records what is not."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path

from upbit_frames.core.arguments import number
from upbit_frames.core.config import Config
from upbit_frames.core.intervals import Span, from_micros
from upbit_frames.core.topics import Topic
from upbit_frames.core.urls import redacted
from upbit_frames.errors import NotRecorded, StoreError, UpbitFramesError
from upbit_frames.exchange.transport.reconnecting import EndOfTape, Wire
from upbit_frames.exchange.wire.messages import Row
from upbit_frames.live.hub.hub import LINGER
from upbit_frames.live.hub.substitution import Source
from upbit_frames.replay import tape_file
from upbit_frames.replay.clocks import TapeClock, fetch_exchange_time, recording_clock
from upbit_frames.replay.file_lock import FileVersion, exclusive, file_version
from upbit_frames.replay.loaded_tape import LoadedTape, nearest_stream, topic_text
from upbit_frames.replay.tape_wire import RecordingWire, TapePlayer
from upbit_frames.replay.tape_writer import TapeWriter
from upbit_frames.replay.untrusted import exists
from upbit_frames.runtime.caller import warn
from upbit_frames.runtime.fixed_clock import FixedServerTime

__all__ = ["TapeSession", "checked_speed"]

log = logging.getLogger("upbit_frames.replay")


def checked_speed(speed: float) -> float:
    """Return the speed of a replay, a positive number or infinity; raise QueryError otherwise."""
    return number("speed", speed, 0, above=True, infinite=True, suggestion="1 is real time, 2 is twice as fast")


class TapeSession:
    """Replays what is on a tape, and records what is not, as far as its mode allows.

    Parameters
    ----------
    path : pathlib.Path
        Of the tape.
    name : str
        For messages.
    replays : bool
        Whether the tape is replayed; else it is replaced.
    protected : bool
        Whether nothing may be recorded.
    speed : float
        Tape seconds in a real one; infinity for as fast as rows are taken.
    repairs : bool
        Whether REST responses are recorded and replayed too, so that a gap can be backfilled in replay.
    checks_markets : callable () -> bool, optional
        Whether the markets are fetched before a stream begins; default: while recording.

    Attributes
    ----------
    clock : Clock
        For what comes over a real connection.
    loaded : LoadedTape or None
    played : Counter
        Replays of each stream of the tape.
    recorded : int
        Streams recorded.
    closed : bool
        Whether the recording has ended; frames that come later are not written.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        replays: bool,
        protected: bool,
        speed: float = inf,
        repairs: bool,
        checks_markets: Callable[[], bool] | None = None,
    ) -> None:
        self.path = path
        self.name = name
        self.replays = replays
        self.protected = protected
        self.speed = speed
        self.repairs = repairs
        self.checks_markets = checks_markets or (lambda: not protected)
        self.clock = recording_clock()
        self.loaded: LoadedTape | None = None
        self.played: Counter[int] = Counter()
        self.recorded = 0
        self.closed = False
        self._connections = 0
        self._offset: int | None = None
        self._writer: TapeWriter | None = None
        self._full_at: int | None = None
        self._version: FileVersion = None
        self._discarded = False
        self._lock = threading.Lock()

    def load(self) -> None:
        """Read the tape, if there is one and it is replayed.

        Raises
        ------
        CorruptFile
        """
        self._version = file_version(self.path)
        if self.replays and exists(self.path):
            self.loaded = LoadedTape(self.path)
            self._connections = self.loaded.last

    # --- for the hubs -------------------------------------------------------------------------------

    @property
    def shared(self) -> bool:
        """Whether streams share connections: as usual while recording; in replay each has its own."""
        return self.loaded is None and not self.protected

    def source(self, config: Config, live: Source) -> Source:
        """Return the source of frames of one more hub, given the source it would have without the tape."""
        clock = TapeClock(self.clock)
        connection = TapeConnection(self, config, live, clock, FixedServerTime(clock))
        return Source(
            connection, live.backfill if self.repairs else connection, clock, connection.server_time,
            tempo=clock, on_subscribe=connection.on_subscribe, linger=LINGER if self.shared else 0.0,
        )  # fmt: skip

    # --- replay -------------------------------------------------------------------------------------

    def choose(self, region: str, topics: frozenset[Topic]) -> int | None:
        """Return the recorded stream to replay, and count it as replayed; None if there is none."""
        if self.loaded is None:
            return None
        with self._lock:
            chosen = self.loaded.choose(region, topics, self.played, repeats=self.protected)
            if chosen is not None:
                self.played[chosen] += 1
            return chosen

    def missing(self, topics: Iterable[Topic]) -> NotRecorded:
        """Return the error for a stream that was not recorded."""
        recorded = sorted(set(self.loaded.streams())) if self.loaded is not None else []
        wanted = sorted(map(topic_text, topics))
        absent = [text for text in wanted if text not in recorded] or wanted
        if self.loaded is None:
            message = f"there is no tape {self.name!r}"
        elif absent == wanted and len(wanted) > 1 and set(wanted) <= set(recorded):
            message = f"the tape {self.name!r} does not hold these markets in one stream"
        else:
            message = f"the tape {self.name!r} has no {absent[0]}"
        return NotRecorded(
            message,
            suggestion="open a recorded stream, or record it with mode='new_episodes', or 'all' to start afresh",
            request=", ".join(absent),
            nearest=nearest_stream(absent[0], recorded),
            tape=str(self.path),
        )

    def unplayed(self) -> list[str]:
        """Return the recorded streams that were not replayed."""
        joins = self.loaded.joins if self.loaded is not None else []
        unplayed = [join for position, (_, _, join) in enumerate(joins) if not self.played[position]]
        return [", ".join(map(topic_text, join.topics)) for join in unplayed]

    # --- recording ----------------------------------------------------------------------------------

    def new_connection(self) -> int:
        """Return the number of one more connection."""
        self._connections += 1
        return self._connections

    def write(self, config: Config, at: int, write: Callable[[TapeWriter], bool]) -> bool:
        """Write an entry, opening the file with the first; return whether it was written.

        A tape that would become larger than can be replayed ends before the first entry that does not
        fit. The streams go on; :meth:`settle` warns.
        """
        if self.closed or self._full_at is not None:
            return False
        if self._writer is None:
            kept = self.path if self.loaded is not None else None
            self._writer = TapeWriter(self.path, redacted(config.ws_url), self.clock.now(), kept)
        if write(self._writer):
            return True
        self._full_at = at
        log.warning("the tape %r has reached its largest size; nothing more is recorded on it", self.name)
        return False

    async def offset(self, config: Config) -> int | None:
        """Return the exchange's time minus ours, fetched once; None if it cannot be fetched."""
        if self._offset is None:
            with contextlib.suppress(UpbitFramesError):
                self._offset = await fetch_exchange_time(config) - self.clock.now()
        return self._offset

    def discard(self) -> None:
        """Keep nothing of what was recorded."""
        self._discarded = True

    def finish(self, *, keep: bool) -> bool:
        """End the recording, once no stream is open; return whether there is a file to settle.

        Raises
        ------
        StoreError
            If it cannot be written; the old tape stays as it was.
        """
        self.closed = True
        if self._writer is None:
            return False
        if keep and not self._discarded:
            try:
                self._writer.finish(self.clock.now() if self._full_at is None else self._full_at)
            except BaseException:
                self.drop()
                raise
            return True
        self.drop()
        return False

    def settle(self) -> None:
        """Move the finished tape to its destination; warn if not everything fitted.

        Raises
        ------
        StoreError
            If it cannot be written, or another process has recorded there since the tape was opened.
        """
        if self._writer is None:
            return
        with exclusive(self.path):
            if file_version(self.path) != self._version:
                self.drop()
                raise StoreError(
                    f"the tape {self.name!r} was recorded by another process meanwhile; this recording was not kept",
                    suggestion="record in one process (pytest -n 0), or give each test a tape of its own",
                    path=str(self.path),
                )
            self._writer.settle()
            self._writer = None
        if self._full_at is not None:
            end, most = f"{from_micros(self._full_at):%Y-%m-%d %H:%M:%S} UTC", f"{tape_file.MAX_SIZE:,} bytes"
            warn(
                f"the tape {self.name!r} ends at {end}: a longer one would need more than {most} of memory in replay; "
                "record fewer markets, or several tapes"
            )

    def drop(self) -> None:
        """Remove the temporary file of a recording that is not kept."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None


class TapeConnection:
    """The successive connections of one hub: dialer, and backfill where the recording has no REST responses."""

    def __init__(
        self, session: TapeSession, config: Config, live: Source, clock: TapeClock, server_time: FixedServerTime
    ) -> None:
        self.server_time = server_time
        self._session = session
        self._config = config
        self._live = live
        self._clock = clock
        self._player: TapePlayer | None = None
        self._on = 0  # number of the connection that is recorded; 0 in replay

    @property
    def live(self) -> bool:
        """Whether the markets are to be fetched before a stream begins."""
        return self._session.checks_markets()

    def on_subscribe(self, topics: frozenset[Topic], known: frozenset[Topic]) -> None:
        """Choose the recording of a stream that begins, or note that the stream is recorded.

        Raises
        ------
        NotRecorded
            If it is not on the tape and may not be recorded.
        """
        session = self._session
        if self._on:
            return self._note_join(topics, known)
        chosen = session.choose(self._config.region, topics)
        if chosen is not None:
            assert session.loaded is not None
            on, position, _ = session.loaded.joins[chosen]
            if self._player is None:
                entries = session.loaded.connections[on]
                self._player = TapePlayer(entries, position, self._clock, self.server_time, session.speed)
        elif session.protected or self._player is not None:
            raise session.missing(topics)
        else:
            self._on = session.new_connection()
            self._note_join(topics, known)

    def _note_join(self, topics: frozenset[Topic], known: frozenset[Topic]) -> None:
        fields = {"on": self._on} if self._on != 1 else {}
        at, region = self._clock.note(self._clock.real.now()), self._config.region
        if self._session.write(self._config, at, lambda writer: writer.join(at, topics, known, region, **fields)):
            self._session.recorded += 1

    async def dial(self) -> Wire:
        """Return the next connection: the recorded one, or a real one that is recorded."""
        if self._player is not None:
            return await self._player.dial()
        if not self._on:
            raise EndOfTape
        offset = self.server_time.fixed_offset = await self._session.offset(self._config)
        wire = await self._live.dialer.dial()
        self._note("open", 1, None, **({} if offset is None else {"offset": offset}))
        return RecordingWire(wire, self._note)

    def _note(self, kind: str, value: object, at: int | None, **fields: int) -> int:
        """Record an entry; return its moment."""
        moment = self._clock.real.now() if at is None else at
        if self._session.closed:
            return moment
        if kind != "sent":
            self._clock.note(moment)
        if self._on != 1:
            fields["on"] = self._on

        def write(writer: TapeWriter) -> bool:
            if isinstance(value, bytes):
                return writer.frame(moment, value, **fields)
            return writer.line(moment, kind, value, **fields)

        self._session.write(self._config, moment, write)
        return moment

    async def fetch(self, type_: str, market: str, span: Span) -> list[Row]:
        """Backfill a gap over REST while recording; a tape alone has no REST responses to replay."""
        if self._player is None:
            return await self._live.backfill.fetch(type_, market, span)
        raise NotRecorded(
            "a tape alone holds no REST responses", suggestion="record the stream inside uf.cassette",
            request=f"{type_} {market}",
        )  # fmt: skip
