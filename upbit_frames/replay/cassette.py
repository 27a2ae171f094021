"""Record once, replay for ever.

A cassette takes the place of store, clock and wire for every call of the process while it is
open. It sits at the package's own transport, so nobody else's HTTP traffic passes it. Published
archive files are never put on one: their terms forbid passing them on.

Not called like the function in it, because importing a submodule would hide ``uf.cassette``
behind the module.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from datetime import UTC, datetime
from html import escape
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from upbit_frames._version import __version__
from upbit_frames.core.config import RECORD_MODES, Config, current
from upbit_frames.core.endpoints import ENDPOINTS
from upbit_frames.core.intervals import from_micros, iso
from upbit_frames.errors import ConfigError, NotRecorded, StoreError, UsageError
from upbit_frames.exchange.transport.rate_limiter import NullLimiter, limiter_for
from upbit_frames.exchange.transport.retry import RetryPolicy
from upbit_frames.live.hub.registry import insert, remove
from upbit_frames.replay import matching as recorded
from upbit_frames.replay.cassette_file import load, need_vcr, path_of, recorded_at, save
from upbit_frames.replay.cassette_ports import (
    CassettePorts,
    CassetteRest,
    PinnedClock,
    PinnedServerTime,
    Player,
    Recorder,
    Tape,
    exchange_time,
)
from upbit_frames.replay.matching import Asked
from upbit_frames.replay.sharing import Signature, alone, signature
from upbit_frames.replay.tape_file import tape_beside
from upbit_frames.replay.tape_session import Deck, speed_of
from upbit_frames.replay.untrusted import exists
from upbit_frames.router.ports import Ports, substitute_ports
from upbit_frames.runtime import event_loop as _bridge
from upbit_frames.runtime.clock import SystemClock
from upbit_frames.store.memory import MemoryStore

if TYPE_CHECKING:
    from upbit_frames.exchange.transport.rest import RestTransport

__all__ = ["Cassette", "cassette", "eject", "open_in"]

ORIGINS = {"stand-in": "stand-in exchange (invented data)"}

_active: Cassette | None = None
_active_lock = threading.Lock()


class Cassette:
    """An open or closed cassette; made by :func:`cassette`.

    Attributes
    ----------
    name : str
    path : pathlib.Path
    mode : {"none", "once", "new_episodes", "all"}
    """

    def __init__(self, path: Path, mode: str, name: str | None = None, *, speed: float = inf) -> None:
        self.path = path
        self.mode = mode
        self.name = name or path.stem
        self._facts: dict[str, Any] = {}
        self._seen: Signature = None
        self._now: int | None = None
        self._tape = Tape([], replays=True, protected=True)
        self._ports: dict[tuple[object, ...], Ports] = {}
        self._transports: list[RestTransport] = []
        self._speed = speed
        self._deck = self._new_deck(protected=True)
        self._exit = contextlib.ExitStack()
        self._making = threading.RLock()

    # --- open and close ---

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as then:
            then.callback(_bridge.run, _close_all, self._transports)
            then.callback(self._close, keep=kind is None)
            _bridge.run(remove, self._deck)

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with contextlib.AsyncExitStack() as then:
            then.push_async_callback(_bridge.run_async, _close_all, self._transports)
            then.callback(self._close, keep=kind is None)
            await _bridge.run_async(remove, self._deck)

    def _open(self) -> None:
        global _active
        need_vcr()
        with _active_lock:
            if _active is not None:
                raise UsageError(
                    f"the cassette {_active.name!r} is still open",
                    suggestion="close it first; where a cell ran twice, call upbit_frames.replay.cassette.eject()",
                )
            _active = self
        try:
            self._seen = signature(self.path)
            interactions, self._facts = load(self.path) if exists(self.path) else ([], {})
            replays = self.mode != "all"
            there = exists(self.path) or exists(tape_beside(self.path))
            protected = self.mode == "none" or (self.mode == "once" and there)
            self._tape = Tape(interactions, replays=replays, protected=protected)
            self._deck = self._new_deck(protected=protected)
            self._deck.load()
            self._now = recorded_at(interactions, self._facts) if replays else None
            if self._now is None and self._deck.loaded is not None:
                self._now = self._deck.loaded.started()
            if self._now is None and protected:
                self._now = SystemClock().now()
            self._ports, self._transports = {}, []
            insert(self._deck)
            self._exit.enter_context(substitute_ports(self._ports_for))
        except BaseException:
            _active = None
            raise

    def _close(self, *, keep: bool) -> None:
        """Put everything back; a recording is kept only if the block ended well."""
        global _active
        if _active is not self:  # ejected before
            return
        try:
            self._exit.close()
            self._put_away(keep)
        finally:
            self._deck.drop()
            with _active_lock:
                _active = None
            self._ports = {}

    def _put_away(self, keep: bool) -> None:
        frames = self._deck.finish(keep=keep)
        if keep and self._tape.recorded:
            self._save()
        if frames:
            self._deck.settle()

    def _new_deck(self, *, protected: bool) -> Deck:
        # What is asked of REST before a stream begins is asked in replay too, if it is there.
        return Deck(
            tape_beside(self.path), self.name, mode=self.mode, protected=protected, speed=self._speed,
            exchange_time=exchange_time, mends=True,
            checks=lambda: not protected or self._tape.holds_any(ENDPOINTS["markets"].path),
        )  # fmt: skip

    def discard(self) -> None:
        """Keep nothing of what was recorded since it was opened, for instance because a test failed."""
        with self._tape.lock:
            self._tape.recorded.clear()
        self._deck.discard()

    def _save(self) -> None:
        with alone(self.path):
            if signature(self.path) != self._seen:
                self._merge()
            self._write()

    def _merge(self) -> None:
        """Take over what another process has saved since this one opened the cassette.

        Raises
        ------
        StoreError
            If that is about another moment: time stands still at one moment in replay, so they cannot be one.
        """
        theirs, self._facts = load(self.path) if exists(self.path) else ([], {})
        moment = recorded_at(theirs, self._facts)
        if moment is not None and moment // 1_000_000 != (self._now or 0) // 1_000_000:
            raise StoreError(
                f"the cassette {self.name!r} was recorded by another process meanwhile, at {iso(moment)}; "
                f"this recording is of {iso(self._now or 0)} and was not kept",
                suggestion="record in one process (pytest -n 0), or give each test a cassette of its own",
                path=str(self.path),
            )
        before = Counter(one.asked for one in self._tape.loaded)
        added = Counter(one.asked for one in theirs) - before
        self._tape.loaded, mine = theirs, []
        for one in self._tape.recorded:  # the same question at the same moment has the same answer
            if added[one.asked] > 0 and self.mode != "all":
                added[one.asked] -= 1
            else:
                mine.append(one)
        self._tape.recorded = mine

    def _write(self) -> None:
        tape = self._tape
        fresh = {one.asked for one in tape.recorded}
        kept = [one for one in tape.loaded if self.mode != "all" or one.asked not in fresh]
        assert self._now is not None  # pinned before the first request
        origins, regions = {ORIGINS.get(one, one) for one in tape.origins}, set(tape.regions)
        if kept:
            origins.add(str(self._facts.get("origin", "unknown")))
            regions.add(str(self._facts.get("region", "kr")))
        live = "live" in origins
        facts = {
            "now": iso(self._now),
            "origin": " and ".join(sorted(origins)),
            "region": " and ".join(sorted(regions)),
            # A stand-in exchange has a time of its own, and recording it again shall give the same file.
            "recorded_at": datetime.now(UTC).isoformat(timespec="seconds") if live else iso(self._now),
            "version": __version__,
        }
        save(self.path, [*kept, *tape.recorded], facts)

    # --- ports ---

    def _ports_for(self, config: Config) -> Ports:
        key = (config.region, config.rest_url, config.timeout, config.rate, _bridge.generation())
        with self._making:
            if key not in self._ports:
                self._ports[key] = self._make_ports(config)
            return self._ports[key]

    def _make_ports(self, config: Config) -> Ports:
        from upbit_frames.exchange.rest_api import RestApi
        from upbit_frames.exchange.transport.rest import RestTransport

        if self._now is None:
            self._now = _bridge.run(exchange_time, config)
        now, tape = self._now, self._tape
        still, waiting = PinnedClock(now, waits=False), PinnedClock(now, waits=True)
        server_time = PinnedServerTime(still)
        player = RestTransport(
            config.rest_url, clock=still, server_time=server_time, limiter=NullLimiter(),
            timeout=config.timeout, retry=RetryPolicy(base=0.0), tap=Player(tape, config.region, self._not_recorded),
        )  # fmt: skip
        recorder = None
        if not tape.protected:
            recorder = RestTransport(
                config.rest_url, clock=waiting, server_time=server_time,
                limiter=limiter_for(config.rest_url, rate=config.rate),
                timeout=config.timeout, tap=Recorder(tape, config.region),
            )  # fmt: skip
            self._transports.append(recorder)
        rest = CassetteRest(config, tape, player, recorder)
        # With one walk what is asked does not depend on the order in which answers come.
        return CassettePorts(
            RestApi(rest), MemoryStore(), still, server_time, rate=config.rate, concurrency=1, streams=False
        )

    def _not_recorded(self, asked: Asked) -> NotRecorded:
        near = recorded.nearest(asked, self._tape.index)
        if not exists(self.path):
            told = f"there is no cassette {self.name!r}"
        elif near is None:
            told = f"the cassette {self.name!r} is empty"
        else:
            told = (
                f"the cassette {self.name!r} holds no answer to this request; "
                f"the nearest has {recorded.difference(asked, near)}"
            )
        return NotRecorded(
            told,
            suggestion="ask what was recorded, or record it with mode='new_episodes', or 'all' to start afresh",
            request=asked.text,
            nearest=near.text if near else None,
            cassette=str(self.path),
        )

    # --- telling ---

    @property
    def now(self) -> datetime | None:
        """The moment at which time stands while it is open (UTC); None before it is known."""
        return None if self._now is None else from_micros(self._now)

    @property
    def played(self) -> int:
        """Answers and streams given from the cassette since it was opened."""
        return sum(self._tape.played.values()) + sum(self._deck.played.values())

    @property
    def recorded(self) -> int:
        """Answers and streams recorded since it was opened."""
        return len(self._tape.recorded) + self._deck.recorded

    @property
    def unplayed(self) -> list[str]:
        """Requests and streams on the cassette that nobody has asked for since it was opened."""
        return [one.asked.text for one in self._tape.unplayed()] + self._deck.unplayed()

    def __repr__(self) -> str:
        when = f", recorded {self.now:%Y-%m-%d %H:%M} UTC" if self.now else ""
        rest = self.unplayed
        told = f"{self.played} played, {self.recorded} recorded, {len(rest)} not played"
        return f"<cassette {self.name!r} mode={self.mode}{when}: {told}>"

    def _repr_html_(self) -> str:
        rest = "".join(f"<li><code>{escape(text)}</code></li>" for text in self.unplayed[:20])
        return f"<p><code>{escape(repr(self))}</code></p>" + (f"<p>Not played:</p><ul>{rest}</ul>" if rest else "")


def eject() -> str | None:
    """Close the open cassette from outside its block, keeping nothing of what it recorded.

    For notebooks in which the cell that opens one ran twice, so that nobody holds it any more.

    Returns
    -------
    str or None
        The name of the cassette; None if there was none.
    """
    tape = _active
    if tape is None:
        return None
    tape.__exit__(UsageError, None, None)
    return tape.name


def _in_ci() -> bool:
    return os.environ.get("CI", "").strip().lower() not in ("", "0", "false", "no")


async def _close_all(transports: list[RestTransport]) -> None:
    for transport in transports:
        await transport.aclose()


def cassette(name: str, mode: str | None = None, *, speed: float = inf) -> Cassette:
    """Record what the calls inside ask and get, once, and replay it for ever.

    Parameters
    ----------
    name : str
        File name below the setting ``cassette_dir``, without ``.yaml``; ``a/b`` for sub-folders.
    mode : {"none", "once", "new_episodes", "all"}, optional
        ``once`` records if there is no such cassette yet and replays otherwise; ``none`` only
        replays; ``new_episodes`` replays and records what is missing; ``all`` records everything
        anew. Default: the setting ``record``, else ``none`` where the environment has CI set, else
        ``once``.
    speed : float
        At which recorded streams are played: 1 in real time, 10 ten times as fast; by default as
        fast as their rows are taken.

    Returns
    -------
    Cassette
        A context manager, for ``with`` and ``async with``. It can be used again after it was
        closed, and starts from its file again then.

    Raises
    ------
    QueryError
        If the name is none.
    NotRecorded
        Inside: if something is asked that is not on the cassette and may not be recorded.
    CorruptFile, StoreError
        If the file cannot be read or written; it is left as it is.
    UsageError
        If another cassette is open, or vcrpy is not installed.

    Notes
    -----
    While it is open, every call of this package in the process goes through it, from any thread
    and any loop: the store is an empty one in memory (yours is neither read nor changed), time
    stands still at the recorded moment, and in replay nothing waits and nothing is connected to.
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
    """:func:`cassette` with a folder of its own."""
    path = path_of(folder, name)
    return Cassette(path, mode_of(mode, current()), name.removesuffix(".yaml"), speed=speed_of(speed))


def mode_of(mode: str | None, config: Config) -> str:
    chosen = mode or config.record or ("none" if _in_ci() else "once")
    if chosen not in RECORD_MODES:
        raise ConfigError(f"there is no record mode {mode!r}", suggestion=f"use one of {', '.join(RECORD_MODES)}")
    return chosen
