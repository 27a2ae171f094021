"""Everything that can go wrong, as one tree.

::

    UpbitFramesError
    ├── QueryError (ValueError)     the question itself is wrong; nothing was asked
    │   ├── InvalidArgument (TypeError)   the call has no such argument
    │   ├── InvalidMarket
    │   ├── InvalidInterval
    │   └── InvalidRange
    ├── ConfigError (ValueError)    a setting is unknown or has an impossible value
    ├── ApiError                    the exchange answered, and the answer is a refusal
    │   ├── MarketNotFound
    │   ├── RateLimited
    │   ├── Blocked                 carries ``until``
    │   └── ServerError
    ├── TransportError              the exchange could not be asked
    │   ├── Timeout
    │   └── ConnectionFailed
    ├── SchemaError                 the answer is not what the API promises
    │   └── ChecksumMismatch        a published file is not the one its checksum belongs to
    ├── SeriesChanged               stored rows and the exchange's differ; carries ``factor`` and ``first``
    ├── StoreError
    │   ├── CorruptFile
    │   └── LockTimeout
    ├── DataChanged                 a pinned call returns other rows; carries ``call``, ``months`` and ``rows``
    ├── OfflineError                answering would need the network, which is not allowed here
    │   ├── NotCached               carries ``missing``
    │   └── NotRecorded             carries ``request`` and ``nearest``
    └── UsageError (RuntimeError)   called from a place where it cannot work

Every error carries ``message``, ``suggestion`` (what to do next) and ``context`` (market,
interval, url, status … whatever is known), and survives pickling with these, its cause and its notes.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = [
    "ApiError",
    "Blocked",
    "ChecksumMismatch",
    "ConfigError",
    "ConnectionFailed",
    "CorruptFile",
    "DataChanged",
    "InvalidArgument",
    "InvalidInterval",
    "InvalidMarket",
    "InvalidRange",
    "LockTimeout",
    "MarketNotFound",
    "NotCached",
    "NotRecorded",
    "OfflineError",
    "QueryError",
    "RateLimited",
    "SchemaError",
    "SeriesChanged",
    "ServerError",
    "StoreError",
    "Timeout",
    "TransportError",
    "UpbitFramesError",
    "UpbitFramesWarning",
    "UsageError",
]

PACKAGE = str(Path(__file__).resolve().parent)
LONG = 60  # letters of a fact that is written behind the others


def __dir__() -> list[str]:
    return sorted(__all__)


class UpbitFramesWarning(UserWarning):
    """Something the user should know although an answer could be given."""


class UpbitFramesError(Exception):
    """Root of every error this package raises.

    Parameters
    ----------
    message : str
        What happened, in one sentence.
    suggestion : str, optional
        What the reader can do about it.
    **context
        Facts of the case: ``market``, ``interval``, ``url``, ``status`` and the like.
        Each is also readable as an attribute.

    Examples
    --------
    >>> error = UpbitFramesError("no such thing", suggestion="ask again", market="KRW-BTC")
    >>> error.market
    'KRW-BTC'
    >>> print(error)
    no such thing. Suggestion: ask again [market=KRW-BTC]
    """

    def __init__(self, message: str, *, suggestion: str | None = None, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.context = {key: value for key, value in context.items() if value is not None}

    def __getattr__(self, name: str) -> Any:
        # Only reached when ordinary lookup fails, so context never hides a real attribute.
        context = self.__dict__.get("context", {})
        if name in context:
            return context[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __str__(self) -> str:
        text, context = self.message, self._context_text()
        if self.suggestion:
            text = f"{text.rstrip('.')}. Suggestion: {self.suggestion}"
        return f"{text} [{context}]" if context else text

    def _context_text(self) -> str:
        """Write the context that the message does not name itself; what is long, such as a URL, comes last."""
        entries = [
            f"{key}={_short(value)}"
            for key, value in self.context.items()
            if value not in ([], ()) and not _says(self.message, value)
        ]
        return ", ".join(sorted(entries, key=lambda entry: len(entry) > LONG))

    def _render_traceback_(self) -> list[str]:
        """Write what IPython shows: the caller's own lines, then message, suggestion and context, a line each.

        ``%xmode Verbose`` shows every frame instead, those of this package and causes included.
        """
        from IPython import get_ipython

        formatter = get_ipython().InteractiveTB
        trace = self.__traceback__
        if formatter.mode in ("Verbose", "Docs"):
            lines: list[str] = formatter.structured_traceback(type(self), self, trace)
            return lines
        short = type(self)(self.message)
        lines = formatter.structured_traceback(type(self), short, _own_frames(trace))
        if self.suggestion:
            lines.append(f"  Suggestion: {self.suggestion}")
        context = self._context_text()
        return [*lines, f"  [{context}]"] if context else lines

    def __reduce__(self) -> tuple[Any, ...]:
        notes = getattr(self, "__notes__", [])
        return _rebuild, (type(self), self.message, self.suggestion, self.context, _portable(self.__cause__), notes)


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without what comes after the caller's last line: frames of this package and of its helpers."""
    frames = []
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(PACKAGE):
            break
        frames.append(trace)
        trace = trace.tb_next
    kept = None
    for frame in reversed(frames):
        kept = TracebackType(kept, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return kept


def _rebuild(
    cls: type[UpbitFramesError],
    message: str,
    suggestion: str | None,
    context: dict[str, Any],
    cause: BaseException | None,
    notes: list[str],
) -> UpbitFramesError:
    error = cls(message, suggestion=suggestion, **context)
    if cause is not None:
        error.__cause__ = cause
    for note in notes:
        error.add_note(note)
    return error


def _portable(cause: BaseException | None) -> BaseException | None:
    """Return a cause that can be pickled: libraries' errors may hold sockets, or need more arguments than they keep."""
    if cause is None:
        return None
    try:
        pickle.loads(pickle.dumps(cause))  # noqa: S301 - our own data
    except Exception:  # noqa: BLE001 - any error of another library's class
        return RuntimeError(f"{type(cause).__name__}: {cause}")
    return cause


def _says(text: str, value: Any) -> bool:
    """Whether a message names a fact of its context itself, so that it need not be repeated behind it."""
    return isinstance(value, str) and len(value) > 1 and value in text


def _short(value: Any, limit: int = 160) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


class QueryError(UpbitFramesError, ValueError):
    """The question is wrong; found before any file or socket was touched."""


class InvalidArgument(QueryError, TypeError):
    """The call has no such argument, or not in this place; the suggestion names what it has."""


class InvalidMarket(QueryError):
    """Not a market code of the form ``QUOTE-BASE``."""


class InvalidInterval(QueryError):
    """Not an interval Upbit has; the message names the nearest one."""


class InvalidRange(QueryError):
    """``start``, ``end`` and ``count`` cannot be satisfied together."""


class ConfigError(UpbitFramesError, ValueError):
    """A setting is unknown or its value is impossible."""


class ApiError(UpbitFramesError):
    """The exchange refused; ``status`` holds the HTTP status."""


class MarketNotFound(ApiError):
    """The exchange does not know the market: misspelt, delisted, or of another region."""


class RateLimited(ApiError):
    """Too many requests (429), and waiting did not help within the allowed tries."""


class Blocked(ApiError):
    """The address is blocked (418). ``until`` is an aware UTC datetime."""


class ServerError(ApiError):
    """The exchange failed (5xx), and so did the retries."""


class TransportError(UpbitFramesError):
    """The exchange could not be asked at all."""


class Timeout(TransportError):  # the name is settled in the public tree
    """No answer in time."""


class ConnectionFailed(TransportError):
    """No connection, or it broke before the answer was complete."""


class SchemaError(UpbitFramesError):
    """The answer is not what the API promises.

    ``path`` names the field (``$[3].trade_price``), ``sample`` shows the beginning of the body.
    """


class ChecksumMismatch(SchemaError):
    """A published file is not the one its checksum belongs to, not even at the second try.

    ``expected`` and ``found`` are the two SHA-256 digests.
    """


class SeriesChanged(UpbitFramesError):
    """The exchange serves other values for candles that are stored: its history was rewritten.

    A redenomination does that. Nothing was stored, because rows of both kinds must not stand in one series.
    ``factor`` is the new price divided by the stored one where it is the same for all prices of a candle (absent
    otherwise), ``first`` the ISO time of the first stored candle that differs, ``last`` that of the last one.
    """


class StoreError(UpbitFramesError):
    """The local store could not do what was asked; its content is unharmed."""


class CorruptFile(StoreError):
    """A stored file is damaged; it was set aside as ``moved_to``."""


class LockTimeout(StoreError):
    """Another process held the lock of a series for too long."""


class DataChanged(UpbitFramesError):
    """A call in a pinned block returns other rows than its lock says: ``call``, ``months``, ``rows`` name them."""


class OfflineError(UpbitFramesError):
    """Answering would need the network, and here it may not be used."""


class NotCached(OfflineError):
    """The store lacks the ranges listed in ``missing``."""


class NotRecorded(OfflineError):
    """The cassette holds no answer to ``request``; ``nearest`` is the closest recorded one."""


class UsageError(UpbitFramesError, RuntimeError):
    """Called from a place where it cannot work, for instance the package's own event loop."""
