"""What the calls of the process were like, for clients and coroutines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from upbit_frames.api.calls.call import Call
from upbit_frames.core.config import Config

if TYPE_CHECKING:
    import pandas as pd

    from upbit_frames.frames.plot.style import Style

__all__ = ["dashboard", "metrics"]

T = TypeVar("T")


def metrics(config: Config, by: str = "call") -> Call[pd.DataFrame]:
    """Summarise the calls of this process, of all clients, as ``uf.metrics`` does.

    Parameters
    ----------
    by : {"call", "channel", "calls"}

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.Client().metrics("channel")  # doctest: +SKIP
    """
    from upbit_frames.api.metrics import metrics as view

    return _local_call(lambda: view(by))


def dashboard(
    config: Config, *, seconds: float = 300.0, live: bool = False, every: float = 1.0, style: str | Style = "korean"
) -> Call[Any]:
    """Draw latency, channels, request rate, ages and errors of the last minutes, as ``uf.dashboard`` does.

    Parameters
    ----------
    seconds, live, every, style

    Examples
    --------
    >>> import upbit_frames as uf
    >>> uf.Client().dashboard(seconds=60).savefig("dashboard.png")  # doctest: +SKIP
    """
    from upbit_frames.api.dashboard import dashboard as draw_dashboard

    return _local_call(lambda: draw_dashboard(seconds=seconds, live=live, every=every, style=style))


def _local_call(make: Callable[[], T]) -> Call[T]:
    async def work() -> None:
        """Nothing has to be requested."""

    return Call(work, lambda _: make(), cached=lambda: True)
