"""Settings: what they are, where each came from, and how to change them.

Precedence: argument > ``using`` > ``configure`` > environment > default.

Every setting, its check and its documentation stand here together, so it is longer than other modules.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from upbit_frames.core import endpoints, html
from upbit_frames.core.moments import parse_zone, zone_name
from upbit_frames.core.other_names import absent
from upbit_frames.core.urls import check_store_url, place_name, redacted
from upbit_frames.errors import ConfigError, QueryError

__all__ = ["Config", "ConfigView", "config", "configure", "current", "using"]

ENV_PREFIX = "UPBIT_FRAMES_"
OUTPUTS = ("pandas", "arrow", "polars")
RECORD_MODES = ("none", "once", "new_episodes", "all")
_LONGEST_PATH = 3_800  # the system's limit is 4,096 on Linux; the store's own folders and names must fit below
_LONGEST_NAME = 255
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, repr=False)
class Config:
    """All settings of a client. Every field can be given to ``configure``, ``using`` or ``Client``.

    Attributes
    ----------
    region : {"kr", "sg", "id", "th"}
        Which of Upbit's exchanges; decides the URLs below unless they are given.
    rest_url : str
        Where REST is served. https; plain http is accepted for loopback only.
    ws_url : str
        Where streams are served. wss; plain ws is accepted for loopback only.
    archive_url : str
        Where the archive's files are.
    archive_listing_url : str
        Where the archive lists its files.
    archive : bool
        Whether the published archive may be used (its terms: personal, non-commercial use).
    cache_dir : pathlib.Path
        Root of the local store.
    shared_store : str
        URL of a team's store (s3, gs, abfs, file) from which the local one is filled before the network; empty: none.
        Credentials come from the environment.
    cassette_dir : pathlib.Path
        Where cassettes and tapes are.
    record : str or None
        Record mode of cassettes; None: ``once``, or ``none`` where the environment has CI set.
    tz : str
        Zone in which naive times are read and the index is expressed.
    output : {"pandas", "arrow", "polars"}
        What calls return.
    progress : bool or "auto"
        Progress bars.
    timeout : float
        Seconds for connecting, and for each whole answer; a file of the archive has longer as long as it keeps coming.
    rate : float
        Share of Upbit's request limit to use, above 0 and up to 1.

    Examples
    --------
    >>> Config(tz="Asia/Seoul", rate=0.5).tz
    'Asia/Seoul'
    """

    region: str = "kr"
    rest_url: str = ""
    ws_url: str = ""
    archive_url: str = endpoints.ARCHIVE_URL
    archive_listing_url: str = endpoints.ARCHIVE_LISTING_URL
    archive: bool = False
    cache_dir: Path = Path()
    shared_store: str = ""
    cassette_dir: Path = Path("cassettes")
    record: str | None = None
    tz: str = "UTC"
    output: str = "pandas"
    progress: bool | str = "auto"
    timeout: float = 10.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            checked = _check(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, checked)
        region = endpoints.REGIONS[self.region]
        if not self.rest_url:
            object.__setattr__(self, "rest_url", region.rest_url)
        if not self.ws_url:
            object.__setattr__(self, "ws_url", region.ws_url)
        if self.cache_dir == Path():
            import platformdirs

            object.__setattr__(self, "cache_dir", platformdirs.user_cache_path("upbit-frames"))

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Config:
        """Defaults, environment, then the given values.

        Examples
        --------
        >>> Config.from_env({"UPBIT_FRAMES_TZ": "Asia/Seoul"}).tz
        'Asia/Seoul'
        """
        return cls(**{**_env_values(os.environ if env is None else env), **known(overrides)})

    def replace(self, **changes: Any) -> Config:
        """A copy with some settings changed; changing the region also moves the URLs it implies.

        Examples
        --------
        >>> Config().replace(output="arrow").output
        'arrow'
        """
        changes = known(changes)
        old = endpoints.REGIONS[self.region]
        if changes.get("region", self.region) != self.region:
            for name, implied in (("rest_url", old.rest_url), ("ws_url", old.ws_url)):
                if getattr(self, name) == implied:
                    changes.setdefault(name, "")
        return dataclasses.replace(self, **changes)

    @cached_property
    def origin(self) -> str:
        """Which exchange the data is from, as a folder name: data of two origins never mix.

        ``""`` for Upbit Korea, the region's code for the others, a name made of host, port and path
        for any other URL (a stand-in exchange must never write into the store of the real one).

        Examples
        --------
        >>> Config().origin, Config(region="sg").origin != ""
        ('', True)
        """
        for region in endpoints.REGIONS.values():
            if self.rest_url.rstrip("/") == region.rest_url:
                return "" if region.code == "kr" else region.code
        return place_name(self.rest_url)

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={_without_password(name, getattr(self, name))!r}' for name in FIELDS)})"


_SYNONYMS = {
    "timezone": "tz", "time_zone": "tz", "zone": "tz", "cache": "cache_dir", "cache_path": "cache_dir",
    "store": "cache_dir", "path": "cache_dir", "cassettes": "cassette_dir", "url": "rest_url", "base_url": "rest_url",
    "host": "rest_url", "format": "output", "verbose": "progress", "progress_bar": "progress", "rate_limit": "rate",
    "country": "region", "mode": "record", "record_mode": "record",
}  # fmt: skip
FIELDS = {field.name: field for field in dataclasses.fields(Config)}


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, if every name is a setting; otherwise ConfigError with the nearest name."""
    for name in values:
        if name not in FIELDS:
            known_as = _SYNONYMS.get(name.lower())
            near = [known_as] if known_as else difflib.get_close_matches(name.lower(), FIELDS, n=1)
            hint = f"did you mean {near[0]!r}? There are" if near else "there are"
            hint = f"source='store' in a call reads the store only; {hint}" if name.lower() == "offline" else hint
            raise ConfigError(f"there is no setting {name!r}", suggestion=f"{hint}: {', '.join(sorted(FIELDS))}")
    return dict(values)


def _env_values(env: Mapping[str, str]) -> dict[str, str]:
    return {name: env[ENV_PREFIX + name.upper()] for name in FIELDS if env.get(ENV_PREFIX + name.upper(), "") != ""}


def _check(name: str, value: Any) -> Any:
    """The value in its proper type, or ConfigError saying what is expected."""

    def refuse(expected: str) -> ConfigError:
        return ConfigError(
            f"setting {name}={_short(_without_password(name, value))} is not possible",
            suggestion=f"give {expected}, in code or as {ENV_PREFIX}{name.upper()}",
        )

    if name == "region":
        if value not in endpoints.REGIONS:
            raise refuse(f"one of {', '.join(endpoints.REGIONS)}")
    elif name.endswith("_url"):
        return _check_url(value, refuse, websocket=name == "ws_url")
    elif name == "archive":
        return _check_bool(value, refuse)
    elif name == "shared_store":
        return _check_store(value, refuse)
    elif name == "progress":
        return "auto" if value == "auto" else _check_bool(value, refuse)
    elif name in ("cache_dir", "cassette_dir"):
        return _check_folder(name, value, refuse)
    elif name == "output":
        if value not in OUTPUTS:
            raise refuse(f"one of {', '.join(OUTPUTS)}")
    elif name == "record":
        if value is not None and value not in RECORD_MODES:
            raise refuse(f"one of {', '.join(RECORD_MODES)}")
    elif name == "tz":
        try:
            return zone_name(parse_zone(value))
        except ConfigError as error:
            raise ConfigError(error.message, suggestion=f"{error.suggestion}, in code or as {ENV_PREFIX}TZ") from None
    elif name in ("timeout", "rate"):
        return _check_number(value, refuse, most=1.0 if name == "rate" else 3600.0)
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters at least: "C:/" is a drive


def _check_folder(name: str, value: Any, refuse: Any) -> Path:
    if not isinstance(value, (str, os.PathLike)):
        raise refuse("the path of a folder, as str or pathlib.Path")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise refuse("the path of a folder as text, not bytes")
    if _URL.match(text):
        if name != "cache_dir":
            raise refuse("the path of a local folder, not a URL")
        raise refuse(
            "the path of a local folder, not a URL: the store needs locks and renames, which object stores lack "
            "(a read-only shared store behind it is the setting shared_store)"
        )
    try:
        if b"\0" in os.fsencode(text):
            raise refuse("the path of a folder without NUL characters")
        path = Path(text).expanduser()
    except (UnicodeError, RuntimeError):
        raise refuse("the path of a folder that exists or can be made (the user after ~ must exist)") from None
    if len(os.fsencode(path)) > _LONGEST_PATH or any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise refuse(f"a shorter path: up to {_LONGEST_PATH} bytes, and {_LONGEST_NAME} for each name in it")
    return path


def _check_url(value: Any, refuse: Any, *, websocket: bool) -> str:
    secure, plain = ("wss", "ws") if websocket else ("https", "http")
    if not isinstance(value, str):
        raise refuse(f"a {secure}:// URL")
    if value == "":
        return value
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port  # .port raises where it is not a number
        (host or "").encode("idna")  # raises where it can be no host's name
    except ValueError:
        raise refuse(f"a {secure}:// URL") from None
    if re.search(r"[\x00-\x20\x7f]", value) or parts.query or parts.fragment:
        raise refuse(f"a {secure}:// URL without spaces, control characters, query and fragment")
    if "@" in parts.path:  # most likely the end of a password with a slash in it
        raise refuse(f"a {secure}:// URL whose user name and password are percent-encoded")
    allowed = parts.scheme == secure or (parts.scheme == plain and host in _LOOPBACK)
    if not host or not allowed:
        raise refuse(f"a {secure}:// URL ({plain}:// is accepted for this machine only)")
    return value.rstrip("/")


def _check_store(value: Any, refuse: Any) -> str:
    if value == "":
        return ""
    try:
        return check_store_url(value)
    except QueryError as error:
        raise refuse(error.suggestion or "a URL") from error


def _without_password(name: str, value: Any) -> Any:
    """A setting as it may be printed: a URL without user name and password."""
    if not name.endswith(("_url", "_store")) or not isinstance(value, str) or "@" not in value:
        return value
    # What is no URL may have them in another place than redacted() looks for them.
    text = redacted(value)
    return text if "@" not in text.replace("://***@", "") else f"***@{value.rpartition('@')[2]}"


def _check_bool(value: Any, refuse: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise refuse("true or false")


def _check_number(value: Any, refuse: Any, *, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise refuse(f"a number above 0 and up to {most:g}") from None
    if not 0 < number <= most:
        raise refuse(f"a number above 0 and up to {most:g}")
    return number


_configured: dict[str, Any] = {}
_configured_lock = threading.Lock()
_HOMES = ("HOME", "XDG_CACHE_HOME", "USERPROFILE", "LOCALAPPDATA")  # where the default cache depends on
_latest: tuple[object, Config | None] = (None, None)
_using: ContextVar[Mapping[str, Any] | None] = ContextVar("upbit_frames_using", default=None)


def current() -> Config:
    """The settings in force here: ``using`` over ``configure`` over environment over default."""
    global _latest
    values = {**_env_values(os.environ), **_configured, **(_using.get() or {})}
    # Checking every setting takes longer than the rest of a small call, so it is done when one changes.
    proof = (values, [os.environ.get(name) for name in _HOMES])
    known_proof, latest = _latest
    if latest is None or known_proof != proof:
        latest = Config(**values)
        _latest = (proof, latest)
    return latest


def configure(**settings: Any) -> None:
    """Change settings for the whole process; ``None`` puts a setting back to its default.

    Raises
    ------
    ConfigError
        If a name is unknown or a value impossible; nothing is changed then.

    Examples
    --------
    >>> configure(tz="Asia/Seoul")
    >>> current().tz
    'Asia/Seoul'
    >>> configure(tz=None)
    """
    settings = known(settings)
    with _configured_lock:
        merged = {k: v for k, v in {**_configured, **settings}.items() if v is not None}
        Config(**{**_env_values(os.environ), **merged})  # raises before anything is kept
        _configured.clear()
        _configured.update(merged)


@contextlib.contextmanager
def using(**settings: Any) -> Iterator[Config]:
    """Change settings inside a ``with`` block, for this thread or task only.

    Examples
    --------
    >>> with using(output="arrow") as inside:
    ...     inside.output
    'arrow'
    """
    token = _using.set({**(_using.get() or {}), **known(settings)})
    try:
        yield current()
    finally:
        _using.reset(token)


class ConfigView:
    """Shows every setting in force with where it came from; reads like a :class:`Config`."""

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS or name == "origin":
            return getattr(current(), name)
        raise absent("uf.config", name, FIELDS)

    def __dir__(self) -> list[str]:
        return sorted(FIELDS)

    def rows(self) -> list[tuple[str, Any, str]]:
        """Return name, value and origin (``using``, ``configure``, ``environment`` or ``default``) of each setting.

        Examples
        --------
        >>> import upbit_frames as uf
        >>> uf.config.rows()[0][0]
        'region'
        """
        values, env, inside = current(), _env_values(os.environ), _using.get() or {}
        origins = {
            **{name: f"environment {ENV_PREFIX}{name.upper()}" for name in env},
            **dict.fromkeys(_configured, "configure"),
            **dict.fromkeys(inside, "using"),
        }
        return [(name, _without_password(name, getattr(values, name)), origins.get(name, "default")) for name in FIELDS]

    def __repr__(self) -> str:
        rows = [(name, str(value), origin) for name, value, origin in self.rows()]
        wide = [max(len(row[i]) for row in rows) for i in (0, 1)]
        lines = [f"  {name:<{wide[0]}}  {value:<{wide[1]}}  {origin}" for name, value, origin in rows]
        return "upbit_frames settings\n" + "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [(name, str(value), origin) for name, value, origin in self.rows()]
        return html.table(("setting", "value", "from"), rows)


config = ConfigView()
