"""Ports without an exchange: what an open bundle, and the check of a lock, run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from upbit_frames.core.config import Config
from upbit_frames.core.endpoints import Endpoint
from upbit_frames.errors import NotRecorded
from upbit_frames.exchange.rest_api import RestApi
from upbit_frames.live.hub.substitution import Source
from upbit_frames.router.ports import Ports
from upbit_frames.runtime.clock import Clock, SystemClock
from upbit_frames.runtime.fixed_clock import FixedServerTime, PinnedClock
from upbit_frames.store.base import Store

__all__ = ["NoExchange", "offline_ports"]


class NoExchange:
    """A transport and streams that refuse.

    Parameters
    ----------
    name : str
        What has no answer, for messages: ``"the bundle study.zip"``.
    left_out : sequence of str
        Ranges of Upbit's archive that are not in it.
    """

    idle = True
    shared = True
    clock: Clock = SystemClock()

    def __init__(self, name: str, left_out: Sequence[str] = ()) -> None:
        self._name = name
        self._left_out = list(left_out)

    async def get(self, endpoint: Endpoint, params: dict[str, str]) -> NoReturn:
        """Refuse a request."""
        wanted = "&".join(f"{name}={value}" for name, value in params.items())
        raise self._refusal(f"{endpoint.path}?{wanted}")

    async def aclose(self) -> None:
        """Close nothing."""

    def source(self, config: Config, live: Source) -> NoReturn:
        """Refuse a stream."""
        raise self._refusal("a stream")

    def _refusal(self, wanted: str) -> NotRecorded:
        hint = "only what its lock names is in it; leave the block for everything else"
        if self._left_out:
            hint = (
                f"rows of Upbit's archive were left out of it ({self._left_out[0]} …): fetch those outside of the block"
            )
        return NotRecorded(f"{self._name} has no answer to {wanted}", suggestion=hint, request=wanted)


def offline_ports(exchange: NoExchange, store: Store, now: int) -> Ports:
    """Return ports that read a store at a moment of the past and send nothing."""
    clock = PinnedClock(now, waits=False)
    return Ports(RestApi(exchange), store, clock, FixedServerTime(clock, 0), streams=False)
