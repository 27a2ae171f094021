"""Numbers and moments in sentences and tables (pure)."""

from __future__ import annotations

from datetime import datetime

from upbit_frames.core.intervals import from_micros, iso
from upbit_frames.core.moments import parse_zone

__all__ = ["amount", "counted", "moment_text"]


def amount(value: float) -> str:
    """Return a number with thousands separators and at most eight decimals, without an exponent.

    Examples
    --------
    >>> amount(131500000.0), amount(0.00012345), amount(float("nan"))
    ('131,500,000', '0.00012345', 'NaN')
    """
    if value != value:
        return "NaN"
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:,.8f}"
    return text.rstrip("0").rstrip(".")


def counted(number: int, noun: str, width: int = 0) -> str:
    """Return a number with its noun: ``1 request``, ``2,000 requests``.

    Parameters
    ----------
    number : int
    noun : str
        Singular, with a regular plural.
    width : int
        Of the number, for columns; the noun is then padded to its plural.
    """
    text = noun if number == 1 else f"{noun}s"
    return f"{number:>{width},} {text:<{len(noun) + 1 if width else 0}}"


def moment_text(moment: int | str, tz: str = "UTC") -> str:
    """Return a moment as ISO 8601 text in a time zone.

    Parameters
    ----------
    moment : int or str
        Microseconds since 1970 (UTC), or ISO 8601 text as in ``attrs``.
    tz : str
        The name of a zone, as the setting ``tz`` has it.

    Examples
    --------
    >>> moment_text(0), moment_text("2026-02-28T15:00:00Z", "Asia/Seoul")
    ('1970-01-01T00:00:00Z', '2026-03-01T00:00:00+09:00')
    """
    if tz == "UTC":
        return iso(moment) if isinstance(moment, int) else moment
    at = from_micros(moment) if isinstance(moment, int) else datetime.fromisoformat(moment)
    return at.astimezone(parse_zone(tz)).isoformat()
