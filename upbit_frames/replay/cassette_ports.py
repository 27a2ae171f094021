"""What stands in for time, store and wire while a cassette is open."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from upbit_frames.core.config import Config
from upbit_frames.core.endpoints import Endpoint
from upbit_frames.errors import NotRecorded, UsageError
from upbit_frames.exchange.transport.interceptor import Taken
from upbit_frames.exchange.transport.rate_limiter import limiter_for
from upbit_frames.replay import matching as recorded
from upbit_frames.replay.cassette_file import Interaction
from upbit_frames.replay.matching import Asked
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.clock import ServerTime, SystemClock

if TYPE_CHECKING:
    from upbit_frames.archive.importer import Archive
    from upbit_frames.exchange.transport.rest import Reply, RestTransport

__all__ = [
    "CassettePorts",
    "CassetteRest",
    "PinnedClock",
    "PinnedServerTime",
    "Player",
    "Recorder",
    "Tape",
    "exchange_time",
]


class PinnedClock(SystemClock):
    """Stands at the recorded moment. Only a recording waits."""

    def __init__(self, now: int, *, waits: bool) -> None:
        self._now = now
        self._waits = waits

    def now(self) -> int:
        """The recorded moment."""
        return self._now

    def monotonic(self) -> float:
        """Constant, so that what is kept for a minute is kept for the whole cassette."""
        return self._now / 1e6

    async def sleep(self, seconds: float) -> None:
        """Wait, if this is a recording."""
        if self._waits:
            await super().sleep(seconds)


class PinnedServerTime(ServerTime):
    """The exchange's time is known from the start, and no answer changes it."""

    @property
    def known(self) -> bool:
        """Always."""
        return True

    @property
    def settled(self) -> bool:
        """Always."""
        return True

    @property
    def offset(self) -> int:
        """Always 0."""
        return 0

    def observe(self, date: int, sent: int, received: int) -> None:
        """Learn nothing."""

    def by(self, date: int | None) -> int:
        """Return the date of the answer: while a stream is recorded or played, time goes on."""
        return self.now() if date is None else date


@dataclass
class CassettePorts(Ports):
    """Ports without archive: its files are too large for a cassette."""

    def archive_for(self, source: str) -> Archive | None:
        """Never."""
        if source == "archive":
            raise UsageError(
                "a cassette records REST only, not the published archive",
                suggestion="leave source='archive' out while a cassette is open",
            )
        return None


class Tape:
    """The interactions of an open cassette; safe to use from any thread."""

    def __init__(self, interactions: list[Interaction], *, replays: bool, protected: bool) -> None:
        self.lock = threading.Lock()
        self.loaded = interactions
        self.recorded: list[Interaction] = []
        self.played: Counter[int] = Counter()
        self.index: dict[Asked, list[int]] = {}
        self._taken: Counter[Asked] = Counter()
        self.protected = protected
        self.origins: set[str] = set()
        self.regions: set[str] = set()
        if replays:
            for place, one in enumerate(interactions):
                self.index.setdefault(one.asked, []).append(place)

    def take(self, asked: Asked) -> Interaction | None:
        """The answer due to a question: each recorded one once, in order.

        Where nothing may be recorded the last one is given again for ever: time stands still
        here, so the same question has the same answer.
        """
        with self.lock:
            places, taken = self.index.get(asked, []), self._taken[asked]
            if taken >= len(places) and not (places and self.protected):
                return None
            place = places[min(taken, len(places) - 1)]
            self._taken[asked] += 1
            self.played[place] += 1
            return self.loaded[place]

    def holds(self, asked: Asked) -> bool:
        """Whether :meth:`take` would give something."""
        with self.lock:
            places = self.index.get(asked, [])
            return self._taken[asked] < len(places) or bool(places and self.protected)

    def holds_any(self, path: str) -> bool:
        """Whether anything of that path was recorded."""
        return any(asked.path == path for asked in self.index)

    def add(self, one: Interaction) -> None:
        """Keep an answer that came over the wire."""
        with self.lock:
            self.recorded.append(one)

    def unplayed(self) -> list[Interaction]:
        """What was loaded to be played and never was."""
        with self.lock:
            return [self.loaded[p] for places in self.index.values() for p in places if not self.played[p]]


class Player:
    """Tap of a transport that never reaches the wire."""

    def __init__(self, tape: Tape, region: str, missing: Callable[[Asked], NotRecorded]) -> None:
        self.tape = tape
        self.region = region
        self.missing = missing

    def play(self, url: str) -> Taken:
        """The recorded answer.

        Raises
        ------
        NotRecorded
            If there is none.
        """
        asked = Asked.parse(url, self.region)
        one = self.tape.take(asked)
        if one is None:
            raise self.missing(asked)
        return Taken(one.status, tuple((k, v) for k, values in one.headers.items() for v in values), one.body)

    def keep(self, url: str, taken: Taken) -> None:
        """Never called: everything was played."""


class Recorder:
    """Tap of a transport that always asks the wire and keeps what it says."""

    def __init__(self, tape: Tape, region: str) -> None:
        self.tape = tape
        self.region = region

    def play(self, url: str) -> None:
        """Let the wire be asked."""

    def keep(self, url: str, taken: Taken) -> None:
        """Write it down, without what is nobody's business."""
        body = taken.body if 200 <= taken.status < 300 else recorded.without_traces(taken.body)
        self.tape.origins.add(recorded.origin_of(url))
        self.tape.regions.add(self.region)
        self.tape.add(
            Interaction(
                recorded.public_uri(url, self.region), taken.status, recorded.kept_headers(taken.headers),
                recorded.pretty_json(body), {"Accept": ["application/json"]},
            )
        )  # fmt: skip


class CassetteRest:
    """The REST port under a cassette: what is recorded is played at once, the rest is asked."""

    def __init__(self, config: Config, tape: Tape, player: RestTransport, recorder: RestTransport | None) -> None:
        self.config = config
        self.tape = tape
        self.player = player
        self.recorder = recorder

    async def get(self, endpoint: Endpoint, params: dict[str, str]) -> Reply:
        """Ask once."""
        url = f"{self.config.rest_url}/{endpoint.path}?{urlencode(params)}"
        if self.recorder is None or self.tape.holds(Asked.parse(url, self.config.region)):
            return await self.player.get(endpoint, params)
        return await self.recorder.get(endpoint, params)


async def exchange_time(config: Config) -> int:
    """The exchange's own time, asked once before a recording begins; not part of the cassette."""
    from upbit_frames.exchange.rest_api import RestApi
    from upbit_frames.exchange.transport.rest import RestTransport

    clock = SystemClock()
    transport = RestTransport(
        config.rest_url, clock=clock, server_time=ServerTime(clock),
        limiter=limiter_for(config.rest_url, rate=config.rate), timeout=config.timeout,
    )  # fmt: skip
    try:
        page = await RestApi(transport).markets()
    finally:
        await transport.aclose()
    return page.received if page.server_time is None else page.server_time
