"""What went wrong with the markets of a follow: when each is asked again, and when it is given up."""

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

__all__ = ["Troubles"]

DOUBTS = 10  # answers in a row that are not what the API promises, after which it is given up
SHORTEST = 0.05  # seconds to the next attempt


@dataclass
class _Trouble:
    failures: int = 0
    doubts: int = 0  # the last so many in a row were answers that are not what the API promises
    again: float = 0.0


class Troubles:
    """Failures of each market since one of its candles was last sealed. Times are those of the loop."""

    def __init__(self) -> None:
        self._of: dict[str, _Trouble] = defaultdict(_Trouble)
        self._retry = RetryPolicy()

    def again(self, market: str) -> float:
        """Before which time the market is not to be asked for; in the past if nothing went wrong."""
        return self._of[market].again

    def over(self, market: str) -> None:
        """It went well."""
        self._of.pop(market, None)

    def failed(self, market: str, why: UpbitFramesError | None, now: float) -> None:
        """It did not, or (None) nothing was final yet; raises ``why`` where trying again will not help."""
        trouble = self._of[market]
        trouble.failures += 1
        trouble.doubts = trouble.doubts + 1 if isinstance(why, SchemaError) else 0
        passing = (TransportError, RateLimited, ServerError, LockTimeout)
        if not (why is None or isinstance(why, passing) or 0 < trouble.doubts < DOUBTS):
            raise why
        trouble.again = now + max(SHORTEST, self._retry.pause(trouble.failures))
