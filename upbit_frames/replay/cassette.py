"""Cassettes: REST calls recorded once and replayed for ever.

An open cassette replaces store, clock and wire of every call of the process. It sits at the package's
own transport, so traffic of other libraries does not pass it. How requests are matched is decided in
:mod:`upbit_frames.replay.matching`, what is written down in :mod:`upbit_frames.replay.redaction`.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from html import escape
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upbit_frames._version import __version__
from upbit_frames.core.config import Config, current
from upbit_frames.core.endpoints import ENDPOINTS
from upbit_frames.core.intervals import from_micros, iso
from upbit_frames.core.record_mode import record_mode
from upbit_frames.errors import NotRecorded, StoreError
from upbit_frames.replay.cassette_file import cassette_path, load, recorded_moment, require_vcr, save
from upbit_frames.replay.cassette_ports import open_ports
from upbit_frames.replay.clocks import fetch_exchange_time
from upbit_frames.replay.file_lock import FileVersion, exclusive, file_version
from upbit_frames.replay.interactions import InteractionLog, without_known
from upbit_frames.replay.matching import ORIGIN_LABELS, RequestKey, difference, nearest
from upbit_frames.replay.recording import Recording
from upbit_frames.replay.tape_file import tape_beside
from upbit_frames.replay.tape_session import TapeSession, checked_speed
from upbit_frames.replay.untrusted import exists
from upbit_frames.router.ports import Ports
from upbit_frames.runtime import event_loop
from upbit_frames.runtime.clock import SystemClock

if TYPE_CHECKING:
    from upbit_frames.exchange.transport.rest import RestTransport

__all__ = ["Cassette", "cassette", "open_in"]

SECOND = 1_000_000  # microseconds: files state the recorded moment in whole seconds


class Cassette(Recording):
    """An open or closed cassette; created by :func:`cassette`.

    Attributes
    ----------
    name : str
    path : pathlib.Path
    mode : {"none", "once", "new_episodes", "all"}
    """

    kind = "cassette"

    def __init__(self, path: Path, mode: str, name: str | None = None, *, speed: float = inf) -> None:
        self.log = InteractionLog([], replays=True, protected=True)
        self._metadata: dict[str, Any] = {}
        self._version: FileVersion = None
        self._now: int | None = None
        self._ports: dict[tuple[object, ...], Ports] = {}
        self._transports: list[RestTransport] = []
        self._ports_lock = threading.RLock()
        super().__init__(path, name or path.stem, mode, speed)

    # --- open and close -----------------------------------------------------------------------------

    def _files(self) -> list[Path]:
        return [self.path, tape_beside(self.path)]

    def _new_session(self) -> TapeSession:
        # The markets that are fetched before a stream begins are fetched in replay too, if they are recorded.
        return TapeSession(
            tape_beside(self.path), self.name, replays=self.mode != "all", protected=self.protected, speed=self.speed,
            repairs=True, checks_markets=lambda: not self.protected or self.log.has_path(ENDPOINTS["markets"].path),
        )  # fmt: skip

    def _load(self) -> None:
        require_vcr()
        self._version = file_version(self.path)
        loaded, self._metadata = load(self.path) if exists(self.path) else ([], {})
        super()._load()
        replays = self.mode != "all"
        self.log = InteractionLog(loaded, replays=replays, protected=self.protected)
        self._now = recorded_moment(loaded, self._metadata) if replays else None
        if self._now is None and self.streams.loaded is not None:
            self._now = self.streams.loaded.started()
        if self._now is None and self.protected:
            self._now = SystemClock().now()
        self._ports, self._transports = {}, []

    def _save(self, *, keep: bool) -> None:
        """Write both files, or neither where the tape cannot be completed."""
        self._ports = {}
        frames = self.streams.finish(keep=keep)
        if keep and self.log.recorded:
            with exclusive(self.path):
                if file_version(self.path) != self._version:
                    self._merge()
                self._write()
        if frames:
            self.streams.settle()

    async def _disconnect(self) -> None:
        for transport in self._transports:
            await transport.aclose()

    def discard(self) -> None:
        """Keep nothing of what was recorded since it was opened, for instance because a test failed."""
        self.log.discard()
        super().discard()

    def _merge(self) -> None:
        """Add what another process has saved since this one opened the cassette.

        Raises
        ------
        StoreError
            If that is of another moment: time stands still in replay, so one file cannot hold two.
        """
        saved, self._metadata = load(self.path) if exists(self.path) else ([], {})
        moment = recorded_moment(saved, self._metadata)
        if moment is not None and moment // SECOND != (self._now or 0) // SECOND:
            raise StoreError(
                f"the cassette {self.name!r} was recorded by another process meanwhile, at {iso(moment)}; "
                f"this recording is of {iso(self._now or 0)} and was not kept",
                suggestion="record in one process (pytest -n 0), or give each test a cassette of its own",
                path=str(self.path),
            )
        if self.mode != "all":
            self.log.recorded = without_known(self.log.recorded, self.log.loaded, saved)
        self.log.loaded = saved

    def _write(self) -> None:
        log = self.log
        recorded_keys = {interaction.key for interaction in log.recorded}
        kept = [
            interaction for interaction in log.loaded if self.mode != "all" or interaction.key not in recorded_keys
        ]  # fmt: skip
        assert self._now is not None  # pinned before the first request
        origins, regions = {ORIGIN_LABELS.get(origin, origin) for origin in log.origins}, set(log.regions)
        if kept:
            origins.add(str(self._metadata.get("origin", "unknown")))
            regions.add(str(self._metadata.get("region", "kr")))
        metadata = {
            "now": iso(self._now),
            "origin": " and ".join(sorted(origins)),
            "region": " and ".join(sorted(regions)),
            # A stand-in exchange has a time of its own, and recording it again shall give the same file.
            "recorded_at": datetime.now(UTC).isoformat(timespec="seconds") if "live" in origins else iso(self._now),
            "version": __version__,
        }
        save(self.path, [*kept, *log.recorded], metadata)

    # --- ports --------------------------------------------------------------------------------------

    def ports_for(self, config: Config) -> Ports:
        """Return the ports of these settings, with an empty store in memory and time at the recorded moment."""
        key = (config.region, config.rest_url, config.timeout, config.rate, event_loop.generation())
        with self._ports_lock:
            if key not in self._ports:
                if self._now is None:
                    self._now = event_loop.run(fetch_exchange_time, config)
                self._ports[key], transport = open_ports(config, self._now, self.log, self._not_recorded)
                self._transports.append(transport)
            return self._ports[key]

    def pin(self, moment: int | None) -> None:
        """Record at another moment (microseconds, UTC) than the present, before the first request."""
        self._now = moment

    def _not_recorded(self, key: RequestKey) -> NotRecorded:
        near = nearest(key, self.log.positions)
        if not exists(self.path):
            message = f"there is no cassette {self.name!r}"
        elif near is None:
            message = f"the cassette {self.name!r} is empty"
        else:
            message = (
                f"the cassette {self.name!r} has no response to this request; the nearest has {difference(key, near)}"
            )
        return NotRecorded(
            message,
            suggestion="request what was recorded, or record it with mode='new_episodes', or 'all' to start afresh",
            request=key.text,
            nearest=near.text if near else None,
            cassette=str(self.path),
        )

    # --- state --------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime | None:
        """The moment at which time stands while it is open (UTC); None before it is known."""
        return None if self._now is None else from_micros(self._now)

    @property
    def played(self) -> int:
        """Responses and streams replayed since it was opened."""
        return sum(self.log.replayed.values()) + super().played

    @property
    def recorded(self) -> int:
        """Responses and streams recorded since it was opened."""
        return len(self.log.recorded) + super().recorded

    @property
    def unplayed(self) -> list[str]:
        """Recorded requests and streams that were not replayed since it was opened."""
        return [interaction.key.text for interaction in self.log.unplayed()] + super().unplayed

    def __repr__(self) -> str:
        when = f", recorded {self.now:%Y-%m-%d %H:%M} UTC" if self.now else ""
        return f"<cassette {self.name!r} mode={self.mode}{when}: {self._counts()}>"

    def _repr_html_(self) -> str:
        items = "".join(f"<li><code>{escape(text)}</code></li>" for text in self.unplayed[:20])
        return f"<p><code>{escape(repr(self))}</code></p>" + (f"<p>Not played:</p><ul>{items}</ul>" if items else "")


def cassette(name: str, mode: str | None = None, *, speed: float = inf) -> Cassette:
    """Record the requests and responses of the calls inside, once, and replay them for ever.

    Parameters
    ----------
    name : str
        File name below the setting ``cassette_dir``, without ``.yaml``; ``a/b`` for sub-folders.
    mode : {"none", "once", "new_episodes", "all"}, optional
        ``once`` records if there is no such cassette yet and replays otherwise; ``none`` only
        replays; ``new_episodes`` replays and records what is missing; ``all`` records everything
        again. Default: the setting ``record``, else ``none`` where the environment has CI set, else
        ``once``.
    speed : float
        Seconds of recorded streams in a real one: 1 is real time, 10 ten times as fast; by default as
        fast as their rows are taken.

    Returns
    -------
    Cassette
        A context manager, for ``with`` and ``async with``. It can be opened again after it was
        closed, and then starts from its file.

    Raises
    ------
    QueryError
        If the name cannot name a file.
    NotRecorded
        Inside: if a request is not on the cassette and may not be recorded.
    CorruptFile, StoreError
        If the file cannot be read or written; it is left as it is.
    UsageError
        If another cassette or tape is open, or vcrpy is not installed.

    Notes
    -----
    While it is open, every call of this package in the process goes through it, from any thread
    and any loop: the store is an empty one in memory (yours is neither read nor changed), time
    stands still at the recorded moment, and in replay nothing waits and no connection is opened.
    Streams are recorded beside it, in a tape of the same name (see :func:`upbit_frames.tape`).
    Other libraries' traffic is left alone, and the archive is not used. If an exception passes
    through, nothing is written.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.cassette("quickstart"):  # doctest: +SKIP
    ...     df = uf.candles("KRW-BTC", "1d", count=30)
    """
    return open_in(current().cassette_dir, name, mode, speed=speed)


def open_in(folder: Path, name: str, mode: str | None = None, *, speed: float = inf) -> Cassette:
    """Create a cassette as :func:`cassette` does, in a folder of the caller's choice."""
    path = cassette_path(folder, name)
    return Cassette(path, record_mode(mode), name.removesuffix(".yaml"), speed=checked_speed(speed))
