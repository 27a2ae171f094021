"""What a refusal says (upbit-api 2.3)."""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec

__all__ = ["error_message"]

LENGTH = 200  # characters of text worth showing
_READ = 8192  # bytes of a page looked at; keeps the patterns below cheap on any text
_HIDDEN = re.compile(r"(?is)<(script|style)\b.*?(</\1\s*>|\Z)|<!--.*?(-->|\Z)")
_TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title>")
_TAG = re.compile(r"<[^<>]*>")


def error_message(body: bytes) -> str:
    """The best short text a refusal's body offers.

    Parameters
    ----------
    body : bytes
        Upbit's JSON of either spelling, other JSON, a web page, plain text, or nothing.

    Returns
    -------
    str
        One line of at most 200 characters; ``""`` if the body says nothing.

    Examples
    --------
    >>> error_message(b'{"error":{"name":404,"message":"Code not found"}}')
    'Code not found'
    >>> error_message(b"<html><head><title>502 Bad Gateway</title></head></html>")
    '502 Bad Gateway'
    >>> error_message(b"Too many API requests.")
    'Too many API requests.'
    """
    try:
        text = _spoken(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = _readable(body[:_READ].decode("utf-8", "replace"))
    line = " ".join(text.split())
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"


def _spoken(answer: Any) -> str:
    """The message inside decoded JSON, wherever it is kept; else the JSON itself."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, dict):
        for key in ("error", "message", "msg", "error_description", "detail", "title", "name"):
            if key in answer and answer[key] not in (None, "", {}, []):
                return _spoken(answer[key])
    if answer in (None, {}, []):
        return ""
    return msgspec.json.encode(answer).decode()


def _readable(text: str) -> str:
    if "<" not in text:
        return text
    title = _TITLE.search(text)
    if title and title[1].strip():
        return html.unescape(title[1])
    return html.unescape(_TAG.sub(" ", _HIDDEN.sub(" ", text)))
