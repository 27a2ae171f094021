"""Record once, replay for ever: vcrpy cassettes around every REST call.

Inside a cassette the store is an empty one in memory, the time is the recorded one, and on replay
nothing waits. The file is vcrpy's own format, one YAML per name, with bodies broken into one line
per object so that differences can be read. Requests are stored under a stable host, so that a
recording made from the stand-in exchange on whatever port replays anywhere; ``metadata`` says
which of the two it was.

The only module that knows vcrpy. It is not called like the function in it, because importing a
submodule would hide ``uf.cassette`` behind the module. Published archive files are never put on a cassette: their terms
forbid passing them on.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from upbit_frames import _bridge
from upbit_frames._version import __version__
from upbit_frames.clock import ServerTime, SystemClock
from upbit_frames.config import RECORD_MODES, Config, current
from upbit_frames.endpoints import ENDPOINTS, REGIONS, Endpoint, candles_endpoint
from upbit_frames.engine import engine_for, substitute_ports
from upbit_frames.errors import ConfigError, NotRecorded, QueryError, StoreError, UsageError
from upbit_frames.intervals import INTERVALS, from_micros, to_micros
from upbit_frames.planner import iso
from upbit_frames.ports import Ports
from upbit_frames.store.memory import MemoryStore
from upbit_frames.transport.limiter import NullLimiter, limiter_for
from upbit_frames.transport.retry import RetryPolicy

if TYPE_CHECKING:
    import pandas as pd

    from upbit_frames.transport.rest import Reply, RestTransport

__all__ = ["Cassette", "cassette", "cassettes"]

STAND_IN = "http://stand-in.invalid"
"""Under which host requests to a loopback exchange are stored; ``.invalid`` can never resolve."""

KEPT_HEADERS = ("content-type", "date", "remaining-req", "limit-by-ip")
META = "upbit_frames"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_OTHERS = ("httplib", "requests", "boto3", "urllib3", "httplib2", "tornado", "aiohttp", "httpx2")
_HOSTS = {urlsplit(region.rest_url).netloc for region in REGIONS.values()} | {urlsplit(STAND_IN).netloc}
_active = threading.Lock()


def cassette(name: str, mode: str | None = None) -> Cassette:
    """Record every REST call of a block once, and replay it for ever.

    Parameters
    ----------
    name : str
        The file is ``<cassette_dir>/<name>.yaml``; letters, digits, ``. _ -`` and ``/``.
    mode : {"none", "once", "new_episodes", "all"}, optional
        vcrpy's modes: never ask the network; record where there is no file yet; also add what is
        new; record everything afresh. Default: the setting ``record``; else ``none`` where the
        environment has ``CI`` set, ``once`` elsewhere.

    Returns
    -------
    Cassette
        For ``with`` and ``async with``. One at a time in a process; it can be used repeatedly.

    Raises
    ------
    NotRecorded
        Inside the block, for a request that is not on it and may not be asked.
    UsageError
        If another cassette is in use.

    Notes
    -----
    Inside the block the store is empty and in memory, and "now" is the recorded moment, so a warm
    store cannot leave holes in a recording and "the last 200" are the same 200 for ever.

    Examples
    --------
    >>> import upbit_frames as uf
    >>> with uf.cassette("my-study"):  # doctest: +SKIP
    ...     df = uf.candles("KRW-BTC", "1h", count=500)
    """
    config = current()
    return Cassette(path_of(config.cassette_dir, name), _mode(mode, config))


def path_of(folder: Path, name: str) -> Path:
    """Where a cassette of that name is; QueryError for a name that could lead elsewhere."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise QueryError(
            f"{name!r} is not a name for a cassette", suggestion="use letters, digits, '.', '_', '-' and '/' inside"
        )
    return folder / f"{name.removesuffix('.yaml')}.yaml"


def _mode(mode: str | None, config: Config) -> str:
    chosen = mode or config.record or ("none" if os.environ.get("CI") else "once")
    if chosen not in RECORD_MODES:
        raise ConfigError(f"mode={mode!r} is not possible", suggestion=f"give one of {', '.join(RECORD_MODES)}")
    return chosen


class Cassette:
    """One recording; made by :func:`cassette`.

    Attributes
    ----------
    path : pathlib.Path
    mode : str
    played, recorded : int
        Interactions replayed and recorded in the last block.
    unplayed : list of str
        Recorded requests that the last block did not ask for.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self.path = path
        self.mode = mode
        self.played = 0
        self.recorded = 0
        self.unplayed: list[str] = []
        self._exit: contextlib.ExitStack | None = None
        self._tape: Any = None
        self._loaded = 0
        self._transports: list[RestTransport] = []

    def __repr__(self) -> str:
        left = f", {len(self.unplayed)} unplayed" if self.unplayed else ""
        return f"<cassette {self.path.name} mode={self.mode}: {self.played} played, {self.recorded} recorded{left}>"

    # --- in and out -------------------------------------------------------------------------------

    def __enter__(self) -> Cassette:
        if not _active.acquire(blocking=False):
            raise UsageError("another cassette is in use", suggestion="leave its block first; cassettes do not nest")
        try:
            self._begin()
        except BaseException:
            _active.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            assert self._exit is not None  # __enter__ has run
            with contextlib.suppress(Exception):
                for transport in self._transports:
                    _bridge.run(transport.aclose)
            self._exit.close()
            if kind is None:
                self._tape._save()
            self._count()
        finally:
            self._exit = None
            self._transports = []
            _active.release()

    async def __aenter__(self) -> Cassette:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _begin(self) -> None:
        import vcr.patch

        if self.mode == "none" and not self.path.exists():
            raise NotRecorded(
                f"there is no cassette {self.path}",
                suggestion="record it once with mode='once' where the exchange can be reached",
                request="", nearest="",
            )  # fmt: skip
        self._tape = _load(self.path, self.mode)
        self._loaded = len(self._tape)
        fresh = self._loaded == 0 or self.mode == "all"
        if fresh and self.mode == "none":
            fresh = False
        known = {} if fresh else dict(self._tape._metadata.get(META, {}))
        now = _pinned(known, self._tape) if not fresh else _exchange_time(current())
        if not self._tape.write_protected:
            self._tape._metadata[META] = {**_describe(current(), now), **known}
        self._exit = contextlib.ExitStack()
        try:
            for patcher in vcr.patch.CassettePatcherBuilder(self._tape).build():
                self._exit.enter_context(patcher)
            stores: dict[str, MemoryStore] = {}
            self._exit.enter_context(
                substitute_ports(
                    lambda config: self._ports(config, now, stores.setdefault(config.rest_url, MemoryStore()))
                )
            )
        except BaseException:
            self._exit.close()
            raise

    def _ports(self, config: Config, now: int, store: MemoryStore) -> Ports:
        clock = _PinnedClock(now)
        server_time = _PinnedServerTime(clock)
        rest = _Rest(self, config, clock, server_time)
        return Ports(rest, store, clock, server_time, rate=config.rate, walks=1)

    def _count(self) -> None:
        self.played = self._tape.play_count
        self.recorded = len(self._tape) - self._loaded
        self.unplayed = [
            _said(request) for index, request in enumerate(self._tape.requests[: self._loaded])
            if not self._tape.play_counts[index]
        ]  # fmt: skip


class _PinnedClock(SystemClock):
    """Wall time stands at the recorded moment; waiting is real only where something is recorded."""

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        """The recorded moment."""
        return self._now


class _PinnedServerTime(ServerTime):
    """The exchange's time is the recorded moment too, whatever single answers say."""

    @property
    def known(self) -> bool:
        """Always: the recording tells it."""
        return True

    @property
    def offset(self) -> int:
        """The pinned clock is the exchange's already."""
        return 0

    def observe(self, date: int, sent: int, received: int) -> None:
        """Nothing to learn."""


class _Rest:
    """Replays what is on the cassette, asks for the rest where that is allowed."""

    def __init__(self, owner: Cassette, config: Config, clock: _PinnedClock, server_time: ServerTime) -> None:
        self._owner = owner
        self._config = config
        self._clock = clock
        self._server_time = server_time
        self._made: dict[bool, RestTransport] = {}

    def _transport(self, replay: bool) -> RestTransport:
        from upbit_frames.transport.rest import RestTransport

        if replay not in self._made:
            config = self._config
            self._made[replay] = RestTransport(
                config.rest_url,
                clock=self._clock,
                server_time=self._server_time,
                limiter=NullLimiter() if replay else limiter_for(config.rest_url, rate=config.rate),
                timeout=config.timeout,
                retry=RetryPolicy(base=1e-9) if replay else RetryPolicy(),
            )
            self._owner._transports.append(self._made[replay])
        return self._made[replay]

    async def get(self, endpoint: Endpoint, params: Mapping[str, str]) -> Reply:
        """As the transport does, from the cassette where it can."""
        import httpx
        from vcr.request import Request

        url = str(httpx.URL(f"{self._config.rest_url}/{endpoint.path}", params=dict(params)))
        request = Request("GET", url, "", {})
        tape = self._owner._tape
        playable = bool(tape.can_play_response_for(request))
        if not playable and tape.write_protected:
            raise _not_recorded(self._owner, request)
        return await self._transport(playable).get(endpoint, params)


def _not_recorded(owner: Cassette, request: Any) -> NotRecorded:
    wanted = _said(owner._tape._before_record_request(request))
    nearest = _nearest(wanted, [_said(one) for one in owner._tape.requests])
    return NotRecorded(
        f"the cassette {owner.path.name} has no answer to {wanted}",
        suggestion="record it with mode='new_episodes', or 'all' to record everything afresh",
        request=wanted,
        nearest=nearest,
        market=dict(parse_qsl(urlsplit(wanted).query)).get("market"),
    )


def _nearest(wanted: str, recorded: list[str]) -> str:
    import difflib

    found = difflib.get_close_matches(wanted, recorded, n=1, cutoff=0.0)
    return found[0] if found else ""


def _said(request: Any) -> str:
    """A request in words, without the host: the same wherever it was recorded."""
    parts = urlsplit(request.uri)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


# --- time and origin ------------------------------------------------------------------------------


def _exchange_time(config: Config) -> int:
    """The exchange's own time, for a recording that begins now.

    Asked outside the recording, with the smallest request there is; the machine's clock may be
    wrong, and a stand-in exchange has a time of its own.
    """
    from upbit_frames.transport.rest import RestTransport

    async def ask() -> int:
        clock = SystemClock()
        server_time = ServerTime(clock)
        rest = RestTransport(
            config.rest_url, clock=clock, server_time=server_time,
            limiter=limiter_for(config.rest_url, rate=config.rate), timeout=config.timeout,
        )  # fmt: skip
        quote = REGIONS[config.region].quotes[0]
        try:
            reply = await rest.get(candles_endpoint(INTERVALS["1d"]), {"market": f"{quote}-BTC", "count": "1"})
        finally:
            await rest.aclose()
        return reply.server_time if reply.server_time is not None else server_time.now()

    return _bridge.run(ask)


def _pinned(known: Mapping[str, Any], tape: Any) -> int:
    """The recorded moment; for a cassette from elsewhere, that of its latest answer."""
    if isinstance(known.get("now"), str):
        return to_micros(datetime.fromisoformat(known["now"]))
    from email.utils import parsedate_to_datetime

    dates = []
    for response in tape.responses:
        headers = {name.lower(): value for name, value in response["headers"].items()}
        for text in headers.get("date", []):
            with contextlib.suppress(TypeError, ValueError):
                dates.append(to_micros(parsedate_to_datetime(text)))
    return max(dates, default=SystemClock().now())


def _describe(config: Config, now: int) -> dict[str, Any]:
    live = config.origin in ("", *REGIONS)
    return {
        "now": iso(now),
        "origin": "live" if live else "stand-in exchange (invented data)",
        "region": config.region,
        "recorded_at": datetime.now(UTC).isoformat(timespec="seconds") if live else iso(now),
        "version": __version__,
    }


# --- the file -------------------------------------------------------------------------------------


def _load(path: Path, mode: str) -> Any:
    """The cassette of that file, empty where there is none."""
    try:
        import vcr.cassette
        from vcr.record_mode import RecordMode
    except ImportError:
        raise UsageError("cassettes need vcrpy", suggestion="pip install 'upbit-frames[record]'") from None

    ours = urlsplit(current().rest_url).netloc

    def stored_as(request: Any) -> Any:
        """The request under its stable host; None for other people's traffic, which passes by."""
        parts = urlsplit(request.uri)
        if parts.netloc != ours and parts.netloc not in _HOSTS:
            return None
        if parts.netloc == ours and parts.netloc not in _HOSTS:
            rest = request.uri[len(f"{parts.scheme}://{parts.netloc}") :]
            request.uri = STAND_IN + rest
        request.headers = {}
        return request

    tape = _indexed(vcr.cassette.Cassette)(
        str(path),
        serializer=_Yaml,
        persister=_Files,
        record_mode=RecordMode(mode),
        match_on=(_same_question,),
        before_record_request=stored_as,
        before_record_response=_cleaned,
        skip_patchers=_OTHERS,
    )
    tape._load()
    return tape


def _same_question(one: Any, other: Any) -> None:
    assert _key(one) == _key(other)


def _key(request: Any) -> tuple[Any, ...]:
    """What decides whether two requests ask the same; the host does not, see ``STAND_IN``."""
    parts = urlsplit(request.uri)
    return request.method, parts.path, tuple(sorted(parse_qsl(parts.query, keep_blank_values=True)))


def _indexed(base: Any) -> Any:
    """The cassette of vcrpy with a dictionary in front: its own search is quadratic."""

    class Indexed(base):  # type: ignore[misc]
        _index: dict[tuple[Any, ...], list[int]]
        _indexed = 0

        def _responses(self, request: Any) -> Iterator[tuple[int, Any]]:
            asked = self._before_record_request(request)
            if asked is None:
                return
            if self._indexed == 0:
                self._index = {}
            for position in range(self._indexed, len(self.data)):
                self._index.setdefault(_key(self.data[position][0]), []).append(position)
            self._indexed = len(self.data)
            for position in self._index.get(_key(asked), []):
                yield position, self.data[position][1]

        def append(self, request: Any, response: Any) -> None:
            super().append(_copied(request), response)

    return Indexed


def _copied(request: Any) -> Any:
    from vcr.request import Request

    return Request(request.method, request.uri, request.body, dict(request.headers))


def _cleaned(response: dict[str, Any]) -> dict[str, Any]:
    """Without cookies, addresses and the like; the body unpacked and one object a line."""
    from vcr.filters import decode_response

    response = decode_response(response)
    response["headers"] = {name: values for name, values in response["headers"].items() if name.lower() in KEPT_HEADERS}
    body = response["body"]["string"]
    text = body.decode() if isinstance(body, bytes) else body
    # Numbers keep every digit as it was sent, so the text is broken up, not parsed and rewritten.
    response["body"]["string"] = re.sub(r"\},\s*\{", "},\n{", text).encode()
    return response


class _Yaml:
    """The YAML of vcrpy, loaded safely and written with readable blocks."""

    @staticmethod
    def deserialize(text: str) -> Any:
        import yaml

        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe

    @staticmethod
    def serialize(data: Any) -> str:
        import yaml

        class Dumper(yaml.SafeDumper):
            pass

        def text(dumper: Any, value: str) -> Any:
            return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

        Dumper.add_representer(str, text)
        return str(yaml.dump(data, Dumper=Dumper, allow_unicode=True, width=10**9, sort_keys=True))


class _Files:
    """Where cassettes are kept: read whole or refused, written whole or not at all."""

    @staticmethod
    def load_cassette(path: str, serializer: Any) -> Any:
        from vcr.persisters.filesystem import CassetteNotFoundError
        from vcr.serialize import deserialize

        file = Path(path)
        if not file.exists():
            raise CassetteNotFoundError
        try:
            return deserialize(file.read_text(encoding="utf-8"), serializer)
        except Exception as error:
            raise StoreError(
                f"the cassette {file} cannot be read: {type(error).__name__}",
                suggestion="restore it from version control, or delete it to record it again",
            ) from error

    @staticmethod
    def save_cassette(path: str, content: Any, serializer: Any) -> None:
        from vcr.serialize import serialize

        file = Path(path)
        part = file.with_name(f".{file.name}.part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(serialize(content, serializer), encoding="utf-8")
            part.replace(file)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StoreError(
                f"the cassette {file} cannot be written: {error}", suggestion="check the setting 'cassette_dir'"
            ) from error


# --- looking at them --------------------------------------------------------------------------------


def cassettes(folder: Path | None = None) -> pd.DataFrame:
    """The cassettes of a folder.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Default: the setting ``cassette_dir``.

    Returns
    -------
    pandas.DataFrame
        Index ``name``; columns origin (live, stand-in exchange, or unknown), now (the moment it is
        pinned to, aware UTC), requests, bytes, covers (endpoints with their number of requests).
    """
    import pandas as pd

    folder = folder or current().cassette_dir
    rows = [_row(folder, path) for path in sorted(folder.rglob("*.yaml"))] if folder.exists() else []
    frame = pd.DataFrame(rows, columns=["name", "origin", "now", "requests", "bytes", "covers"])
    frame["now"] = pd.to_datetime(frame["now"], utc=True)
    return frame.set_index("name")


def _row(folder: Path, path: Path) -> tuple[Any, ...]:
    tape = _load(path, "none")
    known = tape._metadata.get(META, {})
    paths = Counter(urlsplit(request.uri).path.removeprefix("/v1/") for request in tape.requests)
    covers = ", ".join(f"{name} ×{count}" for name, count in sorted(paths.items()))
    name = path.relative_to(folder).as_posix().removesuffix(".yaml")
    now = from_micros(_pinned(known, tape))
    return name, known.get("origin", "unknown"), now, len(tape), path.stat().st_size, covers


def problems(path: Path) -> list[str]:
    """What is wrong with a cassette: unreadable, secrets in it, bodies that are not JSON."""
    try:
        tape = _load(path, "none")
    except StoreError as error:
        return [error.message]
    found = []
    text = path.read_text(encoding="utf-8").lower()
    found += [f"it holds {word!r}" for word in ("set-cookie", "authorization", "access_key") if word in text]
    for request, response in zip(tape.requests, tape.responses, strict=True):
        if response["status"]["code"] == 200:
            try:
                json.loads(response["body"]["string"])
            except ValueError:
                found.append(f"the answer to {_said(request)} is not JSON")
    return found


def record_again(path: Path) -> int:
    """Ask the exchange of the settings everything a cassette holds, and store what it says now.

    The moments asked about stay the same, so candles of the past should come back as they were.
    The old file is replaced only when every request was answered. Returns how many there are.
    """
    old = _load(path, "none")
    questions = [(urlsplit(one.uri).path, parse_qsl(urlsplit(one.uri).query)) for one in old.requests]
    fresh = path.with_name(f".{path.name}.new.yaml")
    fresh.unlink(missing_ok=True)
    tape = Cassette(fresh, "all")
    try:
        with tape:
            ports = engine_for(current()).ports
            for place, params in questions:
                endpoint = Endpoint("recorded", place.lstrip("/"), _group_of(place), "")
                _bridge.run(ports.rest.get, endpoint, dict(params))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return len(questions)


def _group_of(place: str) -> str:
    """The limit group of a path."""
    for endpoint in ENDPOINTS.values():
        if place.lstrip("/") == endpoint.path:
            return endpoint.group
    return candles_endpoint(INTERVALS["1d"]).group
