"""Backoff of the markets of a follow: when each is requested again, and when an error ends the follow."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from upbit_frames.errors import (
    LockTimeout,
    RateLimited,
    SchemaError,
    ServerError,
    TransportError,
    UpbitFramesError,
)
from upbit_frames.exchange.transport.retry import RetryPolicy

__all__ = ["MarketBackoff"]

MOST_SCHEMA_ERRORS = 10  # responses in a row that are not what the API promises, after which the follow ends
SHORTEST_PAUSE = 0.05  # seconds


@dataclass
class _State:
    failures: int = 0
    schema_errors: int = 0  # in a row
    retry_at: float = 0.0


class MarketBackoff:
    """The failures of each market since its last sealed candle; times are the event loop's."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = defaultdict(_State)
        self._retry = RetryPolicy()

    def retry_at(self, market: str) -> float:
        """Return the time before which a market must not be requested; 0 without a failure."""
        return self._states[market].retry_at

    def succeeded(self, market: str) -> None:
        """Forget the failures of a market."""
        self._states.pop(market, None)

    def failed(self, market: str, error: UpbitFramesError | None, now: float) -> None:
        """Count a failure, or (None) candles that were not final yet.

        Raises
        ------
        UpbitFramesError
            The error itself, if trying again does not help.
        """
        state = self._states[market]
        state.failures += 1
        state.schema_errors = state.schema_errors + 1 if isinstance(error, SchemaError) else 0
        transient = (TransportError, RateLimited, ServerError, LockTimeout)
        if not (error is None or isinstance(error, transient) or 0 < state.schema_errors < MOST_SCHEMA_ERRORS):
            raise error
        state.retry_at = now + max(SHORTEST_PAUSE, self._retry.pause(state.failures))
