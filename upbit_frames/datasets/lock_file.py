"""The text of a lock: what the calls of a study returned (pure).

A lock is TOML, a few kilobytes, one line a market and month, so that version control shows which months of which
call changed. It holds no rows: digests (see ``datasets.digests``), counts, and which channels served them.

Version rule: ``version`` rises when a reader of the version before would misread the text. A reader reads every version
up to its own and refuses later ones; keys that it does not know are an error, because they could change the meaning.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from upbit_frames.core.intervals import iso, to_micros
from upbit_frames.core.markets import parse_market
from upbit_frames.datasets.digests import DIGITS, Part, digest_of
from upbit_frames.errors import CorruptFile, StoreError

__all__ = ["VERSION", "Lock", "LockedCall", "canonical", "needs_list", "read_lock", "write_lock"]

VERSION = 2  # from 2 on calls may name their markets; a lock in which none does is written as 1
MAX_BYTES = 64 * 2**20  # a lock of ten thousand series over ten years is smaller
TITLE = "# What the calls of a study returned, written by upbit_frames.pinned. For version control; do not edit it.\n"
_PART = re.compile(
    rf"(?P<market>\S+) (?P<month>\d{{4}}-\d\d|all) (?P<rows>\d{{1,12}}) (?P<digest>[0-9a-f]{{{DIGITS}}})", re.ASCII
)
_ORDER = ("market", "quote", "interval", "start", "end", "count")  # in which a call is written for people


@dataclass(frozen=True)
class LockedCall:
    """One call and what it returned.

    Attributes
    ----------
    name : str
        ``"candles"``.
    request : dict
        What identifies the call: markets, interval, range; JSON scalars and lists only.
    parts : tuple of Part
        Digest and number of rows of each market and month.
    sources : dict
        Rows that each channel served when the lock was written.
    end : str or None
        Where the range ended, if the request names no end.
    markets : tuple of str
        The codes that its quote currency or Korean names meant, by the exchange's list of that day.
    """

    name: str
    request: Mapping[str, Any]
    parts: tuple[Part, ...]
    sources: Mapping[str, int] = field(default_factory=dict)
    end: str | None = None
    markets: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What two runs of the same call have in common."""
        return self.name, canonical(self.request)

    @property
    def rows(self) -> int:
        """Rows in all."""
        return sum(part.rows for part in self.parts)

    @property
    def digest(self) -> str:
        """The digest of the whole."""
        return digest_of(self.parts)

    def __str__(self) -> str:
        names = sorted(self.request, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
        values = ", ".join(f"{name}={_brief(self.request[name])}" for name in names)
        return f"{self.name}({values})"


@dataclass
class Lock:
    """Everything that a lock file says.

    Attributes
    ----------
    now : int
        The moment at which the study was first run, by the exchange's clock, microseconds UTC.
    calls : dict
        By ``LockedCall.key``, in the order of the first run.
    versions : dict
        Of the packages that wrote it, for information only.
    """

    now: int
    calls: dict[tuple[str, str], LockedCall] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of all calls."""
        return digest_of(Part(call.name, "all", call.rows, call.digest) for call in self.calls.values())


def canonical(request: Mapping[str, Any]) -> str:
    """Write a request as one line that two equal requests share."""
    return json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def needs_list(request: Mapping[str, Any]) -> bool:
    """Return whether only the exchange's list of markets says which markets a request is about."""
    return "quote" in request or not all(market.isascii() for market in request.get("market", ()))


def write_lock(lock: Lock) -> str:
    """Write a lock as text."""
    versions = ", ".join(f"{json.dumps(name)} = {json.dumps(text)}" for name, text in sorted(lock.versions.items()))
    lines = [TITLE, f"version = {_version(lock)}", f'now = "{iso(lock.now)}"', f"digest = {json.dumps(lock.digest)}"]
    lines.append(f"written_with = {{ {versions} }}\n")
    for call in lock.calls.values():
        sources = ", ".join(f"{json.dumps(name)} = {rows}" for name, rows in sorted(call.sources.items()))
        lines += [
            "[[call]]",
            f"name = {json.dumps(call.name)}",
            f"request = {json.dumps(canonical(call.request))}",
            f"rows = {call.rows}",
            f"digest = {json.dumps(call.digest)}",
            f"sources = {{ {sources} }}",
            *([f"end = {json.dumps(call.end)}"] if call.end else []),
            *([f"markets = {json.dumps(call.markets)}"] if call.markets else []),
            "parts = [",
            *(f"  {json.dumps(str(part))}," for part in call.parts),
            "]\n",
        ]
    return "\n".join(lines)


def _version(lock: Lock) -> int:
    return 2 if any(call.markets for call in lock.calls.values()) else 1


def read_lock(data: bytes, path: str) -> Lock:
    """Read the text of a lock.

    Raises
    ------
    StoreError
        If a newer version of this package wrote it.
    CorruptFile
        If it is no lock, or does not agree with its own digests: it was edited or merged.
    """
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"it has {len(data):,} bytes")
        document = tomllib.loads(data.decode("utf-8"))
        version = document["version"]
        if type(version) is not int or version < 1:
            raise ValueError(f"its version is {version!r}")
        if version > VERSION:
            raise StoreError(
                f"a newer version of this package wrote the lock (lock version {version}, known up to {VERSION})",
                suggestion="update upbit-frames, or write the lock again with mode='all'", path=path,
            )  # fmt: skip
        return _lock(document)
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise CorruptFile(
            f"the lock cannot be read: {error}",
            suggestion="take it from version control, or write it again with mode='all'", path=path,
        ) from error  # fmt: skip


def _lock(document: dict[str, Any]) -> Lock:
    unknown = set(document) - {"version", "now", "digest", "written_with", "call"}
    if unknown:
        raise ValueError(f"it has the unknown keys {sorted(unknown)}")
    moment = datetime.fromisoformat(document["now"])
    if moment.tzinfo is None:
        raise ValueError("its time has no zone")
    versions = {str(name): str(text) for name, text in document.get("written_with", {}).items()}
    lock = Lock(to_micros(moment), versions=versions)
    for entry in document.get("call", []):
        call = _call(entry)
        if call.key in lock.calls:
            raise ValueError(f"it has {call} twice")
        lock.calls[call.key] = call
    if lock.digest != document["digest"]:
        raise ValueError("its digest is not that of its calls")
    return lock


def _call(entry: dict[str, Any]) -> LockedCall:
    unknown = set(entry) - {"name", "request", "rows", "digest", "sources", "end", "markets", "parts"}
    if unknown:
        raise ValueError(f"a call has the unknown keys {sorted(unknown)}")
    request = json.loads(entry["request"])
    if not isinstance(request, dict):
        raise TypeError("the request of a call is no table")
    parts = []
    for line in entry["parts"]:
        match = _PART.fullmatch(line)
        if match is None:
            raise ValueError(f"{line[:80]!r} is no part")
        market = "" if match["market"] == "-" else match["market"]
        parts.append(Part(market, match["month"], int(match["rows"]), match["digest"]))
    sources = {str(name): int(rows) for name, rows in entry.get("sources", {}).items()}
    end = entry.get("end")
    if end is not None:
        datetime.fromisoformat(end)
    markets = tuple(parse_market(market) for market in entry.get("markets", []))
    call = LockedCall(str(entry["name"]), request, tuple(parts), sources, end, markets)
    if (call.rows, call.digest) != (entry["rows"], entry["digest"]):
        raise ValueError(f"the parts of {call} are not those of its digest")
    return call


def _brief(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"[{', '.join(map(repr, value[:3]))}, … {len(value)} in all]"
    return repr(value)
