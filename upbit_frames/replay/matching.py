"""What a recorded request asked and how a recorded answer is written: the pure half of cassettes.

Two requests are the same question when region, path and parameters agree, whatever the host:
what was recorded from a stand-in exchange on one port is found again on any other.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from upbit_frames.core.endpoints import ENDPOINTS, REGIONS
from upbit_frames.core.intervals import INTERVALS

__all__ = ["KEPT_HEADERS", "Asked", "covered_calls", "nearest", "origin_of", "pretty_json", "public_uri", "secrets"]

KEPT_HEADERS = ("content-type", "date", "remaining-req", "retry-after")
"""Everything else an answer's head says is of no use in replay, or nobody's business."""

DEFAULTS = {"count": {"candles": "1", "trades": "1", "orderbook": "30"}, "level": "0", "is_details": "false"}
"""Leaving these out asks the same as giving them (upbit-api 3)."""

_HOSTS = {urlsplit(region.rest_url).hostname: region.code for region in REGIONS.values()}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_IPV4 = re.compile(rb"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_IPV6 = re.compile(rb"[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_NAMES = {endpoint.path: endpoint.name for endpoint in ENDPOINTS.values()} | {
    f"v1/{interval.path}": f"candles {name}" for name, interval in INTERVALS.items()
}
_SECRET_NAMES = re.compile(
    r"authori[sz]ation|cookie|token|secret|access[-_]?key|api[-_]?key|signature|forwarded|client[-_]?ip|real[-_]?ip",
    re.IGNORECASE,
)
_SECRET_VALUES = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}|\bBearer\s+\S+", re.IGNORECASE)
_TOKENS = re.compile(
    rb"()\beyJ[\w-]{8,}(?:\.[\w-]*)+"
    rb"|(\bbearer\s+)[^\s\"'<>,;]+"
    rb"|((?:token|secret|signature|password|authori[sz]ation|(?:access|api)[-_ ]?key)[\"']?\s*[=:]\s*[\"']?)"
    rb"[^\s\"'<>,;&}]+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Asked:
    """One question, by what it asks.

    Attributes
    ----------
    region : str
    path : str
        Without leading slash.
    params : tuple of (str, str)
        Sorted; what says no more than the default is left out.

    Examples
    --------
    >>> Asked.parse("http://127.0.0.1:4711/v1/orderbook?markets=KRW-BTC&count=30").text
    'GET /v1/orderbook?markets=KRW-BTC'
    """

    region: str
    path: str
    params: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, url: str, region: str | None = None) -> Asked:
        """The question of a URL; the region is the host's where none is given."""
        parts = urlsplit(url)
        path = parts.path.strip("/")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        kept = tuple(sorted((key, value) for key, value in pairs if not _is_default(path, key, value)))
        return cls(region or region_of(url), path, kept)

    @property
    def text(self) -> str:
        """Readable, in one line."""
        query = unquote(urlencode(self.params, safe=",:"))
        where = "" if self.region == "kr" else f" ({self.region})"
        return f"GET /{self.path}{'?' + query if query else ''}{where}"

    @property
    def known(self) -> bool:
        """Whether this package could ever ask it."""
        return self.path in _NAMES

    @property
    def call(self) -> str:
        """What it is about, for lists: endpoint and markets."""
        params = dict(self.params)
        about = params.get("market") or params.get("markets") or params.get("quote_currencies") or ""
        if about.count(",") > 2:
            about = f"{about.count(',') + 1} markets"
        return f"{_NAMES.get(self.path, '/' + self.path)} {about}".strip()


def _is_default(path: str, key: str, value: str) -> bool:
    default = DEFAULTS.get(key)
    if isinstance(default, Mapping):
        return any(part in path and value == usual for part, usual in default.items())
    return default == value


def region_of(url: str) -> str:
    """Which exchange a recorded URL belongs to; Korea where it does not say."""
    host = urlsplit(url).hostname or ""
    first = host.split(".")[0]
    return _HOSTS.get(host) or (first if first in REGIONS else "kr")


def origin_of(url: str) -> str:
    """``live`` for one of Upbit's hosts, ``stand-in`` for this machine, else ``other``."""
    host = urlsplit(url).hostname or ""
    if host in _HOSTS:
        return "live"
    return "stand-in" if host in _LOOPBACK or host.endswith("stand-in.invalid") else "other"


def public_uri(url: str, region: str) -> str:
    """The URL as it is written down: ports, credentials and addresses of machines stay out."""
    parts, origin = urlsplit(url), origin_of(url)
    base = (
        REGIONS[region].rest_url
        if origin == "live"
        else f"http://{'' if region == 'kr' else region + '.'}{origin}.invalid"
    )
    return f"{base}{parts.path}{'?' + parts.query if parts.query else ''}"


def nearest(asked: Asked, recorded: Iterable[Asked]) -> Asked | None:
    """The recorded question most like the one asked; None where there is none at all.

    Examples
    --------
    >>> one = Asked.parse("https://api.upbit.com/v1/ticker?markets=KRW-BTC")
    >>> two = Asked.parse("https://api.upbit.com/v1/market/all")
    >>> nearest(Asked.parse("https://api.upbit.com/v1/ticker?markets=KRW-ETH"), [two, one]) == one
    True
    """
    params = set(asked.params)
    best: list[Asked] = []
    most = (False, False, -1)
    for other in recorded:
        same = other.path == asked.path
        if most[0] and not same:
            continue
        likeness = (same, other.region == asked.region, len(params.intersection(other.params)))
        if likeness > most:
            most, best = likeness, []
        # The text decides last, and only between a few that are alike otherwise: comparing it is slow.
        if likeness == most and len(best) < 200:
            best.append(other)
    return max(best, key=lambda one: difflib.SequenceMatcher(None, asked.text, one.text).ratio(), default=None)


def difference(asked: Asked, other: Asked) -> str:
    """What the two disagree on, in words."""
    if other.path != asked.path:
        return f"another path, /{other.path}"
    ours, theirs = dict(asked.params), dict(other.params)
    names = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    told = [f"{name}={theirs.get(name, 'absent')} instead of {ours.get(name, 'absent')}" for name in names]
    if asked.region != other.region:
        told.append(f"region {other.region} instead of {asked.region}")
    return ", ".join(told)


def covered_calls(asked: Iterable[Asked]) -> str:
    """What a cassette is about, in one line: every call once, with how often.

    Examples
    --------
    >>> covered_calls([Asked.parse("https://api.upbit.com/v1/ticker?markets=KRW-BTC")] * 2)
    'ticker KRW-BTC ×2'
    """
    counts = Counter(one.call for one in asked)
    return ", ".join(f"{call} ×{count}" if count > 1 else call for call, count in sorted(counts.items()))


def kept_headers(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The headers worth keeping, as vcrpy writes them."""
    kept: dict[str, list[str]] = {}
    for name, value in headers:
        if name.lower() in KEPT_HEADERS:
            kept.setdefault(name.title(), []).append(value)
    return dict(sorted(kept.items()))


def without_traces(body: bytes) -> bytes:
    """A refusal without the address of the machine that was refused, and without keys and tokens it repeats.

    Examples
    --------
    >>> without_traces(b'{"message":"2001:db8::7 is blocked at 12:30:59","token":"abc"}')
    b'{"message":":: is blocked at 12:30:59","token":"***"}'
    """
    body = _TOKENS.sub(lambda match: (match[1] or match[2] or match[3] or b"") + b"***", body)
    return _IPV4.sub(b"0.0.0.0", _IPV6.sub(_without_address, body))


def _without_address(match: re.Match[bytes]) -> bytes:
    whole = match[0].decode()
    text = whole.rstrip(".")
    before = ":" if text.startswith(":") and not text.startswith("::") else ""
    after = ":" if text.endswith(":") and not text.endswith("::") else ""
    with contextlib.suppress(ValueError):  # a time of day has two colons too
        ipaddress.IPv6Address(text.removeprefix(before).removesuffix(after))
        return f"{before}::{after}{whole[len(text) :]}".encode()
    return match[0]


def group_of(path: str) -> str:
    """The limit group of a path."""
    return next((one.group for one in ENDPOINTS.values() if one.path == path), "candles")


def is_json(body: bytes) -> bool:
    """Whether a body can be read as JSON, and is no deeper than anything the exchange says."""
    try:
        json.loads(body.decode())
    except (ValueError, RecursionError):
        return False
    return True


def pretty_json(body: bytes) -> bytes:
    """JSON laid out for people and diffs; anything else unchanged.

    Objects and lists of plain values take one line each. Numbers keep every digit as written,
    because parsing them as floats could change what a frame holds.

    Examples
    --------
    >>> print(pretty_json(b'[{"a":1.10,"b":[]},{"a":2}]').decode())
    [
      {"a": 1.10, "b": []},
      {"a": 2}
    ]
    """
    if not is_json(body):
        return body
    return _layout(_TOKEN.findall(body.decode())).encode()


def _layout(marks: list[str]) -> str:
    flat = _flat_openers(marks)
    pieces: list[str] = []
    opened: list[bool] = []  # for each open bracket, whether its content is broken into lines
    for place, mark in enumerate(marks):
        if mark in "[{":
            opened.append(place not in flat)
            pieces.append(mark)
            if opened[-1]:
                pieces.append("\n" + "  " * sum(opened))
        elif mark in "]}":
            if opened.pop():
                pieces.append("\n" + "  " * sum(opened))
            pieces.append(mark)
        elif mark == ",":
            pieces.append(",\n" + "  " * sum(opened) if opened[-1] else ", ")
        else:
            pieces.append(": " if mark == ":" else mark)
    return "".join(pieces)


def _flat_openers(marks: list[str]) -> set[int]:
    """Where brackets open that hold no further ones, except empty ones."""
    flat: set[int] = set()
    stack: list[tuple[int, bool]] = []
    for place, mark in enumerate(marks):
        if mark in "[{":
            stack.append((place, True))
        elif mark in "]}":
            opener, simple = stack.pop()
            if simple:
                flat.add(opener)
            if stack and place > opener + 1:
                stack[-1] = (stack[-1][0], False)
    return flat


def secrets(uri: str, headers: Mapping[str, Any]) -> list[str]:
    """What of a request or answer should not be in a file that is shared; names only.

    Examples
    --------
    >>> secrets("https://api.upbit.com/v1/accounts", {"Authorization": ["Bearer x"]})
    ['header Authorization']
    """
    parts = urlsplit(uri)
    found = ["credentials in the URL"] if parts.username or parts.password else []
    for name, value in parse_qsl(parts.query):
        if _SECRET_NAMES.search(name) or _SECRET_VALUES.search(value):
            found.append(f"parameter {name}")
    for name, values in headers.items():
        text = " ".join(map(str, values)) if isinstance(values, list) else str(values)
        if _SECRET_NAMES.search(str(name)) or _SECRET_VALUES.search(text):
            found.append(f"header {name}")
    return found
