"""Which recorded request answers which: keys, their likeness, and where a URL leads. No I/O.

Two requests have the same key when region, path and parameters agree, whatever the host: a recording
of a stand-in exchange on one port matches requests to any other.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from upbit_frames.core.endpoints import ENDPOINTS, REGIONS
from upbit_frames.core.intervals import INTERVALS

__all__ = ["ORIGIN_LABELS", "RequestKey", "difference", "nearest", "origin_of", "region_of", "summary"]

DEFAULTS = {
    "count": {"candles": "1", "trades": "1", "orderbook": "30"},
    "days_ago": "0",
    "level": "0",
    "is_details": "false",
}
"""Parameters that mean the same where they are left out (upbit-api 3); by part of the path where that matters."""

ORIGIN_LABELS = {"stand-in": "stand-in exchange (invented data)"}
"""How origins are written in files and listings, where not by their own name."""

MAX_CANDIDATES = 200  # equally similar keys whose texts are compared, which is slow

_HOSTS = {urlsplit(region.rest_url).hostname: region.code for region in REGIONS.values()}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_CALLS = {endpoint.path: endpoint.name for endpoint in ENDPOINTS.values()} | {
    f"v1/{interval.path}": f"candles {name}" for name, interval in INTERVALS.items()
}


@dataclass(frozen=True)
class RequestKey:
    """Identity of a request to the exchange.

    Attributes
    ----------
    region : str
    path : str
        Without leading slash.
    params : tuple of (str, str)
        Sorted, without parameters that have their default value.

    Examples
    --------
    >>> RequestKey.parse("http://127.0.0.1:4711/v1/orderbook?markets=KRW-BTC&count=30").text
    'GET /v1/orderbook?markets=KRW-BTC'
    """

    region: str
    path: str
    params: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, url: str, region: str | None = None) -> RequestKey:
        """Return the key of a URL; without ``region`` the host decides it."""
        parts = urlsplit(url)
        path = parts.path.strip("/")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        params = tuple(sorted((name, value) for name, value in pairs if not _is_default(path, name, value)))
        return cls(region or region_of(url), path, params)

    @property
    def text(self) -> str:
        """The request in one line."""
        query = unquote(urlencode(self.params, safe=",:"))
        region = "" if self.region == "kr" else f" ({self.region})"
        return f"GET /{self.path}{'?' + query if query else ''}{region}"

    @property
    def known(self) -> bool:
        """Whether this package sends such requests."""
        return self.path in _CALLS

    @property
    def call(self) -> str:
        """Endpoint and markets, for listings."""
        params = dict(self.params)
        subject = params.get("market") or params.get("markets") or params.get("quote_currencies") or ""
        if subject.count(",") > 2:
            subject = f"{subject.count(',') + 1} markets"
        return f"{_CALLS.get(self.path, '/' + self.path)} {subject}".strip()


def _is_default(path: str, name: str, value: str) -> bool:
    default = DEFAULTS.get(name)
    if isinstance(default, Mapping):
        return any(part in path and value == usual for part, usual in default.items())
    return default == value


def region_of(url: str) -> str:
    """Return the region a recorded URL belongs to; ``kr`` where the host does not say."""
    host = urlsplit(url).hostname or ""
    first = host.split(".")[0]
    return _HOSTS.get(host) or (first if first in REGIONS else "kr")


def origin_of(url: str) -> str:
    """Return ``live`` for one of Upbit's hosts, ``stand-in`` for this machine, else ``other``."""
    host = urlsplit(url).hostname or ""
    if host in _HOSTS:
        return "live"
    return "stand-in" if host in _LOOPBACK or host.endswith("stand-in.invalid") else "other"


def nearest(key: RequestKey, recorded: Iterable[RequestKey]) -> RequestKey | None:
    """Return the recorded key most similar to another; None if nothing is recorded.

    Examples
    --------
    >>> ticker = RequestKey.parse("https://api.upbit.com/v1/ticker?markets=KRW-BTC")
    >>> markets = RequestKey.parse("https://api.upbit.com/v1/market/all")
    >>> nearest(RequestKey.parse("https://api.upbit.com/v1/ticker?markets=KRW-ETH"), [markets, ticker]) == ticker
    True
    """
    params = set(key.params)
    best: list[RequestKey] = []
    highest = (False, False, -1)
    for other in recorded:
        same_path = other.path == key.path
        if highest[0] and not same_path:
            continue
        score = (same_path, other.region == key.region, len(params.intersection(other.params)))
        if score > highest:
            highest, best = score, []
        if score == highest and len(best) < MAX_CANDIDATES:
            best.append(other)
    return max(best, key=lambda other: difflib.SequenceMatcher(None, key.text, other.text).ratio(), default=None)


def difference(key: RequestKey, other: RequestKey) -> str:
    """Describe what a recorded key has instead of what was requested."""
    if other.path != key.path:
        return f"another path, /{other.path}"
    ours, theirs = dict(key.params), dict(other.params)
    names = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    parts = [f"{name}={theirs.get(name, 'absent')} instead of {ours.get(name, 'absent')}" for name in names]
    if key.region != other.region:
        parts.append(f"region {other.region} instead of {key.region}")
    return ", ".join(parts)


def summary(keys: Iterable[RequestKey]) -> str:
    """Return the calls of a cassette in one line, each with how often it occurs.

    Examples
    --------
    >>> summary([RequestKey.parse("https://api.upbit.com/v1/ticker?markets=KRW-BTC")] * 2)
    'ticker KRW-BTC ×2'
    """
    counts = Counter(key.call for key in keys)
    return ", ".join(f"{call} ×{count}" if count > 1 else call for call, count in sorted(counts.items()))
