"""When to try again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

__all__ = ["RetryPolicy"]


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently a request is repeated.

    Attributes
    ----------
    attempts : int
        Tries in all.
    base, cap : float
        Seconds: the pause before the n-th repetition is random between 0 and
        ``min(cap, base * 2**(n-1))``, so that many clients do not come back at the same moment.
    """

    attempts: int = 6
    base: float = 0.5
    cap: float = 15.0
    random: random.Random = field(default_factory=random.Random, compare=False, repr=False)

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the given (first, second …) failed attempt."""
        return self.random.uniform(0.0, min(self.cap, self.base * 2 ** (attempt - 1)))

    def once(self) -> RetryPolicy:
        """The same without any repetition."""
        return replace(self, attempts=1)
