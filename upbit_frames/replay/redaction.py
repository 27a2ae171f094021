"""What of a request or response is written to a cassette, and what is left out or masked. No I/O."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from upbit_frames.core.endpoints import REGIONS
from upbit_frames.replay.matching import origin_of

__all__ = ["KEPT_HEADERS", "kept_headers", "masked_body", "public_uri", "secrets"]

KEPT_HEADERS = ("content-type", "date", "remaining-req", "retry-after")
"""The response headers that replay needs; all others are dropped (cookies, addresses, request ids)."""

_IPV4 = re.compile(rb"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_IPV6 = re.compile(rb"[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")
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


def public_uri(url: str, region: str) -> str:
    """Return a URL without user name, password, port and the name of the machine it was sent to.

    Examples
    --------
    >>> public_uri("http://me:pw@127.0.0.1:4711/v1/market/all", "kr")
    'http://stand-in.invalid/v1/market/all'
    """
    parts, origin = urlsplit(url), origin_of(url)
    base = (
        REGIONS[region].rest_url
        if origin == "live"
        else f"http://{'' if region == 'kr' else region + '.'}{origin}.invalid"
    )
    return f"{base}{parts.path}{'?' + parts.query if parts.query else ''}"


def kept_headers(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the headers that replay needs, in vcrpy's form: sorted names, each with a list of values."""
    kept: dict[str, list[str]] = {}
    for name, value in headers:
        if name.lower() in KEPT_HEADERS:
            kept.setdefault(name.title(), []).append(value)
    return dict(sorted(kept.items()))


def masked_body(body: bytes) -> bytes:
    """Mask IP addresses, keys and tokens in the body of an error response.

    Examples
    --------
    >>> masked_body(b'{"message":"2001:db8::7 is blocked at 12:30:59","token":"abc"}')
    b'{"message":":: is blocked at 12:30:59","token":"***"}'
    """
    body = _TOKENS.sub(lambda match: (match[1] or match[2] or match[3] or b"") + b"***", body)
    return _IPV4.sub(b"0.0.0.0", _IPV6.sub(_masked_ipv6, body))


def _masked_ipv6(match: re.Match[bytes]) -> bytes:
    whole = match[0].decode()
    text = whole.rstrip(".")
    before = ":" if text.startswith(":") and not text.startswith("::") else ""
    after = ":" if text.endswith(":") and not text.endswith("::") else ""
    with contextlib.suppress(ValueError):  # a time of day has two colons too
        ipaddress.IPv6Address(text.removeprefix(before).removesuffix(after))
        return f"{before}::{after}{whole[len(text) :]}".encode()
    return match[0]


def secrets(uri: str, headers: Mapping[str, Any]) -> list[str]:
    """List what of a request or response must not be in a file that is shared, by name and without the value.

    Examples
    --------
    >>> secrets("https://api.upbit.com/v1/accounts", {"Authorization": ["Bearer x"]})
    ['header Authorization']
    """
    parts = urlsplit(uri)
    names = ["credentials in the URL"] if parts.username or parts.password else []
    for name, value in parse_qsl(parts.query):
        if _SECRET_NAMES.search(name) or _SECRET_VALUES.search(value):
            names.append(f"parameter {name}")
    for name, values in headers.items():
        text = " ".join(map(str, values)) if isinstance(values, list) else str(values)
        if _SECRET_NAMES.search(str(name)) or _SECRET_VALUES.search(text):
            names.append(f"header {name}")
    return names
