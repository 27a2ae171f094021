"""What the heads of answers state, each value within bounds. No I/O.

A header comes from outside and may hold anything. What is absent, malformed or beyond its bound is
None: an odd answer must neither raise an error of its own nor have a lasting effect.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from upbit_frames.core.intervals import to_micros

__all__ = ["LONGEST_WAIT", "block_seconds", "content_length", "date", "remaining", "retry_after"]

LONGEST_WAIT = 86_400.0  # seconds; a longer wait or block than a day is not believed
_LENGTH = 64  # characters; no header read here is longer
_YEARS = range(2017, 2200)  # the exchange opened in 2017
_REMAINING = re.compile(r"(?:^|[;\s])sec=([0-9]{1,6})(?![0-9])")
_SECONDS = re.compile(r"[0-9]{1,12}")
_DURATION = re.compile(
    r"(?<![0-9.])([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*(ms|milli|s|sec|m|min|h|hour|초|분|시간)", re.IGNORECASE
)
_UNIT = {"ms": 0.001, "mi": 0.001, "s": 1, "m": 60, "h": 3600, "초": 1, "분": 60, "시": 3600}


def remaining(header: str | None) -> int | None:
    """Read how many requests ``Remaining-Req`` leaves for this second.

    Examples
    --------
    >>> remaining("group=ticker; min=600; sec=9")
    9
    >>> remaining("group=ticker; sec=" + "9" * 5000) is None
    True
    """
    match = _REMAINING.search((header or "")[: 4 * _LENGTH])
    return int(match[1]) if match else None


def date(header: str | None) -> int | None:
    """Read an HTTP date as microseconds UTC.

    Examples
    --------
    >>> date("Sun, 01 Mar 2026 00:00:00 GMT")
    1772323200000000
    >>> date("Sun, 01 Mar 99999999999999999999 00:00:00 GMT") is None
    True
    """
    if header is None or len(header) > _LENGTH:
        return None
    try:
        moment = parsedate_to_datetime(header)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return to_micros(moment) if moment.year in _YEARS else None


def retry_after(header: str | None, now: int) -> float | None:
    """Read ``Retry-After``, in seconds or as an HTTP date, as seconds from ``now`` (microseconds UTC).

    Examples
    --------
    >>> retry_after("7", 0)
    7.0
    >>> retry_after("Sun, 01 Mar 2026 00:01:00 GMT", 1_772_323_200_000_000)
    60.0
    >>> [retry_after(text, 0) for text in ("1000000000", "²", "-1", "soon")]
    [None, None, None, None]
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return _believed(float(text))
    moment = date(text)
    return None if moment is None else _believed(max(0.0, (moment - now) / 1e6))


def block_seconds(header: str | None, text: str, now: int) -> float | None:
    """Read how long a 418 blocks, from its ``Retry-After`` or else from the words of its body.

    Returns
    -------
    float or None
        None also where more than a day is stated.

    Examples
    --------
    >>> block_seconds(None, "blocked for 90 seconds", 0)
    90.0
    >>> block_seconds(None, "5분 동안 제한", 0)
    300.0
    """
    if header is not None and header.strip():
        return retry_after(header, now)
    match = _DURATION.search(text)
    if match is None:
        return None
    unit = match[2].lower()
    key = unit if unit in _UNIT else unit[:2] if unit[:2] in _UNIT else unit[:1]
    return _believed(float(match[1]) * _UNIT[key])


def content_length(header: str | None) -> int | None:
    """Read ``Content-Length``.

    Examples
    --------
    >>> content_length("4711"), content_length("1e9"), content_length("9" * 5000)
    (4711, None, None)
    """
    text = (header or "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def _believed(seconds: float) -> float | None:
    return seconds if seconds <= LONGEST_WAIT else None
