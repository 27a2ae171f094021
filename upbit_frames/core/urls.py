"""URLs: how they may be shown, and the names that folders get from them. No I/O."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

__all__ = ["host_name", "place_name", "redacted"]

_CREDENTIALS = re.compile(r"://[^/?#\s]*@")
_LONGEST = 100  # letters of a host or path in a file name


def redacted(text: str) -> str:
    """Return a text without the user names and passwords of the URLs in it.

    Examples
    --------
    >>> redacted("no answer from https://me:secret@example.com:8443/v1")
    'no answer from https://***@example.com:8443/v1'
    """
    return _CREDENTIALS.sub("://***@", text)


def host_name(url: str) -> str:
    """Return host and port of a URL as a file name.

    Examples
    --------
    >>> host_name("https://api.upbit.com"), host_name("http://[::1]:7/path")
    ('api.upbit.com_443', '__1_7')
    """
    parts = urlsplit(url)
    plain = parts.scheme in ("http", "ws")
    return f"{_safe((parts.hostname or 'unknown').lower())}_{parts.port or (80 if plain else 443)}"


def place_name(url: str) -> str:
    """Return host, port and path of a URL as a folder name; different paths have different names.

    Examples
    --------
    >>> place_name("https://example.com/")
    'example.com_443'
    >>> place_name("https://example.com/a/b") != place_name("https://example.com/a_b")
    True
    """
    path = urlsplit(url).path.strip("/")
    return f"{host_name(url)}_{_safe(path, always=True)}" if path else host_name(url)


def _safe(text: str, *, always: bool = False) -> str:
    """A part of a file name; a digest is added where letters are replaced or left out."""
    kept = re.sub(r"[^A-Za-z0-9.-]", "_", text)[:_LONGEST]
    plain = not always and (kept == text or re.fullmatch(r"[0-9a-fA-F:.]+", text))
    return kept if plain else f"{kept}_{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}"
