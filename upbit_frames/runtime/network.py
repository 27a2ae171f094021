"""Whether this process may connect to other machines.

Imports nothing of weight, because a pytest plugin imports it for every run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

__all__ = ["check_allowed", "is_local", "refusing"]

_refusal: Callable[[str], Exception] | None = None


def is_local(url: str) -> bool:
    """Return whether a URL leads to this machine, or to a name that is reserved for no machine at all (RFC 2606).

    Examples
    --------
    >>> is_local("ws://127.0.0.1:4711/websocket/v1"), is_local("https://api.upbit.com")
    (True, False)
    """
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:  # no URL; the transport says so
        return True
    return host in ("localhost", "::1", "") or host.startswith("127.") or host.endswith((".invalid", ".localhost"))


def check_allowed(url: str) -> None:
    """Raise the error of :func:`refusing` if connections are refused and the URL leads to another machine."""
    if _refusal is not None and not is_local(url):
        raise _refusal(url)


@contextlib.contextmanager
def refusing(refusal: Callable[[str], Exception]) -> Iterator[None]:
    """Refuse every connection of this package to another machine, with the error that ``refusal(url)`` returns.

    What is replayed opens no connection and is therefore not refused, neither by this package's cassettes and
    tapes nor by vcrpy or another library that replaces connections.
    """
    global _refusal
    before, _refusal = _refusal, refusal
    try:
        yield
    finally:
        _refusal = before
