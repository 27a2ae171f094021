"""Numbers in sentences."""

from __future__ import annotations

__all__ = ["counted"]


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
