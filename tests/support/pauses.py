"""No waiting between attempts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from upbit_frames.exchange.transport.retry import RetryPolicy


@contextmanager
def instant_retries(seconds: float = 0.0) -> Iterator[None]:
    """Repeat failed requests at once, or after so many seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RetryPolicy, "pause", lambda self, attempt: seconds)
        yield
