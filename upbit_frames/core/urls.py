"""URLs: how they may be printed, and the names that folders get from them. No I/O."""

from __future__ import annotations

import hashlib
import os
import re
from urllib.parse import parse_qsl, unquote, urlsplit

from upbit_frames.errors import QueryError

__all__ = ["S3_OPTIONS", "check_store_url", "host_name", "place_name", "redacted"]

_CREDENTIALS = re.compile(r"://[^/?#\s]*@")
STORE_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "file")
S3_OPTIONS = ("region", "endpoint_override", "scheme")  # what the query of an S3 URL may say
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


def check_store_url(value: object) -> str:
    """Return the URL of a shared store, checked without touching it.

    Raises
    ------
    QueryError
        If it is none, or of a kind that pyarrow cannot open.

    Examples
    --------
    >>> check_store_url("s3://team/upbit/")
    's3://team/upbit'
    """
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    parts = urlsplit(text) if isinstance(text, str) else None
    if (
        text is None
        or parts is None
        or parts.scheme not in STORE_SCHEMES
        or not (parts.netloc or parts.path.strip("/"))
    ):
        raise QueryError(
            f"shared_store must be the URL of an object store or folder, got {redacted(repr(value))}",
            suggestion=f"such as s3://bucket/prefix or file:///mnt/upbit; there are {', '.join(STORE_SCHEMES)}",
        )
    dots = any(part in ("..", ".") for part in unquote(parts.path).split("/"))
    if dots or any(ord(letter) <= 32 for letter in unquote(text)):
        raise QueryError(f"a shared store's URL may not hold '..', '.' or spaces, got {redacted(text)}")
    if parts.scheme == "s3":
        for name, _ in parse_qsl(parts.query):
            if name not in S3_OPTIONS:
                raise QueryError(
                    f"{name!r} is no option of an S3 URL", suggestion=f"there are: {', '.join(S3_OPTIONS)}"
                )
    elif parts.query or parts.fragment:
        raise QueryError(f"a shared store's URL has no query or fragment, got {redacted(text)}")
    path = parts.path.rstrip("/")
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{path}{query}"
